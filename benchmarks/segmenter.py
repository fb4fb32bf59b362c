"""What each part of learning a segmenter brings, on labelled photos in one table.

    hedgerow explore PHOTOS -o LABELS
    python benchmarks/segmenter.py LABELS --masks coco:ROOT --parts clothing:ROOT --steps 500

Rows: exploring as it made the labels; the network after one step; after self-instruction alone; the whole recipe, its
teacher and its student; the whole recipe with one part changed: no made scenes, nothing but made scenes in the first
quarter of the steps, one threshold of the teacher for all sizes, no ancestor loss. Of the whole recipe's teacher also,
without learning again: parents by the masks alone instead of by the ancestor head; and in tiles.

All learn from the same labels for as many steps. Nothing is kept between runs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import torch

from hedgerow.config import COURSES, Evaluate, Predict, Train
from hedgerow.data.labels import LabelStore
from hedgerow.evaluation import evaluate
from hedgerow.evaluation.phases import COLUMNS, as_labels
from hedgerow.learn.instruct import begin, train
from hedgerow.learn.labelled import labelled_shelves
from hedgerow.learn.networks.saving import save_ours
from hedgerow.learn.shelves import Shelves
from hedgerow.learn.ship import export_segmenter
from hedgerow.learn.trunks import trunk_of
from hedgerow.learn.views import MEAN, STD
from hedgerow.photos import find_photos

CPU = torch.device("cpu")
CHANGES: dict[str, dict[str, object]] = {
    "one step": {"steps": 1, "correct": 0.0},
    "self-instruction alone": {"correct": 0.0},
    "the whole recipe": {},
    "no made scenes": {"scenes": 0.0},
    "made scenes alone at first": {"scenes_first": 0.25},
    "one threshold (0.5)": {"fixed": 0.5},
    "no ancestor loss": {"ancestors": 0.0},
}
WHOLE = "the whole recipe"
LOOKS: dict[str, Predict] = {"by masks alone": Predict(head=False), "in tiles of 240": Predict(tiles=240)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--masks", default="coco:data/coco", help="photos with objects")
    parser.add_argument("--parts", help="photos with nested labels")
    parser.add_argument("--every", type=int, default=6, help="only every so many of these photos")
    parser.add_argument("--recipe", choices=COURSES, default="laptop")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--only", action="append", help="rows whose names hold this")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()

    torch.set_num_threads(asked.workers)
    print(f"{'':36}" + "".join(f"{name.removeprefix('AR@1000 '):>14}" for name in (*COLUMNS, "pair F", "minutes")))
    store = LabelStore(asked.labels)
    base = Evaluate(data=asked.masks, every=asked.every, workers=asked.workers)
    if wanted(asked, "exploring"):
        tell("exploring", as_labels(base, store.record["settings"]), asked.parts, 0.0)
    photos = find_photos([Path(place) for place in store.record["inputs"]])
    recipe = replace(COURSES[asked.recipe], steps=asked.steps)
    shelves = labelled_shelves(photos, store, recipe, device=CPU, workers=asked.workers)
    for name, change in CHANGES.items():
        if not wanted(asked, name):
            continue
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as place:
            for which, model in learned(replace(recipe, **change), shelves, Path(place)):  # type: ignore[arg-type]
                minutes = (time.perf_counter() - start) / 60
                tell(f"{name}, {which}", replace(base, model=model), asked.parts, minutes)
                for told, look in LOOKS.items() if name == WHOLE and which == "teacher" else ():
                    tell(f"  {told}", replace(base, model=model, predict=look), asked.parts, minutes)


def wanted(asked: argparse.Namespace, name: str) -> bool:
    return not asked.only or any(part in name for part in asked.only)


def learned(recipe: Train, shelves: Shelves, place: Path) -> Iterator[tuple[str, str]]:
    """Which network, and its file."""
    course = begin(recipe, CPU, trunk_of(recipe.backbone))
    train(recipe, course, shelves, CPU, lambda *_: None)
    for which in ("student", "teacher"):
        folder = save_ours(getattr(course, which), place / which, MEAN, STD)
        yield which, str(export_segmenter(folder, place / f"{which}.onnx", recipe.size))


def tell(name: str, masks: Evaluate, parts: str | None, minutes: float) -> None:
    scores = evaluate("masks", masks).scores
    values = [scores[column] if column == COLUMNS[0] else 100 * scores[column] for column in COLUMNS]
    pairs = 100 * evaluate("hierarchy", replace(masks, data=parts)).scores["pair F"] if parts else float("nan")
    print(f"{name:36}" + "".join(f"{value:14.1f}" for value in (*values, pairs, minutes)), flush=True)


if __name__ == "__main__":
    main()
