"""How fast the command is and how much memory it takes, and where the time of one photo goes.

    python benchmarks/segment.py          about two minutes on two free cores; --photos N for a shorter folder

Seconds are those on the clock, so a busy machine counts as slow: the load is printed, and processor seconds beside.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HOME = Path(__file__).resolve().parents[1]
HUGE = (11600, 8700)  # pixels across and down: 101 megapixels
TARGETS = {"help": 0.4, "cold": 4.0, "photo": 1.5, "megabytes": 700.0}

# The stages of one photo: a name to print, where the functions are and what they are called; none calls another.
STAGES = (
    ("open the photo", "photos/", ("open_photo",)),
    ("features", "backbones/texture.py", ("features",)),
    ("grains", "explore/grain.py", ("grain", "cells", "pool")),
    ("words", "explore/words.py", ("words",)),
    ("borders", "explore/borders.py", ("borders",)),
    ("merging", "hedgerow/merge.py", ("merge_graph",)),
    ("candidates", "explore/candidates.py", ("candidates",)),
    ("choosing", "explore/candidates.py", ("choose",)),
    ("grains at full size", "explore/grain.py", ("enlarged",)),
    ("masks as run lengths", "hedgerow/rle.py", ("unions",)),
    ("compare and nest", "hedgerow/forest.py", ("iou", "cover", "suppress", "nest", "best", "select")),
    ("write forest and overlay", "hedgerow/results.py", ("write",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("HEDGEROW_DATA", "data")),
        help="folder of the data sets (HEDGEROW_DATA)",
    )
    parser.add_argument("--photos", type=int, default=12, help="photos in the folder")
    given = parser.parse_args()

    home = given.data.resolve() / "coco"
    photos = [path for path in sorted(home.rglob("*.jpg")) if is_640x480(path)][: given.photos]
    if not photos:
        parser.error(f"no photo of 640 x 480 lies below {home}")
    with tempfile.TemporaryDirectory() as scratch:
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before; {len(photos)} photos of 640 x 480")
        print(f"\n{'':34}{'seconds':>9}{'target':>8}{'processor':>11}{'MB':>7}{'target':>8}")
        commands(photos, Path(scratch))
        stages(photos[0], Path(scratch))
    print(f"\nload {os.getloadavg()[0]:.1f} after")


def is_640x480(path: Path) -> bool:
    with Image.open(path) as photo:
        return sorted(photo.size) == [480, 640]


# ---------------------------------------------------------------------- the command


@dataclass(frozen=True)
class Run:
    """One command: seconds on the clock and of processors, megabytes of its largest process."""

    seconds: float
    processor: float
    megabytes: float


def commands(photos: Sequence[Path], scratch: Path) -> None:
    folder = scratch / "photos"
    folder.mkdir()
    for photo in photos:
        (folder / photo.name).symlink_to(photo)

    helped = [hedgerow("--help") for _ in range(5)]
    told("hedgerow --help, median of 5", sorted(helped, key=lambda run: run.seconds)[2], seconds=TARGETS["help"])
    cold = hedgerow("segment", photos[0], "-o", scratch / "cold")
    told("one photo, everything cold", cold, seconds=TARGETS["cold"], megabytes=TARGETS["megabytes"])
    for workers in (1, 2):
        run = hedgerow("segment", folder, "-o", scratch / f"by {workers}", "--workers", workers)
        each = Run(run.seconds / len(photos), run.processor / len(photos), run.megabytes)
        target = TARGETS["photo"] if workers == 2 else None
        name = f"a photo of a folder, {workers} worker{'s' * (workers > 1)}"
        told(name, each, seconds=target, megabytes=TARGETS["megabytes"])
        print(f"{'':34}{1 / each.seconds:9.2f} photos a second")
    huge = scratch / "huge.jpg"
    Image.open(photos[0]).resize(HUGE, Image.Resampling.BICUBIC).save(huge, quality=85)
    told(f"a photo of {np.prod(HUGE) / 1e6:.0f} megapixels", hedgerow("segment", huge, "-o", scratch / "huge"))
    print("  MB: of the largest process; of a folder's, the largest worker's")


def hedgerow(*arguments: object) -> Run:
    command = [sys.executable, "-m", "hedgerow", *map(str, arguments)]
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)  # its own usage and that of the children it waited for
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {output.read().decode()}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes here
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def told(name: str, run: Run, *, seconds: float | None = None, megabytes: float | None = None) -> None:
    line = f"{name:34}{run.seconds:9.2f}{limit(run.seconds, seconds):>8}"
    print(f"{line}{run.processor:11.2f}{run.megabytes:7.0f}{limit(run.megabytes, megabytes):>8}", flush=True)


def limit(value: float, target: float | None) -> str:
    """The target, marked where it is missed."""
    return "" if target is None else f"{target:g}{'!' if value > target else ' '}"


# ---------------------------------------------------------------------- where the time goes


def stages(photo: Path, scratch: Path) -> None:
    """Of the command's second photo in one process, when everything is warm."""
    code = STAGED.format(stages=STAGES, photo=str(photo), scratch=str(scratch / "stages"))
    took = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    total = took.pop("total")
    print(f"\n{'where the time of one warm photo goes':34}{'ms':>9}{'%':>5}{'calls':>7}   of {1000 * total:.0f} ms")
    for name, (seconds, calls) in took.items():
        print(f"  {name:32}{1000 * seconds:9.0f}{100 * seconds / total:5.0f}{calls:7}")
    rest = total - sum(seconds for seconds, _ in took.values())
    print(f"  {'all else':32}{1000 * rest:9.0f}{100 * rest / total:5.0f}")


STAGED = """
import cProfile, contextlib, io, json, pstats, time
from hedgerow.cli import main

def run(place):
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["segment", {photo!r}, "-o", {scratch!r} + place]) == 0

run("1")
profile = cProfile.Profile(time.process_time)
profile.runcall(run, "2")
took, wanted = {{}}, {{(place, name): stage for stage, place, names in {stages!r} for name in names}}
stats = pstats.Stats(profile).stats
def stage_of(function):
    return next((s for (place, name), s in wanted.items() if place in function[0] and name == function[2]), None)
for function, (_, calls, _, total, callers) in stats.items():
    stage = stage_of(function)
    if stage is None: continue
    # what one function of a stage spends in another is counted once
    inner = sum(caller[3] for place, caller in callers.items() if stage_of(place) is not None)
    again = sum(caller[1] for place, caller in callers.items() if stage_of(place) is not None)
    before = took.get(stage, (0, 0))
    took[stage] = before[0] + total - inner, before[1] + calls - again
took = {{stage: took[stage] for stage, _, _ in {stages!r} if stage in took}}
print(json.dumps({{"total": pstats.Stats(profile).total_tt, **took}}))
"""


if __name__ == "__main__":
    main()
