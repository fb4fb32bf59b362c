"""Measuring: forests and label maps in, scores out. Numpy only, no disk.

Each measure is two functions: `measure_*` makes a small record of one photo, which can cross process borders, and
`pool_*` makes scores of many records. Records know their photo's `name` and one number to sort by; scores give
`as_dict()`, names and values in printing order. What is undefined, for want of anything to find, is nan: print it "-".
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
from hedgerow.measure.hierarchy import HierarchyScores, PhotoHierarchy, measure_hierarchy, pool_hierarchy
from hedgerow.measure.masks import MaskScores, PhotoMasks, measure_masks, pool_masks
from hedgerow.measure.regions import PhotoRegions, RegionScores, measure_regions, pool_regions

__all__ = [
    "BoundaryScores",
    "HierarchyScores",
    "MaskScores",
    "PhotoBoundaries",
    "PhotoHierarchy",
    "PhotoMasks",
    "PhotoRegions",
    "RegionScores",
    "correspond",
    "measure_boundaries",
    "measure_hierarchy",
    "measure_masks",
    "measure_regions",
    "pool_boundaries",
    "pool_hierarchy",
    "pool_masks",
    "pool_regions",
    "thin",
    "trace",
]
