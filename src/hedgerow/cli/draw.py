"""hedgerow draw: pictures of photos and their forests."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.telling import count, duration, name_bad, one_line, say, stopped, watched
from hedgerow.config import Draw, UsageError


def draw(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="FOREST_OR_PHOTO...")] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None,
    run: Annotated[Draw, arg(name="")] = Draw(),  # noqa: B008
) -> int:
    """Draw photos and their forests.

    OUT gets NAME.KIND.png for each photo, or sheet.png of all; one picture alone may go to a file, OUT.png.

    overlay: its regions in colours. outlines: lines around those that do not compete.

    tree: wholes, their parts, and parts of those. levels: partitions, coarse to fine.

    features: what a backbone sees. refined: masks of patches, and as they come to the photo's edges.

    sheet: overlays of many photos.

    Args:
        inputs: files of hedgerow segment, NAME.forest.json, or folders of them; photos, which are explored if no forest
            lies beside them
        output: the folder of the pictures, or the file of the only one
    """
    if output is None:
        raise UsageError("pictures need a place: -o OUT")
    from hedgerow.picturing import Failed, draw_pictures, plan_pictures

    start, planned = perf_counter(), plan_pictures(inputs, output, run)
    total, done, bad = len(planned.subjects), 0, list[Failed]()
    try:
        with closing(draw_pictures(planned)) as outcomes:
            for outcome in watched(outcomes, total, quiet=run.quiet):
                if isinstance(outcome, Failed):
                    bad.append(outcome)
                    if not run.keep_going:
                        say(outcome.reason + f" ({done} of {count(total)} done; --keep-going passes over such)")
                        sys.stderr.write(outcome.details)
                        return 1
                    continue
                done += 1
    except KeyboardInterrupt as stop:
        return stopped(stop, f"stopped: {done} of {count(total)} done; pictures that are there are whole")
    if not run.quiet:
        print(one_line(f"{done} of {count(total)} drawn, in {output}; {duration(perf_counter() - start)}"))
    name_bad(bad, total, None)
    return 0 if done else 1
