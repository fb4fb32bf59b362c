"""Names against classes that people marked, and captions against photos.

In: a data set with classes, a vocabulary, and what joins pixels and words; or photos with captions. Out: a
`FeatureReport`, a row a way of naming (`hedgerow.evaluation.naming` says which there are).

The protocols are those of ViL-Seg (Liu et al. 2022, section 4) and of open vocabularies since (TCL, Cha et al. 2023):
mIoU with and without background, over classes that zero-shot segmenters learn masks of and over those they do not.
ViL-Seg does not say whether its numbers of unseen classes are of the unseen names alone or among all names. Both are
here: `--split unseen` gives only those names and leaves other pixels out, `--split all` gives all names and has the
mean over the unseen beside the whole.

Where we depart: photos are looked at whole, not in windows; regions that are marked one by one are told right or wrong,
too (top-1), which says how well things are named apart from how well they are outlined.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from hedgerow.config import CallerError, EvaluateNames, NamedRegions, UsageError
from hedgerow.data.classes import UNSEEN
from hedgerow.data.datasets import Dataset, open_dataset
from hedgerow.data.labels import LabelStore
from hedgerow.engines import share_out
from hedgerow.evaluation.features import GROUNDS, FeatureReport, Row, classes_of
from hedgerow.evaluation.marking import marking_of
from hedgerow.evaluation.naming import Asked, Named, namer, naming_of, stored
from hedgerow.evaluation.recalling import CAPTIONS, evaluate_captions
from hedgerow.evaluation.viewing import exploring
from hedgerow.measure import constant_table, harmonic, pool_names
from hedgerow.naming import BUILT_IN, Naming, Vocabulary, read_vocabulary, read_vocabulary_file
from hedgerow.pipeline import Watch, explore_of, failed, workers_of

OWN = {"coco-voc": "voc", "voc": "voc"}  # the built-in list of a layout, where it has another name


def evaluate_names(config: EvaluateNames, watch: Watch = lambda items, _: items) -> FeatureReport:
    """Measure names in one way or, with `compare`, in all ways; `watch` shows progress.

    A photo that cannot be opened ends it, as do labels that cannot be read: either would change what is measured.
    """
    _check(config)
    if config.data.startswith(CAPTIONS):
        return evaluate_captions(config, watch)
    given = _Given(config)
    photos = _looked_at(given, watch)
    there = [name for name in given.asked.rows if name in photos[0].closed]
    missing = [f"{given.naming.language.name} has no {name}" for name in given.asked.rows if name not in there]
    if config.regions not in there:
        raise CallerError(f"{missing[0]}: give other --regions")
    rows = [_row(name, _summed(name, photos, given), given) for name in there[:-1]]
    rows.append(_row("commonest", _commonest(photos, given), given))
    chance = _row("chance", _summed("chance", photos, given), given)
    return FeatureReport(rows, chance.scores, given.described, [*given.notes, *missing], [config.seed])


def _check(config: EvaluateNames) -> None:
    for name in ("every", "limit"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} is at least 1, got {value}")
    if config.threshold is not None and not 0 <= config.threshold <= 1:
        raise UsageError(f"--threshold lies in 0 ... 1, got {config.threshold:g}")
    captions = config.data.startswith(CAPTIONS)
    if config.split not in ((None, "all", "held") if captions else (None, "all", "unseen")):
        fit = "held or all" if captions else "all or unseen"
        raise UsageError(f"--split of {config.data.partition(':')[0]} is {fit}, got {config.split}")
    if captions:
        for name in ("vocabulary", "labels", "background", "threshold"):
            if getattr(config, name) is not None:
                raise UsageError(f"--{name} is for names; captions are compared as they are")
    explore_of(exploring(config))  # its knobs are checked now, not after minutes


# ---------------------------------------------------------------------- what is measured


class _Given:
    """The data set of a command and its vocabulary, found fit for each other before any photo is opened."""

    def __init__(self, config: EvaluateNames) -> None:
        self.config = config
        self.photos = self._chosen(config.data)
        self.layout = self.photos.name
        classes = classes_of(self.photos, config.data)
        whole = _vocabulary(config.vocabulary, self.layout, classes)
        self.unseen = self._unseen(whole)
        unseen = config.split == "unseen"
        vocabulary = whole.select(sorted(self.unseen)) if unseen else whole
        painted = self.layout in ("coco", "lvis")
        marking, self.notes = marking_of(self.layout, classes, vocabulary, painted, unseen)
        ways = get_args(NamedRegions) if config.compare else (config.regions,)
        rows = (config.regions, *(way for way in ways if way != config.regions), "chance")
        self.asked = Asked(config, vocabulary, marking, rows)
        self.naming: Naming = naming_of(config, vocabulary)
        if config.labels is not None:
            self._check_stored(config.labels)
        self.described = self._described(vocabulary)

    def _chosen(self, spec: str) -> Dataset:
        return open_dataset(spec)[:: self.config.every][: self.config.limit]

    def _unseen(self, vocabulary: Vocabulary) -> set[int]:
        """Rows of the vocabulary that are unseen classes of the data set; none where no split is known."""
        if self.layout not in UNSEEN:
            if self.config.split == "unseen":
                raise UsageError(f"no classes of {self.layout} are known as unseen, only of {', '.join(UNSEEN)}")
            return set()
        rows = {vocabulary.index_of(name) for name in UNSEEN[self.layout]}
        if -1 in rows and self.config.split == "unseen":
            raise UsageError(f"the vocabulary lacks one of {', '.join(UNSEEN[self.layout])}: leave --vocabulary out")
        return rows - {-1}

    def _check_stored(self, folder: Path) -> None:
        store = LabelStore(folder)
        for example in self.photos:
            if example.key not in store.places:
                stored(store, example.key)  # tells so, now and not after minutes

    def _described(self, vocabulary: Vocabulary) -> dict[str, str]:
        config, names = self.config, self.naming.names
        behind = len(self.naming.settings["background"])
        told = {
            "data": f"{config.data}: {len(self.photos)} photos, {self.asked.marking.count} classes with a name",
            "names": f"{len(vocabulary)} of {vocabulary.source}, in {len(names.rows) - behind} words",
            "model": f"{self.naming.language.name}, learned from {self.naming.language.supervision}",
        }
        if "forest" in self.asked.rows:
            told["regions"] = f"of {config.labels}" if config.labels else "explored with texture"
        if self.asked.marking.background:
            told["background"] = f"{behind} words, and scores below {self.naming.threshold:g}"
        return told


def _vocabulary(asked: str | None, layout: str, classes: dict[int, str]) -> Vocabulary:
    if asked is not None:
        return read_vocabulary_file(asked) if Path(asked).is_file() else read_vocabulary(asked)
    if (name := OWN.get(layout, layout)) in BUILT_IN:
        return read_vocabulary(name)
    return read_vocabulary(", ".join(name for name in classes.values() if name not in GROUNDS))


def _looked_at(given: _Given, watch: Watch) -> list[Named]:
    """Every photo named in every way, in their order."""
    items = list(enumerate(given.photos))
    most = workers_of(exploring(given.config))
    found: dict[int, Named] = {}
    make = partial(namer, given.asked)
    with closing(share_out(make, items, min(most, len(items)) if most > 1 else 0)) as outcomes:
        for place, outcome in watch(outcomes, len(items)):
            if isinstance(outcome, CallerError):
                raise CallerError(failed(given.photos[place].photo, outcome).reason)
            found[place] = outcome
    return [found[place] for place in range(len(items))]


# ---------------------------------------------------------------------- one row


@dataclass
class _Tables:
    """A row's pixels of all photos together, and the share of the true regions that it names right."""

    closed: np.ndarray
    open: np.ndarray | None
    first: float
    five: float
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)


def _row(name: str, tables: _Tables, given: _Given) -> Row:
    marking, unseen = given.asked.marking, given.asked.config.split == "unseen"
    classes = given.photos.classes
    bare = pool_names([tables.closed], background=False)
    scores = {"mIoU": bare.miou}
    tables.details["IoU"] = {classes[number]: value for number, value in zip(marking.classes, bare.iou, strict=True)}
    if tables.open is not None:
        told = pool_names([tables.open], background=True)
        scores["mIoU with background"] = told.miou
        labels = [*(classes[number] for number in marking.classes), "background"]
        tables.details["IoU with background"] = dict(zip(labels, told.iou, strict=True))
        tables.details["pixels named"] = _share(tables.open[:, [*range(marking.count), -1]].sum(), tables.open.sum())
    scores |= {"pixel accuracy": bare.accuracy, "mean accuracy": bare.mean_recall}
    slots = [place for place, row in enumerate(marking.rows) if int(row) in given.unseen]
    if slots and not unseen:
        seen = bare.over(set(range(marking.count)) - set(slots))
        scores |= {
            "mIoU seen": seen,
            "mIoU unseen": bare.over(slots),
            "harmonic": harmonic(seen, bare.over(slots)),
        }
    scores |= {"top-1": tables.first, "top-5": tables.five}
    model = {} if name in ("commonest", "chance") else _model(given)
    return Row(name, {key: (value,) for key, value in scores.items()}, {}, tables.seconds, model, tables.details)


def _summed(name: str, photos: Sequence[Named], given: _Given) -> _Tables:
    closed = np.sum([photo.closed[name] for photo in photos], axis=0)
    opened = np.sum([photo.open[name] for photo in photos], axis=0) if given.asked.marking.background else None
    regions = sum(len(photo.regions) for photo in photos)
    first, five = (_share(sum(photo.right[name][rank] for photo in photos), regions) for rank in (0, 1))
    if name == "chance" and regions:
        names = len(given.asked.vocabulary)
        first, five = 1 / names, min(5 / names, 1.0)  # on average: what one lot comes to says less
    seconds = float(np.mean([photo.seconds[name] for photo in photos]))
    return _Tables(closed, opened, first, five, seconds, {"true regions": regions})


def _commonest(photos: Sequence[Named], given: _Given) -> _Tables:
    """All pixels, and all regions, called what most of them are: the best there is without looking."""
    tables = _summed(given.config.regions, photos, given)
    count = given.asked.marking.count
    closed = constant_table(tables.closed, int(tables.closed[:count].sum(1).argmax()))
    opened = tables.open
    if opened is not None:
        opened = constant_table(opened, int(opened.sum(1).argmax()))  # column `count` is no name, which background is
    regions = np.sort(np.bincount(np.concatenate([photo.regions for photo in photos]).astype(int), minlength=count))
    shares = regions[::-1] / regions.sum() if regions.sum() else np.full(count, np.nan)
    details = {"true regions": int(regions.sum())}
    return _Tables(closed, opened, float(shares[0]), float(shares[:5].sum()), np.nan, details)


def _model(given: _Given) -> dict[str, Any]:
    return {"supervision": given.naming.language.supervision, **given.naming.settings}


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan
