"""Pascal VOC: two PNGs with a palette a photo, its classes and its objects.

Layout: FOLDER/SegmentationClass/NAME.png and SegmentationObject/NAME.png, 0 where nothing is, 255 for what is left
open; FOLDER/labels.txt with the classes' names, from background on; ImageSets/Segmentation/all.txt with the photos.
Both are partitions, so a forest is cut (`partitions.py`), and a byte a pixel holds 254 objects and classes. We depart
from VOC in two things: no rim of 255 is left around objects, and a photo's name may have folders.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from hedgerow.config import CallerError
from hedgerow.exchange.entries import (
    REGION,
    SIDECAR,
    Classes,
    Entry,
    Makers,
    forest_of,
    in_folder,
    place,
    read_sidecar,
    reading,
    sidecar,
)
from hedgerow.exchange.partitions import Cut, partition
from hedgerow.forest import encode
from hedgerow.writing import write_atomically

MOST, VOID = 254, 255
KIND = "map of VOC"
CLASSES, OBJECTS, NAMES = "SegmentationClass", "SegmentationObject", "labels.txt"

log = logging.getLogger(__name__)


def write_voc(folder: str | Path, entries: Iterable[Entry], *, cut: Cut | None = None) -> int:
    """A folder of maps; returns how many objects are in them. What is more than a byte holds is left out, the least
    sure first, and told of."""
    folder = Path(folder)
    classes, makers, keys = Classes(), Makers(), list[str]()
    written = left_out = 0
    for entry in entries:
        makers.add(entry.model)
        labels, flat = partition(entry.forest, cut or Cut())
        left_out += max(0, len(flat) - MOST)
        number = np.zeros(len(flat) + 1, np.uint8)  # the last is that of -1
        number[: min(MOST, len(flat))] = np.arange(1, min(MOST, len(flat)) + 1)
        of_class = np.zeros(len(flat) + 1, np.int64)
        of_class[: min(MOST, len(flat))] = [classes.of(flat, row) for row in range(min(MOST, len(flat)))]
        if len(classes.numbers) > MOST:
            raise CallerError(f"VOC's maps hold {MOST} classes, and {entry.file} has the next: give fewer names")
        for kind, values in ((OBJECTS, number[labels]), (CLASSES, of_class[labels].astype(np.uint8))):
            write_atomically(place(folder / kind / f"{entry.key}.png"), _png(values))
        keys.append(entry.key)
        written += min(MOST, len(flat))
    if left_out:
        log.warning("%d regions are more than the %d of a photo that VOC's maps hold: left out", left_out, MOST)
    write_atomically(place(folder / NAMES), "".join(f"{name}\n" for name in ("background", *classes.names)).encode())
    listed = "".join(f"{key}\n" for key in keys).encode()
    write_atomically(place(folder / "ImageSets" / "Segmentation" / "all.txt"), listed)
    write_atomically(folder / SIDECAR, sidecar(makers))
    return written


def read_voc(folder: str | Path) -> Iterator[Entry]:
    """The forests of a folder's objects, each called as most of it is in the map of classes, if there is one."""
    folder = Path(folder)
    objects = folder / OBJECTS if (folder / OBJECTS).is_dir() else folder
    names = _names(folder)
    model = read_sidecar(folder)
    for path in in_folder(objects, "*.png", KIND):
        key = path.relative_to(objects).with_suffix("").as_posix()
        with reading(path, KIND):
            labels = _values(path)
            values = [int(value) for value in np.unique(labels) if value not in (0, VOID)]
            calls = [REGION] * len(values)
            beside = folder / CLASSES / f"{key}.png"
            if objects != folder and beside.is_file():
                classes = _values(beside)
                if classes.shape != labels.shape:
                    raise CallerError(f"{beside} is of {classes.shape}, {path} of {labels.shape} (height, width)")
                calls = [_call(classes[labels == value], names) for value in values]
            masks: list[bytes | None] = [encode(labels == value) for value in values]
            forest = forest_of(labels.shape, masks, calls, where=str(path))  # type: ignore[arg-type]
        yield Entry(f"{key}.jpg", forest, model)


def palette() -> bytes:
    """VOC's 256 colours: the bits of a number, spread over red, green and blue from the highest down."""
    number = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((number >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours.tobytes()


def _png(values: np.ndarray) -> bytes:
    memory, image = BytesIO(), Image.fromarray(values)
    image.putpalette(palette())
    image.save(memory, "PNG")
    return memory.getvalue()


def _names(folder: Path) -> list[str]:
    path = folder / NAMES
    if not path.is_file():
        return []
    with reading(path, "list of classes"):
        return path.read_text("utf-8").splitlines()


def _values(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise CallerError(f"{path} has pixels of {image.mode}, expected a palette's numbers or greys of 8 bits")
        return np.asarray(image)


def _call(values: np.ndarray, names: list[str]) -> str:
    """What an object is: the class of most of its pixels."""
    number = int(np.bincount(values[values != VOID], minlength=1).argmax())
    if not number:
        return REGION
    return names[number] if number < len(names) else f"category {number}"
