"""What each part of learning from captions brings: ViL-Seg's recipe, its parts, and what came after, in one table.

    python benchmarks/captioning.py PAIRS --names coco-voc:ROOT --steps 300

Rows, all on the same backbone, photos and steps: cross-modal contrasting alone, with the clustering head, with
vision-based contrasting as well (ViL-Seg's three parts; its backbone has to learn, so that this row and those said to
be "moving" let it); other ways to compare a photo with its caption; words that find regions, of patches and of forests
(--labels); a bag of words for a text tower; a text-only start of the word pieces.

Of photos held back: recall at 10, captions of photos and photos of captions, and the share of cells of a 4 x 4 grid
whose best word stands in a caption. Of labelled photos: mIoU of patches named one by one, of all pixels in one of the
network's own clusters, and of the regions of forests (--forests, a store that `hedgerow explore` made of them); and how
many of the true regions are named right. Nothing is kept between runs.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json

from hedgerow.config import CAPTIONS, Caption, CaptionPull, EvaluateNames, Ship
from hedgerow.evaluation import evaluate_names
from hedgerow.learn.captioning import sit_caption
from hedgerow.learn.ship import ship_run

ALONE = CaptionPull(vision=0.0, cross=1.0, cluster=0.0, words=0.0)
BOTH = replace(ALONE, words=1.0)
MOVING = 0.3  # pace of the backbone where it learns
CHANGES: dict[str, dict[str, Any]] = {
    "cross alone, mean of patches": {"pull": ALONE},
    "cross, clusters": {"pull": replace(ALONE, cluster=1.0)},
    "moving: cross, clusters, vision (ViL-Seg)": {
        "pull": replace(ALONE, cluster=1.0, vision=1.0),
        "trunk_rate": MOVING,
    },
    "moving: cross alone": {"pull": ALONE, "trunk_rate": MOVING},
    "cross alone, best patches": {"pull": ALONE, "pool": "max"},
    "cross alone, attention": {"pull": ALONE, "pool": "attention"},
    "words alone": {"pull": replace(BOTH, cross=0.0)},
    "cross and words": {"pull": BOTH},
    "moving: cross and words": {"pull": BOTH, "trunk_rate": MOVING},
    "cross and words, regions of forests": {"pull": BOTH, "labels": True},
    "cross and words, a bag of words": {"pull": BOTH, "text": {"layers": 0}},
    "cross and words, pieces start from captions": {"pull": BOTH, "words_start": "captions"},
    "cross and words, pieces start from vectors": {"pull": BOTH, "words_start": True},
}
RECALL = ("caption R@10", "photo R@10", "named right")
COLUMNS = (*RECALL, "mIoU patches", "mIoU groups", "mIoU forest", "top-1", "minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--names", default="coco-voc:data/coco", help="labelled photos")
    parser.add_argument("--labels", help="forests of the captioned photos, for the row that has regions of forests")
    parser.add_argument("--forests", type=Path, help="forests of the labelled photos, for the column that names them")
    parser.add_argument("--vectors", help="a file of word vectors, for the row that starts from them")
    parser.add_argument("--recipe", choices=CAPTIONS, default="laptop")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--every", type=int, default=1, help="only every so many of the labelled photos")
    parser.add_argument("--only", action="append", help="rows whose names, with a full stop behind, hold this")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()

    print(f"{'':44}" + "".join(f"{name:>14}" for name in COLUMNS), flush=True)
    for name, changed in CHANGES.items():
        if asked.only and not any(part in f"{name}." for part in asked.only):  # "words." is the row that ends so
            continue
        change = dict(changed)
        given = {"labels": asked.labels, "words_start": asked.vectors}
        if any(change.get(field) is True and given[field] is None for field in given):
            continue  # what this row needs was not given
        change |= {field: given[field] for field in given if change.get(field) is True}
        row = measured(asked, change)
        print(f"{name:44}" + "".join(f"{row.get(column, float('nan')):14.4f}" for column in COLUMNS), flush=True)


def measured(asked: argparse.Namespace, change: dict[str, Any]) -> dict[str, float]:
    recipe = CAPTIONS[asked.recipe]
    config: Caption = replace(recipe, steps=asked.steps, size=asked.size, workers=asked.workers, save=1e9, quiet=True)
    text = replace(config.text, **change.pop("text", {}))
    config = replace(config, text=text, **change)
    with tempfile.TemporaryDirectory() as place:
        folder, file, start = Path(place) / "run", Path(place) / "words.onnx", time.perf_counter()
        sit_caption([asked.pairs], folder, config)
        minutes = (time.perf_counter() - start) / 60
        last = json.loads((folder / "log.jsonl").read_text("utf-8").splitlines()[-1])
        ship_run(folder, file, Ship())
        found = {"minutes": minutes, **{column: last[column] for column in RECALL if column in last}}
        look = EvaluateNames(
            data=asked.names,
            model=str(file),
            every=asked.every,
            workers=asked.workers,
            quiet=True,
            labels=asked.forests,
        )
        ways = {"patches": True, "groups": config.pull.cluster > 0, "forest": asked.forests is not None}
        for way in (way for way, wanted in ways.items() if wanted):
            report = evaluate_names(replace(look, regions=way))
            found[f"mIoU {way}"] = report.rows[0].scores["mIoU"][0]
            found["top-1"] = report.rows[0].scores["top-1"][0]
    return found


if __name__ == "__main__":
    main()
