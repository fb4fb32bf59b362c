"""LabelMe: a JSON file a photo, a polygon a connected piece of a region.

Pieces of one region share a `group_id`; holes are joined to their outline by bridges without width. Beside LabelMe's
keys, which it keeps when it writes the file again, a shape has `parent_id` (the group of what it is part of) and
`score`. The photo is not in the file: LabelMe looks for `imagePath` beside it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as coco

from hedgerow.exchange.entries import (
    Entry,
    called,
    file_told,
    forest_of,
    in_folder,
    made_by,
    maker,
    place,
    read_json,
    reading,
    rows_of,
    size_told,
)
from hedgerow.exchange.outlines import joined, painted, polygons
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

KIND = "LabelMe file"
VERSION = "5.5.0"  # whose layout this is

log = logging.getLogger(__name__)


def write_labelme(folder: str | Path, entries: Iterable[Entry], *, tolerance: float = 0.0) -> int:
    """A folder of files, NAME.json each; returns how many regions are in them."""
    folder = Path(folder)
    written = 0
    for entry in entries:
        height, width = entry.forest.size
        document: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": _shapes(entry.forest, tolerance),
            "imagePath": PurePosixPath(entry.file).name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
            "models": [maker(entry.model)] if entry.model else [],
        }
        write_atomically(place(folder / f"{entry.key}.json"), (json.dumps(document) + "\n").encode())
        written += len(entry.forest)
    return written


def read_labelme(path: str | Path) -> Iterator[Entry]:
    """The forests of a file, or of a folder of them. Shapes that are no polygons are left out, and told of."""
    path = Path(path)
    for file in in_folder(path, "*.json", KIND) if path.is_dir() else [path]:
        below = file.relative_to(path).parent if path.is_dir() else Path()
        with reading(file, KIND):
            document = read_json(file)
            size = size_told(document["imageHeight"], document["imageWidth"])
            forest = _forest(document["shapes"], size, str(file))
            photo = (below / PurePosixPath(str(document["imagePath"]).replace("\\", "/")).name).as_posix()
            entry = Entry(file_told(photo), forest, made_by(document.get("models")))
        yield entry


def _shapes(forest: MaskForest, tolerance: float) -> list[dict[str, Any]]:
    return [
        {
            "label": called(forest, row),
            "points": [[float(x), float(y)] for x, y in joined(piece.rings)],
            "group_id": row,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "parent_id": int(forest.parent[row]) if forest.parent[row] >= 0 else None,
            "score": max(round(float(forest.score[row]), 6), 1e-6),
        }
        for row in range(len(forest))
        for piece in polygons(forest.rles[row], forest.size, tolerance)
    ]


def _forest(shapes: list[dict[str, Any]], size: tuple[int, int], where: str) -> MaskForest:
    """Shapes of one group are one region; one without a group is a region of its own."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for number, shape in enumerate(shapes):
        if shape.get("shape_type", "polygon") == "polygon":
            group = shape.get("group_id")
            groups.setdefault(("alone", number) if group is None else group, []).append(shape)
    others = len(shapes) - sum(map(len, groups.values()))
    if others:
        log.warning("%s: %d shapes are no polygons: left out", where, others)
    first = [pieces[0] for pieces in groups.values()]
    masks = [_together([painted([_ring(piece)], size) for piece in pieces], size) for pieces in groups.values()]
    above = None
    if any("parent_id" in shape for shape in first):
        above = rows_of(list(groups), [shape.get("parent_id") for shape in first], where)
    score = [float(shape.get("score", 1.0)) for shape in first]
    return forest_of(size, masks, [str(shape["label"]) for shape in first], parent=above, score=score, where=where)


def _together(masks: list[bytes | None], size: tuple[int, int]) -> bytes | None:
    found = [{"size": list(size), "counts": counts} for counts in masks if counts]
    return coco.merge(found)["counts"] if found else None


def _ring(shape: dict[str, Any]) -> np.ndarray:
    return np.array(shape["points"], np.float64).reshape(-1, 2)
