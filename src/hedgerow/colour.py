"""Colour as the eye orders it. In: RGB uint8. Out: CIE Lab (D65) float32, L in 0..100."""

from __future__ import annotations

import numpy as np

# sRGB to XYZ (IEC 61966-2-1), each row divided by the white point D65
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])
_LEVEL = np.arange(256) / 255
LINEAR = np.where(_LEVEL <= 0.04045, _LEVEL / 12.92, ((_LEVEL + 0.055) / 1.055) ** 2.4).astype(np.float32)


def lab(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB -> (..., 3) float32 Lab."""
    xyz = LINEAR[pixels] @ TO_XYZ.T.astype(np.float32)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * np.float32((29 / 6) ** 2 / 3) + np.float32(4 / 29))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
