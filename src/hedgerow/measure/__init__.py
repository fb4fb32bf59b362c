"""Measuring: forests and label maps in, scores out. Numpy only, no disk.

Each measure is two functions: `measure_*` makes a small record of one photo, which can cross process borders, and
`pool_*` makes scores of many records. Records know their photo's `name` and one number to sort by; scores give
`as_dict()`, names and values in printing order. What is undefined, for want of anything to find, is nan: print it "-".
`features.py` takes a backbone's features in place of forests, and fits its probe in between.
"""

from hedgerow.measure.boundaries import (
    BoundaryScores,
    PhotoBoundaries,
    correspond,
    measure_boundaries,
    pool_boundaries,
    thin,
    trace,
)
from hedgerow.measure.features import (
    PairParts,
    PartScores,
    PhotoParts,
    PhotoProbe,
    Probe,
    ProbeScores,
    choose_pairs,
    draw_points,
    fit_probe,
    label_histograms,
    look_at_points,
    measure_parts,
    measure_probe,
    pool_parts,
    pool_probe,
)
from hedgerow.measure.hierarchy import HierarchyScores, PhotoHierarchy, measure_hierarchy, pool_hierarchy
from hedgerow.measure.masks import MaskScores, PhotoMasks, measure_masks, pool_masks
from hedgerow.measure.regions import PhotoRegions, RegionScores, measure_regions, pool_regions
from hedgerow.measure.semantic import (
    CategoryScores,
    Matching,
    PhotoCategories,
    class_of,
    measure_categories,
    pool_categories,
    region_histograms,
    retrieve,
)
from hedgerow.measure.video import Follower, FrameMasks, VideoScores, measure_frame, pool_video

__all__ = [
    "BoundaryScores",
    "CategoryScores",
    "Follower",
    "FrameMasks",
    "HierarchyScores",
    "MaskScores",
    "Matching",
    "PairParts",
    "PartScores",
    "PhotoBoundaries",
    "PhotoCategories",
    "PhotoHierarchy",
    "PhotoMasks",
    "PhotoParts",
    "PhotoProbe",
    "PhotoRegions",
    "Probe",
    "ProbeScores",
    "RegionScores",
    "VideoScores",
    "choose_pairs",
    "class_of",
    "correspond",
    "draw_points",
    "fit_probe",
    "label_histograms",
    "look_at_points",
    "measure_boundaries",
    "measure_categories",
    "measure_frame",
    "measure_hierarchy",
    "measure_masks",
    "measure_parts",
    "measure_probe",
    "measure_regions",
    "pool_boundaries",
    "pool_categories",
    "pool_hierarchy",
    "pool_masks",
    "pool_parts",
    "pool_probe",
    "pool_regions",
    "pool_video",
    "region_histograms",
    "retrieve",
    "thin",
    "trace",
]
