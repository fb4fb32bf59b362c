"""hedgerow export and import: forests into the files of other tools, and masks of theirs into forests."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.telling import count, duration, name_bad, one_line, stopped, watched
from hedgerow.config import Export, ExportFormat, Import, ImportFormat, UsageError


def export(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="FOREST...")] = (),
    /,
    to: Annotated[ExportFormat | None, arg(metavar="FORMAT")] = None,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None,
    run: Annotated[Export, arg(name="")] = Export(),  # noqa: B008
) -> int:
    """Write forests as files that other tools open.

    coco, parts, labelstudio and cvat are one file, the others a folder with files for each photo.

    Args:
        inputs: files of hedgerow segment, NAME.forest.json, or folders of them
        to: coco, panoptic, parts, voc, yolo, labelme, labelstudio, cvat, geojson or svg
        output: the file, or the folder
    """
    if to is None or output is None:
        raise UsageError("what is exported needs a format and a place: --to FORMAT -o OUT")
    from hedgerow.exporting import export as carry_out
    from hedgerow.exporting import plan_export

    start, planned = perf_counter(), plan_export(inputs, to, output, run)
    try:
        done = carry_out(planned, partial(watched, quiet=run.quiet, name=to))
    except KeyboardInterrupt as stop:
        return stopped(stop, f"stopped: {planned.place} is not finished")
    if not run.quiet:
        told = f"{count(done.regions, 'region')} of {count(done.photos)} in {planned.place}"
        print(one_line(f"{told}; {duration(perf_counter() - start)}"))
    name_bad(done.bad, len(planned.sources), None)
    return 0 if done.photos else 1


def bring(
    given: Annotated[Positional[Path | None], arg(metavar="FILE_OR_FOLDER")] = None,
    /,
    kind: Annotated[ImportFormat | None, arg(name="from", metavar="FORMAT")] = None,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None,
    run: Annotated[Import, arg(name="")] = Import(),  # noqa: B008
) -> int:
    """Read masks of other tools as forests.

    OUT gets NAME.forest.json for each photo. Parents are those of the file, or follow from the masks.

    Args:
        given: the file of all photos, or the folder
        kind: coco, panoptic, voc, yolo, labelme or geojson
        output: the folder of the forests
    """
    if given is None or kind is None or output is None:
        raise UsageError("an import needs what is read, its format and a folder: FILE --from FORMAT -o OUT")
    from hedgerow.importing import import_forests

    start = perf_counter()
    try:
        done = import_forests(given, kind, output, run, lambda entries: iter(watched(entries, 0, quiet=run.quiet)))
    except KeyboardInterrupt as stop:
        return stopped(stop, "stopped: forests that are there are whole; the same command starts again")
    if not run.quiet:
        told = f"{count(done.regions, 'region')} of {count(done.photos)} in {output}"
        print(one_line(f"{told}; {duration(perf_counter() - start)}"))
    return 0 if done.photos else 1
