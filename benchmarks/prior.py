"""What stands out in a photo: how often it is a thing that people marked, of every way to find it, in one table.

    python benchmarks/prior.py --every 4                       some minutes; --only NAME for some rows
    python benchmarks/prior.py --labels DIR                    with what explore left in DIR/coco, DIR/clothing ...

IoU is that of all objects found together with all things marked together; CorLoc, how often the surest object is a
thing (IoU of at least 0.5); found, the share of a photo's objects that are one; objects, how many a photo has. People
marked few of the things in a photo of COCO, one person in each of Clothing Co-Parsing, one dog in DAVIS's `dog`, of
which every fifth frame is looked at since neighbours are alike. Seconds are processor time of one thread; the rows of
forests come on top of exploring.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.sparse.linalg import eigsh

from hedgerow.backbones import Backbone, feature_map, open_backbone
from hedgerow.config import Prior, Propose
from hedgerow.data.datasets import open_dataset
from hedgerow.data.examples import Example
from hedgerow.data.labels import LabelStore
from hedgerow.explore import explore
from hedgerow.explore.refine import refine
from hedgerow.forest import MaskForest
from hedgerow.photos import Photo, open_photo
from hedgerow.prior import cut_out, objects, pooled, salience, stand_out, union
from hedgerow.prior.objects import connected
from hedgerow.proposing import reduced

HOME = Path(__file__).resolve().parents[1]
SETS = {"coco": 1, "clothing": 1, "davis": 5}  # and every how many-th of its photos
THING = 0.5  # IoU from which an object is a thing
CONFIG, MOST = Prior(), Propose().max_objects


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo and its explored forest."""

    photo: Photo
    forest: MaskForest


Row = Callable[[Seen], MaskForest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("HEDGEROW_DATA", "data")),
        help="the folder of the data sets (HEDGEROW_DATA)",
    )
    parser.add_argument("--labels", type=Path, help="a folder of label stores, named as the data sets are")
    parser.add_argument("--every", type=int, default=1, help="measure on every so many-th photo")
    parser.add_argument("--sets", default=",".join(SETS), help="the data sets that are looked at")
    parser.add_argument("--only", action="append", default=[], help="rows with this in their name; may be repeated")
    given = parser.parse_args()

    rows = {name: row for name, row in every_row().items() if not given.only or any(o in name for o in given.only)}
    print(f"{'':34}" + "".join(f"{name:>10}" for name in ("IoU", "CorLoc", "found", "objects", "none", "seconds")))
    for name in given.sets.split(","):
        examples = open_dataset(f"{name}:{given.data}/{name}")[:: SETS[name] * given.every]
        store = LabelStore(given.labels / name) if given.labels else None
        measured: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for example in examples:
            things = marked(example)
            if len(things):
                seen = look(example, store)
                for row, find in rows.items():
                    measured[row].append(measure(find, seen, things))
        for row, found in measured.items():
            mean = np.nanmean(np.array(found), axis=0)
            print(f"{name:<10}{row:<24}" + "".join(f"{value:10.3f}" for value in mean), flush=True)


def every_row() -> dict[str, Row]:
    backbones = {name: open_backbone(name) for name in ("texture", "embedded", "texture+embedded")}
    rows: dict[str, Row] = {"the middle ellipse": ellipse, "the whole photo": whole, "best region by score": best}
    for name in ("texture", "embedded"):
        rows[f"TokenCut, {name}"] = lambda seen, own=backbones[name]: tokencut(seen, own)
        rows[f"spectral, {name}"] = lambda seen, own=backbones[name]: spectral(seen, own)
    for name, backbone in backbones.items():
        rows[f"forest, {name}"] = lambda seen, own=backbone: of_forest(seen, own, with_cut=False)
        rows[f"both, {name}"] = lambda seen, own=backbone: of_forest(seen, own, with_cut=True)
    return rows


def look(example: Example, store: LabelStore | None) -> Seen:
    photo = open_photo(example.photo)
    key = example.photo.path.stem
    forest = store[key].forest if store is not None and key in store.places else None
    return Seen(photo, forest if forest is not None else explore(photo, open_backbone("texture")))


def marked(example: Example) -> MaskForest:
    """What people marked as things: whole ones, no crowds."""
    truth = example.truth()
    regions = truth.regions
    assert regions is not None
    crowd = np.zeros(len(regions), bool) if truth.crowd is None else truth.crowd
    return regions.select(np.flatnonzero((regions.parent < 0) & ~crowd))


def measure(find: Row, seen: Seen, things: MaskForest) -> tuple[float, ...]:
    start = time.process_time()
    found = find(seen)
    seconds = time.process_time() - start
    one, other = union(found), union(things)
    overlap = (one & other).sum() / (one | other).sum()
    hit = found.iou(things).max(1) >= THING if len(found) else np.zeros(0, bool)
    share = hit.mean() if len(hit) else np.nan
    return overlap, float(hit[:1].any()), share, len(found), float(not len(found)), seconds


# ---------------------------------------------------------------------- rows


def ellipse(seen: Seen) -> MaskForest:
    height, width = seen.photo.size
    y, x = (np.indices((height, width)) + 0.5) / np.array([height, width])[:, None, None] - 0.5
    return MaskForest.from_masks([(y / 0.4) ** 2 + (x / 0.4) ** 2 < 1])


def whole(seen: Seen) -> MaskForest:
    return MaskForest.from_masks([np.ones(seen.photo.size, bool)])


def best(seen: Seen) -> MaskForest:
    return seen.forest.select(np.flatnonzero(fair(seen.forest))).best(1)


def fair(forest: MaskForest) -> np.ndarray:
    share = forest.areas / (forest.size[0] * forest.size[1])
    return (share >= CONFIG.least) & (share <= CONFIG.most)


def features(seen: Seen, backbone: Backbone) -> np.ndarray:
    return pooled(feature_map(backbone, reduced(seen.photo.pixels)).values, CONFIG.patches)


def of_forest(seen: Seen, backbone: Backbone, with_cut: bool) -> MaskForest:
    values = features(seen, backbone)
    found = salience(values, CONFIG) if with_cut else None
    return stand_out(seen.forest, values, found, MOST, CONFIG)


def spectral(seen: Seen, backbone: Backbone) -> MaskForest:
    values = features(seen, backbone)
    parts, scores = cut_out(values, salience(values, CONFIG), CONFIG)
    return at_pixels(seen.photo, parts[:MOST], scores[:MOST])


def tokencut(seen: Seen, backbone: Backbone) -> MaskForest:
    """As published: bonds are 1 where the cosine is above 0.2 and 1e-5 elsewhere; of the two sides of the second
    eigenvector's mean, the one of its largest entry; of that the part that holds this entry."""
    values = features(seen, backbone)
    h, w, dims = values.shape
    unit = values.reshape(h * w, dims).astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    bonds = np.where(unit @ unit.T > 0.2, 1.0, 1e-5)
    scale = 1 / np.sqrt(bonds.sum(1))
    start = np.random.default_rng(0).random(h * w)
    value, vector = eigsh(scale[:, None] * bonds * scale, k=2, which="LA", v0=start)
    second = vector[:, value.argmin()] * scale
    far = int(np.abs(second).argmax())
    side = (second > second.mean()) == (second[far] > second.mean())
    parts = [part for part in connected(side.reshape(h, w)) if part.flat[far]]
    return at_pixels(seen.photo, parts, [1.0])


def at_pixels(photo: Photo, parts: list[np.ndarray], scores: list[float]) -> MaskForest:
    texts, there = refine(photo.pixels, parts, keep_iou=0, size=photo.size)
    refined = MaskForest(photo.size, tuple(compress(texts, there)), score=np.array(scores)[there])
    masks = (refined.mask(row) for row in range(len(refined)))
    return objects(photo.size, masks, refined.score.tolist(), "cut", CONFIG.least)


if __name__ == "__main__":
    main()
