"""hedgerow explore: a photo collection into labels that a network learns from."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.telling import count, duration, name_bad, needing, say, stopped, watched
from hedgerow.config import Labelling, UsageError

if TYPE_CHECKING:
    from hedgerow.labelling import Failed, Labels


def explore(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="LABELS")] = None,
    run: Annotated[Labelling, arg(name="")] = Labelling(),  # noqa: B008
) -> int:
    """Explore a photo collection into a store of labels to learn from.

    LABELS gets Parquet shards of forests, labels.json with how they were made, and sheet.png, some of them drawn.

    A run that was stopped goes on where it was when the same command is given again.

    Args:
        inputs: photos, folders, globs, or tars of photos
        output: the folder of the store
    """
    if output is None:
        raise UsageError("labels need a folder: -o LABELS")
    with needing("a label store"):
        import pyarrow  # noqa: F401
    from hedgerow.labelling import draw_sheet, plan_labels

    start, planned = perf_counter(), plan_labels(inputs, output, run)
    filled = fill(planned)
    if isinstance(filled, int):
        return filled
    sheet = draw_sheet(planned)
    if not run.quiet:
        mean = f", {filled.regions / filled.fresh:.0f} regions each" if filled.fresh else ""
        print(f"{filled.told('labelled')}{mean}, in {output}; {duration(perf_counter() - start)}")
        print(f"some of them: {sheet}")
    name_bad(filled.bad, filled.total, None)
    return 0 if filled.done else 1


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


def fill(planned: Labels) -> Filled | int:
    """Make the labels that are missing; or, where a bad photo or Ctrl-C ends that, the exit status."""
    from hedgerow.labelling import Failed, label_photos

    run, total = planned.config, len(planned.photos)
    filled = Filled(total, total - sum(len(planned.shard(number)) for number in planned.todo))
    try:
        with closing(label_photos(planned)) as labels:
            for label in watched(labels, total, filled.before, quiet=run.quiet):
                if isinstance(label, Failed):
                    filled.bad.append(label)
                    if not run.keep_going:
                        tally = f"{filled.done} of {count(total)} done"
                        say(f"{label.reason} ({tally}; --keep-going notes such and goes on)")
                        sys.stderr.write(label.details)
                        return 1
                    continue
                regions = len(label.forest) if label.forest is not None else 0
                filled.fresh += 1
                filled.regions += regions
                filled.bare += not regions
    except KeyboardInterrupt as stop:
        tally = f"{filled.done} of {count(total)} done"
        return stopped(stop, f"stopped: {tally}; the same command goes on from its last shard")
    return filled
