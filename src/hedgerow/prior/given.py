"""Masks made elsewhere, as they are painted: by a saliency network, by another program, by hand.

In: one picture (H, W) of 8 bits. Out: the masks it shows.

What values mean is read off the values, because the trainers of such masks do not agree on it (MaskContrast's takes 255
alone for an object, and 0 and 1 for nothing at all without a word):

    0 and one other value       that other is the object: 0/1, 0/255
    a palette, or none over 127 several objects, one a value; in a palette 255 among others is void
    any other grey              what is above half is the object
"""

from __future__ import annotations

import numpy as np

from hedgerow.prior.objects import connected

VOID, HALF = 255, 127


def given_masks(painted: np.ndarray, palette: bool = False, components: bool = False) -> list[np.ndarray]:
    """(H, W) uint8 or bool -> N masks (H, W) bool, the largest first; with `components` each connected part is one."""
    if painted.ndim != 2 or painted.dtype not in (np.uint8, bool):
        raise ValueError(f"a mask is (H, W) of 8 bits, got {painted.dtype} of shape {painted.shape}")
    values = [int(value) for value in np.unique(painted) if value]
    if len(values) > 1 and palette:
        values = [value for value in values if value != VOID]
    if len(values) < 2 or palette or values[-1] <= HALF:
        masks = [painted == value for value in values]
    else:
        masks = [painted > HALF]
    if components:
        masks = [part for mask in masks for part in connected(mask)]
    return sorted(masks, key=lambda mask: -int(mask.sum()))
