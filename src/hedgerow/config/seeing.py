"""How a photo becomes a forest: exploring, and a trained model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Borders:
    """How strong a border between two grains is."""

    spectral: float = 2.0  # weight of what the whole photo's eigenvectors see, against the local gradient's 1; 0: off
    vectors: int = 16  # eigenvectors looked at
    local: float = 0.25  # weight of the local gradient in the graph that the eigenvectors are of
    softness: float = 1.0  # of that graph: unlikeness at which the bond between two grains falls to 1/e


@dataclass(frozen=True)
class Merge:
    """Price of merging two neighbours: (feature * (1 - cosine) + border * strength) * smaller area ** size.

    SOHES as published is feature 1, border 0, size 0.
    """

    feature: float = 1.0
    border: float = 0.5
    size: float = 0.1


@dataclass(frozen=True)
class Candidates:
    """Which unions of grains are looked at, and what they are worth."""

    pairs_from: int = 160  # pairs of neighbours are formed from this many regions on down
    triples_from: int = 60
    pair: float = 1.0  # how much less a pair is worth than a node of the same crowd, in natural logarithms
    triple: float = 3.3
    compact: float = 2.3  # weight of compactness
    inner: float = 0.8  # weight of the structure inside
    min_area: int = 40  # pixels of the photo as it is explored
    faint: float = 0.02  # strength of an outline, in units of the photo's mean border, below which nothing ends there
    max_share: float = 0.9  # of the photo; a region of nearly everything says nothing
    most: int = 5000  # candidates of a tree that are looked at closely


@dataclass(frozen=True)
class Zoom:
    """A second, closer look at small things."""

    windows: int = 8  # at most, in one photo; 0: no second look
    small: float = 0.01  # theta_small: share of the photo below which a region is small
    context: float = 3.0  # side of a window, in longer sides of the region it is for
    apart: float = 0.5  # IoU of two windows above which one of them is enough
    side: int = 256  # pixels a window is brought to
    grains: int = 400
    pairs_from: int = 40  # as for the whole photo
    triples_from: int = 0
    looked_at: int = 600
    most: int = 40  # regions a window may add


@dataclass(frozen=True)
class Explore:
    """SOHES phase 1, from features to a forest."""

    pixels: int = 640 * 640  # a larger photo is explored at this many; its masks come back at full size all the same
    grain: Literal["photo", "patches"] = "photo"  # finest regions: edged as the photo is, or the backbone's patches
    grains: int = 3000  # how many, where they are edged as the photo is
    keep_iou: float = 0.5  # of a mask of patches before and after refining; below it goes (HASSOD, UnSAM). 0: unrefined
    words: int = 128  # visual words a photo is read in; 0: the backbone's features as they are
    word_dims: int = 32
    borders: Borders = field(default_factory=Borders)
    merge: Merge = field(default_factory=Merge)
    second: Merge = field(default_factory=lambda: Merge(border=1.0, size=0.3))  # on local borders alone
    handicap: float = 0.8  # how much less a candidate of the second merging is worth; inf: there is no second merging
    outlined: float = 0.4  # the same of both mergings by outlines, where the backbone says them; inf: there are none
    candidates: Candidates = field(default_factory=Candidates)
    zoom: Zoom = field(default_factory=Zoom)
    overlap: float = 0.9  # of two candidates whose IoU is more, the less worthy goes (UnSAM's; SOHES's is not known)
    alike: float = 1.0  # how much later those that stay come, the more of them better ones show; 0: as they are
    cover: float = 0.9  # theta_cover: a region this much inside another is part of it
    max_masks: int = 1000
    min_area: int = 0  # pixels of the photo at full size; a smaller region is left out


@dataclass(frozen=True)
class Predict:
    """A trained segmenter's look at a photo."""

    size: int | None = None  # pixels, to which the photo's shorter side is brought (default: as the model's card says)
    pixels: int = 640 * 640  # edges are looked for in the photo at this many
    grains: int = 3000  # of which masks are made
    tiles: int = 0  # pixels a side of tiles of the photo that are looked at as well, for small things; 0: none
    head: bool = True  # the network says who is part of whom; without it the masks alone do
    cover: float = 0.9  # a region this much inside another is part of it, where the masks alone say
    max_masks: int = 1000
    min_area: int = 0  # pixels of the photo at full size; a smaller region is left out
