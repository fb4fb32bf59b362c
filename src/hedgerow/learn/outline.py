"""Where things end, learned from what exploring found: self-instruction for outlines.

In: photos with the outlines that their regions vote for, in `Shelves`. Out: a student and its moving average, the
teacher, which ships.

SOHES's second phase has a network learn the masks that exploring found, since what it learns of all photos errs less
than what was found in each. Masks take a query each and long training; outlines are asked of every pixel of every view,
so that half an hour of a core is enough, and exploring that hears of them (`hedgerow.explore`) finds better regions,
which can be learned from again. Li et al. 2016 ("Unsupervised learning of edges") learn edges so, from films.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hedgerow.config import CallerError, Outline
from hedgerow.learn.losses import agreement, outline_loss
from hedgerow.learn.networks.checkpoints import load_network
from hedgerow.learn.networks.devices import mean_of_all
from hedgerow.learn.networks.outliner import STRIDE, Outliner, OutlinerConfig
from hedgerow.learn.networks.sharing import apart, clip, shared, take
from hedgerow.learn.pacing import follow, rise_and_fall
from hedgerow.learn.shelves import Shelves, own_share
from hedgerow.learn.views import cut, draw, sampled

CLIP = 1.0  # length of the gradient, at most
DECAY = 1e-4  # of weights
COLOURS = 3  # views are in the colours of those to segment


@dataclass
class Outlining:
    """All that a run is at one moment. `shared` is the student as all processes learn it."""

    student: Outliner
    teacher: Outliner
    shared: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    steps: int = 0
    seconds: float = 0.0

    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {name: getattr(self, name).state_dict() for name in ("student", "teacher", "optimizer")}

    def take_up(self, before: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        try:
            for name in ("student", "teacher", "optimizer"):
                take(getattr(self, name), before[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CallerError(f"the checkpoint is of no such run: {str(error).splitlines()[0]}") from None
        self.step, self.steps, self.seconds = before["step"], before["steps"], before["seconds"]


def begin(config: Outline, device: torch.device, trunk: str) -> Outlining:
    """A run at its first step; `trunk` is a folder or file with the backbone that looks."""
    before = load_network(trunk).network
    student = Outliner(OutlinerConfig(before.config, config.dim), torch.Generator().manual_seed(config.seed))
    student.trunk.load_state_dict(before.state_dict())
    student.requires_grad_(True)
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    together = shared(student, device, config.sharded, steady=False)
    shared(teacher, device, config.sharded)
    groups = [
        {"params": list(student.trunk.parameters()), "pace": config.trunk_rate},
        {"params": [p for n, p in student.named_parameters() if not n.startswith("trunk.")], "pace": 1.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=DECAY)
    return Outlining(student, teacher, together, optimizer, steps=config.steps)


def outline(
    config: Outline,
    run: Outlining,
    shelves: Shelves,
    told: Callable[[Outlining, dict[str, float]], None],
) -> None:
    """From where `run` is to its last step. `told` hears of every step, and may save, log or stop."""
    run.student.eval()  # its trunk keeps the statistics of pre-training: those of a few views are not a photo's
    while run.step < run.steps:
        start = perf_counter()
        rate = config.rate * rise_and_fall(run.step / run.steps, config.warm)
        for group in run.optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        pixels, wanted = look(config, run.step, shelves)
        run.optimizer.zero_grad(set_to_none=True)
        numbers = learn(config, run, pixels, wanted)
        length = clip(run.student.parameters(), CLIP)
        if not torch.isfinite(numbers["loss"]):
            told_loss = f"the loss is {numbers['loss']:g}"
            raise CallerError(f"learning went astray at step {run.step + 1}: {told_loss}; lower the rate")
        run.optimizer.step()
        follow(run, config.momentum)
        run.step += 1
        numbers["gradient"] = length
        values = torch.stack([value.float() for value in numbers.values()]).tolist()  # the device waits once
        run.seconds += perf_counter() - start
        told(run, dict(zip(numbers, values, strict=True)) | {"rate": rate})


def learn(config: Outline, run: Outlining, pixels: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """The loss of a step with its gradient, and how well what is said agrees with what was wanted. Views are looked at
    in pieces, whose gradients add up to the step's."""
    size = -(-len(pixels) // config.accumulate)
    starts = range(0, len(pixels), size)
    sums = torch.zeros(2, device=pixels.device)
    for start in starts:
        rows = slice(start, start + size)
        share = len(pixels[rows]) / len(pixels)
        with apart(run.shared) if start != starts[-1] else nullcontext():
            with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.device.type == "cuda"):
                said = run.shared(pixels[rows])
            loss = share * outline_loss(said.float(), wanted[rows])
            loss.backward()
        sums += torch.stack([loss.detach(), share * agreement(said.detach().float(), wanted[rows])])
    return dict(zip(("loss", "agree"), mean_of_all(sums), strict=True))


def look(config: Outline, step: int, shelves: Shelves) -> tuple[Tensor, Tensor]:
    """Views of this process's share of a step's photos (B, 3, V, V), and what is wanted of them (B, V / 2, V / 2)."""
    generator, own = torch.Generator().manual_seed((config.seed << 32) + step), own_share(config.batch)
    taken = shelves.at(step)
    bank, rows = taken.shelf, taken.rows
    assert bank.outlines is not None
    draws = draw(config.batch, generator).at(own).of(slice(None), bank.photos.device)
    view = cut(bank.photos[rows], bank.shape[rows], draws, size=config.size, share=config.share, kind=COLOURS)
    outlines = sampled(bank.outlines[rows, None], view, config.size)
    return view.pixels, F.max_pool2d(outlines, STRIDE)[:, 0]
