"""How many steps of learning fit into some minutes: a few are rehearsed, and forgotten."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import torch

from hedgerow.learn.networks.devices import mean_of_all
from hedgerow.learn.sittings import Course

REHEARSED = 4, 10  # steps before the clock starts, and on the clock
ENDLESS = 2**20  # steps of a run that is not to end

C = TypeVar("C", bound=Course)
Learn = Callable[[C, Callable[[C, dict[str, Any]], None]], None]


def steps_that_fit(minutes: float, late: float, begin: Callable[[], C], learn: Learn[C], device: torch.device) -> int:
    """`begin` makes a run at its first step, `learn` goes on with it and tells of every step; the last ones, a share
    `late` of all, take their own time."""
    seconds = [_a_step(moment, begin(), learn) for moment in ((0.0, 1.0) if late else (0.0,))]
    early, last = mean_of_all(torch.tensor([seconds[0], seconds[-1]], device=device)).tolist()  # of all processes alike
    return max(int(60 * minutes / ((1 - late) * early + late * last)), 1)


def _a_step(done: float, course: C, learn: Learn[C]) -> float:
    """Seconds that a step takes when so much of a run is done."""
    course.steps = ENDLESS
    course.step = first = int(done * (ENDLESS - sum(REHEARSED)))
    marks: list[float] = []

    def heard(course: C, _: dict[str, Any]) -> None:
        marks.append(perf_counter())
        if course.step >= first + sum(REHEARSED):
            course.steps = course.step

    learn(course, heard)
    return (marks[-1] - marks[REHEARSED[0] - 1]) / REHEARSED[1]
