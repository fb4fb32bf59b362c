"""AR and AP against pycocotools, matching against loops, and the awkward cases by hand."""

import contextlib
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hedgerow.forest import MaskForest
from hedgerow.measure import measure_masks, pool_masks
from hedgerow.measure.masks import _assign
from references import measure_masks as slow

SIZE = (40, 50)


@pytest.mark.parametrize("seed", range(60))
def test_assignment_equals_going_through_detections_one_by_one(seed):
    rng = np.random.default_rng(seed)
    detections, regions = rng.integers(0, 25), rng.integers(0, 7)
    iou = rng.choice([0, 0.3, 0.5, 0.55, 0.6, 0.7, 0.7, 0.95, 1], (detections, regions))  # few values: many ties
    crowd = rng.random(regions) < 0.2
    ignored = crowd | (rng.random((4, regions)) < 0.3)
    np.testing.assert_array_equal(_assign(iou, crowd, ignored), slow.assign(iou, crowd, ignored))


@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools_on_drawn_photos(seed):
    rng = np.random.default_rng(seed)
    photos = []
    for n_truth, n_found in [(5, 60), (0, 10), (3, 0), (0, 0), (8, 1050), (1, 30), (6, 200)]:
        truth = _blobs(rng, n_truth)
        found = _messy(rng, truth, n_found)
        crowd = rng.random(n_truth) < 0.3
        photos.append((found, truth, crowd, truth.areas * rng.choice([0.5, 1.0, 9.0], n_truth)))
    _compare(photos)


def test_equals_pycocotools_on_photos_of_coco(development_data: Path):
    rng = np.random.default_rng(0)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(development_data / "coco/annotations/instances_train2017.json")
    crowded = [i for i in sorted(coco.imgs) if any(a["iscrowd"] for a in coco.imgToAnns[i])][:2]
    photos = []
    for i, count in zip(crowded + sorted(coco.imgs)[:4], [1010, 40, 300, 100, 0, 20], strict=True):
        photo, labels = coco.imgs[i], coco.imgToAnns[i]
        truth = MaskForest.from_masks([coco.annToMask(a) for a in labels], size=(photo["height"], photo["width"]))
        crowd = np.array([a["iscrowd"] for a in labels], bool)
        photos.append((_messy(rng, truth, count), truth, crowd, np.array([a["area"] for a in labels], float)))
    assert any(crowd.any() for *_, crowd, _ in photos)
    _compare(photos)


def test_perfect_detections_score_one_everywhere():
    truth = _squares((4, 4), (12, 12), (22, 22))
    scores = pool_masks([measure_masks(truth, truth, area=np.array([10, 2000, 10000]))])
    assert scores.ar_1 == pytest.approx(1 / 3)
    values = [
        scores.ar_10,
        scores.ar_1000_small,
        scores.ar_1000_medium,
        scores.ar_1000_large,
        scores.ap_100,
        scores.best_iou,
    ]
    np.testing.assert_allclose(values, 1)


def test_nothing_predicted_is_zero_and_nothing_to_find_is_undefined():
    truth, nothing = _squares((4, 4), (12, 12)), MaskForest(SIZE)
    empty = pool_masks([measure_masks(nothing, truth)])
    assert (empty.ar_1000, empty.ap_1000, empty.best_iou) == (0, 0, 0)
    assert np.isnan(empty.ar_1000_large)  # no large region was there
    for photos in ([measure_masks(truth, nothing)], [measure_masks(nothing, nothing)], []):
        scores = pool_masks(photos)
        assert np.isnan([scores.ar_1, scores.ar_1000, scores.ap_100, scores.ap50_1000, scores.best_iou]).all()
    assert np.isnan(measure_masks(truth, nothing).recall)


def test_a_photo_without_regions_still_costs_precision():
    truth = _squares((4, 4))
    both = pool_masks([measure_masks(truth, truth), measure_masks(truth, MaskForest(SIZE))])
    assert both.ar_1 == 1
    assert both.ap_100 == pytest.approx(1)  # of equal scores the first photo's ranks first
    late = pool_masks([measure_masks(truth, MaskForest(SIZE)), measure_masks(truth, truth)])
    assert late.ap_100 == pytest.approx(0.5)


def test_a_duplicate_is_wrong_but_costs_no_recall():
    truth = _squares((4, 4), (12, 12))
    twice = MaskForest(SIZE, truth.rles + truth.rles, score=[0.9, 0.5, 0.8, 0.4])
    scores = pool_masks([measure_masks(twice, truth)])
    assert scores.ar_1000 == 1
    assert scores.ap_1000 == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_all_crowd_is_nothing_to_find_and_detections_in_it_are_not_wrong():
    truth = _squares((4, 4), (12, 12))
    crowd = measure_masks(truth, truth, crowd=np.ones(2, bool))
    assert np.isnan(pool_masks([crowd]).ar_1000)
    assert not len(crowd.best_iou)
    plain = measure_masks(truth, truth)
    assert pool_masks([crowd, plain]).ap_1000 == pytest.approx(1)


def test_recall_of_a_photo_and_best_iou():
    truth, found = _squares((4, 4), (22, 22)), MaskForest(SIZE, _squares((4, 4)).rles)
    photo = measure_masks(found, truth, name="hedge.jpg")
    assert photo.recall == pytest.approx(0.5)
    np.testing.assert_array_equal(photo.best_iou, [1, 0])
    assert pickle.loads(pickle.dumps(photo)).name == "hedge.jpg"
    assert pool_masks([photo]).as_dict()["best IoU"] == pytest.approx(0.5)


def test_mistakes_are_told():
    truth = _squares((4, 4))
    with pytest.raises(ValueError, match="crowd must have one entry for each of the 1 regions"):
        measure_masks(truth, truth, crowd=np.zeros(2, bool))
    with pytest.raises(ValueError, match="area must have one entry"):
        measure_masks(truth, truth, area=np.zeros(3))
    with pytest.raises(ValueError, match="one size"):
        measure_masks(MaskForest((3, 3)), truth)


def _compare(photos):
    scores = pool_masks([measure_masks(f, t, crowd=crowd, area=area) for f, t, crowd, area in photos])
    recall, precision = _pycocotools(photos)
    expected = {f"AR@{limit}": recall[:, 0, m].mean() for m, limit in enumerate((1, 10, 100, 1000))}
    expected |= {f"AR@1000 {size}": recall[:, a, 3].mean() for a, size in enumerate(("small", "medium", "large"), 1)}
    for m, limit in ((2, 100), (3, 1000)):
        expected[f"AP@{limit}"] = precision[:, :, 0, m].mean()
        expected[f"AP50@{limit}"] = precision[0, :, 0, m].mean()
        expected[f"AP75@{limit}"] = precision[5, :, 0, m].mean()
    got = {name: -1 if np.isnan(value) else value for name, value in scores.as_dict().items() if name in expected}
    assert got == pytest.approx(expected, abs=1e-9)


def _pycocotools(photos):
    labels, results = [], []
    for i, (found, truth, crowd, area) in enumerate(photos):
        for g, mask in enumerate(truth.to_coco()):
            extra = {"image_id": i, "id": len(labels) + 1, "iscrowd": int(crowd[g]), "area": float(area[g])}
            labels.append(mask | extra)
        for d, mask in enumerate(sorted(found.to_coco(), key=lambda mask: mask["id"])):
            results.append(mask | {"image_id": i, "score": float(found.score[d])})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        sizes = [{"id": i, "height": f.size[0], "width": f.size[1]} for i, (f, *_) in enumerate(photos)]
        coco.dataset = {"images": sizes, "annotations": labels, "categories": [{"id": 1}], "info": {}}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(json.loads(json.dumps(results))), "segm")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [1, 10, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["recall"][:, 0], evaluation.eval["precision"][:, :, 0]


def _blobs(rng, count, size=(120, 150)):
    masks = np.zeros((count, *size), bool)
    for mask in masks:
        y, x = rng.integers(0, size[0] - 4), rng.integers(0, size[1] - 4)
        mask[y : y + rng.integers(4, 110), x : x + rng.integers(4, 110)] = True
    return MaskForest.from_masks(masks, size=size)


def _messy(rng, truth, count):
    """Shifted and bitten copies of labelled regions, strays and exact duplicates, with few distinct scores."""
    masks = list(truth.masks())
    found = []
    for _ in range(count):
        if masks and rng.random() < 0.7:
            mask = np.roll(masks[rng.integers(len(masks))], rng.integers(-4, 5, 2), (0, 1))
            y, x, side = rng.integers(truth.size[0]), rng.integers(truth.size[1]), rng.integers(40)
            mask[y : y + side, x : x + side] ^= True
        else:
            mask = _blobs(rng, 1, truth.size).mask(0)
        found.append(mask if mask.any() else np.ones(truth.size, bool))
        if rng.random() < 0.1:
            found[-1] = found[rng.integers(len(found))]
    return MaskForest.from_masks(found, size=truth.size, score=rng.integers(1, 30, len(found)) / 30)


def _squares(*corners):
    masks = np.zeros((len(corners), *SIZE), bool)
    for mask, (y, x) in zip(masks, corners, strict=True):
        mask[y : y + 8, x : x + 8] = True
    return MaskForest.from_masks(masks)
