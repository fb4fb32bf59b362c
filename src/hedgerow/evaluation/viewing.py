"""A photo as the protocols of `evaluate semantic` look at it, in a worker: regions as vectors, and what they hold.

In: a photo's place in its data set, the photo with its labels, its regions where they are known. Out: what a protocol
keeps of it, the seconds that its features took, and its forest where that was explored here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, FeatureMap, feature_map, open_backbone
from hedgerow.backbones.pooling import embed, unit_rows
from hedgerow.config import CallerError, Evaluate, EvaluateNames, EvaluateSemantic, Prior
from hedgerow.data.datasets import Example, LayoutError
from hedgerow.explore import explore
from hedgerow.forest import MaskForest
from hedgerow.measure import PhotoCategories, Probe, label_histograms, region_histograms
from hedgerow.photos import Photo, open_photo
from hedgerow.pipeline import DECODED, explore_of
from hedgerow.prior import stand_out

HALF = 0.5  # probability above which something stands out
PUBLISHED_LOGIT = 0.5  # what the published protocol compares with 0.5 is the logit: a probability of 0.62
PUBLISHED_SIDE = 512  # pixels a side at which it scores retrieval

Item = tuple[int, Example, MaskForest | None]
Kept = tuple[Any, float, MaskForest | None]


@dataclass(frozen=True, eq=False)
class Viewed:
    """Regions of a photo, apart from each other: vectors (R, D), and the pixels of each class that they hold, (C, R);
    where they are objects a last column more, for what is in none of them."""

    name: str
    vectors: np.ndarray
    pixels: np.ndarray


def exploring(config: EvaluateSemantic | EvaluateNames, backbone: str = "texture") -> Evaluate:
    """How regions are made that no prior gives: by `texture` whatever is measured, so that rows differ by features."""
    return Evaluate(config.data, backbone=backbone, workers=config.workers, seed=config.seed, explore=config.explore)


def viewer(name: str, config: EvaluateSemantic, classes: int) -> Callable[[Item], Kept]:
    """Regions of a photo as vectors: `kmeans`, `segments`, `retrieval`."""
    return partial(_viewed, open_backbone(name), open_backbone("texture"), config, classes)


def drawer(name: str, seeds: Sequence[int], quota: int) -> Callable[[Item], Kept]:
    """For each seed some patches of a photo, at length 1."""
    backbone = open_backbone(name)

    def drawn(item: Item) -> Kept:
        place, example, _ = item
        features, seconds = _features(backbone, open_photo(example.photo, DECODED))
        rows = _unit(features).reshape(-1, features.values.shape[2])
        chosen = (np.random.default_rng([seed, place]).permutation(len(rows))[:quota] for seed in seeds)
        return [rows[np.sort(some)] for some in chosen], seconds, None

    return drawn


def sorter(name: str, nearest: Sequence[Probe], k: int, classes: int) -> Callable[[Item], Kept]:
    """Each pixel's category under each of several sortings."""
    backbone = open_backbone(name)

    def sorted_out(item: Item) -> Kept:
        _, example, _ = item
        labels = labels_of(example)
        features, seconds = _features(backbone, open_photo(example.photo, DECODED))
        maps = (one.labels(_unit(features), labels.shape) for one in nearest)
        tables = [PhotoCategories(example.key, region_histograms(found, labels, classes, k)) for found in maps]
        return tables, seconds, None

    return sorted_out


def _viewed(backbone: Backbone, finder: Backbone, config: EvaluateSemantic, classes: int, item: Item) -> Kept:
    _, example, forest = item
    labels, photo = labels_of(example), open_photo(example.photo, DECODED)
    features, seconds = _features(backbone, photo)
    explored = None
    salience = features.salience if config.protocol != "segments" and config.prior is None else None
    if salience is not None:
        forest = _standing_out(salience, labels.shape, config.compat)
    elif forest is None:
        forest = explored = _found(photo, finder, config)
    if forest.size != labels.shape:
        raise CallerError(f"{example.key}: regions of {forest.size} for labels of {labels.shape} (height, width)")
    opened = forest.cut(count=config.segments if config.protocol == "segments" else config.objects)
    rows, regions = np.unique(opened, return_inverse=True)  # what is in no region has -1, and so comes first
    regions = regions.reshape(labels.shape) - (rows[0] < 0)
    count = len(rows) - (rows[0] < 0)
    rest = regions < 0
    regions[rest] = count
    if config.protocol == "segments" and rest.any():
        count += 1
    vectors = _vectors(np.where(regions < count, regions, -1), features, config.compat)
    columns = count if config.protocol == "segments" else count + 1
    if config.compat and config.protocol == "retrieval":
        regions, labels = _square(regions), _square(labels)
    return Viewed(example.key, vectors, region_histograms(regions, labels, classes, columns)), seconds, explored


def _found(photo: Photo, finder: Backbone, config: EvaluateSemantic) -> MaskForest:
    """The forest of a photo, or of that what stands out, as `hedgerow prior --by forest` finds it."""
    forest = explore(photo, finder, explore_of(exploring(config)), config.seed)
    if config.protocol == "segments":
        return forest
    return stand_out(forest, feature_map(finder, photo.pixels).values, None, config.objects, Prior())


def labels_of(example: Example) -> np.ndarray:
    labels = example.truth().semantic
    if labels is None:
        raise LayoutError(f"{example.key} has no map of classes, which voc, coco-voc, camvid, ade20k and clothing have")
    return labels


def _features(backbone: Backbone, photo: Photo) -> tuple[FeatureMap, float]:
    start = perf_counter()
    features = feature_map(backbone, photo.pixels)
    return features, perf_counter() - start


def _unit(features: FeatureMap) -> np.ndarray:
    """(h, w, D), each patch at length 1."""
    h, w, dims = features.values.shape
    return unit_rows(features.values.reshape(h * w, dims)).reshape(h, w, dims)


def _standing_out(salience: np.ndarray, size: tuple[int, int], compat: bool) -> MaskForest:
    """The one region where something is likelier than not to stand out; none where nothing does."""
    least = 1 / (1 + np.exp(-PUBLISHED_LOGIT)) if compat else HALF
    grey = Image.fromarray(salience.astype(np.float32))
    fine = np.asarray(grey.resize(size[::-1], Image.Resampling.BILINEAR))
    return MaskForest.from_labels(np.where(fine > least, 0, -1).astype(np.int32))


def _vectors(regions: np.ndarray, features: FeatureMap, compat: bool) -> np.ndarray:
    """(R, D), of length 1, for a map of regions, -1 where none is."""
    if not compat:
        found = embed(MaskForest.from_labels(regions), features).embedding
        assert found is not None
        return found
    h, w, dims = features.values.shape
    share = label_histograms(regions, (h, w), int(regions.max(initial=-1)) + 1).reshape(h * w, -1).astype(np.float32)
    raw = features.values.reshape(h * w, dims)
    if features.salience is not None:
        salience = np.clip(features.salience.reshape(h * w, 1).astype(np.float64), 1e-6, 1 - 1e-6)
        raw = raw * np.log(salience / (1 - salience)).astype(np.float32)
    return unit_rows(share.T @ raw)


def _square(labels: np.ndarray) -> np.ndarray:
    """A map at the published size, each pixel that of the nearest place."""
    rows, columns = ((np.arange(PUBLISHED_SIDE) + 0.5) * side // PUBLISHED_SIDE for side in labels.shape)
    return labels[rows.astype(int)[:, None], columns.astype(int)]
