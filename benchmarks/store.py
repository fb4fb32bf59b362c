"""What a label store costs: bytes a mask, and with a million photos the time to go on with it and to read from it.

    python benchmarks/store.py                      a million made rows: five minutes, most of them to make the store
    python benchmarks/store.py --store LABELS       bytes a mask of a real one, beside

Seconds are of a process of its own that begins with nothing in memory but the disk's pages.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.data.shards import SHARD
from hedgerow.forest import MaskForest

TARGETS = {"resume": 5.0, "first": 2.0, "batch": 2.0, "bytes": 120.0}
IMPORTS = "import pyarrow.parquet; from hedgerow.data.labels import Collection, LabelStore"
KEYS = "keys = tuple(f'photos/{{n:08}}' for n in range({photos}))"
STEPS = {
    "resume": ("find what is to be made", "store.claim(store.going_on(Collection(keys, (), {{}})))"),
    "first": ("first 32 labels in order", "import itertools; list(itertools.islice(store, 32))"),
    "batch": ("32 labels at random", "[store[key] for key in random.Random(0).sample(keys, 32)]"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="a label store, for its bytes a mask")
    given = parser.parse_args()
    if given.store is not None:
        measured, masks = bytes_of(given.store)
        print(f"{'bytes a mask':28}{measured:10.1f}{TARGETS['bytes']:10.0f} asked; {masks} masks in {given.store}")
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        make(Path(scratch), given.photos)
        print(
            f"{given.photos} photos in {-(-given.photos // SHARD)} shards, made in {time.perf_counter() - start:.0f} s"
        )
        for name, (told, step) in STEPS.items():
            print(f"{told:28}{seconds_of(step, scratch, given.photos):10.2f}{TARGETS[name]:10.0f} asked", flush=True)


def make(folder: Path, photos: int) -> None:
    """Rows of two regions each; the last shard is left to be made."""
    keys = tuple(f"photos/{number:08}" for number in range(photos))
    masks = np.zeros((2, 48, 64), bool)
    masks[0, 8:40, 8:56] = masks[1, 16:32, 16:40] = True
    forest = MaskForest.from_masks(masks, parent=[-1, 0], score=[0.9, 0.5])
    store, collection = LabelStore(folder), Collection(keys, (), {})
    for number in store.claim(collection)[:-1]:
        store.write(number, [Label(key, f"{key}.jpg", "0" * 64, forest) for key in keys[collection.within(number)]])


def seconds_of(step: str, folder: str, photos: int) -> float:
    code = [
        f"{IMPORTS}; import random, time; {KEYS.format(photos=photos)}",
        f"start = time.perf_counter(); store = LabelStore({folder!r})",
        step.format(),
        "print(time.perf_counter() - start)",
    ]
    return float(subprocess.run([sys.executable, "-c", "\n".join(code)], check=True, capture_output=True).stdout)


def bytes_of(folder: Path) -> tuple[float, int]:
    masks = sum(len(label.forest) for label in LabelStore(folder) if label.forest is not None)
    return sum(path.stat().st_size for path in folder.glob("*.parquet")) / masks, masks


if __name__ == "__main__":
    main()
