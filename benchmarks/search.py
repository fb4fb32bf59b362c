"""How long a search takes, and what is missed where not all vectors are compared.

    python benchmarks/search.py           two minutes, one core; --quick leaves out what is parted into cells

All times are processor time of one thread, of searches the median of 50. The vectors lie in 2,000 heaps: half of a
vector is its heap's, half its own. Recall: of the ten nearest of all, how many are among the ten found.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import faiss
import numpy as np

from hedgerow.categories import VectorIndex, unit_rows
from hedgerow.categories import index as module

DIMS, FOUND, ASKED, HEAPS = 384, 40, 50, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only indexes in which all vectors are compared")
    quick = parser.parse_args().quick
    faiss.omp_set_num_threads(1)
    print(f"\n{FOUND} of N vectors of {DIMS} numbers, one thread; target: 100,000 under 50 ms")
    print(f"{'N':>10}{'kind':>8}{'ms':>8}{'recall':>9}{'s to make':>11}{'s to open':>11}{'MB':>7}")
    for count in (10_000, 100_000, 200_000):
        measure(count, count)
    if not quick:
        for count in (100_000, 300_000):
            measure(count, 0)


def measure(count: int, flat: int) -> None:
    module.FLAT = flat
    vectors = heaps(count)
    start = time.process_time()
    index = VectorIndex.of(vectors)
    made = time.process_time() - start
    content = index.to_bytes()
    start = time.process_time()
    index = VectorIndex.from_bytes(content)
    opened = time.process_time() - start
    seconds, shares = [], []
    for asked in vectors[np.random.default_rng(1).choice(count, ASKED)]:
        start = time.process_time()
        rows = index.search(asked, FOUND)[0]
        seconds.append(time.process_time() - start)
        alike = vectors @ asked
        shares.append(float((alike[rows[:10]] >= np.sort(alike)[-10] - 1e-6).mean()))
    told = f"{1e3 * np.median(seconds):8.1f}{np.mean(shares):9.3f}{made:11.1f}{opened:11.2f}{len(content) / 1e6:7.0f}"
    print(f"{count:10}{index.kind:>8}{told}", flush=True)


def heaps(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    heads = unit_rows(rng.standard_normal((HEAPS, DIMS), np.float32))
    own = unit_rows(rng.standard_normal((count, DIMS), np.float32))
    return unit_rows(heads[rng.integers(0, HEAPS, count)] + own)


if __name__ == "__main__":
    main()
