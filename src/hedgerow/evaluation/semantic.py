"""Categories that nobody named against classes that people did: MaskContrast's protocols (Van Gansbeke et al. 2021).

In: a data set with maps of classes, and a backbone. Out: a `FeatureReport`, a row a backbone.

    kmeans     what stands out in each photo is one vector, whitened and sorted by K-means; the rest is background
    segments   every photo is parted into segments, and all of them are sorted
    pixels     patches are sorted one by one; no mask is needed
    linear     the linear probe of `evaluate_features`
    retrieval  what stands out takes the class of the most similar thing in other photos
    finetune   the whole network learns from a few labelled photos (see `hedgerow.evaluation.tuning`)

What stands out is what a prior says, else the backbone (its salience), else `hedgerow.prior` of forests explored with
`texture`: the same for all rows that have no salience, so that they differ by their features alone.

Where we depart, and what `compat` takes back: an object is where salience is above a half, not where its logit is; the
vector is the sum of unit vectors, as in training, not of raw ones weighted by logits; retrieval is scored at the size
of the labels, not at 512 x 512; classes that no photo shows are left out, not counted 0. K-means is ours, not
mini-batches. The rotated border and the epoch chosen on the photos tested on have no counterpart in our probe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import numpy as np

from hedgerow.backbones import open_backbone
from hedgerow.categories import fit_whitening, kmeans
from hedgerow.config import CallerError, EvaluateFeatures, EvaluateSemantic, SemanticProtocol, UsageError
from hedgerow.data.datasets import Dataset, Example, open_dataset
from hedgerow.data.labels import LabelStore
from hedgerow.engines import share_out
from hedgerow.evaluation.features import (
    GROUNDS,
    PATCHES,
    FeatureReport,
    Row,
    classes_of,
    evaluate_features,
    in_turn,
    names_beside,
    stretch,
)
from hedgerow.evaluation.viewing import Item, Kept, Viewed, drawer, exploring, sorter, viewer
from hedgerow.forest import MaskForest
from hedgerow.measure import (
    CategoryScores,
    PhotoProbe,
    Probe,
    class_of,
    measure_categories,
    pool_categories,
    pool_probe,
    retrieve,
)
from hedgerow.pipeline import Watch, explore_of, failed, settings_of, workers_of

SEVEN = ("aeroplane", "bottle", "bus", "car", "cat", "cow", "person")  # the classes of the smaller retrieval


def evaluate_semantic(config: EvaluateSemantic, watch: Watch = lambda items, _: items) -> FeatureReport:
    """Measure a backbone, and those beside it, by one protocol; `watch` shows progress.

    A photo that cannot be opened ends it, as do labels that cannot be read: either would change what is measured.
    """
    given = _Given(config)
    if config.protocol == "linear":
        return _linear(config, watch)
    if config.protocol == "finetune":
        from hedgerow.evaluation.tuning import tuned

        return tuned(
            config, given.learning, given.testing, classes=given.classes, described=given.described, watch=watch
        )
    measure = {"kmeans": _kmeans, "segments": _kmeans, "pixels": _pixels, "retrieval": _retrieval}[config.protocol]
    names, notes = names_beside(config)
    rows = [_measured(name, given, measure, watch) for name in names]
    return FeatureReport(rows, rows[0].chance, given.described, notes + given.notes(), given.seeds)


# ---------------------------------------------------------------------- what is measured


class _Given:
    """The data set of a command, opened and found fit for its protocol before any photo is."""

    def __init__(self, config: EvaluateSemantic) -> None:
        self.config = config
        if config.protocol not in get_args(SemanticProtocol):
            raise UsageError(f"--protocol is one of {', '.join(get_args(SemanticProtocol))}, got {config.protocol}")
        for name, least in (
            ("every", 1),
            ("limit", 1),
            ("seeds", 1),
            ("objects", 1),
            ("segments", 1),
            ("k", 2),
            ("dims", 1),
        ):
            value = getattr(config, name)
            if value is not None and value < least:
                raise UsageError(f"{'-' if name == 'k' else '--'}{name} is at least {least}, got {value}")
        split = config.protocol in ("linear", "retrieval", "finetune")
        if config.test is not None and not split:
            raise UsageError(f"--test goes with linear, retrieval and finetune; {config.protocol} names no class")
        if config.prior is not None and config.protocol not in ("kmeans", "segments", "retrieval"):
            raise UsageError(f"--prior goes with kmeans, segments and retrieval; {config.protocol} looks at no region")
        explore_of(exploring(config))  # its knobs are checked now, not after minutes
        self.seeds = [config.seed + number for number in range(config.seeds)]
        self.photos = self._chosen(config.data)
        self.classes = classes_of(self.photos, config.data)
        self.count = max(self.classes) + 1
        self.grounds = tuple(index for index, name in self.classes.items() if name in GROUNDS)
        if config.protocol in ("kmeans", "retrieval") and self.grounds[:1] != (0,):
            raise UsageError(
                f"{config.protocol} takes what does not stand out for background, which is no class of {config.data}: "
                "use segments or pixels"
            )
        self.k = config.k or len(self.classes)
        self.store = None if config.prior is None else LabelStore(config.prior)
        self.forests: dict[str, MaskForest] = {}  # explored once, for all rows
        self.empty: set[str] = set()  # photos in which nothing stands out
        self.described = {"data": f"{config.data}: {len(self.photos)} photos, {len(self.classes)} classes"}
        self.learning: Sequence[Example] = ()
        self.testing: Sequence[Example] = ()
        if split:
            self._part(config)
        if config.protocol in ("kmeans", "segments", "retrieval"):
            where = f"of {config.prior}" if config.prior else "explored with texture"
            if config.protocol == "segments":
                self.described["regions"] = f"all of a photo in {config.segments} and the rest, {where}"
            else:
                salient = "" if config.prior else "what is salient, else "
                self.described["regions"] = f"{salient}the best {config.objects} of what stands out, {where}"

    def _chosen(self, spec: str) -> Dataset:
        return open_dataset(spec)[:: self.config.every][: self.config.limit]

    def _part(self, config: EvaluateSemantic) -> None:
        """Photos to learn from and photos to test on, by the rule of `evaluate features`."""
        if config.test is None:
            if len(self.photos) < 2:
                raise UsageError(f"{config.data} has one photo, none is left to test on: give more, or --test")
            turns = in_turn(len(self.photos))
            self.learning = [example for example, first in zip(self.photos, turns, strict=True) if first]
            self.testing = [example for example, first in zip(self.photos, turns, strict=True) if not first]
            said = f"{stretch(len(self.photos))} consecutive ones in turn"
        else:
            testing = self._chosen(config.test)
            if testing.classes != self.photos.classes:
                raise UsageError(f"--test {config.test} has other classes than {config.data}: give two splits of one")
            if shared := {example.photo for example in self.photos} & {example.photo for example in testing}:
                raise UsageError(f"--data and --test share {len(shared)} photos: test on what was never seen")
            self.learning, self.testing, said = self.photos, testing, config.test
        self.described["tested on"] = f"{len(self.testing)} of these photos, {len(self.learning)} learned from: {said}"

    def forest(self, example: Example) -> MaskForest | None:
        """The regions that a prior has of this photo; None where they are to be explored."""
        if self.store is not None and example.key not in self.forests:
            if example.key not in self.store.places:
                raise CallerError(f"{self.store.place} has no photo {example.key}: make it of the photos of --data")
            label = self.store[example.key]
            if label.forest is None:
                raise CallerError(f"{self.store.place} has no regions of {example.key}: {label.error}")
            self.forests[example.key] = label.forest
        return self.forests.get(example.key)

    def notes(self) -> list[str]:
        if not self.empty:
            return []
        return [f"nothing stands out in {len(self.empty)} photos, as {min(self.empty)}: all of it is background"]


def _linear(config: EvaluateSemantic, watch: Watch) -> FeatureReport:
    """The probe that is there already."""
    return evaluate_features(
        EvaluateFeatures(
            config.backbone,
            probe=config.data,
            test=config.test,
            beside=config.beside,
            seeds=config.seeds,
            every=config.every,
            limit=config.limit,
            workers=config.workers,
            seed=config.seed,
            explore=config.explore,
        ),
        watch,
    )


# ---------------------------------------------------------------------- one backbone


@dataclass
class _Taken:
    """What a protocol found of one backbone: as `Row` has it, and seconds of every photo's features."""

    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)
    chance: dict[str, tuple[float, ...]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


def _measured(name: str, given: _Given, measure: Callable[..., None], watch: Watch) -> Row:
    taken = _Taken()
    measure(name, given, watch, taken)
    model = settings_of(open_backbone(name), exploring(given.config, name))
    return Row(name, taken.scores, taken.chance, float(np.mean(taken.seconds)), model, taken.details)


def _kmeans(name: str, given: _Given, watch: Watch, taken: _Taken) -> None:
    """A vector a region of all photos, K groups of these; what is in no region is category 0."""
    segments = given.config.protocol == "segments"
    seen = _looked_at(partial(viewer, name, given.config, given.count), given.photos, given, watch, taken)
    ends = np.cumsum([len(photo.vectors) for photo in seen])
    vectors = np.concatenate([photo.vectors for photo in seen])
    k = given.k if segments else given.k - 1
    if len(vectors) < k:
        told = f"{len(vectors)} regions cannot be sorted into {k} categories"
        raise CallerError(f"{told}: give more photos, or a smaller -k")
    white = fit_whitening(vectors, given.config.dims)(vectors)
    pooled: list[list[CategoryScores]] = [[], []]
    for seed in given.seeds:
        by_chance = np.random.default_rng(seed).integers(0, k, len(vectors))
        for half, of in zip(pooled, (kmeans(white, k, seed).of, by_chance), strict=True):
            each = np.split(of if segments else of + 1, ends[:-1])
            photos = [
                measure_categories(photo.pixels, own if segments else np.append(own, 0), given.k, name=photo.name)
                for photo, own in zip(seen, each, strict=True)
            ]
            half.append(pool_categories(photos, 0.0 if given.config.compat else np.nan))
    _tell(pooled[0], pooled[1], given, taken)
    taken.details["regions"] = len(vectors)


def _tell(found: Sequence[CategoryScores], chance: Sequence[CategoryScores], given: _Given, taken: _Taken) -> None:
    for scores, pooled in ((taken.scores, found), (taken.chance, chance)):
        told = [one.as_dict() for one in pooled]
        scores |= {name: tuple(one[name] for one in told) for name in told[0] if name != "photos"}
    iou = np.mean([one.hungarian.iou for one in found], axis=0)
    taken.details["IoU Hungarian"] = {label: float(iou[index]) for index, label in given.classes.items()}
    taken.details["categories"] = {
        "Hungarian": [one.hungarian.classes for one in found],
        "majority (count)": [one.majority_count.classes for one in found],
    }


def _pixels(name: str, given: _Given, watch: Watch, taken: _Taken) -> None:
    """K groups of patches drawn from all photos; the nearest centroid is a linear layer, read as a probe is."""
    quota = -(-PATCHES // len(given.photos))
    draw = partial(drawer, name, given.seeds, quota)
    drawn = _looked_at(draw, given.photos, given, watch, taken)
    nearest = []
    for place, seed in enumerate(given.seeds):
        vectors = np.concatenate([photo[place] for photo in drawn])
        whiten = fit_whitening(vectors, given.config.dims)
        centroids = kmeans(whiten(vectors), given.k, seed).centroids
        offset = -whiten.mean @ whiten.axes @ centroids.T - np.square(centroids).sum(1) / 2
        nearest.append(Probe(whiten.axes @ centroids.T, offset, np.arange(given.k), 0.0))
    sort = partial(sorter, name, nearest, given.k, given.count)
    sorted_out = _looked_at(sort, given.photos, given, watch, taken)
    absent = 0.0 if given.config.compat else np.nan
    found = [pool_categories((photo[place] for photo in sorted_out), absent) for place in range(len(given.seeds))]
    whole = np.zeros(given.k, np.intp)  # all of it one category: what is known without looking
    alike = [measure_categories(photo[0].pixels, whole, given.k) for photo in sorted_out]
    _tell(found, [pool_categories(alike, absent)], given, taken)


def _retrieval(name: str, given: _Given, watch: Watch, taken: _Taken) -> None:
    """The most similar thing of the photos learned from gives its class to each of those tested on."""
    photos = [*given.learning, *given.testing]
    make = partial(viewer, name, given.config, given.count)
    seen = _looked_at(make, photos, given, watch, taken)
    bank, asked = seen[: len(given.learning)], seen[len(given.learning) :]
    seven = [index for index, label in given.classes.items() if label in SEVEN]
    sets = {len(given.classes): [*given.classes]}
    if len(seven) == len(SEVEN):
        sets[len(SEVEN)] = seven
    for count, chosen in sorted(sets.items()):
        void = np.setdiff1d(np.arange(given.count), [*given.grounds, *chosen])
        known, classes = _banked(bank, void, given)
        drawn = np.random.default_rng(given.config.seed).choice(classes, sum(len(photo.vectors) for photo in asked))
        for scores, lookup in ((taken.scores, True), (taken.chance, False)):
            tables, place = [], 0
            for photo in asked:
                own = len(photo.vectors)
                of = retrieve(known, classes, photo.vectors) if lookup else drawn[place : place + own]
                pixels = photo.pixels.copy()
                pixels[void] = 0
                told = measure_categories(pixels, np.append(of, 0), given.count)
                tables.append(PhotoProbe(photo.name, told.pixels))
                place += own
            iou = np.array(pool_probe(tables).iou)[chosen]
            iou = np.nan_to_num(iou) if given.config.compat else iou[~np.isnan(iou)]
            scores[f"mIoU {count} classes"] = (float(iou.mean()) if len(iou) else np.nan,)
    taken.details["bank"] = len(known)


def _banked(bank: Sequence[Viewed], void: np.ndarray, given: _Given) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and classes of the things in the photos learned from, but for those that show no class."""
    vectors, classes = [], []
    for photo in bank:
        for vector, pixels in zip(photo.vectors, photo.pixels.T, strict=False):  # the last column is the rest
            if (label := class_of(pixels, [*given.grounds, *void])) >= 0:
                vectors.append(vector)
                classes.append(label)
    if not vectors:
        raise CallerError(f"{given.config.data}: nothing that stands out shows a class: give more photos")
    return np.stack(vectors), np.array(classes)


def _looked_at(
    make: Callable[[], Callable[[Item], Kept]],
    examples: Sequence[Example],
    given: _Given,
    watch: Watch,
    taken: _Taken,
) -> list[Any]:
    """What was kept of each photo, in their order."""
    items = [(place, example, given.forest(example)) for place, example in enumerate(examples)]
    most = workers_of(exploring(given.config))
    found: dict[int, Any] = {}
    with closing(share_out(make, items, min(most, len(items)) if most > 1 else 0)) as outcomes:
        for place, outcome in watch(outcomes, len(items)):
            if isinstance(outcome, CallerError):
                raise CallerError(failed(examples[place].photo, outcome).reason)
            found[place], seconds, explored = outcome
            taken.seconds.append(seconds)
            if explored is not None:
                given.forests[examples[place].key] = explored
    kept = [found[place] for place in range(len(items))]
    given.empty |= {photo.name for photo in kept if isinstance(photo, Viewed) and not len(photo.vectors)}
    return kept
