"""Following patch by patch over all others; boundaries by widening them with a disk, pixel by pixel."""

import numpy as np


def voted(unit, context, radius, top, temperature):
    """(h, w, O): each patch's most similar ones near its place vote, in frames (unit features, shares)."""
    h, w, _ = unit.shape
    found = np.zeros((h, w, context[0][1].shape[2]))
    for y in range(h):
        for x in range(w):
            near = []
            for values, shares in context:
                for row in range(h):
                    for column in range(w):
                        if max(abs(row - y), abs(column - x)) <= radius:
                            near.append((float(values[row, column] @ unit[y, x]), shares[row, column]))
            near = sorted(near, key=lambda one: -one[0])[:top]
            weights = [np.exp(cosine / temperature) for cosine, _ in near]
            found[y, x] = sum(weight * shares for weight, (_, shares) in zip(weights, near, strict=True)) / sum(weights)
    return found


def outline(mask):
    height, width = mask.shape
    edge = np.zeros(mask.shape, bool)
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0), (1, 1)):
                edge[y, x] |= mask[y, x] != mask[min(y + dy, height - 1), min(x + dx, width - 1)]
    return edge


def boundary_f(found, painted):
    reach = int(np.ceil(0.008 * np.hypot(*found.shape)))
    one, other = outline(found), outline(painted)
    if not one.any() and not other.any():
        return 1.0
    shares = []
    for asked, there in ((one, other), (other, one)):
        wide = np.zeros(there.shape, bool)
        for y, x in np.argwhere(there):
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    inside = 0 <= y + dy < there.shape[0] and 0 <= x + dx < there.shape[1]
                    if inside and dy * dy + dx * dx <= reach * reach:
                        wide[y + dy, x + dx] = True
        shares.append((asked & wide).sum() / asked.sum() if asked.any() else 1.0)
    return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0
