"""How good exploring is, and what each of our departures from SOHES brings, on labelled photos in one table.

    python benchmarks/explore.py --every 4 --workers 2         an hour; --only NAME for some rows

The rows: Felzenszwalb's segments at nine scales; SOHES as published, on the patches of the same features, first without
refining and zooming, then with them; our departures switched on one after the other, until it is the full method; the
full method with one of them switched off.
Seconds are processor time of one thread, so a busy machine does not count as slow; nothing is kept between runs.
"""

import argparse
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from skimage.measure import label as connected
from skimage.segmentation import felzenszwalb

from hedgerow.backbones import open_backbone
from hedgerow.config import Explore
from hedgerow.data.datasets import open_dataset
from hedgerow.data.examples import Dataset, Example
from hedgerow.explore import explore
from hedgerow.forest import MaskForest
from hedgerow.measure import (
    measure_hierarchy,
    measure_masks,
    measure_regions,
    pool_hierarchy,
    pool_masks,
    pool_regions,
)
from hedgerow.photos import Photo, open_photo
from hedgerow.rle import unions

HOME = Path(__file__).resolve().parents[1]
SETS = ("coco:{}/coco", "bsds:{}/bsds500:val", "bsds:{}/bsds500:train", "clothing:{}/clothing")
LEVELS = (12, 24)  # how many partitions are read off a forest
SCALES = tuple(10.0 * 2**k for k in range(9))

# What switches each step off, in the order in which they are switched on; "a.b" is the knob b of the part a. Refining
# and zooming are SOHES's own, all others are departures of ours.
OFF: dict[str, dict[str, object]] = {
    "refining": {"keep_iou": 0.0},
    "zoom": {"zoom.windows": 0},
    "grains": {"grain": "patches"},
    "words": {"words": 0},
    "border price": {"merge.border": 0.0, "merge.size": 0.0},
    "spectral": {"borders.spectral": 0.0},
    "second merging": {"handicap": np.inf},
    "unions": {"candidates.pairs_from": 0, "candidates.triples_from": 0},
    "worth": {"candidates.compact": 0.0, "candidates.inner": 0.0, "candidates.faint": 0.0},
}
COLUMNS = (
    *("@10", "@100", "@1000", "small", "medium", "large"),
    *(f"{name}{count}" for count in LEVELS for name in ("ODS", "OIS")),
    *("part F", "seconds", "masks"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table: a backbone and a configuration; without a configuration Felzenszwalb's segments."""

    name: str
    config: Explore | None
    backbone: str = "texture"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("HEDGEROW_DATA", "data")),
        help="the folder of the data sets (HEDGEROW_DATA)",
    )
    parser.add_argument("--every", type=int, default=1, help="measure on every so many-th photo")
    parser.add_argument("--only", action="append", default=[], help="rows with this in their name; may be repeated")
    parser.add_argument("--backbone", default="texture")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()

    specs = [spec.format(given.data) for spec in SETS]
    photos = [(spec, i) for spec in specs for i in range(0, len(dataset(spec)), given.every)]
    rows = [row for row in every_row(given.backbone) if not given.only or any(part in row.name for part in given.only)]
    print(f"commit {commit()}, the full method {config_hash(Explore())}, {len(photos)} photos, {given.backbone}")
    print(f"{'':27}{'COCO: average recall':<48}{'BSDS: covering, of 12, 24 levels':<33}clothing     a photo")
    print(f"{'':24}" + "".join(f"{column:>8}" for column in COLUMNS) + "  config", flush=True)
    with ProcessPoolExecutor(given.workers) as pool:
        for row in rows:
            measured = list(pool.map(partial(measure, row), photos))
            print(f"{row.name:<24}" + "".join(told(measured)) + f"  {config_hash(row.config)}", flush=True)


def every_row(backbone: str) -> Iterator[Row]:
    yield Row("Felzenszwalb", None)
    if backbone == "texture":  # as many patches as SOHES has of them; the other rows on patches have them finer
        yield Row("SOHES, 60 x 60 patches", switched_off(list(OFF)[2:]), "texture?size=240&square=true")
    yield Row("SOHES, bare", switched_off(list(OFF)), backbone)
    for on in range(1, len(OFF) + 1):
        last = on == len(OFF)
        yield Row("full method" if last else f"  + {list(OFF)[on - 1]}", switched_off(list(OFF)[on:]), backbone)
    for name in list(OFF)[1:]:  # grains need no refining
        yield Row(f"  - {name}", switched_off([name]), backbone)


def switched_off(departures: list[str]) -> Explore:
    config = Explore()
    for name in departures:
        for knob, value in OFF[name].items():
            part, _, own = knob.rpartition(".")
            change = {part: replace(getattr(config, part), **{own: value})} if part else {own: value}
            config = replace(config, **change)  # type: ignore[arg-type]
    return config


# ---------------------------------------------------------------------- one photo


@dataclass(frozen=True)
class Measured:
    layout: str
    seconds: float
    masks: int
    records: tuple[object, ...]


def measure(row: Row, photo: tuple[str, int]) -> Measured:
    data = dataset(photo[0])
    example = data[photo[1]]
    opened = open_photo(example.photo)
    start = time.process_time()
    if row.config is None:
        levels = felzenszwalb_levels(opened)
        found = felzenszwalb_forest(levels)
    else:
        levels = None
        found = explore(opened, backbone(row.backbone), row.config)
    seconds = time.process_time() - start
    return Measured(data.name, seconds, len(found), tuple(records(data, example, found, levels)))


def records(data: Dataset, example: Example, found: MaskForest, levels: np.ndarray | None) -> Iterator[object]:
    truth = example.truth()
    if data.name == "coco":
        yield measure_masks(found, truth.regions, crowd=truth.crowd)
    elif data.name == "clothing":
        yield measure_hierarchy(found, truth.regions)
    else:
        for count in LEVELS:
            yield measure_regions(found.levels(count) if levels is None else levels, truth.partitions)


def felzenszwalb_levels(photo: Photo) -> np.ndarray:
    """(9, H, W) int32, coarse to fine: connected regions, those below 100 pixels too."""
    maps = [felzenszwalb(photo.pixels, scale=scale, sigma=0.8, min_size=20) for scale in reversed(SCALES)]
    return np.stack([connected(segments + 1, connectivity=1) - 1 for segments in maps]).astype(np.int32)


def felzenszwalb_forest(levels: np.ndarray) -> MaskForest:
    """All of at least 100 pixels, larger first, at most 1000; what comes back at several scales counts once."""
    area: dict[bytes, int] = {}
    for level in levels:
        pixels = np.bincount(level.ravel())
        large = np.flatnonzero(pixels >= 100)
        area |= zip(unions(level, np.eye(len(pixels), dtype=bool)[large]), pixels[large].tolist(), strict=True)
    masks = sorted(area, key=lambda mask: -area[mask])[:1000]
    return MaskForest(levels.shape[1:], masks, score=1 - np.arange(len(masks)) / 1001).nest()


@cache
def dataset(spec: str) -> Dataset:
    return open_dataset(spec)


@cache
def backbone(name: str):
    return open_backbone(name)


# ---------------------------------------------------------------------- the table


def told(measured: list[Measured]) -> Iterator[str]:
    of = {layout: [m.records for m in measured if m.layout == layout] for layout in ("coco", "bsds", "clothing")}
    masks = pool_masks(records[0] for records in of["coco"])
    yield from map(percent, (masks.ar_10, masks.ar_100, masks.ar_1000))
    yield from map(percent, (masks.ar_1000_small, masks.ar_1000_medium, masks.ar_1000_large))
    for k in range(len(LEVELS)):
        regions = pool_regions(records[k] for records in of["bsds"])
        yield percent(regions.covering_ods)
        yield percent(regions.covering_ois)
    yield percent(pool_hierarchy(records[0] for records in of["clothing"]).f)
    yield f"{np.mean([m.seconds for m in measured]):8.2f}"
    yield f"{np.mean([m.masks for m in measured]):8.0f}"


def percent(value: float) -> str:
    return f"{'-':>8}" if np.isnan(value) else f"{100 * value:8.1f}"


def config_hash(config: Explore | None) -> str:
    return sha256(repr(config).encode()).hexdigest()[:8] if config else "-"


def commit() -> str:
    asked = ["git", "-C", str(HOME), "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
