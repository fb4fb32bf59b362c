"""Merging by looking at every edge before every merge, and SOHES's levels by its own words, with sets."""

import numpy as np


def merge(features, edges, *, areas=None, lengths=None, strengths=None, feature=1.0, border=0.0, size=0.0):
    """(pairs, prices): the least price first, prices in steps of 2^-20; of equals the earliest edge."""
    n, m = len(features), len(edges)
    sums = {i: np.array(features[i], np.float32) for i in range(n)}
    areas = dict(enumerate(np.ones(n) if areas is None else np.array(areas, float)))
    lengths = np.ones(m) if lengths is None else np.array(lengths, float)
    strengths = np.zeros(m) if strengths is None else np.array(strengths, float)
    borders = {}  # place of the earliest edge: (pair of nodes, length, length x strength)
    for place, (a, b) in enumerate(np.asarray(edges).tolist()):
        add(borders, place, frozenset((a, b)), lengths[place], lengths[place] * strengths[place])

    def price(pair, length, weight):
        i, j = pair
        cost = 0.0
        if feature:
            cost += feature * (1 - cosine(sums[i], sums[j]))
        if border:
            cost += border * weight / length
        if size:
            cost *= min(areas[i], areas[j]) ** size
        return np.float32(np.rint(max(cost, 0) * 2**20)) / np.float32(2**20)

    pairs, prices = [], []
    while borders:
        least, place = min((price(*borders[place]), place) for place in borders)
        i, j = sorted(borders.pop(place)[0])
        k = n + len(pairs)
        pairs.append((i, j))
        prices.append(least)
        sums[k], areas[k] = sums.pop(i) + sums.pop(j), areas.pop(i) + areas.pop(j)
        for place in sorted(borders):
            pair, length, weight = borders[place]
            if pair & {i, j}:
                del borders[place]
                add(borders, place, pair - {i, j} | {k}, length, weight)
    return np.array(pairs, np.int32).reshape(-1, 2), np.array(prices, np.float32)


def add(borders, place, pair, length, weight):
    """A border between two regions that already share one makes it longer; the earlier place stays."""
    for known in borders:
        if borders[known][0] == pair:
            other = borders.pop(known)
            place, length, weight = min(place, known), length + other[1], weight + other[2]
            break
    borders[place] = (pair, length, weight)


def cosine(x, y):
    x, y = x.astype(float), y.astype(float)
    norms = np.sqrt(x @ x) * np.sqrt(y @ y)
    return x @ y / norms if norms > 0 else 0.0


def levels(features, thetas):
    """SOHES 3.1 on a map (h, w, D): for each theta, descending, the set of regions (frozensets of patches).

    Merge the neighbours of highest cosine; when the highest falls below theta, the regions of that level are noted,
    and merging goes on towards the next theta. Nothing is ever taken back.
    """
    h, w, _ = features.shape
    patches = [(y, x) for y in range(h) for x in range(w)]
    total = {frozenset([p]): features[p].astype(float) for p in patches}
    cosines = {}
    for y, x in patches:
        for below in ((y, x + 1), (y + 1, x)):
            if below in patches:
                a, b = frozenset([(y, x)]), frozenset([below])
                cosines[a, b] = cosine(total[a], total[b])
    noted = []
    for theta in thetas:
        while cosines and max(cosines.values()) >= theta:
            a, b = max(cosines, key=cosines.get)
            beside = {c for pair in cosines if a in pair or b in pair for c in pair} - {a, b}
            total[a | b] = total.pop(a) + total.pop(b)
            cosines = {pair: value for pair, value in cosines.items() if a not in pair and b not in pair}
            cosines |= {(a | b, c): cosine(total[a | b], total[c]) for c in beside}
        noted.append(set(total))
    return noted
