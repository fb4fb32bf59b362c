"""COCO panoptic: a PNG a photo whose colours are ids, R + 256 G + 65536 B, 0 for nothing, and one JSON that explains.

A panoptic map is a partition, so a forest is cut (`partitions.py`); what is part of what is lost. Every category counts
as a thing: nobody told us which are stuff. Layout: FOLDER/panoptic.json, FOLDER/panoptic/NAME.png.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.config import CallerError
from hedgerow.exchange.entries import (
    SIDECAR,
    Classes,
    Entry,
    Makers,
    file_told,
    forest_of,
    made_by,
    place,
    read_json,
    reading,
    size_told,
    stream,
)
from hedgerow.exchange.partitions import Cut, partition
from hedgerow.forest import encode
from hedgerow.palette import category_colours
from hedgerow.writing import write_atomically

KIND = "COCO panoptic file"
NAME = "panoptic"


def write_panoptic(folder: str | Path, entries: Iterable[Entry], *, cut: Cut | None = None) -> int:
    """A folder of maps and their JSON; returns how many segments there are."""
    folder = Path(folder)
    classes, makers, images = Classes(), Makers(), list[dict[str, Any]]()
    written = 0

    def pieces() -> Iterator[str]:
        nonlocal written
        yield '{"annotations": ['
        for number, entry in enumerate(entries, start=1):
            labels, flat = partition(entry.forest, cut or Cut())
            makers.add(entry.model)
            height, width = flat.size
            images.append({"id": number, "file_name": entry.file, "height": height, "width": width})
            write_atomically(place(folder / NAME / f"{entry.key}.png"), _png(labels + 1))
            segments = [
                {
                    "id": row + 1,
                    "category_id": classes.of(flat, row),
                    "area": int(flat.areas[row]),
                    "bbox": [int(side) for side in flat.boxes[row]],
                    "iscrowd": 0,
                    "score": max(round(float(flat.score[row]), 6), 1e-6),
                }
                for row in range(len(flat))
            ]
            written += len(segments)
            told = {"image_id": number, "file_name": f"{entry.key}.png", "segments_info": segments}
            yield (",\n" if number > 1 else "\n") + json.dumps(told)
        colours = category_colours(len(classes.numbers)).tolist()
        categories = [
            {"id": number, "name": call, "supercategory": call, "isthing": 1, "color": colour}
            for (call, number), colour in zip(classes.numbers.items(), colours, strict=True)
        ]
        info = {"description": "regions of photos, by Hedgerow", "models": makers.found}
        yield f'\n],\n"images": {json.dumps(images)},\n"categories": {json.dumps(categories)},\n'
        yield f'"info": {json.dumps(info)}}}\n'

    write_atomically(place(folder / f"{NAME}.json"), stream(pieces()))
    return written


def read_panoptic(path: str | Path) -> Iterator[Entry]:
    """The forests of a panoptic JSON, or of a folder that holds one; the PNGs lie in a folder of the JSON's name."""
    path = Path(path)
    if path.is_dir():
        found = sorted(file for file in path.glob("*.json") if file.name != SIDECAR)
        if len(found) != 1:
            raise CallerError(f"{path} holds {len(found)} JSON files, expected one: name it")
        path = found[0]
    with reading(path, KIND):
        document = read_json(path)
        categories = {row["id"]: str(row["name"]) for row in document["categories"]}
        model = made_by(document.get("info", {}).get("models"))
        images = {image["id"]: image for image in document["images"]}
        annotations = list(document["annotations"])
    for annotation in annotations:
        with reading(path, KIND):
            image = images[annotation["image_id"]]
            size = size_told(image["height"], image["width"])
            labels = _ids(path.with_suffix("") / file_told(annotation["file_name"]), size)
            segments = annotation["segments_info"]
            masks = [encode(found) if (found := labels == segment["id"]).any() else None for segment in segments]
            calls = [categories[segment["category_id"]] for segment in segments]
            score = [segment.get("score", 1.0) for segment in segments]
            forest = forest_of(size, masks, calls, score=score, where=str(path))
            entry = Entry(file_told(image["file_name"]), forest, model)
        yield entry


def _png(ids: np.ndarray) -> bytes:
    colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], 2).astype(np.uint8)
    memory = BytesIO()
    Image.fromarray(colours).save(memory, "PNG")
    return memory.getvalue()


def _ids(path: Path, size: tuple[int, int]) -> np.ndarray:
    with reading(path, "PNG"), Image.open(path) as image:
        if image.size != size[::-1]:
            raise CallerError(f"{path} is of size {image.size}, its photo of {size[::-1]} (width, height)")
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.int64), 2, 0)
    return red + 256 * green + 65536 * blue
