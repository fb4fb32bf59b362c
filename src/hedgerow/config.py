"""Every knob, as frozen dataclasses; standard library only. The command line is generated from these."""

from __future__ import annotations

from dataclasses import dataclass


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
    compact: float = 2.5  # weight of compactness
    inner: float = 1.2  # weight of the structure inside
    min_area: int = 40  # pixels of the photo as it is explored
    max_share: float = 0.9  # of the photo; a region of nearly everything says nothing
    most: int = 5000  # candidates of a tree that are looked at closely
