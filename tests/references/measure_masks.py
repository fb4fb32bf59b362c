"""COCO's matching rule as loops: area range by area range, threshold by threshold, detection by detection."""

import numpy as np

from hedgerow.measure.masks import THRESHOLDS


def assign(iou, crowd, ignored):
    """(A, T, D) region found by each detection, -1 for none; detections best first."""
    detections, regions = iou.shape
    partner = np.full((len(ignored), len(THRESHOLDS), detections), -1)
    for a, aside in enumerate(ignored):
        for t, threshold in enumerate(THRESHOLDS):
            taken = set()
            for d in range(detections):
                free = [g for g in range(regions) if iou[d, g] >= threshold and (crowd[g] or g not in taken)]
                counting = [g for g in free if not aside[g]]
                free = counting or free
                if free:
                    partner[a, t, d] = max(free, key=lambda g: (iou[d, g], g))
                    taken.add(partner[a, t, d])
    return partner
