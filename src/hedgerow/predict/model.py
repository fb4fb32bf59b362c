"""A trained segmenter in onnxruntime. No torch.

In: FILE.onnx with its card FILE.json. Out: what it sees in pixels. The network takes normalised pixels (B, 3, H, W), H
and W multiples of 32, and gives logits of Q queries: found (B, Q), masks (B, Q, H / 4, W / 4), contains (B, Q, Q).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hedgerow.backbones.embedded import checked_card, session_of
from hedgerow.backbones.fit import fitted, resized
from hedgerow.config import CallerError

STRIDE = 32  # the sides of what the network takes are multiples of this
FIELDS: dict[str, Any] = {
    "name": str,
    "kind": str,
    "supervision": str,
    "queries": int,
    "mean": list,
    "std": list,
    "size": int,
    "weights_sha256": str,
}


class Segmenter(Protocol):
    """What predicting asks of a network."""

    @property
    def name(self) -> str: ...

    def look(self, pixels: np.ndarray, size: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(H, W, 3) uint8, its shorter side brought to `size` -> found (Q,), masks (h, w, Q), contains (Q, Q), row i,
        column j that mask j contains mask i; logits."""
        ...


class SegmenterModel:
    """A network in onnxruntime; `threads` is one by default, as photos are shared out to processes."""

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        file = Path(path).expanduser()
        card = checked_card(file, FIELDS, "segmenter")
        self.name: str = card["name"]
        self.supervision: str = card["supervision"]
        self.weights_sha256: str = card["weights_sha256"]
        self.size: int = card["size"]
        self.mean, self.std = (np.array(card[name], np.float32) for name in ("mean", "std"))
        self._session = session_of(file, self.weights_sha256, threads)
        told = [value.name for value in self._session.get_outputs()]
        if told != ["found", "masks", "contains"]:
            raise CallerError(f"{file} should give found, masks and contains; it gives {', '.join(told)}")

    def look(self, pixels: np.ndarray, size: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        taken = taken_of(pixels, size or self.size, self.mean, self.std)
        found, masks, contains = self._session.run(None, {"pixels": taken})
        return found[0], masks[0].transpose(1, 2, 0), contains[0]


def taken_of(pixels: np.ndarray, size: int, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (1, 3, H', W') float32, as the network takes them."""
    height, width = fitted(pixels.shape[0], pixels.shape[1], STRIDE, size, False)
    normal = (resized(pixels, height, width).astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(normal.transpose(2, 0, 1))[None]
