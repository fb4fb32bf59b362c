"""How fast merging is, beside the two ways the peers group patches, and how it grows with the map.

    python benchmarks/merge.py            about a minute, one core; --quick leaves out the eigenvectors and 200 x 200

All times are processor time of one thread, medians where runs are short, so a busy machine does not count as slow.
"""

import argparse
import json
import os
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter

from hedgerow.merge import grid_edges, merge_grid

THETAS = (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # UnSAM's levels, which follow SOHES
CHANNELS = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the eigenvectors and the largest map")
    quick = parser.parse_args().quick
    beside_the_peers(quick)
    growth((60, 100, 140) if quick else (60, 100, 140, 200))
    fresh_process()


def beside_the_peers(quick: bool) -> None:
    """Targets: ours within 15 ms, 200 times faster than the dict, 500 times faster than one eigen-solve."""
    print(
        f"\n60 x 60 patches of {CHANNELS} features, ms: merge_grid and six levels of its tree; max() over a dict before"
    )
    print("every merge; one eigen-solve of MaskCut's graph, which finds one mask")
    print(f"{'':12}{'ours':>10}{'dict':>10}{'x ours':>10}{'eigen':>10}{'x ours':>10}")
    for kind, features in maps(60, CHANNELS):
        ours = clock(lambda f=features: merge_grid(f).snapshots(THETAS), 15)
        line = f"  {kind:10}{ours * 1e3:10.1f}"
        for peer in (by_dict, by_eigenvectors) if kind == "regions" and not quick else (by_dict,):
            theirs = clock(lambda f=features, peer=peer: peer(f), 1)
            line += f"{theirs * 1e3:10.0f}{theirs / ours:10.0f}"
        print(line)


def by_dict(features: np.ndarray) -> int:
    """As HASSOD and UnSAM merge: cosines in a dict; every merge searches it for the maximum and for what it touches."""
    h, w, channels = features.shape
    sums = list(features.reshape(h * w, channels).astype(np.float32))
    units = [x / np.linalg.norm(x) for x in sums]
    cosines = {(i, j): float(units[i] @ units[j]) for i, j in grid_edges(h, w).tolist()}
    while cosines:
        i, j = max(cosines, key=cosines.__getitem__)
        sums.append(sums[i] + sums[j])
        units.append(sums[-1] / np.linalg.norm(sums[-1]))
        touched = [pair for pair in cosines if i in pair or j in pair]
        for pair in touched:
            del cosines[pair]
        for a, b in touched:
            if (a, b) != (i, j):
                other = b if a in (i, j) else a
                cosines[other, len(sums) - 1] = float(units[other] @ units[-1])
    return len(sums)


def by_eigenvectors(features: np.ndarray) -> np.ndarray:
    """One of MaskCut's (CutLER) normalised cuts: cosines above 0.15 are 1, others nearly 0, second eigenvector."""
    unit = features.reshape(-1, features.shape[2]).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    affinity = np.where(unit @ unit.T > 0.15, 1.0, 1e-5)
    degree = np.diag(affinity.sum(1))
    return eigh(degree - affinity, degree, subset_by_index=[1, 2])[1]


def growth(sides: tuple[int, ...]) -> None:
    print(f"\n{'':34}" + "".join(f"{f'{side} x {side}':>12}" for side in sides) + "     last / first")
    for channels, kinds in ((CHANNELS, ("iid", "regions", "smooth", "one sided")), (24, ("iid", "regions", "smooth"))):
        for kind in kinds:
            times, work = [], []
            for side in sides:
                features, n = dict(maps(side, channels))[kind], side * side
                times.append(clock(lambda f=features: merge_grid(f), max(3, 40000 // n)) / (n * np.log2(n)) * 1e9)
                work.append(merge_grid(features).products / n)
            grown(f"{kind}, D = {channels}: ns per n log2 n", times)
            grown("products per patch", work)
    print(
        "  24 features of 200 x 200 patches take the 4 MB that 384 of 60 x 60 do; 384 of 200 x 200 take 61 MB, and most"
    )
    print("  products wait for memory. Products per patch do not depend on the machine.")


def grown(name: str, values: list[float]) -> None:
    print(f"  {name:>32}" + "".join(f"{value:12.1f}" for value in values) + f"{values[-1] / values[0]:14.2f}")


def maps(side: int, channels: int, seed: int = 0):
    """Maps without structure, of 40 noisy regions, smooth ones, and structureless ones of one common mean."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((side, side, channels)).astype(np.float32)
    points = rng.uniform(0, side, (40, 2))
    near = np.square(np.mgrid[:side, :side].transpose(1, 2, 0)[:, :, None] - points).sum(-1).argmin(-1)
    yield "iid", noise
    yield "regions", rng.standard_normal((40, channels)).astype(np.float32)[near] + np.float32(0.7) * noise
    yield "smooth", gaussian_filter(noise, (3, 3, 0))
    yield "one sided", np.abs(noise)


def fresh_process() -> None:
    """Import, first and later calls, and peak memory, each in a process of its own."""
    told = run(FRESH)
    print("\na fresh process                                                       ms")
    print(f"  importing hedgerow.merge, after numpy               {told['import']:10.1f}")
    print(f"  first 60 x 60 x 384 (target: at most 500 more than later)   {told['first']:10.1f}")
    print(f"  later ones                                                  {told['later']:10.1f}")
    print("\npeak memory over that of the features (Linux)                         MB   features")
    for h, channels in ((60, CHANNELS), (200, CHANNELS), (1000, 3)):
        told = run(PEAK.format(h=h, channels=channels))
        print(
            f"  {f'{h} x {h} x {channels}':<58} {told['more']:11.0f} {told['features']:10.0f}   {told['seconds']:.2f} s"
        )


def run(code: str) -> dict[str, float]:
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


FRESH = """
import json, time
import numpy as np
features = np.random.default_rng(0).standard_normal((60, 60, 384)).astype(np.float32)
at = [time.process_time()]
from hedgerow.merge import merge_grid
at.append(time.process_time())
for _ in range(9):
    merge_grid(features)
    at.append(time.process_time())
took = np.diff(at) * 1e3
print(json.dumps({"import": took[0], "first": took[1], "later": float(np.median(took[2:]))}))
"""

PEAK = """
import json, re, time
import numpy as np
from hedgerow.merge import merge_grid
merge_grid(np.ones((4, 4, 3), np.float32))
features = np.random.default_rng(0).standard_normal(({h}, {h}, {channels}), dtype=np.float32)
memory = lambda name: int(re.search(name + ":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 2**10
before, start = memory("VmRSS"), time.process_time()
merge_grid(features)
took = time.process_time() - start
print(json.dumps({{"more": memory("VmHWM") - before, "features": features.nbytes / 2**20, "seconds": took}}))
"""


def clock(call, times: int) -> float:
    """Median seconds of processor time."""
    took = []
    for _ in range(times):
        start = time.process_time()
        call()
        took.append(time.process_time() - start)
    return float(np.median(took))


if __name__ == "__main__":
    main()
