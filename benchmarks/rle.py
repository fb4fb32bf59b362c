"""Run lengths: pycocotools, which we use, beside hotcoco and what we do ourselves, on the forests of real photos.

    python benchmarks/rle.py          half a minute; needs `pip install hotcoco`

All masks of a photo at once, as exploring and measuring need them. All three give the same bytes and numbers, which is
checked. Times are processor time of one thread, so a busy machine does not count as slow.

What it decides: comparing all regions with all, by far the dearest operation, we do on the pieces into which the masks
cut the photo, ten times faster than either library, which go from mask to mask; regions that are unions of the parts of
a partition we encode without dense masks. hotcoco encodes and decodes dense masks six times faster, which nothing here
does by the thousand, and compares slower. So we stay with pycocotools: the format's own code, behind all published
numbers.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("RAYON_NUM_THREADS", "1")  # hotcoco's

import hotcoco.mask
import numpy as np
import pycocotools.mask

from hedgerow.backbones import open_backbone
from hedgerow.explore import explore
from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement
from hedgerow.photos import open_photo
from hedgerow.rle import lengths, unions

HOME = Path(__file__).resolve().parents[1]
PAIRS = 500
OPERATIONS = ("encode", "decode", "area", "box", "iou", "cover", f"merge {PAIRS} pairs", "read run lengths")
T = TypeVar("T")
LIBRARIES = {"pycocotools": pycocotools.mask, "hotcoco": hotcoco.mask}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("HEDGEROW_DATA", "data")),
        help="folder of the data sets (HEDGEROW_DATA)",
    )
    parser.add_argument("--photos", type=int, default=3)
    given = parser.parse_args()
    files = sorted((given.data / "coco").rglob("*.jpg"))[:: 166 // given.photos][: given.photos]
    forests = [explore(open_photo(file), open_backbone("texture")) for file in files]
    print(f"{len(forests)} photos, {np.mean([len(forest) for forest in forests]):.0f} regions each; ms a photo")
    print(f"{'':20}" + "".join(f"{name:>14}" for name in (*LIBRARIES, "ours")))
    took = {name: [by_library(library, forest) for forest in forests] for name, library in LIBRARIES.items()}
    took["ours"] = [by_us(forest) for forest in forests]
    for operation in OPERATIONS:
        means = [np.mean([times.get(operation, np.nan) for times in photos]) for photos in took.values()]
        print(f"{operation:20}" + "".join(f"{'-' if np.isnan(mean) else f'{1000 * mean:.1f}':>14}" for mean in means))
    print(f"{'import':20}" + "".join(f"{1000 * import_time(name):14.0f}" for name in LIBRARIES))


def by_library(library: ModuleType, forest: MaskForest) -> dict[str, float]:
    """Seconds of each operation; its results are checked against what the forest has from us and pycocotools."""
    masks = forest.masks().view(np.uint8)
    rles = [{"size": list(forest.size), "counts": counts} for counts in forest.rles]
    columns = [np.asfortranarray(mask) for mask in masks]  # as both libraries like them best
    pairs = [[rles[i], rles[-1 - i]] for i in range(min(PAIRS, len(rles)))]
    others = [0] * len(rles), [1] * len(rles)
    took, results = {}, {}
    for operation, call in {
        "encode": lambda: [library.encode(mask) for mask in columns],
        "decode": lambda: [library.decode(rle) for rle in rles],
        "area": lambda: [library.area(rle) for rle in rles],
        "box": lambda: library.toBbox(rles),
        "iou": lambda: library.iou(rles, rles, others[0]),
        "cover": lambda: library.iou(rles, rles, others[1]),
        f"merge {PAIRS} pairs": lambda: [library.merge(pair) for pair in pairs],
    }.items():
        took[operation], results[operation] = clock(call)
    assert [rle["counts"] for rle in results["encode"]] == list(forest.rles)
    assert np.array_equal(results["decode"], masks)
    assert np.array_equal(results["area"], forest.areas)
    assert np.array_equal(results["box"], forest.boxes)
    assert np.allclose(results["iou"], forest.iou())
    assert np.allclose(results["cover"], forest.cover())
    united = pycocotools.mask.decode(results[f"merge {PAIRS} pairs"][0])
    assert np.array_equal(united, masks[0] | masks[-1])
    return took


def by_us(forest: MaskForest) -> dict[str, float]:
    """Seconds of what we do without a library: masks are unions of the pieces of one partition."""
    pieces, inside = arrangement(forest.size, forest.rles)
    encode, texts = clock(lambda: unions(pieces, inside))
    assert list(texts) == list(forest.rles)
    pairs = inside[: min(PAIRS, len(inside))] | inside[::-1][: min(PAIRS, len(inside))]
    return {
        "encode": encode,
        "iou": clock(lambda: MaskForest(forest.size, forest.rles).iou())[0],  # a new one: it remembers its pieces
        "cover": clock(lambda: MaskForest(forest.size, forest.rles).cover())[0],
        f"merge {PAIRS} pairs": clock(lambda: unions(pieces, pairs))[0],
        "read run lengths": clock(lambda: [lengths(rle) for rle in forest.rles])[0],
    }


def clock(call: Callable[[], T], times: int = 3) -> tuple[float, T]:
    """(least seconds of processor time, result)."""
    took = []
    for _ in range(times):
        start = time.process_time()
        result = call()
        took.append(time.process_time() - start)
    return min(took), result


def import_time(name: str) -> float:
    code = f"import numpy, time; start = time.process_time(); import {name}.mask; print(time.process_time() - start)"
    return float(np.median([float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5)]))


if __name__ == "__main__":
    main()
