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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hedgerow.config import Candidates as Config
from hedgerow.explore.grain import Grain
from hedgerow.merge import MergeTree
from hedgerow.native import library


@dataclass(frozen=True, eq=False)
class Candidates:
    """sets (N, L) bool over the grains, worth (N,) float64, source: N words."""

    sets: np.ndarray
    worth: np.ndarray
    source: tuple[str, ...]

    def only(self, rows: np.ndarray) -> Candidates:
        """These rows, or those where N bools are true."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Candidates(self.sets[rows], self.worth[rows], tuple(self.source[i] for i in rows))

    def and_also(self, other: Candidates) -> Candidates:
        return Candidates(
            np.concatenate([self.sets, other.sets]),
            np.concatenate([self.worth, other.worth]),
            self.source + other.source,
        )


def candidates(grain: Grain, strengths: np.ndarray, tree: MergeTree, config: Config, name: str) -> Candidates:
    """Nodes of the tree and unions of neighbours, the `config.most` of best first impression, with their worth.

    `strengths` are those that the tree was merged by.
    """
    nodes = np.arange(tree.leaves + len(tree.pairs))[:, None]
    groups = [nodes, *_neighbours(grain, tree, config)]
    less = np.repeat([0.0, config.pair, config.triple], [len(group) for group in groups])
    members = np.concatenate([np.pad(g, ((0, 0), (0, 3 - g.shape[1])), constant_values=-1) for g in groups])

    # a row of nothing at the end is what member -1 stands for
    areas = np.append(tree.totals(grain.areas), 0)[members].sum(1)
    first = -np.log(np.append(_crowds(tree), 1)[members].max(1)) - less
    rows = np.flatnonzero((areas >= config.min_area) & (areas <= config.max_share * grain.areas.sum()))
    rows = rows[np.lexsort((*members[rows].T, -first[rows]))[: config.most]]

    sets = _sets(tree, members[rows])
    looks, outline = _looks(grain, strengths, sets, config)
    source = tuple(name + ("", "+1", "+2")[extra] for extra in (members[rows, 1:] >= 0).sum(1))
    return Candidates(sets, first[rows] + looks, source).only(outline >= config.faint)


def _sets(tree: MergeTree, members: np.ndarray) -> np.ndarray:
    """(N, L) bool: the leaves under any of a row's nodes. Each node is one run of the tree's leaf order."""
    turns = np.zeros((len(members), tree.leaves + 1), np.int8)
    for column in members.T:
        rows = np.flatnonzero(column >= 0)
        turns[rows, tree.start[column[rows]]] += 1
        turns[rows, tree.stop[column[rows]]] -= 1
    sets = np.empty((len(members), tree.leaves), bool)
    sets[:, tree.order] = np.cumsum(turns, axis=1, dtype=np.int8)[:, :-1]
    return sets


def _crowds(tree: MergeTree) -> np.ndarray:
    """(nodes,) regions left over when each node is merged away; 1 for what never is."""
    crowd = np.ones(tree.leaves + len(tree.pairs))
    crowd[tree.pairs] = (tree.leaves - np.arange(len(tree.pairs)))[:, None]
    return crowd


def _looks(grain: Grain, strengths: np.ndarray, sets: np.ndarray, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(N,) what shape and inside add to the worth, and (N,) mean local strength of the outline."""
    values = np.stack([grain.lengths, grain.lengths * strengths, grain.lengths * grain.strengths], axis=1)
    within, around = np.empty((len(sets), 3)), np.empty((len(sets), 3))
    held = sets.view(np.uint8)
    library().hedgerow_outline(*held.shape, held, len(grain.edges), grain.edges, 3, values, within, around)
    (length, weight, _), (perimeter, _, edge) = within.T, around.T
    # the photo's own frame is no perimeter: things that reach it are cut, not ragged
    ragged = np.maximum(perimeter, 1) / (4 * np.sqrt(_areas(sets, grain.areas)))
    looks = config.inner * np.log(weight / np.maximum(length, 1) + 0.2) - config.compact * np.log(ragged)
    return looks, edge / np.maximum(perimeter, 1)


def _areas(sets: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(N,) pixels of each set; some sets at a time, as bools are a quarter of what a product takes."""
    parts = np.array_split(sets, max(1, sets.size // 4_000_000))
    return np.concatenate([part.astype(np.float32) @ areas for part in parts])


def _neighbours(grain: Grain, tree: MergeTree, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) pairs and (T, 3) triples of nodes that once stood side by side, from that many regions on down.

    What stands side by side changes only where a merge makes a new node, so only its neighbourhood is looked at.
    """
    count = max(config.pairs_from, config.triples_from, 1)
    nodes = tree.regions(count=count)
    ends = np.unique(np.sort(nodes[tree.labels(count=count)][grain.edges], axis=1), axis=0)
    beside: dict[int, set[int]] = {int(node): set() for node in nodes}
    for a, b in ends[ends[:, 0] != ends[:, 1]].tolist():
        beside[a].add(b)
        beside[b].add(a)
    pairs: set[tuple[int, int]] = set()
    triples: set[tuple[int, int, int]] = set()
    merges = tree.pairs[len(tree.pairs) - len(nodes) + 1 :].tolist() if len(nodes) > 1 else []
    made = tree.leaves + len(tree.pairs) - len(merges)
    fresh = list(beside)
    for crowd in range(len(nodes), 1, -1):
        if crowd <= config.pairs_from:
            pairs.update(_pairs(list(beside) if crowd == config.pairs_from else fresh, beside))
        if crowd <= config.triples_from:
            triples.update(_triples(list(beside) if crowd == config.triples_from else fresh, beside))
        if not merges:
            break
        a, b = merges.pop(0)
        joint = (beside.pop(a) | beside.pop(b)) - {a, b}
        for other in joint:
            beside[other] -= {a, b}
            beside[other].add(made)
        beside[made] = joint
        fresh, made = [made], made + 1
    pairs -= {(a, b) for a, b in tree.pairs.tolist()}
    return np.array(sorted(pairs), np.int64).reshape(-1, 2), np.array(sorted(triples), np.int64).reshape(-1, 3)


def _pairs(nodes: list[int], beside: dict[int, set[int]]) -> Iterator[tuple[int, int]]:
    for x in nodes:
        for y in beside[x]:
            yield (x, y) if x < y else (y, x)


def _triples(nodes: list[int], beside: dict[int, set[int]]) -> Iterator[tuple[int, int, int]]:
    """Connected triples that hold one of the nodes, in the middle or at an end."""
    for x in nodes:
        ends = ((y, z) for y in beside[x] for z in beside[x] | beside[y] if z not in (x, y))
        for y, z in ends:
            low, middle, high = sorted((x, y, z))
            yield low, middle, high


def choose(found: Candidates, areas: np.ndarray, overlap: float, most: int) -> Candidates:
    """The `most` worthiest candidates, worthiest first, of which no two have an IoU above `overlap`."""
    size = _areas(found.sets, areas)
    kept_size = np.zeros(min(most, len(size)))
    kept = np.zeros((len(kept_size), len(areas)), np.float32)
    rows: list[int] = []
    for row in np.argsort(-found.worth, kind="stable"):
        if len(rows) == len(kept):
            break
        here = kept_size[: len(rows)]
        near = np.flatnonzero((here > overlap * size[row]) & (here * overlap < size[row]))
        common = kept[near] @ (found.sets[row] * areas)
        if (common > overlap * (here[near] + size[row] - common)).any():
            continue
        kept[len(rows)], kept_size[len(rows)] = found.sets[row], size[row]
        rows.append(int(row))
    return found.only(np.array(rows, np.int64))
