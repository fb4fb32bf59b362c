"""A run of MaskContrast, in sittings.

In: a label store, its photos and a `Contrast`. Out: RUN/, in which are run.json, log.jsonl and checkpoint.pt
(`sittings.py`), report.png, and contraster/, the slow network, which can be shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from hedgerow.config import Contrast, UsageError
from hedgerow.data.labels import LabelStore
from hedgerow.engines import usable_cores
from hedgerow.learn.bank import Watch
from hedgerow.learn.contrast import Contrasting, begin, contrast, salience_of
from hedgerow.learn.labelled import labelled_shelves
from hedgerow.learn.networks.devices import in_company, rank, torch_device, world
from hedgerow.learn.networks.saving import save_ours
from hedgerow.learn.rehearsal import steps_that_fit
from hedgerow.learn.report import CONTRAST, draw_report
from hedgerow.learn.shelves import Shelves
from hedgerow.learn.sittings import Keeper, check_photos, checkpoint_of, forget_after, make_run, open_run
from hedgerow.learn.trunks import supervision_of, trunk_named
from hedgerow.learn.views import MEAN, STD
from hedgerow.photos import find_photos


def sit_contrast(
    photos: Sequence[Path],
    prior: Path,
    folder: Path,
    config: Contrast,
    *,
    resume: bool = False,
    watch: Watch = lambda items, _: items,
    shown: Callable[[Contrasting, dict[str, float]], None] = lambda run, numbers: None,
) -> Contrasting:
    """Begin a run, or go on with it, until it is done. Without `photos` those that the store was made of."""
    check(config)
    store = LabelStore(prior)
    places = list(photos) or [Path(place) for place in store.record["inputs"]]
    before = checkpoint_of(folder, config, resume, "in another folder")
    refs = find_photos(places)
    trunk = trunk_named(config.backbone, config.seed)
    if config.size % trunk.config.patch:  # type: ignore[union-attr, operator]
        raise UsageError(f"--size is a multiple of the backbone's patch, {trunk.config.patch}, got {config.size}")  # type: ignore[union-attr]
    make_run(folder)
    device = torch_device(config.device)
    workers = config.workers or usable_cores()
    torch.set_num_threads(max(1, workers if device.type == "cpu" else 1))
    with in_company(device):
        if config.batch % world():
            raise UsageError(f"--batch is a multiple of the {world()} processes, got {config.batch}")
        shelves = labelled_shelves(refs, store, config, device=device, workers=workers, watch=watch)
        steps = before["steps"] if before else config.steps or _steps_that_fit(config, shelves, device, trunk)
        run = begin(config, device, trunk, shelves)
        run.steps = steps
        if before is None:
            size = sum(p.numel() for p in run.student.parameters())
            about = {
                "photos": len(shelves),
                "parameters": size,
                "start": config.backbone,
                "supervision": supervision_of(store, config.backbone),
                "salience": salience_of(config, shelves),
            }
            open_run(folder, config, run, device, about)
        else:
            check_photos(before, len(shelves))
            run.take_up(before)
            forget_after(folder, run.step)
        keeper = Keeper(folder, config, device, partial(_write, folder), shown)
        with keeper.at_work():
            contrast(config, run, shelves, device, keeper)
        keeper.save(run)
        if rank() == 0:
            draw_report(folder, CONTRAST)
    return run


def check(config: Contrast) -> None:
    """Settings that cannot be, in one line each."""
    least = {
        "minutes": 0,
        "batch": 1,
        "accumulate": 1,
        "queue": 0,
        "dim": 2,
        "hidden": 1,
        "side": 32,
        "size": 16,
        "objects": 1,
        "save": 0,
        "memory": 0,
    }
    for name, value in least.items():
        if not getattr(config, name) >= value:
            raise UsageError(f"--{name} is at least {value}, got {getattr(config, name)}")
    if not 0 < config.share[0] <= config.share[1] <= 1:
        raise UsageError(f"--share is two shares, least and most, got {config.share[0]} {config.share[1]}")
    if not 0 <= config.momentum <= 1:
        raise UsageError(f"--momentum lies in 0 ... 1, got {config.momentum}")
    if config.nested and config.dim % 2:
        raise UsageError(f"--dim is even where --nested halves it, got {config.dim}")


def _steps_that_fit(config: Contrast, shelves: Shelves, device: torch.device, trunk: nn.Module) -> int:
    def learn(run: Contrasting, told: Callable[[Contrasting, dict[str, float]], None]) -> None:
        contrast(config, run, shelves, device, told)

    return steps_that_fit(config.minutes, 0.0, partial(begin, config, device, trunk, shelves), learn, device)


def _write(folder: Path, run: Contrasting) -> dict[str, float]:
    save_ours(run.teacher, folder / "contraster", MEAN, STD)
    return {}
