"""The local engine: processes of this machine, one item each at a time, so that one that dies takes a single, known
item with it.

Processes are spawned, never forked: what a library has started in this one (threads, a GPU) would be broken in a copy.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from typing import Any, TypeVar

from hedgerow.config import CallerError

# what numerical libraries read once, when they are imported
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
PATIENCE = 5.0  # seconds to leave in, after which a process is killed

T = TypeVar("T")
R = TypeVar("R")


class WorkerError(CallerError):
    """An item whose process died, or that met a fault of ours: `details` is then the traceback."""

    details: str = ""


def share_out_here(
    make: Callable[[], Callable[[T], R]], items: Sequence[T], workers: int
) -> Generator[tuple[int, R | CallerError]]:
    """`share_out` (hedgerow.engines) by so many processes."""
    crew: list[_Worker] = []
    waiting = iter(range(len(items)))
    try:
        crew += [_Worker.start(make) for _ in range(min(workers, len(items)))]
        while crew:
            for pipe in connection.wait([worker.pipe for worker in crew]):
                worker = next(worker for worker in crew if worker.pipe is pipe)
                place, outcome = worker.heard()
                if not worker.alive:
                    crew[crew.index(worker)] = _Worker.start(make)
                elif (following := next(waiting, None)) is not None:
                    worker.give(following, items[following])
                else:
                    crew.remove(worker)
                    worker.dismiss()
                if place is not None:
                    assert outcome is not None
                    yield place, outcome
    finally:
        for worker in crew:
            worker.pipe.close()
            worker.process.terminate()
        for worker in crew:
            worker.dismiss()


class Companion:
    """One process beside this one that answers an item at a time; where it dies, another takes its place."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._begin()

    def __call__(self, item: Any) -> Any:
        self._worker.give(0, item)
        outcome = self._worker.heard()[1]
        if not self._worker.alive:
            self._begin()
        return outcome

    def _begin(self) -> None:
        self._worker = _Worker.start(self._make)
        self._worker.heard()  # that it is ready, or why it cannot be


def usable_cores() -> int:
    """How many cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """What is imported, or spawned, inside computes with one thread: processes that have several fight for the cores,
    and sums taken in another order are not the same to the last bit."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def outcome_of(work: Callable[[T], R], item: T) -> R | CallerError:
    """What it gives, or the error it met."""
    try:
        return work(item)
    except Exception as error:
        return told(error)


def told(error: Exception) -> CallerError:
    """An error as whoever shared the work out hears of it."""
    if isinstance(error, CallerError):
        return error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        return WorkerError("does not fit in memory: give fewer --workers, or reduce it first")
    fault = WorkerError(f"a fault of Hedgerow's, {type(error).__name__}: {' '.join(str(error).split())}")
    fault.details = traceback.format_exc()
    return fault


# ---------------------------------------------------------------------- in this process


@dataclass(eq=False)
class _Worker:
    """A process as seen from here, and the place of the item it has."""

    process: Any
    pipe: connection.Connection
    place: int | None = None
    ready: bool = False
    alive: bool = True

    @classmethod
    def start(cls, make: Callable[[], Callable[[Any], Any]]) -> _Worker:
        here, there = get_context("spawn").Pipe()
        process = get_context("spawn").Process(target=_serve, args=(there, make), daemon=True)
        with one_thread(), deaf_to_ctrl_c():
            process.start()
        there.close()  # so that its death is the end of the pipe
        return cls(process, here)

    def give(self, place: int, item: Any) -> None:
        self.place = place
        with suppress(OSError):  # it is dead: the end of the pipe will tell
            self.pipe.send(item)

    def heard(self) -> tuple[int | None, Any]:
        """The place and the outcome of its item; no place where it only says that it is ready."""
        try:
            outcome = self.pipe.recv()
        except (EOFError, OSError):
            self.alive = False
            self.dismiss()
            outcome = WorkerError(epitaph(self.process.exitcode, "its process", "give fewer --workers"))
            if not self.ready:
                raise WorkerError(f"no worker can start: {outcome}") from None
        if not self.ready:
            self.ready = True
            if outcome is not None:  # `make` failed, as it will in every other process
                raise outcome
        place, self.place = self.place, None
        return place, outcome

    def dismiss(self) -> None:
        self.pipe.close()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def epitaph(status: int | None, process: str, advice: str) -> str:
    """Of a process that ended without an answer; `advice` is for when memory ran out."""
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        cause = f", as when memory runs out: {advice}" if name == "SIGKILL" else ""
        return f"{process} was ended by {name}{cause}"
    return f"{process} ended with status {status}"


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C reaches every process of the terminal, but how to end is decided in one; what is spawned inherits this."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---------------------------------------------------------------------- in a worker's


def _serve(pipe: connection.Connection, make: Callable[[], Callable[[Any], Any]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    with suppress(EOFError, OSError):  # whoever started us is gone
        try:
            work = make()
        except Exception as error:
            pipe.send(told(error))
            return
        pipe.send(None)
        while True:
            pipe.send(outcome_of(work, pipe.recv()))


def _leave(*_: object) -> None:
    """By way of every `finally`, so that no half-written file is left, and undisturbed: a terminal's SIGTERM comes to
    all processes of a run, and the one that started us then sends its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)
