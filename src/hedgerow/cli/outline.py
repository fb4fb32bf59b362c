"""hedgerow outline: where things end, learned from what exploring found."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.learn import Pace, stopped_run
from hedgerow.cli.telling import duration, needing, watched
from hedgerow.config import OUTLINES, Outline, UsageError


def outline(
    labels: Annotated[Positional[Path | None], arg(metavar="LABELS")] = None,
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="RUN")] = None,
    photos: Annotated[tuple[Path, ...], arg(metavar="PHOTO...")] = (),
    resume: bool = False,
    run: Annotated[Outline, arg(name="")] = OUTLINES["laptop"],
) -> int:
    """Learn where things end from labels that exploring found.

    RUN gets log.jsonl, checkpoint.pt, report.png and outliner/; `hedgerow ship` makes a file of it, and
    `--backbone texture+FILE.onnx` explores with that.

    Args:
        labels: the folder that hedgerow explore has made
        output: the folder of the run
        photos: where the photos of the labels are now, if they have moved
        resume: go on with the run that is there; give the same labels and options
    """
    if labels is None or output is None:
        raise UsageError("give the folder of labels and one for the run: hedgerow outline LABELS -o RUN")
    with needing("learning"):
        from hedgerow.learn.outlining import sit_outline

    told, began = Pace(run.quiet), perf_counter()
    try:
        learned = sit_outline(
            labels,
            output,
            run,
            photos=photos,
            resume=resume,
            watch=partial(watched, quiet=run.quiet, name="photos"),
            shown=lambda state, numbers: told(state.step, state.steps, numbers),
        )
    except KeyboardInterrupt as stop:
        return stopped_run(stop, output)
    finally:
        told.close()
    if not run.quiet and os.environ.get("RANK", "0") == "0":
        print(f"{learned.steps} steps, in {output}; {duration(perf_counter() - began)}")
    return 0
