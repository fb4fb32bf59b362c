"""Refining a mask pixel by pixel in double precision, and the dense CRF by sums over all pairs of pixels."""

import numpy as np
from scipy import ndimage


def refine(pixels, share):
    """(H, W) float: how much of each pixel is inside; and (H, W) bool: what was inside before."""
    height, width = pixels.shape[:2]
    ring = rings(share >= 0.5)
    start, band = np.zeros((height, width)), np.zeros((height, width), int)
    for y in range(height):
        for x in range(width):
            i, j = int((y + 0.5) * share.shape[0] / height), int((x + 0.5) * share.shape[1] / width)
            band[y, x] = ring[i, j]
            start[y, x] = between(share, (y + 0.5) / height, (x + 0.5) / width) if ring[i, j] else share[i, j] >= 0.5
    inside = judged(pixels, start, band)
    (ahead, back), (down, up) = pulls(pixels, share.shape)
    for _ in range(2):
        for y in range(height):
            settle(inside[y], band[y] > 1, ahead[y], back[y])
        for x in range(width):
            settle(inside[:, x], band[:, x] > 1, down[:, x], up[:, x])
    return inside, start >= 0.5


def rings(side):
    """3 within one cell of the other side, 2 within two, 1 within three, else 0."""
    ring = np.zeros(side.shape, int)
    for i, j in np.ndindex(side.shape):
        for reach, value in ((3, 1), (2, 2), (1, 3)):
            around = side[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
            if not (around == side[i, j]).all():
                ring[i, j] = value
    return ring


def between(share, y, x):
    """Bilinear between the middles of cells, at a place in 0 ... 1."""
    total = 0
    for i, down in corners(y, share.shape[0]):
        for j, across in corners(x, share.shape[1]):
            total += down * across * share[i, j]
    return total


def corners(at, count):
    at = min(max(at * count - 0.5, 0), count - 1)
    return [(i, max(0, 1 - abs(at - i))) for i in range(count)]


def judged(pixels, start, band):
    inner, outer = np.zeros(4096), np.zeros(4096)
    colours = (pixels // 16).astype(int) @ (256, 16, 1)
    for colour, inside in zip(colours[band > 0], start[band > 0], strict=True):
        inner[colour] += inside
        outer[colour] += 1 - inside
    inner, outer = inner / max(inner.sum(), 1e-6) + 4e-5, outer / max(outer.sum(), 1e-6) + 4e-5
    odds = np.clip(inner / outer, 1 / 50, 50)[colours]
    said = np.clip(start, 0.02, 0.98)
    return np.where(band > 1, said * odds / (said * odds + 1 - said), start)


def pulls(pixels, cells):
    height, width = pixels.shape[:2]
    soft = ndimage.gaussian_filter(pixels.astype(float), (1, 1, 0))
    right, below = np.zeros((height, width)), np.zeros((height, width))
    right[:, :-1] = np.linalg.norm(soft[:, 1:] - soft[:, :-1], axis=2)
    below[:-1] = np.linalg.norm(soft[1:] - soft[:-1], axis=2)
    high, wide = height / cells[0], width / cells[1]
    around = ndimage.uniform_filter((right + below) / 2, (2 * int(0.7 * high) + 1, 2 * int(0.7 * wide) + 1))
    contrast = around / (around + 1)
    right = wide**2 * contrast * np.exp(-right / (0.4 * (around + 1)))
    below = high**2 * contrast * np.exp(-below / (0.4 * (around + 1)))
    rows = np.array([pull(line) for line in right]).transpose(1, 0, 2)
    columns = np.array([pull(line) for line in below.T]).transpose(1, 2, 0)
    return rows, columns


def pull(bonds):
    """What a pixel takes from the one before it and from the next: read from the inverse of the line cut short there.

    On a line that ends at i, pixel i takes its own value by the inverse's entry (i, i), all else from before; on one
    that ends at i + 1, what reaches pixel i from there is what reaches i + 1 from itself, times back[i].
    """
    count = len(bonds)
    ahead, back = np.zeros(count), np.zeros(count)
    for i in range(1, count):
        ahead[i] = 1 - inverse(bonds[: i + 1])[i, i]
        to_end = inverse(bonds[: i + 1])
        back[i - 1] = to_end[i - 1, i] / to_end[i, i]
    return ahead, back


def inverse(bonds):
    """Of the equations of least squares: each pixel tied to its own value by 1 and to the next pixel by a bond."""
    matrix = np.eye(len(bonds))
    for i, bond in enumerate(bonds[:-1]):
        matrix[i, i] += bond
        matrix[i + 1, i + 1] += bond
        matrix[i, i + 1] -= bond
        matrix[i + 1, i] -= bond
    return np.linalg.inv(matrix)


def settle(line, is_open, ahead, back):
    for i in range(1, len(line)):
        if is_open[i]:
            line[i] += ahead[i] * (line[i - 1] - line[i])
    for i in range(len(line) - 2, -1, -1):
        if is_open[i]:
            line[i] += back[i] * (line[i + 1] - line[i])


def dense_crf(start, kernels, rounds):
    """start (P, K) log probabilities; kernels of features (P, d) with weights -> (P, K) probabilities."""
    share = normal(np.exp(start))
    for _ in range(rounds):
        message = np.zeros_like(start)
        for features, weight in kernels:
            alike = np.exp(-np.square(features[:, None] - features[None]).sum(-1) / 2)
            norm = 1 / np.sqrt(alike.sum(1))
            message += weight * (norm[:, None] * alike * norm) @ share
        share = normal(np.exp(start + message))
    return share


def normal(values):
    return values / values.sum(1, keepdims=True)
