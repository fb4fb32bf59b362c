"""Every knob, as frozen dataclasses; standard library only. The command line is generated from these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


class CallerError(ValueError):
    """A mistake of the caller's, told in one line: what was expected, what came, what to do. Never a traceback at the
    command line."""


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
    max_share: float = 0.9  # of the photo; a region of nearly everything says nothing
    most: int = 5000  # candidates of a tree that are looked at closely


@dataclass(frozen=True)
class Explore:
    """SOHES phase 1, from features to a forest."""

    pixels: int = 640 * 640  # a larger photo is explored at this many; its masks come back at full size all the same
    grain: Literal["photo", "patches"] = "photo"  # finest regions: edged as the photo is, or the backbone's patches
    grains: int = 3000  # how many, where they are edged as the photo is
    words: int = 128  # visual words a photo is read in; 0: the backbone's features as they are
    word_dims: int = 32
    borders: Borders = field(default_factory=Borders)
    merge: Merge = field(default_factory=Merge)
    second: Merge = field(default_factory=lambda: Merge(border=1.0, size=0.3))  # on local borders alone
    handicap: float = 0.8  # how much less a candidate of the second merging is worth; inf: there is no second merging
    candidates: Candidates = field(default_factory=Candidates)
    overlap: float = 0.9  # of two candidates whose IoU is more, the less worthy goes (SOHES, UnSAM)
    cover: float = 0.9  # theta_cover: a region this much inside another is part of it
    max_masks: int = 1000
