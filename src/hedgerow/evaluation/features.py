"""A backbone's features against labels, and beside it what a backbone has to beat (see `hedgerow.measure.features`).

In: data sets, each for one measure. Out: a `FeatureReport`, a row a backbone. The features of a photo are made once a
backbone and measure, in processes, and only what is drawn from them is kept: some patches of photos that a probe learns
from, some points of photos whose parts are matched. Draws depend on the seed and the photo's place alone, so that the
number of processes does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from hedgerow.backbones import feature_map, open_backbone
from hedgerow.config import (
    CallerError,
    Evaluate,
    EvaluateFeatures,
    EvaluateRegions,
    EvaluateSemantic,
    EvaluateVideo,
    UsageError,
)
from hedgerow.data.datasets import Dataset, Example, LayoutError, open_dataset
from hedgerow.engines import share_out
from hedgerow.evaluation.forests import evaluate
from hedgerow.measure import (
    PhotoParts,
    PhotoProbe,
    Probe,
    choose_pairs,
    draw_points,
    fit_probe,
    label_histograms,
    look_at_points,
    measure_parts,
    measure_probe,
    pool_parts,
    pool_probe,
)
from hedgerow.photos import open_photo
from hedgerow.pipeline import DECODED, Watch, explore_of, failed, settings_of, workers_of
from hedgerow.writing import write_atomically

PATCHES = 20_000  # that a probe learns from, of all photos together; twice as many change mIoU on CamVid by 0.002
BLOCK = 8  # photos that stay on one side where a data set is parted in two
OTHERS = 8  # photos that each photo is matched with
GROUNDS = ("null", "background")  # classes that are no part of anything
BASELINES = ("texture", "random", "colour")

Beside = EvaluateFeatures | EvaluateSemantic | EvaluateVideo  # which name a backbone and whether others stand beside it


@dataclass(frozen=True)
class Row:
    """What was measured of one backbone.

    scores    a value a seed of each measure, by name; one value where seeds play no part
    chance    what no features at all would reach, likewise: always the commonest label, any point
    seconds   of a photo, to make its features; nan where none were made for themselves
    model     what the backbone says of itself
    details   IoU a class and decay of the probe, pairs of part matching
    """

    name: str
    scores: dict[str, tuple[float, ...]]
    chance: dict[str, tuple[float, ...]]
    seconds: float
    model: dict[str, Any]
    details: dict[str, Any]


@dataclass(frozen=True)
class FeatureReport:
    """A row a backbone, the one asked for first; `data` says what was measured on, `notes` what was left out."""

    rows: list[Row]
    chance: dict[str, tuple[float, ...]]
    data: dict[str, str]
    notes: list[str]
    seeds: list[int]


def evaluate_features(config: EvaluateFeatures, watch: Watch = lambda items, _: items) -> FeatureReport:
    """Measure a backbone and those beside it on all data sets given; `watch` shows progress.

    A photo that cannot be opened ends it, as do labels that cannot be read: either would change what is measured.
    """
    given = _Given(config)
    names, notes = names_beside(config)
    rows = [_measured(name, given, watch) for name in names]
    return FeatureReport(rows, rows[0].chance, given.described, notes, given.seeds)


def write_feature_report(path: Path, report: FeatureReport) -> None:
    """The numbers as JSON; what is undefined is null."""
    rows = [
        {
            "backbone": row.name,
            "scores": row.scores,
            "seconds a photo": row.seconds,
            "model": row.model,
            "details": row.details,
        }
        for row in report.rows
    ]
    document = {
        "data": report.data,
        "seeds": report.seeds,
        "rows": rows,
        "chance": report.chance,
        "notes": report.notes,
    }
    write_atomically(path, (json.dumps(_plain(document), indent=1) + "\n").encode())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and np.isnan(value) else value


# ---------------------------------------------------------------------- what is measured


class _Given:
    """The data sets of a command, opened and found fit for their measures before any photo is."""

    def __init__(self, config: EvaluateFeatures) -> None:
        self.config = config
        for name in ("every", "limit", "seeds"):
            value = getattr(config, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} is at least 1, got {value}")
        if config.test and not config.probe:
            raise UsageError(
                "--test is of photos for a probe: give those it learns from, too, --probe LAYOUT:ROOT:SPLIT"
            )
        if not (config.probe or config.parts or config.coco or config.bsds):
            raise UsageError("nothing to measure on: give --probe camvid:ROOT, --parts clothing:ROOT, --coco or --bsds")
        explore_of(self.exploring(config.backbone))  # its knobs are checked now, not after minutes
        self.seeds = [config.seed + number for number in range(config.seeds)]
        self.described: dict[str, str] = {}
        self.learning: Sequence[Example] = ()
        self.testing: Sequence[Example] = ()
        self.parts: Sequence[Example] = ()
        self.grounds: tuple[int, ...] = ()
        self.classes: dict[int, str] = {}
        if config.probe:
            self._open_probe(config.probe, config.test)
        if config.parts:
            self._open_parts(config.parts)
        for name in ("coco", "bsds"):
            if (spec := getattr(config, name)) is not None:
                self.described[name] = f"{spec}: {len(self._chosen(spec))} photos, explored"

    def exploring(self, backbone: str, data: str = "") -> Evaluate:
        config = self.config
        return Evaluate(
            data,
            every=config.every,
            limit=config.limit,
            backbone=backbone,
            workers=config.workers,
            seed=config.seed,
            explore=config.explore,
        )

    @cached_property
    def workers(self) -> int:
        most = workers_of(self.exploring(""))
        return most if most > 1 else 0

    def _chosen(self, spec: str) -> Dataset:
        return open_dataset(spec)[:: self.config.every][: self.config.limit]

    def _open_probe(self, spec: str, test: str | None) -> None:
        learning = self._chosen(spec)
        self.classes = classes_of(learning, spec)
        if test is not None:
            testing = self._chosen(test)
            if testing.classes != learning.classes:
                raise UsageError(
                    f"--test {test} has other classes than --probe {spec}: give two splits of one data set"
                )
            if shared := {example.photo for example in learning} & {example.photo for example in testing}:
                raise UsageError(
                    f"--probe and --test share {len(shared)} photos: a probe is tested on what it never saw"
                )
            self.learning, self.testing = learning, testing
            said = f"{spec}: {len(learning)} photos learned from, tested on {len(testing)} of {test}"
        else:
            if len(learning) < 2:
                raise UsageError(f"--probe {spec} has one photo, none is left to test on: give more, or --test")
            turns = in_turn(len(learning))
            self.learning = [example for example, first in zip(learning, turns, strict=True) if first]
            self.testing = [example for example, first in zip(learning, turns, strict=True) if not first]
            parted = f"{stretch(len(learning))} consecutive ones in turn"
            said = f"{spec}: {len(self.learning)} photos learned from, tested on {len(self.testing)}, {parted}"
        self.described["probe"] = said

    def _open_parts(self, spec: str) -> None:
        parts = self._chosen(spec)
        names = classes_of(parts, spec)
        if len(parts) < 2:
            raise UsageError(f"--parts {spec} has one photo, parts are matched between several: give more")
        self.parts, self.grounds = parts, tuple(index for index, name in names.items() if name in GROUNDS)
        self.described["parts"] = f"{spec}: {len(parts)} photos, each with {min(OTHERS, len(parts) - 1)} others"


def classes_of(dataset: Dataset, spec: str) -> dict[int, str]:
    if not dataset.classes:
        raise LayoutError(
            f"{spec} is of no use here: it has no classes; camvid, voc, ade20k (challenge), clothing have"
        )
    return dataset.classes


def stretch(count: int) -> int:
    return max(1, min(BLOCK, count // 4))


def in_turn(count: int) -> np.ndarray:
    """(count,) bool: consecutive photos in turn to one side and the other. Neighbours in a film look alike, and single
    ones in turn would be tested on what was all but seen."""
    return np.arange(count) // stretch(count) % 2 == 0


def names_beside(config: Beside) -> tuple[list[str], list[str]]:
    """The backbones to measure, each known to open, and notes on those left out."""
    open_backbone(config.backbone)
    names, notes = [config.backbone], []
    for name in BASELINES if config.beside else ():
        if config.backbone.partition("?")[0] == name or (name == "random" and config.backbone.startswith("random:")):
            continue
        if name == "random":
            if config.backbone.partition("?")[0] in ("texture", "colour"):  # they have no network
                continue
            name = f"random:{config.backbone}"  # noqa: PLW2901
            try:
                open_backbone(name)
            except CallerError as error:
                notes.append(f"no row of the same network untrained: {error}")
                continue
        names.append(name)
    return names, notes


# ---------------------------------------------------------------------- one backbone


@dataclass
class _Taken:
    """What measures have found so far: as `Row` has it, and seconds of every photo's features."""

    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)
    chance: dict[str, tuple[float, ...]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


def _measured(name: str, given: _Given, watch: Watch) -> Row:
    taken = _Taken()
    if given.learning:
        _probe(name, given, watch, taken)
    if given.parts:
        _match(name, given, watch, taken)
    if given.config.coco:
        found = evaluate("masks", given.exploring(name, given.config.coco), watch).scores
        taken.scores["AR@1000"] = (found["AR@1000"],)
    if given.config.bsds:
        asked = EvaluateRegions(**vars(given.exploring(name, given.config.bsds)), boundaries=False)
        found = evaluate("regions", asked, watch).scores
        taken.scores |= {measure: (found[measure],) for measure in ("covering ODS", "covering OIS")}
    seconds = float(np.mean(taken.seconds)) if taken.seconds else np.nan
    model = settings_of(open_backbone(name), given.exploring(name))
    return Row(name, taken.scores, taken.chance, seconds, model, taken.details)


def _probe(name: str, given: _Given, watch: Watch, taken: _Taken) -> None:
    """Draw patches, fit a probe a seed, test all of them on each photo."""
    count = max(given.classes) + 1
    quota = -(-PATCHES // len(given.learning))
    draw = partial(_draw, given.seeds, quota, count)
    drawn = _looked_at(partial(_looker, name, draw), given.learning, given, watch, taken)
    turns = in_turn(len(drawn))
    probes, chance = [], []
    for seed in range(len(given.seeds)):
        values, counts = (np.concatenate([photo[seed][kind] for photo in drawn]) for kind in (0, 1))
        held_out = np.repeat(~turns, [len(photo[seed][0]) for photo in drawn])
        if not counts.sum():
            raise CallerError(f"{given.config.probe}: all labels there are void, a probe has nothing to learn from")
        probes.append(fit_probe(values, counts, held_out))
        chance.append(_commonest(counts, values.shape[1]))
    test = partial(_test, [*probes, *chance], count)
    tested = _looked_at(partial(_looker, name, test), given.testing, given, watch, taken)
    pooled = [pool_probe(photo[place] for photo in tested) for place in range(2 * len(probes))]
    for scores, half in ((taken.scores, pooled[: len(probes)]), (taken.chance, pooled[len(probes) :])):
        scores["mIoU"] = tuple(one.miou for one in half)
        scores["pixel accuracy"] = tuple(one.accuracy for one in half)
    iou = np.mean([one.iou for one in pooled[: len(probes)]], axis=0)
    taken.details["IoU"] = {label: float(iou[index]) for index, label in given.classes.items()}
    taken.details["decay"] = [probe.decay for probe in probes]


def _commonest(counts: np.ndarray, dims: int) -> Probe:
    """The best there is without features: always the commonest label."""
    return Probe(np.zeros((dims, 1), np.float32), np.zeros(1, np.float32), counts.sum(0).argmax(keepdims=True), 0.0)


def _match(name: str, given: _Given, watch: Watch, taken: _Taken) -> None:
    """Look at points of all photos, then match pairs of photos here: that is quick."""
    seen = _looked_at(partial(_looker, name, partial(_point, given.seeds)), given.parts, given, watch, taken)
    pooled = []
    for place, seed in enumerate(given.seeds):
        pairs = choose_pairs(len(seen), OTHERS, np.random.default_rng(seed))
        pooled.append(pool_parts(measure_parts(seen[a][place], seen[b][place], given.grounds) for a, b in pairs))
    taken.scores["part matching"] = tuple(one.accuracy for one in pooled)
    taken.chance["part matching"] = tuple(one.chance for one in pooled)
    taken.details["pairs that share a part"] = [one.pairs for one in pooled]


def _looked_at(
    make: Callable[[], Callable[[tuple[int, Example]], tuple[Any, float]]],
    examples: Sequence[Example],
    given: _Given,
    watch: Watch,
    taken: _Taken,
) -> list[Any]:
    """What was drawn from each photo, in their order."""
    found: dict[int, Any] = {}
    items = list(enumerate(examples))
    with closing(share_out(make, items, min(given.workers, len(items)))) as outcomes:
        for place, outcome in watch(outcomes, len(items)):
            if isinstance(outcome, CallerError):
                raise CallerError(failed(examples[place].photo, outcome).reason)
            found[place], seconds = outcome
            taken.seconds.append(seconds)
    return [found[place] for place in range(len(items))]


# ---------------------------------------------------------------------- in a worker


@dataclass(frozen=True, eq=False)
class _Seen:
    """A photo's place in its data set, features (h, w, D) and labels (H, W)."""

    place: int
    name: str
    values: np.ndarray
    labels: np.ndarray


def _looker(backbone: str, look: Callable[[_Seen], Any]) -> Callable[[tuple[int, Example]], tuple[Any, float]]:
    """What `look` keeps of a photo, and the seconds that its features took."""
    opened = open_backbone(backbone)

    def looked(item: tuple[int, Example]) -> tuple[Any, float]:
        place, example = item
        labels = example.truth().semantic
        if labels is None:
            raise LayoutError(f"{example.key} has no map of classes, which camvid, voc, ade20k and clothing have")
        pixels = open_photo(example.photo, DECODED).pixels
        start = perf_counter()
        values = feature_map(opened, pixels).values
        seconds = perf_counter() - start
        return look(_Seen(place, example.key, values, labels)), seconds

    return looked


def _draw(seeds: Sequence[int], quota: int, classes: int, seen: _Seen) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each seed some patches that are labelled, and the pixels of each class there."""
    h, w, dims = seen.values.shape
    counts = label_histograms(seen.labels, (h, w), classes).reshape(h * w, classes)
    known = np.flatnonzero(counts.sum(1))
    drawn = []
    for seed in seeds:
        some = np.sort(np.random.default_rng([seed, seen.place]).permutation(known)[:quota])
        drawn.append((seen.values.reshape(h * w, dims)[some], counts[some]))
    return drawn


def _test(probes: Sequence[Probe], classes: int, seen: _Seen) -> list[PhotoProbe]:
    found = (probe.labels(seen.values, seen.labels.shape) for probe in probes)
    return [measure_probe(labels, seen.labels, classes, name=seen.name) for labels in found]


def _point(seeds: Sequence[int], seen: _Seen) -> list[PhotoParts]:
    points = [draw_points(seen.labels, np.random.default_rng([seed, seen.place])) for seed in seeds]
    return [look_at_points(seen.values, seen.labels, some, name=seen.name) for some in points]
