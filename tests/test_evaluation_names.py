"""Measuring names from the command line and from Python, on made photos where every number can be worked out.

A language that sees pure colours and reads their names is the oracle: cells of 8 pixels, cosines of 1 and 0. Each of
six photos shows two of three colours on grey, one over 24 x 32 pixels, one over 16 x 16, their edges those of cells.
"""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hedgerow.backbones import FeatureMap
from hedgerow.cli import main
from hedgerow.config import CallerError, EvaluateNames, Explore, Zoom
from hedgerow.evaluation import evaluate_names
from hedgerow.forest import MaskForest

COLOURS = np.array([(120, 120, 120), (220, 30, 30), (30, 60, 220), (240, 220, 40)], np.uint8)
NAMES = ("grey", "red", "blue", "yellow")
HEIGHT, WIDTH, PHOTOS = 64, 96, 6
LARGE, SMALL = 24 * 32, 16 * 16
GROUND = HEIGHT * WIDTH - LARGE - SMALL
CORNERS = 4 * 6  # pixels of a rectangle at which, bilinearly, less than half is the cell that holds them
QUICK = Explore(grains=150, words=32, max_masks=40, zoom=Zoom(windows=0))  # exploring is not what is tried here


def made_labels(number):
    labels = np.zeros((HEIGHT, WIDTH), int)
    labels[8:32, 8:40] = number % 3 + 1
    labels[40:56, 56:72] = (number + 1) % 3 + 1
    return labels


@pytest.fixture
def things(tmp_path):
    for place in ("images", "masks"):
        (tmp_path / "clothing" / place).mkdir(parents=True)
    for number in range(PHOTOS):
        labels = made_labels(number)
        Image.fromarray(COLOURS[labels]).save(tmp_path / f"clothing/images/{number}.png")
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / f"clothing/masks/{number}.png")
    (tmp_path / "clothing/classes.txt").write_text("0 null\n1 red\n2 blue\n3 yellow\n")
    return tmp_path


class Seeing:
    """See the module's text. `said` are other words for colours; what is said of nothing it knows is one more axis."""

    name, supervision, weights_sha256, dim, scale = "seeing", "captions", None, 5, 20.0

    def __init__(self, said=(), groups=True):
        self.said = {name: row for row, name in enumerate(NAMES)} | dict(said)
        self.has_groups = groups
        self.card = {"templates": ["a photo of {}"], "background": ["grey"], "calibration": None, "threshold": 0.5}

    def look(self, pixels, forest=None):
        cells = pixels[4::8, 4::8].astype(int)
        nearest = np.abs(cells[:, :, None] - COLOURS.astype(int)).sum(-1).argmin(-1)
        return FeatureMap(3 * np.eye(5, dtype=np.float32)[nearest], pixels.shape[:2])

    def whole(self, pixels):
        vector = self.look(pixels).values.sum((0, 1))
        return vector / np.linalg.norm(vector)

    def groups(self, pixels):
        grey = self.look(pixels).values[..., 0] > 0
        return np.stack([grey, ~grey], -1).astype(np.float32) if self.has_groups else None

    def text(self, sentences):
        rows = np.zeros((len(sentences), 5), np.float32)
        for row, sentence in zip(rows, sentences, strict=True):
            known = [self.said[word] for word in re.findall(r"\w+", sentence.lower()) if word in self.said]
            row[known or [4]] = 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def seeing(monkeypatch):
    def place(**options):
        opened = Seeing(**options)
        for room in ("naming.calling", "evaluation.recalling"):
            monkeypatch.setattr(f"hedgerow.{room}.open_language", lambda name: opened)

    place()
    return place


def measured(things, data=None, **options):
    given = {"workers": 1, "explore": QUICK, "model": "seeing"}
    return evaluate_names(EvaluateNames(data or f"clothing:{things}/clothing", **(given | options)))


def row(report, name):
    (found,) = [SimpleNamespace(**vars(one)) for one in report.rows if one.name == name]
    found.scores = {measure: values[0] for measure, values in found.scores.items()}
    return found


def make_store(folder, but=()):
    """What people marked, as if it had been explored, and the ground."""
    pytest.importorskip("pyarrow")
    from hedgerow.data.labels import Collection, Label, LabelStore

    keys = [str(number) for number in range(PHOTOS) if number not in but]
    store = LabelStore(folder)
    store.claim(Collection(tuple(keys), ("made",), {}))
    rows = []
    for key in keys:
        labels = made_labels(int(key))
        forest = MaskForest.from_masks([labels == value for value in np.unique(labels)], score=np.full(3, 0.5))
        rows.append(Label(key, f"{key}.png", "", forest))
    store.write(0, rows)


# ---------------------------------------------------------------------- every row by hand


def test_every_way_of_naming_is_as_worked_out_by_hand(things, seeing):
    make_store(things / "labels")
    report = measured(things, compare=True, labels=things / "labels")
    assert [one.name for one in report.rows] == ["forest", "groups", "patches", "whole", "true", "commonest"]
    assert report.notes == []
    for name in ("forest", "true"):  # outlines are exact, and so are names
        scores = dict(row(report, name).scores)
        five = scores.pop("top-5")
        assert set(scores.values()) == {1.0}
        assert five == 1 if name == "true" else np.isnan(five), "a map has no second best"

    # one name for all: of the large thing. Each colour is large in two photos and small in two
    whole = row(report, "whole")
    assert whole.scores["mIoU"] == pytest.approx(LARGE / (LARGE + 2 * SMALL))
    assert whole.scores["pixel accuracy"] == pytest.approx(LARGE / (LARGE + SMALL))
    assert whole.scores["mIoU with background"] == pytest.approx(GROUND / (GROUND + LARGE + SMALL) / 4), "it is grey"
    assert (whole.scores["top-1"], whole.scores["top-5"]) == (0.5, 1)

    # patches: all is right but the corners, which are grey with a background and unsure without: right all the same
    patches = row(report, "patches")
    assert patches.scores["mIoU"] == patches.scores["pixel accuracy"] == 1
    there, lost = LARGE + SMALL, 2 * CORNERS
    known = [(there - lost) / there] * 3
    assert patches.scores["mIoU with background"] == pytest.approx(np.mean([*known, GROUND / (GROUND + lost)]))
    assert patches.details["pixels named"] == pytest.approx((there - lost) / (there + GROUND))
    assert patches.scores["top-1"] == 1

    # two groups, what is grey and what is not: the small thing is called as the large one
    groups = row(report, "groups")
    right, wrong = LARGE - CORNERS, SMALL - CORNERS
    iou = right / (LARGE + SMALL + wrong)
    told = groups.details["IoU with background"]
    assert told == pytest.approx(
        {"red": iou, "blue": iou, "yellow": iou, "background": GROUND / (GROUND + 2 * CORNERS)}
    )
    # without one, what is grey has the name of whatever corners are in it, the first of two: red, blue, red
    assert groups.details["IoU"] == pytest.approx(
        {
            "red": (LARGE + CORNERS) / (LARGE + SMALL + SMALL + CORNERS),
            "blue": LARGE / (LARGE + SMALL + SMALL),
            "yellow": iou,
        }
    )
    assert groups.scores["top-1"] == 0.5
    assert np.isnan(groups.scores["top-5"])

    # without looking: one of three equal colours, or background
    commonest = row(report, "commonest")
    assert commonest.scores["mIoU"] == pytest.approx(1 / 9)
    assert commonest.scores["mIoU with background"] == pytest.approx(GROUND / (GROUND + LARGE + SMALL) / 4)
    assert (commonest.scores["top-1"], commonest.scores["top-5"]) == (pytest.approx(1 / 3), 1)
    assert report.chance["top-1"] == (pytest.approx(1 / 3),)
    assert report.chance["top-5"] == (1.0,)
    assert 0.1 < report.chance["mIoU"][0] < 0.7
    assert whole.details["true regions"] == 2 * PHOTOS


def test_what_is_said_of_a_run(things, seeing):
    make_store(things / "labels")
    report = measured(things, labels=things / "labels", vocabulary="red, blue/navy, yellow, green")
    assert report.data == {
        "data": f"clothing:{things}/clothing: 6 photos, 3 classes with a name",
        "names": "4 of asked for, in 5 words",
        "model": "seeing, learned from captions",
        "regions": f"of {things}/labels",
        "background": "1 words, and scores below 0.5",
    }
    assert report.notes == ["1 of 4 names are no class of clothing: whatever has one is wrong"]
    assert [one.name for one in report.rows] == ["forest", "commonest"]
    assert row(report, "forest").scores["mIoU"] == 1
    assert row(report, "forest").model["supervision"] == "captions"


def test_a_name_that_is_no_class_is_wrong(things, seeing):
    seeing(said={"navy": 2})
    with_other = measured(things, vocabulary="navy, blue, red, yellow", regions="true")
    assert row(with_other, "true").details["IoU"] == {"red": 1, "blue": 0, "yellow": 1}, "navy is said of it first"
    assert row(with_other, "true").scores["top-1"] == pytest.approx(2 / 3)


def test_classes_without_a_name_are_background_or_not_asked_for(things, seeing):
    report = measured(things, vocabulary="red, blue", regions="patches")
    assert report.notes == ["1 classes have no name of their own, as yellow: background, or not asked for"]
    found = row(report, "patches")
    assert found.scores["mIoU"] == 1
    there = 2 * (LARGE + SMALL)  # pixels of each colour; what is yellow is like no name, and unsure
    right = PHOTOS * GROUND + there
    assert found.details["IoU with background"] == pytest.approx(
        {
            "red": (there - 4 * CORNERS) / there,
            "blue": (there - 4 * CORNERS) / there,
            "background": right / (right + 8 * CORNERS),
        }
    )
    (things / "clothing/classes.txt").write_text("0 null\n1 red\n2 rot\n3 yellow\n")
    assert "1 classes have no name of their own, as rot" in measured(things, vocabulary="red/rot, yellow").notes[0]


def test_a_threshold_leaves_pixels_unnamed(things, seeing):
    strict = measured(things, threshold=0.8, regions="patches")
    rise = [0.5625, 0.6875, 0.8125, 0.9375]  # how much of a pixel's name is its cell's, from the edge inwards
    sides = {side: np.array([*rise, *[1] * (side - 8), *rise[::-1]]) for side in (16, 24, 32)}
    sure = sum((np.outer(sides[tall], sides[wide]) >= 0.8).sum() for tall, wide in ((24, 32), (16, 16)))
    assert row(strict, "patches").details["pixels named"] == pytest.approx(sure / (HEIGHT * WIDTH))
    assert row(strict, "patches").scores["mIoU"] == 1, "without background there is no threshold"
    bare = measured(things, threshold=0.0, background="none", regions="patches")
    assert row(bare, "patches").details["pixels named"] == 1


def test_regions_explored_now(things, seeing):
    report = measured(things)
    assert report.data["regions"] == "explored with texture"
    found = row(report, "forest").scores
    assert found["mIoU"] > 0.75
    assert found["mIoU"] > report.chance["mIoU"][0] + 0.3


def test_a_network_without_groups(things, seeing):
    seeing(groups=False)
    report = measured(things, regions="whole", compare=True, limit=2)
    assert [one.name for one in report.rows] == ["whole", "forest", "patches", "true", "commonest"]
    assert report.notes[-1] == "seeing has no groups"
    with pytest.raises(CallerError, match="seeing has no groups: give other --regions"):
        measured(things, regions="groups")


# ---------------------------------------------------------------------- data sets of many kinds


DOG, SOFA, TRAIN = 12, 18, 19  # red, blue and yellow in the photos below


@pytest.fixture
def voc(things, seeing):
    seeing(said={"dog": 1, "sofa": 2, "train": 3})
    root = things / "voc"
    for place in ("JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"):
        (root / place).mkdir(parents=True)
    for number in range(PHOTOS):
        labels = made_labels(number)
        Image.fromarray(COLOURS[labels]).save(root / f"JPEGImages/{number}.png")
        classes = np.array([0, DOG, SOFA, TRAIN], np.uint8)[labels]
        Image.fromarray(classes).save(root / f"SegmentationClass/{number}.png")
        objects = np.where(labels > 0, np.where(np.arange(WIDTH) < 48, 1, 2), 0).astype(np.uint8)
        Image.fromarray(objects).save(root / f"SegmentationObject/{number}.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("".join(f"{number}\n" for number in range(PHOTOS)))
    return f"voc:{root}"


def test_seen_and_unseen_classes(things, voc):
    """What the dog is called is wrong, what sofa and train are is right: all names, then the unseen ones alone."""
    report = measured(things, voc, regions="true")
    found = row(report, "true").scores
    assert (found["mIoU"], found["mIoU seen"], found["mIoU unseen"], found["harmonic"]) == (1, 1, 1, 1)
    assert report.data["names"].startswith("20 of voc, in ")
    whole = row(measured(things, voc, regions="whole"), "whole").scores
    third = LARGE / (LARGE + 2 * SMALL)
    assert (whole["mIoU seen"], whole["mIoU unseen"], whole["harmonic"]) == pytest.approx((third,) * 3)

    # a plant is said in three ways, which add up to more than a little of a sofa
    alone = measured(things, voc, regions="whole", split="unseen", synonyms="max")
    assert alone.data["names"].startswith("5 of voc")
    assert "background" not in alone.data
    found = row(alone, "whole")
    assert list(found.scores) == ["mIoU", "pixel accuracy", "mean accuracy", "top-1", "top-5"]
    # photos (dog, sofa), (sofa, train), (train, dog): of the dog nothing is asked, so it costs nothing
    sofa, train = (LARGE + SMALL) / (LARGE + 2 * SMALL), LARGE / (LARGE + SMALL)
    assert {name: value for name, value in found.details["IoU"].items() if not np.isnan(value)} == pytest.approx(
        {"sofa": sofa, "train": train}
    )
    assert found.scores["top-1"] == pytest.approx(3 / 4)
    assert alone.chance["top-1"] == (0.2,)


def test_coco_is_painted_and_what_is_left_is_background(things, seeing):
    """Regions of classes: where two overlap it is void, where there is none it is background; a crowd is not asked."""
    seeing(said={"horse": 1, "couch": 2, "cup": 3})
    from pycocotools import mask as coco

    (things / "coco/annotations").mkdir(parents=True)
    (things / "coco/val2017").mkdir()
    images, marked = [], []
    for number in range(3):
        labels = made_labels(number)
        Image.fromarray(COLOURS[labels]).save(things / f"coco/val2017/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH})
        masks = [(value, labels == value, 0) for value in np.unique(labels) if value]
        crowd = np.zeros_like(labels, bool)
        crowd[:4, :4] = True
        for value, mask, crowded in [*masks, (1, crowd, 1)]:
            counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
            shape = {"size": [HEIGHT, WIDTH], "counts": counts}
            more = {"id": len(marked), "image_id": number, "category_id": int(value), "iscrowd": crowded}
            marked.append({"segmentation": shape, **more})
    classes = [{"id": 1, "name": "horse"}, {"id": 2, "name": "couch"}, {"id": 3, "name": "cup"}]
    document = {"images": images, "annotations": marked, "categories": classes}
    (things / "coco/annotations/instances_val2017.json").write_text(json.dumps(document))
    report = measured(things, f"coco:{things}/coco", regions="true")
    found = row(report, "true")
    assert found.details["true regions"] == 6
    assert found.scores["top-1"] == 1
    crowds, there = 3 * 16, LARGE + SMALL  # the crowds are grey: not one of the regions, and so unnamed
    told = found.details["IoU with background"]
    assert told["horse"] == pytest.approx(there / (there + crowds))
    assert told["couch"] == told["cup"] == 1
    assert told["background"] == pytest.approx((3 * GROUND - crowds) / (3 * GROUND))
    as_voc = row(measured(things, f"coco:{things}/coco", regions="true", vocabulary="voc"), "true")
    assert set(as_voc.details["IoU"]) == {"horse", "couch"}
    assert as_voc.details["true regions"] == 4


# ---------------------------------------------------------------------- captions


@pytest.fixture
def captioned(things, seeing):
    """Red, blue, yellow, and red again."""
    folder = things / "captions"
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, colour in enumerate((1, 2, 3, 1)):
        Image.new("RGB", (32, 32), tuple(COLOURS[colour].tolist())).save(folder / f"images/{number}.png")
        rows += [f"{number}.png,a {NAMES[colour]} wall", f"{number}.png,something {NAMES[colour]} all over"]
    (folder / "captions.csv").write_text("\n".join(rows))
    return folder


def test_captions_and_photos_find_each_other(things, captioned):
    """Two photos are the same red: whoever asks for one finds the other as soon, which counts as not found."""
    report = measured(things, f"captions:{captioned}", split="all")
    (found,) = report.rows
    assert {name: values[0] for name, values in found.scores.items()} == {
        "caption R@1": 0.5, "caption R@5": 1, "caption R@10": 1, "photo R@1": 0.5, "photo R@5": 1, "photo R@10": 1,
        "median caption": 2, "median photo": 1.5,
    }  # fmt: skip
    assert report.data["data"] == f"captions:{captioned}: 4 photos, 8 captions, all of them"
    assert report.chance["photo R@1"] == (0.25,)
    assert report.chance["caption R@1"] == (pytest.approx(0.25),)


def test_captions_held_back_are_those_of_learning(things, captioned):
    from hedgerow.data.pairs import held_back, read_pairs

    _, held = held_back(read_pairs([captioned]), 3)
    report = measured(things, f"captions:{captioned}", held=3)
    assert report.data["data"].endswith("3 photos, 6 captions, held back of 4")
    reds = sum(pair.photo.key in "03" for pair in held)
    assert report.rows[0].scores["photo R@1"][0] == pytest.approx((3 - reds * (reds == 2)) / 3)
    both = measured(things, f"captions:{captioned},{captioned}", split="all")
    assert "4 photos, 8 captions" in both.data["data"], "a photo is met once"


# ---------------------------------------------------------------------- the command


def test_the_command_in_several_processes_with_a_language_from_files(things, capsys, monkeypatch):
    pytest.importorskip("tokenizers")
    monkeypatch.setenv("HEDGEROW_CACHE", str(things / "cache"))
    from made_language import COLOURS as PURE
    from made_language import write_language

    model = write_language(things / "made.onnx", groups=True)
    for number in range(PHOTOS):
        pixels = np.array([(20, 20, 20), PURE["red"], PURE["blue"], PURE["yellow"]], np.uint8)[made_labels(number)]
        Image.fromarray(pixels).save(things / f"clothing/images/{number}.png")
    words = ["evaluate", "names", "--data", f"clothing:{things}/clothing", "--model", str(model), "--compare"]
    make_store(things / "labels")
    words += ["--labels", str(things / "labels"), "--limit", "3", "-o", str(things / "n.json")]
    tables = []
    for workers in ("1", "2"):
        assert main([*words, "--workers", workers]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        tables.append([line.rsplit("  ", 1)[0].rstrip() for line in out.splitlines()[-8:]])  # without the seconds
    assert tables[0] == tables[1]
    head, *lines = [re.split("  +", line) for line in tables[0]]
    assert head[1:] == ["mIoU", "mIoU with background", "pixel accuracy", "mean accuracy", "top-1", "top-5"]
    assert [line[0] for line in lines] == ["forest", "groups", "patches", "whole", "true", "commonest", "chance"]
    told = {line[0]: line[1:] for line in lines}
    assert told["true"][4] == "1.0000"
    assert float(told["forest"][0]) > float(told["whole"][0]) > float(told["commonest"][0])
    numbers = json.loads((things / "n.json").read_text())
    assert numbers["rows"][0]["details"]["IoU"].keys() == {"red", "blue", "yellow"}
    assert numbers["rows"][0]["model"]["supervision"] == "captions"


def test_wrong_commands_are_told_of_in_one_line(things, captioned, capsys):
    make_store(things / "some", but=[5])
    clothing = ["--data", f"clothing:{things}/clothing", "--regions", "true"]
    captions = ["--data", f"captions:{captioned}"]
    for status, words, told in [
        (2, [*clothing, "--limit", "0"], "--limit is at least 1, got 0"),
        (2, [*clothing, "--split", "unseen"], "no classes of clothing are known as unseen, only of voc, context"),
        (2, [*clothing, "--split", "held"], "--split of clothing is all or unseen, got held"),
        (2, [*captions, "--split", "unseen"], "--split of captions is held or all, got unseen"),
        (2, [*captions, "--vocabulary", "voc"], "--vocabulary is for names; captions are compared as they are"),
        (2, [*captions], "--held 500 of 4 photos leaves no choice: give 1 to 3"),
        (2, [*captions, "--held", "1"], "1 photos are no choice: give more, or --split all"),
        (2, ["--data", "captions:"], "captions are written captions:PLACE"),
        (1, ["--data", f"captions:{things}/none"], f"there is nothing at {things}/none"),
        (2, [*clothing, "--vocabulary", "dog, cat"], "no name for any of the 4 classes of clothing, as red"),
        (2, [*clothing, "--vocabulary", "red, red"], 'name 2 has "red" a second time'),
        (1, [*clothing, "--vocabulary", "red", "--background", "none"], "'red' alone is compared with nothing"),
        (2, [*clothing, "--threshold", "2"], "--threshold lies in 0 ... 1, got 2"),
        (1, [*clothing, "--labels", f"{things}/none"], f"{things}/none is no label store"),
        (1, [*clothing, "--labels", f"{things}/some"], f"{things}/some has no photo 5: explore the photos of --data"),
        (1, ["--data", f"folder:{things}/clothing/images"], "it has no classes"),
        (2, [*clothing, "--explore.grains", "-1"], "--explore.grains"),
    ]:
        assert main(["evaluate", "names", "--workers", "1", *words]) == status, words
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
