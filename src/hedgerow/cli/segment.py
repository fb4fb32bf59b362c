"""hedgerow segment: photos into forests of regions."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.asking import answer, check_answerable, questions
from hedgerow.cli.telling import count, duration, name_bad, one_line, say, stopped, watched
from hedgerow.config import Segment

if TYPE_CHECKING:
    from hedgerow.pipeline import Done, Failed, Plan

LISTED = 12  # names in a photo's line


def segment(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None,
    points: Annotated[tuple[str, ...], arg(metavar="X,Y...")] = (),
    box: Annotated[tuple[str, ...], arg(metavar="LEFT,TOP,RIGHT,BOTTOM...")] = (),
    run: Annotated[Segment, arg(name="")] = Segment(),  # noqa: B008
) -> int:
    """Segment photos into forests of regions.

    Each photo NAME gets NAME.forest.json and NAME.overlay.png, beside it or below DIR.

    With --names every region gets the best of them, or none; --find keeps the regions that match.

    A run that was stopped goes on where it was when the same command is given again.

    Args:
        inputs: photos, folders, globs, or tars of photos
        output: where results go (default: beside each photo; folders, tars and coco need a DIR)
        points: tell which region of the one photo is at this pixel, and what it is part of, up to the largest
        box: tell which region of the one photo fits this box, and what it is part of
    """
    asked = questions(points, box)
    from hedgerow.pipeline import collect, plan

    start, planned = perf_counter(), plan(inputs, output, run)
    if asked:
        check_answerable(planned)
    tally = _Tally(len(planned.photos), len(planned.photos) - len(planned.todo))
    try:
        _carry_out(planned, tally)
        if tally.done and (run.keep_going or not tally.bad):
            collect(planned, tally.bad, partial(watched, quiet=run.quiet, name="predictions.json"))
    except KeyboardInterrupt as stop:
        again = "the same command without --overwrite" if run.overwrite else "the same command"
        return stopped(stop, f"stopped: {tally}; {again} goes on from there")
    finally:
        planned.results.write_errors(tally.bad)
    if tally.bad and not run.keep_going:
        return _given_up(tally)
    if not run.quiet:
        _sum_up(planned, tally, perf_counter() - start)
    name_bad(tally.bad, tally.total, planned.results.errors)
    if asked and tally.done:
        for line in answer(planned, asked):
            print(one_line(line))
    return 0 if tally.done else 1


@dataclass
class _Tally:
    """How far a run is."""

    total: int
    done: int
    bad: list[Failed] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.done} of {count(self.total)} done"


def _carry_out(planned: Plan, tally: _Tally) -> None:
    """Do what is to be done; without --keep-going, up to the first bad photo."""
    from hedgerow.pipeline import Failed, segment_photos

    quiet = planned.config.quiet
    with closing(segment_photos(planned)) as outcomes:
        for outcome in watched(outcomes, tally.total, tally.done, quiet=quiet or tally.total == 1):
            if isinstance(outcome, Failed):
                tally.bad.append(outcome)
                if not planned.config.keep_going:
                    return
                continue
            tally.done += 1
            if not quiet and (tally.total == 1 or not sys.stderr.isatty()):  # else there is a bar
                print(one_line(f"{outcome.place}: {_told(outcome, planned.config)}"), flush=True)


def _told(done: Done, config: Segment) -> str:
    """What a photo's line says of it."""
    sought = config.find
    names = ", ".join(done.names[:LISTED]) + (f" and {len(done.names) - LISTED} more" * (len(done.names) > LISTED))
    if sought is not None and not done.regions:
        return f"nothing found of {sought}, {done.seconds:.1f} s"
    if sought is not None:
        return f"{count(done.regions, 'region')} found: {names}, {done.seconds:.1f} s"
    told = f"{count(done.regions, 'region')}, {done.depth} deep, {done.seconds:.1f} s"
    if names:
        return f"{told}; {done.named} named: {names}"
    asked = config.names is not None or config.names_file is not None
    return f"{told}; none named: try --name-threshold or --background" if asked else told


def _given_up(tally: _Tally) -> int:
    """The first bad photo ends a run."""
    failed = tally.bad[0]
    say(failed.reason + (f" ({tally}; --keep-going passes over such)" if tally.total > 1 else ""))
    sys.stderr.write(failed.details)
    return 1


def _sum_up(planned: Plan, tally: _Tally, seconds: float) -> None:
    before = tally.total - len(planned.todo)
    if tally.total == 1 and before:
        print(one_line(f"{planned.photos[0].path}: finished before; --overwrite does it again"))
    elif tally.total > 1:
        earlier = f" ({before} of them before)" if before else ""
        place = f", in {planned.results.folder}" if planned.results.folder else ""
        print(f"{tally}{earlier}{place}; {duration(seconds)}")
