"""Hedgerow: any photo into a nested forest of regions, learned from raw photos and captions alone.

    import hedgerow
    forest = hedgerow.segment("photo.jpg")
    forest.masks(), forest.levels(8), forest.roots, forest.children(0), forest.to_coco()

Conventions, here and in every file: rows before columns; pixels are RGB uint8, height x width x channel; boxes are
COCO's [x, y, width, height]; an id of -1 means none; a caller's mistake is a `CallerError` of one line. The same seed
gives the same masks, byte for byte, on the same machine.

Letters in shapes: B batch, H W pixels, h w patches, D channels, N masks, L levels, Q queries, K clusters, C classes.

Names are imported when they are first used, so importing this costs next to nothing and has no effect.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hedgerow.config import VERSION

if TYPE_CHECKING:  # what the names below are, for type checkers and editors
    from hedgerow.backbones import open_backbone as open_backbone
    from hedgerow.config import CallerError as CallerError
    from hedgerow.config import Evaluate as Evaluate
    from hedgerow.config import EvaluateFeatures as EvaluateFeatures
    from hedgerow.config import EvaluateNames as EvaluateNames
    from hedgerow.config import EvaluateRegions as EvaluateRegions
    from hedgerow.config import EvaluateSemantic as EvaluateSemantic
    from hedgerow.config import EvaluateVideo as EvaluateVideo
    from hedgerow.config import Explore as Explore
    from hedgerow.config import Segment as Segment
    from hedgerow.data.datasets import open_dataset as open_dataset
    from hedgerow.draw import contours as contours
    from hedgerow.draw import level_strip as level_strip
    from hedgerow.draw import overlay as overlay
    from hedgerow.draw import tree as tree
    from hedgerow.evaluation import evaluate as evaluate
    from hedgerow.evaluation import evaluate_features as evaluate_features
    from hedgerow.evaluation import evaluate_names as evaluate_names
    from hedgerow.evaluation import evaluate_semantic as evaluate_semantic
    from hedgerow.evaluation import evaluate_video as evaluate_video
    from hedgerow.forest import MaskForest as MaskForest
    from hedgerow.formats import read_coco as read_coco
    from hedgerow.formats import read_forest as read_forest
    from hedgerow.formats import write_coco as write_coco
    from hedgerow.formats import write_forest as write_forest
    from hedgerow.formats import write_levels as write_levels
    from hedgerow.mask_generator import AutomaticMaskGenerator as AutomaticMaskGenerator
    from hedgerow.naming import open_language as open_language
    from hedgerow.naming import open_naming as open_naming
    from hedgerow.naming import read_vocabulary as read_vocabulary
    from hedgerow.photos import PhotoError as PhotoError
    from hedgerow.photos import find_photos as find_photos
    from hedgerow.photos import open_photo as open_photo
    from hedgerow.pipeline import name as name
    from hedgerow.pipeline import plan as plan
    from hedgerow.pipeline import segment as segment
    from hedgerow.pipeline import segment_photos as segment_photos

__version__ = VERSION

ROOMS = {
    "backbones": ("open_backbone",),
    "config": (
        "CallerError",
        "Evaluate",
        "EvaluateFeatures",
        "EvaluateNames",
        "EvaluateRegions",
        "EvaluateSemantic",
        "EvaluateVideo",
        "Explore",
        "Segment",
    ),
    "data.datasets": ("open_dataset",),
    "draw": ("contours", "level_strip", "overlay", "tree"),
    "evaluation": ("evaluate", "evaluate_features", "evaluate_names", "evaluate_semantic", "evaluate_video"),
    "forest": ("MaskForest",),
    "formats": ("read_coco", "read_forest", "write_coco", "write_forest", "write_levels"),
    "mask_generator": ("AutomaticMaskGenerator",),
    "photos": ("PhotoError", "find_photos", "open_photo"),
    "naming": ("open_language", "open_naming", "read_vocabulary"),
    "pipeline": ("name", "plan", "segment", "segment_photos"),
}
ROOM_OF = {name: room for room, names in ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in ROOM_OF:
        raise AttributeError(f"module 'hedgerow' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"hedgerow.{ROOM_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *ROOM_OF})
