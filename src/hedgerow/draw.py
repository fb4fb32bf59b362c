"""Pictures: a forest over its photo, its levels side by side, its tree as thumbnails, many pictures on a sheet.

In: pixels (H, W, 3) uint8 RGB and a MaskForest of the same photo, or level maps. Out: (h, w, 3) uint8 RGB. A photo
longer than 2048 pixels is drawn at that length: what is seen on a screen costs the same for any photo.

An overlay shows three nested partitions. Where regions compete, painting them one over the other makes odd pieces, so
they vote (`hedgerow.partition`); where parts have room in their wholes, as in a forest made by hand, it is the forest.

Colours hold still: the hue of a whole is a hash of its shape, its largest part has it too, the others vary it, and a
region too close in colour to a neighbour already coloured takes the next colour of its own sequence. Hues are even in
OKLCH (Bjorn Ottosson, "A perceptual color space for image processing", 2020). The photo shows through in grey, so that
no colour of its own is taken for one of these. Contours are the thicker the coarser the regions they part; large plain
grounds take less of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from hedgerow import rle
from hedgerow.config import CallerError
from hedgerow.forest import INSIDE, MaskForest
from hedgerow.partition import arrangement, touching, voted_tree

LONGEST = 2048  # pixels of a picture's longer side
FINE = 120  # pieces of an overlay's finest partition; a third of it are parts, a tenth of it are wholes
GROUND = 0.5  # share of the photo from which a root counts as its ground: were its parts all near one hue, all were
SPECK = 1 / 500  # share of the photo below which a tree shows no region that competes with others: no more than a spot
CROWDED = 1.1  # of a whole: parts that fill more than this lie over each other

MOST_HELD = 2**29  # regions x pixels where regions are laid over each other, at the worst a byte each; a thousand
# regions of a large photo are so at 840 x 630, and what comes of it is enlarged
MOST_PIECES = 30_000  # that they may cut a picture into: an explored photo has 1000, ragged masks can have a million

ALPHA, CALM = 0.5, 0.6  # of the colours over the photo; how much of that a large plain ground loses
GREY, LIFT = 0.7, 0.2  # of the photo below them: shares of grey and of white; dark photos would swallow the colours
LIGHT, CHROMA = 0.74, 0.17  # OKLCH of a whole: light and full, and inside sRGB for most hues
GOLDEN = 0.381966  # of a turn, from one hue to the next: each is far from all before it
SHADE, SLIGHT = (0.12, 0.06), (0.03, 0.01)  # how far lightness and hue (in turns) of parts and of pieces stray
APART = 0.12  # OKLab distance at which two neighbours are told apart at ALPHA
WIDTHS = (3.2, 1.5, 0.8)  # of contours of wholes, parts, pieces in a picture 1000 pixels long
INK_OF_PARTS, INK_OF_PIECES = 0.85, 0.35  # of the contours' white; wholes take all

PAPER, INK, TWIG = (255, 255, 255), (70, 70, 70), (200, 200, 200)
GAP, TEXT = 10, 13  # pixels between pictures on a sheet, and of the height of letters
THUMBS = (320, 180, 110, 88)  # pixels of the photo, its roots, their parts, parts of parts in a tree
GROWN, ALIKE = 64, 0.7  # regions from which a tree is chosen where they compete, and their IoU at most
TWIGS = (4, 8, 4)  # roots, parts of all roots together, parts of a part that a tree shows

# ---------------------------------------------------------------------- a forest over its photo


def overlay(pixels: np.ndarray, forest: MaskForest, *, count: int = FINE) -> np.ndarray:
    """The photo under nested partitions of its forest: wholes in hues, parts in shades of those, `count` fine pieces.

    Pixels that no region holds stay without colour.
    """
    photo = _shrunk(_checked(pixels, forest.size))
    maps = _partitions(forest, photo.shape[:2], count)
    if maps is None:
        return photo
    wholes, parts, pieces = maps
    grey = photo @ np.array([0.299, 0.587, 0.114], np.float32)
    hues = _distinct(wholes)
    shades = _distinct(parts, _wholes(parts, wholes), hues, SHADE)
    slight = _distinct(pieces, _wholes(pieces, parts), shades, SLIGHT)
    colours = _rgb(_oklab(slight))
    veil = np.append(_veil(wholes, grey), 0).astype(np.float32)[wholes]
    shown = (1 - LIFT) * ((1 - GREY) * photo + GREY * grey[..., None]) + LIFT * 255
    shown += veil[..., None] * (np.append(colours, [[0, 0, 0]], 0).astype(np.float32)[pieces] - shown)
    calm = veil / ALPHA  # a plain ground shows little of its parts
    return _with_contours(shown, maps, WIDTHS, [np.ones_like(veil), INK_OF_PARTS * calm, INK_OF_PIECES * calm * calm])


def _partitions(forest: MaskForest, shape: tuple[int, ...], count: int) -> tuple[np.ndarray, ...] | None:
    """(h, w) labels of wholes, of their parts and of fine pieces at a picture's pixels, -1 where no region lies.

    Where regions agree on what is part of what, the forest's own; where they compete, what they vote for.
    """
    pieces, inside, rows = _arranged(forest, (shape[0], shape[1]))
    if not len(rows):
        return None
    if _agrees(forest):
        owner = np.full(inside.shape[1], -1)
        order = np.lexsort((-forest.areas[rows], forest.depth[rows]))  # parts over wholes, small over large
        for k in order:
            owner[inside[k]] = rows[k]
        return tuple(elder[owner][pieces] for elder in _elders(forest))
    tree, bare = voted_tree(pieces, inside, forest.score[rows]), ~inside.any(0)
    counts = np.maximum((count // 10, count // 3, count), min(len(forest.roots), count // 3)) + bare.any()
    return tuple(np.where(bare, -1, tree.labels(count=max(int(n), 1)))[pieces] for n in counts)


def _arranged(forest: MaskForest, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`arrangement` at a picture's pixels, coarser where it would be too much, and the rows of the masks in it."""
    scale = min(1.0, (MOST_HELD / max(len(forest) * shape[0] * shape[1], 1)) ** 0.5)
    while True:
        size = (max(1, int(shape[0] * scale)), max(1, int(shape[1] * scale)))
        masks, rows = _sampled_masks(forest, size)
        pieces, inside = arrangement(size, masks)
        if inside.shape[1] <= MOST_PIECES:
            ys, xs = _sampled(size, shape)
            return pieces[ys[:, None], xs], inside, rows
        scale *= 0.9 * (MOST_PIECES / inside.shape[1]) ** 0.5


def _sampled_masks(forest: MaskForest, shape: tuple[int, int]) -> tuple[list[bytes], np.ndarray]:
    """The masks at a picture's pixels, and the rows of those that have any there."""
    if forest.size == shape:
        return list(forest.rles), np.arange(len(forest))
    ys, xs = _sampled(forest.size, shape)
    places = (xs[:, None] * forest.size[0] + ys).ravel()  # in the order of runs, column by column
    masks, rows = [], []
    for i, counts in enumerate(forest.rles):
        ends = np.searchsorted(places, rle.lengths(counts).cumsum())
        runs = np.diff(ends, prepend=0)
        if runs[1::2].any():
            masks.append(rle.compressed(runs.tolist(), shape))
            rows.append(i)
    return masks, np.array(rows, np.int64)


def _agrees(forest: MaskForest) -> bool:
    """Do parts have room beside each other in their wholes, as in a forest made by hand or a flat set?"""
    room = np.append(forest.areas, forest.size[0] * forest.size[1])
    filled = np.bincount(forest.parent + 1, forest.areas, len(room))
    return bool((np.roll(filled, -1) <= CROWDED * room).all())


def _elders(forest: MaskForest) -> list[np.ndarray]:
    """For each region (and -1) its whole, its part of the whole, itself; parts of a photo's ground are wholes."""
    ground = (forest.parent < 0) & (forest.areas > GROUND * forest.size[0] * forest.size[1])
    itself = np.append(np.arange(len(forest)), -1)  # -1 stands last, where it is looked up
    whole, part = itself.copy(), itself.copy()
    for i, above in enumerate(forest.parent):
        if above >= 0 and not ground[above]:
            whole[i] = whole[above]
            part[i] = i if whole[above] == above else part[above]
    return [whole, part, itself]


def _wholes(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """For each label of a partition the label of a coarser one that it lies in."""
    above = np.full(int(parts.max()) + 1, -1)
    seen = parts >= 0
    above[parts[seen]] = wholes[seen]
    return above


def _distinct(
    labels: np.ndarray,
    above: np.ndarray | None = None,
    wholes: np.ndarray | None = None,
    shade: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """(K, 3) OKLCH: for each label a colour of its own, near its whole's, apart from its neighbours' if it can be."""
    n = int(labels.max()) + 1
    ys, xs = np.indices(labels.shape, np.float64)
    counted = (labels + 1).ravel()  # what has no label counts as 0
    facts = [np.bincount(counted, weights, n + 1)[1:] for weights in (None, ys.ravel(), xs.ravel())]
    shape = np.stack(facts, 1).astype(np.int64)  # pixels, and where: what a colour hangs on
    near: list[list[int]] = [[] for _ in range(n)]
    for one, other in touching(labels + 1)[0].tolist():
        if one > 0:
            near[one - 1].append(other - 1)
            near[other - 1].append(one - 1)
    lch = np.zeros((n, 3))
    done = np.zeros(n, bool)
    heirs: set[int] = set()  # wholes whose largest part has their own colour
    for k in np.argsort(-shape[:, 0], kind="stable"):
        if not shape[k, 0]:
            break  # rows of a forest that are not seen
        turn = crc32(shape[k].tobytes()) / 2**32
        if above is None or wholes is None:
            choices = _root_colours(turn)
        elif above[k] in heirs:
            choices = _part_colours(turn, wholes[above[k]], *shade)
        else:
            choices = wholes[above[k]][None]
            heirs.add(int(above[k]))
        lch[k] = _apart(choices, _oklab(lch[[j for j in near[k] if done[j]]]))
        done[k] = True
    return lch


def _apart(choices: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The first of these OKLCH that is APART from all others (OKLab), or else the farthest."""
    apart = np.linalg.norm(_oklab(choices)[:, None] - others[None], axis=2).min(1, initial=APART)
    return choices[int(apart.argmax())]


def _veil(labels: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """(K,) how much colour each region takes: less where it is large and plain, lest a sky glare."""
    seen = labels >= 0
    rough = np.hypot(*np.gradient(grey)) if min(grey.shape) > 1 else np.zeros_like(grey)
    pixels = np.bincount(labels[seen])
    rough = np.bincount(labels[seen], np.minimum(rough[seen], 40)) / np.maximum(pixels, 1)
    large = np.clip(pixels / (0.25 * labels.size), 0, 1)
    plain = np.clip(1.2 - rough / 8, 0, 1)
    return ALPHA * (1 - CALM * large * plain)


def _root_colours(turn: float) -> np.ndarray:
    """(K, 3) OKLCH, hue in turns: what a root whose hash is `turn` would like to be, in that order."""
    hues = (turn + GOLDEN * np.arange(12)) % 1
    return np.array([(light, CHROMA, hue) for light, hue in product((LIGHT, LIGHT + 0.08, LIGHT - 0.1), hues)])


def _part_colours(turn: float, whole: np.ndarray, light_step: float, hue_step: float) -> np.ndarray:
    light, chroma, hue = whole
    hues = hue + np.roll((0.0, 1, -1, 0.5, -0.5), int(turn * 5)) * hue_step
    lights = np.clip(light + np.roll((1, -1, 0.5, -0.5), int(turn * 4)) * light_step, 0.45, 0.92)
    return np.array([(light, chroma, hue % 1) for light, hue in product(lights, hues)])


def _oklab(lch: np.ndarray) -> np.ndarray:
    light, chroma, turn = lch.T
    return np.stack([light, chroma * np.cos(2 * np.pi * turn), chroma * np.sin(2 * np.pi * turn)], 1)


def _rgb(lab: np.ndarray) -> np.ndarray:
    """OKLab to sRGB of 0 ... 255; the matrices are Ottosson's."""
    lms = lab @ np.array([[1, 1, 1], [0.39633778, -0.10556135, -0.08948418], [0.21580376, -0.06385417, -1.29148555]])
    mix = [
        [4.07674166, -3.30771159, 0.23096993],
        [-1.268438, 2.6097574, -0.3413194],
        [-0.00419609, -0.70341861, 1.7076147],
    ]
    linear = np.clip(lms**3 @ np.array(mix).T, 0, 1)
    return (255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)).astype(np.float32)


def _with_contours(
    picture: np.ndarray, maps: Sequence[np.ndarray], widths: Sequence[float], inks: Sequence[np.ndarray | float]
) -> np.ndarray:
    """(H, W, 3) uint8: the borders of partitions in white, the first (coarsest) ones widest."""
    unit = max(max(picture.shape[:2]) / 1000, 0.75)
    ink = np.zeros(picture.shape[:2], np.float32)
    for labels, width, share in zip(maps, widths, inks, strict=True):
        ink = np.maximum(ink, share * _line(_edges(labels), width * unit))
    return (picture + ink[..., None] * (255 - picture) + 0.5).astype(np.uint8)


def _edges(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a pixel differs from the one to its left or above it."""
    edges = np.zeros(labels.shape, bool)
    edges[:, 1:] = labels[:, 1:] != labels[:, :-1]
    edges[1:] |= labels[1:] != labels[:-1]
    return edges


def _line(edges: np.ndarray, width: float) -> np.ndarray:
    """(H, W) float32 in 0 ... 1: smooth lines of a width along edges one pixel wide; below one pixel they fade."""
    sigma = max(width / 2.4, 0.45)
    soft = Image.fromarray(edges.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(sigma))
    peak = 255 / (sigma * np.sqrt(2 * np.pi))
    return np.clip(np.asarray(soft, np.float32) * (1.8 / peak) - 0.5, 0, 1) * min(1.0, width)


# ---------------------------------------------------------------------- levels side by side


def level_strip(pixels: np.ndarray, levels: np.ndarray, *, most: int = 5) -> np.ndarray:
    """The photo, then at most `most` of its levels (L, H, W) from coarse to fine, each region in its mean colour."""
    if levels.ndim != 3 or not len(levels):
        raise CallerError(f"levels are of shape (L, H, W) with L of at least 1, got {levels.shape}")
    _checked(pixels, levels.shape[1:])
    chosen = np.unique(np.linspace(0, len(levels) - 1, min(most, len(levels))).round().astype(int))
    photo = _shrunk(pixels, (LONGEST - GAP) // (len(chosen) + 1) - GAP)
    ys, xs = _sampled(levels.shape[1:], photo.shape)
    panels, captions = [photo], ["photo"]
    for level in chosen:
        labels = np.unique(levels[level][ys[:, None], xs], return_inverse=True)[1].reshape(photo.shape[:2])
        # thin contours: fine levels would be all contour
        panels.append(_with_contours(_means(photo, labels)[labels], [labels], [0.8], [1.0]))
        regions = int(levels[level].max()) + 1
        captions.append(f"{regions} regions" if regions > 1 else "1 region")
    return contact_sheet(panels, captions, columns=len(panels))


def _means(photo: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, 3) the mean colour of each region."""
    pixels = np.bincount(labels.ravel())
    sums = [np.bincount(labels.ravel(), photo[..., channel].ravel()) for channel in range(3)]
    return np.stack(sums, 1) / pixels[:, None]


# ---------------------------------------------------------------------- a tree of thumbnails


@dataclass
class _Node:
    """A picture of the tree: the photo (row -1) or a region, its parts, and its middle on the sheet."""

    row: int
    depth: int
    parts: list[_Node] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0


def tree(pixels: np.ndarray, forest: MaskForest) -> np.ndarray:
    """From left to right: the photo, its most telling roots, their parts, and the parts of those; names if any."""
    _checked(pixels, forest.size)
    forest = forest if _agrees(forest) else _at_peace(forest)
    photo = _grown(forest)
    line = TEXT + 6 if forest.name is not None else 0
    _set_out(photo, GAP, GAP, line)
    nodes = _nodes(photo)
    colours = _colours(photo, forest)
    right = max(node.x + THUMBS[node.depth] / 2 for node in nodes)
    sheet = Image.new("RGB", (round(right) + GAP, round(_height(photo, line)) + GAP), PAPER)
    _draw_twigs(sheet, nodes)
    for node in nodes:
        thumb = Image.fromarray(_thumb(pixels, forest, node, colours))
        sheet.paste(thumb, (round(node.x - thumb.width / 2), round(node.y - thumb.height / 2)))
        if node.row >= 0 and forest.name is not None:
            size = THUMBS[node.depth]
            _write(sheet, forest.name[node.row], node.x, node.y + thumb.height / 2 + 2, size)
    return np.asarray(sheet)


def _at_peace(forest: MaskForest) -> MaskForest:
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


def _colours(photo: _Node, forest: MaskForest) -> np.ndarray:
    """(N, 3) RGB for the regions shown: parts near their wholes, apart from the others of their column."""
    lch = np.zeros((len(forest), 3))
    columns: dict[int, list[int]] = {}
    for node in _nodes(photo):
        for part in node.parts:
            turn, done = crc32(forest.rles[part.row]) / 2**32, columns.setdefault(part.depth, [])
            choices = _root_colours(turn) if node.row < 0 else _part_colours(turn, lch[node.row], *SHADE)
            lch[part.row] = _apart(choices, _oklab(lch[done]))
            done.append(part.row)
    return _rgb(_oklab(lch))


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
        return _shrunk(pixels, size)
    height, width = forest.size
    x, y, w, h = forest.boxes[node.row].astype(int)
    side = int(1.16 * max(w, h)) + 4
    left, top = (max(0, int(start + extent / 2 - side / 2)) for start, extent in ((x, w), (y, h)))
    right, bottom = min(width, left + side), min(height, top + side)
    mask = rle.band(rle.lengths(forest.rles[node.row]), height, left, right)[top:bottom]
    scale = size / max(right - left, bottom - top)
    shape = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    crop = Image.fromarray(pixels[top:bottom, left:right]).resize(shape, Image.Resampling.BICUBIC, reducing_gap=2.0)
    soft = Image.fromarray(mask.astype(np.uint8) * 255).resize(shape, Image.Resampling.BICUBIC)
    inside = np.asarray(soft, np.float32)[..., None] / 255
    photo = np.asarray(crop, np.float32)
    shown = 255 + (0.15 + 0.85 * inside) * (photo - 255)
    ink = _line(_edges(inside[..., 0] > 0.5), 2.0)[..., None]
    return np.clip(shown + ink * (colours[node.row] - shown), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------------- many pictures on a sheet


def contact_sheet(images: Sequence[np.ndarray], captions: Sequence[str], *, columns: int | None = None) -> np.ndarray:
    """Pictures in rows on white, each with its caption below; about as wide as high unless `columns` are given."""
    if len(images) != len(captions) or not len(images):
        raise CallerError(f"a sheet takes one caption for each picture, got {len(images)} and {len(captions)}")
    columns = min(columns or int(np.ceil(np.sqrt(len(images)))), len(images))
    images = [_shrunk(_checked(image, image.shape[:2]), max(16, (LONGEST - GAP) // columns - GAP)) for image in images]
    width, height = max(image.shape[1] for image in images), max(image.shape[0] for image in images)
    rows = -(-len(images) // columns)
    deep = height + TEXT + 2 * GAP
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * deep + GAP), PAPER)
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = GAP + k % columns * (width + GAP), GAP + k // columns * deep
        sheet.paste(Image.fromarray(image), (x + (width - image.shape[1]) // 2, y + (height - image.shape[0]) // 2))
        _write(sheet, caption, x + width / 2, y + height + 5, width)
    return np.asarray(sheet)


def _write(sheet: Image.Image, text: str, middle: float, top: float, width: float) -> None:
    """One line of text about its middle, cut short where it is wider than its place."""
    text, pen, font = " ".join(text.split())[:200], ImageDraw.Draw(sheet), _font()
    while text and pen.textlength(text, font) > width:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    pen.text((round(middle), round(top)), text, INK, font, anchor="ma")


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT)


# ---------------------------------------------------------------------- photos


def _checked(pixels: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise CallerError(f"pixels are (H, W, 3) uint8 RGB, got {pixels.dtype} of shape {pixels.shape}")
    if pixels.shape[:2] != tuple(size):
        raise CallerError(f"the photo is of size {pixels.shape[:2]}, its regions of {tuple(size)} (height, width)")
    return pixels


def _shrunk(pixels: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))


def _sampled(size: tuple[int, ...], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The rows and the columns of a photo of `size` that a picture of `shape` shows: each pixel's middle."""
    ys, xs = (((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(shape[:2], size, strict=True))
    return ys, xs
