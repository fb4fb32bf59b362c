"""Names of pixels counted one by one; captions and photos sorted, and looked through from the front."""

import numpy as np


def iou(labels, told, row, asked):
    """Of the pixels of a class with those called so; pixels that are void, or none of those asked for, are nowhere."""
    both = either = there = 0
    for is_, called in zip(np.ravel(labels), np.ravel(told), strict=True):
        if 0 <= is_ < asked:
            both += is_ == row and called == row
            either += row in (is_, called)
            there += is_ == row
    return both / either if there else float("nan")


def accuracy(labels, told, asked):
    """Share of pixels that are right, and the mean over classes of the share of theirs."""
    right, known = np.zeros(asked), np.zeros(asked)
    for is_, called in zip(np.ravel(labels), np.ravel(told), strict=True):
        if 0 <= is_ < asked:
            known[is_] += 1
            right[is_] += is_ == called
    there = known > 0
    return right.sum() / known.sum(), (right[there] / known[there]).mean()


def recall(photos, captions, of, rank):
    """(photo to captions, caption to photos); what is as near as a right one goes before it."""
    cosines = np.array([[float(np.dot(photo, caption)) for caption in captions] for photo in photos])
    found = 0
    for photo, row in enumerate(cosines):
        order = sorted(range(len(captions)), key=lambda caption: (-row[caption], of[caption] == photo))
        found += any(of[caption] == photo for caption in order[:rank])
    back = 0
    for caption, column in enumerate(cosines.T):
        order = sorted(range(len(photos)), key=lambda photo: (-column[photo], of[caption] == photo))
        back += of[caption] in order[:rank]
    return found / len(photos), back / len(captions)
