"""A trained segmenter: a photo into a forest, in one look. No torch.

In: a photo and FILE.onnx with its card FILE.json. Out: a MaskForest. The network takes normalised pixels (B, 3, H, W),
H and W multiples of 32, and gives logits of Q queries: found (B, Q), masks (B, Q, H / 4, W / 4), contains (B, Q, Q).

A query's score is how likely it found something times how sure its mask is of its own cells (Mask2Former). Its mask
is made of grains, the smallest pieces of the photo with edges where the photo has them, each in or out by the mean of
the mask over it: a mask of cells of 4 pixels of a reduced photo gets edges of the photo's own pixels. Who is part of
whom is what the network says where the masks agree (`nested`), or what the masks alone say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.backbones.embedded import checked_card, session_of
from hedgerow.backbones.fit import fitted, resized
from hedgerow.config import CallerError, Predict
from hedgerow.explore.grain import enlarged, grain
from hedgerow.forest import INSIDE, MaskForest
from hedgerow.photos import Photo
from hedgerow.rle import unions

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
LEAST = 1e-6  # of a score


class SegmenterModel:
    """A network in onnxruntime; `threads` is one by default, as photos are shared out to processes."""

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        file = Path(path).expanduser()
        card = checked_card(file, FIELDS, "segmenter")
        if card["kind"] != "segmenter":
            raise CallerError(f"{file} is a {card['kind']}, not a segmenter: give it as --backbone")
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
        """(H, W, 3) uint8 -> found (Q,), masks (h, w, Q), contains (Q, Q), logits."""
        height, width = fitted(pixels.shape[0], pixels.shape[1], STRIDE, size or self.size, False)
        normal = (resized(pixels, height, width).astype(np.float32) / 255 - self.mean) / self.std
        taken = np.ascontiguousarray(normal.transpose(2, 0, 1))[None]
        found, masks, contains = self._session.run(None, {"pixels": taken})
        return found[0], masks[0].transpose(1, 2, 0), contains[0]


def predict(photo: Photo, model: SegmenterModel, config: Predict | None = None) -> MaskForest:
    """The forest of one photo at its full size: the `max_masks` best-scored regions."""
    config = config or Predict()
    found, masks, contains = model.look(photo.pixels, config.size)
    score = scores(found, masks)
    pixels = _reduced(photo.pixels, config.pixels)
    grains = grain(pixels, config.grains)
    inside = (grains.pool(masks) > 0).T  # (Q, L)
    labels = enlarged(grains.labels, photo.pixels, photo.size)
    area = inside @ np.bincount(labels.ravel(), minlength=inside.shape[1])
    best = np.argsort(-score, kind="stable")
    best = best[area[best] > max(config.min_area, 1) - 1][: config.max_masks]
    if not len(best):
        whole = unions(np.zeros(photo.size, np.int32), np.ones((1, 1), bool))
        return MaskForest(photo.size, whole, score=np.full(1, LEAST), source=("photo",))
    forest = MaskForest(
        photo.size,
        unions(labels, inside[best]),
        score=np.clip(score[best], LEAST, 1),
        source=(model.name,) * len(best),
    )
    return nested(forest, contains[best][:, best] > 0) if config.head else forest.nest(config.cover)


def scores(found: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(Q,) from logits found (Q,) and masks (h, w, Q)."""
    inside = masks > 0
    sure = np.where(inside, 1 / (1 + np.exp(-np.maximum(masks, 0))), 0).sum((0, 1)) / np.maximum(inside.sum((0, 1)), 1)
    return (sure / (1 + np.exp(-found))).astype(np.float32)


def nested(forest: MaskForest, contains: np.ndarray) -> MaskForest:
    """Parents from what the network says: row i, column j that region j contains region i. Of those that do, and that
    hold region i as far as pixels go and are larger, the smallest is the parent; so no circle can come of it."""
    larger = forest.areas[None, :] > forest.areas[:, None]
    above = contains & larger & (forest.cover() >= INSIDE)
    area = np.where(above, forest.areas[None, :].astype(np.float64), np.inf)
    parent = np.where(above.any(1), area.argmin(1), -1)
    return MaskForest.from_nested(forest.size, forest.rles, parent, score=forest.score, source=forest.source)


def _reduced(pixels: np.ndarray, most: int) -> np.ndarray:
    scale = np.sqrt(most / (pixels.shape[0] * pixels.shape[1]))
    if scale >= 1:
        return pixels
    return resized(pixels, *(max(1, int(side * scale)) for side in pixels.shape[:2]))
