"""Label Studio: one JSON list of tasks, a photo each, its regions as predictions that people correct.

A region is a brush stroke, in the run lengths of @thi.ng/rle-pack that Label Studio keeps brushes in; or, with
`outlines`, polygons in shares of the photo. Regions know their parents (`parentID`) and scores. The labelling set-up
has `<Image name="image">` and `<BrushLabels name="label">` (or `<PolygonLabels name="label">`) with the classes that
regions are called. A photo is named as `prefix` and its file, such as /data/local-files/?d=photos/.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.exchange.entries import Entry, called, maker, place, stream
from hedgerow.exchange.outlines import joined, polygons
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

WORD, SIZES = 8, (3, 4, 8, 16)  # bits of a value, and of how often it comes: the least that will do is taken
CHANNELS = 4  # a brush is a picture of red, green, blue and alpha, all 255 or all 0


def write_label_studio(
    path: str | Path, entries: Iterable[Entry], *, outlines: bool = False, tolerance: float = 0.0, prefix: str = ""
) -> int:
    """All photos in one file; returns how many regions are in it."""
    path = Path(path)
    written = 0

    def pieces() -> Iterator[str]:
        nonlocal written
        yield "["
        for number, entry in enumerate(entries):
            yield (",\n" if number else "\n") + json.dumps(_task(entry, outlines, tolerance, prefix))
            written += len(entry.forest)
        yield "\n]\n"

    write_atomically(place(path), stream(pieces()))
    return written


def brush(mask: np.ndarray) -> list[int]:
    """A mask (H, W) bool as Label Studio packs brushes: bytes, highest bit first.

    32 bits for how many values there are, 5 for the bits of a value, 4 for each of the four sizes (each less 1); then,
    run by run, a bit that says that a value comes repeatedly, 2 bits for the size, the times less 1, the value.
    """
    flat = np.concatenate([[False], mask.ravel(), [False]])
    turns = np.flatnonzero(np.diff(flat[1:-1])) + 1
    edges = np.concatenate([[0], turns, [mask.size]])
    runs = np.diff(edges) * CHANNELS
    values = np.where(mask.ravel()[edges[:-1]], 255, 0)
    bits = [f"{mask.size * CHANNELS:032b}", f"{WORD - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for run, value in zip(runs.tolist(), values.tolist(), strict=True):
        left = run
        while left:
            times = min(left, 2 ** SIZES[-1])
            size = next(number for number, room in enumerate(SIZES) if times <= 2**room)
            bits.append(f"1{size:02b}{times - 1:0{SIZES[size]}b}{value:08b}")
            left -= times
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _task(entry: Entry, outlines: bool, tolerance: float, prefix: str) -> dict[str, Any]:
    forest, told = entry.forest, maker(entry.model)
    results = [result for row in range(len(forest)) for result in _results(forest, row, outlines, tolerance)]
    mean = round(float(forest.score.mean()), 6) if len(forest) else 0.0
    prediction = {"model_version": str(told.get("name", "hedgerow")), "score": mean, "result": results}
    return {"data": {"image": prefix + entry.file}, "meta": told, "predictions": [prediction]}


def _results(forest: MaskForest, row: int, outlines: bool, tolerance: float) -> Iterator[dict[str, Any]]:
    height, width = forest.size
    above = int(forest.parent[row])
    common: dict[str, Any] = {
        "from_name": "label",
        "to_name": "image",
        "image_rotation": 0,
        "original_width": width,
        "original_height": height,
        "score": max(round(float(forest.score[row]), 6), 1e-6),
    }
    common |= {"parentID": f"region-{above}"} if above >= 0 else {}
    label = called(forest, row)
    if not outlines:
        value = {"format": "rle", "rle": brush(forest.mask(row)), "brushlabels": [label]}
        yield common | {"id": f"region-{row}", "type": "brushlabels", "value": value}
        return
    for number, piece in enumerate(polygons(forest.rles[row], forest.size, tolerance)):
        points = np.round(joined(piece.rings) * (100 / width, 100 / height), 6).tolist()
        name = f"region-{row}-{number}" if number else f"region-{row}"
        yield common | {
            "id": name,
            "type": "polygonlabels",
            "value": {"points": points, "closed": True, "polygonlabels": [label]},
        }
