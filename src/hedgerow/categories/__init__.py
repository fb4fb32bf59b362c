"""Segments into categories: what a segment looks like as one vector, groups of such vectors, and what new ones are.

In: vectors of many segments (`embed` of `hedgerow.backbones.pooling` makes them; `kmeans`, `fit_categories` take them).
Out: `Categories`, which say of any vector in which group it falls; `VectorIndex`, which finds the most alike.

The rooms: segments.py (which regions are a photo's segments), grouping.py (PCA, K-means, how many groups), model.py
(categories, and their file), index.py (search). Where we depart from MaskContrast (Van
Gansbeke et al. 2021) each says why.
"""

from hedgerow.backbones.pooling import embed, look, unit_rows
from hedgerow.categories.grouping import (
    Groups,
    Projection,
    agreements,
    choose_k,
    fit_pca,
    fit_whitening,
    kmeans,
    nearest,
    rand_index,
)
from hedgerow.categories.index import VectorIndex
from hedgerow.categories.model import (
    Categories,
    SavedCategories,
    category_map,
    fit_categories,
    read_categories,
    same_backbone,
    sort_regions,
    write_categories,
)
from hedgerow.categories.segments import foremost

__all__ = [
    "Categories",
    "Groups",
    "Projection",
    "SavedCategories",
    "VectorIndex",
    "agreements",
    "category_map",
    "choose_k",
    "embed",
    "fit_categories",
    "fit_pca",
    "fit_whitening",
    "foremost",
    "kmeans",
    "look",
    "nearest",
    "rand_index",
    "read_categories",
    "same_backbone",
    "sort_regions",
    "unit_rows",
    "write_categories",
]
