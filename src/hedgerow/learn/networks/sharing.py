"""How the processes of a run share a network that learns: each has all of it, or a share of each of its tensors.

In: a network on the CPU, the same in every process. Out: a module whose call is what the processes do together; losses
and weights are those of one process.

Each has all of it (DistributedDataParallel), and gradients become means while they are made; or, `sharded`, each keeps
a share of weights, gradients, the optimizer's moments and the teacher, for a backbone of which one device does not hold
all that (FSDP2, `fully_shard`; Zhao et al. 2023). A transformer's blocks are put together one by one when views come to
them, and taken apart behind these; what is in no block is together for as long as the call. Weights stay float32, and
autocast does the rest, as on one device; what it made of them in bfloat16 stays whole until the gradients are there.
Shares are DTensors: moving averages and optimizers work on them as they are; who wants whole tensors asks `whole`. With
one process nothing is shared.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hedgerow.learn.networks.devices import rank, world
from hedgerow.learn.networks.vit import Block


def shared(network: nn.Module, device: torch.device, sharded: bool, steady: bool = True) -> nn.Module:
    """The network on the device, as this process has it; gradients come out as means over processes. Not all that a
    network has need be read (CLIP's last norm, a pyramid's neck under the segmenter); `steady` promises that it is the
    same at every step, none of it in pieces whose gradients add up."""
    if world() > 1 and sharded:
        return _shared_out(network, device)
    network.to(device)
    if world() == 1 or not any(parameter.requires_grad for parameter in network.parameters()):
        return network
    devices = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=devices, find_unused_parameters=not steady, static_graph=steady)


def _shared_out(network: nn.Module, device: torch.device) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh  # here: with what DTensors need it takes a second
    from torch.distributed.fsdp import fully_shard

    if device.type == "cuda":
        torch.cuda.set_device(device)  # shares go to the current one
    mesh = init_device_mesh(device.type, (world(),))
    for block in [module for module in network.modules() if isinstance(module, Block)]:
        fully_shard(block, mesh=mesh)
    # apart again behind a call: between calls all that anyone sees of a network are shares
    fully_shard(network, mesh=mesh, reshard_after_forward=True)
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # which nobody writes into
    return network


def apart(network: nn.Module) -> AbstractContextManager[None]:
    """Inside, gradients are not shared among processes yet. Those of a network in shares are, each time: kept for later
    they would be whole ones, for which there is no room."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def clip(parameters: Iterable[nn.Parameter], most: float) -> Tensor:
    """The gradient's length over all parameters, as it was before it was cut to `most`."""
    length = nn.utils.clip_grad_norm_(parameters, most)
    return length.full_tensor() if _in_shares(length) else length  # type: ignore[attr-defined]


# ---------------------------------------------------------------------- whole tensors


def whole(content: Any) -> Any:
    """Dictionaries with whole tensors in place of shares. All processes ask at once; the first is told, on the CPU,
    where there is room for all of them."""
    if isinstance(content, dict):
        return {name: whole(value) for name, value in content.items()}
    if not _in_shares(content):
        return content
    tensor = content.full_tensor()
    return tensor.cpu() if rank() == 0 else None


def take(learner: nn.Module | torch.optim.Optimizer, before: dict[str, Any], strict: bool = True) -> Any:
    """`load_state_dict` from whole tensors, of which each process takes its share."""
    if isinstance(learner, nn.Module):
        own = learner.state_dict()
        return learner.load_state_dict({name: _share(own.get(name), value) for name, value in before.items()}, strict)
    parameters = dict(enumerate(parameter for group in learner.param_groups for parameter in group["params"]))
    state = {
        number: {name: _share(parameters.get(number), value) for name, value in moments.items()}
        for number, moments in before["state"].items()
    }
    return learner.load_state_dict({**before, "state": state})


def _share(own: Any, value: Any) -> Any:
    """Of a tensor the part that this process has of `own`; what is of another shape, as a count of steps, stays."""
    if not _in_shares(own) or getattr(value, "shape", None) != own.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, own.device_mesh, own.placements, src_data_rank=None)  # each has read all of it


def _in_shares(value: Any) -> bool:
    """Is it a DTensor?"""
    return hasattr(value, "full_tensor")
