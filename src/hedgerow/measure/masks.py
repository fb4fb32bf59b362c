"""How well do single masks match labelled regions: class-agnostic average recall and average precision.

In: a predicted `MaskForest` and the labelled one of the same photo. Out: a small record a photo (`measure_masks`), so
that photos can be measured in parallel, and the scores of all records together (`pool_masks`).

The protocol is COCO's (Lin et al., ECCV 2014), categories set aside, with up to 1000 detections a photo as in SOHES
section 5 and its successors. Every number equals pycocotools' `COCOeval` with `useCats=0` and
`maxDets=[1, 10, 100, 1000]`, crowd regions and tied scores included. We read recall and precision themselves:
pycocotools' own summary looks its limits up by position and reports AP at 100 beside AR at 1000 without saying so, so
here the number of detections is part of every name.

Labels name only some of what is in a photo, so precision punishes right but unlabelled regions; recall is the measure
to look at first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hedgerow.forest import MaskForest

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # IoU that counts as found; the averages run over these
LIMITS = (1, 10, 100, 1000)  # detections counted a photo, best scores first
RECALLS = np.linspace(0.0, 1.0, 101)  # where COCO reads precision off the curve
AREAS = np.array(
    [(0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)]
)  # all, small, medium, large; ends belong to both


@dataclass(frozen=True, eq=False)
class PhotoMasks:
    """One photo's matches: D detections, best first, for A = 4 area ranges and T = 10 IoU thresholds (bit t of a word).

    score     (D,) float32
    hit       (A, D) uint16, thresholds at which the detection found a region of this size
    skipped   (A, D) uint16, thresholds at which it is neither right nor wrong
    regions   (A,) int, labelled regions of this size that are to be found
    best_iou  (G,) float32, for each labelled region, crowds aside, the IoU of the detection nearest to it
    """

    name: str
    score: np.ndarray
    hit: np.ndarray
    skipped: np.ndarray
    regions: np.ndarray
    best_iou: np.ndarray

    @property
    def recall(self) -> float:
        """AR@1000 of this photo alone, nan when it has nothing to find: sort by it to see the worst photos first."""
        return _recall([self], area=0, limit=LIMITS[-1])


@dataclass(frozen=True)
class MaskScores:
    """Average recall (AR) and precision (AP) over photos; nan where nothing was there to find.

    The number behind a name is how many detections a photo could bring. `best_iou` is the mean over labelled regions of
    the IoU of the detection nearest to each, one detection serving several if need be: the oracle's overlap.
    """

    photos: int
    regions: int
    masks: float  # detections a photo
    ar_1: float
    ar_10: float
    ar_100: float
    ar_1000: float
    ar_1000_small: float
    ar_1000_medium: float
    ar_1000_large: float
    ap_100: float
    ap50_100: float
    ap75_100: float
    ap_1000: float
    ap50_1000: float
    ap75_1000: float
    best_iou: float

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        return {
            "photos": self.photos,
            "regions": self.regions,
            "masks a photo": self.masks,
            "AR@1": self.ar_1,
            "AR@10": self.ar_10,
            "AR@100": self.ar_100,
            "AR@1000": self.ar_1000,
            "AR@1000 small": self.ar_1000_small,
            "AR@1000 medium": self.ar_1000_medium,
            "AR@1000 large": self.ar_1000_large,
            "AP@100": self.ap_100,
            "AP50@100": self.ap50_100,
            "AP75@100": self.ap75_100,
            "AP@1000": self.ap_1000,
            "AP50@1000": self.ap50_1000,
            "AP75@1000": self.ap75_1000,
            "best IoU": self.best_iou,
        }


def measure_masks(
    found: MaskForest,
    truth: MaskForest,
    *,
    crowd: np.ndarray | None = None,
    area: np.ndarray | None = None,
    name: str = "",
) -> PhotoMasks:
    """Match one photo's detections to its labelled regions.

    crowd  (G,) bool, regions that stand for many: finding one is neither right nor wrong, however often
    area   (G,) the area that sorts a labelled region into small, medium and large. COCO's files carry the polygon's
           area, which is not quite the mask's; by default the mask's
    """
    crowd = _one_each("crowd", np.zeros(len(truth), bool) if crowd is None else crowd, truth).astype(bool)
    area = _one_each("area", truth.areas if area is None else area, truth)
    order = np.argsort(-found.score, kind="stable")[: LIMITS[-1]]
    plain = found.iou(truth)[order]
    iou = np.where(crowd, found.cover(truth)[order], plain) if crowd.any() else plain

    low, high = AREAS[:, :1], AREAS[:, 1:]
    ignored = crowd | (area < low) | (area > high)
    partner = _assign(iou, crowd, ignored)
    alone = partner < 0
    in_ignored = np.take_along_axis(ignored[:, None, :], np.where(alone, 0, partner), 2) if len(truth) else alone
    outside = (found.areas[order] < low) | (found.areas[order] > high)
    return PhotoMasks(
        name=name,
        score=found.score[order],
        hit=_words(~alone & ~in_ignored),
        skipped=_words(np.where(alone, outside[:, None, :], in_ignored)),
        regions=(~ignored).sum(1),
        best_iou=plain[:, ~crowd].max(0, initial=0).astype(np.float32),
    )


def pool_masks(photos: Iterable[PhotoMasks]) -> MaskScores:
    """The scores of all photos together. Of equal scores the earlier photo's ranks first, as in pycocotools."""
    photos = list(photos)
    every, small, medium, large = range(len(AREAS))
    precision = {limit: _precision(photos, every, limit) for limit in (100, 1000)}
    best = np.concatenate([photo.best_iou for photo in photos]) if photos else np.zeros(0)
    return MaskScores(
        photos=len(photos),
        regions=len(best),
        masks=float(np.mean([len(photo.score) for photo in photos])) if photos else np.nan,
        ar_1=_recall(photos, every, 1),
        ar_10=_recall(photos, every, 10),
        ar_100=_recall(photos, every, 100),
        ar_1000=_recall(photos, every, 1000),
        ar_1000_small=_recall(photos, small, 1000),
        ar_1000_medium=_recall(photos, medium, 1000),
        ar_1000_large=_recall(photos, large, 1000),
        ap_100=float(precision[100].mean()),
        ap50_100=float(precision[100][0]),
        ap75_100=float(precision[100][5]),
        ap_1000=float(precision[1000].mean()),
        ap50_1000=float(precision[1000][0]),
        ap75_1000=float(precision[1000][5]),
        best_iou=float(best.mean(dtype=np.float64)) if len(best) else np.nan,
    )


def _one_each(field: str, values: np.ndarray, truth: MaskForest) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (len(truth),):
        raise ValueError(f"{field} must have one entry for each of the {len(truth)} regions, got shape {values.shape}")
    return values


def _assign(iou: np.ndarray, crowd: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """(A, T, D) the region each detection finds, -1 for none.

    iou      (D, G), detections best first
    crowd    (G,) bool, regions that any number of detections may find
    ignored  (A, G) bool, regions that do not count in an area range: taken only when no other is left

    COCO's rule goes through the detections best first; each takes the region it overlaps most among those still free,
    the later one of two equals. That is deferred acceptance where every region prefers the better-scored detection,
    so all detections can ask at once, all but the best asker of a region turn to their next choice, and when nobody
    has to turn the result is the same. It takes as many rounds as choices collide (a few), not one a detection.
    """
    areas, (detections, regions) = len(ignored), iou.shape
    partner = np.full((areas, len(THRESHOLDS), detections), -1)
    near = np.flatnonzero((iou >= THRESHOLDS[0]).any(1)) if regions else np.zeros(0, int)
    if not len(near):
        return partner
    column, value = _choices(iou[near], ignored)

    seats = regions + 1  # the last seat is to find nothing, and has room for all
    shape = (areas, len(THRESHOLDS), len(near))
    first = np.arange(areas * len(THRESHOLDS)).reshape(*shape[:2], 1) * seats
    asker = np.broadcast_to(np.arange(len(near)), shape)
    roomy = np.append(crowd, True)
    turn = np.zeros(shape, int)
    while True:
        wish = np.take_along_axis(column[:, None], turn[..., None], 3)[..., 0]
        enough = np.take_along_axis(value[:, None], turn[..., None], 3)[..., 0] >= THRESHOLDS[:, None]
        best = np.full(first.size * seats, len(near))
        np.minimum.at(best, (first + wish)[enough], asker[enough])
        turned_away = ~enough | ~(roomy[wish] | (best[first + wish] == asker))
        if not turned_away.any():
            break
        turn += turned_away
    partner[:, :, near] = np.where(wish == regions, -1, wish)
    return partner


def _choices(iou: np.ndarray, ignored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(A, D, C) each detection's regions in the order it wants them, and their IoU; last of all none, with IoU inf."""
    regions = iou.shape[1]
    count = int((iou >= THRESHOLDS[0]).sum(1).max())
    column = regions - 1 - np.argsort(-iou[:, ::-1], axis=1, kind="stable")[:, :count]
    column = np.broadcast_to(column, (len(ignored), *column.shape))
    last = np.argsort(ignored[np.arange(len(ignored))[:, None, None], column], axis=2, kind="stable")
    column = np.take_along_axis(column, last, 2)
    value = iou[np.arange(len(iou))[:, None], column]
    none = ((0, 0), (0, 0), (0, 1))
    return np.pad(column, none, constant_values=regions), np.pad(value, none, constant_values=np.inf)


def _words(flags: np.ndarray) -> np.ndarray:
    """(A, T, D) bool -> (A, D) uint16, bit t for threshold t: a record of 1000 detections is 20 kB, not 80."""
    bit = (1 << np.arange(len(THRESHOLDS))).astype(np.uint16)
    return (flags * bit[:, None]).sum(1, dtype=np.uint16)


def _recall(photos: list[PhotoMasks], area: int, limit: int) -> float:
    """Share of the regions found among the first `limit` detections of their photo, mean over thresholds."""
    regions = sum(int(photo.regions[area]) for photo in photos)
    hits = sum(int(np.unpackbits(photo.hit[area, :limit].view(np.uint8)).sum()) for photo in photos)
    return hits / regions / len(THRESHOLDS) if regions else np.nan


def _precision(photos: list[PhotoMasks], area: int, limit: int) -> np.ndarray:
    """(T,) average precision over all detections ranked together, COCO's 101-point reading."""
    regions = sum(int(photo.regions[area]) for photo in photos)
    if not regions:
        return np.full(len(THRESHOLDS), np.nan)
    order = np.argsort(-np.concatenate([photo.score[:limit] for photo in photos]), kind="stable")
    hit = np.concatenate([photo.hit[area, :limit] for photo in photos])[order]
    skipped = np.concatenate([photo.skipped[area, :limit] for photo in photos])[order]
    return np.array([_average_precision(hit >> t & 1, skipped >> t & 1, regions) for t in range(len(THRESHOLDS))])


def _average_precision(hit: np.ndarray, skipped: np.ndarray, regions: int) -> float:
    right = np.cumsum(hit, dtype=np.int64)
    wrong = np.cumsum((hit | skipped) == 0, dtype=np.int64)
    precision = right / (right + wrong + np.spacing(1))  # the first may all be skipped
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the best precision at this recall or beyond
    at = np.searchsorted(right / regions, RECALLS, side="left")
    return float(np.append(precision, 0.0)[at].mean())  # a recall never reached has precision 0
