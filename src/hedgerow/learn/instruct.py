"""The segmenter learned from what exploring found: SOHES phases 2 (self-instruction) and 3 (self-correction).

In: photos with regions, in `Shelves`. Out: a student and its teacher, the moving average of it; either can be used.

A step shows the student views of some photos and asks for some of their regions. In the last share of the steps
(phase 3) what the teacher is sure of is asked for as well, and in the end alone: labels of phase 1 are made photo by
photo, and what a network has learned from all of them errs less (SOHES, third phase). Which regions the teacher is sure
of depends on their size, because small ones have low scores (`correct.py`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hedgerow.config import CallerError, Train
from hedgerow.learn.correct import corrections, weights_at
from hedgerow.learn.lessons import Asked, Lesson, lesson
from hedgerow.learn.matching import CROSS, DICE, FOUND, ancestor_loss, found_loss, mask_losses, match, spared
from hedgerow.learn.networks.checkpoints import load_network
from hedgerow.learn.networks.devices import mean_of_all
from hedgerow.learn.networks.segmenter import ROUGH, Glimpse, Seen, Segmenter, SegmenterConfig
from hedgerow.learn.networks.sharing import apart, clip, shared, take
from hedgerow.learn.pacing import follow, rise_and_fall
from hedgerow.learn.scenes import made_scenes
from hedgerow.learn.shelves import Shelves, own_share
from hedgerow.learn.views import draw

CLIP = 1.0  # length of the gradient, at most
DECAY = 0.05  # of weights
BESIDE = 2  # other photos that something is pasted from into a made scene


@dataclass
class Course:
    """All that a run is at one moment. `shared` is the student as all processes learn it."""

    student: Segmenter
    teacher: Segmenter
    shared: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    steps: int = 0
    seconds: float = 0.0

    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def take_up(self, before: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        try:
            for name in ("student", "teacher", "optimizer"):
                take(getattr(self, name), before[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CallerError(f"the checkpoint is of no such run: {str(error).splitlines()[0]}") from None
        self.step, self.steps, self.seconds = before["step"], before["steps"], before["seconds"]


def begin(config: Train, device: torch.device, trunk: str) -> Course:
    """A run at its first step; `trunk` is a folder or file with the backbone that looks."""
    before = load_network(trunk).network
    network = config.network
    form = SegmenterConfig(before.config, network.dim, network.layers, network.heads, network.grids)
    student = Segmenter(form, torch.Generator().manual_seed(config.seed))
    student.trunk.load_state_dict(before.state_dict())
    student.requires_grad_(True)
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    together = shared(_Every(student), device, config.sharded, steady=False)
    shared(teacher, device, config.sharded)
    groups: list[dict[str, Any]] = []
    for inside, pace in ((True, config.trunk_rate), (False, 1.0)):
        for plain in (True, False):
            own = [
                p
                for name, p in student.named_parameters()
                if p.requires_grad and name.startswith("trunk.") == inside and (p.ndim < 2) == plain
            ]
            groups.append({"params": own, "pace": pace, "weight_decay": 0.0 if plain else DECAY})
    optimizer = torch.optim.AdamW(groups, lr=0.0, fused=device.type == "cuda")
    return Course(student, teacher, together, optimizer, steps=config.steps)


def train(
    config: Train,
    course: Course,
    shelves: Shelves,
    device: torch.device,
    told: Callable[[Course, dict[str, float]], None],
) -> None:
    """From where `course` is to its last step. `told` hears of every step, and may save, log or stop."""
    course.student.eval()  # its trunk keeps the statistics of pre-training: those of a few views are not a photo's
    while course.step < course.steps:
        start = perf_counter()
        done = course.step / course.steps
        rate = config.rate * rise_and_fall(done, config.warm)
        for group in course.optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        first, second = weights_at(config.correct, done)
        shown = _shown(config, course, shelves, correcting=second > 0)
        course.optimizer.zero_grad(set_to_none=True)
        numbers = learn(config, course, shown, (first, second))
        total = numbers["loss"]
        length = clip(course.student.parameters(), CLIP)
        if not torch.isfinite(total):
            raise CallerError(f"learning went astray at step {course.step + 1}: the loss is {total:g}; lower the rate")
        course.optimizer.step()
        follow(course, config.momentum)
        course.step += 1
        numbers["gradient"] = length
        values = torch.stack([value.float() for value in numbers.values()]).tolist()  # the device waits once
        course.seconds += perf_counter() - start
        told(course, dict(zip(numbers, values, strict=True)) | {"rate": rate})


def learn(config: Train, course: Course, shown: Lesson, weights: tuple[float, float]) -> dict[str, Tensor]:
    """The losses of a step, by name, with their gradients: of phase 1's labels, and of the teacher's where these have a
    weight. Views are looked at in pieces, whose gradients add up to the step's."""
    device, numbers = shown.view.pixels.device, dict[str, Tensor]()
    asked = [(weights[0], "", shown.asked, _counts(shown.asked, device))]
    if weights[1] > 0:
        assert shown.plain is not None
        corrected, numbers["taken"] = corrections(course.teacher, shown.plain, fixed=config.fixed)
        asked.append((weights[1], " (teacher)", corrected, _counts(corrected, device)))
    size = -(-len(shown.asked) // config.accumulate)
    starts = range(0, len(shown.asked), size)
    for start in starts:
        rows = slice(start, start + size)
        with apart(course.shared) if start != starts[-1] else nullcontext():
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                glimpses, seen = course.shared(shown.view.pixels[rows])
            total = _nothing(glimpses, seen)
            for weight, whose, wanted, counts in asked:
                losses = asked_losses(glimpses, seen, wanted[rows], counts)
                total = total + weight * _weighed(losses, config)
                for name, loss in losses.items():
                    numbers[name + whose] = numbers.get(name + whose, 0) + loss.detach()
            total.backward()
        numbers["loss"] = numbers.get("loss", 0) + total.detach()
    means = mean_of_all(torch.stack([value.float().to(device) for value in numbers.values()]))
    return dict(zip(numbers, means, strict=True))


def _nothing(glimpses: list[Glimpse], seen: Seen) -> Tensor:
    """0, with a gradient for all that was seen: where nothing is asked of this process's views, others ask, and FSDP
    wants the gradients of all processes to be of the same parameters."""
    return torch.stack([part.sum().float() * 0 for look in (*glimpses, seen) for part in look]).sum()


def _counts(asked: list[Asked], device: torch.device) -> tuple[Tensor, Tensor]:
    """How many regions are asked for, and in how many views, in a process's share of a step."""
    regions, views = sum(len(one.regions) for one in asked), sum(len(one.regions) > 0 for one in asked)
    return tuple(mean_of_all(torch.tensor(float(count), device=device)) for count in (regions, views))  # type: ignore[return-value]


class _Every(nn.Module):
    """What queries see on their way, as a call: that is what processes share."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, pixels: Tensor) -> tuple[list[Glimpse], Seen]:
        return self.segmenter.every(pixels)


def _shown(config: Train, course: Course, shelves: Shelves, correcting: bool) -> Lesson:
    """The views of a step, of this process's share of its photos; some of the views are made scenes."""
    generator, own = torch.Generator().manual_seed((config.seed << 32) + course.step), own_share(config.batch)
    looks = 1 + BESIDE
    draws = [draw(config.batch, generator).at(own) for _ in range(looks)]
    seeds = torch.randint(2**62, (looks + 1, config.batch), generator=generator)[:, own]
    taken = shelves.at(course.step, BESIDE)
    see = partial(lesson, taken.shelf, size=config.size, share=config.share, most=config.asked)
    shown = see(taken.rows, draws[0], seeds[0], plain=correcting)
    share = 1.0 if course.step < config.scenes_first * course.steps else config.scenes
    places = _spread(share, config.batch)[own].nonzero()[:, 0]
    if len(places) and not correcting:
        beside = [
            see(rows[places], drawn.at(places), seed[places])
            for rows, drawn, seed in zip(taken.beside, draws[1:], seeds[1:-1], strict=True)
        ]
        shown = made_scenes(shown, places, beside, seeds[-1][places])
    return shown


def _spread(share: float, count: int) -> Tensor:
    """(count,) bool: a share of them, evenly spread."""
    steps = (torch.arange(count + 1) * share + 0.5).floor()
    return steps.diff() > 0


def asked_losses(
    glimpses: list[Glimpse], seen: Seen, asked: list[Asked], counts: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    """What queries see, on their way and in the end, against what was asked of each view, summed over looks and shared
    by the counts of the step; who is inside whom is asked in the end alone. Masks count by the region, the rest by the
    view; a view of which nothing is asked teaches nothing. Queries are matched by rough masks at every look: four times
    the cells take four times as long."""
    sums = {name: seen.found.sum() * 0 for name in ("found", "cross", "dice", "ancestors")}
    regions, views = counts or _counts(asked, seen.found.device)
    roughly = [_rough(one, seen.masks.shape[-2:]) for one in asked]
    looks: list[Glimpse | Seen] = [*glimpses, seen]
    for look in looks:
        # unbound at once: an index for each view would fill a gradient of all views with zeros, each time
        for number, (found, masks) in enumerate(
            zip(look.found.float().unbind(), look.masks.float().unbind(), strict=True)
        ):
            one, rough = asked[number], roughly[number]
            if not len(one.regions):
                continue
            last = look is seen
            rough_masks = (F.avg_pool2d(masks.detach(), ROUGH) if last else masks.detach()).flatten(1)
            pairs = match(found, rough_masks, rough.regions)
            target = one.regions if last else rough.regions
            cross, dice = mask_losses(masks.flatten(1)[pairs.q], target[pairs.t])
            sums["cross"] = sums["cross"] + cross / regions.clamp(min=1)
            sums["dice"] = sums["dice"] + dice / regions.clamp(min=1)
            free = spared(rough_masks, pairs, rough.others)
            sums["found"] = sums["found"] + found_loss(found, pairs, free) / views.clamp(min=1)
            if last:
                ancestors = ancestor_loss(seen.contains[number].float(), pairs, one.ancestors)
                sums["ancestors"] = sums["ancestors"] + ancestors / views.clamp(min=1)
    return sums


def _rough(asked: Asked, size: torch.Size) -> Asked:
    """What is asked of a view, in the shares of the cells of a glimpse."""
    regions, others = (
        F.avg_pool2d(flat.unflatten(1, tuple(size)), ROUGH).flatten(1) if len(flat) else flat[:, :: ROUGH**2]
        for flat in (asked.regions, asked.others)
    )
    return Asked(regions, asked.ancestors, others)


def _weighed(losses: dict[str, Tensor], config: Train) -> Tensor:
    masks = FOUND * losses["found"] + CROSS * losses["cross"] + DICE * losses["dice"]
    return masks + config.ancestors * losses["ancestors"]
