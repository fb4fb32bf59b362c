"""hedgerow contrast: what pixels mean, learned from masks of objects that nobody drew."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.learn import Pace, stopped_run
from hedgerow.cli.telling import duration, needing, watched
from hedgerow.config import CONTRASTS, Contrast, UsageError


def contrast(
    photos: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")] = (),
    /,
    prior: Annotated[Path | None, arg(metavar="PRIOR")] = None,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="RUN")] = None,
    resume: bool = False,
    run: Annotated[Contrast, arg(name="")] = CONTRASTS["laptop"],
) -> int:
    """Learn what pixels mean by contrasting masks of objects.

    RUN gets log.jsonl, checkpoint.pt, report.png and contraster/; `hedgerow ship` makes a backbone file of it.

    Args:
        photos: photos, folders, globs, or tars of photos (default: those that PRIOR was made of)
        prior: a folder that hedgerow prior has made, or hedgerow explore: then whole forests are contrasted
        output: the folder of the run
        resume: go on with the run that is there; give the same photos and options
    """
    if prior is None or output is None:
        raise UsageError("give masks and a folder for the run: hedgerow contrast PHOTO... --prior PRIOR -o RUN")
    with needing("learning"):
        from hedgerow.learn.contrasting import sit_contrast

    told, began = Pace(run.quiet), perf_counter()
    try:
        learned = sit_contrast(
            photos,
            prior,
            output,
            run,
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
