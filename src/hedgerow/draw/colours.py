"""The colours of pictures, as `hedgerow.palette` has them."""

from hedgerow.palette import (
    APART,
    CHROMA,
    GOLDEN,
    LIGHT,
    SHADE,
    SLIGHT,
    apart,
    category_colours,
    oklab,
    part_colours,
    path_colours,
    rgb,
    root_colours,
)

__all__ = [
    "APART",
    "CHROMA",
    "GOLDEN",
    "LIGHT",
    "SHADE",
    "SLIGHT",
    "apart",
    "category_colours",
    "oklab",
    "part_colours",
    "path_colours",
    "rgb",
    "root_colours",
]
