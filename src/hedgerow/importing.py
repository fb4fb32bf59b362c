"""Masks of other tools into forest files.

In: a file or a folder of another tool's, and where its photos lie. Out: NAME.forest.json for each of them. Who is part
of whom is what the file says, or what the masks say. What is known of who made the masks is recorded; forest files
cannot say that people drew them (`supervision` is what people gave a model), so it stands under `imported`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from hedgerow.config import CallerError, Import, ImportFormat, UsageError
from hedgerow.exchange import (
    Entry,
    read_coco_instances,
    read_geojson,
    read_labelme,
    read_panoptic,
    read_voc,
    read_yolo,
)
from hedgerow.exporting import transform_of
from hedgerow.formats import SUPERVISION, write_forest
from hedgerow.photos import PhotoRef, find_photos
from hedgerow.results import SUFFIXES, make_folder

ORIENTATION, SIDEWAYS = 0x0112, range(5, 9)  # the EXIF tag, and its values that exchange width and height
FOLDERS = ("voc", "yolo")


@dataclass
class Imported:
    photos: int = 0
    regions: int = 0


def import_forests(
    given: Path,
    kind: ImportFormat,
    output: Path,
    config: Import,
    watch: Callable[[Iterator[Entry]], Iterator[Entry]] = lambda entries: entries,
) -> Imported:
    """Write a forest file for each photo that the file or folder has; `watch` shows progress."""
    if not given.exists():
        raise CallerError(f"{given}: there is no such file or folder: check the path")
    if kind in FOLDERS and not given.is_dir():
        raise UsageError(f"{kind} is a folder of files, and {given} is a file: give the folder")
    if kind == "coco" and given.is_dir():
        raise UsageError(f"coco is a file, and {given} is a folder: give instances.json or what it is called there")
    if config.world is not None and kind != "geojson":
        raise UsageError(f"--world goes with --from geojson, not {kind}")
    if kind == "yolo" and config.photos is None:
        raise UsageError("files of YOLO's do not say how large their photos are: give those, --photos DIR")
    photos = None if config.photos is None else _Photos(config.photos)
    done = Imported()
    for entry in watch(_entries(given, kind, photos, config)):
        file = entry.file if photos is None else photos.checked(entry)
        path = output / f"{entry.key}{SUFFIXES['forest']}"
        make_folder(path.parent)
        write_forest(path, entry.forest, PurePosixPath(file).name, _model(entry, given, kind, config))
        done.photos += 1
        done.regions += len(entry.forest)
    return done


@dataclass
class _Photos:
    """The photos of a folder, by key and by name."""

    folder: Path

    @cached_property
    def by_key(self) -> dict[str, PhotoRef]:
        return {photo.key: photo for photo in find_photos([self.folder])}

    def find(self, key: str, file: str | None = None) -> PhotoRef:
        """By its key; where the photos' folders are others than the file's, by its name, if only one has it."""
        if key in self.by_key:
            return self.by_key[key]
        name, stem = PurePosixPath(file or "").name, PurePosixPath(key).name
        alike = [photo for photo in self.by_key.values() if photo.name == name or PurePosixPath(photo.key).name == stem]
        if len(alike) != 1:
            raise CallerError(f"{len(alike)} photos in {self.folder} are called {file or key}, expected one")
        return alike[0]

    def sized(self, key: str) -> tuple[str, tuple[int, int]]:
        photo = self.find(key)
        return (PurePosixPath(key).parent / photo.name).as_posix(), _size_of(photo.path)

    def checked(self, entry: Entry) -> str:
        """The file of an entry's photo, which is as large as its masks are."""
        photo = self.find(entry.key, entry.file)
        if (size := _size_of(photo.path)) != entry.forest.size:
            raise CallerError(f"{photo.path} is of size {size}, its masks are of {entry.forest.size} (height, width)")
        return photo.name


def _entries(given: Path, kind: ImportFormat, photos: _Photos | None, config: Import) -> Iterator[Entry]:
    if kind == "coco":
        return read_coco_instances(given)
    if kind == "panoptic":
        return read_panoptic(given)
    if kind == "voc":
        return read_voc(given)
    if kind == "labelme":
        return read_labelme(given)
    if kind == "geojson":
        return read_geojson(given, photos.sized if photos else None, transform_of(config.world, config.photos))
    assert photos is not None
    return read_yolo(given, photos.sized)


def _model(entry: Entry, given: Path, kind: str, config: Import) -> dict[str, Any]:
    """What made the masks, where a file of ours says it; else that nobody did."""
    told = dict(entry.model)
    known = {"name", "weights_sha256"} <= set(told) and told.get("supervision") in SUPERVISION
    model = told if known else {"name": "imported", "supervision": "none", "weights_sha256": None}
    made_by = told["name"] if known else config.made_by
    return model | {"imported": {"from": kind, "file": given.name, "made_by": made_by}}


def _size_of(path: Path) -> tuple[int, int]:
    """(H, W) of a photo, upright, from its head alone."""
    try:
        with Image.open(path) as image:
            sideways = image.getexif().get(ORIENTATION) in SIDEWAYS
            return image.size if sideways else image.size[::-1]
    except Exception as error:  # Pillow meets damaged files with several types
        raise CallerError(f"{path} cannot be opened ({' '.join(str(error).split())}): is it a photo?") from None
