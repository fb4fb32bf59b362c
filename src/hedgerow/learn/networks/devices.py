"""Where torch computes: one device by name, and what several processes of one run tell each other.

`torchrun` starts several processes and tells each its number; with one process every function here does next to
nothing, so that learning reads the same for one device and for many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hedgerow.config import CallerError


def torch_device(asked: str) -> torch.device:
    """The device of that name; auto takes cuda (this process's own, where there are several), else mps, else cpu."""
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if asked == "cuda":
        asked = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % max(torch.cuda.device_count(), 1)}"
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts when it was built without the device
        raise CallerError(f"device {asked} cannot be used: {str(error).splitlines()[0]}") from None
    return device


@contextmanager
def in_company(device: torch.device) -> Iterator[None]:
    """Joins the other processes of a run that torchrun started; others, as Ray Train, have joined them already."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def mean_of_all(value: Tensor) -> Tensor:
    """The mean over processes, in every one of them."""
    if world() > 1:
        value = value.clone()
        dist.all_reduce(value)
        value /= world()
    return value


def any_of_all(values: Sequence[bool], device: torch.device) -> list[bool]:
    """Of each, is it so in one process at least? All of them hear the same."""
    if world() == 1:
        return list(values)
    return (mean_of_all(torch.tensor(values, dtype=torch.float, device=device)) > 0).tolist()


def rows_of_all(value: Tensor) -> Tensor:
    """The rows of all processes, in the order of their numbers, without a gradient."""
    value = value.detach()
    if world() == 1:
        return value
    parts = [torch.empty_like(value) for _ in range(world())]
    dist.all_gather(parts, value.contiguous())
    return torch.cat(parts)


def rows_with_gradient(value: Tensor) -> Tensor:
    """`rows_of_all`, through which a gradient goes back to whoever made a row. A loss that each process works out from
    all rows is then the same number in each, and the mean of their gradients is that of one process with all rows."""
    return value if world() == 1 else _Rows.apply(value)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return rows_of_all(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(world())[rank()]
