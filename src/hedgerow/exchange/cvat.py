"""CVAT for images 1.1: one XML of all photos, to be uploaded to a task that holds them.

A region is a `mask`: run lengths inside of its own box, row by row, zeros first; or, with `outlines`, polygons, the
pieces of one region in one group. Its score, its id and that of its parent come as attributes. CVAT takes those that
the task's labels have; `meta` lists both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from hedgerow import rle
from hedgerow.exchange.entries import Classes, Entry, Makers, called, place, stream
from hedgerow.exchange.outlines import joined, polygons
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

ATTRIBUTES = {"score": "number", "id": "number", "parent": "text"}


def write_cvat(path: str | Path, entries: Iterable[Entry], *, outlines: bool = False, tolerance: float = 0.0) -> int:
    """All photos' regions in one file; returns how many."""
    path = Path(path)
    classes, makers = Classes(), Makers()
    written = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as waiting:  # labels stand before the photos that have them
        for number, entry in enumerate(entries):
            makers.add(entry.model)
            waiting.writelines(_image(number, entry, classes, outlines, tolerance))
            written += len(entry.forest)
        waiting.seek(0)
        write_atomically(place(path), stream(chain(_head(classes, makers), _parts(waiting), ["</annotations>\n"])))
    return written


def _head(classes: Classes, makers: Makers) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>\n'
    told = "; ".join(f"{model.get('name', '')}, supervision {model.get('supervision', '')}" for model in makers.found)
    yield f"<source>{escape(_legal(told or 'Hedgerow'))}</source>\n<task><labels>\n"
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>{kind}</input_type>"
        f"<default_value></default_value><values>{'0;1000000;1' if kind == 'number' else ''}</values></attribute>"
        for name, kind in ATTRIBUTES.items()
    )
    for name in classes.names:
        yield f"<label><name>{escape(_legal(name))}</name><attributes>{attributes}</attributes></label>\n"
    yield "</labels></task>\n</meta>\n"


def _parts(file: IO[str]) -> Iterator[str]:
    while part := file.read(2**20):
        yield part


def _image(number: int, entry: Entry, classes: Classes, outlines: bool, tolerance: float) -> Iterator[str]:
    forest = entry.forest
    height, width = forest.size
    yield f'<image id="{number}" name={quoteattr(_legal(entry.file))} width="{width}" height="{height}">\n'
    for row in range(len(forest)):
        classes.of(forest, row)
        above = int(forest.parent[row])
        told = {"score": f"{forest.score[row]:.6g}", "id": str(row), "parent": str(above) if above >= 0 else ""}
        inside = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in told.items())
        start = f'label={quoteattr(_legal(called(forest, row)))} source="auto" occluded="0"'
        for kind, shape in _shapes(forest, row, outlines, tolerance):
            yield f'<{kind} {start} {shape} z_order="{forest.depth[row]}">{inside}</{kind}>\n'
    yield "</image>\n"


def _shapes(forest: MaskForest, row: int, outlines: bool, tolerance: float) -> Iterator[tuple[str, str]]:
    if not outlines:
        x, y, width, height = forest.boxes[row].astype(int)
        window = rle.band(rle.lengths(forest.rles[row]), forest.size[0], x, x + width)[y : y + height]
        turns = np.flatnonzero(np.diff(window.ravel(), prepend=False))
        runs = ", ".join(map(str, np.diff(turns, prepend=0, append=window.size).tolist()))
        yield "mask", f'rle="{runs}" left="{x}" top="{y}" width="{width}" height="{height}"'
        return
    pieces = polygons(forest.rles[row], forest.size, tolerance)
    group = f' group_id="{row + 1}"' if len(pieces) > 1 else ""
    for piece in pieces:
        points = ";".join(f"{px:.2f},{py:.2f}" for px, py in joined(piece.rings))
        yield "polygon", f'points="{points}"{group}'


def _legal(text: str) -> str:
    """XML knows no way to write most control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
