"""MaskForest, the one noun of the house: regions of a photo and who is part of whom.

In: run-length masks (COCO-compressed), a parent for each, a score for each. Out: the same, cut, thinned, nested or
painted. Exploring, training targets, prediction, naming, measuring, drawing and exporting all speak it. Dense masks
exist only where a method says so; set algebra runs on the runs themselves (pycocotools).

The nesting rule (`nest`) is SOHES / HASSOD's: B is an ancestor of A if B covers A and A does not cover B.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from pycocotools import mask as coco

from hedgerow import rle
from hedgerow.partition import arrangement, voted_levels
from hedgerow.rows import column, parents_first, renamed, take

INSIDE = 0.9  # a child has at least this share of its pixels inside its parent
COVER = 0.9  # theta_cover: HASSOD's value; SOHES does not state its own
FAINTEST = 1e-6  # of a score: what it can fade to, and the distance from 1 that still counts


@dataclass(frozen=True, eq=False)
class MaskForest:
    """N regions of one photo, parents before children.

    size       (H, W) of the photo, upright
    rles       N masks as COCO-compressed run lengths
    parent     (N,) int32, the row of the parent, -1 for a root; always smaller than the child's own row
    score      (N,) float32 in (0, 1]
    source     N words: which level or stage a region came from
    embedding  (N, D) float32, optional
    category   (N,) int32, optional, -1 means none
    name       N words, optional, "" means none
    name_score (N,) float32 in [0, 1], optional: how sure the name is, 0 where there is none
    """

    size: tuple[int, int]
    rles: tuple[bytes, ...] = ()
    parent: np.ndarray = None  # type: ignore[assignment]  # None means every region is a root
    score: np.ndarray = None  # type: ignore[assignment]  # None means every score is 1
    source: tuple[str, ...] = None  # type: ignore[assignment]  # None means ""
    embedding: np.ndarray | None = None
    category: np.ndarray | None = None
    name: tuple[str, ...] | None = None
    name_score: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.rles)
        fix = object.__setattr__  # frozen: normalising what the caller gave is the one exception
        fix(self, "size", (int(self.size[0]), int(self.size[1])))
        fix(self, "rles", tuple(self.rles))
        fix(self, "parent", column("parent", self.parent, n, np.int32, -1))
        fix(self, "score", column("score", self.score, n, np.float32, 1.0))
        fix(self, "source", tuple(self.source) if self.source is not None else ("",) * n)
        if self.category is not None:
            fix(self, "category", column("category", self.category, n, np.int32, -1))
        if self.embedding is not None:
            fix(self, "embedding", np.asarray(self.embedding, np.float32))
        if self.name is not None:
            fix(self, "name", tuple(self.name))
        if self.name_score is not None:
            fix(self, "name_score", column("name_score", self.name_score, n, np.float32, 0.0))
        self._check()

    def _check(self) -> None:
        n, rows = len(self), np.arange(len(self))
        for field in ("source", "embedding", "name"):
            values = getattr(self, field)
            if values is not None and len(values) != n:
                raise ValueError(f"{field} must have one entry for each of the {n} masks, got {len(values)}")
        if n == 0:
            return
        bad = np.flatnonzero((self.parent < -1) | (self.parent >= rows))
        if len(bad):
            i = int(bad[0])
            raise ValueError(f"parents come before children: segment {i} names {self.parent[i]} as its parent")
        bad = np.flatnonzero(~((self.score > 0) & (self.score <= 1)))
        if len(bad):
            raise ValueError(f"scores lie in (0, 1]: segment {bad[0]} has {self.score[bad[0]]}")
        if self.name_score is not None:
            named = np.array([bool(name) for name in self.name or ("",) * n])
            bad = np.flatnonzero(~((self.name_score >= 0) & (self.name_score <= named)))
            if len(bad):
                told = "scores of names lie in [0, 1], and are 0 where there is no name"
                raise ValueError(f"{told}: segment {bad[0]} has {self.name_score[bad[0]]}")
        bad = np.flatnonzero(self.areas == 0)
        if len(bad):
            raise ValueError(f"no mask may be empty: segment {bad[0]} has no pixel")
        children = np.flatnonzero(self.parent >= 0)
        if not len(children):
            return
        above = self.parent[children]
        inside = np.array([self._share(int(i), int(j)) for i, j in zip(children, above, strict=True)])
        if inside.min() < INSIDE - 1e-6:
            worst = inside.argmin()
            raise ValueError(
                f"a child lies inside its parent by at least {INSIDE:.0%}: "
                f"segment {children[worst]} lies {inside[worst]:.1%} inside segment {above[worst]}"
            )

    @cached_property
    def _pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, C) bool and (C,) float64: which regions hold which piece of the photo, and the pieces' pixels.

        Comparing all regions with all others is one product of these; walking run lengths pair by pair took 4 times
        as long for 1000 regions.
        """
        pieces, held = arrangement(self.size, self.rles)
        return held, np.bincount(pieces.ravel(), minlength=held.shape[1]).astype(np.float64)

    def _share(self, i: int, j: int) -> float:
        """Share of region i that lies inside region j."""
        held, pixels = self._pieces
        return float(pixels[held[i] & held[j]].sum() / self.areas[i])

    def _common(self) -> np.ndarray:
        """(N, N) pixels that two regions share."""
        held, pixels = self._pieces
        held = held.astype(np.float32)  # exact up to 2^24 pixels, and to a part in 10^7 beyond
        return ((held * pixels.astype(np.float32)) @ held.T).astype(np.float64)

    # ------------------------------------------------------------------ making one

    @classmethod
    def from_masks(cls, masks: Sequence[np.ndarray] | np.ndarray, size: tuple[int, int] | None = None, **columns: Any):
        """A forest of dense boolean masks (N, H, W); `columns` are the other fields."""
        masks = [np.asarray(mask) for mask in masks]
        if size is None:
            if not masks:
                raise ValueError("size is needed when there is no mask to take it from")
            size = masks[0].shape  # type: ignore[assignment]
        if odd := {mask.shape for mask in masks} - {tuple(size)}:  # type: ignore[arg-type]
            raise ValueError(f"every mask has the photo's shape {tuple(size)}, got {odd.pop()}")  # type: ignore[arg-type]
        return cls(size=size, rles=tuple(encode(mask) for mask in masks), **columns)  # type: ignore[arg-type]

    @classmethod
    def from_labels(cls, labels: np.ndarray, **columns: Any):
        """A partition (H, W) of labels >= 0 as a forest of roots, in label order; negative pixels belong to none."""
        values = np.unique(labels)
        return cls(size=labels.shape, rles=tuple(encode(labels == v) for v in values if v >= 0), **columns)

    @classmethod
    def from_nested(cls, size: tuple[int, int], rles: Sequence[bytes], parent: np.ndarray, **columns: Any):
        """As the constructor, but children may stand before their parents: rows are brought in order first."""
        parent = column("parent", parent, len(rles), np.int64, -1)
        order = parents_first(parent)
        columns = {k: take(v, order) for k, v in columns.items()}
        return cls(size=size, rles=take(tuple(rles), order), parent=renamed(parent, order), **columns)

    # ------------------------------------------------------------------ reading it

    def __len__(self) -> int:
        return len(self.rles)

    def __repr__(self) -> str:
        deep = int(self.depth.max()) + 1 if len(self) else 0
        return f"MaskForest({self.size[1]}x{self.size[0]}, {len(self)} regions, {len(self.roots)} roots, depth {deep})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from hedgerow.notebook import html_of  # imported late: it draws

        return html_of(self)

    @cached_property
    def areas(self) -> np.ndarray:
        """(N,) pixels of each region."""
        areas = np.zeros(len(self), np.int64)
        for first in range(0, len(self), 255):  # pycocotools' area keeps the count of masks in a byte: 256 overflow it
            rows = range(first, min(first + 255, len(self)))
            areas[first : first + 255] = coco.area(self._dicts(rows))
        return areas

    @cached_property
    def boxes(self) -> np.ndarray:
        """(N, 4) float: COCO's [x, y, w, h]."""
        return np.asarray(coco.toBbox(self._dicts())) if len(self) else np.zeros((0, 4))

    @cached_property
    def depth(self) -> np.ndarray:
        """(N,) 0 for roots, 1 for their parts, and so on."""
        depth = np.zeros(len(self), np.int32)
        for i, above in enumerate(self.parent):  # parents stand before children, so one pass is enough
            if above >= 0:
                depth[i] = depth[above] + 1
        return depth

    @property
    def roots(self) -> np.ndarray:
        """Rows of the regions that are part of nothing."""
        return np.flatnonzero(self.parent == -1)

    def children(self, i: int) -> np.ndarray:
        """Rows of the direct parts of region i."""
        return np.flatnonzero(self.parent == i)

    def ancestors(self, i: int) -> list[int]:
        """Rows from the parent of region i up to its root."""
        path, above = [], int(self.parent[i])
        while above >= 0:
            path.append(above)
            above = int(self.parent[above])
        return path

    def descendants(self, i: int) -> np.ndarray:
        """Rows of everything inside region i, parents first."""
        below = np.zeros(len(self), bool)
        for j in range(i + 1, len(self)):
            above = self.parent[j]
            below[j] = above == i or (above >= 0 and below[above])
        return np.flatnonzero(below)

    def mask(self, i: int) -> np.ndarray:
        """(H, W) bool, region i."""
        if not 0 <= i < len(self):  # -1 is the parent of a root, not the last region
            raise IndexError(f"rows lie in 0 ... {len(self) - 1}, got {i}")
        return coco.decode(self._dicts([i])[0]).astype(bool)

    def masks(self, rows: Iterable[int] | None = None) -> np.ndarray:
        """(N, H, W) bool, all regions or those asked for. N x H x W bytes: ask for what you need."""
        rows = range(len(self)) if rows is None else list(rows)
        dense = np.zeros((len(rows), *self.size), bool)
        for k, i in enumerate(rows):
            dense[k] = self.mask(i)
        return dense

    def at(self, x: float, y: float) -> np.ndarray:
        """Rows of the regions that hold the pixel (x, y), smallest first: the path from part to whole."""
        left, top, width, height = self.boxes.T
        near = np.flatnonzero((left <= x) & (x < left + width) & (top <= y) & (y < top + height))
        rows = [i for i in near if rle.band(rle.lengths(self.rles[i]), self.size[0], int(x), int(x) + 1)[int(y), 0]]
        return np.array(sorted(rows, key=lambda i: self.areas[i]), np.int64)

    def fit(self, left: float, top: float, right: float, bottom: float) -> np.ndarray:
        """(N,) how well each region fits a box of the photo: the intersection over union of its own box with that."""
        x, y, width, height = self.boxes.T
        wide = np.minimum(x + width, right) - np.maximum(x, left)
        tall = np.minimum(y + height, bottom) - np.maximum(y, top)
        common = np.maximum(wide, 0) * np.maximum(tall, 0)
        return common / np.maximum(width * height + (right - left) * (bottom - top) - common, 1e-9)

    # ------------------------------------------------------------------ comparing

    def iou(self, other: MaskForest | None = None) -> np.ndarray:
        """(N, M) intersection over union with another forest's regions, or with its own."""
        if other is None:
            common = self._common()
            return common / (self.areas[:, None] + self.areas[None, :] - common)
        self._check_same_size(other)
        if not len(self) or not len(other):
            return np.zeros((len(self), len(other)))
        return np.asarray(coco.iou(self._dicts(), other._dicts(), [0] * len(other)))

    def cover(self, other: MaskForest | None = None) -> np.ndarray:
        """(N, M) share of each region that lies inside each of another forest's regions, or of its own."""
        if other is None:
            return self._common() / self.areas[:, None]
        self._check_same_size(other)
        return _cover(self._dicts(), other._dicts())

    # ------------------------------------------------------------------ making another

    def select(self, rows: Iterable[int]) -> MaskForest:
        """The forest of these regions (rows, or N bools); one whose parent goes is given its nearest kept ancestor."""
        rows = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows))
        if rows.dtype == bool:
            rows = np.flatnonzero(column("a choice by bools", rows, len(self), bool, True))
        rows = np.unique(rows.astype(np.int64))  # ascending: parents stay first
        if len(rows) and not 0 <= rows[0] <= rows[-1] < len(self):
            raise ValueError(f"rows lie in 0 ... {len(self) - 1}, got {rows[0]} ... {rows[-1]}")
        place = np.full(len(self) + 1, -1, np.int64)
        place[rows] = np.arange(len(rows))
        heir = np.full(len(self) + 1, -1, np.int64)  # new row of region i itself, or of its nearest kept ancestor
        for i in range(len(self)):
            heir[i] = place[i] if place[i] >= 0 else heir[self.parent[i]]
        return self._of_rows(rows, self._drop_leaning(rows, heir[self.parent[rows]]))

    def _drop_leaning(self, rows: np.ndarray, parent: np.ndarray) -> np.ndarray:
        """Being inside to 90 % is not transitive: an heir that covers too little is passed over for the next one up."""
        parent = parent.copy()
        for k in np.flatnonzero((parent >= 0) & (rows[parent] != self.parent[rows])):
            while parent[k] >= 0 and self._share(rows[k], rows[parent[k]]) < INSIDE:
                parent[k] = parent[parent[k]]
        return parent

    def _of_rows(self, rows: np.ndarray, parent: np.ndarray) -> MaskForest:
        """These rows, in this order, under these parents; what is known of them is handed on, not checked again."""
        other = object.__new__(MaskForest)
        for field in fields(self):
            values = getattr(self, field.name)
            object.__setattr__(other, field.name, values if field.name == "size" else take(values, rows))
        object.__setattr__(other, "parent", parent.astype(np.int32))
        other.__dict__["areas"] = self.areas[rows]
        if "_pieces" in self.__dict__:
            held, pixels = self._pieces
            other.__dict__["_pieces"] = held[rows], pixels
        return other

    def suppress(self, iou: float) -> MaskForest:
        """Of regions that overlap by more than `iou`, only the best-scored (then the earlier) stays."""
        overlap = self.iou()
        gone = np.zeros(len(self), bool)
        for i in np.argsort(-self.score, kind="stable"):
            if not gone[i]:
                rivals = overlap[i] > iou
                rivals[i] = False
                gone |= rivals
        return self.select(np.flatnonzero(~gone))

    def fade(self, weight: float = 1.0) -> MaskForest:
        """The same regions, each less sure the more of it better ones show: the logarithm of its odds falls by `weight`
        times IoU ** 4 with each region that comes before it.

        Suppressing drops what is alike, fading lets it come later (Soft-NMS, Bodla et al. 2017; MCG ranks its regions
        so, by maximum marginal relevance, Arbelaez et al. 2014).
        """
        alike = weight * self.iou() ** 4
        score = np.clip(self.score, FAINTEST, 1 - FAINTEST).astype(np.float64)
        odds = np.log(score / (1 - score))
        faded = np.empty(len(self))
        for _ in range(len(self)):
            best = odds.argmax()
            faded[best] = odds[best]
            odds -= alike[best]
            odds[best] = -np.inf
        other = self._of_rows(np.arange(len(self)), self.parent)
        score = np.clip(1 / (1 + np.exp(-faded)), FAINTEST, 1)
        object.__setattr__(other, "score", score.astype(np.float32))
        return other

    def best(self, count: int) -> MaskForest:
        """The `count` best-scored regions."""
        return self.select(np.argsort(-self.score, kind="stable")[:count])

    def nest(self, cover: float = COVER) -> MaskForest:
        """The same regions with parents built from overlaps alone.

        B is an ancestor of A if B covers A (>= `cover`) and A does not cover B; the parent is the smallest such B.
        """
        if not len(self):
            return self
        share = self.cover()
        above = (share >= max(cover, INSIDE)) & (share.T < cover)  # noqa: SIM300
        size = np.where(above, self.areas[None, :], np.iinfo(np.int64).max)
        # of two ancestors of one area the earlier is taken; an ancestor is always the larger, so no cycle can arise
        parent = np.where(above.any(1), size.argmin(1), -1)
        order = parents_first(parent)
        return self._of_rows(order, renamed(parent, order))

    # ------------------------------------------------------------------ cutting it

    def cut(self, *, score: float | None = None, count: int | None = None) -> np.ndarray:
        """One partition: (H, W) int32, each pixel the row of the finest opened region there, -1 where none is.

        Regions open in the order of `opening_order`. `count` opens that many; `score` opens all whose strength reaches
        it: roots by their own score, others if one of their wholes opens, too.
        """
        if (score is None) == (count is None):
            raise ValueError("cut needs either score=... or count=...")
        order, strength = self.opening_order()
        opened = order[:count] if count is not None else order[strength >= score]
        labels = np.full(self.size, -1, np.int32)
        self._paint(labels, opened)
        return labels

    def levels(self, count: int) -> np.ndarray:
        """(count, H, W) int32: nested partitions from coarse to fine, every pixel labelled from 0 up.

        Regions vote for their outlines by their scores (`hedgerow.partition`). Each region of a level lies in one
        region of the level before, exactly; from level to level their number grows by a constant factor.
        """
        maps = np.empty((max(count, 0), *self.size), np.int32)
        for place, level in enumerate(self.each_level(count)):
            maps[place] = level
        return maps

    def each_level(self, count: int) -> Iterator[np.ndarray]:
        """The maps of `levels`, (H, W) int32, one at a time: all of them of a huge photo take gigabytes."""
        if count < 1:
            raise ValueError(f"levels needs a count of at least 1, got {count}")
        return voted_levels(self.size, self.rles, self.score, count)

    def opening_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows in the order in which a granularity slider opens them, and each one's strength, descending.

        A region's strength is its score, but at most the strength of the strongest of its wholes, so no part opens
        before one of these. Not all of them: a path holds many that are alike, and few of them open.
        """
        strength = self.score.copy()
        whole = np.zeros(len(self), np.float32)  # the strongest region above each
        for i, above in enumerate(self.parent):
            if above >= 0:
                whole[i] = max(strength[above], whole[above])
                strength[i] = min(strength[i], whole[i])
        order = np.lexsort((np.arange(len(self)), -strength))
        return order, strength[order]

    def _paint(self, labels: np.ndarray, rows: np.ndarray) -> None:
        """Open regions one by one, each only inside the label its nearest opened ancestor still has.

        A region that overlaps an opened neighbour therefore leaves that neighbour whole.
        """
        is_open = np.zeros(len(self) + 1, bool)
        for i in rows:
            above = self.parent[i]
            while above >= 0 and not is_open[above]:
                above = self.parent[above]
            x, y, w, h = self.boxes[i].astype(int)
            window = labels[y : y + h, x : x + w]
            inside = rle.band(rle.lengths(self.rles[i]), self.size[0], x, x + w)[y : y + h]
            window[(window == above) & inside] = i
            is_open[i] = True

    # ------------------------------------------------------------------ handing it on

    def to_coco(self, image_id: int | str = 0, category_id: int = 1, first_id: int = 1) -> list[dict[str, Any]]:
        """COCO results, one dict a region, best score first, with `id` and `parent_id` (None for a root) beside, and of
        those that have a name `name` and `name_score`. `category_id` is for a forest without categories; where there
        are some, a region in none has -1."""
        results = []
        for i in np.argsort(-self.score, kind="stable"):
            category = category_id if self.category is None else int(self.category[i])
            above = int(self.parent[i])
            result = {
                "id": first_id + int(i),
                "parent_id": first_id + above if above >= 0 else None,
                "image_id": image_id,
                "category_id": category,
                "bbox": [float(v) for v in self.boxes[i]],
                "area": int(self.areas[i]),
                "segmentation": {"size": list(self.size), "counts": self.rles[i].decode("ascii")},
                "score": max(round(float(self.score[i]), 6), 1e-6),  # no score is 0
            }
            if self.name is not None and self.name[i]:
                result["name"] = self.name[i]
                if self.name_score is not None:
                    result["name_score"] = round(float(self.name_score[i]), 6)
            results.append(result)
        return results

    def _dicts(self, rows: Iterable[int] | None = None) -> list[dict[str, Any]]:
        """Masks in the form pycocotools speaks."""
        size = list(self.size)
        rles = self.rles if rows is None else [self.rles[i] for i in rows]
        return [{"size": size, "counts": counts} for counts in rles]

    def _check_same_size(self, other: MaskForest) -> None:
        if other.size != self.size:
            raise ValueError(f"forests of one photo have one size: {self.size} against {other.size} (height, width)")


def encode(mask: np.ndarray) -> bytes:
    """(H, W) mask as COCO-compressed run lengths."""
    if mask.ndim != 2:
        raise ValueError(f"a mask has two dimensions (H, W), got shape {mask.shape}")
    return coco.encode(np.asfortranarray(mask != 0).view(np.uint8))["counts"]  # pycocotools takes 1 to 2 for an edge


def _cover(inner: list[dict[str, Any]], outer: list[dict[str, Any]]) -> np.ndarray:
    """(N, M) |inner & outer| / |inner|: COCO's overlap with a crowd region is just that."""
    if not inner or not outer:
        return np.zeros((len(inner), len(outer)))
    return np.asarray(coco.iou(inner, outer, [1] * len(outer)))
