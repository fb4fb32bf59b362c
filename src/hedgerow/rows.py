"""Rows of a table of regions: columns checked, rows taken, parents brought before their children.

In: columns of what is known of N regions, one of them the row of each one's parent. Out: the same, checked, fewer, or
in another order. Nothing here knows what a region is.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def column(field: str, values: Any, n: int, dtype: Any, default: float) -> np.ndarray:
    """(N,) of a type; where no values are given, all the default."""
    found = np.full(n, default, dtype) if values is None else np.ascontiguousarray(values, dtype)
    if found.shape != (n,):
        raise ValueError(f"{field} must have one entry for each of the {n} masks, got shape {found.shape}")
    return found


def take(values: Any, rows: np.ndarray) -> Any:
    """These rows of a column, an array or a tuple; None stays None."""
    if values is None:
        return None
    return values[rows] if isinstance(values, np.ndarray) else tuple(values[i] for i in rows)


def renamed(parent: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Parents by their rows after rows are brought in this order."""
    place = np.full(len(order) + 1, -1, np.int64)  # place[-1] stays -1: a root's parent
    place[order] = np.arange(len(order))
    return place[parent[order]]


def parents_first(parent: np.ndarray) -> np.ndarray:
    """A stable order of rows in which every parent stands before its children."""
    n = len(parent)
    bad = np.flatnonzero((parent < -1) | (parent >= n))
    if len(bad):
        raise ValueError(f"a parent is a row or -1: segment {bad[0]} of {n} names {parent[bad[0]]}")
    depth = np.full(n + 1, -1, np.int64)  # -1: not known yet, but for depth[-1], above all roots
    for i in range(n):
        path, row = [], i
        while row >= 0 and depth[row] < 0:
            path.append(row)
            row = int(parent[row])
            if len(path) > n:
                raise ValueError(f"the parents of segment {i} go round in a circle")
        for row in reversed(path):
            depth[row] = depth[parent[row]] + 1
    return np.lexsort((np.arange(n), depth[:n]))
