"""Categories: groups of segments that new segments are sorted into, as a stage and as a file.

In: vectors of many segments, or a folder with `categories.npz` and its card. Out: `Categories`, which say of any vector
in which group it falls and how far from its middle; a forest with the category of each region; a map of them.

    categories.npz    mean (D,), axes (D, d): the PCA; centroids (K, d); typical (K,), reach (1,): distances
    categories.json   what looked at the segments, how they were chosen, the sha256 of the .npz

A vector farther from its nearest centroid than any segment that made the categories from its own is in none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.backbones import Backbone, FeatureMap, open_backbone
from hedgerow.backbones.pooling import embed
from hedgerow.categories.grouping import Projection, fit_pca, kmeans, nearest
from hedgerow.categories.segments import foremost
from hedgerow.config import VERSION, CallerError
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

ARRAYS, CARD = "categories.npz", "categories.json"
FORMAT = 1
SLACK = 1.001  # a segment seen again is not farther than it was but for rounding


@dataclass(frozen=True, eq=False)
class Categories:
    """K categories. typical (K,): the middle distance of a category's segments from its centroid; reach (1,): the
    largest of any."""

    projection: Projection
    centroids: np.ndarray
    typical: np.ndarray
    reach: np.ndarray

    def __len__(self) -> int:
        return len(self.centroids)

    def of(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) -> (N,) int32 category, -1 for what is in none, and (N,) float32 distance from its centroid."""
        found, squares = nearest(self.projection(vectors), self.centroids)
        distances = np.sqrt(squares)
        return np.where(distances <= SLACK * self.reach, found, -1).astype(np.int32), distances


def fit_categories(vectors: np.ndarray, k: int, *, dims: int, seed: int) -> Categories:
    """K categories of the vectors (N, D), the largest first."""
    projection = fit_pca(vectors, dims)
    groups = kmeans(projection(vectors), k, seed)
    counts = np.bincount(groups.of, minlength=k)
    order = np.argsort(-counts, kind="stable")
    found, squares = nearest(projection(vectors), groups.centroids[order])
    distances = np.sqrt(squares)
    own = [distances[found == category] for category in range(k)]
    typical = np.array([np.median(one) if len(one) else 0 for one in own], np.float32)
    reach = distances.max(keepdims=True).astype(np.float32)
    return Categories(projection, groups.centroids[order], typical, reach)


def sort_regions(forest: MaskForest, features: FeatureMap, categories: Categories) -> MaskForest:
    """The forest with the category of each region."""
    vectors = embed(forest, features).embedding
    assert vectors is not None
    return replace(forest, category=categories.of(vectors)[0])


def category_map(forest: MaskForest, most: int) -> np.ndarray:
    """(H, W) int32: the category of the segment that holds each pixel, -1 where none does; the photo's segments are its
    `most` foremost regions."""
    assert forest.category is not None
    labels = np.full(forest.size, -1, np.int32)
    for row in foremost(forest, most)[::-1]:  # the best are painted last
        labels[forest.mask(int(row))] = forest.category[row]
    return labels


# ---------------------------------------------------------------------- files


@dataclass(frozen=True, eq=False)
class SavedCategories:
    """Categories and their card: which backbone looked at the segments, how many of a photo there are, and more."""

    categories: Categories
    card: Mapping[str, Any]

    @property
    def most(self) -> int:
        return int(self.card["most_segments"])

    def open_backbone(self) -> Backbone:
        """What looked at the segments; refused where it is not the same any more."""
        return same_backbone(self.card["backbone"], "these categories")


def same_backbone(made_with: Mapping[str, Any], what: str) -> Backbone:
    """The backbone of a record, opened; vectors of another say nothing beside its own."""
    backbone = open_backbone(made_with["asked"])
    for field in ("name", "weights_sha256"):
        if getattr(backbone, field) != made_with[field]:
            raise CallerError(
                f"{what} were made with {made_with['asked']} whose {field} was {made_with[field]}, now it is "
                f"{getattr(backbone, field)}: bring back that backbone, or make them again"
            )
    return backbone


def write_categories(folder: Path, categories: Categories, card: Mapping[str, Any]) -> None:
    """Both files; the card is completed by what the arrays say."""
    memory = BytesIO()
    np.savez(memory, **_arrays(categories))  # type: ignore[arg-type]
    content = memory.getvalue()
    document = {
        "hedgerow": FORMAT,
        "kind": "categories",
        "version": VERSION,
        **card,
        "categories": len(categories),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(folder / ARRAYS, content)
    write_atomically(folder / CARD, (json.dumps(document, indent=1) + "\n").encode())


def read_categories(folder: str | Path) -> SavedCategories:
    """What `write_categories` wrote, proved before it is trusted; nothing in it is ever run."""
    folder = Path(folder).expanduser()
    card = _read_card(folder)
    try:
        content = (folder / ARRAYS).read_bytes()
    except OSError as error:
        raise CallerError(f"cannot read {folder / ARRAYS}: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise CallerError(f"{folder / ARRAYS} is not the file that {CARD} beside it describes: make both again")
    try:
        with np.load(BytesIO(content), allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in ("mean", "axes", "centroids", "typical", "reach")}
    except Exception as error:  # numpy and zipfile meet damaged files with several types
        raise CallerError(f"{folder / ARRAYS} holds no categories ({str(error).splitlines()[0]})") from None
    d, k = arrays["axes"].shape[-1] if arrays["axes"].ndim == 2 else 0, card["categories"]
    shapes = {"mean": arrays["axes"].shape[:1], "axes": (*arrays["axes"].shape[:1], d), "centroids": (k, d)}
    shapes |= {"typical": (k,), "reach": (1,)}
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype != np.float32 or not np.isfinite(array).all():
            raise CallerError(f"{folder / ARRAYS}: {name} should be {shapes[name]} finite float32, got {array.shape}")
    projection = Projection(arrays["mean"], arrays["axes"])
    return SavedCategories(Categories(projection, arrays["centroids"], arrays["typical"], arrays["reach"]), card)


def _arrays(categories: Categories) -> dict[str, np.ndarray]:
    return {
        "mean": np.asarray(categories.projection.mean, np.float32),
        "axes": np.asarray(categories.projection.axes, np.float32),
        "centroids": np.asarray(categories.centroids, np.float32),
        "typical": np.asarray(categories.typical, np.float32),
        "reach": np.asarray(categories.reach, np.float32),
    }


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    if not path.is_file():
        raise CallerError(f"{folder} holds no categories: it has no {CARD}; `hedgerow cluster` makes it")
    try:
        card = json.loads(path.read_bytes())
        if card["hedgerow"] != FORMAT or card["kind"] != "categories":
            raise CallerError(f"{path} is of another version ({card['hedgerow']}, not {FORMAT}): make it again")
        made_with = card["backbone"]
        sound = all(isinstance(made_with[name], str) for name in ("asked", "name", "supervision"))
        sound &= isinstance(made_with["weights_sha256"], str | None)
        sound &= all(type(card[name]) is int and card[name] > 0 for name in ("categories", "most_segments"))
        sound &= isinstance(card["sha256"], str) and card["supervision"] in ("none", "captions")
        if sound:
            return card
        reason = "a field is of the wrong type"
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = repr(error)
    raise CallerError(f"{path} is no card of categories ({reason}): make it again with `hedgerow cluster`")
