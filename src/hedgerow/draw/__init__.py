"""Pictures: a forest over its photo, its levels side by side, its tree as thumbnails, its categories, a few objects of
it, many pictures on a sheet; and what a backbone sees.

In: pixels (H, W, 3) uint8 RGB and a MaskForest of the same photo, level maps, or features. Out: (h, w, 3) uint8 RGB. A
photo longer than 2048 pixels is drawn at that length: what is seen on a screen costs the same for any photo.
"""

from hedgerow.draw.colours import category_colours
from hedgerow.draw.features import feature_colours
from hedgerow.draw.levels import level_strip
from hedgerow.draw.outlines import outlined
from hedgerow.draw.overlays import overlay
from hedgerow.draw.segments import category_overlay, category_overview, cutout
from hedgerow.draw.sheets import contact_sheet
from hedgerow.draw.trees import tree

__all__ = [
    "category_colours",
    "category_overlay",
    "category_overview",
    "contact_sheet",
    "cutout",
    "feature_colours",
    "level_strip",
    "outlined",
    "overlay",
    "tree",
]
