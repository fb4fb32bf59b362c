"""Measuring categories, and masks followed through films."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hedgerow.config.seeing import Explore

SemanticProtocol = Literal["kmeans", "segments", "pixels", "linear", "retrieval", "finetune"]


@dataclass(frozen=True)
class FineTune:
    """A whole network learning from a few labelled photos."""

    fractions: tuple[float, ...] = (0.01, 0.02, 0.05, 0.125, 1.0)  # of the labelled photos, each learned from by itself
    steps: int = 300  # for an eighth of the photos and more; a third of them for less
    batch: int = 8  # crops a step
    crop: int = 160  # pixels a side
    rate: float = 0.004  # of the network
    head_rate: float = 0.04  # of the new layer
    decay: float = 1e-4  # of the weights
    device: str = "auto"  # auto takes cuda, else mps, else cpu


@dataclass(frozen=True)
class EvaluateSemantic:
    """What is measured of categories that nobody named."""

    data: str  # LAYOUT:ROOT or LAYOUT:ROOT:SPLIT with maps of classes: voc, coco-voc, camvid, ade20k, clothing
    protocol: SemanticProtocol = "kmeans"
    backbone: str = "texture"  # what looks at the photos: texture, FILE.onnx or hub:ID
    test: str | None = None  # linear, retrieval, finetune: photos tested on (default: half of those of --data)
    prior: Path | None = None  # store of `hedgerow prior` or `explore`: regions come from there (default: explored now)
    objects: int = 1  # kmeans, retrieval: objects of a photo at most, best first; the rest is background
    segments: int = 24  # segments: regions of a photo that are opened, best first
    k: int | None = None  # categories, with background where it is a class (default: as many as classes)
    dims: int = 32  # of vectors, whitened before they are sorted: the published number; fewer suit few photos
    compat: bool = False  # the published protocol with its quirks, to compare with published numbers
    beside: bool = True  # texture, the same network untrained and colour are measured, too; --no-beside leaves them out
    seeds: int = 5  # starts of K-means, or draws; their spread is told
    every: int = 1  # only every so many photos, for a quick look
    limit: int | None = None  # only the first so many photos (of those that every leaves)
    json: Path | None = None  # write the numbers to this file, too
    workers: int | None = None  # processes (default: as many as there are cores for us)
    seed: int = 0  # the first of the seeds
    quiet: bool = False  # no progress bar
    tuning: FineTune = field(default_factory=FineTune)
    explore: Explore = field(default_factory=Explore)


@dataclass(frozen=True)
class Follow:
    """How a mask is followed from frame to frame. The values are those of DINO's evaluation (Caron et al. 2021)."""

    frames: int = 7  # frames before that are looked at, beside the first
    radius: int = 12  # patches up, down and aside in which a patch looks for others like it
    top: int = 5  # of those, the most similar ones that vote
    temperature: float = 0.1  # cosines are divided by it


@dataclass(frozen=True)
class EvaluateVideo:
    """What is measured of masks followed through films."""

    data: str  # davis:ROOT or davis:ROOT:SPLIT, SPLIT a list of its ImageSets or one sequence
    backbone: str = "texture"  # what looks at the frames: texture, FILE.onnx or hub:ID
    forest: bool = False  # masks take the edges of regions that are explored in each frame; seconds a frame
    segments: int = 100  # regions of a frame that are opened for that, best first
    beside: bool = True  # texture, the same network untrained and colour are measured, too; --no-beside leaves them out
    frames: int | None = None  # only the first so many frames of each film
    json: Path | None = None  # write the numbers to this file, too
    workers: int | None = None  # processes, each with a film of its own (default: as many as there are cores for us)
    seed: int = 0  # of exploring
    quiet: bool = False  # no progress bar
    follow: Follow = field(default_factory=Follow)
    explore: Explore = field(default_factory=Explore)
