"""COCO instances, and objects with their parts as PACO and PartImageNet lay them out: one JSON file a collection.

`annotations` have, beside COCO's keys, `parent_id` (null for what is part of nothing) and `score`. Masks are run
lengths, which COCO's tools read as they are and which hold holes; or polygons, whose holes are joined to their outlines
by bridges without width, since COCO's have none.

Parts: an object is an annotation of the category "cat", a part of it one of "cat:ear", and `obj_ann_id` is the id of
its object, its own for an object (PACO, Ramanathan et al. 2023). Objects are the outermost regions that have a name; in
a forest without names all roots.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from hedgerow import rle
from hedgerow.config import CallerError
from hedgerow.exchange.entries import (
    REGION,
    Classes,
    Entry,
    Makers,
    called,
    file_told,
    forest_of,
    made_by,
    place,
    read_json,
    reading,
    rows_of,
    size_told,
    stream,
)
from hedgerow.exchange.outlines import joined, polygons
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

FAR = 1e6  # pixels; a polygon's corner beyond is a damaged number, and pycocotools would walk all the way to it
KIND = "COCO instances file"

log = logging.getLogger(__name__)


def write_coco_instances(
    path: str | Path, entries: Iterable[Entry], *, outlines: bool = False, tolerance: float = 0.0
) -> int:
    """All photos' regions in one file; returns how many. With `outlines` as polygons, simplified within `tolerance`."""
    path = Path(path)
    return _write(path, entries, _calls, outlines, tolerance)


def write_parts(path: str | Path, entries: Iterable[Entry], *, outlines: bool = False, tolerance: float = 0.0) -> int:
    """All photos' objects and their parts in one file; returns how many annotations."""
    path = Path(path)
    return _write(path, entries, _parts, outlines, tolerance)


def read_coco_instances(path: str | Path) -> Iterator[Entry]:
    """The forests of a file, photo by photo. Crowds are left out, and told of: they are no regions of their own."""
    path = Path(path)
    with reading(path, KIND):
        document = read_json(path)
        categories = {row["id"]: str(row["name"]) for row in document["categories"]}
        model = made_by(document.get("info", {}).get("models"))
        of_image = defaultdict(list)
        crowds = 0
        for annotation in document["annotations"]:
            crowds += bool(annotation.get("iscrowd", 0))
            if not annotation.get("iscrowd", 0):
                of_image[annotation["image_id"]].append(annotation)
        images = list(document["images"])
    if crowds:
        log.warning("%s: %d crowds are no regions: left out", path, crowds)
    for image in images:
        with reading(path, KIND):
            size = size_told(image["height"], image["width"])
            forest = _forest(of_image.get(image["id"], []), categories, size, str(path))
            entry = Entry(file_told(image["file_name"]), forest, model)
        yield entry


# ---------------------------------------------------------------------- writing


Told = tuple[int, str, int | None]  # a region's row, what it is called, the row of its object if it tells parts


def _calls(forest: MaskForest) -> list[Told]:
    return [(row, called(forest, row), None) for row in range(len(forest))]


def _parts(forest: MaskForest) -> list[Told]:
    named = forest.name is not None and any(forest.name)
    told: list[Told] = []
    of: dict[int, int] = {}
    for row in range(len(forest)):  # parents come first
        above = int(forest.parent[row])
        call = called(forest, row)
        if above in of:
            of[row] = of[above]
            told.append((row, f"{called(forest, of[row])}:{'part' if call == REGION else call}", of[row]))
        elif forest.name[row] if named and forest.name is not None else above < 0:
            of[row] = row
            told.append((row, call, row))
    return told


def _write(path: Path, entries: Iterable[Entry], tell: Any, outlines: bool, tolerance: float) -> int:
    """One pass over the photos: annotations as they come, and behind them what only all of them tell."""
    classes, makers, images = Classes(), Makers(), list[dict[str, Any]]()
    written = left_out = 0

    def pieces() -> Iterator[str]:
        nonlocal written, left_out
        yield '{"annotations": ['
        for number, entry in enumerate(entries, start=1):
            height, width = entry.forest.size
            images.append({"id": number, "file_name": entry.file, "height": height, "width": width})
            makers.add(entry.model)
            told = tell(entry.forest)
            left_out += len(entry.forest) - len(told)
            ids = {row: written + place_ for place_, (row, _, _) in enumerate(told, start=1)}
            for row, call, whole in told:
                annotation = _annotation(entry.forest, row, ids, outlines, tolerance)
                annotation |= {"image_id": number, "category_id": classes[call]}
                if whole is not None:
                    annotation["obj_ann_id"] = ids[whole]
                yield (",\n" if written else "\n") + json.dumps(annotation)
                written += 1
        info = {"description": "regions of photos, by Hedgerow", "models": makers.found}
        yield f'\n],\n"images": [{_lines(images)}],\n"categories": [{_lines(_categories(classes))}],\n'
        yield f'"info": {json.dumps(info)},\n"licenses": []}}\n'

    write_atomically(place(path), stream(pieces()))
    if left_out:
        log.warning("regions that lie in nothing that has a name are left out of parts: %d", left_out)
    return written


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(chain("\n", ",\n".join(map(json.dumps, rows)), "\n"))


def _categories(classes: Classes) -> list[dict[str, Any]]:
    return [
        {"id": number, "name": call, "supercategory": "PART" if ":" in call else "OBJECT"}
        for call, number in classes.numbers.items()
    ]


def _annotation(forest: MaskForest, row: int, ids: dict[int, int], outlines: bool, tolerance: float) -> dict[str, Any]:
    above = int(forest.parent[row])
    while above >= 0 and above not in ids:
        above = int(forest.parent[above])
    counts = forest.rles[row]
    shape: Any = {"size": list(forest.size), "counts": counts.decode("ascii")}
    if outlines:
        shape = [_flat(joined(piece.rings)) for piece in polygons(counts, forest.size, tolerance)]
    annotation = {
        "id": ids[row],
        "parent_id": ids[above] if above >= 0 else None,
        "iscrowd": 0,
        "area": int(forest.areas[row]),
        "bbox": [float(side) for side in forest.boxes[row]],
        "score": max(round(float(forest.score[row]), 6), 1e-6),
        "segmentation": shape,
    }
    if forest.name_score is not None and forest.name is not None and forest.name[row]:
        annotation["name_score"] = round(float(forest.name_score[row]), 6)
    return annotation


def _flat(ring: np.ndarray) -> list[float]:
    return [int(value) if value == int(value) else round(float(value), 3) for value in ring.ravel().tolist()]


# ---------------------------------------------------------------------- reading


def _forest(
    annotations: list[dict[str, Any]], categories: dict[Any, str], size: tuple[int, int], where: str
) -> MaskForest:
    strange = [row["category_id"] for row in annotations if row["category_id"] not in categories]
    if strange:
        raise CallerError(f"{where}: the category {strange[0]!r} is not listed")
    masks = [_mask(annotation["segmentation"], size) for annotation in annotations]
    above = None
    if any("parent_id" in annotation for annotation in annotations):
        ids = [annotation["id"] for annotation in annotations]
        above = rows_of(ids, [annotation.get("parent_id") for annotation in annotations], where)
    score = [annotation.get("score", 1.0) for annotation in annotations]
    # "cat:ear" is called an ear: what it is a part of, its parent says
    calls = [categories[annotation["category_id"]] for annotation in annotations]
    if any("obj_ann_id" in annotation for annotation in annotations):
        calls = [REGION if call.endswith(":part") else call.rpartition(":")[2] for call in calls]
    return forest_of(size, masks, calls, parent=above, score=score, where=where)


def _mask(shape: Any, size: tuple[int, int]) -> bytes | None:
    """As pycocotools' annToRLE has it, proved sound."""
    if isinstance(shape, list):
        drawable = [polygon for polygon in shape if len(polygon) >= 6]
        for polygon in drawable:
            if not np.all(np.abs(np.asarray(polygon, float)) < FAR):
                raise CallerError(f"a corner of a polygon is no number below {FAR:.0f}")
        counts = coco.merge(coco.frPyObjects(drawable, *size))["counts"] if drawable else b""
    else:
        if list(shape["size"]) != list(size):
            raise CallerError(f"a mask is of {list(shape['size'])}, its photo of {list(size)} (height, width)")
        counts = shape["counts"]
        counts = rle.compressed(counts, size) if isinstance(counts, list) else rle.sound(counts.encode(), size)
    return counts if counts and coco.area({"size": list(size), "counts": counts}) else None
