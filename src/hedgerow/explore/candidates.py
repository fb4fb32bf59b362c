"""Candidates: which unions of grains may be things, and how much each looks like one.

In: grains, border strengths and a merge tree. Out: sets of grains with a worth each, to be compared with all others.

Every node of the tree is a candidate. A thing the tree never puts together can still be two or three neighbours that
stood side by side at some moment of the merging: combinatorial grouping (Arbelaez et al. 2014, MCG, section 5), over
every moment of one trajectory instead of a few fixed levels.

Worth, higher is better, in natural logarithms; a candidate's crowd is the number of regions in the partition in which
it, or the last of its members, disappears, so a small crowd means that it lives on when little else does:

    - log(crowd)                          regions that outlive merging are things
    + compact * log(4 sqrt(area) / perimeter)     things are compact, leftovers between things are ragged
    + inner * log(mean strength of the borders inside)   things have structure, plain ground has none
    - less for unions than for nodes, less for triples than for pairs
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hedgerow.config import Candidates as Config
from hedgerow.explore.grain import Grain
from hedgerow.merge import MergeTree


@dataclass(frozen=True, eq=False)
class Candidates:
    """sets (N, L) bool over the grains, worth (N,) float64, source: N words."""

    sets: np.ndarray
    worth: np.ndarray
    source: tuple[str, ...]


def candidates(grain: Grain, strengths: np.ndarray, tree: MergeTree, config: Config, name: str) -> Candidates:
    """Nodes of the tree and unions of neighbours, the `config.most` of best first impression, with their worth."""
    crowd = _crowds(tree)
    pairs, triples = _neighbours(grain, tree, config)
    groups = [
        (np.arange(len(crowd))[:, None], 0.0, name),
        (np.array(pairs, np.int64).reshape(-1, 2), config.pair, f"{name}+1"),
        (np.array(triples, np.int64).reshape(-1, 3), config.triple, f"{name}+2"),
    ]
    total = grain.areas.sum()
    kept: list[tuple[float, tuple[int, ...], str]] = []
    areas = tree.totals(grain.areas)
    for members, less, source in groups:
        area = areas[members].sum(1)
        first = -np.log(crowd[members].max(1)) - less
        good = (area >= config.min_area) & (area <= config.max_share * total)
        kept += [(first[i], tuple(members[i]), source) for i in np.flatnonzero(good)]
    kept.sort(key=lambda entry: (-entry[0], entry[1]))
    kept = kept[: config.most]
    sets = np.zeros((len(kept), tree.leaves), bool)
    for row, (_, members, _) in zip(sets, kept, strict=True):
        for node in members:
            row[tree.members(node)] = True
    worth = np.array([first for first, _, _ in kept]) + _looks(grain, strengths, sets, config)
    return Candidates(sets, worth, tuple(source for _, _, source in kept))


def _crowds(tree: MergeTree) -> np.ndarray:
    """(nodes,) regions left over when each node is merged away; 1 for what never is."""
    crowd = np.ones(tree.leaves + len(tree.pairs))
    crowd[tree.pairs] = (tree.leaves - np.arange(len(tree.pairs)))[:, None]
    return crowd


def _looks(grain: Grain, strengths: np.ndarray, sets: np.ndarray, config: Config) -> np.ndarray:
    """(N,) what shape and inside add to the worth."""
    inside = sets.astype(np.float32)
    length = _within(grain, grain.lengths, inside)
    weight = _within(grain, grain.lengths * strengths, inside)
    ends = np.bincount(grain.edges.ravel(), np.repeat(grain.lengths, 2), len(grain.areas)).astype(np.float32)
    # the photo's own frame is no perimeter: things that reach it are cut, not ragged
    perimeter = np.maximum(inside @ ends - 2 * length, 1)
    ragged = perimeter / (4 * np.sqrt(inside @ grain.areas))
    strength = weight / np.maximum(length, 1)
    return config.inner * np.log(strength + 0.2) - config.compact * np.log(ragged)


def _within(grain: Grain, values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(N,) sum of the values of the edges both of whose ends are inside."""
    from scipy.sparse import csr_array

    a, b = grain.edges.T
    graph = csr_array((values, (a, b)), shape=(len(grain.areas),) * 2)
    return ((graph @ inside.T).T * inside).sum(1)


def _neighbours(grain: Grain, tree: MergeTree, config: Config) -> tuple[list, list]:
    """Pairs and triples of nodes that once stood side by side, from `config.pairs_from` regions on down."""
    count = max(config.pairs_from, config.triples_from)
    nodes = tree.regions(count=max(count, 1))
    labels = nodes[tree.labels(count=max(count, 1))]
    ends = np.unique(np.sort(labels[grain.edges], axis=1), axis=0)
    beside: dict[int, set[int]] = {int(node): set() for node in nodes}
    for a, b in ends[ends[:, 0] != ends[:, 1]].tolist():
        beside[a].add(b)
        beside[b].add(a)
    pairs: set[tuple[int, ...]] = set()
    triples: set[tuple[int, ...]] = set()
    fresh = list(beside)
    for k, (a, b) in enumerate(tree.pairs[len(tree.pairs) + 1 - len(nodes) :].tolist() + [(-1, -1)]):
        crowd = len(nodes) - k
        if crowd <= config.pairs_from:
            pairs |= {_sorted(x, y) for x in (beside if crowd == config.pairs_from else fresh) for y in beside[x]}
        if crowd <= config.triples_from:
            for x in beside if crowd == config.triples_from else fresh:
                triples |= {_sorted(x, y, z) for y, z in combinations(sorted(beside[x]), 2)}
                triples |= {_sorted(x, y, z) for y in beside[x] for z in beside[y] if z != x}
        if a < 0:
            break
        joint = (beside.pop(a) | beside.pop(b)) - {a, b}
        made = tree.leaves + len(tree.pairs) + 1 - len(nodes) + k
        for other in joint:
            beside[other] -= {a, b}
            beside[other].add(made)
        beside[made] = joint
        fresh = [made]
    own = {_sorted(a, b) for a, b in tree.pairs.tolist()}
    return sorted(pairs - own), sorted(triples)


def _sorted(*nodes: int) -> tuple[int, ...]:
    return tuple(sorted(nodes))


def choose(found: Candidates, areas: np.ndarray, overlap: float, most: int) -> np.ndarray:
    """Rows of the `most` worthiest candidates, worthiest first, of which no two have an IoU above `overlap`."""
    sets = found.sets.astype(np.float32)
    size = sets @ areas
    kept, kept_size = np.zeros((min(most, len(sets)), sets.shape[1]), np.float32), np.zeros(min(most, len(sets)))
    rows: list[int] = []
    for row in np.argsort(-found.worth, kind="stable"):
        if len(rows) == len(kept):
            break
        here = kept_size[: len(rows)]
        near = np.flatnonzero((here > overlap * size[row]) & (here * overlap < size[row]))
        common = kept[near] @ (sets[row] * areas)
        if (common > overlap * (here[near] + size[row] - common)).any():
            continue
        kept[len(rows)], kept_size[len(rows)] = sets[row], size[row]
        rows.append(int(row))
    return np.array(rows, np.int64)
