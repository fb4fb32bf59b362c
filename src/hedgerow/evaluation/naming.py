"""A photo named in several ways, in a worker: what its pixels are called, and what its true regions are.

In: a photo with its labels. Out: `Named`, tables of pixels and counts of regions a row:

    forest   regions that are explored, or read from a label store, are named, and vote for their pixels (`name_map`)
    groups   ViL-Seg (Liu et al. 2022, section 3.4): each patch goes to its likeliest group, each group is named
    patches  each patch is named; probabilities go bilinearly to the pixels, as in MaskCLIP (Zhou et al. 2022)
    whole    one name for all of the photo, that of its vector as captions are compared with: no regions at all
    true     the regions that people marked are named: what naming could reach with perfect outlines
    chance   the regions of the row that was asked for, each named by lot

Each row is made twice. *Closed*: one of the names for each pixel, no background word, no threshold. *Open*: with both,
so that pixels may stay unnamed; only where the data set has a background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter

import numpy as np

from hedgerow.backbones import FeatureMap, open_backbone
from hedgerow.backbones.pooling import embed, unit_rows
from hedgerow.config import CallerError, EvaluateNames
from hedgerow.data.datasets import Example
from hedgerow.data.labels import LabelStore
from hedgerow.evaluation.marking import Marked, Marking
from hedgerow.evaluation.viewing import exploring
from hedgerow.explore import explore
from hedgerow.forest import MaskForest
from hedgerow.measure import called, hits, name_table, strips
from hedgerow.naming import Names, Naming, Vocabulary, name_map, name_regions, open_naming, say_names
from hedgerow.naming.matching import calibrated
from hedgerow.naming.prompts import read_templates
from hedgerow.photos import Photo, open_photo
from hedgerow.pipeline import DECODED, explore_of

TOP = (1, 5)


@dataclass(frozen=True)
class Asked:
    """What a worker is to do, the same for all photos."""

    config: EvaluateNames
    vocabulary: Vocabulary
    marking: Marking
    rows: tuple[str, ...]


@dataclass
class Named:
    """Of one photo: the classes of its true regions; of each row the tables of pixels, closed and open, how many of
    the true regions are named right (first, among the first five), and seconds to look and to name."""

    name: str
    regions: np.ndarray
    closed: dict[str, np.ndarray] = field(default_factory=dict)
    open: dict[str, np.ndarray] = field(default_factory=dict)
    right: dict[str, tuple[float, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def namer(asked: Asked) -> Callable[[tuple[int, Example]], Named]:
    """What names the photos of a data set, one after the other."""
    naming = naming_of(asked.config, asked.vocabulary)
    templates = None if asked.config.templates is None else read_templates(asked.config.templates)
    closed = say_names(
        naming.language, asked.vocabulary, background=(), templates=templates, synonyms=asked.config.synonyms
    )
    store = None if asked.config.labels is None else LabelStore(asked.config.labels)
    finder = open_backbone("texture")

    def forest_of(example: Example, photo: Photo) -> MaskForest:
        if store is None:
            return explore(photo, finder, explore_of(exploring(asked.config)), asked.config.seed)
        return stored(store, example.key)

    def named(item: tuple[int, Example]) -> Named:
        place, example = item
        marked = asked.marking.read(example)
        photo = open_photo(example.photo, DECODED)
        seen = _Seen(photo, marked, naming, lambda: forest_of(example, photo))
        told = Named(example.key, marked.regions)
        for row in asked.rows:
            rng = np.random.default_rng([asked.config.seed, place])
            _name(told, row, seen, closed, asked, rng=rng)
        return told

    return named


def naming_of(config: EvaluateNames, vocabulary: Vocabulary) -> Naming:
    """The language of a command, and how it says these names beside a background."""
    return open_naming(
        vocabulary,
        config.model,
        threshold=config.threshold,
        background=config.background,
        templates=config.templates,
        synonyms=config.synonyms,
    )


def stored(store: LabelStore, key: str) -> MaskForest:
    """The forest that a store has of a photo."""
    if key not in store.places:
        raise CallerError(f"{store.place} has no photo {key}: explore the photos of --data")
    label = store[key]
    if label.forest is None:
        raise CallerError(f"{store.place} has no regions of {key}: {label.error}")
    return label.forest


# ---------------------------------------------------------------------- one photo, one row


def _name(told: Named, row: str, seen: _Seen, closed: Names, asked: Asked, *, rng: np.random.Generator) -> None:
    kind, bare, behind = row, closed, seen.naming.names
    if row == "chance":
        kind, bare = asked.config.regions, _lot(closed, 0, rng)
        behind = _lot(closed, 1, rng)  # one word of background stands for all
    looking = seen.looked(kind)
    start = perf_counter()
    painter = _PAINTERS[kind]
    painted = painter(seen, bare, 0.0)
    if painted is None:  # the network has no groups
        return
    told.seconds[row] = looking + perf_counter() - start
    marked, marking = seen.marked, asked.marking
    slots = marking.slots
    found = slots[painted]
    told.closed[row] = name_table(marked.closed, found, marking.count)
    if marking.background:
        sure = painter(seen, behind, seen.naming.threshold if row != "chance" else 0.0)
        assert sure is not None
        told.open[row] = name_table(marked.open, slots[sure], marking.count)
    told.right[row] = _right(kind, seen, bare, marking, found)


def _right(kind: str, seen: _Seen, names: Names, marking: Marking, found: np.ndarray) -> tuple[float, float]:
    """How many true regions are named right, and have their name among the five best where there is an order."""
    marked = seen.marked
    if not len(marked.regions):
        return 0.0, 0.0
    wanted = marking.rows[marked.regions]
    if kind in ("true", "whole"):
        vectors = seen.true_vectors if kind == "true" else seen.whole.repeat(len(wanted), 0)
        first, five = hits(names.probabilities(vectors)[:, : len(names.names)], wanted, TOP).sum(0)
        return float(first), float(five)
    own = zip(marked.regions, range(len(marked.regions)), strict=True)
    return float(sum(called(found, marked.forest.mask(place), marking.count) == slot for slot, place in own)), np.nan


@dataclass(eq=False)
class _Seen:
    """A photo, and what is seen of it, once however many rows want it."""

    photo: Photo
    marked: Marked
    naming: Naming
    find: Callable[[], MaskForest]
    spent: dict[str, float] = field(default_factory=dict)

    def looked(self, kind: str) -> float:
        """Seconds that a row's looking at the photo takes, whichever row it is done for. Exploring is not in them."""
        for part in _LOOKS[kind]:
            if part not in self.spent:
                _ = self.forest if part == "forest_features" else None
                start = perf_counter()
                getattr(self, part)
                self.spent[part] = perf_counter() - start
        return sum(self.spent[part] for part in _LOOKS[kind])

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.marked.closed.shape
        return height, width

    @cached_property
    def forest(self) -> MaskForest:
        forest = self.find()
        if forest.size != self.size:
            raise CallerError(f"{self.marked.name}: regions of {forest.size} for labels of {self.size} (height, width)")
        return forest

    @cached_property
    def features(self) -> FeatureMap:
        return self.naming.language.look(self.photo.pixels)

    @cached_property
    def forest_features(self) -> FeatureMap:
        return self.naming.language.look(self.photo.pixels, self.forest)

    @cached_property
    def true_features(self) -> FeatureMap:
        return self.naming.language.look(self.photo.pixels, self.marked.forest)

    @cached_property
    def true_vectors(self) -> np.ndarray:
        vectors = embed(self.marked.forest, self.true_features).embedding
        assert vectors is not None
        return vectors

    @cached_property
    def whole(self) -> np.ndarray:
        return self.naming.language.whole(self.photo.pixels)[None]

    @cached_property
    def groups(self) -> np.ndarray | None:
        """(H, W) the likeliest group of each pixel."""
        groups = self.naming.language.groups(self.photo.pixels)
        if groups is None:
            return None
        found = np.zeros(self.size, np.int32)
        for rows, strip in strips(groups.transpose(2, 0, 1), self.size):
            found[rows] = strip.argmax(0)
        return found


def _forest(seen: _Seen, names: Names, threshold: float) -> np.ndarray:
    return name_map(name_regions(seen.forest, seen.forest_features, names, threshold), names.names)


def _true(seen: _Seen, names: Names, threshold: float) -> np.ndarray:
    if not len(seen.marked.forest):
        return np.full(seen.size, -1, np.int32)
    return name_map(name_regions(seen.marked.forest, seen.true_features, names, threshold), names.names)


def _groups(seen: _Seen, names: Names, threshold: float) -> np.ndarray | None:
    if seen.groups is None:
        return None
    values, place = np.unique(seen.groups, return_inverse=True)
    partition = embed(MaskForest.from_labels(seen.groups), seen.features).embedding
    assert partition is not None
    assert len(partition) == len(values)
    return _sure(names, partition, threshold)[place.reshape(seen.size)]


def _whole(seen: _Seen, names: Names, threshold: float) -> np.ndarray:
    return np.full(seen.size, _sure(names, seen.whole, threshold)[0], np.int32)


def _patches(seen: _Seen, names: Names, threshold: float) -> np.ndarray:
    h, w, dim = seen.features.values.shape
    told = names.probabilities(unit_rows(seen.features.values.reshape(h * w, dim)))
    found, count = np.zeros(seen.size, np.int32), len(names.names)
    for rows, strip in strips(told.T.reshape(-1, h, w), seen.size):
        best = strip[:count].argmax(0)
        sure = np.take_along_axis(strip, best[None], 0)[0]
        behind = strip[count:].max(0, initial=0.0) > sure
        unsure = calibrated(sure, names.calibration) < threshold
        found[rows] = np.where(behind | unsure, -1, best)
    return found


_LOOKS = {
    "forest": ("forest_features",),
    "groups": ("features", "groups"),
    "patches": ("features",),
    "whole": ("whole",),
    "true": ("true_features",),
}
_PAINTERS: dict[str, Callable[[_Seen, Names, float], np.ndarray | None]] = {
    "forest": _forest,
    "groups": _groups,
    "patches": _patches,
    "whole": _whole,
    "true": _true,
}


def _sure(names: Names, vectors: np.ndarray, threshold: float) -> np.ndarray:
    """(N,) the name of each vector, -1 for what is background or less sure than the threshold."""
    best, score = names.best(vectors)
    return np.where(score >= threshold, best, -1)


@dataclass(frozen=True, eq=False)
class _Lot(Names):
    """Names by lot, whatever they are compared with."""

    behind: int = 0
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        count = len(self.names) + self.behind
        return np.eye(count, dtype=np.float32)[self.rng.integers(0, count, len(vectors))]


def _lot(names: Names, behind: int, rng: np.random.Generator) -> Names:
    return _Lot(names.names, names.rows, names.owner, names.scale, behind=behind, rng=rng)
