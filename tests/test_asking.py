"""Questions about one photo: what is at a point, what fits a box."""

import numpy as np
import pytest
from PIL import Image

from hedgerow.cli import main
from hedgerow.forest import MaskForest

QUICK = ["--explore.grains", "200", "--explore.zoom.windows", "0", "--max-masks", "60"]


@pytest.fixture
def photo(tmp_path):
    """A thing with a part on the left, another thing on the right."""
    pixels = np.full((90, 120, 3), 90, np.uint8)
    pixels[20:70, 10:60] = (220, 40, 40)
    pixels[30:50, 20:40] = (250, 230, 60)
    pixels[30:80, 80:110] = (40, 60, 220)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def told(capsys, *words):
    code = main(["segment", *map(str, words), *QUICK])
    out = capsys.readouterr()
    return code, out.out.splitlines(), out.err


def test_a_point_tells_its_path_and_a_box_its_region(photo, capsys):
    code, lines, _ = told(capsys, photo, "--points", "30,40", "95,60", "--box", "78,30,111,81")
    assert code == 0
    heads = [place for place, line in enumerate(lines) if line.startswith(("at ", "in "))]
    assert [lines[place].partition(":")[0] for place in heads] == ["at 30,40", "at 95,60", "in 78,30,111,81"]
    path = [line.split() for line in lines[heads[0] + 1 : heads[1]]]
    rows = [int(words[1].rstrip(":")) for words in path]
    assert len(rows) >= 2, "the part and the thing"
    assert [int(words[-1]) for words in path[:-1]] == rows[1:], "each is part of the next"
    share = [float(words[2].rstrip("%")) for words in path]
    assert share == sorted(share)
    assert min(abs(one - 400 / 108) for one in share) < 0.6, "the part; a piece of it may come before"
    assert " 13.9%" in lines[heads[2] + 1], "50 x 30 pixels"
    assert (photo.parent / "photo.asked.overlay.png").exists()
    code, again, _ = told(capsys, photo, "--points", "30,40")
    assert code == 0
    assert "finished before" in again[0]
    assert again[1 : 1 + len(path)] == lines[heads[0] : heads[0] + len(path)], "asking again explores nothing again"
    code, _, _ = told(capsys, photo.parent, "-o", photo.parent / "out")
    assert code == 0
    assert [path.name for path in (photo.parent / "out").glob("*.forest.json")] == ["photo.forest.json"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--points", "30"], "--points takes X,Y, pixels of the photo, got '30'"),
        (["--points", "a,b"], "--points takes X,Y, pixels of the photo, got 'a,b'"),
        (["--points=-1,4"], "--points takes X,Y"),
        (["--points", "500,4"], "500,4 lies outside of photo.png, which has 120x90 pixels"),
        (["--box", "5,5,5,9"], "something in between"),
        (["--box", "1,2,3"], "--box takes LEFT,TOP,RIGHT,BOTTOM"),
        (["--points", "3,4", "--formats", "overlay"], "answered from the forest"),
        (["--tiles", "64"], "--tiles goes with --model"),
    ],
)
def test_questions_that_cannot_be_answered(photo, capsys, words, wanted):
    code, _, error = told(capsys, photo, *words)
    assert code in (1, 2)
    assert wanted in error
    assert error.count("\n") == 1


def test_questions_are_about_one_photo(photo, capsys):
    Image.open(photo).save(photo.parent / "other.png")
    code, _, error = told(capsys, photo.parent, "-o", photo.parent / "out", "--points", "3,4")
    assert code == 2
    assert "ask about one photo, got 2" in error


def test_how_boxes_fit():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, 2:6, 2:6] = masks[1, 0:2, 0:2] = True
    fit = MaskForest.from_masks(masks).fit(2, 2, 6, 10)
    assert fit.tolist() == [0.5, 0.0]
