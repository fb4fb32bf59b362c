"""Measures of features pixel by pixel and point by point; the probe by plain gradient descent in small steps."""

import numpy as np


def histograms(labels, grid, classes):
    (height, width), (h, w) = labels.shape, grid
    counts = np.zeros((h, w, classes), int)
    for y in range(height):
        for x in range(width):
            if labels[y, x] >= 0:
                counts[int((y + 0.5) * h / height), int((x + 0.5) * w / width), labels[y, x]] += 1
    return counts


def objective(weights, offset, values, counts, decay):
    """Mean over labelled pixels of -log of what their patch says of their class, and the decay."""
    total = 0.0
    for value, row in zip(values, counts, strict=True):
        scores = np.exp(value @ weights + offset)
        for label, pixels in enumerate(row):
            total -= pixels * np.log(scores[label] / scores.sum())
    return total / counts.sum() + decay / 2 * (weights**2).sum()


def fit(values, counts, decay, steps=20_000, rate=0.5):
    """(weights, offset) for standardised values and classes that are there."""
    weights, offset = np.zeros((values.shape[1], counts.shape[1])), np.zeros(counts.shape[1])
    for _ in range(steps):
        told = np.exp(values @ weights + offset)
        told /= told.sum(1, keepdims=True)
        slope = (counts.sum(1, keepdims=True) * told - counts) / counts.sum()
        weights, offset = weights - rate * (values.T @ slope + decay * weights), offset - rate * slope.sum(0)
    return weights, offset


def label_map(scores, size):
    """(h, w, K) -> (H, W): the best of the scores, each pixel's from the four patches whose centres surround it."""
    (height, width), (h, w, _) = size, scores.shape
    found = np.zeros(size, int)
    for y in range(height):
        for x in range(width):
            row, column = (y + 0.5) * h / height - 0.5, (x + 0.5) * w / width - 0.5
            mixed = 0.0
            for i in range(h):
                for j in range(w):
                    near = max(0, 1 - abs(min(max(row, 0), h - 1) - i)) * max(
                        0, 1 - abs(min(max(column, 0), w - 1) - j)
                    )
                    mixed = mixed + near * scores[i, j]
            found[y, x] = int(np.argmax(mixed))
    return found


def miou(found, labels, classes):
    ious = []
    for label in range(classes):
        told, there = (found == label) & (labels >= 0), labels == label
        if there.any():
            ious.append((told & there).sum() / (told | there).sum())
    return float(np.mean(ious)) if ious else np.nan


def match(asked, other, grounds=()):
    """Mean over shared labels of the share of points whose most similar one has their label."""
    right = {}
    for value, label in zip(asked.values, asked.labels, strict=True):
        if label in other.labels and label not in grounds:
            cosines = [value @ there / np.linalg.norm(value) / np.linalg.norm(there) for there in other.values]
            right.setdefault(int(label), []).append(other.labels[int(np.argmax(cosines))] == label)
    return float(np.mean([np.mean(found) for found in right.values()])) if right else np.nan
