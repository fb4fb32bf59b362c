"""The method in order, and what reads and writes around it. Stages below know nothing of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hedgerow.backbones import Backbone, open_backbone
from hedgerow.config import Explore
from hedgerow.explore import explore
from hedgerow.forest import MaskForest
from hedgerow.photos import PhotoRef, open_photo

DECODED = 16_000_000  # pixels: a larger photo is decoded at a reduced scale; its masks are at full size all the same


def segment(
    photo: Any, *, backbone: str | Backbone = "texture", config: Explore | None = None, seed: int = 0
) -> MaskForest:
    """One photo, a path, bytes, an array or a Pillow image, into its forest."""
    opened = open_photo(photo, max_pixels=DECODED)
    backbone = open_backbone(backbone) if isinstance(backbone, str) else backbone
    return explore(opened, backbone, config or Explore(), seed)
