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

__all__ = [
    "BoundaryScores",
    "HierarchyScores",
    "MaskScores",
    "PairParts",
    "PartScores",
    "PhotoBoundaries",
    "PhotoHierarchy",
    "PhotoMasks",
    "PhotoParts",
    "PhotoProbe",
    "PhotoRegions",
    "Probe",
    "ProbeScores",
    "RegionScores",
    "choose_pairs",
    "correspond",
    "draw_points",
    "fit_probe",
    "label_histograms",
    "look_at_points",
    "measure_boundaries",
    "measure_hierarchy",
    "measure_masks",
    "measure_parts",
    "measure_probe",
    "measure_regions",
    "pool_boundaries",
    "pool_hierarchy",
    "pool_masks",
    "pool_parts",
    "pool_probe",
    "pool_regions",
    "thin",
    "trace",
]
