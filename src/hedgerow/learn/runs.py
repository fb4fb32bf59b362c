"""A run of pre-training, in sittings: begun, stopped at any moment, gone on with, finished.

In: photos and a `Pretrain`. Out: RUN/, in which are run.json, log.jsonl and checkpoint.pt (`sittings.py`), and

    backbone/       the teacher as transformers writes its models
    report.png      the log, drawn
    regions-*.npz   regions of the photos, where they are learned from
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hedgerow.config import VERSION, CallerError, Pretrain, UsageError
from hedgerow.engines import usable_cores
from hedgerow.learn.bank import Bank, Item, Watch, fitting, led, read_bank
from hedgerow.learn.networks.devices import in_company, rank, torch_device, world
from hedgerow.learn.networks.saving import save_network
from hedgerow.learn.pretrain import State, begin, pretrain
from hedgerow.learn.rehearsal import steps_that_fit
from hedgerow.learn.report import draw_report
from hedgerow.learn.shelves import Shelves
from hedgerow.learn.sittings import Keeper, check_photos, checkpoint_of, forget_after, make_run, open_run
from hedgerow.learn.views import MEAN, STD
from hedgerow.photos import find_photos
from hedgerow.writing import write_atomically


def sit(
    inputs: Iterable[str | Path],
    folder: Path,
    config: Pretrain,
    *,
    resume: bool = False,
    start: str | None = None,
    bad: Callable[[str], None] = lambda line: None,
    watch: Watch = lambda items, _: items,
    shown: Callable[[State, dict[str, float]], None] = lambda state, numbers: None,
    probe: Callable[[Path], dict[str, float]] | None = None,
) -> State:
    """Begin a run, or go on with it, until it is done. `bad` hears of photos left out, `shown` of every step; `probe`
    measures the backbone of a checkpoint, and what it says stands in the log."""
    check(config)
    places = [Path(given) for given in inputs]
    if not places:
        raise UsageError("no photo was named: give folders, globs or tars")
    before = checkpoint_of(folder, config, resume, f"with --start {folder}/backbone")
    refs = find_photos(places)
    make_run(folder)
    device = torch_device(config.device)
    torch.set_num_threads(max(1, (config.workers or usable_cores()) if device.type == "cpu" else 1))
    with in_company(device):
        if config.batch % world():
            raise UsageError(f"--batch is a multiple of the {world()} processes, got {config.batch}")
        shelves = Shelves(
            [(ref, None) for ref in refs],
            fitting=fitting(config.memory, config.side),
            batch=config.batch,
            seed=config.seed,
            read=partial(_read, folder=folder, config=config, device=device, bad=bad, watch=watch),
        )
        if before is None:
            steps = config.steps or _steps_that_fit(config, shelves, device)
            state = begin(config, device, start)
            state.steps = steps
            size = sum(p.numel() for p in state.student.network.parameters())
            open_run(folder, config, state, device, {"photos": len(refs), "parameters": size, "start": start})
        else:
            state = _resumed(before, config, len(refs), device)
            forget_after(folder, state.step)
        keeper = Keeper(folder, config, device, partial(_write, folder, probe), shown)
        with keeper.at_work():
            pretrain(config, state, shelves, device, keeper)
        keeper.save(state)
        if rank() == 0:
            draw_report(folder)
    return state


def _steps_that_fit(config: Pretrain, shelves: Shelves, device: torch.device) -> int:
    def learn(state: State, told: Callable[[State, dict[str, float]], None]) -> None:
        pretrain(config, state, shelves, device, told)

    return steps_that_fit(config.minutes, config.late, partial(begin, config, device), learn, device)


def check(config: Pretrain) -> None:
    """Settings that cannot be, in one line each."""
    network, views = config.network, config.views
    least = {"batch": 2, "accumulate": 1, "prototypes": 2, "minutes": 0, "side": 8, "save": 0, "memory": 0}
    for name, value in least.items():
        if not getattr(config, name) >= value:
            raise UsageError(f"--{name} is at least {value}, got {getattr(config, name)}")
    if network.kind == "pyramid":
        if network.patch != 8:
            raise UsageError(f"--network.patch of a pyramid is 8, got {network.patch}")
        if min(network.dim, *network.widths, *network.depths) < 1:
            raise UsageError("--network.dim, .widths and .depths are at least 1")
    elif network.dim % (4 * network.heads):
        raise UsageError(f"--network.dim is a multiple of four times the heads, got {network.dim}, {network.heads}")
    for name in ("large", "small"):
        if getattr(views, name) % network.patch or not getattr(views, name):
            raise UsageError(f"--views.{name} is a multiple of the patch {network.patch}, got {getattr(views, name)}")
    if not any(vars(config.pull).values()) or min(vars(config.pull).values()) < 0:
        raise UsageError("--pull.* are 0 or more, and one of them is more: else there is nothing to learn from")
    for name in ("most", "least", "masked"):
        low, high = getattr(views, name)
        if not 0 <= low <= high <= 1:
            raise UsageError(f"--views.{name} is two shares, least and most, got {low} {high}")


def _read(
    items: Sequence[Item], *, folder: Path, config: Pretrain, device: torch.device, bad: Any, watch: Watch
) -> tuple[Bank, np.ndarray]:
    """Regions take far longer than the photos, so those once found are kept for the run's next sitting."""
    workers = config.workers or usable_cores()
    asked = [VERSION, str(config.side), *(str(ref.key) for ref, _ in items)]
    kept = folder / f"regions-{hashlib.sha256(chr(0).join(asked).encode()).hexdigest()[:16]}.npz"
    wanted, known = config.pull.region > 0, kept.is_file()
    bank, there = read_bank(
        items,
        side=config.side,
        regions=wanted and not known,
        device=device,
        workers=workers,
        keep_going=config.keep_going,
        bad=bad,
        watch=led(watch),
    )
    if wanted and known:
        regions = torch.from_numpy(np.load(kept)["regions"])
        if len(regions) != len(bank):
            raise CallerError(f"{kept} is of other photos: remove it, and the regions are found again")
        return replace(bank, regions=regions.to(device)), there
    if wanted:
        content = io.BytesIO()
        np.savez_compressed(content, regions=bank.regions.cpu().numpy())
        write_atomically(kept, content.getvalue())
    return bank, there


def _resumed(before: dict[str, Any], config: Pretrain, photos: int, device: torch.device) -> State:
    check_photos(before, photos)
    state = begin(config, device)
    state.take_up(before, device)
    return state


def _write(folder: Path, probe: Callable[[Path], dict[str, float]] | None, state: State) -> dict[str, float]:
    save_network(state.teacher.network, folder / "backbone", MEAN, STD)
    return probe(folder / "backbone") if probe is not None and rank() == 0 else {}
