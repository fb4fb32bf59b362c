"""YOLO's segments: a text file a photo, a line a region, its class and then x and y of its outline's corners as shares
of the photo's width and height.

Layout: FOLDER/labels/NAME.txt, FOLDER/classes.txt (a class a line) and FOLDER/data.yaml. Classes count from 0. A line
is one outline, so pieces and holes are joined by bridges without width. Scores and parents have no place in the format;
who reads it back gets parents from the masks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from hedgerow.config import CallerError
from hedgerow.exchange.entries import (
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
from hedgerow.exchange.outlines import joined, painted, polygons
from hedgerow.writing import write_atomically

KIND = "file of YOLO's segments"
DIGITS = 7  # of a share: a hundredth of a pixel in a photo of 100,000


def write_yolo(folder: str | Path, entries: Iterable[Entry], *, tolerance: float = 0.0) -> int:
    """A folder of label files; returns how many regions are in them."""
    folder = Path(folder)
    classes, makers = Classes(first=0), Makers()
    written = 0
    for entry in entries:
        makers.add(entry.model)
        forest, sides = entry.forest, np.array(entry.forest.size[::-1], np.float64)
        lines = []
        for row in range(len(forest)):
            rings = [ring for piece in polygons(forest.rles[row], forest.size, tolerance) for ring in piece.rings]
            shares = (joined(rings) / sides).ravel().tolist()
            lines.append(" ".join([str(classes.of(forest, row)), *(f"{share:.{DIGITS}g}" for share in shares)]))
        write_atomically(place(folder / "labels" / f"{entry.key}.txt"), "".join(f"{x}\n" for x in lines).encode())
        written += len(lines)
    write_atomically(place(folder / "classes.txt"), "".join(f"{name}\n" for name in classes.names).encode())
    listed = "".join(f"  {number}: {json.dumps(name)}\n" for name, number in classes.numbers.items())
    told = f"# photos go into images/, beside labels/\npath: .\ntrain: images\nval: images\nnames:\n{listed}"
    write_atomically(folder / "data.yaml", told.encode())
    write_atomically(folder / SIDECAR, sidecar(makers))
    return written


def read_yolo(folder: str | Path, sized: Callable[[str], tuple[str, tuple[int, int]]]) -> Iterator[Entry]:
    """The forests of a folder of label files. `sized` tells of each, by its name without suffix, the photo's file and
    its (H, W): the format does not."""
    folder = Path(folder)
    labels = folder / "labels" if (folder / "labels").is_dir() else folder
    names = _names(folder)
    model = read_sidecar(folder)
    found = [path for path in in_folder(labels, "*.txt", KIND) if path.name != "classes.txt"]
    for path in found:
        file, size = sized(path.relative_to(labels).with_suffix("").as_posix())
        with reading(path, KIND):
            masks, calls = [], []
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
                words = line.split()
                if not words:
                    continue
                if len(words) < 7 or len(words) % 2 == 0:
                    raise CallerError(f"line {number} has {len(words)} numbers, expected a class and 3 corners or more")
                ring = np.array(words[1:], np.float64).reshape(-1, 2)
                if not (np.abs(ring) < 100).all():
                    raise CallerError(f"line {number}: corners are shares of the photo, got {words[1]} ...")
                calls.append(_call(int(words[0]), names))
                masks.append(painted([ring * size[::-1]], size))
            forest = forest_of(size, masks, calls, where=str(path))
        yield Entry(file, forest, model)


def _names(folder: Path) -> list[str]:
    path = folder / "classes.txt"
    if not path.is_file():
        return []
    with reading(path, "list of classes"):
        return path.read_text("utf-8").splitlines()


def _call(number: int, names: list[str]) -> str:
    if not 0 <= number < (len(names) or 10**9):
        raise CallerError(f"its class {number} is none of the {len(names)} in classes.txt")
    return names[number] if names else f"category {number}"
