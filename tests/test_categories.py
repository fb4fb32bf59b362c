"""Segments into categories: vectors, groups, files, and the two commands that make and use them."""

import hashlib
import io
import json
import pickle
import sys

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from hedgerow.backbones import FeatureMap
from hedgerow.categories import (
    Categories,
    Projection,
    agreements,
    category_map,
    choose_k,
    embed,
    fit_categories,
    fit_pca,
    fit_whitening,
    foremost,
    kmeans,
    nearest,
    rand_index,
    read_categories,
    unit_rows,
    write_categories,
)
from hedgerow.cli import main
from hedgerow.config import CallerError, Cluster
from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.draw import category_colours, category_overlay, category_overview
from hedgerow.filling import fill
from hedgerow.forest import MaskForest
from hedgerow.formats import read_forest, write_label_map
from hedgerow.gathering import plan_segments
from references import categories as slow

KINDS = np.array([(210, 40, 40), (40, 60, 210), (230, 210, 40)])  # what is in the made photos
BACKBONE = ["--backbone", "texture"]
CARD = {
    "supervision": "none",
    "most_segments": 8,
    "backbone": {"asked": "texture", "name": "texture", "supervision": "none", "weights_sha256": None},
}


def made_photo(number):
    """Two squares of two kinds on grey, the masks of both and of the ground, and which kinds they are."""
    rng = np.random.default_rng(number)
    pixels = np.full((60, 80, 3), (120, 125, 120), float)
    first, second = number % 3, (number + 1 + number // 3 % 2) % 3
    masks = []
    for kind, left in ((first, 4), (second, 44)):
        top, side = int(rng.integers(4, 20)), int(rng.integers(22, 30))
        mask = np.zeros((60, 80), bool)
        mask[top : top + side, left : left + side] = True
        pixels[mask] = KINDS[kind]
        masks.append(mask)
    pixels += rng.normal(0, 4, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8), masks, (first, second)


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """Nine photos, and labels of the squares in them."""
    monkeypatch.setattr("hedgerow.pipeline._crew", lambda photos, config: 0)
    monkeypatch.setattr("hedgerow.pipeline.usable_cores", lambda: 0)
    (tmp_path / "photos").mkdir()
    labels = []
    for number in range(9):
        pixels, masks, _ = made_photo(number)
        path = tmp_path / "photos" / f"{number}.png"
        Image.fromarray(pixels).save(path)
        forest = MaskForest.from_masks(masks, score=[0.9, 0.8])
        labels.append(Label(str(number), path.name, hashlib.sha256(path.read_bytes()).hexdigest(), forest))
    store = LabelStore(tmp_path / "labels")
    store.claim(Collection(tuple(str(n) for n in range(9)), (), {"name": "made", "supervision": "none"}))
    store.write(0, labels)
    return tmp_path


def cluster(folder, *words, k="3", out="out"):
    given = ["-k", k, "-o", str(folder / out), "--segments", str(folder / "labels"), *BACKBONE]
    return main(["cluster", str(folder / "photos"), *given, *map(str, words)])


# ---------------------------------------------------------------------- vectors


@pytest.mark.parametrize("seed", range(4))
def test_a_region_is_the_direction_of_what_it_holds(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, 4, 5)).astype(np.float32) * rng.uniform(0.1, 9, (3, 4, 1)).astype(np.float32)
    masks = rng.random((3, 24, 32)) < np.array([0.2, 0.6, 1.0])[:, None, None]
    found = embed(MaskForest.from_masks(masks), FeatureMap(values, (24, 32))).embedding
    np.testing.assert_allclose(found, [slow.embedding(mask, values) for mask in masks], atol=1e-5)


def test_what_a_region_does_not_hold_does_not_matter():
    values = np.random.default_rng(0).normal(size=(4, 4, 6)).astype(np.float32)
    mask = np.zeros((16, 16), bool)
    mask[:8] = True
    other = values.copy()
    other[2:] = 7
    one, two = (embed(MaskForest.from_masks([mask]), FeatureMap(v, (16, 16))).embedding for v in (values, other))
    np.testing.assert_array_equal(one, two)


def test_awkward_regions_have_vectors_too():
    """One pixel between the points where patches are looked up; opposites that cancel out; no region at all."""
    values = np.zeros((1, 2, 2), np.float32)
    values[0, :, 0] = 1, -1
    pixel, whole = np.zeros((40, 80), bool), np.ones((40, 80), bool)
    pixel[1, 70] = True
    found = embed(MaskForest.from_masks([pixel, whole]), FeatureMap(values, (40, 80))).embedding
    np.testing.assert_allclose(found, [[-1, 0], [0, 0]], atol=1e-6)
    assert embed(MaskForest((40, 80)), FeatureMap(values, (40, 80))).embedding.shape == (0, 2)
    assert not unit_rows(np.zeros((2, 3))).any()


@pytest.mark.parametrize("seed", range(6))
def test_segments_are_the_best_that_do_not_overlap(seed):
    rng = np.random.default_rng(seed)
    masks = np.zeros((30, 24, 24), bool)
    for mask in masks:
        top, left, tall, wide = *rng.integers(0, 16, 2), *rng.integers(1, 20, 2)
        mask[top : top + tall, left : left + wide] = True
    scores = rng.permutation(30) / 40 + 0.1
    forest = MaskForest.from_masks(masks, score=scores)
    for most in (1, 4, 30):
        assert foremost(forest, most).tolist() == slow.foremost(masks, forest.score, most)


def test_where_nothing_stands_out_the_best_region_is_the_segment():
    whole, dot = np.ones((20, 20), bool), np.zeros((20, 20), bool)
    dot[3, 3] = True
    assert foremost(MaskForest.from_masks([whole, dot], score=[0.3, 0.2]), 5).tolist() == [0]
    assert foremost(MaskForest((20, 20)), 5).tolist() == []
    half = whole.copy()
    half[10:] = False
    tied = MaskForest.from_masks([half, half, ~half], score=[0.5, 0.5, 0.5])
    assert foremost(tied, 5).tolist() == [0, 2], "of two that are alike the earlier"


# ---------------------------------------------------------------------- groups


def blobs(k, *, count=40, dims=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 6, (k, dims))
    kind = np.repeat(np.arange(k), count)
    return (centres[kind] + rng.normal(0, 1, (k * count, dims))).astype(np.float32), kind


def test_whitened_vectors_are_uncorrelated():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5)) + 3
    found = fit_whitening(vectors, 3)(vectors)
    np.testing.assert_allclose(np.cov(found.T), np.eye(3), atol=1e-4)
    theirs = PCA(3, whiten=True, svd_solver="full").fit_transform(vectors)
    np.testing.assert_allclose(np.abs(found), np.abs(theirs), atol=1e-3)
    plain = fit_pca(vectors, 3)(vectors)
    np.testing.assert_allclose(np.abs(plain), np.abs(PCA(3, svd_solver="full").fit_transform(vectors)), atol=1e-3)
    flat = np.concatenate([vectors, np.ones((300, 2))], 1)
    assert fit_whitening(flat, 9)(flat).shape == (300, 5), "a direction in which nothing differs is noise"
    for few in (np.ones((4, 3)), np.ones((1, 3))):
        assert np.isfinite(fit_whitening(few, 2)(few)).all()
        assert not fit_pca(few, 2)(few).any()


def test_kmeans_finds_what_is_apart():
    for k in (1, 2, 7):
        vectors, kind = blobs(k)
        groups = kmeans(vectors, k)
        assert len({(a, b) for a, b in zip(kind.tolist(), groups.of.tolist(), strict=True)}) == k
        of, total = slow.inertia(vectors, groups.centroids)
        assert groups.of.tolist() == of.tolist()
        assert groups.inertia == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_is_as_good_as_scikit_learns(seed):
    vectors = np.random.default_rng(seed).normal(size=(4000, 8)).astype(np.float32)
    theirs = KMeans(12, n_init=4, random_state=seed).fit(vectors).inertia_
    assert kmeans(vectors, 12, seed).inertia < 1.01 * theirs


def test_the_same_seed_gives_the_same_groups():
    vectors = np.random.default_rng(0).normal(size=(3000, 7)).astype(np.float32)
    one, again, other = kmeans(vectors, 5, 1), kmeans(vectors.copy(), 5, 1), kmeans(vectors, 5, 2)
    assert one.centroids.tobytes() == again.centroids.tobytes()
    assert one.centroids.tobytes() != other.centroids.tobytes()


def test_awkward_groups():
    vectors = np.array([[0, 0], [0, 0], [0, 0], [5, 5]], np.float32)
    assert kmeans(vectors, 2).inertia == 0
    assert len(set(kmeans(vectors, 2).of.tolist())) == 2
    assert kmeans(vectors, 3).inertia == 0, "more groups than there are different vectors"
    assert kmeans(vectors[:1], 1).of.tolist() == [0]
    for k in (0, 5):
        with pytest.raises(CallerError, match=f"4 segments cannot be sorted into {k} categories: give more photos"):
            kmeans(vectors, k)


@pytest.mark.parametrize("k", [2, 5, 9])
def test_auto_finds_how_many_there_are(k):
    vectors, _ = blobs(k, seed=k)
    scores = agreements(vectors, range(2, 13))
    assert choose_k(scores) == k
    assert scores[k] == 1
    assert scores == agreements(vectors, range(2, 13))


def test_halves_that_agree_by_chance_do_not_agree():
    rng = np.random.default_rng(0)
    for count, k in ((50, 4), (9, 3), (200, 2)):
        one, other = rng.integers(0, k, (2, count))
        assert rand_index(one, other) == pytest.approx(adjusted_rand_score(one, other))
        assert rand_index(one, (one + 1) % k) == 1
    assert rand_index(np.zeros(5, int), np.zeros(5, int)) == 1
    assert rand_index(np.zeros(1, int), np.zeros(1, int)) == 1
    assert max(agreements(rng.normal(size=(400, 8)).astype(np.float32), (2, 5, 9)).values()) < 0.5, "a crowd"


# ---------------------------------------------------------------------- categories


def test_categories_know_what_made_them_and_what_is_far():
    vectors, kind = blobs(3, count=30)
    vectors = np.concatenate([vectors, vectors[kind == 1]])  # one is larger
    categories = fit_categories(vectors, 3, dims=4, seed=0)
    of, distances = categories.of(vectors)
    assert np.bincount(of).tolist() == [60, 30, 30], "the largest first"
    np.testing.assert_allclose(categories.reach, [distances.max()], rtol=1e-5)
    np.testing.assert_allclose(categories.typical, [np.median(distances[of == c]) for c in range(3)], rtol=1e-5)
    assert categories.of(vectors + 100)[0].tolist() == [-1] * 120


def test_categories_come_back(tmp_path):
    made = fit_categories(blobs(4)[0], 4, dims=3, seed=0)
    write_categories(tmp_path, made, CARD)
    first = (tmp_path / "categories.npz").read_bytes()
    write_categories(tmp_path, made, CARD)
    assert (tmp_path / "categories.npz").read_bytes() == first
    saved = read_categories(tmp_path)
    vectors = blobs(4, seed=3)[0]
    for one, other in zip(saved.categories.of(vectors), made.of(vectors), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (len(saved.categories), saved.most, saved.open_backbone().name) == (4, 8, "texture")


class _Hostile:
    def __reduce__(self):
        return sys.exit, ("a file was run",)


def _resigned(folder, content):
    card = json.loads((folder / "categories.json").read_text())
    (folder / "categories.npz").write_bytes(content)
    (folder / "categories.json").write_text(json.dumps(card | {"sha256": hashlib.sha256(content).hexdigest()}))


def test_nothing_in_a_file_is_run_or_trusted(tmp_path):
    made = fit_categories(blobs(4)[0], 4, dims=3, seed=0)
    write_categories(tmp_path, made, CARD)
    path = tmp_path / "categories.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-60])
    with pytest.raises(CallerError, match=r"npz is not the file that categories\.json beside it describes"):
        read_categories(tmp_path)
    hostile = io.BytesIO()
    arrays = dict.fromkeys(("mean", "axes", "centroids", "typical", "reach"), np.array(_Hostile(), object))
    np.savez(hostile, **arrays)
    for content in (hostile.getvalue(), pickle.dumps(_Hostile()), whole[:-60], b"", b"\x93NUMPY"):
        _resigned(tmp_path, content)
        with pytest.raises(CallerError, match="holds no categories"):
            read_categories(tmp_path)
    for name, array in (("mean", np.zeros(2, np.float32)), ("reach", np.full(1, np.nan, np.float32))):
        memory = io.BytesIO()
        with np.load(io.BytesIO(whole)) as file:
            np.savez(memory, **{**{key: file[key] for key in file.files}, name: array})
        _resigned(tmp_path, memory.getvalue())
        with pytest.raises(CallerError, match="finite float32"):
            read_categories(tmp_path)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"hedgerow": 2}, "is of another version"),
        ({"kind": "index"}, "is of another version"),
        ({"categories": -1}, "is no card of categories"),
        ({"backbone": {"asked": "texture"}}, "is no card of categories"),
        ({"supervision": "labels"}, "is no card of categories"),
    ],
)
def test_a_card_that_says_something_else(tmp_path, changed, told):
    write_categories(tmp_path, fit_categories(blobs(2)[0], 2, dims=3, seed=0), CARD)
    path = tmp_path / "categories.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(CallerError, match=told):
        read_categories(tmp_path)
    path.write_text("no JSON")
    with pytest.raises(CallerError, match="is no card of categories"):
        read_categories(tmp_path)
    path.unlink()
    with pytest.raises(CallerError, match=r"holds no categories: it has no categories\.json"):
        read_categories(tmp_path)


def test_other_weights_are_not_these(tmp_path):
    made_with = CARD["backbone"] | {"weights_sha256": "0" * 64}
    write_categories(tmp_path, fit_categories(blobs(2)[0], 2, dims=3, seed=0), CARD | {"backbone": made_with})
    with pytest.raises(CallerError, match=r"were made with texture whose weights_sha256 was 0000.*, now it is None"):
        read_categories(tmp_path).open_backbone()


# ---------------------------------------------------------------------- pictures


def test_a_category_has_one_colour():
    colours = category_colours(40)
    np.testing.assert_array_equal(category_colours(7), colours[:7])
    apart = np.abs(colours[:, None].astype(int) - colours).sum(2) + 999 * np.eye(40, dtype=int)
    assert apart[:21, :21].min() > 40
    assert apart.min() > 10
    pixels, labels = np.full((30, 40, 3), 90, np.uint8), np.full((30, 40), -1)
    labels[5:25, 5:18], labels[5:25, 20:35] = 0, 1
    shown = category_overlay(pixels, labels)
    np.testing.assert_array_equal(shown[1, 1], pixels[1, 1])
    for category, place in enumerate(((15, 10), (15, 28))):
        tint = (shown[place].astype(float) - 0.45 * 90) / 0.55
        np.testing.assert_allclose(tint, colours[category], atol=3)
    assert category_overlay(pixels, np.full((30, 40), -1)).shape == (30, 40, 3)
    assert category_overview([3, 0], [[pixels, pixels], []]).shape[1] > 300


def test_label_maps(tmp_path):
    labels = np.array([[-1, 0], [1, 2]])
    write_label_map(tmp_path / "few.png", labels, category_colours(3))
    with Image.open(tmp_path / "few.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels + 1)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB"))[1, 0], category_colours(3)[1])
    write_label_map(tmp_path / "many.png", np.array([[-1, 299]]), category_colours(300))
    with Image.open(tmp_path / "many.png") as image:
        assert np.asarray(image).tolist() == [[0, 300]]


# ---------------------------------------------------------------------- the commands


def test_cluster_sorts_by_kind(collection, capsys):
    assert cluster(collection) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith("18 segments in 3 categories, in ")
    out = collection / "out"
    table = parquet.read_table(out / "segments.parquet").to_pylist()
    kinds = [kind for number in range(9) for kind in made_photo(number)[2]]
    pairs = {(row["category"], kind) for row, kind in zip(table, kinds, strict=True)}
    assert len(pairs) == 3, "each category holds one kind, and all of it"
    assert {row["row"] for row in table} == {0, 1}
    assert all(row["area"] == row["width"] * row["height"] for row in table)
    card = json.loads((out / "categories.json").read_text())
    assert [entry["segments"] for entry in card["palette"]] == sorted((kinds.count(k) for k in range(3)), reverse=True)
    assert card["supervision"] == "none"
    for number in range(9):
        with Image.open(out / "labels" / f"{number}.png") as image:
            labels = np.asarray(image)
        for mask, row in zip(made_photo(number)[1], table[2 * number :], strict=False):
            assert set(labels[mask]) == {row["category"] + 1}
        assert not labels[~np.any(made_photo(number)[1], axis=0)].any()
    sheets = [path.name for path in sorted(out.glob("*.png"))]
    assert sheets == ["category-00.png", "category-01.png", "category-02.png", "overview.png", "sheet.png"]


def test_another_k_looks_at_no_photo_again(collection, monkeypatch):
    assert cluster(collection, "--quiet") == 0
    before = {path.name: path.read_bytes() for path in (collection / "out").iterdir() if path.is_file()}
    monkeypatch.setattr("hedgerow.gathering._gather_one", None)
    assert cluster(collection, "--quiet") == 0
    assert {path.name: path.read_bytes() for path in (collection / "out").iterdir() if path.is_file()} == before
    assert cluster(collection, "--quiet", "--shown", "0", k="2") == 0
    assert not list((collection / "out").glob("category-*.png"))
    assert len(read_categories(collection / "out").categories) == 2


def test_auto_says_what_it_tried(collection, capsys):
    assert cluster(collection, k="auto") == 0
    told = capsys.readouterr().out
    assert "     3 categories: halves agree to 1.000" in told
    assert "18 segments in 3 categories" in told
    assert set(read_categories(collection / "out").card["tried"]) == {"2", "3", "4"}


def test_stopped_and_gone_on_with(collection, monkeypatch):
    monkeypatch.setattr("hedgerow.data.shards.SHARD", 4)
    config = Cluster(segments=collection / "labels", backbone="texture")
    whole, broken = (plan_segments([collection / "photos"], collection / name, config) for name in ("whole", "broken"))
    list(fill(whole))
    stopped = fill(broken)
    for _ in range(6):
        next(stopped)
    stopped.close()
    again = plan_segments([collection / "photos"], collection / "broken", config)
    assert again.todo == (1, 2)
    list(fill(again))
    for number in range(3):
        name = f"segments-0000{number}.parquet"
        assert (collection / "whole" / name).read_bytes() == (collection / "broken" / name).read_bytes()


def test_new_photos_are_sorted_the_same_way(collection, capsys):
    """By exploring them; what is found again has the category it had."""
    assert cluster(collection, "--quiet") == 0
    table = parquet.read_table(collection / "out" / "segments.parquet").to_pylist()
    quick = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "30"]
    words = ["segment", str(collection / "photos"), "-o", str(collection / "seen"), *quick]
    words += ["--categories", str(collection / "out"), "--formats", "forest,overlay,labels,coco"]
    assert main(words) == 0
    right = 0
    for number in range(9):
        forest, header = read_forest(collection / "seen" / f"{number}.forest.json")
        assert header["model"]["categories"]["count"] == 3
        wanted = MaskForest.from_masks(made_photo(number)[1])
        best = forest.iou(wanted).argmax(0)
        right += sum(int(forest.category[row]) == table[2 * number + k]["category"] for k, row in enumerate(best))
        with Image.open(collection / "seen" / f"{number}.labels.png") as image:
            np.testing.assert_array_equal(np.asarray(image), category_map(forest, 8) + 1)
    assert right >= 16, "of 18"
    capsys.readouterr()
    assert main([*words[:-4], "--formats", "forest"]) == 1
    assert "was made with categories.sha256" in capsys.readouterr().err
    assert main(["segment", str(collection / "photos"), "-o", str(collection / "no"), "--formats", "labels"]) == 2
    assert "label maps are of names or categories: give --names" in capsys.readouterr().err
    assert main([*words[:4], "--categories", str(collection / "labels")]) == 1
    assert "holds no categories" in capsys.readouterr().err


def test_mistakes_are_told_in_one_line(collection, capsys, monkeypatch):
    for words, told in [
        (["-k", "3"], "categories need a folder and how many they are: -k K -o OUT"),
        (["-o", "x"], "categories need a folder and how many they are"),
        (["-o", "x", "-k", "many"], "-k is a number of categories from 1 up, or auto, got 'many'"),
        (["-o", "x", "-k", "0"], "-k is a number of categories from 1 up"),
        (["-o", "x", "-k", "3", "--dims", "0"], "--dims is at least 1, got 0"),
        (["-o", "x", "-k", "3", "--most-segments", "0"], "--most-segments is at least 1, got 0"),
        (["-o", "x", "-k", "3", "--seed", "-1"], "--seed is at least 0, got -1"),
    ]:
        assert main(["cluster", str(collection / "photos"), *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"hedgerow: {told}")
    assert main(["cluster", "-k", "3", "-o", "x"]) == 2
    capsys.readouterr()
    for words, told in [
        ({"k": "30"}, "18 segments cannot be sorted into 30 categories: give more photos, or a smaller -k"),
        ({"out": "labels"}, None),
    ]:
        assert cluster(collection, **words) == (1 if told else 0)
        assert told is None or told in capsys.readouterr().err
    assert cluster(collection, "--most-segments", "1", out="labels") == 1
    assert "holds segments made with most_segments 8, not 1: give another folder" in capsys.readouterr().err
    Image.new("RGB", (9, 9)).save(collection / "photos" / "more.png")
    assert cluster(collection, out="other") == 1
    assert "has no labels of 1 of 10 photos, as more: give the photos as they were" in capsys.readouterr().err
    (collection / "photos" / "more.png").unlink()
    Image.new("RGB", (80, 60)).save(collection / "photos" / "4.png")
    assert cluster(collection, out="other") == 1
    assert "4.png: it has changed since its labels were made" in capsys.readouterr().err
    assert cluster(collection, "--keep-going", out="other", k="2") == 0
    assert "1 of 9 photos could not be done:" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert cluster(collection) == 1
    assert "categories need faiss: install hedgerow with its extra [categories]" in capsys.readouterr().err


def test_groups_are_what_they_say():
    """`nearest` and `Categories.of` are the same by hand."""
    vectors = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    centroids = vectors[:4]
    found, squares = nearest(vectors, centroids)
    of, total = slow.inertia(vectors, centroids)
    assert found.tolist() == of.tolist()
    assert squares.sum() == pytest.approx(total, rel=1e-4)
    plain = Projection(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    ones = np.full(4, 10, np.float32)
    assert Categories(plain, centroids, ones, ones[:1]).of(vectors)[0].tolist() == of.tolist()
