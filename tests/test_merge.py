"""The merge kernel against scanning every edge before every merge, and what is read from the tree."""

import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial import Delaunay

from hedgerow import native
from hedgerow.merge import MergeTree, grid_edges, merge_graph, merge_grid
from references import merge_by_scanning as slow

THETAS = (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


def same(tree, expected):
    pairs, prices = expected
    assert np.array_equal(tree.pairs, pairs)
    assert np.array_equal(tree.prices, prices)


def maps(side, channels, rng):
    """Three kinds: no structure at all, forty noisy regions of a common mean, and smooth."""
    noise = rng.standard_normal((side, side, channels)).astype(np.float32)
    yield "iid", noise
    points = rng.uniform(0, side, (40, 2))
    near = np.square(np.mgrid[:side, :side].transpose(1, 2, 0)[:, :, None] - points).sum(-1).argmin(-1)
    yield "regions", (1 + rng.standard_normal((40, channels))[near] + 0.7 * noise).astype(np.float32)
    yield "smooth", gaussian_filter(noise, (3, 3, 0))
    yield "one sided", np.abs(noise)  # a common mean: one giant swallows patch after patch


def planar(count, rng):
    """Edges of a Delaunay triangulation, some left out so that it may fall apart, in random order and direction."""
    triangles = Delaunay(rng.uniform(size=(count, 2))).simplices
    edges = np.unique(
        np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]])), axis=0
    )
    edges = rng.permutation(edges[rng.uniform(size=len(edges)) < 0.7])
    return np.where(rng.uniform(size=(len(edges), 1)) < 0.5, edges, edges[:, ::-1])


# ---------------------------------------------------------------------- the order of merging


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("channels", [1, 3, 16, 37])
def test_small_maps_merge_as_by_scanning(seed, channels):
    rng = np.random.default_rng(seed)
    h, w = rng.integers(1, 9, 2)
    features = rng.standard_normal((h, w, channels)).astype(np.float32)
    same(merge_grid(features), slow.merge(features.reshape(h * w, -1), grid_edges(h, w)))


@pytest.mark.parametrize("side", [12, 18])
def test_giants_merge_as_by_scanning(side):
    """Large enough for regions of many neighbours, which the kernel prices by bounds."""
    for _, features in maps(side, 24, np.random.default_rng(side)):
        same(merge_grid(features), slow.merge(features.reshape(side * side, -1), grid_edges(side, side)))


def test_a_star_merges_as_by_scanning():
    rng = np.random.default_rng(0)
    features = rng.uniform(size=(160, 5)).astype(np.float32)
    spokes = np.stack([np.zeros(159, int), np.arange(1, 160)], 1)
    rim = np.stack([np.arange(1, 159), np.arange(2, 160)], 1)
    for edges in (spokes, np.concatenate([rim, spokes])):
        same(merge_graph(features, edges), slow.merge(features, edges))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_ties_go_to_the_earlier_edge(data):
    """Few whole values, zero vectors among them: most prices are equal to others."""
    n, channels = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 3))
    values = data.draw(st.lists(st.integers(-1, 2), min_size=n * channels, max_size=n * channels))
    features = np.array(values, np.float32).reshape(n, channels)
    every = [(a, b) for a in range(n) for b in range(n) if a != b]
    edges = np.array(data.draw(st.lists(st.sampled_from(every), max_size=40)) if every else [], int).reshape(-1, 2)
    lengths = np.array(data.draw(st.lists(st.integers(1, 3), min_size=len(edges), max_size=len(edges))), float)
    same(merge_graph(features, edges, lengths=lengths), slow.merge(features, edges, lengths=lengths))
    more = {
        "lengths": lengths,
        "strengths": lengths[::-1] % 3,
        "areas": 1.0 + np.arange(n) % 3,
        "feature": data.draw(st.sampled_from([0.0, 1.0, 0.25])),
        "border": data.draw(st.sampled_from([0.0, 1.0, 2.0])),
        "size": data.draw(st.sampled_from([0.0, 0.5, 1.0])),
    }
    same(merge_graph(features, edges, **more), slow.merge(features, edges, **more))


@pytest.mark.parametrize("seed", range(10))
def test_planar_graphs_with_borders_and_sizes(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 70))
    edges = planar(n, rng)
    terms = {
        "areas": rng.uniform(1, 500, n),
        "lengths": rng.uniform(1, 20, len(edges)),
        "strengths": rng.exponential(size=len(edges)),
    }
    features = rng.standard_normal((n, 4)).astype(np.float32)
    same(merge_graph(features, edges), slow.merge(features, edges))
    for feature, border, size in ((1, 1, 0), (0, 1, 0), (1, 0, 0.5), (0.3, 2, 0.25), (0, 1, 3)):
        weights = {"feature": feature, "border": border, "size": size}
        same(merge_graph(features, edges, **terms, **weights), slow.merge(features, edges, **terms, **weights))
        if not feature:
            empty = merge_graph(np.zeros((n, 0)), edges, **terms, **weights)
            assert np.array_equal(empty.pairs, merge_graph(features, edges, **terms, **weights).pairs)


def test_equal_features_merge_in_the_order_of_the_edges():
    tree = merge_grid(np.full((90, 110, 20), 0.3, np.float32))
    assert (tree.prices == 0).all()
    edges = grid_edges(90, 110)
    assert tree.pairs[0].tolist() == edges[0].tolist()
    assert len(tree.pairs) == 90 * 110 - 1
    same(merge_grid(np.ones((6, 7, 3))), slow.merge(np.ones((42, 3), np.float32), grid_edges(6, 7)))


def test_zero_vectors_have_cosine_zero_to_all():
    assert merge_grid(np.zeros((1, 2, 4))).prices.tolist() == [1.0]
    features = np.array([[1.0, 0], [-1, 0], [0, 1]])  # the first two cancel out, but only after the third has come
    edges = np.array([[0, 1], [1, 2]])
    same(merge_graph(features, edges), slow.merge(features, edges))
    many = np.concatenate([[[1.0, 0]], [[-1.0, 0]], np.random.default_rng(0).uniform(size=(60, 2))])
    star = np.array([[0, k] for k in range(1, 62)])
    same(merge_graph(many, star), slow.merge(many, star))


@pytest.mark.parametrize("size", [1e-30, 1e30, 1e300])
def test_the_scale_of_features_does_not_matter(size):
    features = np.random.default_rng(3).standard_normal((8, 8, 6)).astype(np.float32)
    exponent = 2.0 ** np.round(np.log2(size))
    dtype = np.float64 if size == 1e300 else np.float32
    assert np.array_equal(
        merge_grid((features.astype(np.float64) * exponent).astype(dtype)).pairs, merge_grid(features).pairs
    )


def test_features_are_left_as_they_were_in_any_layout():
    features = np.random.default_rng(3).standard_normal((6, 9, 5)).astype(np.float32)
    before, turned = features.copy(), np.asfortranarray(features)
    same(merge_grid(turned), (merge_grid(features).pairs, merge_grid(features).prices))
    assert np.array_equal(features, before)
    half = merge_grid(features.astype(np.float16))
    assert np.array_equal(half.pairs, merge_grid(features.astype(np.float16).astype(np.float32)).pairs)


@pytest.mark.parametrize(("n", "merges"), [(0, 0), (1, 0), (2, 0)])
def test_nothing_to_merge(n, merges):
    tree = merge_graph(np.ones((n, 3)), np.zeros((0, 2), int))
    assert len(tree.pairs) == merges
    assert tree.labels(count=1).tolist() == list(range(n))
    assert tree.order.tolist() == list(range(n))


def test_pieces_never_join():
    features = np.random.default_rng(1).standard_normal((7, 3))
    edges = np.array([[0, 1], [1, 2], [4, 3], [6, 5]])
    tree = merge_graph(features, edges)
    assert len(tree.pairs) == 4
    labels = tree.labels(count=1)
    assert len(set(labels)) == 3
    assert labels[0] == labels[1] == labels[2] != labels[3] == labels[4] != labels[5] == labels[6]


def test_the_same_bytes_every_time_and_in_every_thread():
    features = np.random.default_rng(5).standard_normal((40, 40, 48)).astype(np.float32)
    first, others = merge_grid(features), []
    threads = [threading.Thread(target=lambda: others.append(merge_grid(features))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for tree in others:
        assert tree.pairs.tobytes() == first.pairs.tobytes()
        assert tree.prices.tobytes() == first.prices.tobytes()
        assert tree.products == first.products


def test_work_for_a_patch_hardly_grows_with_the_map():
    """Were every edge of the merged region priced anew, it would take 24 products a patch, then 85, on iid maps,
    29, then 169, on regions, and 490, then thousands, on one sided ones."""
    small, large = (
        {name: merge_grid(features).products / side**2 for name, features in maps(side, 64, np.random.default_rng(0))}
        for side in (50, 150)
    )
    for name, products in large.items():
        assert products < 1.4 * small[name], (small, large)
        assert products < 35


# ---------------------------------------------------------------------- what is read from the tree


@pytest.fixture(scope="module")
def tree():
    return merge_grid(next(iter(maps(18, 8, np.random.default_rng(2))))[1])


def test_snapshots_are_the_levels_of_sohes():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((5, 6, 4)) + 0.4
        patches = np.array([divmod(p, 6) for p in range(30)])
        for labels, regions in zip(merge_grid(features).snapshots(THETAS), slow.levels(features, THETAS), strict=True):
            found = {frozenset(map(tuple, patches[labels == k].tolist())) for k in np.unique(labels)}
            assert found == regions


def test_merging_is_not_monotone_but_levels_are(tree):
    assert (np.diff(tree.prices) < 0).any()
    assert (np.diff(tree.heights) >= 0).all()
    level = float(tree.heights[100])
    done = tree.leaves - len(tree.regions(threshold=level))
    assert (tree.prices[:done] <= level).all()
    assert tree.prices[done] > level


def test_partitions_are_nested(tree):
    levels = tree.partitions(np.linspace(0, 2, 30))
    for fine, coarse in pairwise(levels):
        for k in np.unique(fine):
            assert len(set(coarse[fine == k])) == 1
    assert (levels[-1] == 0).all()


@pytest.mark.parametrize("count", [1, 2, 17, 100, 324, 1000])
def test_a_partition_of_a_count(tree, count):
    nodes, labels = tree.regions(count=count), tree.labels(count=count)
    assert len(nodes) == len(set(labels)) == min(count, tree.leaves)
    for k, node in enumerate(nodes):
        assert set(tree.members(node)) == set(np.flatnonzero(labels == k))


def test_nodes_are_runs_of_the_leaf_order(tree):
    assert sorted(tree.order) == list(range(tree.leaves))
    for k, (a, b) in enumerate(tree.pairs):
        node = tree.leaves + k
        assert set(tree.members(node)) == set(tree.members(a)) | set(tree.members(b))
        assert tree.sizes[node] == tree.sizes[a] + tree.sizes[b]
        assert tree.parent[a] == tree.parent[b] == node
        assert a < b < node
    assert tree.parent[-1] == -1
    values = np.random.default_rng(0).uniform(size=(tree.leaves, 2))
    totals = tree.totals(values)
    for node in (0, 400, 500, len(totals) - 1):
        assert np.allclose(totals[node], values[tree.members(node)].sum(0))


def test_grid_edges():
    assert grid_edges(2, 3).tolist() == [[0, 1], [1, 2], [3, 4], [4, 5], [0, 3], [1, 4], [2, 5]]
    assert grid_edges(1, 1).shape == grid_edges(0, 5).shape == (0, 2)


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("region 4 has NaN or infinity", lambda: merge_grid(np.where(np.arange(9).reshape(3, 3, 1) == 4, np.nan, 1.0))),
        ("region 0 has NaN or infinity", lambda: merge_grid(np.full((1, 2, 1), -np.inf))),
        ("three dimensions", lambda: merge_grid(np.ones((4, 4)))),
        ("two dimensions", lambda: merge_graph(np.ones((4, 4, 4)), np.array([[0, 1]]))),
        (r"edge 1 is \[1, 1\]", lambda: merge_graph(np.ones((2, 1)), np.array([[0, 1], [1, 1]]))),
        (r"edge 0 is \[0, 2\]", lambda: merge_graph(np.ones((2, 1)), np.array([[0, 2]]))),
        ("whole numbers", lambda: merge_graph(np.ones((2, 1)), np.array([[0.0, 1.0]]))),
        ("lengths must be above 0", lambda: merge_graph(np.ones((2, 1)), np.array([[0, 1]]), lengths=np.zeros(1))),
        ("strengths must be 0 or more", lambda: merge_graph(np.ones((2, 1)), np.array([[0, 1]]), strengths=[np.nan])),
        ("areas must have 2 entries", lambda: merge_graph(np.ones((2, 1)), np.array([[0, 1]]), areas=np.ones(3))),
        ("weight size", lambda: merge_graph(np.ones((2, 1)), np.array([[0, 1]]), size=-1)),
        ("either threshold", lambda: merge_grid(np.ones((2, 2, 1))).labels()),
        ("at least one region", lambda: merge_grid(np.ones((2, 2, 1))).labels(count=0)),
    ],
)
def test_a_mistake_is_one_line(message, call):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_missing_library_says_what_to_run(tmp_path):
    """And only when it is needed: importing has no effect."""
    copy = tmp_path / "native.py"
    copy.write_text(Path(native.__file__).read_text())
    code = "from native import library\ntry: library()\nexcept ValueError as error: print(type(error).__name__, error)"
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told.startswith("CallerError hedgerow's compiled part is missing or old (")
    assert told.endswith("): install hedgerow again (in a clone: pip install -e .)\n")
    assert told.count("\n") == 1


def test_a_tree_says_what_it_is(tree):
    assert repr(tree) == "MergeTree(324 leaves, 323 merges)"
    assert isinstance(tree, MergeTree)
