"""Masks followed through films by a backbone's features (see `hedgerow.measure.video`), and what that has to beat.

In: films with painted objects, davis. Out: a `FeatureReport`, a row a backbone; beside them a row in which the first
frame's masks are kept as they are. Only the first frame's labels are shown; objects that come later are nobody's.
A film's frames follow each other, so a process takes a whole film.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from hedgerow.backbones import feature_map, open_backbone
from hedgerow.config import CallerError, Evaluate, EvaluateVideo, UsageError
from hedgerow.data.datasets import Example, LayoutError, open_dataset
from hedgerow.engines import share_out
from hedgerow.evaluation.features import FeatureReport, Row, names_beside
from hedgerow.explore import explore
from hedgerow.measure import Follower, FrameMasks, measure_frame, pool_video
from hedgerow.photos import Photo, open_photo
from hedgerow.pipeline import DECODED, Watch, explore_of, settings_of, workers_of

KEPT = "first frame kept"  # the row of masks that do not move

Seen = tuple[FrameMasks, float]  # of a frame, and the seconds that its features took


@dataclass(frozen=True)
class Film:
    """Frames in their order."""

    name: str
    frames: tuple[Example, ...]


def evaluate_video(config: EvaluateVideo, watch: Watch = lambda items, _: items) -> FeatureReport:
    """Follow the first frame's masks by a backbone and by those beside it; `watch` shows progress.

    A frame that cannot be opened ends it, as do labels that cannot be read: either would change what is measured.
    """
    films = _films(config)
    names, notes = names_beside(config)
    names += [KEPT] if config.beside else []
    rows = [_row(name, films, config, watch) for name in names]
    frames = sum(len(film.frames) for film in films)
    said = f"{config.data}: {len(films)} films, {frames} frames, without the first and the last of each"
    follow = config.follow
    how = (
        f"{follow.frames} frames before and the first, within {follow.radius} patches, the {follow.top} most similar, "
        f"temperature {follow.temperature}"
    )
    edges = {"edges": f"of the best {config.segments} regions a frame, explored with texture"} if config.forest else {}
    return FeatureReport(rows, {}, {"data": said, "followed": how, **edges}, notes, [config.seed])


def _films(config: EvaluateVideo) -> list[Film]:
    """The films of the data set, found fit before any frame is opened."""
    least = {"frames": 3, "segments": 1, "workers": 1}
    for name, value in least.items():
        if (given := getattr(config, name)) is not None and given < value:
            raise UsageError(f"--{name} is at least {value}, got {given}")
    for name, value in (("frames", 0), ("radius", 0), ("top", 1)):
        if getattr(config.follow, name) < value:
            raise UsageError(f"--follow.{name} is at least {value}, got {getattr(config.follow, name)}")
    if not config.follow.temperature > 0:
        raise UsageError(f"--follow.temperature is above 0, got {config.follow.temperature}")
    explore_of(_exploring(config))
    frames: dict[str, list[Example]] = {}
    dataset = open_dataset(config.data)
    if dataset.name != "davis":
        raise LayoutError(f"{config.data} is of no use here: it has no films; davis has")
    for example in dataset:
        frames.setdefault(example.key.rpartition("/")[0], []).append(example)
    for name, film in frames.items():
        if len(film) < 3:
            raise LayoutError(f"{config.data}: {name} has {len(film)} frames, the first and the last are not measured")
    return [Film(name, tuple(film[: config.frames])) for name, film in frames.items()]


def _exploring(config: EvaluateVideo, backbone: str = "texture") -> Evaluate:
    return Evaluate(config.data, backbone=backbone, workers=config.workers, seed=config.seed, explore=config.explore)


def _row(name: str, films: Sequence[Film], config: EvaluateVideo, watch: Watch) -> Row:
    total = sum(len(film.frames) - 2 for film in films)
    seen = list(watch(_seen(name, films, config), total))
    scores: dict[str, tuple[float, ...]] = {
        key: (float(value),) for key, value in pool_video(frame for frame, _ in seen).as_dict().items()
    }
    scores.pop("objects")
    worst = sorted((frame for frame, _ in seen), key=lambda frame: frame.mean)[:3]
    details = {"worst": {frame.name: frame.mean for frame in worst}}
    model: dict[str, Any] = {} if name == KEPT else settings_of(open_backbone(name), _exploring(config, name))
    return Row(name, scores, {}, float(np.mean([seconds for _, seconds in seen])), model, details)


def _seen(name: str, films: Sequence[Film], config: EvaluateVideo) -> Generator[Seen]:
    """Every frame measured, films in their order of being done: their scores do not hang on it."""
    workers = min(workers_of(_exploring(config)), len(films))
    if workers < 2:
        follow = _follower(name, config)
        for film in films:
            yield from follow(film)
        return
    with closing(share_out(partial(_whole, name, config), films, workers)) as outcomes:
        for _, outcome in outcomes:
            if isinstance(outcome, CallerError):
                raise outcome
            yield from outcome


# ---------------------------------------------------------------------- in a worker


def _whole(name: str, config: EvaluateVideo) -> Callable[[Film], list[Seen]]:
    follow = _follower(name, config)
    return lambda film: list(follow(film))


def _follower(name: str, config: EvaluateVideo) -> Callable[[Film], Iterator[Seen]]:
    """Follows a film frame by frame, and measures all but its first and last."""
    backbone = None if name == KEPT else open_backbone(name)
    finder = open_backbone("texture")

    def followed(film: Film) -> Iterator[Seen]:
        first = film.frames[0]
        painted = _objects(first)
        numbers = [int(number) for number in np.unique(painted) if number]
        if not numbers:
            raise LayoutError(f"{first.key}: no object is painted in it, there is nothing to follow")
        follower = None
        for place, frame in enumerate(film.frames[:-1]):
            start, found, photo = perf_counter(), painted, open_photo(frame.photo, DECODED)
            values = None if backbone is None else feature_map(backbone, photo.pixels).values
            seconds = np.nan if values is None else perf_counter() - start
            if values is not None and follower is None:
                follower = Follower(values, painted, config.follow)
            elif values is not None and follower is not None:
                soft = follower.soft(follower.follow(values))
                soft = _snapped(soft, photo, finder, config) if config.forest else soft
                found = follower.labels(soft)
            if place:
                yield measure_frame(found, _objects(frame), numbers, film=film.name, name=frame.key), seconds

    return followed


def _objects(frame: Example) -> np.ndarray:
    """(H, W) number of the object, 0 where none is."""
    regions = frame.truth().regions
    assert regions is not None
    assert regions.category is not None
    painted = np.zeros(regions.size, np.int32)
    for row, number in enumerate(regions.category.tolist()):
        painted[regions.mask(row)] = number
    return painted


def _snapped(soft: np.ndarray, photo: Photo, finder: Any, config: EvaluateVideo) -> np.ndarray:
    """(O, H, W): every pixel takes the mean of the region that is opened there."""
    forest = explore(photo, finder, explore_of(_exploring(config)), config.seed)
    regions = forest.cut(count=config.segments) + 1  # 0: in none
    size = np.bincount(regions.ravel())
    means = (np.bincount(regions.ravel(), one.ravel()) / np.maximum(size, 1) for one in soft)
    return np.stack([np.where(regions > 0, mean[regions], one) for mean, one in zip(means, soft, strict=True)])
