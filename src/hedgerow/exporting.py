"""Forest files of a collection into the files of another tool, photo by photo.

In: forest files or folders of them, a format, a place. Out: one file of all photos, or a folder with one a photo. A
photo is held at a time, so thousands stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hedgerow.config import CallerError, Export, ExportFormat, UsageError
from hedgerow.exchange import (
    PIXELS,
    Affine,
    Cut,
    Entry,
    read_world_file,
    world_file_of,
    write_coco_instances,
    write_cvat,
    write_geojson,
    write_label_studio,
    write_labelme,
    write_panoptic,
    write_parts,
    write_svg,
    write_voc,
    write_yolo,
)
from hedgerow.forest import MaskForest
from hedgerow.formats import read_forest
from hedgerow.photos import PhotoRef
from hedgerow.pipeline import Failed
from hedgerow.results import SUFFIXES

SUFFIX = SUFFIXES["forest"]
FILES = {"coco": ".json", "parts": ".json", "labelstudio": ".json", "cvat": ".xml"}  # of all photos; others: a folder
PARTITIONS = ("panoptic", "voc")
OUTLINED = ("coco", "parts", "labelstudio", "cvat")  # which have either run lengths or polygons

Watch = Callable[[Iterable[Any], int], Iterable[Any]]  # items and how many there are -> the items, shown as they go


@dataclass(frozen=True)
class Source:
    """A forest file, and the photo's key in its collection."""

    key: str
    path: Path


@dataclass(frozen=True)
class Exporting:
    """What is to be written, of which photos, and where."""

    sources: tuple[Source, ...]
    to: ExportFormat
    place: Path
    config: Export


@dataclass
class Exported:
    """What was written, and the forests that could not be read."""

    photos: int = 0
    regions: int = 0
    bad: list[Failed] = field(default_factory=list)


def plan_export(inputs: Iterable[str | Path], to: ExportFormat, output: str | Path, config: Export) -> Exporting:
    """Checked, before any forest is read."""
    _check(to, config)
    place = Path(output)
    if to in FILES and place.suffix != FILES[to]:
        place = place / f"{to}{FILES[to]}"
    elif to not in FILES and place.is_file():
        raise UsageError(f"{to} is a folder of files, and {place} is a file: give another, -o DIR")
    return Exporting(tuple(find_forests(inputs)), to, place, config)


def export(planned: Exporting, watch: Watch = lambda items, _: items) -> Exported:
    """Write it all; `watch` shows progress."""
    done = Exported()
    entries = _entries(watch(planned.sources, len(planned.sources)), planned.config, done)
    done.regions = _writer(planned)(planned.place, entries)
    return done


def find_forests(inputs: Iterable[str | Path]) -> list[Source]:
    """The forest files named, and those of folders and of all below them, in order."""
    found: dict[str, Path] = {}
    for given in map(Path, inputs):
        place = given.expanduser()
        paths = sorted(place.rglob(f"*{SUFFIX}")) if place.is_dir() else [place]
        if not paths:
            raise CallerError(f"no forest in {place} or below it (looked for *{SUFFIX}): hedgerow segment makes them")
        for path in paths:
            below = path.relative_to(place).as_posix() if place.is_dir() else path.name
            key = below.removesuffix(SUFFIX) if below.endswith(SUFFIX) else PurePosixPath(below).stem
            if found.setdefault(key, path).resolve() != path.resolve():
                raise UsageError(f"{found[key]} and {path} are both of a photo {key}: export one after the other")
    if not found:
        raise UsageError("no forest was named: give files or folders of hedgerow segment")
    return [Source(key, path) for key, path in found.items()]


def chosen(forest: MaskForest, max_masks: int | None, min_score: float) -> MaskForest:
    """The regions that are asked for."""
    if min_score > 0:
        forest = forest.select(np.flatnonzero(forest.score >= min_score))
    return forest if max_masks is None else forest.best(max_masks)


# ---------------------------------------------------------------------- checking


def _check(to: ExportFormat, config: Export) -> None:
    if config.max_masks is not None and config.max_masks < 1:
        raise UsageError(f"--max-masks is at least 1, got {config.max_masks}")
    if not 0 <= config.min_score <= 1:
        raise UsageError(f"--min-score lies in 0 ... 1, got {config.min_score:g}")
    if not 0 <= config.tolerance < 1000:
        raise UsageError(f"--tolerance lies in 0 ... 1000 pixels, got {config.tolerance:g}")
    if config.count is not None and config.level is not None:
        raise UsageError("a partition is cut by --count or by --level, not by both")
    cut = config.count is not None or config.level is not None
    idle = [
        ("--count and --level", cut and to not in PARTITIONS, PARTITIONS),
        ("--outlines", config.outlines and to not in OUTLINED, OUTLINED),
        ("--world and --photos", (config.world or config.photos) and to != "geojson", ("geojson",)),
        ("--prefix", config.prefix and to != "labelstudio", ("labelstudio",)),
    ]
    for option, wrong, goes_with in idle:
        if wrong:
            goes = "go" if " and " in option else "goes"
            raise UsageError(f"{option} {goes} with --to {' or '.join(goes_with)}, not {to}")
    if config.tolerance and (to in PARTITIONS or (to in OUTLINED and not config.outlines)):
        raise UsageError(f"--tolerance is of outlines: {to} has none" + (" without --outlines" * (to in OUTLINED)))


def _writer(planned: Exporting) -> Callable[[Path, Iterable[Entry]], int]:
    config = planned.config
    outlined: dict[str, Any] = {"outlines": config.outlines, "tolerance": config.tolerance}
    cut = Cut(config.count or Cut.count, config.level)
    writers: dict[str, Callable[[Path, Iterable[Entry]], int]] = {
        "coco": partial(write_coco_instances, **outlined),
        "parts": partial(write_parts, **outlined),
        "labelstudio": partial(write_label_studio, **outlined, prefix=config.prefix or ""),
        "cvat": partial(write_cvat, **outlined),
        "panoptic": partial(write_panoptic, cut=cut),
        "voc": partial(write_voc, cut=cut),
        "yolo": partial(write_yolo, tolerance=config.tolerance),
        "labelme": partial(write_labelme, tolerance=config.tolerance),
        "svg": partial(write_svg, tolerance=config.tolerance),
        "geojson": partial(
            write_geojson, tolerance=config.tolerance, transform_of=transform_of(config.world, config.photos)
        ),
    }
    return writers[planned.to]


def transform_of(world: Path | None, photos: Path | None) -> Callable[[str], Affine]:
    """Which coordinates each photo has: those of a world file for all, of one beside the photo, or pixels."""
    if world is not None:
        one = read_world_file(world)
        return lambda file: one

    def beside(file: str) -> Affine:
        path = world_file_of(photos / file) if photos is not None else None
        return PIXELS if path is None else read_world_file(path)

    return beside


# ---------------------------------------------------------------------- reading


def _entries(sources: Iterable[Source], config: Export, done: Exported) -> Iterator[Entry]:
    for source in sources:
        try:
            forest, header = read_forest(source.path)
        except CallerError as error:
            if not config.keep_going:
                raise
            done.bad.append(Failed(PhotoRef(source.key, source.path), str(error)))
            continue
        folder, name = PurePosixPath(source.key).parent, PurePosixPath(header["image"]["file"]).name
        done.photos += 1
        forest = chosen(forest, config.max_masks, config.min_score)
        yield Entry((folder / name).as_posix(), forest, header["model"], source.key)
