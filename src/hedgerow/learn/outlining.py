"""A run of learning where things end, in sittings.

In: a label store, its photos and an `Outline`. Out: RUN/, in which are run.json, log.jsonl and checkpoint.pt
(`sittings.py`), report.png, and outliner/, the moving average of the network, which can be shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from hedgerow.config import Outline, UsageError
from hedgerow.data.labels import LabelStore
from hedgerow.engines import usable_cores
from hedgerow.learn.bank import Watch
from hedgerow.learn.labelled import labelled_shelves
from hedgerow.learn.networks.devices import in_company, rank, torch_device, world
from hedgerow.learn.networks.maps import STRIDES
from hedgerow.learn.networks.saving import save_ours
from hedgerow.learn.outline import Outlining, begin, outline
from hedgerow.learn.rehearsal import steps_that_fit
from hedgerow.learn.report import OUTLINE, draw_report
from hedgerow.learn.shelves import Shelves
from hedgerow.learn.sittings import Keeper, check_photos, checkpoint_of, forget_after, make_run, open_run
from hedgerow.learn.trunks import supervision_of, trunk_of
from hedgerow.learn.views import MEAN, STD
from hedgerow.photos import find_photos


def sit_outline(
    labels: Path,
    folder: Path,
    config: Outline,
    *,
    photos: Sequence[Path] = (),
    resume: bool = False,
    watch: Watch = lambda items, _: items,
    shown: Callable[[Outlining, dict[str, float]], None] = lambda run, numbers: None,
) -> Outlining:
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
        trunk = trunk_of(config.backbone)
        steps = before["steps"] if before else config.steps or _steps_that_fit(config, shelves, device, trunk)
        run = begin(config, device, trunk)
        run.steps = steps
        if before is None:
            size = sum(p.numel() for p in run.student.parameters())
            about = {"photos": len(shelves), "parameters": size, "start": config.backbone}
            about["supervision"] = supervision_of(store, config.backbone)
            open_run(folder, config, run, device, about)
        else:
            check_photos(before, len(shelves))
            run.take_up(before)
            forget_after(folder, run.step)
        keeper = Keeper(folder, config, device, partial(_write, folder), shown)
        with keeper.at_work():
            outline(config, run, shelves, keeper)
        keeper.save(run)
        if rank() == 0:
            draw_report(folder, OUTLINE)
    return run


def check(config: Outline) -> None:
    """Settings that cannot be, in one line each."""
    least = {"minutes": 0, "batch": 1, "accumulate": 1, "side": 32, "size": 32, "dim": 1, "save": 0, "memory": 0}
    for name, value in least.items():
        if not getattr(config, name) >= value:
            raise UsageError(f"--{name} is at least {value}, got {getattr(config, name)}")
    if config.size % max(STRIDES):
        raise UsageError(f"--size is a multiple of {max(STRIDES)}, got {config.size}")
    if not 0 < config.share[0] <= config.share[1] <= 1:
        raise UsageError(f"--share is two shares, least and most, got {config.share[0]} {config.share[1]}")
    for name in ("momentum", "warm"):
        if not 0 <= getattr(config, name) <= 1:
            raise UsageError(f"--{name} lies in 0 ... 1, got {getattr(config, name)}")


def _steps_that_fit(config: Outline, shelves: Shelves, device: torch.device, trunk: str) -> int:
    def learn(run: Outlining, told: Callable[[Outlining, dict[str, float]], None]) -> None:
        outline(config, run, shelves, told)

    return steps_that_fit(config.minutes, 0.0, partial(begin, config, device, trunk), learn, device)


def _write(folder: Path, run: Outlining) -> dict[str, float]:
    save_ours(run.teacher, folder / "outliner", MEAN, STD)
    return {}
