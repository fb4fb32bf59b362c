"""segment-anything's call, and what a notebook shows of a forest."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

import hedgerow
from hedgerow.config import CallerError, Explore, Zoom
from hedgerow.forest import MaskForest
from hedgerow.mask_generator import deepest_point, stability_scores
from hedgerow.notebook import html_of

QUICK = Explore(grains=80, zoom=Zoom(windows=0), max_masks=40)
SAM = {"segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"}


@pytest.fixture(scope="module")
def photo():
    rng = np.random.default_rng(0)
    pixels = np.full((48, 64, 3), (40, 70, 50), float)
    pixels[8:40, 10:44], pixels[12:24, 14:26] = (220, 180, 60), (200, 60, 40)
    return (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)


def test_dictionaries_are_those_of_segment_anything_and_say_who_is_part_of_whom(photo):
    found = hedgerow.AutomaticMaskGenerator(config=QUICK).generate(photo)
    forest = hedgerow.segment(photo, config=QUICK)
    assert len(found) == len(forest) > 5
    for row, one in enumerate(found):
        assert set(one) == SAM | {"parent"}
        mask = one["segmentation"]
        assert np.array_equal(mask, forest.mask(row))
        assert one["area"] == mask.sum()
        ys, xs = np.nonzero(mask)
        assert one["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        ((x, y),) = one["point_coords"]
        assert mask[int(y), int(x)]
        assert one["crop_box"] == [0, 0, 64, 48]
        assert 0 <= one["stability_score"] <= 1
        assert one["predicted_iou"] == forest.score[row]
        assert one["parent"] == forest.parent[row] < row


def test_other_ways_to_tell_a_mask(photo):
    dense, packed, plain = (
        hedgerow.AutomaticMaskGenerator(config=QUICK, output_mode=mode).generate(Image.fromarray(photo))
        for mode in ("binary_mask", "coco_rle", "uncompressed_rle")
    )
    for one, text, runs in zip(dense, packed, plain, strict=True):
        assert np.array_equal(coco.decode(text["segmentation"]), one["segmentation"])
        size, counts = runs["segmentation"]["size"], runs["segmentation"]["counts"]
        assert coco.frPyObjects(runs["segmentation"], *size)["counts"].decode() == text["segmentation"]["counts"]
        assert sum(counts) == 48 * 64


def test_thresholds_leave_regions_out_and_parents_hold(photo):
    every = hedgerow.AutomaticMaskGenerator(config=QUICK).generate(photo)
    middle = float(np.median([one["predicted_iou"] for one in every]))
    options = {"pred_iou_thresh": middle, "min_mask_region_area": 30, "stability_score_thresh": 0.2}
    few = hedgerow.AutomaticMaskGenerator(config=QUICK, **options).generate(photo)
    assert 0 < len(few) < len(every)
    for one in few:
        assert one["predicted_iou"] >= middle
        assert one["area"] >= 30
        assert one["stability_score"] >= 0.2
        if one["parent"] >= 0:
            above = few[one["parent"]]["segmentation"]
            assert (one["segmentation"] & above).sum() >= 0.9 * one["area"]
    apart = hedgerow.AutomaticMaskGenerator(config=QUICK, box_nms_thresh=0.5).generate(photo)
    boxes = [one["bbox"] for one in apart]
    overlap = coco.iou(np.array(boxes, float), np.array(boxes, float), [0] * len(boxes))
    assert (overlap - np.eye(len(boxes))).max() <= 0.5
    assert len(hedgerow.AutomaticMaskGenerator(config=QUICK, max_masks=3).generate(photo)) == 3


def test_knobs_of_sam_are_told_to_mean_nothing_and_unknown_ones_refused(caplog):
    hedgerow.AutomaticMaskGenerator(points_per_side=32, crop_n_layers=1)
    assert "points_per_side, crop_n_layers: how SAM asks its network" in caplog.text
    with pytest.raises(CallerError, match="knows no points_per_edge"):
        hedgerow.AutomaticMaskGenerator(points_per_edge=32)
    with pytest.raises(CallerError, match="output_mode is"):
        hedgerow.AutomaticMaskGenerator(output_mode="png")


def test_stability_is_how_many_others_end_at_an_outline():
    """Worked by hand: a square that its double shares three sides with, and a bar across."""
    masks = np.zeros((3, 8, 8), bool)
    masks[0, 2:6, :4] = True  # 4 x 4 at the left rim: its outline inside of the photo has 4 + 4 + 4 sides
    masks[1, 2:6, :] = True  # twice as wide and more: shares the upper and the lower 4, crosses the 4 on the right
    masks[2, :, 2] = True  # a bar from top to bottom: crosses one side above and one below
    forest = MaskForest.from_masks(masks, score=[0.5, 0.25, 0.125])
    # at 6 of the 8 sides above and below mask 1 alone reaches it and ends: 1; at 2 of them the bar crosses, too: 2 / 3;
    # at the 4 on the right mask 1 crosses: 0
    assert stability_scores(forest)[0] == pytest.approx((6 * 1 + 2 * (0.25 / 0.375) + 4 * 0) / 12)
    assert stability_scores(MaskForest.from_masks(masks[:1])).tolist() == [1]
    assert stability_scores(MaskForest.from_masks(np.ones((1, 3, 3)))).tolist() == [1]
    assert stability_scores(MaskForest((3, 3))).shape == (0,)


def test_stability_is_that_of_looking_at_every_side():
    rng = np.random.default_rng(1)
    masks = rng.random((9, 7, 8)) < 0.5
    score = rng.uniform(0.1, 1, 9).astype(np.float32)
    found = stability_scores(MaskForest.from_masks(masks, score=score))
    for row in range(9):
        shares = []
        for y, x in np.ndindex(7, 8):
            for v, u in ((y + 1, x), (y, x + 1)):
                if v < 7 and u < 8 and masks[row, y, x] != masks[row, v, u]:
                    others = [k for k in range(9) if k != row and (masks[k, y, x] or masks[k, v, u])]
                    ends = sum(score[k] for k in others if masks[k, y, x] != masks[k, v, u])
                    shares.append(ends / sum(score[k] for k in others) if others else 1.0)
        assert found[row] == pytest.approx(np.mean(shares), abs=1e-5)


@pytest.mark.parametrize("scale", [1, 40])
def test_a_point_is_deep_inside_of_a_large_region_as_well(scale):
    ring = np.zeros((9 * scale, 9 * scale), bool)
    ring[:, : 3 * scale] = ring[: 2 * scale] = True
    x, y = deepest_point(MaskForest.from_masks([ring]), 0)
    assert abs(x - 1.5 * scale) <= 0.6 * scale
    thin = np.zeros((1000, 1000), bool)
    thin[np.arange(1000), np.arange(1000)] = True
    x, y = deepest_point(MaskForest.from_masks([thin]), 0)
    assert thin[int(y), int(x)]


# ---------------------------------------------------------------------- notebooks


class Balanced(HTMLParser):
    """Every tag that opens is closed; nothing is fetched and nothing runs."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        assert tag not in ("script", "link", "iframe")
        assert all(value.startswith("data:image/png;base64,") for key, value in attributes if key in ("src", "href"))
        assert not any(key.startswith("on") for key, _ in attributes)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_notebook_shows_a_forest(photo):
    masks = np.zeros((3, 48, 64), bool)
    masks[0, 8:40, 10:44] = masks[1, 12:24, 14:26] = masks[2, :, 50:] = True
    hostile = "<script>alert(1)</script>"
    forest = MaskForest.from_masks(masks, parent=[-1, 0, -1], name=["cat", hostile, ""])
    for shown in (forest, hedgerow.segment(photo, config=QUICK), MaskForest((3, 4))):
        page = Balanced()
        page.feed(html_of(shown))
        assert page.open == []
        assert f"{len(shown)} regions" in page.text
        assert ("img" in page.seen) == (len(shown) > 0)
    page = Balanced()
    page.feed(html_of(forest))
    assert hostile in page.text  # as text
    assert page.seen.count("tr") == 4
    assert "1 parts" in page.text
