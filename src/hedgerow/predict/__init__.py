"""A trained segmenter: a photo into a forest, in one look. No torch.

In: a photo and a network (`model.py`). Out: a MaskForest.

A query's score is how likely it found something times how sure its mask is of its own cells (Mask2Former). Its mask
is made of grains, the smallest pieces of the photo with edges where the photo has them, each in or out by the mean of
the mask over it: a mask of cells of 4 pixels of a reduced photo gets edges of the photo's own pixels. Who is part of
whom is what the network says where the masks agree (`nested`), or what the masks alone say.

A large photo can be looked at in tiles as well (`tiles.py`): the network sees in a tile what is too small in the whole.
"""

from __future__ import annotations

import numpy as np

from hedgerow.backbones.fit import resized
from hedgerow.config import Predict
from hedgerow.explore.grain import enlarged, grain
from hedgerow.forest import INSIDE, MaskForest
from hedgerow.photos import Photo
from hedgerow.predict.model import Segmenter, SegmenterModel
from hedgerow.predict.tiles import Tile, sewn, tiles
from hedgerow.rle import unions
from hedgerow.windows import WHOLE, Window

__all__ = ["SegmenterModel", "nested", "predict", "scores"]

LEAST = 1e-6  # of a score
SAME = 0.9  # IoU from which what a tile shows and what the photo shows are one region


def predict(photo: Photo, model: Segmenter, config: Predict | None = None) -> MaskForest:
    """The forest of one photo at its full size: the `max_masks` best-scored regions."""
    config = config or Predict()
    seen, contains = _look(photo, WHOLE, model, config)
    views = tiles(photo.size, config.tiles) if config.tiles else []
    if views:
        parts = sewn([_look(photo, view, model, config)[0] for view in views], photo.size)
        return _together([_regions(seen, photo.size, model.name), parts], photo.size, config)
    forest = _regions(seen, photo.size, model.name)
    if not len(forest):
        return _lone(photo.size)
    return nested(forest, contains) if config.head else forest.nest(config.cover)


def _look(photo: Photo, view: Window, model: Segmenter, config: Predict) -> tuple[Tile, np.ndarray]:
    """The best regions of a window of the photo, and who of them contains whom (row inside column)."""
    pixels = photo.pixels[view.of(*photo.pixels.shape[:2])]
    found, masks, contains = model.look(pixels, config.size)
    grains = grain(_reduced(pixels, config.pixels), config.grains)
    inside = (grains.pool(masks) > 0).T  # (Q, L)
    rows, columns = view.of(*photo.size)
    labels = enlarged(grains.labels, pixels, (rows.stop - rows.start, columns.stop - columns.start))
    score = scores(found, masks)
    area = inside @ np.bincount(labels.ravel(), minlength=inside.shape[1])
    best = np.argsort(-score, kind="stable")
    best = best[area[best] > max(config.min_area, 1) - 1][: config.max_masks]
    torn = (inside[best] & view.cuts(labels, inside.shape[1])).any(1)
    seen = Tile(labels, rows.start, columns.start, inside[best], np.clip(score[best], LEAST, 1), torn)
    return seen, contains[best][:, best] > 0


def _regions(seen: Tile, size: tuple[int, int], source: str) -> MaskForest:
    texts = seen.texts(size)
    return MaskForest(size, texts, score=seen.score, source=(source,) * len(texts))


def _together(forests: list[MaskForest], size: tuple[int, int], config: Predict) -> MaskForest:
    """Regions of several looks compete by their scores; who is inside whom follows from the masks alone, since the
    network cannot tell it from one look to another."""
    forest = MaskForest(
        size,
        tuple(text for forest in forests for text in forest.rles),
        score=np.concatenate([forest.score for forest in forests]),
        source=tuple(word for forest in forests for word in forest.source),
    )
    forest = forest.best(2 * config.max_masks).suppress(SAME).best(config.max_masks)
    return forest.nest(config.cover) if len(forest) else _lone(size)


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


def _lone(size: tuple[int, int]) -> MaskForest:
    """Nothing was found: the photo is one region."""
    whole = unions(np.zeros(size, np.int32), np.ones((1, 1), bool))
    return MaskForest(size, whole, score=np.full(1, LEAST), source=("photo",))


def _reduced(pixels: np.ndarray, most: int) -> np.ndarray:
    scale = np.sqrt(most / (pixels.shape[0] * pixels.shape[1]))
    if scale >= 1:
        return pixels
    return resized(pixels, *(max(1, int(side * scale)) for side in pixels.shape[:2]))
