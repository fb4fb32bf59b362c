"""Measuring names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hedgerow.config.seeing import Explore

NamedRegions = Literal["forest", "groups", "patches", "whole", "true"]


@dataclass(frozen=True)
class EvaluateNames:
    """What is measured of names that were learned from captions."""

    # LAYOUT:ROOT or LAYOUT:ROOT:SPLIT with classes, as voc or coco-voc; or captions:PLACE (or PLACE,PLACE), which asks
    # whether captions find their photos and photos their captions
    data: str
    # a built-in list (voc, coco, ade20k, lvis, camvid, context, coco-stuff), names separated by commas, or a file with
    # a name a line (default: the data set's own classes)
    vocabulary: str | None = None
    # unseen: only names that zero-shot segmenters learn no mask of, other pixels left out (voc, coco-voc, context,
    # coco-stuff); of captions held, the photos that learning holds back, or all (default: all; of captions held)
    split: Literal["all", "unseen", "held"] | None = None
    model: str = "embedded"  # what joins pixels and words: embedded, FILE.onnx of hedgerow caption, or hub:ID
    regions: NamedRegions = "forest"  # what is named: regions explored, the network's own groups, patches, all at once
    compare: bool = False  # all of these in one table
    labels: Path | None = None  # a store of `hedgerow explore`: forests come from there (default: explored now)
    threshold: float | None = None  # a name's score below which pixels are background (default: the model's, 0.5)
    background: str | None = None  # words that are no name, separated by commas, or none (default: the model's own)
    templates: Path | None = None  # a file with a sentence a line, {} for the name (default: the model's own)
    # several ways to say a name: their probabilities add up, the best alone counts, or their vectors' mean
    synonyms: Literal["sum", "max", "mean"] = "sum"
    held: int = 500  # of captions: photos held back, as learning was told
    every: int = 1  # only every so many photos, for a quick look
    limit: int | None = None  # only the first so many photos (of those that every leaves)
    json: Path | None = None  # write the numbers to this file, too
    workers: int | None = None  # processes (default: as many as there are cores for us)
    seed: int = 0  # of exploring, and of what is drawn by lot
    quiet: bool = False  # no progress bar
    explore: Explore = field(default_factory=Explore)
