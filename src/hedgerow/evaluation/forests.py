"""Forests against what people marked, by one of three protocols: masks, regions, hierarchy (see `hedgerow.measure`).

In: a data set, and forests made now or before. Out: a `Report`: scores over all photos, pooled in the data set's own
order, so that the number of processes does not matter, and each photo's own score.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np

from hedgerow.config import CallerError, Evaluate, EvaluateRegions, UsageError
from hedgerow.data.datasets import Example, LayoutError, Truth, open_dataset
from hedgerow.engines import share_out
from hedgerow.forest import MaskForest
from hedgerow.formats import read_coco, read_forest
from hedgerow.measure import (
    measure_boundaries,
    measure_hierarchy,
    measure_masks,
    measure_regions,
    pool_boundaries,
    pool_hierarchy,
    pool_masks,
    pool_regions,
)
from hedgerow.photos import open_photo
from hedgerow.pipeline import (
    DECODED,
    Failed,
    Watch,
    explore_of,
    failed,
    forest_of,
    looker_of,
    settings_of,
    workers_of,
)
from hedgerow.results import SUFFIXES, read_levels
from hedgerow.writing import write_atomically

Protocol = Literal["masks", "regions", "hierarchy"]
TITLES: dict[Protocol, tuple[str, str]] = {  # what a protocol is, and what photos are told apart by
    "masks": ("COCO's average recall and precision, categories set aside", "AR@1000"),
    "regions": ("BSDS500's measures of partitions and boundaries", "covering at the best level"),
    "hierarchy": ("ancestor pairs against nested labels, a protocol of our own", "pair F"),
}

Prediction = MaskForest | np.ndarray  # a forest, or level maps (L, H, W)


@dataclass(frozen=True)
class Report:
    """What was measured.

    forests     the settings they were made with, or where they were read from
    total       photos looked at
    photos      each one's name and score, worst first; what has nothing to find is left out
    seconds     of a photo, to segment (or read) and to measure
    failed      photos left out because they cannot be opened
    unpredicted how many photos the predictions say nothing of; nothing was found there
    """

    protocol: Protocol
    data: str
    forests: dict[str, Any]
    scores: dict[str, float]
    total: int
    photos: list[tuple[str, float]]
    seconds: tuple[float, float]
    workers: int
    failed: list[Failed]
    unpredicted: int

    @property
    def title(self) -> str:
        return TITLES[self.protocol][0]

    @property
    def by(self) -> str:
        return TITLES[self.protocol][1]


def evaluate(protocol: Protocol, config: Evaluate, watch: Watch = lambda items, _: items) -> Report:
    """Measure all photos of a data set and pool them; `watch` shows progress.

    A photo that cannot be opened ends it, or with `keep_going` is left out. What else is wrong always ends it: labels
    or predictions that cannot be read would change what is measured.
    """
    assert protocol in get_args(Protocol)
    examples = _chosen(config)
    forests = opened(config, examples)
    items = [(example, forests.get(example.image_id)) for example in examples]
    workers = min(workers_of(config), len(items)) if len(items) > 1 else 0
    measured: dict[int, _Measured] = {}
    spoilt: dict[int, Failed] = {}
    with closing(share_out(partial(_measurer, protocol, config), items, workers)) as outcomes:
        for place, outcome in watch(outcomes, len(items)):
            if not isinstance(outcome, CallerError):
                measured[place] = outcome
                continue
            spoilt[place] = failed(examples[place].photo, outcome)
            if not config.keep_going:
                raise CallerError(spoilt[place].reason)
    if not measured:
        raise CallerError(f"{config.data}: not one photo could be measured: {next(iter(spoilt.values())).reason}")
    done = [measured[place] for place in sorted(measured)]  # the data set's order
    return Report(
        protocol=protocol,
        data=config.data,
        forests=_described(config),
        scores=_pooled(protocol, config, [one.record for one in done]),
        total=len(items),
        photos=sorted(((one.name, one.own) for one in done if not np.isnan(one.own)), key=lambda photo: photo[1]),
        seconds=tuple(np.mean([one.seconds for one in done], axis=0).tolist()),
        workers=max(workers, 1),
        failed=[spoilt[place] for place in sorted(spoilt)],
        unpredicted=sum(forest is None for _, forest in items) if forests else 0,
    )


def write_report(path: Path, report: Report) -> None:
    """The numbers as JSON; what is undefined is null."""
    document = {
        "protocol": report.protocol,
        "title": report.title,
        "data": report.data,
        "forests": report.forests,
        "scores": {name: None if np.isnan(value) else value for name, value in report.scores.items()},
        "photos": {"by": report.by, "worst first": dict(report.photos)},
        "seconds a photo": dict(zip(("to segment or read", "to measure"), report.seconds, strict=True)),
        "workers": report.workers,
        "failed": [failed.reason for failed in report.failed],
        "without a prediction": report.unpredicted,
    }
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


# ---------------------------------------------------------------------- what is measured


def _chosen(config: Evaluate) -> Sequence[Example]:
    for name in ("every", "limit"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} is at least 1, got {value}")
    return open_dataset(config.data)[:: config.every][: config.limit]


def opened(config: Evaluate, examples: Sequence[Example]) -> Mapping[int | str, MaskForest]:
    """The forests of a results file by image id, empty where they come from elsewhere; are they of these photos?"""
    place, levels = config.predictions, _levels_of(config)
    if levels is not None and place is not None:
        raise UsageError("--levels and --predictions are two answers to one question: give one")
    if levels is not None:
        _check_all_there(levels, examples, SUFFIXES["levels"])
    elif place is not None and place.is_dir():
        _check_all_there(place, examples, SUFFIXES["forest"])
    elif place is not None:
        forests = read_coco(place)
        ids = [example.image_id for example in examples]
        if not set(ids) & set(forests):
            told = f"it has {next(iter(forests), 'none')!r}, the data set {ids[0]!r}"
            raise CallerError(f"{place}: not one of its image ids is of {config.data}: {told}")
        return forests
    return {}


def _check_all_there(folder: Path, examples: Sequence[Example], suffix: str) -> None:
    names = [f"{example.key}{suffix}" for example in examples]
    lacking = [name for name in names if not (folder / name).is_file()]
    if lacking:
        raise CallerError(f"{folder} lacks {len(lacking)} of {len(names)} photos, such as {lacking[0]}")


def _levels_of(config: Evaluate) -> Path | None:
    return config.levels if isinstance(config, EvaluateRegions) else None


def _described(config: Evaluate) -> dict[str, Any]:
    if (place := _levels_of(config) or config.predictions) is not None:
        return {"read from": str(place)}
    return settings_of(looker_of(config, measuring=True), config)


def _pooled(protocol: Protocol, config: Evaluate, records: list[Any]) -> dict[str, float]:
    if protocol == "masks":
        return pool_masks(records).as_dict()
    if protocol == "hierarchy":
        scores = pool_hierarchy(records)
        if not scores.pairs:
            raise CallerError(f"{config.data}: nothing there is marked as part of anything: try clothing or ade20k")
        return scores.as_dict()
    try:
        regions = pool_regions(record[0] for record in records).as_dict()
        drawn = [record[1] for record in records if record[1] is not None]
        return regions | ({**pool_boundaries(drawn).as_dict(), "photos": regions["photos"]} if drawn else {})
    except ValueError as error:  # level files of several lengths
        raise CallerError(f"{_levels_of(config)}: {error}") from None


# ---------------------------------------------------------------------- in a worker


@dataclass(frozen=True)
class _Measured:
    name: str
    record: Any
    own: float
    seconds: tuple[float, float]


def _measurer(protocol: Protocol, config: Evaluate) -> Callable[[tuple[Example, MaskForest | None]], _Measured]:
    predict = predictor(config)

    def measured(item: tuple[Example, MaskForest | None]) -> _Measured:
        example, given = item
        truth = example.truth()
        size = _size(protocol, config, example, truth)
        start = perf_counter()
        found = predict(example, given if given is not None else MaskForest(size))
        middle = perf_counter()
        if _shape(found) != size:
            raise LayoutError(f"{example.key}: its labels are of size {size}, its forest of {_shape(found)}")
        record, own = _MEASURES[protocol](example.key, found, truth, config)
        return _Measured(example.key, record, own, (middle - start, perf_counter() - middle))

    return measured


def predictor(config: Evaluate) -> Callable[[Example, MaskForest], Prediction]:
    """Segment the photo, or read what was predicted; a results file's forests come with the examples."""
    if (levels := _levels_of(config)) is not None:
        return lambda example, _: read_levels(levels / f"{example.key}{SUFFIXES['levels']}")
    explored = explore_of(config)
    if (place := config.predictions) is None:
        looker = looker_of(config, measuring=True)
        return lambda example, _: forest_of(open_photo(example.photo, DECODED), looker, config)
    most = config.max_masks or explored.max_masks
    if place.is_dir():
        return lambda example, _: read_forest(place / f"{example.key}{SUFFIXES['forest']}")[0].best(most)
    return lambda _, given: given.best(most)


def _size(protocol: Protocol, config: Evaluate, example: Example, truth: Truth) -> tuple[int, int]:
    """(H, W) of the labels that this protocol needs."""
    if protocol == "regions" and truth.partitions:
        height, width = truth.partitions[0].shape
        return height, width
    if protocol != "regions" and truth.regions is not None:
        return truth.regions.size
    wanted = "several people's partitions, as bsds has" if protocol == "regions" else "regions, as coco has"
    raise LayoutError(f"{config.data} is of no use here: {example.key} has no {wanted}")


def _shape(found: Prediction) -> tuple[int, ...]:
    return found.size if isinstance(found, MaskForest) else found.shape[1:]


def _measure_masks(name: str, found: MaskForest, truth: Truth, _: Evaluate) -> tuple[Any, float]:
    assert truth.regions is not None
    record = measure_masks(found, truth.regions, crowd=truth.crowd, name=name)
    return record, record.recall


def _measure_regions(name: str, found: Prediction, truth: Truth, config: EvaluateRegions) -> tuple[Any, float]:
    levels = found.levels(config.count) if isinstance(found, MaskForest) else found
    record = measure_regions(levels, truth.partitions, name=name)
    drawn = measure_boundaries(levels, truth.boundaries, name=name) if config.boundaries else None
    return (record, drawn), record.covering


def _measure_hierarchy(name: str, found: MaskForest, truth: Truth, _: Evaluate) -> tuple[Any, float]:
    assert truth.regions is not None
    record = measure_hierarchy(found, truth.regions, name=name)
    return record, record.f


_MEASURES: dict[Protocol, Callable[..., tuple[Any, float]]] = {
    "masks": _measure_masks,
    "regions": _measure_regions,
    "hierarchy": _measure_hierarchy,
}
