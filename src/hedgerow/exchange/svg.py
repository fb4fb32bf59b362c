"""SVG outlines: a drawing a photo, a path a region, parts in the groups of their wholes.

In: a forest. Out: a file that every browser and drawing program opens, as large as the photo, which it shows below the
outlines where it lies beside (`photo`). A path has its row as id, its name as title, and a colour that hangs on its
mask and those it is part of (`hedgerow.palette`), so that it is the same in every picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from hedgerow.exchange.entries import REGION, Entry, called, place, stream
from hedgerow.exchange.outlines import polygons
from hedgerow.forest import MaskForest
from hedgerow.palette import path_colours
from hedgerow.writing import write_atomically

LINE = 0.002  # of the photo's longer side: how wide lines are
FILLED = 0.12  # how much of a region's colour fills it


def write_svg(folder: str | Path, entries: Iterable[Entry], *, tolerance: float = 0.0, photo: bool = True) -> int:
    """A folder of drawings, NAME.svg each; returns how many regions are in them."""
    folder = Path(folder)
    written = 0
    for entry in entries:
        beside = PurePosixPath(entry.file).name if photo else None
        write_atomically(place(folder / f"{entry.key}.svg"), stream(svg(entry.forest, beside, tolerance)))
        written += len(entry.forest)
    return written


def svg(forest: MaskForest, photo: str | None = None, tolerance: float = 0.0) -> Iterator[str]:
    """A drawing in pieces of text; `photo` is the name of the file below it."""
    height, width = forest.size
    line = max(LINE * max(height, width), 0.5)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
    if photo is not None:
        yield f'<image href={quoteattr(quote(photo))} width="{width}" height="{height}"/>\n'
    yield f'<g fill-opacity="{FILLED}" fill-rule="evenodd" stroke-width="{line:.3g}" stroke-linejoin="round">\n'
    colours = path_colours(forest.rles, forest.parent)
    waiting = [int(row) for row in forest.roots[::-1]]
    while waiting:
        row = waiting.pop()
        if row < 0:
            yield "</g>\n"
            continue
        colour = "#" + bytes(colours[row]).hex()
        title = called(forest, row)
        told = "" if title == REGION else f"{escape(_legal(title))}, "
        yield f'<g id="region-{row}"><title>{told}score {forest.score[row]:.2f}</title>'
        yield f'<path fill="{colour}" stroke="{colour}" d="{_path(forest, row, tolerance)}"/>\n'
        waiting += [-1, *(int(part) for part in forest.children(row)[::-1])]
    yield "</g>\n</svg>\n"


def _path(forest: MaskForest, row: int, tolerance: float) -> str:
    rings = [ring for piece in polygons(forest.rles[row], forest.size, tolerance) for ring in piece.rings]
    return "".join(_steps(ring) for ring in rings)


def _steps(ring: np.ndarray) -> str:
    """Sides of pixels go right or left, up or down: a letter and a number each."""
    (x, y), steps = ring[0], np.diff(ring, axis=0)
    told = [f"M{x:g} {y:g}"]
    for dx, dy in steps.tolist():
        told.append(f"h{dx:g}" if dy == 0 else f"v{dy:g}" if dx == 0 else f"l{dx:g} {dy:g}")
    return "".join([*told, "z"])


def _legal(text: str) -> str:
    """XML knows no way to write most control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
