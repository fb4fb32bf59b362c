"""Outlines in onnxruntime: FILE.onnx and its card FILE.json say where things end. No torch.

In: RGB pixels (H, W, 3) uint8. Out: (H, W) float32 in [0, 1], how strongly the regions of a forest would vote for an
outline there. The network takes normalised pixels (1, 3, H, W), H and W multiples of 32, and gives (1, H / 2, W / 2).
It looks at the photo twice where it has the pixels: with its shorter side at the card's `size`, where it sees things as
large as it learned them, and at twice that, where it sees exactly where they end.

Outlines are no features; they stand beside a backbone's, as "texture+outlines", and exploring asks for them there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.backbones.beside import SUPERVISIONS
from hedgerow.backbones.embedded import checked_card, session_of
from hedgerow.backbones.fit import fitted, resized
from hedgerow.config import CallerError

SHIPPED = str(Path(__file__).parent.parent / "assets" / "outlines.onnx")
MAGNIFIED = 2  # times, at most: more pixels than there are show nothing more
STRIDE = 32  # the sides of what the network takes are multiples of this
FIELDS: dict[str, Any] = {
    "name": str,
    "kind": str,
    "supervision": str,
    "mean": list,
    "std": list,
    "size": int,
    "weights_sha256": str,
}


class Outlines:
    """A network in onnxruntime; `threads` is one by default, as photos are shared out to processes."""

    def __init__(self, path: str, *, size: int | None = None, threads: int = 1) -> None:
        file = Path(path).expanduser()
        card = checked_card(file, FIELDS, "outliner")
        self.name: str = card["name"]
        self.supervision: str = card["supervision"]
        self.weights_sha256: str = card["weights_sha256"]
        self.size: int = card["size"] if size is None else size
        self.mean, self.std = (np.array(card[name], np.float32) for name in ("mean", "std"))
        self._session = session_of(file, self.weights_sha256, threads)
        told = [value.name for value in self._session.get_outputs()]
        if told != ["outlines"]:
            raise CallerError(f"{file} should give outlines; it gives {', '.join(told)}")

    def outlines(self, pixels: np.ndarray) -> np.ndarray:
        short = min(pixels.shape[:2])
        sizes = [min(self.size, MAGNIFIED * short), *([2 * self.size] if short >= 2 * self.size else [])]
        return np.mean([self._look(pixels, size) for size in sizes], axis=0)

    def _look(self, pixels: np.ndarray, size: int) -> np.ndarray:
        height, width = fitted(pixels.shape[0], pixels.shape[1], STRIDE, size, False, most=None)
        normal = (resized(pixels, height, width).astype(np.float32) / 255 - self.mean) / self.std
        entry = self._session.get_inputs()[0].name
        (seen,) = self._session.run(None, {entry: np.ascontiguousarray(normal.transpose(2, 0, 1))[None]})
        return np.asarray(Image.fromarray(seen[0]).resize(pixels.shape[1::-1], Image.Resampling.BILINEAR))


class Outlined:
    """A backbone with outlines beside its features; see `hedgerow.backbones.Backbone`. It learned from whatever any of
    its parts learned from."""

    def __init__(self, backbone: Any, outliners: Sequence[Outlines]) -> None:
        self.parts = (backbone, *outliners)
        self.name = "+".join(part.name for part in self.parts)
        self.supervision = max((part.supervision for part in self.parts), key=SUPERVISIONS.index)
        weights = [part.weights_sha256 for part in self.parts if part.weights_sha256]
        self.weights_sha256: str | None = hashlib.sha256("+".join(weights).encode()).hexdigest()
        self.features = backbone.features
        if hasattr(backbone, "look"):
            self.look = backbone.look

    def outlines(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (H, W) float32 in [0, 1]."""
        return np.mean([outliner.outlines(pixels) for outliner in self.parts[1:]], axis=0)


def has_outlines(file: str) -> bool:
    """Does the card of FILE.onnx say that it is an outliner? Whatever else is wrong with it whoever opens it tells."""
    try:
        card = json.loads(Path(file).expanduser().with_suffix(".json").read_text("utf-8"))
        return bool(card["kind"] == "outliner")
    except (OSError, ValueError, TypeError, KeyError):
        return False
