"""A run of learning the segmenter, in sittings.

In: a label store, its photos and a `Train`. Out: RUN/, in which are run.json, log.jsonl and checkpoint.pt
(`sittings.py`), report.png, and the networks alone, each of which can be shipped:

    segmenter/instructed   the teacher as it was before it began to correct
    segmenter/teacher, segmenter/student
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from hedgerow.config import Train, UsageError
from hedgerow.data.labels import LabelStore
from hedgerow.engines import usable_cores
from hedgerow.learn.bank import Watch
from hedgerow.learn.correct import weights_at
from hedgerow.learn.instruct import Course, begin, train
from hedgerow.learn.labelled import labelled_shelves
from hedgerow.learn.networks.devices import in_company, rank, torch_device, world
from hedgerow.learn.networks.saving import save_ours
from hedgerow.learn.rehearsal import steps_that_fit
from hedgerow.learn.report import SEGMENTER, draw_report
from hedgerow.learn.shelves import Shelves
from hedgerow.learn.sittings import Keeper, check_photos, checkpoint_of, forget_after, make_run, open_run
from hedgerow.learn.trunks import supervision_of, trunk_of
from hedgerow.learn.views import MEAN, STD
from hedgerow.photos import find_photos


def sit_course(
    labels: Path,
    folder: Path,
    config: Train,
    *,
    photos: Sequence[Path] = (),
    resume: bool = False,
    watch: Watch = lambda items, _: items,
    shown: Callable[[Course, dict[str, float]], None] = lambda course, numbers: None,
) -> Course:
    """Begin a run, or go on with it, until it is done. `photos` are where the store's photos are now, if not where
    they were when it was made."""
    check(config)
    store = LabelStore(labels)
    places = list(photos) or [Path(place) for place in store.record["inputs"]]
    before = checkpoint_of(folder, config, resume, "in another folder")
    refs = find_photos(places)
    make_run(folder)
    device = torch_device(config.device)
    workers = config.workers or usable_cores()
    torch.set_num_threads(max(1, workers if device.type == "cpu" else 1))
    with in_company(device):
        if config.batch % world():
            raise UsageError(f"--batch is a multiple of the {world()} processes, got {config.batch}")
        shelves = labelled_shelves(refs, store, config, device=device, workers=workers, watch=watch)
        steps = before["steps"] if before else config.steps or _steps_that_fit(config, shelves, device)
        course = begin(config, device, trunk_of(config.backbone))
        course.steps = steps
        if before is None:
            size = sum(p.numel() for p in course.student.parameters())
            about = {"photos": len(shelves), "parameters": size, "start": config.backbone}
            about["supervision"] = supervision_of(store, config.backbone)
            open_run(folder, config, course, device, about)
        else:
            check_photos(before, len(shelves))
            course.take_up(before)
            forget_after(folder, course.step)
        keeper = Keeper(folder, config, device, partial(_write, folder), shown)
        with keeper.at_work():
            train(config, course, shelves, device, partial(_heard, folder, config, keeper))
        keeper.save(course)
        if rank() == 0:
            draw_report(folder, SEGMENTER)
    return course


def _steps_that_fit(config: Train, shelves: Shelves, device: torch.device) -> int:
    def start() -> Course:
        return begin(config, device, trunk_of(config.backbone))

    def learn(course: Course, told: Callable[[Course, dict[str, float]], None]) -> None:
        train(config, course, shelves, device, told)

    return steps_that_fit(config.minutes, config.correct, start, learn, device)


def check(config: Train) -> None:
    """Settings that cannot be, in one line each."""
    least = {"minutes": 0, "batch": 1, "accumulate": 1, "asked": 1, "side": 32, "size": 32, "save": 0, "memory": 0}
    for name, value in least.items():
        if not getattr(config, name) >= value:
            raise UsageError(f"--{name} is at least {value}, got {getattr(config, name)}")
    if config.size % 32:
        raise UsageError(f"--size is a multiple of 32, got {config.size}")
    if not 0 < config.share[0] <= config.share[1] <= 1:
        raise UsageError(f"--share is two shares, least and most, got {config.share[0]} {config.share[1]}")
    for name in ("scenes", "scenes_first", "correct", "warm"):
        if not 0 <= getattr(config, name) <= 1:
            raise UsageError(f"--{name.replace('_', '-')} lies in 0 ... 1, got {getattr(config, name)}")
    network = config.network
    if min(network.layers, *network.grids) < 1 or network.dim % (4 * network.heads):
        raise UsageError(
            f"--network.dim is a multiple of four times the heads, .layers and .grids at least 1; got {network}"
        )


def _write(folder: Path, course: Course) -> dict[str, float]:
    for name in ("teacher", "student"):
        save_ours(getattr(course, name), folder / "segmenter" / name, MEAN, STD)
    return {}


def _heard(folder: Path, config: Train, keeper: Keeper, course: Course, numbers: dict[str, float]) -> None:
    """The teacher is kept as self-instruction leaves it, at the step after which it corrects."""
    now, next_ = (weights_at(config.correct, step / course.steps)[1] for step in (course.step - 1, course.step))
    if now == 0 and (next_ > 0 or course.step == course.steps):
        save_ours(course.teacher, folder / "segmenter" / "instructed", MEAN, STD)
    keeper(course, numbers)
