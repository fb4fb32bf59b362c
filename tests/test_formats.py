"""Files: what is written comes back, what is damaged is refused in one line, and no half-written file is left."""

import copy
import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from hedgerow import formats, writing
from hedgerow.config import CallerError
from hedgerow.forest import MaskForest

MODEL = {"name": "felt by hand", "supervision": "none", "weights_sha256": None}
SCHEMA = json.loads(files("hedgerow").joinpath("assets/forest.schema.json").read_text())


@pytest.fixture
def forest():
    masks = np.zeros((5, 6, 8), bool)
    masks[0, :, :5] = masks[1, :3, :4] = masks[2, :2, :2] = masks[3, 1:, 5:] = masks[4, 4, 4] = True
    return MaskForest.from_masks(
        masks,
        parent=[-1, 0, 1, -1, 0],
        score=[0.5, 0.9, 1 / 3, 1e-9, 1],
        source=["a", "b", "", "a", "ü"],
        category=[-1, 3, 0, -1, 7],
        name=["", "cat's ear", 'a "b"\n', "", "猫"],
        name_score=[0, 0.75, 1, 0, 0],
        embedding=np.random.default_rng(0).normal(size=(5, 3)),
    )


@pytest.fixture
def document(tmp_path, forest):
    formats.write_forest(tmp_path / "a.forest.json", forest, "a.jpg", MODEL, embedding=True)
    return json.loads((tmp_path / "a.forest.json").read_text())


def read(tmp_path, document, reader=formats.read_forest):
    path = tmp_path / "made.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return reader(path)


def refused(tmp_path, document, says, reader=formats.read_forest):
    with pytest.raises(CallerError, match=says) as caught:
        read(tmp_path, document, reader)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "made.json" in str(caught.value)


# ---------------------------------------------------------------------- forest JSON


def test_a_forest_comes_back(tmp_path, forest):
    path = tmp_path / "a.forest.json"
    formats.write_forest(path, forest, "photos/\udcff.jpg", MODEL | {"epochs": 3}, embedding=True)
    again, header = formats.read_forest(path)
    assert (again.size, again.rles, again.source, again.name) == (forest.size, forest.rles, forest.source, forest.name)
    for column in ("parent", "category", "embedding", "name_score"):
        assert np.array_equal(getattr(again, column), getattr(forest, column))
    assert np.abs(again.score - forest.score).max() <= 1e-6
    assert header == {
        "image": {"file": "photos/\udcff.jpg", "width": 8, "height": 6},
        "model": MODEL | {"epochs": 3},
    }
    formats.write_forest(tmp_path / "b.forest.json", again, "photos/\udcff.jpg", header["model"], embedding=True)
    assert (tmp_path / "b.forest.json").read_bytes() == path.read_bytes()


def test_the_schema_describes_what_is_written(tmp_path, forest, document):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    assert [s["parent"] for s in document["segments"]] == [None, 0, 1, None, 0]
    assert [s.get("name") for s in document["segments"]][:2] == [None, "cat's ear"]
    assert [s.get("name_score") for s in document["segments"]] == [None, 0.75, 1, None, 0]
    for nameless in ({"name_score": 0.5}, {"name": "cat", "name_score": 1.5}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | {"segments": [document["segments"][0] | nameless]}, SCHEMA)
    formats.write_forest(tmp_path / "b.forest.json", MaskForest((2, 3)), "b.jpg", MODEL)
    jsonschema.validate(json.loads((tmp_path / "b.forest.json").read_text()), SCHEMA)
    assert len(formats.read_forest(tmp_path / "b.forest.json")[0]) == 0
    formats.write_forest(tmp_path / "c.forest.json", forest, "c.jpg", MODEL)
    assert "embedding" not in (tmp_path / "c.forest.json").read_text()


def test_a_model_must_say_how_it_was_supervised(tmp_path, forest):
    for model in ({}, MODEL | {"supervision": "masks"}, MODEL | {"weights_sha256": 7}, MODEL | {"name": 1}):
        with pytest.raises(CallerError, match="model"):
            formats.write_forest(tmp_path / "a.json", forest, "a.jpg", model)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        (["hedgerow"], 2, "format 1, got 2"),
        (["hedgerow"], None, "format 1, got None"),
        (["image"], [], "'image' must be an object"),
        (["image", "width"], 9, "of size \\[6, 8\\], the photo of \\[6, 9\\]"),
        (["image", "width"], True, "must be a whole number, got True"),
        (["image", "height"], 10**12, "height and width"),
        (["image", "file"], 1, "'file' must be text"),
        (["model", "supervision"], "labels", "'supervision' must be one of"),
        (["segments"], {}, "'segments' must be a list"),
        (["segments", 1], 5, "segment 1 must be an object, got 5"),
        (["segments", 1, "id"], 0, "expected 1, got 0"),
        (["segments", 1, "parent"], -1, "earlier segment, got -1"),
        (["segments", 1, "parent"], 1, "earlier segment, got 1"),
        (["segments", 1, "parent"], 99, "earlier segment, got 99"),
        (["segments", 1, "parent"], 3, "earlier segment, got 3"),
        (["segments", 4, "parent"], 3, "lies inside its parent"),
        (["segments", 1, "score"], 0, "a score lies in"),
        (["segments", 1, "score"], 1e-60, "a score lies in"),
        (["segments", 1, "score"], 1.5, "a score lies in"),
        (["segments", 1, "score"], "1", "'score' must be a number"),
        (["segments", 1, "area"], 11, "says area 11, its mask says 12"),
        (["segments", 1, "bbox"], [0, 0, 4, 4], "says bbox"),
        (["segments", 1, "bbox"], None, "'bbox' must be a list"),
        (["segments", 1, "depth"], 3, "says depth 3"),
        (["segments", 1, "category"], 2**40, "'category' must be"),
        (["segments", 1, "name"], 3, "'name' must be text"),
        (["segments", 0, "name_score"], 0.5, "goes with a name"),
        (["segments", 1, "name"], "", "'name_score' goes with a name"),
        (["segments", 1, "name_score"], 1.5, "lies in \\[0, 1\\], got 1.5"),
        (["segments", 1, "name_score"], "sure", "'name_score' must be a number"),
        (["segments", 1, "embedding"], [1, 2], "at one length"),
        (["segments", 1, "embedding"], [1, 2, "x"], "numbers only"),
        (["segments", 1, "embedding"], [1, 2, 1e300], "within float32"),
        (["segments", 1, "segmentation"], [[0, 0, 1, 1, 0, 1]], "'segmentation' must be an object"),
        (["segments", 1, "segmentation", "size"], [6, 8, 1], "height and width"),
        (["segments", 1, "segmentation", "size"], [2**31, 2**31], "height and width"),
        (["segments", 1, "segmentation", "size"], [0, 0], "height and width"),
        (["segments", 1, "segmentation", "counts"], 7, "'counts' must be text"),
        (["segments", 1, "segmentation", "counts"], "", "not COCO's"),
        (["segments", 1, "segmentation", "counts"], "\udcff", "not COCO's"),
        (["segments", 1, "segmentation", "counts"], "\u00e9", "not COCO's"),
        (["segments", 1, "segmentation", "counts"], "0ooo", "in the middle"),
        (["segments", 1, "segmentation", "counts"], "`1", "no mask may be empty"),
    ],
)
def test_a_damaged_forest_is_refused(tmp_path, document, where, value, says):
    part = document
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    refused(tmp_path, document, says)


def test_missing_keys_are_named(tmp_path, document):
    for key in SCHEMA["$defs"]["segment"]["required"]:
        damaged = copy.deepcopy(document)
        del damaged["segments"][2][key]
        refused(tmp_path, damaged, f"segment 2 has no '{key}'")
    for part in ("image", "model"):
        for key in SCHEMA["properties"][part]["required"]:
            damaged = copy.deepcopy(document)
            del damaged[part][key]
            refused(tmp_path, damaged, f"{key}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2",
        "null",
        "3",
        '"a"',
        "{}",
        "[]",
        "[" * 100_000,
        '{"a":' * 50_000,
        "[NaN]",
        "9" * 10_000,
        "\ud800",
    ],
)
@pytest.mark.parametrize("reader", [formats.read_forest, formats.read_coco])
def test_what_is_no_such_file_is_refused(tmp_path, text, reader):
    (tmp_path / "made.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    if reader is formats.read_coco and text == "[]":
        assert reader(tmp_path / "made.json") == {}
        return
    with pytest.raises(CallerError, match=r"made\.json") as caught:
        reader(tmp_path / "made.json")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(CallerError, match=r"cannot read .*none\.json: No such file"):
        formats.read_forest(tmp_path / "none.json")
    with pytest.raises(CallerError, match="cannot read"):
        formats.read_coco(tmp_path)


ODD = st.sampled_from(
    [None, True, -1, 0, 1, 2, 0.5, 1e400, -1e-9, 2**31, 10**30, "", "0", "é", [], [0], [[]], {}, {"a": 1}]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.parametrize("reader", [formats.read_forest, formats.read_coco])
def test_no_change_makes_a_reader_crash(tmp_path, document, forest, reader, data):
    damaged = copy.deepcopy(document) if reader is formats.read_forest else forest.to_coco(5)
    for _ in range(data.draw(st.integers(1, 3))):
        part = damaged
        while True:
            keys = list(part) if isinstance(part, dict) else list(range(len(part)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            inner = part[key]
            if isinstance(inner, (dict, list)) and inner and data.draw(st.integers(0, 9)):
                part = inner
                continue
            if isinstance(inner, str) and data.draw(st.booleans()):
                part[key] = data.draw(st.text("0123456789:;<=>?@ABCPQRSTUVo", max_size=12))
            elif isinstance(part, dict) and not data.draw(st.integers(0, 3)):
                del part[key]
            else:
                part[key] = copy.deepcopy(data.draw(ODD))
            break
    try:
        read(tmp_path, json.dumps(damaged).replace("Infinity", "1e999"), reader)
    except CallerError as error:
        told = str(error)
        assert "\n" not in told


# ---------------------------------------------------------------------- COCO results


def test_coco_results_come_back_with_their_parents(tmp_path, forest):
    path = tmp_path / "predictions.json"
    other = MaskForest.from_labels(np.arange(12).reshape(3, 4) // 4)
    assert formats.write_coco(path, iter([(7, forest), ("b", other), (9, MaskForest((2, 2)))]), 1000) == 8
    results = json.loads(path.read_text())
    assert [r["id"] for r in results if r["image_id"] == 7] == [5, 2, 1, 3, 4]
    assert {r["id"] for r in results} == set(range(1, 9))
    for result in results:
        assert coco.area(result["segmentation"]) == result["area"]
    again = formats.read_coco(path)
    assert list(again) == [7, "b"]
    assert (again["b"].parent == -1).all()
    said = {rle: row for rle, *row in zip(again[7].rles, again[7].name, again[7].category, strict=True)}
    assert said == {rle: row for rle, *row in zip(forest.rles, forest.name, forest.category, strict=True)}
    assert sorted(again[7].name_score) == sorted(forest.name_score)
    whole = {r: again[7].rles[p] if p >= 0 else None for r, p in zip(again[7].rles, again[7].parent, strict=True)}
    assert whole == {r: forest.rles[p] if p >= 0 else None for r, p in zip(forest.rles, forest.parent, strict=True)}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_parent_that_is_cut_gives_way_to_the_nearest_in_the_file(tmp_path, forest, count):
    formats.write_coco(tmp_path / "p.json", [(i, forest) for i in range(3)], count)
    results = json.loads((tmp_path / "p.json").read_text())
    assert len(results) == 3 * count
    ids = {r["id"]: r["image_id"] for r in results}
    assert len(ids) == len(results)
    for r in results:
        assert r["parent_id"] is None or ids[r["parent_id"]] == r["image_id"]
    assert len(formats.read_coco(tmp_path / "p.json")[1]) == count


def test_others_results_are_read(tmp_path):
    square = {"size": [3, 3], "counts": [4, 1, 4]}
    results = [
        {"image_id": 1, "category_id": 18, "segmentation": square, "score": 1},
        {"image_id": 1, "segmentation": {"size": [3, 3], "counts": [0, 5, 0, 4]}, "score": 0.5, "bbox": "ignored"},
    ]
    forest = read(tmp_path, results, formats.read_coco)[1]
    assert forest.areas.tolist() == [1, 9]
    assert forest.category.tolist() == [18, -1]
    assert forest.rles[1] == MaskForest.from_masks([np.ones((3, 3))]).rles[0]
    del results[0]["category_id"]
    assert read(tmp_path, results, formats.read_coco)[1].category is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"segmentation": [[0, 0, 1, 1, 0, 1]]}, "result 1 is a polygon"),
        ({"segmentation": None}, "result 1 must be an object"),
        ({"segmentation": {"size": [6, 9], "counts": "f1"}}, "result 1: its mask is of size"),
        ({"segmentation": {"size": [6, 8], "counts": [47, 2]}}, "do not add up"),
        ({"segmentation": {"size": [6, 8]}}, "'counts' must be"),
        ({"image_id": 1.5}, "'image_id' must be"),
        ({"image_id": None}, "'image_id' must be"),
        ({"score": 1.02}, "result 1: a score lies in \\(0, 1\\], got 1.02"),
        ({"parent_id": 77}, "no result of its photo has its parent_id 77"),
        ({"parent_id": 2}, "round in a circle"),
        ({"parent_id": "2"}, "'parent_id' must be"),
        ({"id": 5}, "its id 5 is taken"),
        ({"id": None}, "'id' must be"),
        ({"category_id": -3}, "'category_id' must be"),
    ],
)
def test_damaged_results_are_refused(tmp_path, forest, change, says):
    results = forest.to_coco(4)
    results[1] |= change
    refused(tmp_path, results, says, formats.read_coco)


def test_results_are_a_list(tmp_path):
    refused(tmp_path, {"images": [], "annotations": []}, "expected a list of COCO results", formats.read_coco)
    refused(tmp_path, [3], "result 0 must be an object", formats.read_coco)


def test_two_forests_of_one_image_are_refused(tmp_path, forest):
    with pytest.raises(CallerError, match="two forests are given for image 1"):
        formats.write_coco(tmp_path / "p.json", [(1, forest), (1, forest)], 10)
    with pytest.raises(CallerError, match="at least 1"):
        formats.write_coco(tmp_path / "p.json", [], 0)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- level maps and writing


def test_levels_come_back_and_are_written_alike_twice(tmp_path, forest):
    levels = forest.levels(3)
    for name in ("a.npz", "no-suffix"):
        formats.write_levels(tmp_path / name, levels)
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["levels"].dtype == np.int32
        assert np.array_equal(archive["levels"], levels)
    formats.write_levels(tmp_path / "one by one", forest.each_level(3), 3)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "no-suffix").read_bytes()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "one by one").read_bytes()
    with pytest.raises(CallerError, match="of shape"):
        formats.write_levels(tmp_path / "b.npz", levels[0])


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    writing.write_atomically(path, b"old")

    def pieces():
        yield b"new"
        raise RuntimeError("the photo would not open")

    with pytest.raises(RuntimeError):
        writing.write_atomically(path, pieces())

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(CallerError, match=r"cannot write .*a\.json: No space left on device"):
        writing.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "folder", tmp_path / "none" / "a", tmp_path / "file" / "a", tmp_path / ("x" * 300)):
        with pytest.raises(CallerError, match="cannot write") as caught:
            writing.write_atomically(path, [b"1", b"2"])
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
