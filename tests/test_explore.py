"""Exploring: each room against its definition, and the whole of it on made photos whose regions are known."""

from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco
from skimage.color import rgb2lab

from hedgerow import rle
from hedgerow.backbones import open_backbone
from hedgerow.backbones.texture import TextureBackbone
from hedgerow.colour import lab
from hedgerow.config import Borders, Explore, Zoom
from hedgerow.config import Candidates as CandidatesConfig
from hedgerow.explore import explore
from hedgerow.explore.borders import borders
from hedgerow.explore.candidates import Candidates, _crowds, _neighbours, candidates, choose
from hedgerow.explore.grain import FAINT, cells, enlarged, flood, gradient, grain
from hedgerow.explore.words import TIME, diffusion, words
from hedgerow.forest import MaskForest
from hedgerow.merge import merge_graph
from hedgerow.photos import open_photo
from references import explore as slow

SIZES = [(37, 53), (64, 40), (3, 90), (90, 3), (2, 2), (1, 1), (1, 30)]


def noisy(height, width, seed=0):
    """Blurred colour noise: edges everywhere, none of them straight."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3))
    pixels = coarse.repeat(6, 0).repeat(6, 1)[:height, :width] + rng.normal(0, 12, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


# ---------------------------------------------------------------------- colour


def test_lab_is_that_of_scikit_image():
    levels = np.array([0, 1, 5, 10, 11, 40, 90, 128, 200, 254, 255], np.uint8)
    every = np.stack(np.meshgrid(levels, levels, levels), -1)
    assert np.abs(lab(every) - rgb2lab(every)).max() < 0.02
    assert lab(every).dtype == np.float32


# ---------------------------------------------------------------------- grains


@pytest.mark.parametrize("size", SIZES)
def test_grains_cover_the_photo_each_in_one_piece(size):
    made = grain(noisy(*size), 60)
    assert made.labels.shape == size
    assert sorted(np.unique(made.labels)) == list(range(len(made.areas)))
    assert made.areas.tolist() == np.bincount(made.labels.ravel()).tolist()
    assert all(slow.pieces(made.labels == k) == 1 for k in range(len(made.areas)))


@pytest.mark.parametrize("count", [1, 7, 300])
def test_about_as_many_grains_as_asked_for(count):
    assert 0.7 * count <= len(grain(noisy(60, 80), count).areas) <= 1.3 * count


@pytest.mark.parametrize("seed", range(6))
def test_water_rises_as_in_a_queue(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 30, 2)
    relief = rng.integers(0, 6, size).astype(np.float32)  # few heights: it is the order of arrival that decides
    seeds = np.where(rng.uniform(size=size) < 0.05, rng.integers(0, 9, size), -1).astype(np.int32)
    seeds.flat[rng.integers(seeds.size)] = 3
    heights = np.sqrt(relief / max(relief.max(), 1e-6)) * 255
    expected = slow.flood(heights.astype(np.uint8), seeds)
    flood(relief, seeds)
    assert np.array_equal(seeds, expected)


@pytest.mark.parametrize("size", SIZES)
def test_borders_of_grains_by_loops(size):
    pixels = noisy(*size, seed=2)
    for made in (grain(pixels, 40), cells(pixels, max(1, size[0] // 4), max(1, size[1] // 4))):
        met = slow.borders(made.labels, gradient(pixels))
        assert sorted(met) == sorted(map(tuple, made.edges.tolist()))
        mean = {pair: float(np.mean(values)) for pair, values in met.items()}
        unit = max(float(np.mean(list(mean.values()))) if mean else 0, FAINT)
        for pair, length, strength in zip(made.edges.tolist(), made.lengths, made.strengths, strict=True):
            assert length == len(met[tuple(pair)])
            assert strength == pytest.approx(mean[tuple(pair)] / unit, rel=1e-4)


@pytest.mark.parametrize("patches", [(9, 13), (40, 60), (1, 1), (37, 53)])
def test_pooling_is_a_mean_over_pixels(patches):
    made = grain(noisy(37, 53), 30)
    values = np.random.default_rng(1).standard_normal((*patches, 5)).astype(np.float32)
    assert np.abs(made.pool(values) - slow.pooled(made.labels, values)).max() < 1e-5


def test_cells_are_the_patches():
    made = cells(noisy(12, 20), 3, 5)
    assert np.array_equal(made.labels, np.arange(15).reshape(3, 5).repeat(4, 0).repeat(4, 1))
    assert len(made.edges) == 3 * 4 + 2 * 5
    assert len(cells(noisy(2, 3), 4, 4).areas) == 6  # more patches than pixels: a grain has at least one


def test_flat_photos_have_borders_of_no_strength():
    made = grain(np.full((30, 40, 3), 90, np.uint8), 20)
    assert made.strengths.max() < 0.01
    assert slow.pieces(made.labels == 0) == 1


@pytest.mark.parametrize("size", [(40, 60), (37, 53)])
def test_enlarged_grains_stay_what_they_were(size):
    small = noisy(*size)
    large = small.repeat(3, 0).repeat(3, 1)
    made = grain(small, 50)
    assert np.array_equal(enlarged(made.labels, small, size), made.labels)
    twice = enlarged(made.labels, small, (2 * size[0], 2 * size[1]))  # the photo itself was decoded no larger
    assert np.array_equal(twice, made.labels.repeat(2, 0).repeat(2, 1))
    labels = enlarged(made.labels, large, (6 * size[0], 6 * size[1]))
    assert labels.shape == (6 * size[0], 6 * size[1])
    assert sorted(np.unique(labels)) == list(range(len(made.areas)))
    same = labels == made.labels.repeat(6, 0).repeat(6, 1)
    assert same.mean() > 0.8
    assert np.array_equal(labels, labels[::2, ::2].repeat(2, 0).repeat(2, 1))  # pixels repeat beyond what was decoded


def test_enlarged_grains_find_the_edge_of_the_larger_photo():
    large = np.full((120, 120, 3), 40, np.uint8)
    large[:, 61:] = 200  # the small photo cannot tell where in its pixel that is
    small = large[::4, ::4]
    made = grain(small, 30)
    labels = enlarged(made.labels, large, (120, 120))
    left, right = set(labels[:, :58].ravel()), set(labels[:, 66:].ravel())
    assert not left & right
    assert np.array_equal(np.isin(labels, list(right)), large[..., 0] == 200)


# ---------------------------------------------------------------------- words


def likeness(values):
    unit = values.reshape(-1, values.shape[-1])
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def read(codes, dims=32, seed=0):
    """A map of word numbers as features: patches of one number are exactly alike, of two far apart."""
    points = np.random.default_rng(9).standard_normal((codes.max() + 1, 6)).astype(np.float32)
    return words(points[codes], 64, dims, np.random.default_rng(seed))


def test_words_are_the_diffusion_of_what_lies_side_by_side():
    codes = np.random.default_rng(0).integers(0, 7, (15, 22))
    codes[:, :9] //= 2
    expected = diffusion(slow.together(codes, 7), 32)[codes]
    assert np.abs(likeness(read(codes)) - likeness(expected)).max() < 1e-4


def test_diffusion_distances_are_those_of_random_walks():
    parts = np.random.default_rng(0).uniform(size=(6, 9))
    counts = parts @ parts.T  # no walk that swings to and fro: those are left out
    points = diffusion(counts, 5) * np.sqrt(counts.sum())
    distances = ((points[:, None] - points[None]) ** 2).sum(-1)
    assert distances == pytest.approx(slow.diffusion_distances(counts, TIME), rel=1e-3, abs=1e-7)


def test_what_lies_side_by_side_is_alike():
    """Stripes of two colours on a ground of two others: either two belong together."""
    codes = np.indices((30, 40)).sum(0) % 2
    codes[8:22, 10:30] = 2 + np.arange(20) % 2
    alike = likeness(read(codes, dims=2))
    ground, other, stripe, next_stripe = 0, 1, 8 * 40 + 10, 8 * 40 + 11
    assert alike[ground, other] > 0.9
    assert alike[stripe, next_stripe] > 0.9
    assert alike[ground, stripe] < 0


def test_words_do_not_know_where_they_are():
    """Two parts that change places, in a ground of one word, change nothing but the places."""
    rng = np.random.default_rng(4)
    one, two = rng.integers(1, 4, (5, 6)), rng.integers(1, 4, (5, 6))
    here, there = np.s_[3:8, 4:10], np.s_[14:19, 22:28]
    before = np.zeros((22, 32), int)
    after, place = before.copy(), np.arange(before.size).reshape(before.shape)
    moved = place.copy()
    before[here], before[there], after[here], after[there] = one, two, two, one
    moved[here], moved[there] = place[there], place[here]
    expected = likeness(read(before))[np.ix_(moved.ravel(), moved.ravel())]
    assert np.abs(likeness(read(after)) - expected).max() < 1e-4


def test_one_seed_one_reading():
    values = np.random.default_rng(0).standard_normal((20, 30, 8)).astype(np.float32)
    first, again, other = (words(values, 32, 8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.shape == (20, 30, 8)
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 3), (9, 1)])
def test_fewer_patches_than_words(size):
    values = np.random.default_rng(0).standard_normal((*size, 4)).astype(np.float32)
    found = words(values, 128, 32, np.random.default_rng(0))
    assert found.shape[:2] == size
    assert np.isfinite(found).all()


def test_a_photo_of_one_word():
    found = words(np.ones((7, 9, 3), np.float32), 128, 32, np.random.default_rng(0))
    assert found.tolist() == np.ones((7, 9, 1)).tolist()


# ---------------------------------------------------------------------- borders


def halves():
    pixels = np.random.default_rng(0).normal(100, 3, (48, 64, 3))
    pixels[:, 32:] += 40
    return pixels.astype(np.uint8)


def test_without_eigenvectors_borders_are_local():
    made = grain(noisy(40, 50), 40)
    plain = borders(made, made.pool(np.ones((4, 5, 3), np.float32)), Borders(spectral=0))
    np.testing.assert_array_equal(plain, made.strengths)


@pytest.mark.parametrize("spectral", [0.0, 2.0])
def test_the_border_of_two_halves_is_the_strongest(spectral):
    pixels = halves()
    made = grain(pixels, 48)
    side = np.array([np.median(np.nonzero(made.labels == k)[1]) > 31.5 for k in range(len(made.areas))])
    features = made.pool(TextureBackbone().features(pixels[None])[0])
    strengths = borders(made, features, Borders(spectral=spectral))
    across = side[made.edges[:, 0]] != side[made.edges[:, 1]]
    assert strengths.dtype == np.float32
    assert strengths[across].min() > 1.3 * strengths[~across].max()


def test_eigenvectors_see_a_border_where_it_fades():
    """A few rows of the border between two halves are blurred: what the rest of it says counts for them."""
    pixels = halves().astype(int)
    pixels[20:28, 20:44] = np.linspace(100, 140, 24)[None, :, None]
    pixels = pixels.astype(np.uint8)
    made = grain(pixels, 48)
    middle = np.array([np.mean(np.nonzero(made.labels == k), axis=1) for k in range(len(made.areas))])
    (ay, ax), (by, bx) = middle[made.edges[:, 0]].T, middle[made.edges[:, 1]].T
    across, faded = (ax > 31.5) != (bx > 31.5), np.abs((ay + by) / 2 - 24) < 4
    features = made.pool(TextureBackbone().features(pixels[None])[0])
    local, whole = (borders(made, features, Borders(spectral=weight)) for weight in (0, 2))
    left_locally, left = (s[across & faded].mean() / s[across & ~faded].mean() for s in (local, whole))
    assert left > 1.4 * left_locally


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (1, 5)])
def test_borders_of_a_few_grains(size):
    made = grain(noisy(*size), 100)
    strengths = borders(made, made.pool(np.ones((1, 1, 3), np.float32)), Borders())
    assert strengths.shape == made.strengths.shape
    assert np.isfinite(strengths).all()


# ---------------------------------------------------------------------- candidates


def small_tree(seed, size=(20, 26), count=14):
    made = grain(noisy(*size, seed=seed), count)
    features = np.random.default_rng(seed).standard_normal((len(made.areas), 3))
    return made, merge_graph(features, made.edges)


@pytest.mark.parametrize("seed", range(4))
def test_crowds_by_looking_at_every_partition(seed):
    _, tree = small_tree(seed)
    assert _crowds(tree).tolist() == slow.crowds(tree)


@pytest.mark.parametrize(("pairs_from", "triples_from"), [(160, 60), (8, 5), (5, 8), (14, 14), (2, 3), (0, 0), (0, 6)])
def test_neighbours_by_looking_at_every_partition(pairs_from, triples_from):
    for seed in range(4):
        made, tree = small_tree(seed)
        config = CandidatesConfig(pairs_from=pairs_from, triples_from=triples_from)
        pairs, triples = _neighbours(made, tree, config)
        expected = slow.neighbours(tree, made.edges, pairs_from, triples_from)
        assert [set(map(tuple, np.asarray(of).tolist())) for of in (pairs, triples)] == list(expected)
        assert len(set(map(tuple, pairs))) == len(pairs)


def test_candidates_are_unions_of_nodes_with_their_worth():
    made, tree = small_tree(3)
    config = CandidatesConfig(compact=0, inner=0, faint=0, min_area=1, max_share=1)
    found = candidates(made, made.strengths, tree, config, "made")
    members = {node: leaves for regions in slow.partitions(tree) for node, leaves in regions.items()}
    crowd = slow.crowds(tree)
    expected = {(members[node], -np.log(crowd[node])) for node in members}
    pairs, triples = slow.neighbours(tree, made.edges, config.pairs_from, config.triples_from)
    for some, less in ((pairs, config.pair), (triples, config.triple)):
        for nodes in some:
            worth = -np.log(max(crowd[node] for node in nodes)) - less
            expected.add((frozenset().union(*(members[node] for node in nodes)), worth))
    mine = {(frozenset(np.flatnonzero(row).tolist()), w) for row, w in zip(found.sets, found.worth, strict=True)}
    assert {(leaves, round(w, 6)) for leaves, w in mine} == {(leaves, round(float(w), 6)) for leaves, w in expected}
    assert set(found.source) == {"made", "made+1", "made+2"}


def test_areas_of_candidates_stay_inside_their_limits():
    made, tree = small_tree(1)
    config = CandidatesConfig(min_area=60, max_share=0.5, faint=0)
    found = candidates(made, made.strengths, tree, config, "made")
    areas = found.sets @ made.areas
    assert areas.min() >= 60
    assert areas.max() <= 0.5 * made.labels.size
    first = candidates(made, made.strengths, tree, replace(config, most=7), "made")
    assert len(first.worth) == 7


def disc_and_comb():
    """Cells without any strength, and which of them are in a disc and in a comb of ten teeth."""
    y, x = np.indices((24, 24))
    disc = (y - 7) ** 2 + (x - 7) ** 2 < 26
    comb = (y < 20) & ((x == 0) | ((y % 2 == 0) & (x < 8)))
    return cells(np.zeros((96, 96, 3), np.uint8), 24, 24), disc.ravel(), comb.ravel()


def worth_of(made, inside, config, strengths=None):
    """The worth of one set, from a tree that makes it and all the rest before it joins the two; None: no candidate."""
    tree = merge_graph(np.where(inside[:, None], [[1.0, 0]], [[0, 1.0]]), made.edges)
    found = candidates(made, made.strengths if strengths is None else strengths, tree, config, "made")
    rows = np.flatnonzero((found.sets == inside).all(1))
    return found.worth[rows].max() if len(rows) else None


def test_of_two_shapes_the_compact_one_is_worth_more():
    made, disc, comb = disc_and_comb()
    plain = CandidatesConfig(faint=0, inner=0, compact=0)
    assert worth_of(made, disc, plain) == pytest.approx(-np.log(2))
    assert worth_of(made, comb, plain) == pytest.approx(-np.log(2))
    more = worth_of(made, disc, replace(plain, compact=2.3)) - worth_of(made, comb, replace(plain, compact=2.3))
    ragged = [slow.outline(made.labels, of) / np.sqrt(of.sum()) for of in (disc, comb)]
    assert more == pytest.approx(2.3 * np.log(ragged[1] / ragged[0]), rel=1e-4)
    assert more > 1


def test_structure_inside_is_worth_something():
    made, disc, _ = disc_and_comb()
    plain = np.full(len(made.edges), 0.1, np.float32)
    rich = np.where(disc[made.edges].all(1), 2, plain).astype(np.float32)
    config = CandidatesConfig(faint=0, compact=0, inner=0.8)
    more = worth_of(made, disc, config, rich) - worth_of(made, disc, config, plain)
    assert more == pytest.approx(0.8 * np.log(2.2 / 0.3), rel=1e-4)


def test_what_nothing_ends_at_is_no_candidate():
    """On a flat photo no outline has any strength."""
    made, disc, _ = disc_and_comb()
    assert worth_of(made, disc, CandidatesConfig()) is None
    assert worth_of(replace(made, strengths=np.ones_like(made.strengths)), disc, CandidatesConfig()) is not None


@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("most", [3, 1000])
def test_choosing_is_greedy_suppression(overlap, most):
    rng = np.random.default_rng(1)
    core = rng.uniform(size=(6, 25)) < 0.4
    sets = core[rng.integers(0, 6, 60)] ^ (rng.uniform(size=(60, 25)) < 0.06)
    sets[:, 0] = True
    worth = rng.integers(0, 20, 60).astype(float)  # ties go to the earlier
    areas = rng.integers(1, 50, 25).astype(np.float32)
    found = Candidates(sets, worth, tuple(map(str, range(60))))
    kept = choose(found, areas, overlap, most)
    assert [int(name) for name in kept.source] == slow.chosen(sets, worth, areas, overlap, most)
    assert np.array_equal(kept.sets, sets[[int(name) for name in kept.source]])
    assert (np.diff(kept.worth) <= 0).all()


def test_choosing_from_nothing():
    empty = Candidates(np.zeros((0, 4), bool), np.zeros(0), ())
    assert len(choose(empty, np.ones(4, np.float32), 0.9, 10).worth) == 0


# ---------------------------------------------------------------------- unions as run lengths


def encoded(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]


@pytest.mark.parametrize("seed", range(12))
def test_unions_are_encoded_as_pycocotools_does(seed):
    rng = np.random.default_rng(seed)
    height, width, parts = rng.integers(1, 60, 3)
    labels = rng.integers(-1, parts, (height, width)).astype(np.int32)
    if seed % 2:  # long runs, more digits
        labels = np.sort(labels.ravel()).reshape(width, height).T
    inside = rng.uniform(size=(9, parts)) < rng.uniform(size=(9, 1))
    inside[:2] = [[False], [True]]
    held = np.pad(inside, ((0, 0), (0, 1)))  # part -1 is in no union
    assert list(rle.unions(labels, inside)) == [encoded(row[labels]) for row in held]


@pytest.mark.parametrize("seed", range(6))
def test_unions_in_a_window_of_a_photo(seed):
    rng = np.random.default_rng(seed)
    height, width, top, left, below, after = rng.integers(1, 30, 6) * (rng.uniform(size=6) < 0.7) + (1, 1, 0, 0, 0, 0)
    labels = rng.integers(-1, 4, (height, width)).astype(np.int32)
    inside = rng.uniform(size=(5, 4)) < 0.6
    size = (top + height + below, left + width + after)
    whole = np.full(size, -1, np.int32)
    whole[top : top + height, left : left + width] = labels
    assert rle.unions(labels, inside, size, top, left) == rle.unions(whole, inside)
    with pytest.raises(ValueError, match="do not fit"):
        rle.unions(labels, inside, size, top + below + 1, left)


def test_texts_longer_than_the_room_for_them():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 9, (1000, 1100)).astype(np.int32)
    inside = rng.uniform(size=(5, 9)) < 0.5
    texts = rle.unions(labels, inside)
    assert sum(map(len, texts)) > 2 * labels.size
    assert list(texts) == [encoded(np.append(row, False)[labels]) for row in inside]


def test_runs_of_many_digits():
    labels = np.zeros((3, 1_000_000), np.int32)
    labels[:, 300_001:300_003] = 1
    labels[2, -1] = 2
    inside = np.array([[False, True, False], [True, False, False], [False, False, True], [True, True, True]])
    assert list(rle.unions(labels, inside)) == [encoded(row[labels]) for row in inside]
    assert len(rle.unions(labels, np.zeros((0, 3), bool))) == 0


# ---------------------------------------------------------------------- the texture backbone


def test_texture_does_not_know_where_it_is():
    """The photo shifted by whole cells: the features shift along, but for what a border is near."""
    pixels, down, across, margin = noisy(160, 200), 7, 10, 8
    whole = TextureBackbone().features(pixels[None])[0]
    shifted = TextureBackbone().features(pixels[None, 4 * down :, 4 * across :])[0]
    assert shifted.shape == (40 - down, 50 - across, 128)
    inner = np.s_[margin : 40 - down - margin, margin : 50 - across - margin]
    assert np.abs(shifted[inner] - whole[down:, across:][inner]).max() < 1e-5


def test_a_batch_is_as_one_by_one():
    photos = np.stack([noisy(36, 44, seed) for seed in range(3)])
    together = TextureBackbone().features(photos)
    assert together.dtype == np.float32
    for photo, features in zip(photos, together, strict=True):
        assert np.array_equal(TextureBackbone().features(photo[None])[0], features)
    assert TextureBackbone().features(photos[:0]).shape == (0, 9, 11, 128)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5), (13, 90), (101, 37)])
def test_texture_of_odd_sizes(size):
    features = TextureBackbone().features(noisy(*size)[None])[0]
    assert features.shape == (*(max(1, int(side / 4 + 0.5)) for side in size), 128)
    assert np.isfinite(features).all()
    assert np.abs(features).max() <= 1


def test_alike_is_what_looks_alike():
    """Two flat colours, and noise of one of them: each is liker to itself elsewhere than to the others."""
    rng = np.random.default_rng(0)
    grey, red = np.full((32, 32, 3), 120), np.full((32, 32, 3), (170, 60, 60))
    rough = np.clip(grey + rng.normal(0, 40, (32, 32, 1)), 0, 255)
    features = [TextureBackbone().features(p[None].astype(np.uint8))[0][2:-2, 2:-2] for p in (grey, red, rough)]
    halves = np.array([half.sum((0, 1)) for f in features for half in (f[:, :2], f[:, 2:])])
    alike = likeness(halves)
    for kind in range(3):
        others = np.delete(alike[2 * kind], [2 * kind, 2 * kind + 1])
        assert alike[2 * kind, 2 * kind + 1] > others.max() + 0.1


# ---------------------------------------------------------------------- the whole of it


def scene(seed):
    """Noisy flat shapes on a noisy ground and who they are part of: a disc in a square, and a thing of two colours."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((120, 160))
    top, left = rng.integers(8, 40, 2)
    square = (y >= top) & (y < top + 60) & (x >= left) & (x < left + 56)
    disc = (y - top - 30) ** 2 + (x - left - 28) ** 2 < 18**2
    thing = (np.abs(x - 126) < 16) & (y >= 20) & (y < 100)
    upper = thing & (y < 20 + rng.integers(32, 48))
    masks = np.stack([square, disc, thing, upper, thing & ~upper])
    pixels = np.full((120, 160, 3), (96.0, 104, 90))
    colours = [(60, 90, 170), (220, 200, 60), (190, 50, 60), (130, 30, 110)]
    for mask, colour in zip(masks[[0, 1, 3, 4]], colours, strict=True):
        pixels[mask] = np.array(colour) + rng.integers(-15, 16, 3)
    pixels += rng.normal(0, 8, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8), MaskForest.from_masks(masks, parent=[-1, 0, -1, 2, 2])


SCENES = range(4)


@pytest.fixture(scope="module")
def explored():
    backbone = open_backbone("texture")
    scenes = [scene(seed) for seed in SCENES]
    return [(truth, explore(open_photo(pixels), backbone)) for pixels, truth in scenes]


@pytest.mark.parametrize("seed", SCENES)
def test_made_shapes_are_found_with_their_parents(explored, seed):
    truth, found = explored[seed]
    top = found.best(10).nest()
    overlap = top.iou(truth)
    assert overlap.max(0).min() > 0.9, overlap.max(0)
    match = overlap.argmax(0)
    for part, whole in enumerate(truth.parent):
        known = set(top.ancestors(int(match[part]))) & set(match)
        assert known == ({match[whole]} if whole >= 0 else set())


def test_made_shapes_have_their_edges_at_pixels(explored):
    """The least and the mean over all shapes; 0.994 and 0.998 when this was written."""
    best = np.concatenate([found.iou(truth).max(0) for truth, found in explored])
    assert best.min() > 0.98
    assert best.mean() > 0.99


def test_forests_are_as_they_should_be(explored):
    for _, found in explored:
        assert len(found) <= 1000
        assert (found.areas <= 0.9 * 120 * 160).all()
        assert not (np.triu(found.iou(), 1) > 0.9).any()
        share = found.cover()
        above = (share >= 0.9) & (share.T < 0.9)
        least = np.where(above, found.areas, np.inf).min(1)
        assert np.array_equal(np.where(found.parent >= 0, found.areas[found.parent], np.inf), least)


def test_one_seed_one_forest(explored):
    first, again = explored[0][1], explore(open_photo(scene(0)[0]), open_backbone("texture"))
    assert first.rles == again.rles
    assert first.score.tobytes() == again.score.tobytes()
    assert first.parent.tobytes() == again.parent.tobytes()
    assert first.source == again.source


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 4000), (4000, 3), (1, 50), (5, 7)])
@pytest.mark.parametrize("kind", ["flat", "noisy"])
def test_photos_of_any_shape(size, kind):
    pixels = np.full((*size, 3), 77, np.uint8) if kind == "flat" else noisy(*size)
    found = explore(open_photo(pixels), open_backbone("texture"))
    assert found.size == size
    assert len(found) >= 1
    assert found.levels(4).shape == (4, *size)


def test_a_flat_photo_is_one_region():
    found = explore(open_photo(np.full((90, 120, 3), 77, np.uint8)), open_backbone("texture"))
    assert found.areas.tolist() == [90 * 120]


def test_a_reduced_photo_has_masks_of_full_size():
    pixels, truth = scene(1)
    large = pixels.repeat(2, 0).repeat(2, 1)
    found = explore(open_photo(large), open_backbone("texture"), Explore(pixels=120 * 160))
    assert found.size == (240, 320)
    wanted = MaskForest.from_masks(truth.masks().repeat(2, 1).repeat(2, 2))
    assert found.best(25).iou(wanted).max(0).min() > 0.9


def test_patches_as_grains():
    """SOHES as published: what it finds is as coarse as its patches, and refining brings it to the edges."""
    pixels, truth = scene(2)
    config = Explore(grain="patches", words=0, borders=Borders(spectral=0), handicap=np.inf, keep_iou=0)
    coarse = explore(open_photo(pixels), open_backbone("texture"), config)
    assert coarse.iou(truth).max(0).min() > 0.75
    edges = np.diff(np.pad(coarse.mask(0).astype(int), 1), axis=0)[:, 1:-1].nonzero()[0]
    assert (edges % 4 == 0).all()
    fine = explore(open_photo(pixels), open_backbone("texture"), replace(config, keep_iou=0.5))
    assert (fine.iou(truth).max(0) > coarse.iou(truth).max(0)).all()
    assert fine.iou(truth).max(0).min() > 0.9


def test_refined_patches_of_a_photo_decoded_smaller():
    """A window of a photo that was decoded at a third: masks are at the photo's full size, where the window lies."""
    pixels, truth = scene(2)
    photo = replace(open_photo(pixels), size=(pixels.shape[0] * 3 + 1, pixels.shape[1] * 3 + 2))
    config = Explore(grain="patches", zoom=Zoom(small=0.2, windows=2))
    found = explore(photo, open_backbone("texture"), config)
    assert found.size == photo.size
    rows, columns = (np.arange(whole) * part // whole for whole, part in zip(photo.size, truth.size, strict=True))
    wholes = MaskForest.from_masks([mask[np.ix_(rows, columns)] for mask in truth.masks()])
    assert "zoom" in found.source
    assert found.iou(wholes).max(0).min() > 0.9


def test_limits_are_kept():
    pixels, _ = scene(0)
    plain = Explore(zoom=Zoom(windows=0))
    limited = replace(plain, max_masks=7, candidates=CandidatesConfig(min_area=200, max_share=0.3))
    found = explore(open_photo(pixels), open_backbone("texture"), limited)
    assert len(found) <= 7
    assert found.areas.min() >= 200
    assert found.areas.max() <= 0.3 * 120 * 160


def test_the_first_regions_show_different_things():
    photo, backbone = open_photo(scene(0)[0]), open_backbone("texture")
    whole = Explore(zoom=Zoom(windows=0))
    few = replace(whole, max_masks=20)
    faded, plain = (explore(photo, backbone, replace(few, alike=alike)) for alike in (1.0, 0.0))
    crowded = [np.triu(forest.iou() ** 4, 1).sum() for forest in (faded, plain)]
    assert crowded[0] < crowded[1] / 2, crowded
    every = explore(photo, backbone, whole)
    assert {*faded.rles} == {*every.best(20).rles}, "asking for few is taking the best of many"
