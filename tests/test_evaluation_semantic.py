"""Measuring categories and followed masks from the command line, on made photos where it is known who must win."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hedgerow.backbones import FeatureMap, open_backbone
from hedgerow.cli import main
from hedgerow.config import EvaluateFeatures, EvaluateSemantic, EvaluateVideo, Explore, FineTune, Zoom
from hedgerow.evaluation import evaluate_features, evaluate_semantic, evaluate_video
from hedgerow.evaluation.viewing import _square, _vectors
from hedgerow.forest import MaskForest

COLOURS = np.array([(120, 120, 120), (220, 30, 30), (30, 60, 220), (240, 220, 40)], np.uint8)
HEIGHT, WIDTH, PHOTOS = 64, 96, 18
QUICK = Explore(grains=150, words=32, max_masks=40, zoom=Zoom(windows=0))  # exploring is not what is tried here


@pytest.fixture
def things(tmp_path):
    """Photos of a grey ground and one square of one of three colours, its edges those of cells of 8 pixels."""
    for place in ("images", "masks"):
        (tmp_path / "clothing" / place).mkdir(parents=True)
    for number in range(PHOTOS):
        made_photo(number).save(tmp_path / f"clothing/images/{number:02}.png")
        Image.fromarray(made_labels(number).astype(np.uint8)).save(tmp_path / f"clothing/masks/{number:02}.png")
    (tmp_path / "clothing/classes.txt").write_text("0 null\n1 coat\n2 bag\n3 shoe\n")
    return tmp_path


def made_labels(number):
    rng = np.random.default_rng(number)
    labels = np.zeros((HEIGHT, WIDTH), int)
    top, left = 8 * rng.integers(1, 4), 8 * rng.integers(1, 7)
    labels[top : top + 24, left : left + 32] = number % 3 + 1
    return labels


def made_photo(number):
    labels = made_labels(number)
    noise = np.random.default_rng(number).normal(0, 4, (*labels.shape, 3))
    return Image.fromarray((COLOURS[labels] + noise).clip(0, 255).astype(np.uint8))


class Seeing:
    """A backbone that sees the colours and what stands out from grey, as sure as it is told to be."""

    name, supervision, weights_sha256 = "seeing", "none", None

    def __init__(self, sure=0.9):
        self.sure = sure

    def features(self, pixels):
        return self.look(pixels)[0]

    def look(self, pixels):
        cells = pixels[:, 4::8, 4::8].astype(np.float32) / 255
        grey = np.ptp(cells, axis=-1) < 0.3
        return cells - 0.5, np.where(grey, 0.05, self.sure).astype(np.float32)


@pytest.fixture
def seeing(monkeypatch):
    def place(sure=0.9):
        opened = {"seeing": Seeing(sure)}
        for room in ("viewing", "semantic", "features", "video"):
            monkeypatch.setattr(
                f"hedgerow.evaluation.{room}.open_backbone",
                lambda name: opened.get(name) or open_backbone(name),
                raising=False,
            )

    place()
    return place


def measured(things, protocol, backbone="colour", **options):
    given = {"beside": False, "workers": 1, "seeds": 2, "dims": 2, "explore": QUICK}
    data = f"clothing:{things}/clothing"
    return evaluate_semantic(EvaluateSemantic(data, protocol=protocol, backbone=backbone, **(given | options)))


def means(report, row=0):
    return {name: float(np.mean(values)) for name, values in report.rows[row].scores.items()}


def chance(report, name):
    return float(np.mean(report.chance[name]))


# ---------------------------------------------------------------------- clustering


def test_kmeans_of_what_stands_out(things, seeing):
    report = measured(things, "kmeans", "seeing", seeds=3)
    found = means(report)
    for name in ("mIoU Hungarian", "mIoU majority (IoU)", "mIoU majority (count)"):
        assert found[name] > 0.75  # a salience of patches has soft edges
        assert len(report.rows[0].scores[name]) == 3
    assert found["mIoU Hungarian"] > chance(report, "mIoU Hungarian") + 0.3
    assert report.rows[0].details["regions"] == PHOTOS
    assert all(sorted(read) == [0, 1, 2, 3] for read in report.rows[0].details["categories"]["Hungarian"])
    assert min(report.rows[0].details["IoU Hungarian"].values()) > 0.6
    assert report.data["data"].endswith("18 photos, 4 classes")


def test_kmeans_of_a_prior(things, seeing):
    """Objects drawn exactly and features that tell all: every number is 1, whatever a backbone's own salience says."""
    pytest.importorskip("pyarrow")
    make_prior(things / "prior")
    report = measured(things, "kmeans", "seeing", prior=things / "prior")
    assert set(means(report).values()) == {1.0}
    assert report.data["regions"] == f"the best 1 of what stands out, of {things}/prior"
    several = measured(things, "kmeans", "seeing", prior=things / "prior", objects=2)
    assert several.rows[0].details["regions"] == 2 * PHOTOS
    assert means(several)["mIoU Hungarian"] < 1, "the second object of each photo is a piece of ground"


def make_prior(folder, but=()):
    from hedgerow.data.labels import Collection, Label, LabelStore

    keys = [f"{number:02}" for number in range(PHOTOS) if number not in but]
    store = LabelStore(folder)
    store.claim(Collection(tuple(keys), ("made",), {}))
    rows = []
    for key in keys:
        thing = made_labels(int(key)) > 0
        ground = np.zeros_like(thing)
        ground[:4, :20] = True
        forest = MaskForest.from_masks([thing, ground], score=np.array([0.9, 0.2]))
        rows.append(Label(key, f"{key}.png", "", forest))
    store.write(0, rows)


def test_kmeans_of_what_exploring_finds(things):
    report = measured(things, "kmeans")
    assert means(report)["mIoU Hungarian"] > 0.7
    assert report.data["regions"].endswith("the best 1 of what stands out, explored with texture")


def test_more_categories_than_classes(things, seeing):
    report = measured(things, "kmeans", "seeing", k=7)
    found = means(report)
    assert found["mIoU majority (count)"] > 0.75
    assert found["mIoU Hungarian"] < found["mIoU majority (count)"]
    assert {len(read) for read in report.rows[0].details["categories"]["Hungarian"]} == {7}


def test_segments_and_pixels_need_no_salience(things):
    for protocol, least in (("segments", 0.7), ("pixels", 0.8)):
        report = measured(things, protocol, dims=8, k=6)
        assert means(report)["mIoU majority (IoU)"] > least
        assert means(report)["mIoU majority (IoU)"] > chance(report, "mIoU majority (IoU)") + 0.3


def test_nothing_stands_out_in_some(things, seeing):
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 120, np.uint8)).save(things / "clothing/images/03.png")
    report = measured(things, "kmeans", "seeing")
    assert report.notes == ["nothing stands out in 1 photos, as 03: all of it is background"]
    assert report.rows[0].details["regions"] == PHOTOS - 1
    assert 0.6 < means(report)["mIoU Hungarian"] < 1
    assert means(measured(things, "retrieval", "seeing"))["mIoU 4 classes"] > 0.6


def test_neither_processes_nor_rows_beside_matter(things):
    one = measured(things, "segments", limit=8, seeds=2, beside=True)
    two = measured(things, "segments", limit=8, seeds=2, workers=2)
    assert [row.name for row in one.rows] == ["colour", "texture"]
    assert one.rows[0].scores == two.rows[0].scores
    pixels, other = (measured(things, "pixels", limit=8, seed=seed) for seed in (0, 1))
    assert pixels.rows[0].scores["mIoU Hungarian"][1] == other.rows[0].scores["mIoU Hungarian"][0]


# ---------------------------------------------------------------------- with labels


def test_linear_is_the_probe_of_features(things):
    data = f"clothing:{things}/clothing"
    probe = evaluate_features(EvaluateFeatures("colour", probe=data, beside=False, workers=1, seeds=2))
    report = measured(things, "linear")
    assert report.rows[0].scores == probe.rows[0].scores
    assert means(report)["mIoU"] > 0.9


def test_retrieval_finds_the_same_thing_elsewhere(things, seeing):
    report = measured(things, "retrieval", "seeing")
    assert list(report.rows[0].scores) == ["mIoU 4 classes"]
    assert len(report.rows[0].scores["mIoU 4 classes"]) == 1, "nothing is drawn"
    assert means(report)["mIoU 4 classes"] > 0.75
    assert chance(report, "mIoU 4 classes") < 0.6
    assert report.rows[0].details["bank"] == 10
    assert report.data["tested on"] == "8 of these photos, 10 learned from: 4 consecutive ones in turn"


def test_retrieval_of_seven_of_vocs_classes(things, seeing):
    """The others are void: what is one of them is neither in the bank nor counted against anybody."""
    names = {1: "bus", 2: "cat", 3: "sofa", 4: "aeroplane", 5: "bottle", 6: "car", 7: "cow", 8: "person"}
    listed = "".join(f"{index} {name}\n" for index, name in names.items())
    (things / "clothing/classes.txt").write_text(f"0 background\n{listed}")
    report = measured(things, "retrieval", "seeing")
    assert list(report.rows[0].scores) == ["mIoU 7 classes", "mIoU 9 classes"]
    assert means(report)["mIoU 7 classes"] > 0.75
    published = means(measured(things, "retrieval", "seeing", compat=True))
    assert 0.2 < published["mIoU 7 classes"] <= 2 / 7, "five of the seven are nowhere, and count"


def test_a_network_is_tuned_to_few_photos(things):
    """The network that ships tells red from blue after a few steps, and better from more photos."""
    pytest.importorskip("torch", reason="fine-tuning needs torch: pip install hedgerow[train]")
    tuning = FineTune(fractions=(0.3, 1.0), steps=24, batch=4, crop=64, rate=0.01, head_rate=0.1, device="cpu")
    told = {"backbone": "embedded?size=64", "tuning": tuning, "seeds": 1}
    report = measured(things, "finetune", **told, beside=True)
    assert [row.name for row in report.rows] == ["embedded?size=64", "random:embedded?size=64"]
    assert list(report.rows[0].scores) == ["mIoU at 0.3 (3)", "mIoU at 1 (10)"]
    assert means(report)["mIoU at 1 (10)"] > 0.5
    assert [note.partition(":")[0] for note in report.notes] == ["no row of texture", "no row of colour"]
    again = measured(things, "finetune", **(told | {"tuning": replace(tuning, fractions=(0.3,))}))
    assert again.rows[0].scores["mIoU at 0.3 (3)"] == report.rows[0].scores["mIoU at 0.3 (3)"]


def test_photos_to_learn_from_show_all_classes_where_they_can():
    pytest.importorskip("torch")
    from hedgerow.learn.finetune import choose, steps_of

    shown = np.zeros((40, 6), bool)
    shown[:, 0] = True
    shown[7, 1] = shown[9, 2] = shown[9, 3] = shown[12:20, 4] = True
    for seed in range(10):
        chosen = choose(shown, 4, np.random.default_rng(seed))
        assert {7, 9} < set(chosen.tolist())
        assert len(set(chosen.tolist())) == 4
        assert shown[chosen].any(0).tolist() == [True, True, True, True, True, False]
        assert choose(shown, 1, np.random.default_rng(seed)).tolist() == [9], "the one that shows most"
    assert choose(shown, 40, np.random.default_rng(0)).tolist() == list(range(40))
    assert len({tuple(choose(shown, 9, np.random.default_rng(seed))) for seed in range(5)}) == 5
    assert [steps_of(FineTune(steps=300), share) for share in (0.01, 0.125, 1.0)] == [100, 300, 300]


# ---------------------------------------------------------------------- as published


def test_as_published_a_logit_is_taken_for_a_probability(things, seeing):
    """0.6 is likelier than not, and its logit 0.4: below a half."""
    seeing(0.6)
    assert means(measured(things, "kmeans", "seeing"))["mIoU Hungarian"] > 0.6
    with pytest.raises(Exception, match="0 regions cannot be sorted into 3 categories"):
        measured(things, "kmeans", "seeing", compat=True)
    seeing(0.63)
    report = measured(things, "kmeans", "seeing", compat=True)
    assert report.rows[0].details["regions"] == PHOTOS


def test_as_published_vectors_are_raw_and_weighted_by_logits():
    values = np.array([[[3.0, 0.0], [0.0, 1.0]]], np.float32)
    regions = np.zeros((8, 16), int)
    salience = np.array([[0.75, 0.9]], np.float32)
    corrected = _vectors(regions, FeatureMap(values, (8, 16), salience), False)
    np.testing.assert_allclose(corrected, [[np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-6)
    published = np.array([3 * np.log(3), np.log(9)])
    found = _vectors(regions, FeatureMap(values, (8, 16), salience), True)
    np.testing.assert_allclose(found, [published / np.linalg.norm(published)], atol=1e-5)
    bare = _vectors(regions, FeatureMap(values, (8, 16)), True)
    np.testing.assert_allclose(bare, [[3 / np.sqrt(10), 1 / np.sqrt(10)]], atol=1e-6)
    assert _vectors(regions - 1, FeatureMap(values, (8, 16)), True).shape == (0, 2)
    assert _vectors(regions - 1, FeatureMap(values, (8, 16)), False).shape == (0, 2)


def test_as_published_retrieval_is_scored_on_a_square():
    labels = np.arange(6).reshape(2, 3)
    square = _square(labels)
    assert square.shape == (512, 512)
    assert square[0, 0] == 0
    assert square[511, 511] == 5
    assert [int((square == value).sum()) for value in range(3)] == [256 * 171, 256 * 170, 256 * 171]
    np.testing.assert_array_equal(_square(square), square)


def test_as_published_a_class_that_no_photo_shows_counts_nothing(things, seeing):
    (things / "clothing/classes.txt").write_text("0 null\n1 coat\n2 bag\n3 shoe\n4 hat\n")
    left_out = measured(things, "segments", "seeing", k=4)
    assert np.isnan(left_out.rows[0].details["IoU Hungarian"]["hat"])
    counted = measured(things, "segments", "seeing", k=4, compat=True)
    assert counted.rows[0].details["IoU Hungarian"]["hat"] == 0


# ---------------------------------------------------------------------- the command


def test_the_command(things, capsys):
    words = ["evaluate", "semantic", "--data", f"clothing:{things}/clothing", "--protocol", "segments", "-k", "5"]
    words += ["--backbone", "colour", "--seeds", "2", "--workers", "1", "-o", str(things / "n.json")]
    words += ["--explore.grains", "150", "--explore.zoom.windows", "0", "--limit", "9"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^protocol +segments$", out, re.MULTILINE)
    assert re.search(r"^regions +all of a photo in 24 and the rest, explored with texture$", out, re.MULTILINE)
    head, *lines = [re.split("  +", line) for line in out.splitlines()[-4:]]
    assert head[1:4] == ["mIoU Hungarian", "mIoU majority (IoU)", "mIoU majority (count)"]
    assert [line[0] for line in lines] == ["colour", "texture", "chance"]
    assert all(re.fullmatch(r"[01]\.\d{4} ±0\.\d{4}", number) for line in lines for number in line[1:5])
    numbers = json.loads((things / "n.json").read_text())
    assert numbers["rows"][0]["scores"]["mIoU Hungarian"][0] == pytest.approx(float(lines[0][1].split()[0]), abs=0.2)
    assert len(numbers["rows"][0]["details"]["categories"]["majority (count)"][0]) == 5
    assert main([*words[:5], "retrieval", "--compat", "--no-beside", *words[8:]]) == 0
    assert re.search(r"^protocol +retrieval, as published$", capsys.readouterr().out, re.MULTILINE)


def test_wrong_commands_are_told_of_in_one_line(things, capsys):
    pytest.importorskip("pyarrow")
    make_prior(things / "some", but=[5])
    clothing = ["--data", f"clothing:{things}/clothing"]
    for folder in ("train", "trainannot"):
        (things / "camvid" / folder).mkdir(parents=True)
        Image.new("L" if "annot" in folder else "RGB", (32, 32)).save(things / f"camvid/{folder}/a.png")
    camvid = ["--data", f"camvid:{things}/camvid"]
    for status, words, told in [
        (2, [*clothing, "--seeds", "0"], "--seeds is at least 1, got 0"),
        (2, [*clothing, "-k", "1"], "-k is at least 2, got 1"),
        (2, [*clothing, "--test", clothing[1]], "--test goes with linear, retrieval and finetune; kmeans names no"),
        (2, [*clothing, "--protocol", "pixels", "--prior", "x"], "--prior goes with kmeans, segments and retrieval"),
        (2, [*camvid], "kmeans takes what does not stand out for background, which is no class of camvid"),
        (2, [*clothing, "--protocol", "retrieval", "--test", clothing[1]], "--data and --test share 18 photos"),
        (2, [*clothing, "--protocol", "retrieval", "--limit", "1"], "has one photo, none is left to test on"),
        (2, [*clothing, "--protocol", "retrieval", "--test", camvid[1]], "has other classes than clothing:"),
        (2, [*clothing, "--protocol", "guessing"], "guessing"),
        (
            2,
            [*clothing, "--protocol", "finetune", "--tuning.fractions", "2"],
            "--tuning.fractions lie above 0, up to 1",
        ),
        (1, [*clothing, "--protocol", "finetune"], "texture has no network that could learn"),
        (1, [*clothing, "--limit", "2", "-k", "9"], "2 regions cannot be sorted into 8 categories"),
        (1, [*clothing, "--prior", f"{things}/none"], f"{things}/none is no label store"),
        (
            1,
            [*clothing, "--prior", f"{things}/some"],
            f"{things}/some has no photo 05: make it of the photos of --data",
        ),
        (2, [*clothing, "--backbone", "clay"], "no backbone 'clay'"),
        (1, ["--data", f"folder:{things}/clothing/images"], "it has no classes"),
    ]:
        assert main(["evaluate", "semantic", "--workers", "1", "--no-beside", *words]) == status, words
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line


# ---------------------------------------------------------------------- films


@pytest.fixture
def films(tmp_path):
    """Two films in which a red and a blue square move over grey."""
    for number, name in enumerate(("calm", "wild")):
        for kind in ("JPEGImages", "Annotations"):
            (tmp_path / "davis" / kind / "480p" / name).mkdir(parents=True)
        for place in range(6):
            objects = np.zeros((HEIGHT, WIDTH), np.uint8)
            objects[8:32, 4 * place + 8 : 4 * place + 32] = 1
            objects[40:56, 72 - 4 * place : 88 - 4 * place] = 2 * number
            noise = np.random.default_rng(place).normal(0, 4, (HEIGHT, WIDTH, 3))
            pixels = (COLOURS[objects] + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"davis/JPEGImages/480p/{name}/{place:05}.jpg", quality=95)
            Image.fromarray(objects * (1 if number else 255)).save(
                tmp_path / f"davis/Annotations/480p/{name}/{place:05}.png"
            )
    return tmp_path


def followed(films, **options):
    given = {"backbone": "colour", "workers": 1, "explore": QUICK}
    return evaluate_video(EvaluateVideo(f"davis:{films}/davis", **(given | options)))


def test_things_are_followed(films):
    report = followed(films)
    assert [row.name for row in report.rows] == ["colour", "texture", "first frame kept"]
    colour, kept = means(report), means(report, 2)
    assert colour["J mean"] > 0.75
    assert colour["J recall"] == 1
    assert colour["J mean"] > kept["J mean"] + 0.2
    assert kept["J decay"] > 0.2
    assert colour["J&F"] == pytest.approx((colour["J mean"] + colour["F mean"]) / 2)
    assert report.data["data"].endswith("2 films, 12 frames, without the first and the last of each")
    assert np.isnan(report.rows[2].seconds)
    assert min(report.rows[2].details["worst"].values()) < 0.6


def test_processes_change_no_score(films):
    one = followed(films, beside=False)
    two = followed(films, beside=False, workers=2)
    assert one.rows[0].scores == two.rows[0].scores
    short = followed(films, beside=False, frames=3)
    assert means(short)["J decay"] == 0, "one frame is left to measure"


def test_regions_lend_their_edges(films):
    plain, snapped = (means(followed(films, beside=False, forest=forest))["J mean"] for forest in (False, True))
    assert snapped > max(plain, 0.85)


def test_the_command_of_films(films, capsys):
    words = ["evaluate", "video", "--data", f"davis:{films}/davis:calm", "--backbone", "colour", "--workers", "1"]
    assert main([*words, "-o", str(films / "n.json"), "--follow.radius", "4"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^followed +7 frames before and the first, within 4 patches", out, re.MULTILINE)
    head, *lines = [re.split("  +", line) for line in out.splitlines()[-4:]]
    assert head[1:] == ["J&F", "J mean", "J recall", "J decay", "F mean", "F recall", "F decay", "s a photo"]
    assert [line[0] for line in lines] == ["colour", "texture", "first frame kept"]
    assert json.loads((films / "n.json").read_text())["rows"][2]["seconds a photo"] is None


def test_wrong_films_are_told_of_in_one_line(films, things, capsys):
    davis = f"davis:{films}/davis"
    for status, words, told in [
        (2, ["--data", davis, "--frames", "2"], "--frames is at least 3, got 2"),
        (2, ["--data", davis, "--follow.top", "0"], "--follow.top is at least 1, got 0"),
        (2, ["--data", davis, "--follow.temperature", "0"], "--follow.temperature is above 0"),
        (1, ["--data", f"clothing:{things}/clothing"], "it has no films; davis has"),
        (2, ["--data", davis, "--backbone", "clay"], "no backbone 'clay'"),
    ]:
        assert main(["evaluate", "video", *words]) == status, words
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    Image.new("L", (WIDTH, HEIGHT)).save(films / "davis/Annotations/480p/calm/00000.png")
    assert main(["evaluate", "video", "--data", davis, "--backbone", "colour", "--workers", "1"]) == 1
    assert "calm/00000: no object is painted in it" in capsys.readouterr().err
    for place in range(2, 6):
        (films / f"davis/JPEGImages/480p/calm/{place:05}.jpg").unlink()
    assert main(["evaluate", "video", "--data", davis]) == 1
    assert "calm has 2 frames" in capsys.readouterr().err
