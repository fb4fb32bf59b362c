"""Partition measures by their definitions: region by region, pixel pair by pixel pair, probability by probability."""

from itertools import combinations

import numpy as np


def best_ious(machine, human):
    """Area and best IoU of each human region; pixels void to the human belong to nobody."""
    known = human >= 0
    for h in np.unique(human[known]):
        region = human == h
        ious = [(region & (machine == m)).sum() / (region | ((machine == m) & known)).sum() for m in np.unique(machine)]
        yield region.sum(), max(ious)


def rand(machine, human):
    a, b = machine[human >= 0], human[human >= 0]
    agree = [(a[i] == a[j]) == (b[i] == b[j]) for i, j in combinations(range(len(a)), 2)]
    return float(np.mean(agree))


def variation(machine, human):
    a, b = machine[human >= 0], human[human >= 0]
    total = 0.0
    for m in np.unique(a):
        for h in np.unique(b):
            both = np.mean((a == m) & (b == h))
            if both:
                total -= both * (np.log2(both / np.mean(a == m)) + np.log2(both / np.mean(b == h)))
    return total
