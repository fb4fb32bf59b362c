"""hedgerow export and import, from a folder of results and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from hedgerow.cli import main
from hedgerow.forest import MaskForest
from hedgerow.formats import read_forest, write_forest

MODEL = {"name": "felt by hand", "supervision": "captions", "weights_sha256": None}
SIZE = (20, 26)
FILES = {"coco": "coco.json", "parts": "parts.json", "labelstudio": "labelstudio.json", "cvat": "cvat.xml"}
BACK = ["coco", "panoptic", "voc", "yolo", "labelme", "geojson"]


@pytest.fixture
def results(tmp_path):
    """Two photos in folders of their own, and their forests."""
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 2:18, 2:18] = masks[1, 4:8, 4:9] = masks[2, :, 20:] = True
    forest = MaskForest.from_masks(masks, parent=[-1, 0, -1], score=[0.75, 0.5, 0.25], name=["cat", "ear", ""])
    for key in ("june/1", "b"):
        photo = tmp_path / "photos" / f"{key}.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1], "teal").save(photo)
        (tmp_path / "out" / key).parent.mkdir(parents=True, exist_ok=True)
        write_forest(tmp_path / "out" / f"{key}.forest.json", forest, photo.name, MODEL)
    return tmp_path


def run(*words):
    return main([*map(str, words)])


def told(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("kind", [*BACK, "parts", "labelstudio", "cvat", "svg"])
def test_every_format_is_written_and_those_that_can_be_come_back(results, kind, capsys):
    place = results / "exported"
    assert run("export", results / "out", "--to", kind, "-o", place) == 0
    written = place / FILES[kind] if kind in FILES else place
    regions = 4 if kind == "parts" else 6  # what lies in nothing that has a name is no part
    assert capsys.readouterr().out.startswith(f"{regions} regions of 2 photos in {written}; ")
    if kind not in BACK:
        return
    back = results / "back"
    assert run("import", written, "--from", kind, "--photos", results / "photos", "-o", back) == 0
    assert sorted(path.relative_to(back).as_posix() for path in back.rglob("*.json")) == [
        "b.forest.json",
        "june/1.forest.json",
    ]
    again, header = read_forest(back / "june" / "1.forest.json")
    wanted, _ = read_forest(results / "out" / "june" / "1.forest.json")
    assert header["image"]["file"] == "1.png"
    assert {key: header["model"][key] for key in MODEL} == MODEL
    assert header["model"]["imported"]["from"] == kind
    if kind not in ("panoptic", "voc"):
        assert set(again.rles) == set(wanted.rles)
        assert sorted(again.parent) == sorted(wanted.parent)
    assert sorted(again.name) == sorted(wanted.name)


def test_fewer_regions(results):
    run("export", results / "out", "--to", "coco", "-o", results / "a.json", "--max-masks", "2", "--min-score", "0.6")
    rows = json.loads((results / "a.json").read_text())["annotations"]
    assert [row["score"] for row in rows] == [0.75, 0.75]


def test_world_files_beside_photos_are_taken(results):
    (results / "photos" / "b.pgw").write_text("2\n0\n0\n-2\n101\n199\n")
    run("export", results / "out", "--to", "geojson", "-o", results / "g", "--photos", results / "photos", "--quiet")
    for key, first in (("b", [104, 196]), ("june/1", [2, 2])):
        document = json.loads((results / "g" / f"{key}.geojson").read_text())
        assert first in document["features"][0]["geometry"]["coordinates"][0]


def test_masks_of_others_are_told_to_be_of_others(results):
    document = {"shapes": [], "imagePath": "b.png", "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    (results / "b.json").write_text(json.dumps(document))
    words = ["import", results / "b.json", "--from", "labelme", "-o", results / "in", "--quiet"]
    assert run(*words, "--made-by", "people") == 0
    model = read_forest(results / "in" / "b.forest.json")[1]["model"]
    assert model["imported"] == {"from": "labelme", "file": "b.json", "made_by": "people"}


def test_a_damaged_forest_ends_an_export_unless_it_may_go_on(results, capsys):
    (results / "out" / "b.forest.json").write_text("{")
    words = ["export", results / "out", "--to", "coco", "-o", results / "a.json"]
    assert run(*words) == 1
    assert "b.forest.json: this is no JSON file" in told(capsys)
    assert not (results / "a.json").exists()
    assert run(*words, "--keep-going", "--quiet") == 0
    assert "1 of 2 photos could not be done" in capsys.readouterr().err
    assert len(json.loads((results / "a.json").read_text())["images"]) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["export"], "needs a format and a place: --to FORMAT -o OUT"),
        (["export", "--to", "coco", "-o", "x"], "no forest was named"),
        (["export", "photos", "--to", "coco", "-o", "x"], "no forest in photos or below it"),
        (["export", "out", "--to", "word", "-o", "x"], "invalid choice 'word'"),
        (
            ["export", "out", "--to", "coco", "-o", "x", "--count", "3"],
            "--count and --level go with --to panoptic",
        ),
        (["export", "out", "--to", "voc", "-o", "x", "--count", "3", "--level", "2"], "by --count or by --level"),
        (["export", "out", "--to", "voc", "-o", "x", "--level", "13"], "levels go from 1 to 12, got 13"),
        (["export", "out", "--to", "coco", "-o", "x", "--tolerance", "1"], "coco has none without --outlines"),
        (["export", "out", "--to", "svg", "-o", "x", "--outlines"], "--outlines goes with --to coco or parts"),
        (["export", "out", "--to", "yolo", "-o", "photos/b.png"], "yolo is a folder of files"),
        (
            ["export", "out", "--to", "svg", "-o", "x", "--min-score", "2"],
            "--min-score",
        ),
        (["import"], "needs what is read, its format and a folder"),
        (["import", "out", "--from", "coco", "-o", "x"], "coco is a file, and out is a folder"),
        (["import", "photos/b.png", "--from", "voc", "-o", "x"], "voc is a folder of files"),
        (["import", "out", "--from", "yolo", "-o", "x"], "--photos DIR"),
        (["import", "none.json", "--from", "coco", "-o", "x"], "there is no such file"),
        (["import", "photos/b.png", "--from", "coco", "-o", "x"], "no COCO instances file"),
        (["import", "out", "--from", "voc", "-o", "x"], "out holds no *.png (map of VOC): give another folder"),
    ],
)
def test_mistakes_are_told_in_one_line(results, words, says, capsys, monkeypatch):
    monkeypatch.chdir(results)
    assert run(*words) in (1, 2)
    assert says in told(capsys)
    assert not (results / "x").exists()


def test_a_photo_of_another_size_is_refused(results, capsys):
    run("export", results / "out", "--to", "coco", "-o", results / "a.json", "--quiet")
    Image.new("RGB", (9, 9)).save(results / "photos" / "b.png")
    words = ["import", results / "a.json", "--from", "coco", "--photos", results / "photos", "-o", results / "in"]
    assert run(*words) == 1
    assert "b.png is of size (9, 9), its masks are of (20, 26)" in told(capsys)
    (results / "photos" / "b.png").unlink()
    assert run(*words) == 1
    assert "0 photos in" in told(capsys)
