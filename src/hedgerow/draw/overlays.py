"""A forest over its photo.

An overlay shows three nested partitions. Where regions compete, painting them one over the other makes odd pieces, so
they vote (`hedgerow.partition`); where parts have room in their wholes, as in a forest made by hand, it is the forest.

Colours hold still: the hue of a whole is a hash of its shape, its largest part has it too, the others vary it, and a
region too close in colour to a neighbour already coloured takes the next colour of its own sequence. The photo shows
through in grey, so that no colour of its own is taken for one of these. Contours are the thicker the coarser the
regions they part; large plain grounds take less of all.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

from hedgerow.draw.colours import SHADE, SLIGHT, apart, oklab, part_colours, rgb, root_colours
from hedgerow.draw.sheets import Pixels, checked, shrunk, with_contours
from hedgerow.exchange.partitions import agrees
from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement_at, sampled, touching, voted_tree

FINE = 120  # pieces of an overlay's finest partition; a third of it are parts, a tenth of it are wholes
GROUND = 0.5  # share of the photo from which a root counts as its ground: were its parts all near one hue, all were

MOST_HELD = 2**29  # regions x pixels where regions are laid over each other, at the worst a byte each; a thousand
# regions of a large photo are so at 840 x 630, and what comes of it is enlarged
MOST_PIECES = 30_000  # that they may cut a picture into: an explored photo has 1000, ragged masks can have a million

ALPHA, CALM = 0.5, 0.6  # of the colours over the photo; how much of that a large plain ground loses
GREY, LIFT = 0.7, 0.2  # of the photo below them: shares of grey and of white; dark photos would swallow the colours
WIDTHS = (3.2, 1.5, 0.8)  # of contours of wholes, parts, pieces in a picture 1000 pixels long
INK_OF_PARTS, INK_OF_PIECES = 0.85, 0.35  # of the contours' white; wholes take all


def overlay(pixels: Pixels, forest: MaskForest, *, count: int = FINE) -> np.ndarray:
    """The photo under nested partitions of its forest: wholes in hues, parts in shades of those, `count` fine pieces.

    Pixels that no region holds stay without colour.
    """
    photo = shrunk(checked(pixels, forest.size))
    maps = _partitions(forest, photo.shape[:2], count)
    if maps is None:
        return photo
    wholes, parts, pieces = maps
    grey = photo @ np.array([0.299, 0.587, 0.114], np.float32)
    hues = _distinct(wholes)
    shades = _distinct(parts, _wholes(parts, wholes), hues, SHADE)
    slight = _distinct(pieces, _wholes(pieces, parts), shades, SLIGHT)
    colours = rgb(oklab(slight))
    veil = np.append(_veil(wholes, grey), 0).astype(np.float32)[wholes]
    shown = (1 - LIFT) * ((1 - GREY) * photo + GREY * grey[..., None]) + LIFT * 255
    shown += veil[..., None] * (np.append(colours, [[0, 0, 0]], 0).astype(np.float32)[pieces] - shown)
    calm = veil / ALPHA  # a plain ground shows little of its parts
    return with_contours(shown, maps, WIDTHS, [np.ones_like(veil), INK_OF_PARTS * calm, INK_OF_PIECES * calm * calm])


def _partitions(forest: MaskForest, shape: tuple[int, ...], count: int) -> tuple[np.ndarray, ...] | None:
    """(h, w) labels of wholes, of their parts and of fine pieces at a picture's pixels, -1 where no region lies.

    Where regions agree on what is part of what, the forest's own; where they compete, what they vote for.
    """
    pieces, inside, rows = _arranged(forest, (shape[0], shape[1]))
    if not len(rows):
        return None
    if agrees(forest):
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
        pieces, inside, rows = arrangement_at(forest.size, forest.rles, size)
        if inside.shape[1] <= MOST_PIECES:
            ys, xs = sampled(size, shape)
            return pieces[ys[:, None], xs], inside, rows
        scale *= 0.9 * (MOST_PIECES / inside.shape[1]) ** 0.5


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
            choices = root_colours(turn)
        elif above[k] in heirs:
            choices = part_colours(turn, wholes[above[k]], *shade)
        else:
            choices = wholes[above[k]][None]
            heirs.add(int(above[k]))
        lch[k] = apart(choices, oklab(lch[[j for j in near[k] if done[j]]]))
        done[k] = True
    return lch


def _veil(labels: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """(K,) how much colour each region takes: less where it is large and plain, lest a sky glare."""
    seen = labels >= 0
    rough = np.hypot(*np.gradient(grey)) if min(grey.shape) > 1 else np.zeros_like(grey)
    pixels = np.bincount(labels[seen])
    rough = np.bincount(labels[seen], np.minimum(rough[seen], 40)) / np.maximum(pixels, 1)
    large = np.clip(pixels / (0.25 * labels.size), 0, 1)
    plain = np.clip(1.2 - rough / 8, 0, 1)
    return ALPHA * (1 - CALM * large * plain)
