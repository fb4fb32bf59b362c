"""How fast and how good K-means is, beside faiss alone and scikit-learn's MiniBatchKMeans.

    python benchmarks/kmeans.py           two minutes, one core; --quick takes a quarter of the vectors

All times are processor time of one thread, the least of three runs, all in one process. faiss' is its default call, 25
passes from one random start, over all vectors; it gives centroids, ours also the group of each vector. Patches of real
photos are in it where HEDGEROW_DATA names the folder that holds flickr8k/ or coco/.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import faiss
import numpy as np
from sklearn.cluster import MiniBatchKMeans

from hedgerow.backbones import open_backbone
from hedgerow.categories import kmeans, look, nearest, unit_rows
from hedgerow.photos import find_photos, open_photo

COUNT, DIMS, K = 100_000, 384, 21
BACKBONE = "embedded+embedded?size=160"  # 2 x 192 numbers a patch
PHOTOS = ("flickr8k/images", "coco/train2017")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the vectors")
    count = COUNT // 4 if parser.parse_args().quick else COUNT
    faiss.omp_set_num_threads(1)
    print(
        f"\n{count} x {DIMS} into {K} groups, one thread; targets: time at most 1.2 x faiss, less than MiniBatchKMeans"
    )
    print("at equal or better inertia (sum of squared distances, relative to faiss')")
    print(f"{'':20}{'ours s':>9}{'faiss s':>9}{'mini s':>9}{'x faiss':>9}{'x mini':>9}{'inertia':>10}{'mini':>9}")
    for name, vectors in kinds(count):
        measure(name, vectors)


def measure(name: str, vectors: np.ndarray) -> None:
    ours, groups = least(lambda seed: kmeans(vectors, K, seed))
    theirs, centroids = least(lambda seed: by_faiss(vectors, seed))
    mini, fitted = least(lambda seed: MiniBatchKMeans(K, random_state=seed).fit(vectors))
    whole = [float(nearest(vectors, found)[1].sum(dtype=float)) for found in centroids]
    base = np.mean(whole)
    own = np.mean([one.inertia for one in groups]) / base
    other = np.mean([one.inertia_ for one in fitted]) / base
    times = f"{ours:9.2f}{theirs:9.2f}{mini:9.2f}{ours / theirs:9.2f}{ours / mini:9.2f}"
    print(f"{name:20}{times}{own:10.4f}{other:9.4f}", flush=True)


def by_faiss(vectors: np.ndarray, seed: int) -> np.ndarray:
    means = faiss.Kmeans(vectors.shape[1], K, max_points_per_centroid=2**31 - 1, seed=1234 + seed)
    means.train(vectors)
    return means.centroids


def least(work):
    """The least seconds of three seeds, and what each gave."""
    found, seconds = [], []
    for seed in range(3):
        start = time.process_time()
        found.append(work(seed))
        seconds.append(time.process_time() - start)
    return min(seconds), found


def kinds(count: int):
    """Heaps that touch, heaps that lie apart, and patches of photos."""
    for name, spread in (("blobs that touch", 1.0), ("blobs apart", 0.2)):
        rng = np.random.default_rng(0)
        centres = 0.3 * rng.normal(size=(K, DIMS)).astype(np.float32)
        noise = spread * rng.standard_normal((count, DIMS), np.float32)
        yield name, centres[rng.integers(0, K, count)] + noise
    folder = Path(os.environ.get("HEDGEROW_DATA", "")) if os.environ.get("HEDGEROW_DATA") else None
    places = [folder / place for place in PHOTOS if folder and (folder / place).is_dir()]
    if not places:
        print("patches of photos are left out: HEDGEROW_DATA names no folder that has them")
        return
    yield "patches of photos", patches(places[0], count)


def patches(place: Path, count: int) -> np.ndarray:
    photos, backbone, rng = find_photos([place]), open_backbone(BACKBONE), np.random.default_rng(0)
    found: list[np.ndarray] = []
    for number in rng.permutation(len(photos)):
        values = look(backbone, open_photo(photos[number]).pixels).values
        found.append(values.reshape(-1, values.shape[2]))
        if sum(map(len, found)) >= count:
            break
    return unit_rows(np.concatenate(found)[:count])


if __name__ == "__main__":
    main()
