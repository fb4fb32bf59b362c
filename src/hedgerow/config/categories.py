"""Segments of a collection: sorting them into categories, finding those that look alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hedgerow.config.seeing import Explore, Zoom


def _large_things() -> Explore:
    """Segments are a photo's few best regions, none of them small: closer looks and fine grains would be in vain, and
    take three quarters of the time."""
    return Explore(grains=1500, max_masks=300, zoom=Zoom(windows=0))


@dataclass(frozen=True)
class Gather:
    """What the segments of a collection are, and what looks at them."""

    segments: Path | None = None  # labels of the photos, of hedgerow prior or explore (default: photos are explored)
    most_segments: int = 8  # of a photo, its best-scored regions that do not overlap
    # what tells alike from unlike: embedded?feature=meaning, embedded, texture, FILE.onnx or hub:ID
    backbone: str = "embedded?feature=meaning"
    workers: int | None = None  # processes (default: as many as there are cores for us)
    engine: Literal["local", "ray"] = "local"  # who works: processes of this machine, or a Ray cluster (RAY_ADDRESS)
    overwrite: bool = False  # forget the segments that are there, and start again
    keep_going: bool = False  # note why a photo cannot be opened, and go on
    retry: bool = False  # look again at photos that could not be done before
    seed: int = 0
    quiet: bool = False  # print errors only
    explore: Explore = field(default_factory=_large_things)


@dataclass(frozen=True)
class Cluster(Gather):
    """Sorting segments into categories."""

    dims: int = 32  # directions (PCA) in which segments are compared, those in which they differ most
    shown: int = 36  # segments on a category's sheet, each of another photo


@dataclass(frozen=True)
class Index(Gather):
    """Making a collection searchable."""


@dataclass(frozen=True)
class Search:
    """Finding segments that look alike."""

    level: int | None = None  # which of the regions that are told of is asked about (default: the best-scored)
    min_score: float = -1.0  # cosine below which nothing counts as alike
    same_photo: bool = False  # segments of the photo asked about are found, too
    seed: int = 0
    quiet: bool = False  # print errors only
    explore: Explore = field(default_factory=_large_things)
