"""What backbones know of categories, in one table: K-means, segments, a linear probe, retrieval, a film.

    python benchmarks/meaning.py FILE.onnx ... --prior PRIOR    files of `hedgerow contrast`, beside what there is

PRIOR is what `hedgerow prior` made of the photos of COCO, so that all rows look at the same regions, those of backbones
that say themselves what stands out included. mIoU is in per cent, of categories matched one to one (Hungarian), mean of
five seeds. `chance` sorts at random: with 166 photos much can be had by matching alone.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hedgerow.config import EvaluateSemantic, EvaluateVideo
from hedgerow.evaluation import evaluate_semantic, evaluate_video

ROWS = ("colour", "texture", "random:embedded", "embedded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backbones", nargs="*", default=[], help="more rows")
    parser.add_argument("--prior", type=Path, help="objects of coco's photos; without, columns of coco are left out")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("HEDGEROW_DATA", "data")),
        help="the folder of the data sets (HEDGEROW_DATA)",
    )
    parser.add_argument("--every", type=int, default=1, help="measure on every so many-th photo")
    parser.add_argument("--rows", default=",".join(ROWS), help="what the rest is compared with")
    given = parser.parse_args()

    columns = columns_of(given.data, given.prior, given.every)
    rows = [*[name for name in given.rows.split(",") if name], *given.backbones]
    print(f"{'':40}" + "".join(f"{name:>22}" for name in columns) + f"{'minutes':>9}")
    chance: dict[str, float] = {}
    for row in rows:
        print(f"{row[-40:]:40}", end="", flush=True)
        start = time.perf_counter()
        for name, measure in columns.items():
            value, guessed = measure(row)
            chance.setdefault(name, guessed)
            print(f"{100 * value:22.1f}", end="", flush=True)
        print(f"{(time.perf_counter() - start) / 60:9.1f}", flush=True)
    print(f"{'chance':40}" + "".join(f"{100 * chance[name]:22.1f}" for name in columns))


def columns_of(data: Path, prior: Path | None, every: int):
    """A name and how a backbone is measured: its score, and that of chance."""

    def semantic(protocol, spec, score, **more):
        def measure(backbone):
            asked = EvaluateSemantic(
                f"{spec}:{data / spec.partition('-')[0]}",
                protocol=protocol,
                backbone=backbone,
                beside=False,
                every=every,
                workers=1,
                quiet=True,
                **more,
            )
            report = evaluate_semantic(asked)
            scores, chance = report.rows[0].scores, report.chance
            return tuple(sum(found[score]) / len(found[score]) for found in (scores, chance))

        return measure

    def film(backbone):
        asked = EvaluateVideo(f"davis:{data / 'davis'}", backbone=backbone, beside=False, workers=1, quiet=True)
        return evaluate_video(asked).rows[0].scores["J&F"][0], float("nan")

    columns = {
        "camvid linear": semantic("linear", "camvid", "mIoU", seeds=3),
        "camvid pixels": semantic("pixels", "camvid", "mIoU Hungarian"),
    }
    if prior is not None:
        columns |= {
            "coco K-means": semantic("kmeans", "coco-voc", "mIoU Hungarian", prior=prior),
            "coco segments": semantic("segments", "coco-voc", "mIoU Hungarian", prior=prior),
            "coco retrieval 21": semantic("retrieval", "coco-voc", "mIoU 21 classes", prior=prior),
        }
    columns["dog J&F"] = film
    return columns


if __name__ == "__main__":
    sys.exit(main())
