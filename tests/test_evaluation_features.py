"""Measuring features from the command line, on made photos where it is known who must win."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from hedgerow.backbones import open_backbone
from hedgerow.cli import main
from hedgerow.config import EvaluateFeatures
from hedgerow.evaluation import evaluate_features
from hedgerow.evaluation.features import in_turn
from hedgerow.measure import fit_probe, label_histograms, measure_probe, pool_probe

COLOURS = np.array([(120, 120, 120), (220, 30, 30), (30, 60, 220), (240, 220, 40)], np.uint8)
HEIGHT, WIDTH, PHOTOS = 64, 96, 16


@pytest.fixture
def shapes(tmp_path):
    """Films of a grey ground and three coloured squares at random places, their edges those of cells of 8 pixels."""
    for place in ("camvid/train", "camvid/trainannot", "clothing/images", "clothing/masks"):
        (tmp_path / place).mkdir(parents=True)
    for number in range(PHOTOS):
        labels = made_labels(number)
        photo = made_photo(labels, number)
        painted = Image.fromarray(labels.astype(np.uint8))
        for folder, maps in (("camvid/train", "camvid/trainannot"), ("clothing/images", "clothing/masks")):
            photo.save(tmp_path / folder / f"{number:02}.png")
            painted.save(tmp_path / maps / f"{number:02}.png")
    (tmp_path / "clothing/classes.txt").write_text("0 null\n1 coat\n2 bag\n3 shoe\n")
    return tmp_path


def made_labels(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((HEIGHT, WIDTH), int)
    for value, column in zip((1, 2, 3), rng.permutation([0, 32, 64]), strict=True):
        top, left = 8 * rng.integers(0, 5), column + 8 * rng.integers(0, 2)
        labels[top : top + 24, left : left + 24] = value
    return labels


def made_photo(labels, seed):
    noise = np.random.default_rng(seed).normal(0, 4, (*labels.shape, 3))
    return Image.fromarray((COLOURS[labels] + noise).clip(0, 255).astype(np.uint8))


class Constant:
    """A backbone that sees the same everywhere."""

    name, supervision, weights_sha256 = "constant", "none", None

    def features(self, pixels):
        return np.full((len(pixels), 8, 12, 5), 0.3, np.float32)


def measured(shapes, **options):
    given = {"probe": f"camvid:{shapes}/camvid", "parts": f"clothing:{shapes}/clothing", "workers": 1, "seeds": 2}
    return evaluate_features(EvaluateFeatures(**(given | options)))


def row(report, name):
    return next({k: float(np.mean(v)) for k, v in row.scores.items()} for row in report.rows if row.name == name)


def test_colour_knows_coloured_shapes(shapes):
    report = measured(shapes, backbone="colour")
    assert [one.name for one in report.rows] == ["colour", "texture"]
    assert row(report, "colour")["mIoU"] > 0.9
    assert row(report, "colour")["pixel accuracy"] > 0.97
    assert row(report, "colour")["part matching"] > 0.97
    assert report.rows[0].details["IoU"]["sky"] > 0.9
    assert np.isnan(report.rows[0].details["IoU"]["car"])
    assert report.chance["mIoU"][0] < 0.25
    assert report.chance["part matching"] == (0.25, 0.25)
    assert report.data["probe"].endswith("8 photos learned from, tested on 8, 4 consecutive ones in turn")
    assert report.data["parts"].endswith("16 photos, each with 8 others")


def test_a_constant_backbone_scores_chance(shapes, monkeypatch):
    monkeypatch.setattr(
        "hedgerow.evaluation.features.open_backbone", lambda name: Constant() if name == "same" else open_backbone(name)
    )
    report = measured(shapes, backbone="same", beside=False, seeds=3)
    assert len(report.rows) == 1
    for measure in ("mIoU", "pixel accuracy"):
        assert report.rows[0].scores[measure] == report.chance[measure]
    assert np.mean(report.rows[0].scores["part matching"]) == pytest.approx(0.25, abs=0.08)


def test_a_probe_by_hand(shapes):
    """The same numbers from the measures alone: what photos are learned from, what is drawn, what is tested on."""
    report = measured(shapes, backbone="colour", parts=None, beside=False, seeds=1)
    labels = [made_labels(number) for number in range(PHOTOS)]
    look = open_backbone("colour")
    values = [
        look.features(np.asarray(Image.open(shapes / f"camvid/train/{number:02}.png"))[None])[0]
        for number in range(PHOTOS)
    ]
    turns = in_turn(PHOTOS)
    learned = [number for number in range(PHOTOS) if turns[number]]
    assert learned == [0, 1, 2, 3, 8, 9, 10, 11]
    counts = [label_histograms(labels[number], (8, 12), 11).reshape(-1, 11) for number in learned]
    held_out = np.repeat(np.arange(8) // 2 % 2 == 1, 8 * 12)
    probe = fit_probe(
        np.concatenate([values[number].reshape(-1, 8) for number in learned]), np.concatenate(counts), held_out
    )
    tested = [number for number in range(PHOTOS) if not turns[number]]
    photos = [measure_probe(probe.labels(values[n], (HEIGHT, WIDTH)), labels[n], 11) for n in tested]
    assert report.rows[0].scores["mIoU"] == (pool_probe(photos).miou,)
    assert report.rows[0].details["decay"] == [probe.decay]


def test_neither_processes_nor_order_matter(shapes, monkeypatch):
    monkeypatch.setattr("hedgerow.evaluation.features.PATCHES", 100)
    one = measured(shapes, backbone="texture", beside=False, limit=6)
    two = measured(shapes, backbone="texture", beside=False, limit=6, workers=2)
    assert one.rows[0].scores == two.rows[0].scores
    assert one.chance == two.chance
    other = measured(shapes, backbone="texture", beside=False, limit=6, seed=1)
    assert other.rows[0].scores["mIoU"][0] == one.rows[0].scores["mIoU"][1] != one.rows[0].scores["mIoU"][0]


def test_neighbours_in_a_film_stay_together():
    assert (
        "".join("ab"[int(not first)] for first in in_turn(41)) == "a" * 8 + "b" * 8 + "a" * 8 + "b" * 8 + "a" * 8 + "b"
    )
    assert in_turn(2).tolist() == [True, False]
    assert in_turn(9).tolist() == [True, True, False, False, True, True, False, False, True]
    assert in_turn(1).tolist() == [True]


def test_the_command(shapes, capsys):
    """A table, a row a backbone; two splits; a class the probe never saw; what is void counts for nobody."""
    for folder in ("test", "testannot"):
        (shapes / "camvid" / folder).mkdir()
    for number in range(3):
        labels = made_labels(50 + number).astype(np.uint8)
        made_photo(labels, number).save(shapes / f"camvid/test/{number}.png")
        labels[labels == 3], labels[labels == 2] = 8, 11
        Image.fromarray(labels).save(shapes / f"camvid/testannot/{number}.png")
    words = ["evaluate", "features", "--backbone", "colour", "--probe", f"camvid:{shapes}/camvid:train"]
    words += ["--test", f"camvid:{shapes}/camvid:test", "--workers", "1", "--json", str(shapes / "n.json")]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^probe +camvid:\S+: 16 photos learned from, tested on 3 of camvid:", out, re.MULTILINE)
    assert re.search(r"^ +mIoU +pixel accuracy +s a photo$", out, re.MULTILINE)
    lines = [re.split("  +", line) for line in out.splitlines()[-3:]]
    assert [line[0] for line in lines] == ["colour", "texture", "chance"]
    assert all(re.fullmatch(r"0\.\d{4} ±0\.\d{4}", number) for line in lines for number in line[1:3])
    numbers = json.loads((shapes / "n.json").read_text())
    assert numbers["rows"][0]["details"]["IoU"]["car"] == 0
    assert numbers["rows"][0]["details"]["IoU"]["pole"] is None, "it is void in all photos tested on"
    assert 0.5 < np.mean(numbers["rows"][0]["scores"]["mIoU"]) < 2 / 3, "of three classes one was never seen"
    assert np.mean(numbers["rows"][0]["scores"]["mIoU"]) == pytest.approx(float(lines[0][1].split()[0]), abs=1e-4)
    assert numbers["seeds"] == [0, 1, 2]


def test_photos_that_are_all_void(shapes, capsys):
    for number in range(PHOTOS):
        if not in_turn(PHOTOS)[number]:
            Image.fromarray(np.full((HEIGHT, WIDTH), 11, np.uint8)).save(shapes / f"camvid/trainannot/{number:02}.png")
    report = measured(shapes, backbone="colour", beside=False, parts=None)
    assert np.isnan(report.rows[0].scores["mIoU"]).all()
    words = ["evaluate", "features", "--backbone", "colour", "--no-beside", "--workers", "1", "--seeds", "1"]
    assert main([*words, "--probe", f"camvid:{shapes}/camvid"]) == 0
    assert re.search(r"^colour +- +- ", capsys.readouterr().out, re.MULTILINE)
    for number in range(PHOTOS):
        Image.fromarray(np.full((HEIGHT, WIDTH), 11, np.uint8)).save(shapes / f"camvid/trainannot/{number:02}.png")
    assert main([*words, "--probe", f"camvid:{shapes}/camvid"]) == 1
    assert "all labels there are void, a probe has nothing to learn from" in capsys.readouterr().err


def test_a_network_is_measured_beside_its_untrained_self(shapes, tmp_path):
    torch = pytest.importorskip("torch", reason="hub: backbones need torch: pip install hedgerow[train]")
    transformers = pytest.importorskip("transformers", reason="a network is made with transformers")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**shape, patch_size=8))
    model.save_pretrained(tmp_path / "small-dino")
    name = f"hub:{tmp_path}/small-dino?feature=output&device=cpu"
    report = measured(shapes, backbone=name, limit=4)
    assert [one.name for one in report.rows] == [name, "texture", f"random:{name}", "colour"]
    assert report.notes == []
    assert report.rows[2].model["name"].startswith("random:hub:small-dino?layer=1&feature=output")
    again = measured(shapes, backbone=f"random:{name}", limit=4)
    assert [one.name for one in again.rows] == [f"random:{name}", "texture", "colour"]
    assert again.rows[0].scores == report.rows[2].scores


def test_wrong_commands_are_told_of_in_one_line(shapes, capsys):
    camvid, clothing = f"camvid:{shapes}/camvid", f"clothing:{shapes}/clothing"
    (shapes / "bare").mkdir()
    Image.new("RGB", (20, 20)).save(shapes / "bare/a.png")
    for status, words, told in [
        (2, [], "nothing to measure on: give --probe camvid:ROOT, --parts clothing:ROOT, --coco or --bsds"),
        (2, ["--test", camvid], "--test is of photos for a probe"),
        (2, ["--probe", camvid, "--seeds", "0"], "--seeds is at least 1, got 0"),
        (2, ["--probe", camvid, "--limit", "0"], "--limit is at least 1, got 0"),
        (2, ["--probe", camvid, "--workers", "0"], "--workers is at least 1, got 0"),
        (2, ["--probe", camvid, "--explore.words", "-1"], "--explore.words is at least 0, got -1"),
        (2, ["--probe", camvid, "--limit", "1"], "has one photo, none is left to test on"),
        (2, ["--parts", clothing, "--limit", "1"], "has one photo, parts are matched between several"),
        (2, ["--probe", camvid, "--test", camvid], "--probe and --test share 16 photos"),
        (2, ["--probe", camvid, "--test", clothing], "has other classes than --probe"),
        (1, ["--probe", f"{camvid}:night"], f"{shapes}/camvid has no split night of camvid: found train"),
        (1, ["--probe", f"camvid:{shapes}/clothing"], f"{shapes}/clothing is not laid out as camvid: looked for"),
        (1, ["--parts", f"folder:{shapes}/bare"], "is of no use here: it has no classes"),
        (2, ["--probe", camvid, "--backbone", "clay"], "no backbone 'clay'; there are texture"),
        (1, ["--probe", camvid, "--coco", f"coco:{shapes}/nowhere"], "coco: there is nothing at"),
    ]:
        assert main(["evaluate", "features", "--workers", "1", *words]) == status, words
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
