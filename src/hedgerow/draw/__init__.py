"""Pictures: a forest over its photo, lines around its regions, its levels side by side, its tree as thumbnails, its
categories, its names, a few objects of it, many pictures on a sheet; and what a backbone sees.

In: pixels (H, W, 3) uint8 RGB and a MaskForest of the same photo, level maps, or features. Out: (h, w, 3) uint8 RGB. A
photo longer than 2048 pixels is drawn at that length: what is seen on a screen costs the same for any photo.
"""

from hedgerow.draw.colours import category_colours, path_colours
from hedgerow.draw.features import feature_colours
from hedgerow.draw.levels import level_strip
from hedgerow.draw.lines import contours
from hedgerow.draw.names import name_colours, name_overlay
from hedgerow.draw.outlines import outlined
from hedgerow.draw.overlays import overlay
from hedgerow.draw.segments import category_overlay, category_overview, cutout
from hedgerow.draw.sheets import contact_sheet
from hedgerow.draw.trees import at_peace, tree

__all__ = [
    "at_peace",
    "category_colours",
    "category_overlay",
    "category_overview",
    "contact_sheet",
    "contours",
    "cutout",
    "feature_colours",
    "level_strip",
    "name_colours",
    "name_overlay",
    "outlined",
    "overlay",
    "path_colours",
    "tree",
]
