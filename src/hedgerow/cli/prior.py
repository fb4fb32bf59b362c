"""hedgerow prior: the objects that stand out in photos, found without labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.filling import filling
from hedgerow.cli.telling import count, duration, name_bad, needing, stopped, watched
from hedgerow.config import Propose, UsageError

if TYPE_CHECKING:
    from hedgerow.cli.filling import Filled


def prior(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="PRIOR")] = None,
    labels: Annotated[Path | None, arg(name="from", metavar="LABELS")] = None,
    run: Annotated[Propose, arg(name="")] = Propose(),  # noqa: B008
) -> int:
    """Find the objects that stand out in photos, without labels.

    PRIOR gets what hedgerow explore writes, too: Parquet shards, labels.json and sheet.png. Look at the sheet.

    A run that was stopped goes on where it was when the same command is given again.

    Args:
        inputs: photos, folders, globs, or tars of photos
        output: the folder of the prior
        labels: forests of these photos from hedgerow explore (default: photos are explored now)
    """
    if output is None:
        raise UsageError("a prior needs a folder: -o PRIOR")
    with needing("a prior"):
        import pyarrow  # noqa: F401
    from hedgerow.draw import outlined
    from hedgerow.labelling import draw_sheet
    from hedgerow.proposing import plan_prior, write_masks

    start, planned = perf_counter(), plan_prior(inputs, output, run, labels)
    filled = filling(planned)
    if isinstance(filled, int):
        return filled
    sheet = draw_sheet(planned, outlined)
    pictures = 0
    if run.png:
        try:
            pictures = write_masks(planned.store, partial(watched, quiet=run.quiet, name="masks"))
        except KeyboardInterrupt as stop:
            return stopped(stop, "stopped: all objects are found; the same command writes the masks")
    if not run.quiet:
        print(f"{_told(filled)}, in {output}; {duration(perf_counter() - start)}")
        print(f"some of them: {sheet}" + (f"; {count(pictures, 'mask')} in {output / 'masks'}" if run.png else ""))
    name_bad(filled.bad, filled.total, None)
    return 0 if filled.done else 1


def _told(filled: Filled) -> str:
    if not filled.fresh:
        return filled.told("looked at")
    mean = f"{filled.regions / filled.fresh:.1f} objects each"
    return f"{filled.told('looked at')}, {mean}, none in {filled.bare}"
