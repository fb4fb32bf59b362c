"""What stands out, by loops: how long a walk takes by walking on, and a region's cues pixel by pixel."""

import numpy as np


def walking_times(values, softness, near, far, steps=4000):
    """(h, w): one step from each patch, then again from where it led, until nothing changes; at the frame a walk ends
    every second time it comes by."""
    h, w, _ = values.shape
    places = [(i, j) for i in range(h) for j in range(w)]
    bonds = np.array([[bond(values, (a, b), softness, near, far) for b in places] for a in places]) + 1e-12
    time = np.zeros(h * w)
    for _ in range(steps):
        further = 1 + bonds @ time / bonds.sum(1)
        time = np.array([t / 2 if on_frame(place, h, w) else t for place, t in zip(places, further, strict=True)])
    return time.reshape(h, w)


def bond(values, pair, softness, near, far):
    one, other = pair
    if one == other:
        return 0
    h, w, _ = values.shape
    square = sum(((a - b) / max(h, w)) ** 2 for a, b in zip(one, other, strict=True))
    return np.exp((cosine(values[one], values[other]) - 1) / softness) * (np.exp(-square / (2 * near**2)) + far)


def on_frame(place, h, w):
    return place[0] in (0, h - 1) or place[1] in (0, w - 1)


def ranks(values):
    """(h, w) in 0 ... 1: what share of the others is less, those alike by half."""
    flat = np.round(values / values.max(), 9).ravel()
    rank = [((flat < v).sum() + ((flat == v).sum() - 1) / 2) / max(len(flat) - 1, 1) for v in flat]
    return np.reshape(rank, values.shape)


def standing(mask, score, values, salience=None):
    """Of one region: mask (h, w) bool, values (h, w, D) and salience (h, w) at the same pixels."""
    h, w = mask.shape
    pixels = [(y, x) for y in range(h) for x in range(w)]
    inside = [p for p in pixels if mask[p]]
    total = sum(values[p] for p in inside)
    contact = sum(on_frame(p, h, w) for p in inside)
    middle = np.mean([((y + 0.5) / h - 0.5, (x + 0.5) / w - 0.5) for y, x in inside], axis=0)
    cues = [
        np.exp(-(contact**2) / len(inside) / 2),
        1 - cosine(total, around(mask, values) - total),
        1 - cosine(total, sum(values[p] for p in pixels if on_frame(p, h, w))),
        np.exp(-(middle @ middle) / (2 * 0.25**2)),
        score,
        np.sqrt(len(inside) / (h * w)),
    ]
    if salience is not None:
        cues.append(np.mean([salience[p] for p in inside]) - np.mean([salience[p] for p in pixels if not mask[p]]))
    return np.prod(np.clip(cues, 1e-3, 1)) ** (1 / len(cues))


def around(mask, values):
    """Sum over the region's box, sqrt(2) times as high and wide about its middle."""
    limits = []
    for axis in range(2):
        places = np.flatnonzero(mask.any(1 - axis))
        first, last = places[0], places[-1] + 1
        more = (np.sqrt(2) - 1) / 2 * (last - first)
        limits.append((max(0, round(first - more)), min(mask.shape[axis], round(last + more))))
    (top, bottom), (left, right) = limits
    return sum(values[y, x] for y in range(top, bottom) for x in range(left, right))


def cosine(one, other):
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return one @ other / lengths if lengths > 1e-9 else 1
