"""Which objects of a photo stand out: a run over photos, and the knobs of the ways to find them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hedgerow.config.running import Labelling


@dataclass(frozen=True)
class Prior:
    """What an object is, and how a photo is cut."""

    least: float = 0.01  # of the photo; smaller objects, and smaller pieces of one, are left out (MaskContrast's 1 %)
    most: float = 0.8  # of the photo; what is larger is its ground
    sure: float = 0.2  # score below which nothing is said to stand out; the best region of most photos has 0.4 to 0.5
    beside: float = 0.8  # of the best object's score that a further one of the photo has at least
    overlap: float = 0.3  # of an object that may lie in surer ones; these keep what they share
    patches: int = 1000  # that a photo is cut by, at most
    softness: float = 0.1  # of the cut: unlikeness (1 - cosine) at which the bond between two patches falls to 1/e
    near: float = 0.1  # how far bonds reach, in longer sides of the photo
    far: float = 0.01  # of a bond's strength that is left at any distance


@dataclass(frozen=True)
class Propose(Labelling):
    """Finding the objects that stand out, in a collection."""

    by: Literal["forest", "spectral", "both"] = "both"  # regions of an explored forest, a cut of the patches, or both
    max_objects: int = 5  # of a photo, the surest first
    masks: Path | None = None  # a folder of KEY.png, 8 bits, made elsewhere: these are taken instead
    components: bool = False  # each connected part of such a mask is an object of its own
    supervision: str = "unknown"  # for the record, what such masks were made with: none, captions or labels
    png: bool = False  # write masks/KEY.png as well, all objects of a photo as 255, the rest as 0
    prior: Prior = field(default_factory=Prior)
