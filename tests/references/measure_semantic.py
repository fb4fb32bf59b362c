"""Categories and classes pixel by pixel, and matchings by trying all of them."""

from itertools import permutations

import numpy as np


def iou(found, labels, category, label):
    """Of the pixels of a category with those of a class; pixels that are void are nowhere."""
    both = either = 0
    for told, is_ in zip(np.ravel(found), np.ravel(labels), strict=True):
        if is_ >= 0:
            both += told == category and is_ == label
            either += told == category or is_ == label
    return both / either if either else 0.0


def hungarian(table):
    """The greatest sum of a (C, K) table in which no row and no column is taken twice."""
    rows, columns = table.shape
    if rows > columns:
        return hungarian(table.T)
    return max(
        sum(table[row, column] for row, column in enumerate(chosen)) for chosen in permutations(range(columns), rows)
    )


def remapped(found, labels, classes, count):
    """mIoU and accuracy of maps whose categories are read as `classes`; classes that no pixel shows are left out."""
    told = [classes[category] for category in np.ravel(found)]
    ious, right, known = [], 0, 0
    for label in range(count):
        if (np.ravel(labels) == label).any():
            ious.append(iou(np.array(told), labels, label, label))
    for read, is_ in zip(told, np.ravel(labels), strict=True):
        known += is_ >= 0
        right += is_ >= 0 and read == is_
    return np.mean(ious), right / known
