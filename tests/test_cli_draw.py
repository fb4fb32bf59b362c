"""hedgerow draw: every kind of picture, of forests and of photos, and colours that hold still."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

import hedgerow
from hedgerow import draw
from hedgerow.cli import main
from hedgerow.forest import MaskForest
from hedgerow.formats import write_forest
from hedgerow.palette import path_colours

MODEL = {"name": "felt by hand", "supervision": "none", "weights_sha256": None}
SIZE = (48, 64)


def a_photo(seed=0):
    rng = np.random.default_rng(seed)
    pixels = np.full((*SIZE, 3), (40, 70, 50), float)
    pixels[8:40, 10:44], pixels[12:24, 14:26] = (220, 180, 60), (200, 60, 40)
    return (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)


def a_forest():
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 8:40, 10:44] = masks[1, 12:24, 14:26] = masks[2, :, 50:] = True
    return MaskForest.from_masks(masks, parent=[-1, 0, -1], score=[0.9, 0.5, 0.3])


@pytest.fixture
def results(tmp_path):
    for key in ("june/1", "b"):
        (tmp_path / "photos" / key).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(a_photo()).save(tmp_path / "photos" / f"{key}.png")
        (tmp_path / "out" / key).parent.mkdir(parents=True, exist_ok=True)
        write_forest(tmp_path / "out" / f"{key}.forest.json", a_forest(), f"{key.rpartition('/')[2]}.png", MODEL)
    return tmp_path


def run(*words):
    return main([*map(str, words)])


def opened(path):
    return np.asarray(Image.open(path))


def test_every_kind_of_a_folder(results, capsys):
    kinds = "overlay,outlines,tree,levels,features,refined,sheet"
    words = ["draw", results / "out", "--photos", results / "photos", "-o", results / "pictures", "--kind", kinds]
    assert run(*words) == 0
    assert capsys.readouterr().out.startswith("2 of 2 photos drawn, in ")
    found = {path.relative_to(results / "pictures").as_posix() for path in (results / "pictures").rglob("*.png")}
    each = [kind for kind in kinds.split(",") if kind != "sheet"]
    assert found == {f"{key}.{kind}.png" for key in ("june/1", "b") for kind in each} | {"sheet.png"}
    picture = results / "pictures" / "june" / "1.overlay.png"
    assert np.array_equal(opened(picture), draw.overlay(a_photo(), a_forest()))
    assert np.array_equal(opened(picture.with_name("1.tree.png")), draw.tree(a_photo(), a_forest()))
    before = picture.read_bytes()
    assert run(*words) == 0
    assert picture.read_bytes() == before


def test_a_run_says_where_its_photos_are(results):
    folder = results / "run"
    words = ["segment", results / "photos", "-o", folder, "--formats", "forest", "--max-masks", "20", "--quiet"]
    quick = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--workers", "1"]
    assert run(*words, *quick) == 0
    assert run("draw", folder, "-o", results / "drawn", "--quiet") == 0
    assert (results / "drawn" / "june" / "1.overlay.png").is_file()
    shutil.rmtree(results / "photos")
    assert run("draw", folder, "-o", results / "drawn", "--quiet") == 1


def test_one_photo_is_drawn_from_the_forest_beside_it_or_explored(results):
    photo, picture = results / "photos" / "b.png", results / "b.png"
    assert run("draw", photo, "-o", picture, "--quiet", "--max-masks", "5") == 0
    explored = opened(picture)
    shutil.copy(results / "out" / "b.forest.json", results / "photos")
    assert run("draw", photo, "-o", picture, "--quiet") == 0
    assert np.array_equal(opened(picture), draw.overlay(a_photo(), a_forest()))
    assert explored.shape == opened(picture).shape


def test_sheets_go_on_when_they_are_full(results):
    words = ["draw", results / "out", "--photos", results / "photos", "-o", results / "s", "--kind", "sheet"]
    assert run(*words, "--columns", "1", "--quiet") == 0
    assert sorted(path.name for path in (results / "s").iterdir()) == ["sheet-000.png", "sheet-001.png"]


def test_a_bad_photo_ends_it_unless_it_may_go_on(results, capsys):
    (results / "photos" / "b.png").write_bytes(b"\x89PNG\r\n")
    words = ["draw", results / "out", "--photos", results / "photos", "-o", results / "d", "--quiet"]
    assert run(*words) == 1
    assert "b.png" in capsys.readouterr().err
    assert run(*words, "--keep-going") == 0
    assert "1 of 2 photos could not be done" in capsys.readouterr().err
    assert (results / "d" / "june" / "1.overlay.png").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["draw", "out"], "pictures need a place: -o OUT"),
        (["draw", "-o", "x"], "nothing to draw was named"),
        (["draw", "out", "-o", "x", "--kind", "cartoon"], "--kind takes overlay,outlines,tree,levels,"),
        (["draw", "photos", "-o", "x.png"], "2 pictures need a folder, not x.png"),
        (["draw", "photos/b.png", "-o", "x.png", "--kind", "tree,levels"], "2 pictures need a folder"),
        (["draw", "out/b.forest.json", "-o", "x"], "no photo b.png is beside it or where its run found it"),
        (["draw", "out", "-o", "x", "--columns", "0"], "--columns is at least 1"),
    ],
)
def test_mistakes_are_told_in_one_line(results, words, says, capsys, monkeypatch):
    monkeypatch.chdir(results)
    assert run(*words) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_forest_of_another_photo_is_told(results, capsys):
    Image.new("RGB", (9, 9)).save(results / "photos" / "b.png")
    assert run("draw", results / "out", "--photos", results / "photos", "-o", results / "d", "--quiet") == 1
    assert "is it of another photo?" in capsys.readouterr().err


# ---------------------------------------------------------------------- lines and colours


def test_a_colour_hangs_on_a_region_and_what_it_is_part_of():
    forest = a_forest()
    whole = path_colours(forest.rles, forest.parent)
    fewer = forest.select([0, 1])
    assert np.array_equal(path_colours(fewer.rles, fewer.parent), whole[:2])
    alone = forest.select([1])
    assert not np.array_equal(path_colours(alone.rles, alone.parent), whole[1:2])  # part of nothing: another path
    assert path_colours((), np.zeros(0, int)).shape == (0, 3)


def test_lines_are_in_the_colours_of_their_regions():
    forest, pixels = a_forest(), a_photo()
    picture = draw.contours(pixels, forest, written=False)
    assert picture.shape == (750, 1000, 3)  # enlarged, so that what is written can be read
    colours, scale = path_colours(forest.rles, forest.parent), 1000 / 64
    for row, (y, x) in enumerate(((30, 10), (18, 14), (30, 50))):  # on the left border of each
        there = picture[int(y * scale), int(x * scale) - 2 : int(x * scale) + 3]
        assert np.abs(there.astype(int) - colours[row]).max(1).min() < 12
    assert not np.array_equal(picture, draw.contours(pixels, forest))  # rows are written in them
    one = draw.contours(pixels, forest, rows=np.array([2]), written=False)
    assert np.array_equal(one[:, 830:], picture[:, 830:])


def test_whatever_a_photo_may_be_is_drawn(tmp_path):
    pixels, forest = a_photo(), a_forest()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ways = (Image.fromarray(pixels), tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes())
    for given in ways:
        assert np.array_equal(hedgerow.overlay(given, forest), hedgerow.overlay(pixels, forest))
        assert np.array_equal(hedgerow.tree(given, forest), hedgerow.tree(pixels, forest))
        assert np.array_equal(hedgerow.contours(given, forest), hedgerow.contours(pixels, forest))
        levels = forest.levels(3)
        assert np.array_equal(hedgerow.level_strip(given, levels), hedgerow.level_strip(pixels, levels))
