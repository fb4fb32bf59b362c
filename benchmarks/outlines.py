"""Outlines of all regions of photos, and run lengths read: processor time beside scikit-image's contours.

    python benchmarks/outlines.py PHOTOS... [--tolerance 1]

scikit-image follows a mask between pixels (`find_contours`) and simplifies by the same rule (`approximate_polygon`);
its rings are not the mask again. Both work on the region's own box.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from skimage import measure

import hedgerow
from hedgerow import rle
from hedgerow.exchange.outlines import polygons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--tolerance", type=float, default=1.0, help="pixels")
    asked = parser.parse_args()
    print(f"{'':24}{'regions':>9}{'ours s':>9}{'skimage s':>11}{'ratio':>8}{'run lengths s':>15}")
    for path in asked.photos:
        forest = hedgerow.segment(path)
        ours = timed(lambda forest=forest: [polygons(text, forest.size, asked.tolerance) for text in forest.rles])
        theirs = timed(lambda forest=forest: [contours(forest, row, asked.tolerance) for row in range(len(forest))])
        read = timed(lambda forest=forest: [rle.sound(text, forest.size) for text in forest.rles])
        print(f"{path.name:24}{len(forest):9}{ours:9.3f}{theirs:11.3f}{theirs / ours:8.1f}{read:15.3f}", flush=True)


def contours(forest: hedgerow.MaskForest, row: int, tolerance: float) -> list[np.ndarray]:
    x, y, w, h = forest.boxes[row].astype(int)
    mask = np.pad(rle.band(rle.lengths(forest.rles[row]), forest.size[0], x, x + w)[y : y + h], 1)
    return [
        measure.approximate_polygon(ring, tolerance) for ring in measure.find_contours(mask.astype(np.float32), 0.5)
    ]


def timed(work) -> float:  # type: ignore[no-untyped-def]
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
