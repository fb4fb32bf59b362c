"""What tests of faults share: commands as processes of their own, killed at any moment; damage; what a folder holds."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pyarrow import parquet

FULL = os.environ.get("HEDGEROW_FAULTS") == "full"  # `make test-faults`; else a short form of each
QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "20", "--quiet"]
UNTIMED = ("seconds", "time", "photos/s")  # of a line of a log, what no two runs have alike

# formats that Pillow writes, and how
KINDS = {
    "jpg": {"format": "JPEG"},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP"},
    "avif": {"format": "AVIF"},
    "gif": {"format": "GIF"},
    "tif": {"format": "TIFF", "compression": "tiff_lzw"},
    "bmp": {"format": "BMP"},
    "ppm": {"format": "PPM"},
    "jp2": {"format": "JPEG2000"},
}


def scene(seed: int, side: int = 40) -> Image.Image:
    """Some rectangles, with the grain of a photo."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side + 8, 3), rng.integers(0, 256, 3), float)
    for _ in range(4):
        top, left = rng.integers(0, side - 12, 2)
        pixels[top : top + 12, left : left + 16] = rng.integers(0, 256, 3)
    return Image.fromarray((pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8))


def paint(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        scene(number).save(folder / f"{number:04}.png")
    return folder


def encoded(kind: str, seed: int) -> bytes:
    memory = io.BytesIO()
    scene(seed).save(memory, **KINDS[kind])
    return memory.getvalue()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes in a row lost or overwritten, or the end cut off; sometimes several of these."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        where = rng.randrange(len(data)) if rng.random() < 0.6 else rng.randrange(min(64, len(data)))  # headers often
        match rng.choice(("flip", "cut", "lose", "fill")):
            case "flip":
                data[where] ^= 1 << rng.randrange(8)
            case "cut":
                del data[max(where, 1) :]
            case "lose":
                del data[where : where + rng.randrange(1, 16)]
            case "fill":
                data[where : where + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        data = data or bytearray(b"\0")
    return bytes(data)


# ---------------------------------------------------------------------- commands


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "hedgerow", *map(str, words)]


def run(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def told_in_one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a run that failed says."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stderr.startswith("hedgerow: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def survives(words: Callable[[Path], list[str]], home: Path, kills: int, check: Callable[[Path, Path], None]) -> None:
    """A command killed at random moments, alone or with all its processes, and given again each time, ends as one that
    was left in peace: `check` is given both folders. One that ends before it is killed begins in a new folder."""
    rng, whole = random.Random(0), home / "whole"
    start = time.perf_counter()
    assert subprocess.run(words(whole), check=False).returncode == 0
    took = time.perf_counter() - start
    turn, killed = 0, 0
    while killed < kills:
        out = home / str(turn)
        start = time.perf_counter()
        process = subprocess.Popen(words(out), start_new_session=True)
        try:
            process.wait(rng.uniform(0.05, took))
        except subprocess.TimeoutExpired:
            killed += 1
            if rng.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()
            nothing_is_half(out)
        else:
            assert process.returncode == 0
            check(out, whole)
            turn, took = turn + 1, min(took, time.perf_counter() - start)
    out = home / str(turn)
    assert subprocess.run(words(out), check=False).returncode == 0
    check(out, whole)


# ---------------------------------------------------------------------- what is there


def files(folder: Path) -> Iterator[Path]:
    """All files that have their final names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in {".tmp", ".part"}:
            yield path


def nothing_is_half(folder: Path) -> None:
    """Every file that is there can be read to its end."""
    for path in files(folder):
        with suppress(FileNotFoundError):  # a process that is still ending renames it
            if path.suffix == ".json":
                json.loads(path.read_text("utf-8"))
            elif path.suffix == ".parquet":
                parquet.read_table(path)
            elif path.suffix == ".png":
                Image.open(path).load()
            elif path.suffix == ".npz":
                with np.load(path) as arrays:
                    assert all(arrays[name].size for name in arrays.files)
            elif path.suffix == ".pt":
                torch.load(path, weights_only=True)


def contents(folder: Path, leave_out: Sequence[str] = ()) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files(folder)
        if path.name not in leave_out
    }


def losses(run: Path) -> list[dict[str, float]]:
    lines = (json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines())
    return [{name: value for name, value in line.items() if name not in UNTIMED} for line in lines]


def resources(pid: int) -> tuple[float, int, int]:
    """MB in memory, open files, threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = {line.partition(":")[0]: line.partition(":")[2].split() for line in status.splitlines()}
    return int(found["VmRSS"][0]) / 1e3, len(os.listdir(f"/proc/{pid}/fd")), int(found["Threads"][0])


def children(pid: int) -> list[int]:
    """Of a process, those it has started."""
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
