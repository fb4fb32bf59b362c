"""The call that users of segment-anything know: `AutomaticMaskGenerator().generate(image)`.

In: a photo. Out: a dictionary a region, parents first, with the keys of `SamAutomaticMaskGenerator` (Kirillov et al.
2023) and `parent`, the place of the region it is part of in the list, -1 for none. What the keys mean here:

    segmentation     (H, W) bool; or run lengths, with output_mode "coco_rle" or "uncompressed_rle"
    area, bbox       pixels; COCO's [x, y, w, h] (segment-anything's is one less in width and height)
    predicted_iou    the forest's score: it orders regions, and is no prediction of an IoU
    stability_score  of the other regions that reach the region's outline, weighted by score, the share that end there,
                     too: 1 where nobody crosses it. SAM's tells how little a mask changes as its logits are cut
                     elsewhere; exploring has none
    point_coords     [[x, y]], the pixel deepest inside; SAM's is the point that it was asked about
    crop_box         [0, 0, W, H]: the photo as a whole
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from hedgerow import rle
from hedgerow.backbones import Backbone, open_backbone
from hedgerow.config import CallerError, Explore, Predict
from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement, touching
from hedgerow.pipeline import segment
from hedgerow.predict import SegmenterModel

# of SamAutomaticMaskGenerator: how it asks its network, which is not asked here
IDLE = (
    "points_per_side",
    "points_per_batch",
    "stability_score_offset",
    "crop_n_layers",
    "crop_nms_thresh",
    "crop_overlap_ratio",
    "crop_n_points_downscale_factor",
    "point_grids",
)
DEEPEST = 128  # pixels of a region's longer side at which its deepest pixel is looked for
TOGETHER = 2**24  # regions x borders that are compared at a time

log = logging.getLogger(__name__)


class AutomaticMaskGenerator:
    """Everything in a photo, as a list of dictionaries; see the module.

    `model` is a trained segmenter (FILE.onnx, or opened); without one photos are explored with `backbone`. Thresholds
    are off unless given, since scores here are lower than SAM's.
    """

    def __init__(
        self,
        model: str | SegmenterModel | None = None,
        *,
        backbone: str | Backbone = "texture",
        config: Explore | Predict | None = None,
        seed: int = 0,
        max_masks: int | None = None,
        pred_iou_thresh: float = 0.0,
        stability_score_thresh: float = 0.0,
        box_nms_thresh: float = 1.0,
        min_mask_region_area: int = 0,
        output_mode: Literal["binary_mask", "uncompressed_rle", "coco_rle"] = "binary_mask",
        **idle: Any,
    ) -> None:
        if unknown := [name for name in idle if name not in IDLE]:
            raise CallerError(f"AutomaticMaskGenerator knows no {unknown[0]}")
        if idle:
            log.warning("%s: how SAM asks its network; without a meaning here", ", ".join(idle))
        if output_mode not in ("binary_mask", "uncompressed_rle", "coco_rle"):
            raise CallerError(f"output_mode is binary_mask, uncompressed_rle or coco_rle, got {output_mode!r}")
        self.model = SegmenterModel(model) if isinstance(model, str) else model
        self.backbone = open_backbone(backbone) if isinstance(backbone, str) and model is None else backbone
        config = config or (Explore() if self.model is None else Predict())
        self.config = config if max_masks is None else replace(config, max_masks=max_masks)
        self.seed = seed
        self.pred_iou_thresh, self.stability_score_thresh = pred_iou_thresh, stability_score_thresh
        self.box_nms_thresh, self.min_mask_region_area = box_nms_thresh, min_mask_region_area
        self.output_mode = output_mode

    def generate(self, image: Any) -> list[dict[str, Any]]:
        """A dictionary a region of the photo: an array (H, W, 3) uint8, a path, bytes or a Pillow image."""
        forest = segment(image, model=self.model, backbone=self.backbone, config=self.config, seed=self.seed)
        stability = stability_scores(forest)
        kept = (forest.score >= self.pred_iou_thresh) & (stability >= self.stability_score_thresh)
        kept &= forest.areas >= self.min_mask_region_area
        kept[kept] = _apart(forest.boxes[kept], forest.score[kept], self.box_nms_thresh)
        chosen = forest.select(kept)
        return [self._told(chosen, row, float(stable)) for row, stable in enumerate(stability[kept])]

    def _told(self, forest: MaskForest, row: int, stability: float) -> dict[str, Any]:
        height, width = forest.size
        return {
            "segmentation": self._segmentation(forest, row),
            "area": int(forest.areas[row]),
            "bbox": [int(side) for side in forest.boxes[row]],
            "predicted_iou": float(forest.score[row]),
            "point_coords": [deepest_point(forest, row)],
            "stability_score": stability,
            "crop_box": [0, 0, width, height],
            "parent": int(forest.parent[row]),
        }

    def _segmentation(self, forest: MaskForest, row: int) -> Any:
        if self.output_mode == "binary_mask":
            return forest.mask(row)
        counts = forest.rles[row]
        told = counts.decode("ascii") if self.output_mode == "coco_rle" else rle.lengths(counts).tolist()
        return {"size": list(forest.size), "counts": told}


def stability_scores(forest: MaskForest) -> np.ndarray:
    """(N,) in [0, 1]: the share of the others at each region's outline, by score, that end there, too.

    Of a side of a pixel on the outline, others are the regions that hold a pixel on either side of it; they end there
    if they hold one only. The mean over all such sides; 1 where there are none, or no others.
    """
    pieces, inside = arrangement(forest.size, forest.rles)
    edges, lengths = touching(pieces)
    weight = forest.score.astype(np.float64)
    one, other = inside[:, edges[:, 0]], inside[:, edges[:, 1]]
    step = max(1, TOGETHER // max(len(forest), 1))
    agree, reach = np.zeros(len(edges)), np.zeros(len(edges))
    for start in range(0, len(edges), step):
        part = slice(start, start + step)
        agree[part] = weight @ (one[:, part] != other[:, part])
        reach[part] = weight @ (one[:, part] | other[:, part])
    stability = np.ones(len(forest))
    for row in range(len(forest)):
        along = np.flatnonzero(one[row] != other[row])
        others = reach[along] - weight[row]
        share = np.where(others > 1e-9, (agree[along] - weight[row]) / np.maximum(others, 1e-9), 1.0)
        if len(along):
            stability[row] = np.clip(np.average(share, weights=lengths[along]), 0, 1)
    return stability


def deepest_point(forest: MaskForest, row: int) -> list[float]:
    """[x, y], the pixel of a region that is farthest from its outline; of a large one, among every so many pixels."""
    x, y, width, height = forest.boxes[row].astype(int)
    window = rle.band(rle.lengths(forest.rles[row]), forest.size[0], x, x + width)[y : y + height]
    step = -(-max(width, height) // DEEPEST)
    top, left = step // 2, step // 2
    seen = window[top::step, left::step]
    if not seen.any():  # it slips through between these pixels
        top, left, step, seen = 0, 0, 1, window
    depth = ndimage.distance_transform_edt(np.pad(seen, 1))[1:-1, 1:-1]
    down, across = np.unravel_index(int(depth.argmax()), depth.shape)
    return [float(x + left + across * step), float(y + top + down * step)]


def _apart(boxes: np.ndarray, score: np.ndarray, most: float) -> np.ndarray:
    """(N,) bool: of boxes that overlap by more than `most` (IoU) the best-scored stays."""
    kept = np.ones(len(boxes), bool)
    if most >= 1:
        return kept
    left, top, right, bottom = boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    areas = boxes[:, 2] * boxes[:, 3]
    for row in np.argsort(-score, kind="stable"):
        if kept[row]:
            wide = np.maximum(np.minimum(right, right[row]) - np.maximum(left, left[row]), 0)
            tall = np.maximum(np.minimum(bottom, bottom[row]) - np.maximum(top, top[row]), 0)
            rivals = wide * tall > most * (areas + areas[row] - wide * tall)
            rivals[row] = False
            kept &= ~rivals
    return kept
