"""One thing after the other: what is asked for waits in a line of bounded length, and what answers at once goes first.

In: a task, and what is to be done with what comes of it. Out: a job, which says how far it is. Whoever comes when the
line is full is told so at once (`Busy`): fifty photos dropped together must not fill the memory. What is no longer
wanted is stopped, where it waits or under way.
"""

from __future__ import annotations

import itertools
import logging
import queue
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hedgerow.app.workshop import Workshop
from hedgerow.config import CallerError

WAITING = 16  # jobs in line; with three seconds a photo the last one waits for less than a minute
REMEMBERED = 100  # jobs that can still be asked about
STOPPED = "stopped"
log = logging.getLogger(__name__)


class Busy(CallerError):
    """The line is full."""


@dataclass(eq=False)
class Job:
    """`told` is how far it is, `value` what came of it, `error` why nothing did."""

    task: Any
    begin: Callable[[], None]
    finish: Callable[[Any, str], None]
    hear: Callable[[str], None]
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = "waiting"
    told: str = ""
    value: Any = None
    error: str = ""


def _nothing(*_: Any) -> None:
    pass


class Jobs:
    """A thread that hands jobs to the workshop, the urgent ones first."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self._line: queue.PriorityQueue[tuple[int, int, Job | None]] = queue.PriorityQueue()
        self._order, self._known = itertools.count(), OrderedDict[str, Job]()
        self._lock = threading.Lock()  # over what is under way, and whether it is still wanted
        self._current: Job | None = None
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return self._line.qsize()

    def check_room(self) -> None:
        if self.waiting >= WAITING:
            raise Busy(f"{self.waiting} photos are waiting already: try again in a moment")

    def give(
        self,
        task: Any,
        *,
        urgent: bool = False,
        begin: Callable[[], None] = _nothing,
        finish: Callable[[Any, str], None] = _nothing,
        hear: Callable[[str], None] = _nothing,
    ) -> Job:
        self.check_room()
        job = Job(task, begin, finish, hear)
        self._known[job.id] = job
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._line.put((0 if urgent else 1, next(self._order), job))
        return job

    def get(self, id: str) -> Job | None:
        return self._known.get(id)

    def stop(self, job: Job) -> None:
        """It will come to nothing, and at once: a process that works on it goes, and a fresh one does what is next."""
        with self._lock:
            if job.state == "waiting":
                job.error, job.state = STOPPED, "failed"
                job.finish(None, STOPPED)
            elif self._current is job:
                job.error = STOPPED
                self.workshop.drop()

    def end(self) -> None:
        """Now: what is under way is dropped."""
        self._line.put((-1, -1, None))
        self.workshop.end()
        self._thread.join()

    def _work(self) -> None:
        while (job := self._line.get()[2]) is not None:
            with self._lock:
                if job.state == "failed":  # it was stopped while it waited
                    continue
                self._current, job.state = job, "working"
            self._do(job)
            job.finish(job.value, job.error)
            job.state = "failed" if job.error else "done"

    def _do(self, job: Job) -> None:
        error = ""
        try:
            job.begin()
            job.value = self.workshop.ask(job.task, partial(_hear, job))
        except CallerError as mistake:
            error = str(mistake)
        except Exception as fault:  # a fault of ours must not stop the line
            log.exception("a job failed")
            error = f"a fault of Hedgerow's, {type(fault).__name__}"
        with self._lock:
            self._current = None
            job.error = job.error or error


def _hear(job: Job, word: str) -> None:
    job.told = word
    job.hear(word)
