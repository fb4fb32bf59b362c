"""hedgerow segment with names: what is written and printed, going on, and what cannot be asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from hedgerow.categories import fit_categories, write_categories
from hedgerow.cli import main
from hedgerow.draw import name_colours
from hedgerow.formats import read_forest
from hedgerow.naming import name_map
from hedgerow.naming.calling import naming_of
from made_language import COLOURS, OTHERS, write_language

QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "60"]
NAMES = "red/crimson, green, yellow"


def made_photo(first: str, second: str) -> Image.Image:
    """Two squares of two colours on green, with the grain of a photo."""
    pixels = np.empty((48, 64, 3))
    pixels[:] = COLOURS["green"]
    pixels[8:32, 6:30], pixels[20:42, 38:58] = COLOURS[first], COLOURS[second]
    grain = np.random.default_rng(0).normal(0, 3, pixels.shape)
    return Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two photos and a language, in which the work is done in this very process."""
    monkeypatch.setattr("hedgerow.pipeline._crew", lambda photos, config: 0)
    monkeypatch.setenv("HEDGEROW_CACHE", str(tmp_path / "kept"))
    monkeypatch.chdir(tmp_path)
    naming_of.cache_clear()  # tests have files of the same name in folders of their own
    (tmp_path / "photos").mkdir()
    made_photo("red", "yellow").save(tmp_path / "photos" / "a.png")
    made_photo("blue", "pink").save(tmp_path / "photos" / "b.png")
    write_language(tmp_path / "colours.onnx")
    return tmp_path


def segment(*words: object, model: str = "colours.onnx") -> int:
    return main(["segment", *QUICK, "--name-model", model, *map(str, words)])


def told_at(forest, x: int, y: int) -> str:
    """The name of the smallest region there."""
    return forest.name[forest.at(x, y)[0]]


# ---------------------------------------------------------------------- what is written


def test_names_in_files_pictures_and_on_the_line(place, capsys):
    assert segment("photos", "-o", "out", "--names", NAMES, "--formats", "forest,overlay,labels") == 0
    forest, header = read_forest(place / "out/a.forest.json")
    assert [told_at(forest, *point) for point in ((18, 20), (48, 30), (60, 4))] == ["red", "yellow", "green"]
    assert ((forest.name_score > 0) == np.array([bool(name) for name in forest.name])).all()
    assert forest.name_score.max() <= 1
    model = header["model"]
    assert model["supervision"] == "captions"
    assert {key: model["names"][key] for key in ("model", "vocabulary", "count", "threshold", "find")} == {
        "model": "colours",
        "vocabulary": "red, green, yellow",
        "count": 3,
        "threshold": 0.5,
        "find": False,
    }
    named = sum(bool(name) for name in forest.name)
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith("photos/a.png: ")
    assert f" s; {named} named: " in told
    assert set(told.rpartition(": ")[2].split(", ")) == {"red", "green", "yellow"}

    labels, colours = name_map(forest, ("red", "green", "yellow")), name_colours(["red", "green", "yellow"])
    with Image.open(place / "out/a.labels.png") as image:
        np.testing.assert_array_equal(np.asarray(image), labels + 1)
        palette = np.array(image.getpalette()[:12]).reshape(-1, 3)
    np.testing.assert_array_equal(palette[1:], colours)
    assert [labels[20, 18], labels[30, 48], labels[4, 60]] == [0, 2, 1]
    legend = json.loads((place / "out/a.labels.json").read_text())
    assert legend["image"] == {"file": "a.png"}
    assert [(one["value"], one["name"]) for one in legend["names"]] == [(1, "red"), (2, "green"), (3, "yellow")]
    assert [one["pixels"] for one in legend["names"]] == [int((labels == row).sum()) for row in range(3)]
    assert [one["colour"] for one in legend["names"]] == colours.tolist()
    with Image.open(place / "out/a.overlay.png") as shown:
        light = np.asarray(shown, float)[44, 3]  # of the ground: grey under half of green's colour
    grey = np.array(COLOURS["green"]) @ np.array([0.299, 0.587, 0.114])
    expected = 0.5 * (0.2 * np.array(COLOURS["green"]) + 0.8 * grey) + 0.5 * colours[1]
    np.testing.assert_allclose(light, expected, atol=6)


def test_what_is_background_has_no_name(place):
    """Blue and pink are neither red nor yellow; where there is nothing else to be, they are what is nearest."""
    assert segment("photos/b.png", "-o", "out", "--names", NAMES, "--background", "blue, pink") == 0
    assert [told_at(read_forest(place / "out/b.forest.json")[0], *p) for p in ((18, 20), (48, 30))] == ["", ""]
    assert segment("photos/b.png", "-o", "bare", "--names", NAMES, "--background", "none", "--name-threshold", 0) == 0
    bare, header = read_forest(place / "bare/b.forest.json")
    assert all(bare.name)
    assert header["model"]["names"]["background"] == []


@pytest.mark.usefixtures("place")
def test_a_photo_without_a_name_says_what_to_turn(capsys):
    assert segment("photos/b.png", "-o", "out", "--names", NAMES, "--name-threshold", 1, "--formats", "forest") == 0
    assert capsys.readouterr().out.endswith(" s; none named: try --name-threshold or --background\n")
    assert main(["segment", *QUICK, "photos/b.png", "-o", "bare", "--formats", "forest"]) == 0
    assert "named" not in capsys.readouterr().out


def test_later_formats_and_labels_are_those_made_at_once(place):
    assert segment("photos", "-o", "late", "--names", NAMES, "--formats", "forest") == 0
    assert segment("photos", "-o", "late", "--names", NAMES, "--formats", "overlay,labels") == 0
    assert segment("photos", "-o", "once", "--names", NAMES, "--formats", "forest,overlay,labels") == 0
    files = sorted(path.name for path in (place / "late").iterdir())
    assert len(files) == 9
    for name in files:
        assert (place / "late" / name).read_bytes() == (place / "once" / name).read_bytes(), name
    (place / "late/a.labels.json").unlink()
    assert segment("photos", "-o", "late", "--names", NAMES, "--formats", "overlay,labels") == 0
    assert (place / "late/a.labels.json").is_file()


def test_runs_with_other_names_do_not_mix(place, capsys):
    write_language(place / "other.onnx", scale=11.0)
    assert segment("photos/a.png", "--names", NAMES, "--formats", "forest") == 0
    before = (place / "photos/a.forest.json").read_bytes()
    for words, told in [
        (("--names", "red, green"), "names.vocabulary red, green, yellow, not red, green"),
        (("--names", "red, green, yellow"), "names.vocabulary_sha256"),
        (("--names", NAMES, "--name-threshold", 0.3), "names.threshold 0.5, not 0.3"),
        (("--names", NAMES, "--background", "blue"), "names.background ['cyan', 'pink'], not ['blue']"),
        (("--names", NAMES, "--synonyms", "mean"), "names.synonyms sum, not mean"),
        (("--find", NAMES), "names.find False, not True"),
        (("--names", NAMES, "--name-model", "other.onnx"), "names.model colours, not other"),
    ]:
        assert segment("photos/a.png", *words, "--formats", "forest") == 1
        assert told in capsys.readouterr().err
    assert main(["segment", *QUICK, "photos/a.png", "--formats", "forest"]) == 1  # and one without names
    assert "was made with supervision captions, not none" in capsys.readouterr().err
    assert (place / "photos/a.forest.json").read_bytes() == before


def test_names_from_a_file_and_a_list(place):
    (place / "names.txt").write_text("# of colours\nred/crimson\ngreen\nyellow\n")
    assert segment("photos/a.png", "-o", "file", "--names-file", "names.txt", "--formats", "forest") == 0
    assert segment("photos/a.png", "-o", "said", "--names", NAMES, "--formats", "forest") == 0
    assert (place / "file/a.forest.json").read_bytes() == (place / "said/a.forest.json").read_bytes()
    assert segment("photos/a.png", "-o", "voc", "--names", "voc", "--formats", "labels,forest") == 0
    assert read_forest(place / "voc/a.forest.json")[1]["model"]["names"]["vocabulary"] == "voc"


def test_synonyms_name_what_nobody_calls_so(place):
    """The photo's red is called a thing, which says nothing to this language, but for its synonym."""
    assert OTHERS["scarlet"] == "red"
    assert segment("photos/a.png", "-o", "out", "--names", "thing/scarlet, green, yellow", "--formats", "forest") == 0
    assert told_at(read_forest(place / "out/a.forest.json")[0], 18, 20) == "thing"


def test_templates(place):
    (place / "templates.txt").write_text("a photo of the {}\n")
    words = ("photos/a.png", "--names", NAMES, "--formats", "forest", "--templates", "templates.txt")
    assert segment(*words, "-o", "out") == 0
    assert told_at(read_forest(place / "out/a.forest.json")[0], 18, 20) == "red"


def test_names_and_categories_together(place):
    vectors = np.random.default_rng(0).normal(size=(40, 96)).astype(np.float32)
    from hedgerow.backbones import open_backbone

    dims = open_backbone("texture").features(np.zeros((1, 16, 16, 3), np.uint8)).shape[-1]
    vectors = np.random.default_rng(0).normal(size=(40, dims)).astype(np.float32)
    (place / "sorted").mkdir()
    card = {
        "supervision": "none",
        "most_segments": 8,
        "backbone": {"asked": "texture", "name": "texture", "supervision": "none", "weights_sha256": None},
    }
    write_categories(place / "sorted", fit_categories(vectors, 2, dims=4, seed=0), card)
    words = ("photos/a.png", "-o", "out", "--names", NAMES, "--categories", "sorted")
    assert segment(*words, "--formats", "forest,labels,overlay") == 0
    forest, header = read_forest(place / "out/a.forest.json")
    assert told_at(forest, 18, 20) == "red"
    assert forest.category is not None
    assert set(header["model"]) >= {"names", "categories"}
    assert (place / "out/a.labels.json").is_file(), "labels are of names where there are both"


def test_many_processes_name_alike(place, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(place)
    monkeypatch.setenv("HEDGEROW_CACHE", str(place / "kept"))
    words = ("photos", "--names", NAMES, "--formats", "forest,labels", "--quiet")
    for workers in (1, 2):
        assert segment(*words, "-o", str(workers), "--workers", workers) == 0
    for name in ("a.forest.json", "b.labels.png", "b.labels.json"):
        assert (place / "1" / name).read_bytes() == (place / "2" / name).read_bytes()


# ---------------------------------------------------------------------- what is looked for


def test_find(place, capsys):
    words = ("--find", "the red car", "--background", "green, yellow, blue, pink")
    assert segment("photos", "-o", "out", *words, "--formats", "forest,overlay,labels") == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    forest = read_forest(place / "out/a.forest.json")[0]
    found = f"{len(forest)} region{'s' if len(forest) > 1 else ''} found: the red car, "
    assert first.startswith(f"photos/a.png: {found}")
    assert set(forest.name) == {"the red car"}
    whole = np.zeros((48, 64), bool)
    whole[8:32, 6:30] = True
    assert max(forest.iou(type(forest).from_masks([whole]))[:, 0]) > 0.8
    assert second.startswith("photos/b.png: nothing found of the red car, ")
    nothing, header = read_forest(place / "out/b.forest.json")
    assert len(nothing) == 0
    assert header["model"]["names"]["find"] is True
    assert json.loads((place / "out/b.labels.json").read_text())["names"] == []
    with Image.open(place / "out/b.labels.png") as image:
        assert not np.asarray(image).any()
    assert segment("photos/b.png", "-o", "two", "--find", "a blue thing, lemon", "--formats", "forest") == 0
    assert "found: a blue thing, " in capsys.readouterr().out


# ---------------------------------------------------------------------- what cannot be asked for


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--names", "red, red"), 2, 'has "red" a second time'),
        (("--names", ""), 2, "no name was given"),
        (("--names", "red,,green"), 2, "--names: name 2 is empty"),
        (("--find", "red,,green"), 2, "--find: name 2 is empty"),
        (("--names-file", "none.txt"), 1, "none.txt: cannot be read"),
        (("--names", "red", "--find", "red"), 2, "give one of --names, --names-file, --find, got --names and --find"),
        (("--find", "red", "--background", "none"), 1, "'red' alone is compared with nothing"),
        (("--names", "red, green", "--name-threshold", "1.5"), 2, "--name-threshold lies in 0 ... 1, got 1.5"),
        (("--names", "red, green", "--name-threshold", "nan"), 2, "--name-threshold lies in 0 ... 1, got nan"),
        (("--names", "red, green", "--background", "sky,,"), 1, "words separated by commas, or none"),
        (("--names", "red, green", "--templates", "none.txt"), 1, "cannot read none.txt"),
        (("--names", "red, green", "--name-model", "none.onnx"), 1, "no such file: none.onnx"),
        (("--names", "red, green", "--name-model", "clip"), 2, "no language 'clip'; there are embedded, FILE.onnx"),
        (("--names", "red, green", "--name-model", "hub:./none"), 1, "no such file or folder: ./none"),
        (("--name-threshold", "0.2"), 2, "--name-model goes with --names, --names-file or --find"),
        (("--formats", "labels"), 2, "--name-model goes with --names"),
    ],
)
@pytest.mark.usefixtures("place")
def test_mistakes_are_told_in_one_line(words, status, told, capsys, place):
    assert segment("photos/a.png", "-o", "out", *words) == status
    err = capsys.readouterr().err
    assert told in err
    assert len(err.splitlines()) == 1
    assert not (place / "out").exists(), "nothing is made of what makes no sense"


@pytest.mark.usefixtures("place")
def test_options_of_names_without_names(capsys):
    for words, told in [
        (("--background", "sky"), "--background goes with --names, --names-file or --find"),
        (("--synonyms", "mean"), "--synonyms goes with"),
        (("--templates", "x"), "--templates goes with"),
        (("--formats", "labels"), "label maps are of names or categories: give --names, or --categories"),
    ]:
        assert main(["segment", "photos/a.png", "-o", "out", *words]) == 2
        assert told in capsys.readouterr().err
