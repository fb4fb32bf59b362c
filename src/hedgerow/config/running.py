"""Runs over many photos: segmenting, labelling, measuring."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hedgerow.config.seeing import Explore, Predict


@dataclass(frozen=True)
class Segment:
    """A run over photos: what looks at them, what is written, how the work is carried out."""

    model: str | None = None  # FILE.onnx of a trained segmenter (default: photos are explored)
    backbone: str = "texture"  # what looks at the photos: texture, texture+outlines, FILE.onnx or hub:ID
    max_masks: int | None = None  # regions of a photo at most, best first (default: explore.max-masks, 1000)
    min_area: int | None = None  # pixels of the photo; smaller regions are left out (default: explore.min-area, 0)
    tiles: int | None = None  # pixels a side of tiles that a model looks at as well, for small things in large photos
    formats: str = "forest,overlay"  # what is written, of forest,overlay,coco,levels,labels; coco implies forest
    categories: Path | None = None  # a folder of hedgerow cluster: regions are sorted into its categories
    names: str | None = None  # "dog, grass, person/man/woman", or voc, coco, ade20k, lvis ...: regions get the best one
    names_file: Path | None = None  # the same from a file, a name a line, other ways to say it behind slashes
    find: str | None = None  # "the red car": only regions that match are kept; several by commas
    name_model: str = "embedded"  # what joins pixels and words: embedded, FILE.onnx of hedgerow caption, or hub:ID
    name_threshold: float | None = None  # a less sure name is none (default: the model's own, or 0.5)
    background: str | None = None  # "wall, sky": what else a region may be; none: nothing (default: the model's own)
    templates: Path | None = None  # a file of sentences around a name, as a photo of a {} (default: the model's own)
    # several ways to say a name: their probabilities add up, the best alone counts, or their vectors' mean
    synonyms: Literal["sum", "max", "mean"] = "sum"
    coco_ids: Path | None = None  # a COCO json: its photos are taken from the folder given, and its image ids for coco
    workers: int | None = None  # processes (default: as many as there are cores for us)
    engine: Literal["local", "ray"] = "local"  # who works: processes of this machine, or a Ray cluster (RAY_ADDRESS)
    overwrite: bool = False  # forget the results that are there, and start again
    keep_going: bool = False  # pass over photos that cannot be opened, name them at the end, and exit with 0
    seed: int = 0
    quiet: bool = False  # print errors only
    predict: Predict = field(default_factory=Predict)
    explore: Explore = field(default_factory=Explore)


@dataclass(frozen=True)
class Labelling:
    """Exploring a collection into a label store."""

    backbone: str = "texture"  # what looks at the photos: texture, texture+outlines, FILE.onnx or hub:ID
    max_masks: int | None = None  # regions of a photo at most, best first (default: explore.max-masks, 1000)
    min_area: int | None = None  # pixels of the photo; smaller regions are left out (default: explore.min-area, 0)
    workers: int | None = None  # processes (default: as many as there are cores for us)
    engine: Literal["local", "ray"] = "local"  # who works: processes of this machine, or a Ray cluster (RAY_ADDRESS)
    overwrite: bool = False  # forget the labels that are there, and start again
    keep_going: bool = False  # note why a photo cannot be opened, and go on
    retry: bool = False  # look again at photos that could not be done before
    seed: int = 0
    quiet: bool = False  # print errors only
    explore: Explore = field(default_factory=Explore)


@dataclass(frozen=True)
class Evaluate:
    """What is measured on what: forests made now, or predictions made before."""

    data: str  # LAYOUT:ROOT or LAYOUT:ROOT:SPLIT, as coco:/data/coco:val2017
    predictions: Path | None = None  # a folder of KEY.forest.json, or COCO results (default: photos are segmented now)
    every: int = 1  # only every so many photos, for a quick look
    limit: int | None = None  # only the first so many photos (of those that every leaves)
    worst: int = 0  # name so many photos with the worst scores
    json: Path | None = None  # write the numbers to this file, too
    page: Path | None = None  # FILE.html: the numbers, a curve of all photos', and the worst photos first
    model: str | None = None  # FILE.onnx of a trained segmenter (default: photos are explored)
    backbone: str = "texture"  # what looks at the photos: texture, texture+outlines, FILE.onnx or hub:ID
    max_masks: int | None = None  # regions of a photo at most, best first (default: explore.max-masks, 1000)
    min_area: int | None = None  # pixels of the photo; smaller regions are left out (default: explore.min-area, 0)
    workers: int | None = None  # processes (default: as many as there are cores for us)
    keep_going: bool = False  # leave photos that cannot be opened out, name them at the end, and exit with 0
    seed: int = 0
    quiet: bool = False  # no progress bar
    predict: Predict = field(default_factory=Predict)
    explore: Explore = field(default_factory=Explore)


@dataclass(frozen=True)
class EvaluateRegions(Evaluate):
    """The same for partitions, which have a few options of their own."""

    levels: Path | None = None  # a folder of KEY.npz, each holding levels (L, H, W), to measure in place of forests
    count: int = 12  # levels that a forest is cut into; more of them sharpen ODS and OIS
    boundaries: bool = True  # measure boundaries, too, the slow part; --no-boundaries leaves them out


@dataclass(frozen=True)
class EvaluateFeatures:
    """What is measured of a backbone's features; data sets are LAYOUT:ROOT or LAYOUT:ROOT:SPLIT."""

    backbone: str = "texture"  # what looks at the photos: texture, FILE.onnx or hub:ID
    probe: str | None = None  # linear probe: learns the classes of camvid, voc, ade20k (challenge) or clothing here
    test: str | None = None  # photos the probe is tested on (default: half of those of --probe)
    parts: str | None = None  # part matching: photos whose parts are painted, as clothing:ROOT
    coco: str | None = None  # AR@1000 of exploring with the backbone, as coco:ROOT; takes minutes
    bsds: str | None = None  # covering of exploring with it, as bsds:ROOT:val; takes minutes
    beside: bool = True  # texture, the same network untrained and colour are measured, too; --no-beside leaves them out
    seeds: int = 3  # draws of what is learned from and asked for; their spread is told
    every: int = 1  # only every so many photos of each data set, for a quick look
    limit: int | None = None  # only the first so many photos of each (of those that every leaves)
    json: Path | None = None  # write the numbers to this file, too
    workers: int | None = None  # processes (default: as many as there are cores for us)
    seed: int = 0  # the first of the seeds
    quiet: bool = False  # no progress bar
    explore: Explore = field(default_factory=Explore)


# ---------------------------------------------------------------------- learning
