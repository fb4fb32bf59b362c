"""What every run of learning has: a folder, a log, checkpoints, and patience with whoever stops it.

In: a `Course`, which is at some step and knows what of it is to be kept. Out: in its folder

    run.json        the settings, what it learns from, how many steps, and the machine
    log.jsonl       a line a step (of many steps, every so many-th)
    checkpoint.pt   all that going on needs; tensors and plain values only
"""

from __future__ import annotations

import json
import math
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, time
from typing import Any, Protocol

import torch

from hedgerow.config import VERSION, CallerError
from hedgerow.learn.networks.devices import any_of_all, rank, world
from hedgerow.learn.networks.sharing import whole
from hedgerow.writing import alone_in, sweep, whole_or_not, write_atomically

LINES = 4000  # of the log: of longer runs it has every so many-th step
# settings that may differ when a run goes on
FREE = (
    *("quiet", "workers", "device", "save", "memory", "accumulate", "sharded", "keep_going"),
    *("minutes", "probe", "measure", "every"),
)


class Course(Protocol):
    """What is being learned, at one moment."""

    step: int
    steps: int
    seconds: float  # of learning, over all its sittings

    def kept(self) -> dict[str, Any]:
        """All else that going on needs."""
        ...


# ---------------------------------------------------------------------- the folder


def checkpoint_of(folder: Path, config: Any, resume: bool, begin_anew: str) -> dict[str, Any] | None:
    """The checkpoint to go on from; None for a new run. `begin_anew` says how else to use what is there."""
    checkpoint = folder / "checkpoint.pt"
    if not resume:
        if checkpoint.exists():
            raise CallerError(f"{folder} holds a run: --resume goes on with it, or choose another folder")
        return None
    if not checkpoint.exists():
        raise CallerError(f"{folder} holds no checkpoint to go on from: leave --resume out")
    before = read_checkpoint(checkpoint)
    mine, theirs = plain(asdict(config)), before["config"]
    other = [name for name in mine if name not in (*FREE, "steps") and mine[name] != theirs.get(name)]
    if config.steps and config.steps != before["steps"]:
        other.append("steps")
    if other:
        raise CallerError(
            f"{folder} was begun with other settings ({', '.join(other)}): give the same, or begin anew {begin_anew}"
        )
    return before


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and plain values; a pickle of anything else is refused."""
    try:
        before = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise CallerError(f"{path} is broken or no checkpoint: {reason}") from None
    wanted = {"version", "config", "photos", "step", "steps", "seconds"}
    if not isinstance(before, dict) or not wanted <= before.keys():
        raise CallerError(f"{path} is no checkpoint of a run")
    return before


def check_photos(before: dict[str, Any], photos: int) -> None:
    """A run that goes on has as many photos as it began with."""
    if before["photos"] != photos:
        raise CallerError(f"the run was begun with {before['photos']} photos, now there are {photos}: give the same")


def forget_after(folder: Path, step: int) -> None:
    """What was logged after the checkpoint will be logged again."""
    log = folder / "log.jsonl"
    if rank() == 0:
        kept = [line for line in _lines(log) if _step_of(line) <= step]
        write_atomically(log, "".join(f"{line}\n" for line in kept).encode())


def _step_of(line: str) -> float:
    """Of a line of the log; one that was cut off, as by a full disk, is later than any."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf


def make_run(folder: Path) -> None:
    """The folder, in which no other run is at work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CallerError(f"{folder} cannot be made a folder ({error.strerror}): choose another place") from None
    if os.environ.get("RANK", "0") == "0":  # torchrun's: of several processes the first holds the folder
        with alone_in(folder):
            sweep(folder)


def open_run(folder: Path, config: Any, course: Course, device: torch.device, about: dict[str, Any]) -> None:
    """run.json, and an empty log."""
    if rank():
        return
    (folder / "log.jsonl").unlink(missing_ok=True)
    told = {
        "hedgerow": VERSION,
        "steps": course.steps,
        **about,
        "device": _device_name(device),
        "processes": world(),
        "torch": torch.__version__,
        "config": plain(asdict(config)),
    }
    write_atomically(folder / "run.json", (json.dumps(told, indent=2) + "\n").encode())


def plain(value: Any) -> Any:
    """As JSON has it: tuples are lists."""
    return json.loads(json.dumps(value))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    named = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    processor = named[0].partition(":")[2].strip() if named else platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads" if device.type == "cpu" else f"{processor} {device.type}"


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.exists() else []


# ---------------------------------------------------------------------- while it learns


class Keeper:
    """Hears of every step: logs it, saves every few minutes, and stops the run where it was told to.

    write    what a checkpoint brings out beside itself, as networks; returns what measuring them says, for the log. All
             processes are in it at once
    shown    hears of every step, too, in the first process
    """

    def __init__(
        self,
        folder: Path,
        config: Any,
        device: torch.device,
        write: Callable[[Any], dict[str, float]],
        shown: Callable[[Any, dict[str, float]], None],
    ) -> None:
        self.folder, self.config, self.device, self.write, self.shown = folder, config, device, write, shown
        self.saved = self.logged = perf_counter()
        self.photos = 0
        self.asked: signal.Signals | None = None
        self.handlers: dict[signal.Signals, Any] = {}

    def __call__(self, course: Course, numbers: dict[str, float]) -> None:
        if rank() == 0:
            self.shown(course, numbers)
            self._tell(course, numbers)
        due = perf_counter() - self.saved > 60 * self.config.save and course.step < course.steps
        due, asked = any_of_all((due, self.asked is not None), self.device)  # at one step, all of them
        if due or asked:
            self.save(course)
        if asked:
            self._leave(self.asked or signal.SIGTERM)

    def _tell(self, course: Course, numbers: dict[str, float]) -> None:
        self.photos += self.config.batch
        every = max(1, math.ceil(course.steps / LINES))
        if course.step % every == 0 or course.step == course.steps:
            now = perf_counter()
            line = {
                "step": course.step,
                "seconds": round(course.seconds, 3),
                "photos/s": self.photos / (now - self.logged),
            }
            self._log({**line, **numbers})
            self.logged, self.photos = now, 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """No other run is in this folder; Ctrl-C and SIGTERM wait for the end of a step, which is then saved."""
        with alone_in(self.folder) if rank() == 0 else nullcontext(), self._patient():
            yield

    @contextmanager
    def _patient(self) -> Iterator[None]:
        """A second signal does not wait."""
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

    def save(self, course: Course) -> None:
        """All processes at once: each may have a share only of what is written, which the first does."""
        kept = whole(course.kept())
        if rank() == 0:
            content = {
                "version": VERSION,
                "config": plain(asdict(self.config)),
                "photos": json.loads((self.folder / "run.json").read_text("utf-8"))["photos"],
                "step": course.step,
                "steps": course.steps,
                "seconds": course.seconds,
                **kept,
            }
            with whole_or_not(self.folder / "checkpoint.pt") as file:
                torch.save(content, file)
        told = self.write(course)
        if told and rank() == 0:
            self._log({"step": course.step, "seconds": round(course.seconds, 3), **told})
        self.saved = perf_counter()

    def _log(self, line: dict[str, Any]) -> None:
        rounded = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in line.items()}
        try:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps({**rounded, "time": round(time(), 1)}) + "\n")
        except OSError as error:
            raise CallerError(f"cannot write {self.folder / 'log.jsonl'}: {error.strerror}") from None
