"""A run of learning, in sittings: begun, stopped at any moment, gone on with, finished.

In: photos and a `Pretrain`. Out: RUN/, in which are

    run.json        the settings, how many photos and steps, and the machine
    log.jsonl       a line a step (of many steps, every so many-th)
    checkpoint.pt   all that going on needs; tensors and plain values only
    backbone/       the teacher as transformers writes its models
    report.png      the log, drawn
    regions-*.npz   regions of the photos, where they are learned from
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import perf_counter, time
from typing import Any

import numpy as np
import torch

from hedgerow.config import VERSION, CallerError, Pretrain, UsageError
from hedgerow.learn.bank import Bank, Shelves, Watch, read_bank
from hedgerow.learn.networks.devices import any_of_all, in_company, rank, torch_device, world
from hedgerow.learn.networks.saving import save_network
from hedgerow.learn.pretrain import State, begin, pretrain, steps_that_fit
from hedgerow.learn.report import draw_report
from hedgerow.learn.views import MEAN, STD
from hedgerow.photos import PhotoRef, find_photos
from hedgerow.workers import usable_cores
from hedgerow.writing import write_atomically

LINES = 4000  # of the log: of longer runs it has every so many-th step
FREE = ("quiet", "workers", "device", "save", "memory", "keep_going", "minutes", "probe")  # may differ when it goes on


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
    before = _before(folder, config, resume)
    refs = find_photos(places)
    _made(folder)
    device = torch_device(config.device)
    torch.set_num_threads(max(1, (config.workers or usable_cores()) if device.type == "cpu" else 1))
    with in_company(device):
        if config.batch % world():
            raise UsageError(f"--batch is a multiple of the {world()} processes, got {config.batch}")
        shelves = Shelves(
            refs,
            side=config.side,
            room=int(config.memory * 2**30),
            batch=config.batch,
            seed=config.seed,
            read=partial(_read, folder=folder, config=config, device=device, bad=bad, watch=watch),
        )
        if before is None:
            steps = config.steps or steps_that_fit(config, shelves, device)
            state = begin(config, device, start)
            state.steps = steps
            _open(folder, config, len(refs), state, start)
        else:
            state = _resumed(before, config, len(refs), device)
            _forget_after(folder / "log.jsonl", state.step)
        keeper = _Keeper(folder, config, shown, probe)
        with keeper.patient():
            pretrain(config, state, shelves, device, keeper)
        if rank() == 0:
            keeper.save(state)
            draw_report(folder)
    return state


def check(config: Pretrain) -> None:
    """Settings that cannot be, in one line each."""
    network, views = config.network, config.views
    least = {"batch": 2, "prototypes": 2, "minutes": 0, "side": 8, "save": 0, "memory": 0}
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
    refs: Sequence[PhotoRef], *, folder: Path, config: Pretrain, device: torch.device, bad: Any, watch: Watch
) -> Bank:
    """Regions take far longer than the photos, so those once found are kept for the run's next sitting."""
    workers = config.workers or usable_cores()
    asked = [VERSION, str(config.side), *(str(ref.key) for ref in refs)]
    kept = folder / f"regions-{hashlib.sha256(chr(0).join(asked).encode()).hexdigest()[:16]}.npz"
    wanted, known = config.pull.region > 0, kept.is_file()
    bank = read_bank(
        refs,
        side=config.side,
        regions=wanted and not known,
        device=device,
        workers=workers,
        keep_going=config.keep_going,
        bad=bad,
        watch=watch if rank() == 0 else lambda items, _: items,
    )
    if wanted and known:
        regions = torch.from_numpy(np.load(kept)["regions"])
        if len(regions) != len(bank):
            raise CallerError(f"{kept} is of other photos: remove it, and the regions are found again")
        return replace(bank, regions=regions.to(device))
    if wanted and rank() == 0:
        content = io.BytesIO()
        np.savez_compressed(content, regions=bank.regions.cpu().numpy())
        write_atomically(kept, content.getvalue())
    return bank


# ---------------------------------------------------------------------- the folder


def _before(folder: Path, config: Pretrain, resume: bool) -> dict[str, Any] | None:
    """The checkpoint to go on from; None for a new run."""
    checkpoint = folder / "checkpoint.pt"
    if not resume:
        if checkpoint.exists():
            raise CallerError(f"{folder} holds a run: --resume goes on with it, or choose another folder")
        return None
    if not checkpoint.exists():
        raise CallerError(f"{folder} holds no checkpoint to go on from: leave --resume out")
    before = read_checkpoint(checkpoint)
    mine, theirs = _plain(asdict(config)), before["config"]
    other = [name for name in mine if name not in (*FREE, "steps") and mine[name] != theirs.get(name)]
    if config.steps and config.steps != before["steps"]:
        other.append("steps")
    if other:
        told = f"give the same, or begin anew with --start {folder}/backbone"
        raise CallerError(f"{folder} was begun with other settings ({', '.join(other)}): {told}")
    return before


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and plain values; a pickle of anything else is refused."""
    try:
        before = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        raise CallerError(f"{path} is broken or no checkpoint: {str(error).strip().splitlines()[0][:200]}") from None
    wanted = {"version", "config", "photos", "step", "steps", "seconds", "student", "teacher", "centres", "optimizer"}
    if not isinstance(before, dict) or not wanted <= before.keys():
        raise CallerError(f"{path} is no checkpoint of a pre-training run")
    return before


def _resumed(before: dict[str, Any], config: Pretrain, photos: int, device: torch.device) -> State:
    if before["photos"] != photos:
        raise CallerError(f"the run was begun with {before['photos']} photos, now there are {photos}: give the same")
    state = begin(config, device)
    state.student.load_state_dict(before["student"])
    state.teacher.load_state_dict(before["teacher"])
    state.optimizer.load_state_dict(before["optimizer"])
    state.centres = {kind: centre.to(device) for kind, centre in before["centres"].items()}
    state.step, state.steps, state.seconds = before["step"], before["steps"], before["seconds"]
    return state


def _forget_after(log: Path, step: int) -> None:
    """What was logged after the checkpoint will be logged again."""
    if rank() == 0:
        kept = [line for line in _lines(log) if json.loads(line)["step"] <= step]
        write_atomically(log, "".join(f"{line}\n" for line in kept).encode())


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CallerError(f"{folder} cannot be made a folder ({error.strerror}): choose another place") from None


def _open(folder: Path, config: Pretrain, photos: int, state: State, start: str | None) -> None:
    if rank():
        return
    device = state.centres["whole"].device
    (folder / "log.jsonl").unlink(missing_ok=True)
    about = {
        "hedgerow": VERSION,
        "photos": photos,
        "steps": state.steps,
        "parameters": sum(p.numel() for p in state.student.network.parameters()),
        "device": _device_name(device),
        "processes": world(),
        "torch": torch.__version__,
        "start": start,
        "config": _plain(asdict(config)),
    }
    write_atomically(folder / "run.json", (json.dumps(about, indent=2) + "\n").encode())


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    named = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    processor = named[0].partition(":")[2].strip() if named else platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads" if device.type == "cpu" else f"{processor} {device.type}"


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.exists() else []


class _Keeper:
    """Logs every step that is to be logged; saves, and measures, every few minutes."""

    def __init__(self, folder: Path, config: Pretrain, shown: Any, probe: Any) -> None:
        self.folder, self.config, self.shown, self.probe = folder, config, shown, probe
        self.saved = self.logged = perf_counter()
        self.photos = 0
        self.asked: signal.Signals | None = None
        self.handlers: dict[signal.Signals, Any] = {}

    def __call__(self, state: State, numbers: dict[str, float]) -> None:
        if rank() == 0:
            self.shown(state, numbers)
            self._keep(state, numbers)
        if any_of_all(self.asked is not None, state.centres["whole"].device):  # at one step, all of them
            if rank() == 0:
                self.save(state)
            self._leave(self.asked or signal.SIGTERM)

    def _keep(self, state: State, numbers: dict[str, float]) -> None:
        self.photos += self.config.batch
        every = max(1, math.ceil(state.steps / LINES))
        if state.step % every == 0 or state.step == state.steps:
            now = perf_counter()
            line = {
                "step": state.step,
                "seconds": round(state.seconds, 3),
                "photos/s": self.photos / (now - self.logged),
            }
            self._log({**line, **numbers})
            self.logged, self.photos = now, 0
        if perf_counter() - self.saved > 60 * self.config.save and state.step < state.steps:
            self.save(state)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM wait for the end of a step, which is then saved; a second one does not wait."""
        if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
            yield
            return
        self.handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def wait(number: int, frame: Any) -> None:
            self._as_before()
            self.asked = signal.Signals(number)

        for number in self.handlers:
            signal.signal(number, wait)
        try:
            yield
        finally:
            self._as_before()

    def _as_before(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _leave(self, number: signal.Signals) -> None:
        """What the signal would have done at once."""
        self._as_before()
        handler = self.handlers.get(number)
        if callable(handler):
            handler(number, None)
        else:
            signal.raise_signal(number)

    def save(self, state: State) -> None:
        content = {
            "version": VERSION,
            "config": _plain(asdict(self.config)),
            "photos": json.loads((self.folder / "run.json").read_text("utf-8"))["photos"],
            "step": state.step,
            "steps": state.steps,
            "seconds": state.seconds,
            "student": state.student.state_dict(),
            "teacher": state.teacher.state_dict(),
            "centres": state.centres,
            "optimizer": state.optimizer.state_dict(),
        }
        save_network(state.teacher.network, self.folder / "backbone", MEAN, STD)
        part = self.folder / "checkpoint.pt.part"
        torch.save(content, part)
        os.replace(part, self.folder / "checkpoint.pt")
        if self.probe is not None:
            self._log({"step": state.step, "seconds": round(state.seconds, 3), **self.probe(self.folder / "backbone")})
        self.saved = perf_counter()

    def _log(self, line: dict[str, Any]) -> None:
        rounded = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in line.items()}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({**rounded, "time": round(time(), 1)}) + "\n")


def _plain(value: Any) -> Any:
    """As JSON has it: tuples are lists."""
    return json.loads(json.dumps(value))
