"""hedgerow explore: a photo collection into labels that a network learns from."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.telling import count, duration, name_bad, needing, say, stopped, watched
from hedgerow.config import Labelling, UsageError


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
    from hedgerow.labelling import Failed, draw_sheet, label_photos, plan_labels

    start, planned = perf_counter(), plan_labels(inputs, output, run)
    total, before = len(planned.photos), len(planned.photos) - sum(len(planned.shard(n)) for n in planned.todo)
    done, regions, bad = before, 0, []
    try:
        with closing(label_photos(planned)) as labels:
            for label in watched(labels, total, before, quiet=run.quiet):
                if isinstance(label, Failed):
                    bad.append(label)
                    if not run.keep_going:
                        say(f"{label.reason} ({done} of {count(total)} done; --keep-going notes such and goes on)")
                        sys.stderr.write(label.details)
                        return 1
                    continue
                done += 1
                regions += len(label.forest) if label.forest is not None else 0
    except KeyboardInterrupt as stop:
        return stopped(stop, f"stopped: {done} of {count(total)} done; the same command goes on from its last shard")
    sheet = draw_sheet(planned)
    if not run.quiet:
        earlier = f" ({before} of them before)" if before else ""
        mean = f", {regions / (done - before):.0f} regions each" if done > before else ""
        print(f"{done} of {count(total)} labelled{earlier}{mean}, in {output}; {duration(perf_counter() - start)}")
        print(f"some of them: {sheet}")
    name_bad(bad, total, None)
    return 0 if done else 1
