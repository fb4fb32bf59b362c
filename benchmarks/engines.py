"""How much a second worker brings, what Ray costs over local processes, and whether all of them write the same bytes.

    python benchmarks/engines.py PHOTOS                   2,000 photos of 160 pixels: half an hour on two free cores
    python benchmarks/engines.py PHOTOS --count 200       a quick look; Ray's start, half a minute, is most of its time

Whole commands are timed, their start included. Ray needs the extra [scale].
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

from PIL import Image

from hedgerow.photos import find_photos

QUICK = [
    "--explore.grains",
    "1500",
    "--explore.zoom.windows",
    "0",
    "--max-masks",
    "300",
]  # half a second a photo, not two
ENGINES = {"local, 1 worker": ("local", 1), "local, 2 workers": ("local", 2), "ray, 2 workers": ("ray", 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="a folder or a tar of photos")
    parser.add_argument("--count", type=int, default=2000, help="photos; the first ones again where there are fewer")
    parser.add_argument("--side", type=int, default=160, help="pixels of their longer side")
    parser.add_argument("--commands", nargs="+", default=["explore", "segment"], choices=["explore", "segment"])
    parser.add_argument("--only", default="", help="rows with this in their name")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        reduce_photos(given.photos, folder, given.count, given.side)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {given.count} photos of {given.side} pixels")
        for command in given.commands:
            compare(command, folder, Path(scratch), given.count, [name for name in ENGINES if given.only in name])


def reduce_photos(source: Path, folder: Path, count: int, side: int) -> None:
    folder.mkdir()
    refs = find_photos([source])
    for number in range(count):
        with Image.open(BytesIO(refs[number % len(refs)].read_bytes())) as image:
            image.draft("RGB", (2 * side, 2 * side))
            image.thumbnail((side, side))
            image.convert("RGB").save(folder / f"{number:05}.jpg", quality=90)


def compare(command: str, folder: Path, scratch: Path, count: int, names: list[str]) -> None:
    print(f"\n{command:20}{'seconds':>9}{'photos/s':>10}{'against':>24}{'same bytes':>12}")
    seconds: dict[str, float] = {}
    first = ""
    for name in names:
        engine, workers = ENGINES[name]
        out = scratch / f"{command}-{engine}-{workers}"
        words = ["-o", out, "--workers", workers, "--engine", engine, "--quiet", *QUICK]
        words += ["--formats", "forest"] if command == "segment" else []
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hedgerow", command, folder, *map(str, words)], check=True)
        seconds[name] = time.perf_counter() - start
        bytes_there = digest(out)
        first = first or bytes_there
        print(
            f"{name:20}{seconds[name]:9.1f}{count / seconds[name]:10.2f}{against(name, seconds):>24}"
            f"{'yes' if bytes_there == first else 'NO':>12}",
            flush=True,
        )


def against(name: str, seconds: dict[str, float]) -> str:
    one, two, ray = ENGINES
    if name == two and one in seconds:
        return f"{seconds[one] / seconds[two]:.2f} x one worker"
    return f"{seconds[ray] / seconds[two] - 1:+.1%} over local" if name == ray and two in seconds else ""


def digest(out: Path) -> str:
    """Of all results and their names; not of what says from where they were made."""
    found = hashlib.sha256()
    for path in sorted(path for path in out.rglob("*") if path.suffix in {".parquet", ".json"}):
        if path.name not in {"hedgerow.json", "labels.json"}:
            found.update(str(path.relative_to(out)).encode() + path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
