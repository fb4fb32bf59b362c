"""Drawing photos and their forests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Draw:
    """What is drawn."""

    kind: str = "overlay"  # of overlay,outlines,tree,levels,features,refined,sheet; several by commas
    photos: Path | None = None  # the photos of forests (default: where their run says, or beside them)
    # what looks: texture, embedded, FILE.onnx or hub:ID (default: texture explores photos that have no forest yet,
    # embedded is what features and refined show)
    backbone: str | None = None
    max_masks: int | None = None  # regions of a photo at most, best first (default: all that there are)
    min_score: float = 0.0  # regions with a lower score are left out
    count: int = 120  # overlay, sheet: pieces of its finest partition
    columns: int = 6  # sheet: pictures in a row; it has as many rows, and further photos go on further sheets
    keep_going: bool = False  # pass over photos that cannot be opened, name them at the end, and exit with 0
    seed: int = 0
    quiet: bool = False  # print errors only
