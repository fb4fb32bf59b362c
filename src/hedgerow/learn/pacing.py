"""How fast a student learns, and how its teacher, the moving average of it, follows.

In: how much of a run is done, or a run at a step. Out: a share of the highest rate; the teacher, moved.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import nn


class Followed(Protocol):
    """A run of two networks of one form, of which one learns and one follows."""

    step: int

    @property
    def student(self) -> nn.Module: ...

    @property
    def teacher(self) -> nn.Module: ...


def rise_and_fall(done: float, warm: float) -> float:
    """A straight rise, then half a cosine down to a hundredth."""
    if done < warm:
        return done / warm
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (done - warm) / max(1 - warm, 1e-9))) / 2


@torch.no_grad()
def follow(run: Followed, momentum: float) -> None:
    """The teacher moves towards the student; early on faster, lest it drag the untrained network along."""
    momentum = min(momentum, (1 + run.step) / (10 + run.step))
    for theirs, mine in zip(run.teacher.state_dict().values(), run.student.state_dict().values(), strict=True):
        if theirs.is_floating_point():
            theirs.lerp_(mine, 1 - momentum)
        else:
            theirs.copy_(mine)
