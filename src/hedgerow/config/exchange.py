"""Taking forests to other tools, and bringing theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ExportFormat = Literal["coco", "panoptic", "parts", "voc", "yolo", "labelme", "labelstudio", "cvat", "geojson", "svg"]
ImportFormat = Literal["coco", "panoptic", "voc", "yolo", "labelme", "geojson"]


@dataclass(frozen=True)
class Export:
    """Which regions are taken, and how they are told."""

    max_masks: int | None = None  # regions of a photo at most, best first (default: all)
    min_score: float = 0.0  # regions with a lower score are left out
    count: int | None = None  # panoptic, voc: regions that a photo is cut into, about (default: 50)
    level: int | None = None  # panoptic, voc: or the level that it is cut at, 1 (coarse) to 12 (fine)
    outlines: bool = False  # coco, parts, labelstudio, cvat: polygons in place of run lengths
    tolerance: float = 0.0  # pixels within which corners of outlines are left out; 0: outlines are exact
    world: Path | None = None  # geojson: a world file, whose coordinates are given in place of pixels
    photos: Path | None = None  # geojson: the photos' folder; a world file beside a photo is taken for it
    prefix: str | None = None  # labelstudio: what stands before a photo's name, as /data/local-files/?d=photos/
    keep_going: bool = False  # pass over forests that cannot be read, name them at the end, and exit with 0
    quiet: bool = False  # print errors only


@dataclass(frozen=True)
class Import:
    """What is known of masks that come from elsewhere."""

    photos: Path | None = None  # the photos' folder, whose sizes and names are checked; yolo needs it
    world: Path | None = None  # geojson: the world file that its coordinates came through
    made_by: str = "unknown"  # for the record, where a file does not say: people, or the name of a model
    quiet: bool = False  # print errors only
