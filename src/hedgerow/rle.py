"""COCO's compressed run lengths, read: are they sound, and what do they show in a band of columns.

In: the compressed text of one mask. Out: its run lengths, the same text proved safe, or a few columns of the mask.
pycocotools trusts the text it is given and reads or writes out of bounds where that is wrong, so text from a file goes
through `sound` first. A band decodes a small region of a large photo without the rest of it.

The text: six bits a character from chr(48) up, five of value and one that says the number goes on, lowest first, the
last one signed; from the fourth number on, the difference to the number two before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from hedgerow.native import library

MOST_PIXELS = 2**30  # a gigapixel: pycocotools counts in 32 bits, and a mask that is decoded takes a byte a pixel
MOST_TEXT = 2**28  # characters: keeps the sums of lengths below inside 64 bits
LONGEST = 7  # characters a number: 35 bits hold the difference of any two 32-bit lengths
WRONG = (
    "the run lengths are not COCO's compressed text",
    "the run lengths end in the middle of a number",
    "a run length has too many digits",
    "a run length is below zero",
)


def sound(counts: bytes, size: tuple[int, int]) -> bytes:
    """The text of a mask of this (H, W), proved to be one; runs of no pixel, which pycocotools misreads, are gone."""
    return _tidy(counts, lengths(counts), size)


def compressed(runs: Sequence[int] | np.ndarray, size: tuple[int, int]) -> bytes:
    """Plain run lengths, zeros first, as text; the same proof."""
    values = np.asarray(runs)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError("run lengths must be whole numbers from 0 up")
    # what no photo can hold is cut short, so that sums stay inside 64 bits; the proof refuses it all the same
    return _tidy(None, np.minimum(values, 2 * MOST_PIXELS).astype(np.int64), size)


def lengths(counts: bytes) -> np.ndarray:
    """(R,) int64 run lengths of a mask, column by column, zeros and ones in turn, zeros first."""
    return lengths_of_all([counts])[0]


def lengths_of_all(masks: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """(R,) run lengths of one mask after the other, and (N,) how many each has."""
    text = np.frombuffer(b"".join(masks), np.uint8)
    if not all(masks) or len(text) >= MOST_TEXT:
        raise ValueError(WRONG[0])
    runs, count = np.empty(len(text), np.int64), np.empty(len(masks), np.int64)
    ends = np.cumsum([len(counts) for counts in masks], dtype=np.int64)
    filled = library().hedgerow_runs(len(masks), text, ends, LONGEST, runs, count)
    if filled < 0:
        raise ValueError(WRONG[-1 - filled])
    return runs[:filled].copy(), count


def unions(
    labels: np.ndarray, inside: np.ndarray, size: tuple[int, int] | None = None, top: int = 0, left: int = 0
) -> tuple[bytes, ...]:
    """Unions of the parts of a partition: labels (H, W) int32 in 0..L-1, or -1, inside (N, L) bool -> N texts.

    With `size` the texts are of a photo that large, in which the labels fill a window from (top, left) on.
    """
    height, width = size or labels.shape
    above, below = top, height - top - labels.shape[0]
    before, after = left * height, (width - left - labels.shape[1]) * height
    if min(above, below, before, after) < 0:
        raise ValueError(f"labels {labels.shape} from ({top}, {left}) on do not fit into a photo {(height, width)}")
    inside = np.ascontiguousarray(inside, np.uint8)
    labels = np.ascontiguousarray(labels, np.int32)
    # holds any one text: at worst two characters a pixel, and two long numbers where a column of the window ends
    text = np.empty(max(2**20, 2 * labels.size + 2 * 8 * labels.shape[1] + 64), np.uint8)
    ends = np.empty(len(inside), np.int64)
    texts: list[bytes] = []
    while len(texts) < len(inside):
        rest = inside[len(texts) :]
        done = library().hedgerow_paint(
            *labels.shape, labels, above, below, before, after, *rest.shape[::-1], rest, text, len(text), ends
        )
        if done < 1:
            raise MemoryError("no memory for the masks of a photo")
        starts = np.concatenate(([0], ends[: done - 1]))
        texts += [text[start:end].tobytes() for start, end in zip(starts, ends[:done], strict=True)]
    return tuple(texts)


def band(runs: np.ndarray, height: int, left: int, right: int) -> np.ndarray:
    """(H, right - left) bool: these columns of a mask `height` pixels high."""
    ends = np.clip(runs.cumsum(), left * height, right * height)
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, np.diff(ends, prepend=left * height)).reshape(right - left, height).T


def _tidy(counts: bytes | None, runs: np.ndarray, size: tuple[int, int]) -> bytes:
    height, width = size
    if height * width > MOST_PIXELS:
        raise ValueError(f"a photo has at most {MOST_PIXELS} pixels, got {width}x{height}")
    pixels = height * width
    if runs.max() > pixels or runs.sum() != pixels:
        raise ValueError(f"the run lengths do not add up to the {pixels} pixels of a {width}x{height} photo")
    if counts is not None and runs[1:].all():
        return counts
    ends, times = np.unique(runs.cumsum()[:-1], return_counts=True)
    turns = ends[(times % 2 == 1) & (ends < pixels)]  # two turns at one pixel are none
    plain = np.diff(turns, prepend=0, append=pixels)
    return coco.frPyObjects({"size": [height, width], "counts": plain.tolist()}, height, width)["counts"]
