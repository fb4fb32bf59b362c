"""A tree of thumbnails: the photo beside its most telling regions, their parts, and parts of those."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from hedgerow.draw.colours import path_colours
from hedgerow.draw.overlays import GROUND
from hedgerow.draw.segments import cutout
from hedgerow.draw.sheets import GAP, PAPER, TEXT, Pixels, checked, shrunk, write
from hedgerow.exchange.partitions import agrees
from hedgerow.forest import INSIDE, MaskForest

SPECK = 1 / 500  # share of the photo below which a tree shows no region that competes with others: no more than a spot
TWIG = (200, 200, 200)
THUMBS = (320, 180, 110, 88)  # pixels of the photo, its roots, their parts, parts of parts in a tree
GROWN, ALIKE = 64, 0.7  # regions from which a tree is chosen where they compete, and their IoU at most
TWIGS = (4, 8, 4)  # roots, parts of all roots together, parts of a part that a tree shows


@dataclass
class _Node:
    """A picture of the tree: the photo (row -1) or a region, its parts, and its middle on the sheet."""

    row: int
    depth: int
    parts: list[_Node] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0


def tree(pixels: Pixels, forest: MaskForest) -> np.ndarray:
    """From left to right: the photo, its most telling roots, their parts, and the parts of those; names if any."""
    pixels = checked(pixels, forest.size)
    of_path = dict(zip(forest.rles, path_colours(forest.rles, forest.parent), strict=True))
    forest = forest if agrees(forest) else at_peace(forest)
    photo = _grown(forest)
    line = TEXT + 6 if forest.name is not None else 0
    _set_out(photo, GAP, GAP, line)
    nodes = _nodes(photo)
    colours = np.array([of_path[text] for text in forest.rles]).reshape(-1, 3)
    right = max(node.x + THUMBS[node.depth] / 2 for node in nodes)
    sheet = Image.new("RGB", (round(right) + GAP, round(_height(photo, line)) + GAP), PAPER)
    _draw_twigs(sheet, nodes)
    for node in nodes:
        thumb = Image.fromarray(_thumb(pixels, forest, node, colours))
        sheet.paste(thumb, (round(node.x - thumb.width / 2), round(node.y - thumb.height / 2)))
        if node.row >= 0 and forest.name is not None:
            size = THUMBS[node.depth]
            write(sheet, forest.name[node.row], node.x, node.y + thumb.height / 2 + 2, size)
    return np.asarray(sheet)


def at_peace(forest: MaskForest) -> MaskForest:
    """The best regions of which any two lie apart or one in the other, and are not nearly the same."""
    share = forest.areas / (forest.size[0] * forest.size[1])
    order = np.argsort(-forest.score, kind="stable")
    order = order[(share[order] >= SPECK) & (share[order] <= GROUND)]
    cover = forest.cover()
    within = np.maximum(cover, cover.T)
    clear = (within <= 1 - INSIDE) | ((within >= INSIDE) & (forest.iou() <= ALIKE))
    kept: list[int] = []
    for i in order:
        if clear[i, kept].all():
            kept.append(int(i))
            if len(kept) == GROWN:
                break
    return forest.select(kept).nest() if kept else forest


def _grown(forest: MaskForest) -> _Node:
    """The photo with the regions worth showing: a few roots, some rows of parts shared among them, parts of parts."""
    photo = _Node(-1, 0)
    photo.parts = _telling(forest, forest.roots, 1, TWIGS[0])
    for root in photo.parts:
        root.parts = _telling(forest, forest.children(root.row), 2, TWIGS[1] // len(photo.parts))
        for part in root.parts:
            part.parts = _telling(forest, forest.children(part.row), 3, TWIGS[2])
    return photo


def _telling(forest: MaskForest, rows: np.ndarray, depth: int, count: int) -> list[_Node]:
    """The best of these regions from top to bottom (parts of parts from left to right).

    Good is well scored and thick, area over length: a thumbnail of a sliver tells nothing.
    """
    thick = forest.areas[rows] / forest.boxes[rows, 2:].max(1, initial=1)
    rows = rows[np.argsort(-forest.score[rows] * thick, kind="stable")][:count]
    side = 0 if depth == len(TWIGS) else 1
    middle = forest.boxes[rows, side] + forest.boxes[rows, 2 + side] / 2
    return [_Node(int(i), depth) for i in rows[np.argsort(middle, kind="stable")]]


def _height(node: _Node, line: int) -> float:
    """Of a node with all that stands to its right; parts of parts stand in one row."""
    own = THUMBS[node.depth] + line + GAP
    return max(own, sum(_height(part, line) for part in node.parts)) if node.depth < len(TWIGS) - 1 else own


def _set_out(node: _Node, left: float, top: float, line: int) -> None:
    """Give a node and its parts their places: parts to the right, one below the other, itself at half their height."""
    height, size = _height(node, line), THUMBS[node.depth]
    node.x, node.y = left + size / 2, top + (height - line - GAP) / 2
    left += size + 4 * GAP
    if node.depth == len(TWIGS) - 1:
        for k, part in enumerate(node.parts):
            part.x, part.y = left + k * (THUMBS[part.depth] + GAP) + THUMBS[part.depth] / 2, node.y
        return
    top += (height - sum(_height(part, line) for part in node.parts)) / 2
    for part in node.parts:
        _set_out(part, left, top, line)
        top += _height(part, line)


def _nodes(node: _Node) -> list[_Node]:
    return [node, *(below for part in node.parts for below in _nodes(part))]


def _draw_twigs(sheet: Image.Image, nodes: list[_Node]) -> None:
    """Curves from every picture to those of its parts, drawn twice as large for smoothness; pictures go on top."""
    layer = Image.new("L", (2 * sheet.width, 2 * sheet.height), 0)
    pen = ImageDraw.Draw(layer)
    s = np.linspace(0, 1, 24)
    for node in nodes:
        for part in node.parts:
            x0, x1 = node.x + THUMBS[node.depth] / 2, part.x - THUMBS[part.depth] / 2
            xs, ys = x0 + s * (x1 - x0), node.y + s * s * (3 - 2 * s) * (part.y - node.y)
            line = [(node.x, node.y), *zip(xs, ys, strict=True), (part.x, part.y)]
            pen.line([(2 * x, 2 * y) for x, y in line], fill=255, width=3)
    sheet.paste(TWIG, (0, 0), layer.resize(sheet.size, Image.Resampling.BOX))


def _thumb(pixels: np.ndarray, forest: MaskForest, node: _Node, colours: np.ndarray) -> np.ndarray:
    """The photo, or the square around one region: itself in full, what is around it pale, its contour in its colour."""
    size = THUMBS[node.depth]
    if node.row < 0:
        return shrunk(pixels, size)
    return cutout(pixels, forest, node.row, size, colours[node.row], context=1.16, pale=0.15)
