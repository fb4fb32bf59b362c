"""Pictures: a forest over its photo, its levels side by side, its tree as thumbnails, many pictures on a sheet.

In: pixels (H, W, 3) uint8 RGB and a MaskForest of the same photo, or level maps. Out: (h, w, 3) uint8 RGB. A photo
longer than 2048 pixels is drawn at that length: what is seen on a screen costs the same for any photo.

Colours hold still: a root's hue is a hash of its shape, its parts take hues and lightness near it, and a region too
close in colour to a neighbour already coloured takes the next colour of its own sequence. Hues are even in OKLCH
(Bjorn Ottosson, "A perceptual color space for image processing", 2020). The photo shows through in grey, so that no
colour of its own is taken for one of these. Contours are the thicker the coarser the regions they part.
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
from hedgerow.forest import MaskForest

LONGEST = 2048  # pixels of a picture's longer side
SEEN = 80  # regions that an overlay shows unless asked for more: beyond, colours and contours only crowd
SPECK = 1 / 2000  # share of the photo below which a region is not shown: a 12 x 13 spot at 640 x 480
GROUND = 0.5  # share of the photo from which a root counts as its ground: were its parts all near one hue, all were

ALPHA = 0.5  # of the colours over the photo
GREY, LIFT = 0.7, 0.2  # of the photo below them: shares of grey and of white; dark photos would swallow the colours
LIGHT, CHROMA = 0.74, 0.17  # OKLCH of a root: light and full, and inside sRGB for most hues
GOLDEN = 0.381966  # of a turn, from one hue to the next: each is far from all before it
KIN = 0.2  # of a turn, halved at depth 1, a third at depth 2 ...: how far the hue of a part strays from its whole's
APART = 0.12  # OKLab distance at which two neighbours are told apart at ALPHA
WIDTHS = (3.2, 1.6, 0.8)  # of contours between roots, parts, parts of parts, in a picture 1000 pixels long

PAPER, INK, TWIG = (255, 255, 255), (70, 70, 70), (200, 200, 200)
GAP, TEXT = 10, 13  # pixels between pictures on a sheet, and of the height of letters
THUMBS = (320, 180, 110, 88)  # pixels of the photo, its roots, their parts, parts of parts in a tree
TWIGS = (4, 8, 4)  # roots, parts of all roots together, parts of a part that a tree shows

# ---------------------------------------------------------------------- a forest over its photo


def overlay(pixels: np.ndarray, forest: MaskForest, *, count: int = SEEN) -> np.ndarray:
    """The photo with the first `count` regions of the forest in colours, each in its own and near its whole's."""
    photo = _shrunk(_checked(pixels, forest.size))
    labels = _labels(forest, photo.shape[:2], count)
    if labels.max(initial=-1) < 0:
        return photo
    family = _Family.of(forest)
    colours = _palette(forest, family, _neighbours(labels))
    shown = _quiet(photo)
    shown = np.where((labels >= 0)[..., None], shown + ALPHA * (colours[labels] - shown), shown)
    return _with_contours(shown, family.maps(labels))


def _labels(forest: MaskForest, shape: tuple[int, ...], count: int) -> np.ndarray:
    """(h, w) int32, the row of the finest opened region at each pixel of a picture, -1 for none: `forest.cut`, but
    only for regions that can be seen and only where the picture has a pixel."""
    order, _ = forest.opening_order()
    order = order[forest.areas[order] >= SPECK * forest.size[0] * forest.size[1]][:count]
    ys, xs = _sampled(forest.size, shape)
    labels = np.full(shape, -1, np.int32)
    opened = np.zeros(len(forest) + 1, bool)
    for i in order:
        above = forest.parent[i]
        while above >= 0 and not opened[above]:
            above = forest.parent[above]
        opened[i] = True
        x, y, w, h = forest.boxes[i].astype(int)
        left, right = np.searchsorted(xs, (x, x + w))
        top, bottom = np.searchsorted(ys, (y, y + h))
        columns = rle.band(rle.lengths(forest.rles[i]), forest.size[0], x, x + w)
        window = labels[top:bottom, left:right]
        window[columns[ys[top:bottom, None], xs[left:right] - x] & (window == above)] = i
    return labels


@dataclass(frozen=True)
class _Family:
    """Who is part of whom for the eye: the parts of a photo's ground start families of their own."""

    parent: np.ndarray
    depth: np.ndarray

    @classmethod
    def of(cls, forest: MaskForest) -> _Family:
        ground = forest.areas > GROUND * forest.size[0] * forest.size[1]
        parent, depth = forest.parent.copy(), np.zeros(len(forest), np.int32)
        for i, above in enumerate(forest.parent):
            if above >= 0 and ground[above] and parent[above] < 0:
                parent[i] = -1
            elif above >= 0:
                depth[i] = depth[above] + 1
        return cls(parent, depth)

    def maps(self, labels: np.ndarray) -> list[np.ndarray]:
        """At each pixel the root, the part, the part of a part that it lies in: one map for each of WIDTHS."""
        maps = []
        for depth in range(len(WIDTHS)):
            elder = np.append(np.arange(len(self.parent)), -1)
            for i in np.flatnonzero(self.depth > depth):
                elder[i] = elder[self.parent[i]]
            maps.append(elder[labels])
        return maps


def _neighbours(labels: np.ndarray) -> dict[int, list[int]]:
    """The regions seen in a picture, and those that each touches."""
    near: dict[int, list[int]] = {int(i): [] for i in np.unique(labels) if i >= 0}
    n = int(labels.max()) + 1
    for a, b in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        met = (a != b) & (a >= 0) & (b >= 0)
        for code in np.unique(a[met].astype(np.int64) * n + b[met]):
            one, other = divmod(int(code), n)
            near[one].append(other)
            near[other].append(one)
    return near


def _palette(forest: MaskForest, family: _Family, near: dict[int, list[int]]) -> np.ndarray:
    """(N + 1, 3) float32 RGB of 0 ... 255 for the regions in `near` and their ancestors; black for all others."""
    lch, lab = np.zeros((len(forest) + 1, 3)), np.zeros((len(forest) + 1, 3))
    coloured: set[int] = set()
    for i in sorted({row for seen in near for row in (seen, *forest.ancestors(seen))}):  # parents first
        turn = crc32(forest.rles[i]) / 2**32
        above = family.parent[i]
        choices = _root_colours(turn) if above < 0 else _part_colours(turn, lch[above], int(family.depth[i]))
        labs = _oklab(choices)
        others = lab[[j for j in near.get(i, ()) if j in coloured]]
        apart = np.linalg.norm(labs[:, None] - others[None], axis=2).min(1, initial=APART)
        best = int(apart.argmax())  # the first that is APART from all others, or else the farthest
        lch[i], lab[i] = choices[best], labs[best]
        coloured.add(i)
    return _rgb(lab)


def _root_colours(turn: float) -> np.ndarray:
    """(K, 3) OKLCH, hue in turns: what a root whose hash is `turn` would like to be, in that order."""
    hues = (turn + GOLDEN * np.arange(12)) % 1
    return np.array([(light, CHROMA, hue) for light, hue in product((LIGHT, LIGHT + 0.08, LIGHT - 0.1), hues)])


def _part_colours(turn: float, whole: np.ndarray, depth: int) -> np.ndarray:
    light, chroma, hue = whole
    hues = hue + np.roll((1, -1, 0.5, -0.5, 1.5, -1.5), int(turn * 6)) * KIN / (1 + depth)
    lights = np.clip(light + np.roll((0.08, -0.08, 0.0), int(turn * 3)), 0.5, 0.85)
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


def _quiet(photo: np.ndarray) -> np.ndarray:
    grey = photo @ np.array([0.299, 0.587, 0.114], np.float32)
    return (1 - LIFT) * ((1 - GREY) * photo + GREY * grey[..., None]) + LIFT * 255


def _with_contours(picture: np.ndarray, maps: Sequence[np.ndarray], widths: Sequence[float] = WIDTHS) -> np.ndarray:
    """(H, W, 3) uint8: the borders of partitions in white, the first (coarsest) ones widest."""
    unit = max(max(picture.shape[:2]) / 1000, 0.75)
    ink = np.zeros(picture.shape[:2], np.float32)
    for labels, width in zip(maps, widths, strict=True):
        ink = np.maximum(ink, _line(_edges(labels), width * unit))
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
        panels.append(_with_contours(_means(photo, labels)[labels], [labels], [0.8]))
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
    photo = _grown(_checked(pixels, forest.size), forest)
    line = TEXT + 6 if forest.name is not None else 0
    _set_out(photo, GAP, GAP, line)
    nodes = _nodes(photo)
    siblings = {node.row: [other.row for other in nodes if other.depth == node.depth] for node in nodes[1:]}
    colours = _palette(forest, _Family.of(forest), siblings)
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


def _grown(pixels: np.ndarray, forest: MaskForest) -> _Node:
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
