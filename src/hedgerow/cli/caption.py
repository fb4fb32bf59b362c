"""hedgerow caption: what words look like, learned from photos and their captions."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.learn import Pace, stopped_run
from hedgerow.cli.telling import NAMED, duration, needing, say, watched
from hedgerow.config import CAPTIONS, Caption, UsageError


def caption(
    pairs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PAIRS...")] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="RUN")] = None,
    resume: bool = False,
    run: Annotated[Caption, arg(name="")] = CAPTIONS["laptop"],
) -> int:
    """Learn what words look like from photos and their captions.

    RUN gets log.jsonl, checkpoint.pt, report.png and captioner/; `hedgerow ship` makes files of it.

    Args:
        pairs: folders with captions.csv, captions of COCO (json), or tars of photos with their texts
        output: the folder of the run
        resume: go on with the run that is there; give the same pairs and options
    """
    if not pairs or output is None:
        raise UsageError("give captioned photos and a folder for the run: hedgerow caption PAIRS... -o RUN")
    with needing("learning"):
        from hedgerow.learn.captioning import sit_caption

    told, began = Pace(run.quiet), perf_counter()
    bad: list[str] = []
    try:
        learned = sit_caption(
            pairs,
            output,
            run,
            resume=resume,
            bad=bad.append,
            watch=partial(watched, quiet=run.quiet, name="photos"),
            shown=lambda state, numbers: told(state.step, state.steps, numbers),
        )
    except KeyboardInterrupt as stop:
        return stopped_run(stop, output)
    finally:
        told.close()
    for line in bad[:NAMED]:
        say(line)
    if not run.quiet and os.environ.get("RANK", "0") == "0":
        print(f"{learned.steps} steps, in {output}; {duration(perf_counter() - began)}")
    return 0
