"""Filling a store from photos, as a command does it: with progress, and an orderly end."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hedgerow.cli.telling import count, say, stopped, watched

if TYPE_CHECKING:
    from hedgerow.filling import Filling
    from hedgerow.pipeline import Failed


@dataclass
class Filled:
    """What became of the photos of a store; regions and `bare` photos without any are those of this run."""

    total: int
    before: int
    fresh: int = 0
    regions: int = 0
    bare: int = 0
    bad: list[Failed] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.before + self.fresh

    def told(self, verb: str) -> str:
        earlier = f" ({self.before} of them before)" if self.before else ""
        return f"{self.done} of {count(self.total)} {verb}{earlier}"


def filling(planned: Filling[Any]) -> Filled | int:
    """Make the rows that are missing; or, where a bad photo or Ctrl-C ends that, the exit status."""
    from hedgerow.filling import fill
    from hedgerow.pipeline import Failed

    run, total = planned.config, len(planned.photos)
    filled = Filled(total, total - sum(len(planned.shard(number)) for number in planned.todo))
    try:
        with closing(fill(planned)) as rows:
            for row in watched(rows, total, filled.before, quiet=run.quiet):
                if isinstance(row, Failed):
                    filled.bad.append(row)
                    if not run.keep_going:
                        tally = f"{filled.done} of {count(total)} done"
                        say(f"{row.reason} ({tally}; --keep-going notes such and goes on)")
                        sys.stderr.write(row.details)
                        return 1
                    continue
                regions = len(row.forest) if row.forest is not None else 0
                filled.fresh += 1
                filled.regions += regions
                filled.bare += not regions
    except KeyboardInterrupt as stop:
        tally = f"{filled.done} of {count(total)} done"
        return stopped(stop, f"stopped: {tally}; the same command goes on from its last shard")
    return filled
