"""What looking at a step in pieces saves and costs: the memory of a process that learns, and its seconds a step.

    python benchmarks/accumulate.py                  all four commands, whole and in 4 pieces: five minutes
    python benchmarks/accumulate.py --only contrast

Memory is the most that the process had, less what it had after a step of two photos: its libraries and the photos.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.forest import MaskForest

PHOTOS, SIDE, STEPS = 64, 160, 4
WORDS = (
    "red",
    "green",
    "blue",
    "box",
    "beside",
    "over",
    "under",
    "near",
    "another",
    "small",
    "large",
    "dark",
    "bright",
)
COMMANDS = {
    "pretrain": ["PHOTOS", "--network.kind", "transformer", "--views.large", "128", "--views.smalls", "0"],
    "train": ["LABELS", "--correct", "0"],
    "contrast": ["PHOTOS", "--prior", "LABELS"],
    "caption": ["PAIRS", "--held", "0", "--trunk-rate", "0.1"],
}
CODE = """
import resource, sys
from hedgerow.cli import main
status = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
sys.exit(status)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=COMMANDS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pieces", type=int, nargs="+", default=[1, 4])
    asked = parser.parse_args()
    print(f"{'':12}{'pieces':>8}{'MB':>10}{'of whole':>10}{'s/step':>10}{'of whole':>10}")
    with tempfile.TemporaryDirectory() as place:
        home = made(Path(place))
        for command in asked.only or COMMANDS:
            bare, _ = learned(home, command, batch=2, pieces=1)
            whole = None
            for pieces in asked.pieces:
                memory, seconds = learned(home, command, asked.batch, pieces)
                memory -= bare
                whole = whole or (memory, seconds)
                shares = memory / whole[0], seconds / whole[1]
                print(
                    f"{command:12}{pieces:8}{memory:10.0f}{shares[0]:10.2f}{seconds:10.2f}{shares[1]:10.2f}", flush=True
                )


def learned(home: Path, command: str, batch: int, pieces: int) -> tuple[float, float]:
    """MB at most, and seconds a step after the first."""
    places = {name.upper(): str(home / name) for name in ("photos", "labels", "pairs")}
    words = [places.get(word, word) for word in COMMANDS[command]]
    with tempfile.TemporaryDirectory() as run:
        words += ["-o", run, "--batch", str(batch), "--accumulate", str(pieces), "--steps", str(STEPS), "--quiet"]
        ended = subprocess.run(
            [sys.executable, "-c", CODE, command, *words, "--workers", "1", "--save", "1000"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        lines = [json.loads(line) for line in (Path(run) / "log.jsonl").read_text().splitlines()]
    marks = {line["step"]: line["seconds"] for line in lines}
    return float(ended.stdout.split()[-1]), (marks[STEPS] - marks[1]) / (STEPS - 1)


def made(home: Path) -> Path:
    """Photos of noise and boxes, the boxes as their labels, and a caption each."""
    rng = np.random.default_rng(0)
    for folder in ("photos", "pairs"):
        (home / folder).mkdir()
    labels, captions = [], ["file,caption"]
    for number in range(PHOTOS):
        pixels, masks = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), []
        for _ in range(20):
            top, left = rng.integers(0, SIDE - 60, 2)
            mask = np.zeros((SIDE, SIDE), bool)
            mask[top : top + rng.integers(20, 60), left : left + rng.integers(20, 60)] = True
            pixels[mask] = rng.integers(0, 256, 3)
            masks.append(mask)
        for folder in ("photos", "pairs"):
            Image.fromarray(pixels).save(home / folder / f"{number:03}.png")
        labels.append(Label(f"{number:03}", f"{number:03}.png", "", MaskForest.from_masks(masks)))
        captions.append(f"{number:03}.png,{' '.join(rng.choice(WORDS, 8))}")
    (home / "pairs" / "captions.csv").write_text("\n".join(captions) + "\n")
    store = LabelStore(home / "labels")
    store.claim(Collection(tuple(label.key for label in labels), (str(home / "photos"),), {}, shard=PHOTOS))
    store.write(0, labels)
    return home


if __name__ == "__main__":
    main()
