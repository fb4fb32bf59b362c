"""hedgerow evaluate: what is measured, as tables."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from hedgerow.cli.telling import count, duration, name_bad, one_line, say, watched
from hedgerow.config import (
    Evaluate,
    EvaluateFeatures,
    EvaluateNames,
    EvaluateRegions,
    EvaluateSemantic,
    EvaluateVideo,
)

if TYPE_CHECKING:
    from hedgerow.evaluation import FeatureReport, Protocol, Report

_K = "categories, with background where it is a class (default: as many as classes)"
_JSON = "write the numbers to this file, too"


def evaluate_masks(run: Annotated[Evaluate, arg(name="")]) -> int:
    """Measure masks: how many of the labelled regions are found (AR), how many masks are right (AP)."""
    return _evaluate("masks", run)


def evaluate_regions(run: Annotated[EvaluateRegions, arg(name="")]) -> int:
    """Measure partitions and their boundaries against those that several people drew."""
    return _evaluate("regions", run)


def evaluate_hierarchy(run: Annotated[Evaluate, arg(name="")]) -> int:
    """Measure who is part of whom against nested labels."""
    return _evaluate("hierarchy", run)


def evaluate_features(run: Annotated[EvaluateFeatures, arg(name="")]) -> int:
    """Measure a backbone's features: linear probe, part matching, and what exploring makes of them.

    Each measure is taken where its data set is given: --probe, --parts, --coco, --bsds.
    """
    from hedgerow.evaluation import evaluate_features

    return _compare("features of patches, frozen", evaluate_features, run)


@dataclass(frozen=True)
class Semantic(EvaluateSemantic):
    """With the short names that a command line has."""

    k: Annotated[int | None, arg(aliases=("-k",), help=_K)] = None
    json: Annotated[Path | None, arg(aliases=("-o",), help=_JSON)] = None


@dataclass(frozen=True)
class Video(EvaluateVideo):
    """Likewise."""

    json: Annotated[Path | None, arg(aliases=("-o",), help=_JSON)] = None


def evaluate_semantic(run: Annotated[Semantic, arg(name="")]) -> int:
    """Measure categories that nobody named: K-means, linear probe, retrieval, fine-tuning.

    Protocols are MaskContrast's, corrected; --compat takes the corrections back.
    """
    from hedgerow.evaluation import evaluate_semantic

    quirks = ", as published" if run.compat else ""
    return _compare(f"{run.protocol}{quirks}", evaluate_semantic, run)


@dataclass(frozen=True)
class Names(EvaluateNames):
    """Likewise."""

    json: Annotated[Path | None, arg(aliases=("-o",), help=_JSON)] = None


def evaluate_names(run: Annotated[Names, arg(name="")]) -> int:
    """Measure names that were learned from captions: mIoU over classes; captions found by photos.

    Beside what is asked for stand the commonest name for all, and names by lot.
    """
    from hedgerow.evaluation import evaluate_names

    kind = "captions and photos, found by each other" if run.data.startswith("captions:") else "names of pixels"
    return _compare(kind, evaluate_names, run)


def evaluate_video(run: Annotated[Video, arg(name="")]) -> int:
    """Measure masks followed through films from the first frame's: region J and boundary F."""
    from hedgerow.evaluation import evaluate_video

    return _compare("the first frame's masks, followed by features", evaluate_video, run)


def _compare(protocol: str, measure: Callable[..., FeatureReport], run: Any) -> int:
    """A table with a row a backbone."""
    from hedgerow.evaluation import write_feature_report
    from hedgerow.writing import check_writable

    start = perf_counter()
    if run.json is not None:
        check_writable(run.json)
    report = measure(run, partial(watched, quiet=run.quiet))
    if run.json is not None:
        write_feature_report(run.json, report)
    _print_table({"protocol": protocol, **report.data, "time": duration(perf_counter() - start)})
    print()
    for line in _columns(report):
        print(line)
    for note in report.notes:
        say(note)
    return 0


def _columns(report: FeatureReport) -> list[str]:
    """A line a backbone, a column a measure, with the standard deviation over seeds."""
    measures = list(report.rows[0].scores)
    table = [["", *measures, "s a photo"]]
    for row in report.rows:
        table.append([row.name, *(_spread(row.scores[name]) for name in measures), _number(row.seconds)])
    if report.chance:
        table.append(["chance", *(_spread(report.chance.get(name, ())) for name in measures), "-"])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=True)) for row in table]
    return [one_line(line.rstrip()) for line in lines]


def _spread(values: Sequence[float]) -> str:
    told = _number(fmean(values)) if values else "-"
    return f"{told} ±{stdev(values):.4f}" if len(values) > 1 and told != "-" else told


def _evaluate(protocol: Protocol, run: Evaluate) -> int:
    from hedgerow.evaluation import evaluate, write_page, write_report
    from hedgerow.writing import check_writable

    start = perf_counter()
    for file in filter(None, (run.json, run.page)):
        check_writable(file)
    report = evaluate(protocol, run, partial(watched, quiet=run.quiet))
    if run.json is not None:
        write_report(run.json, report)
    if run.page is not None:
        write_page(run.page, report, run)
    _print_table(_heading(report, perf_counter() - start))
    print()
    _print_table({name: _number(value) for name, value in report.scores.items()})
    if run.worst:
        print(f"\nworst by {report.by}")
        _print_table({name: _number(value) for name, value in report.photos[: run.worst]})
    if report.unpredicted:
        say(f"{count(report.unpredicted)} without a prediction: nothing counts as found there")
    name_bad(report.failed, report.total, None)
    return 0


def _heading(report: Report, seconds: float) -> dict[str, str]:
    made = report.forests
    if "read from" not in made:
        options = f"?{made['options']}" if made["options"] else ""
        made = {"read from": f"{made['name']}{options}, seed {made['seed']}, hedgerow {made['version']}"}
    segmenting, measuring = report.seconds
    each = f"{segmenting:.2f} s a photo to segment or read, {measuring:.2f} s to measure"
    return {
        "protocol": f"{report.protocol}: {report.title}",
        "data": report.data,
        "forests": made["read from"],
        "time": f"{duration(seconds)} with {report.workers} workers: {each}",
    }


def _print_table(rows: dict[str, str]) -> None:
    width = max(map(len, rows), default=0)
    numeric = all(re.fullmatch(r"-|[0-9.]+", value) for value in rows.values())
    for name, value in rows.items():
        print(f"{name:{width}}  {value:>8}" if numeric else f"{name:{width}}  {value}")


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"
