"""hedgerow explore: a photo collection into labels that a network learns from."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.filling import filling
from hedgerow.cli.telling import duration, name_bad, needing
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
    from hedgerow.labelling import draw_sheet, plan_labels

    start, planned = perf_counter(), plan_labels(inputs, output, run)
    filled = filling(planned)
    if isinstance(filled, int):
        return filled
    sheet = draw_sheet(planned)
    if not run.quiet:
        mean = f", {filled.regions / filled.fresh:.0f} regions each" if filled.fresh else ""
        print(f"{filled.told('labelled')}{mean}, in {output}; {duration(perf_counter() - start)}")
        print(f"some of them: {sheet}")
    name_bad(filled.bad, filled.total, None)
    return 0 if filled.done else 1
