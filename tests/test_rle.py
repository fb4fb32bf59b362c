"""Run lengths against pycocotools, and text that would make pycocotools read out of bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from hedgerow import rle

masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def text(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]


@settings(max_examples=80, deadline=None)
@given(masks, st.data())
def test_run_lengths_are_those_of_pycocotools(mask, data):
    counts, (height, width) = text(mask), mask.shape
    runs = rle.lengths(counts)
    assert runs.sum() == mask.size
    assert runs[1::2].sum() == mask.sum()
    assert rle.sound(counts, mask.shape) == counts
    assert rle.compressed(runs.tolist(), mask.shape) == counts
    left, right = sorted(data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2)))
    assert np.array_equal(rle.band(runs, height, left, right), mask[:, left:right])


@settings(max_examples=60, deadline=None)
@given(masks, st.data())
def test_runs_of_no_pixel_are_taken_out(mask, data):
    runs = rle.lengths(text(mask)).tolist()
    for _ in range(data.draw(st.integers(1, 3))):
        k = data.draw(st.integers(0, len(runs)))
        runs[k:k] = [0, 0]
    assert rle.compressed(runs, mask.shape) == text(mask)
    padded = coco.frPyObjects({"size": list(mask.shape), "counts": runs}, *mask.shape)["counts"]
    assert rle.sound(padded, mask.shape) == text(mask)


def test_long_runs_need_all_their_digits():
    size = (2**15, 2**15)
    runs = [0, 2**29, 1, 2**29 - 2, 1]
    assert rle.lengths(rle.compressed(runs, size)).tolist() == runs


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=20) | st.text("0123456789:;<=>?@PQRSTUo", max_size=20).map(str.encode))
def test_any_text_is_sound_or_refused(counts):
    try:
        tidy = rle.sound(counts, (5, 4))
    except ValueError as error:
        told = str(error)
        assert "\n" not in told
    else:
        assert coco.decode({"size": [5, 4], "counts": tidy}).shape == (5, 4)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        (b"", "not COCO's compressed text"),
        (b"\x00", "not COCO's compressed text"),
        (b"p", "not COCO's compressed text"),
        (b"P", "in the middle of a number"),
        (b"oooooooo0", "too many digits"),
        (b"O", "below zero"),
        (b"52", "do not add up to the 20 pixels of a 4x5 photo"),
        (b"ooooooO" * 3, "below zero"),
        (b"oooooo?" * 1000, "do not add up"),
    ],
)
def test_damaged_text_is_refused(counts, says):
    with pytest.raises(ValueError, match=says):
        rle.sound(counts, (5, 4))


@pytest.mark.parametrize("runs", [[], [[20]], [10.0, 10], [-1, 21], ["20"], [2**63, 1], [10**30], [None], [2**62] * 4])
def test_damaged_lists_are_refused(runs):
    with pytest.raises(ValueError, match=r"whole numbers|do not add up"):
        rle.compressed(runs, (5, 4))


def test_a_photo_too_large_is_refused():
    with pytest.raises(ValueError, match="at most"):
        rle.sound(b"0", (2**20, 2**20))
