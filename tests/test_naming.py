"""Names for regions: words and regions in one space, what is kept of them, files that are proved, pictures.

The language here sees colours and reads their names (`made_language.py`), so what is right is known.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import chain

import numpy as np
import pytest
from PIL import Image

import hedgerow
from hedgerow.backbones import FeatureMap
from hedgerow.config import CallerError
from hedgerow.draw import name_colours, name_overlay
from hedgerow.draw.names import places
from hedgerow.forest import MaskForest
from hedgerow.naming import (
    Names,
    name_map,
    name_regions,
    open_language,
    open_naming,
    say_names,
    say_words,
    vocabulary_of,
)
from hedgerow.naming.cache import MOST, cache_folder, kept_rows
from hedgerow.naming.matching import calibrated
from hedgerow.naming.prompts import TEMPLATES, read_background, read_templates, sentences
from made_language import COLOURS, DIM, write_language
from references import naming as slow


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """What is read is kept in a folder of the test's own."""
    monkeypatch.setenv("HEDGEROW_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_language(tmp_path_factory.mktemp("language") / "colours.onnx", groups=True)


@pytest.fixture
def language(file):
    return open_language(str(file))


def scene() -> tuple[np.ndarray, MaskForest]:
    """Green with a red square in it, whose corner is yellow, and a pink one: wholes and parts of several colours."""
    pixels = np.empty((40, 60, 3), np.uint8)
    pixels[:] = COLOURS["green"]
    masks = np.zeros((4, 40, 60), bool)
    masks[0] = True
    for row, (top, left, bottom, right, colour) in enumerate(
        [(4, 4, 28, 28, "red"), (4, 4, 12, 12, "yellow"), (20, 36, 36, 56, "pink")], start=1
    ):
        masks[row, top:bottom, left:right] = True
        pixels[top:bottom, left:right] = COLOURS[colour]
    return pixels, MaskForest.from_masks(masks, parent=[-1, 0, 1, 0], score=[0.5, 0.9, 0.7, 0.8])


def named(language, names: str, **options) -> MaskForest:
    pixels, forest = scene()
    return open_naming(vocabulary_of(names), language, **options)(forest, pixels)


# ---------------------------------------------------------------------- names of regions


def test_each_region_gets_what_it_is(language):
    """A part has another name than its whole, and what is background (pink is, here) has none."""
    forest = named(language, "red, green, blue, yellow")
    assert forest.name == ("green", "red", "yellow", "")
    assert (forest.name_score[:3] > 0.9).all()
    assert forest.name_score[3] == 0
    assert named(language, "red, green, blue, yellow, pink").name == ("green", "red", "yellow", "pink")
    assert named(language, "red, green, blue, yellow", background="none", threshold=0).name[3] in ("red", "blue")


def test_a_name_in_doubt_is_none(language):
    """Pink is as near to red as to blue: either has a probability of a half."""
    options = {"background": "none"}
    sure = named(language, "red, blue", **options, threshold=0).name_score
    assert sure[3] == pytest.approx(0.5, abs=0.01)
    assert sure[1] > 0.99
    assert named(language, "red, blue", **options, threshold=0.6).name[1:] == ("red", "red", "")
    assert "" not in named(language, "red, blue", **options, threshold=0).name


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_equal_those_by_hand(seed):
    rng = np.random.default_rng(seed)

    def units(count):
        rows = rng.normal(size=(count, 5))
        return list((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))

    ways, behind, vectors = [units(int(n)) for n in rng.integers(1, 4, 4)], units(2), np.array(units(6))
    owner = np.concatenate([np.repeat(np.arange(4), [len(words) for words in ways]), [4, 5]])
    names = Names(("a", "b", "c", "d"), np.array([*chain(*ways), *behind]), owner, 7.0)
    expected = np.array([slow.probabilities(vector, ways, behind, 7.0) for vector in vectors])
    np.testing.assert_allclose(names.probabilities(vectors), expected, atol=1e-5)
    best, score = names.best(vectors)
    for row, told in enumerate(expected):
        first = int(told[:4].argmax())
        assert best[row] == (first if told[first] >= told[4:].max() else -1)
        assert score[row] == pytest.approx(told[first], abs=1e-5)


def test_calibration_by_hand():
    """Odds of 1, doubled in logarithms, stay 1; log 3 more makes them 3, which is 0.75. Odds of 3 become 9 * 3."""
    assert calibrated(np.array([0.5, 0.75]), (2.0, float(np.log(3)))) == pytest.approx([0.75, 27 / 28], abs=1e-6)
    assert calibrated(np.array([0.0, 0.3, 1.0]), (1.0, 0.0)) == pytest.approx([0, 0.3, 1], abs=1e-6)


def test_a_card_calibrates(tmp_path, language):
    doubting = open_language(str(write_language(tmp_path / "doubting.onnx", calibration=[1.0, -12.0])))
    assert named(doubting, "red, green").name == ("", "", "", "")
    told = named(doubting, "red, green", threshold=0).name_score
    before = named(language, "red, green", threshold=0).name_score.astype(float)
    odds = before / (1 - before) * np.exp(-12)
    np.testing.assert_allclose(told[:2], (odds / (1 + odds))[:2], rtol=0.05)
    modest = open_language(str(write_language(tmp_path / "modest.onnx", threshold=1.0)))
    assert named(modest, "red, green").name == ("", "", "", "")


def test_ways_to_say_it_add_up_or_the_best_counts_or_their_mean(language):
    """Red, or yellow; what is red is as near to one of them as can be, and some way off their mean."""
    asked = vocabulary_of("red/yellow, pink")
    both, best, mean = (say_names(language, asked, background=(), synonyms=way) for way in ("sum", "max", "mean"))
    red, yellow, pink = language.text(["red", "yellow", "pink"])
    assert (len(both.rows), len(best.rows), len(mean.rows)) == (3, 3, 2)
    odds = np.exp(10 * np.array([red @ red, red @ yellow, red @ pink]))
    assert both.probabilities(red[None])[0] == pytest.approx(
        np.array([odds[0] + odds[1], odds[2]]) / odds.sum(), abs=1e-3
    )
    for names, near in ((best, red @ red), (mean, red @ mean.rows[0])):
        odds = np.exp(10 * np.array([near, red @ pink]))
        assert names.probabilities(red[None])[0] == pytest.approx(odds / odds.sum(), abs=1e-3)
    assert red @ mean.rows[0] == pytest.approx(yellow @ mean.rows[0], abs=1e-3)
    assert red @ mean.rows[0] < 0.9
    with pytest.raises(CallerError, match="synonyms are sum, max, mean, got 'least'"):
        open_naming(asked, language, synonyms="least")


def test_what_was_hardly_met_is_hardly_an_answer(tmp_path):
    """Of 10 photos 4 mention red, cars and the; none lemon. A weight of 2 squares the shares."""
    met = {"photos": 10, "weight": 2.0, "words": {"red": 4, "the": 9, "car": 4, "yellow": 1}}
    language = open_language(str(write_language(tmp_path / "met.onnx", met=met)))
    names = say_names(language, vocabulary_of("the red car/cars, yellow, lemon"), background=())
    shares = np.array([4.5, 4.5, 1.5, 0.5]) / 10
    np.testing.assert_allclose(names.prior, 2 * np.log(shares), rtol=1e-6)
    yellow = language.text(["yellow"])
    odds = np.exp(10 * (yellow @ names.rows.T)[0]) * shares**2
    expected = np.array([odds[0] + odds[1], odds[2], odds[3]]) / odds.sum()
    np.testing.assert_allclose(names.probabilities(yellow)[0], expected, rtol=1e-4)
    assert expected[1] / expected[2] == pytest.approx(9, rel=1e-3)  # the same colour, met three times as often, squared


def test_a_background_leaves_out_what_is_asked_for(language):
    naming = open_naming(vocabulary_of("red, Rosy/PINK"), language, background="pink, cyan, cyan, blue")
    assert naming.settings["background"] == ["cyan", "blue"]
    with pytest.raises(CallerError, match="'red' alone is compared with nothing"):
        open_naming(vocabulary_of("red"), language, background="none")
    assert read_background(" none ") == ()
    with pytest.raises(CallerError, match="words separated by commas, or none"):
        read_background("wall,,sky")


def test_features_decide_not_pixels(language):
    """Regions smaller than a patch, and no region at all."""
    names = say_names(language, vocabulary_of("red, green"))
    values = np.zeros((2, 2, DIM), np.float32)
    values[:] = language.text(["green"])[0]
    values[1, 1] = 5 * language.text(["red"])[0]
    masks = np.zeros((2, 40, 40), bool)
    masks[0, 39, 39], masks[1, 0, 0] = True, True
    found = name_regions(MaskForest.from_masks(masks), FeatureMap(values, (40, 40)), names, 0.5)
    assert found.name == ("red", "green")
    empty = name_regions(MaskForest((40, 40)), FeatureMap(values, (40, 40)), names, 0.5)
    assert (empty.name, len(empty.name_score)) == ((), 0)


# ---------------------------------------------------------------------- what is looked for


def test_finding_keeps_what_matches(language):
    forest = named(language, "the red car", find=True, background="green, yellow, pink, blue")
    assert (forest.name, forest.parent.tolist()) == (("the red car",), [-1])
    assert forest.areas.tolist() == [24 * 24]
    both = named(language, "a green thing, lemon", find=True, background="red, pink, cyan, blue")
    assert both.name == ("a green thing", "lemon")
    assert both.parent.tolist() == [-1, 0]  # what was in between does not match
    assert len(named(language, "blue", find=True, background="red, green, yellow, pink")) == 0


# ---------------------------------------------------------------------- maps


@pytest.mark.parametrize("seed", range(6))
def test_regions_vote_for_the_names_of_pixels(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((7, 9, 11)) < rng.uniform(0.2, 0.9, (7, 1, 1))
    told = [["", "a", "b", "c"][n] for n in rng.integers(0, 4, 7)]
    sure = np.where([bool(name) for name in told], rng.uniform(0.1, 1, 7), 0).astype(np.float32)
    score = rng.uniform(0.1, 1, 7).astype(np.float32)
    forest = MaskForest.from_masks(masks, score=score, name=told, name_score=sure)
    names = ["b", "unused", "c", "a"]
    np.testing.assert_array_equal(name_map(forest, names), slow.name_map(masks, score, told, sure, names))


def test_maps_without_names():
    assert (name_map(MaskForest((4, 5)), ["a"]) == -1).all()
    assert (name_map(MaskForest.from_masks(np.ones((1, 4, 5))), ["a"]) == -1).all()
    forest = MaskForest.from_masks(np.ones((1, 4, 5)), name=["b"])
    with pytest.raises(CallerError, match="named 'b', which is not among"):
        name_map(forest, ["a"])
    assert (name_map(forest, ["a", "b"]) == 1).all()  # a name of unknown certainty is taken for sure


# ---------------------------------------------------------------------- sentences


def test_sentences():
    assert sentences(["dog", "the red car"], ("{}", "a photo of a {}")) == [
        "dog",
        "a photo of a dog",
        "red car",
        "a photo of a red car",
    ]
    assert sentences(["a", "The"], ("{}",)) == ["a", "The"]
    assert all(template.count("{}") == 1 for template in TEMPLATES)


def test_a_word_is_the_mean_of_its_sentences(language):
    rows = say_words(language, ["red", "blue", "red"], ("{}", "the pink {}"))
    each = language.text(["red", "the pink red", "blue", "the pink blue"])
    for row, of in ((0, each[:2]), (1, each[2:]), (2, each[:2])):
        mean = of.mean(0)
        np.testing.assert_allclose(rows[row], mean / np.linalg.norm(mean), atol=1e-6)
    assert abs(rows[0] @ rows[1]) < 0.99


def test_templates_from_a_file(tmp_path, language):
    path = tmp_path / "templates.txt"
    path.write_text("# mine\na photo of a {}\n\n{}  # bare\na photo of a {}\n")
    assert read_templates(path) == ("a photo of a {}", "{}")
    bare = open_naming(vocabulary_of("red, blue"), language)
    mine = open_naming(vocabulary_of("red, blue"), language, templates=path)
    assert bare.settings["templates_sha256"] != mine.settings["templates_sha256"]
    for text, told in [("", "holds no template"), ("a photo", "got 'a photo'"), ("{} {}", "a template has one {}")]:
        path.write_text(text)
        with pytest.raises(CallerError, match=told):
            read_templates(path)
    path.write_bytes(b"\xff{}")
    with pytest.raises(CallerError, match="no text in UTF-8"):
        read_templates(path)
    with pytest.raises(CallerError, match="cannot read"):
        read_templates(tmp_path / "none.txt")


# ---------------------------------------------------------------------- kept by content


def test_a_vocabulary_is_read_once(file, kept, monkeypatch):
    first = open_naming(vocabulary_of("red, green"), str(file))
    assert len(list(kept.iterdir())) == 1
    monkeypatch.setattr("hedgerow.naming.own.OwnLanguage.text", lambda *_: pytest.fail("the text model ran"))
    again = open_naming(vocabulary_of("red, green"), str(file), threshold=0.9)
    np.testing.assert_array_equal(again.names.rows, first.names.rows)


@pytest.mark.parametrize(
    "changed", [("sha", ("{}",), ("a", "c")), ("sha", ("the {}",), ("a", "b")), ("other", ("{}",), ("a", "b"))]
)
def test_other_words_templates_or_weights_are_read_anew(changed):
    assert kept_rows("sha", ("{}",), ("a", "b"), lambda: np.eye(2)).tolist() == [[1, 0], [0, 1]]
    assert kept_rows("sha", ("{}",), ("a", "b"), lambda: pytest.fail("read again")).dtype == np.float32
    assert kept_rows(*changed, lambda: -np.eye(2)).tolist() == [[-1, 0], [0, -1]]


@pytest.mark.parametrize(
    "damage", [lambda c: c[:50], lambda c: c[:-40] + b"0" + c[-39:], lambda c: b"", lambda c: c * 2]
)
def test_what_is_damaged_is_made_again(kept, damage):
    kept_rows("sha", ("{}",), ("a", "b"), lambda: np.eye(2))
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert kept_rows("sha", ("{}",), ("a", "b"), lambda: 2 * np.eye(2)).tolist() == [[2, 0], [0, 2]]
    path.write_bytes(whole)
    assert kept_rows("sha", ("{}",), ("a", "b"), lambda: pytest.fail("whole")).tolist() == [[1, 0], [0, 1]]


def test_where_nothing_can_be_kept_it_is_read_each_time(tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("HEDGEROW_CACHE", str(tmp_path / "a file" / "below"))
    for _ in range(2):
        assert len(kept_rows("sha", ("{}",), ("a",), lambda: np.ones((1, 3)))) == 1


def test_the_oldest_go(kept):
    for number in range(MOST + 3):
        kept_rows("sha", ("{}",), (str(number),), lambda: np.ones((1, 3)))
        for age, path in enumerate(sorted(kept.iterdir(), key=lambda file: -file.stat().st_mtime_ns)):
            os.utime(path, (1e9 - age, 1e9 - age))
        kept_rows("sha", ("{}",), ("0",), lambda: np.ones((1, 3)))  # in use: it is not the oldest
    assert len(list(kept.iterdir())) == MOST
    kept_rows("sha", ("{}",), ("0",), lambda: pytest.fail("it went though it was in use"))


def test_where_things_are_kept(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "kept"
    monkeypatch.delenv("HEDGEROW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(cache_folder()) == "/x/hedgerow"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert str(cache_folder()) == "/h/.cache/hedgerow"


# ---------------------------------------------------------------------- files of ours


def test_what_a_language_sees_and_reads(language):
    pixels = np.zeros((41, 62, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = COLOURS["red"], COLOURS["blue"]
    seen = language.look(pixels)
    assert (seen.values.shape, seen.size) == ((10, 16, DIM), (41, 62))
    red, blue = language.text(["a red thing", "BLUE"])
    assert float(seen.values[3, 2] @ red / np.linalg.norm(seen.values[3, 2])) > 0.99
    assert float(seen.values[3, 14] @ blue / np.linalg.norm(seen.values[3, 14])) > 0.99
    whole = language.whole(pixels)
    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-5)
    assert whole @ red > 0.5 < whole @ blue
    np.testing.assert_allclose(language.groups(pixels).sum(-1), 1, atol=1e-5)
    assert language.text(["red", "red"]).shape == (2, DIM)
    together = language.text([*COLOURS, "a photo of the pink car"])
    np.testing.assert_allclose(together[: len(COLOURS)], language.text([*COLOURS]), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (900, 1200), (5000, 40)])
def test_photos_of_any_size_are_seen(language, size):
    values = language.look(np.zeros((*size, 3), np.uint8)).values
    assert 1 <= values.shape[0] * values.shape[1] <= 10_000


def test_size_is_the_cards_or_the_callers(tmp_path, file):
    pixels = np.zeros((80, 120, 3), np.uint8)
    carded = write_language(tmp_path / "carded.onnx", size=40, square=False)
    assert open_language(str(carded)).look(pixels).values.shape[:2] == (10, 15)
    assert open_language(f"{carded}?size=20").look(pixels).values.shape[:2] == (5, 8)
    square = write_language(tmp_path / "square.onnx", size=40, square=True)
    assert open_language(str(square)).look(pixels).values.shape[:2] == (10, 10)
    assert open_language(f"{file}?size=20").name == "colours?size=20"
    assert open_language(str(write_language(tmp_path / "bare.onnx"))).groups(pixels) is None


def test_long_sentences_are_cut(language):
    np.testing.assert_array_equal(language.text(["red " * 12]), language.text(["red " * 12 + "blue " * 50]))


@pytest.mark.parametrize(
    ("suffix", "told"),
    [
        (".onnx", "is not the file its card describes"),
        (".text.onnx", "is not the file its card describes"),
        (".tokenizer.json", "is not the file its card describes"),
    ],
)
def test_each_file_is_proved_before_it_is_used(tmp_path, suffix, told):
    path = write_language(tmp_path / "own.onnx")
    part = path.with_suffix(suffix)
    part.write_bytes(part.read_bytes() + b" ")
    with pytest.raises(CallerError, match=told) as error:
        named(open_language(str(path)), "red, green")
    assert part.name in str(error.value)
    part.unlink()
    with pytest.raises(CallerError, match="no such file") as error:
        named(open_language(str(path)), "red, green")
    assert part.name in str(error.value)


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({"kind": "backbone"}, "is a backbone, not a language: give it as --backbone"),
        ({"supervision": "labels"}, "learned from labels; names come of captions alone"),
        ({"patch": 0}, "at least 1"),
        ({"dim": DIM + 1}, f"of {DIM + 1} numbers"),
        ({"dim": "8"}, "dim should be of type int"),
        ({"scale": None}, "scale should be a number, got None"),
        ({"scale": -1}, "scale above 0"),
        ({"calibration": [1, "x"]}, "should be a number, got 'x'"),
        ({"calibration": [1]}, "calibration is two numbers"),
        ({"met": {"photos": 0, "weight": 1, "words": {}}}, "met tells photos, at least 1"),
        ({"met": {"photos": 9, "weight": 1, "words": {"dog": "many"}}}, "met tells photos"),
        ({"met": [1]}, "met tells photos"),
        ({"threshold": 2}, "a threshold between 0 and 1"),
        ({"templates": ["a photo"]}, "one {} each"),
        ({"templates": []}, "one {} each"),
        ({"background": [1]}, "background is a list of words"),
        ({"std": [0, 1, 1]}, "none of std's is 0"),
    ],
)
def test_a_card_that_cannot_be(tmp_path, card, told):
    path = write_language(tmp_path / "own.onnx", **card)
    with pytest.raises(CallerError) as error:
        named(open_language(str(path)), "red, green")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_something_else(tmp_path):
    path = write_language(tmp_path / "own.onnx")
    document = json.loads(path.with_suffix(".json").read_text())
    swapped = tmp_path / "swapped.onnx"  # the text model where the other one should be
    for suffix in (".onnx", ".text.onnx", ".tokenizer.json"):
        swapped.with_suffix(suffix).write_bytes(
            path.with_suffix(".text.onnx" if suffix == ".onnx" else suffix).read_bytes()
        )
    document["weights_sha256"] = document["text_sha256"]
    swapped.with_suffix(".json").write_text(json.dumps(document))
    with pytest.raises(CallerError, match=r"should take \{'pixels': 4\}"):
        named(open_language(str(swapped)), "red, green")
    for name, told in [
        ("nothing", "no language 'nothing'; there are embedded"),
        ("no.onnx", r"no.onnx \(a language is FILE.onnx, FILE.text.onnx, FILE.tokenizer.json, FILE.json\)"),
    ]:
        with pytest.raises(CallerError, match=told):
            open_language(name)
    with pytest.raises(CallerError, match="size is a number of pixels from 1 up"):
        open_language(f"{path}?size=0")
    with pytest.raises(CallerError, match="knows no option colour"):
        open_language(f"{path}?colour=red")


def test_words_that_cannot_be_read(language):
    with pytest.raises(CallerError, match="can read nothing of ''"):
        language.text(["red", ""])


def test_without_the_tokenizers_package(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(CallerError, match=r"install hedgerow with its extra \[names\]"):
        named(open_language(str(file)), "red, green")


def test_no_words_ship_until_they_do(monkeypatch, tmp_path):
    monkeypatch.setattr("hedgerow.naming.own.SHIPPED", str(tmp_path / "words.onnx"))
    with pytest.raises(CallerError, match="no words ship with this version yet: give --name-model"):
        open_language("embedded")
    write_language(tmp_path / "words.onnx")
    assert open_language("embedded").name == "words"


# ---------------------------------------------------------------------- in Python


def test_in_python(file, language):
    pixels, forest = scene()
    again = hedgerow.name(forest, pixels, "red, green, yellow", model=str(file))
    assert again.name == ("green", "red", "yellow", "")
    found = hedgerow.name(forest, pixels, ["red", "blue"], model=language, find=True, background="green, pink, yellow")
    assert found.name == ("red",)
    naming = hedgerow.open_naming(hedgerow.read_vocabulary("red, green"), language, threshold=1.0)
    assert hedgerow.name(forest, pixels, naming).name == ("",) * 4
    with pytest.raises(CallerError, match=r"of size \(20, 60\), its forest of \(40, 60\)"):
        hedgerow.name(forest, pixels[:20], naming)
    config = hedgerow.Explore(grains=60, max_masks=20)
    explored = hedgerow.segment(pixels, config=config, names=hedgerow.open_naming(vocabulary_of("red, pink"), language))
    told = [explored.name[explored.at(*point)[0]] for point in ((20, 20), (46, 28))]
    assert told == ["red", "pink"]


# ---------------------------------------------------------------------- pictures


def test_a_name_has_one_colour():
    one, other = name_colours(["dog", "grass", "person"]), name_colours(["sky", "dog", "Grass"])
    np.testing.assert_array_equal(one[:2], other[1:])
    assert len(np.unique(name_colours([f"n{number}" for number in range(12)]), axis=0)) == 12
    assert name_colours([]).shape == (0, 3)
    many = name_colours([f"n{number}" for number in range(1203)])
    np.testing.assert_array_equal(many[:5], name_colours([f"n{number}" for number in range(100)])[:5])


def test_names_are_written_where_there_is_room():
    """Inside of what they name, not over each other, and not at all where letters would be too small."""
    rng = np.random.default_rng(0)
    labels = np.full((300, 400), -1, np.int32)
    for name in range(6):
        top, left = rng.integers(0, 220), rng.integers(0, 280)
        labels[top : top + rng.integers(60, 130), left : left + rng.integers(80, 220)] = name
    labels[5:12, 380:395] = 6  # a speck
    names = ["sky", "dining table", "person", "grass", "a", "traffic light", "speck"]
    written = list(places(labels, names))
    assert "speck" not in [one.text for one in written]
    assert len(written) >= 4
    covered = np.zeros(labels.shape, int)
    for one in written:
        left, top, right, bottom = (round(side) for side in one.box)
        inside = labels[max(top, 0) : bottom, max(left, 0) : right]
        assert (inside == names.index(one.text)).mean() > 0.85
        covered[max(top, 0) : bottom, max(left, 0) : right] += 1
    assert covered.max() == 1


def test_letters_and_colours_of_a_picture():
    pixels = np.full((120, 160, 3), 128, np.uint8)
    labels = np.full((120, 160), -1, np.int32)
    labels[:, 80:] = 0
    shown = name_overlay(pixels, labels, ["grass"])
    assert shown.shape == pixels.shape
    np.testing.assert_allclose(shown[10, 10], 128, atol=2)  # what has no name stays as it is
    expected = 128 + 0.5 * (name_colours(["grass"])[0].astype(float) - 128)
    np.testing.assert_allclose(shown[4, 150], expected, atol=3)
    letters = shown[40:80, 90:150]
    assert (letters.min(-1) > 250).any(), "white letters"
    assert (letters.max(-1) < 40).any(), "a dark line around them"
    assert (name_overlay(pixels, np.full((120, 160), -1, np.int32), []) == 128).all()
    large = name_overlay(np.zeros((3000, 1500, 3), np.uint8), np.zeros((3000, 1500), np.int32), ["sky"])
    assert large.shape == (2048, 1024, 3)
    Image.fromarray(large)
