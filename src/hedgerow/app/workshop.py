"""The process that opens photos of strangers, and does all else that takes time or memory.

In: tasks, one at a time. Out: what came of each, or the one line that says why nothing did. What kills it, as a photo
that does not fit in memory, takes one task with it: a fresh one is started for the next. Spawned, as
`hedgerow.engines` has it and for its reasons; that one shares out items known in advance, this one waits for the next.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, get_context
from typing import Any, Protocol

from hedgerow.config import CallerError, Serve
from hedgerow.engines import deaf_to_ctrl_c, epitaph, one_thread

log = logging.getLogger(__name__)

Tell = Callable[[str], None]


class Task(Protocol):
    """What can be pickled, and done in the workshop with what it has at hand (`hedgerow.app.tasks.Bench`)."""

    def do(self, bench: Any, tell: Tell) -> Any: ...


class Workshop:
    """The process as seen from here. `lacks` says of each thing it cannot do why."""

    def __init__(self, config: Serve) -> None:
        self.config, self.lacks = config, dict[str, str]()
        self._process: Any = None
        self._pipe: connection.Connection | None = None
        self._lock, self._ended = threading.Lock(), False

    def start(self) -> None:
        """Ready to work when this returns; or the error that every process would meet."""
        with self._lock:
            if self._ended:
                raise CallerError("the server is ending")
            here, there = get_context("spawn").Pipe()
            self._process = get_context("spawn").Process(target=_work, args=(there, self.config), daemon=True)
            self._pipe = here
            with one_thread(), deaf_to_ctrl_c():
                self._process.start()
            there.close()  # so that its death is the end of the pipe
        self.lacks = self._heard(lambda _: None)

    def ask(self, task: Task, tell: Tell) -> Any:
        if self._process is None or not self._process.is_alive():
            self.start()
        assert self._pipe is not None
        with suppress(OSError):  # it is dead: the end of the pipe will tell
            self._pipe.send(task)
        return self._heard(tell)

    def drop(self) -> None:
        """Nothing more comes of what it does; the next task has a fresh process."""
        if self._process is not None and self._process.pid is not None:
            self._process.kill()

    def end(self) -> None:
        """At once: it writes nothing but into our own workplace, which goes as well."""
        with self._lock:
            self._ended = True
            self.drop()
            if self._process is not None and self._process.pid is not None:
                self._process.join()

    def _heard(self, tell: Tell) -> Any:
        assert self._pipe is not None
        try:
            while True:
                kind, value = self._pipe.recv()
                if kind == "told":
                    tell(value)
                elif kind == "done":
                    return value
                else:
                    raise value
        except (EOFError, OSError):
            self._process.join()
            told = epitaph(self._process.exitcode, "the process that looked at it", "reduce the photo first")
            raise CallerError(told) from None


# ---------------------------------------------------------------------- in the workshop itself


def _work(pipe: connection.Connection, config: Serve) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    from hedgerow.app.tasks import Bench

    with suppress(EOFError, OSError):  # whoever started us is gone
        try:
            bench = Bench(config)
            pipe.send(("done", bench.lacks()))
        except Exception as error:
            pipe.send(("failed", _told(error)))
            return
        while True:
            task = pipe.recv()
            try:
                pipe.send(("done", task.do(bench, lambda word: pipe.send(("told", word)))))
            except Exception as error:
                pipe.send(("failed", _told(error)))


def _told(error: Exception) -> CallerError:
    """As another process can be told it: a plain line."""
    if isinstance(error, CallerError):
        return CallerError(str(error))
    if isinstance(error, MemoryError):
        return CallerError("does not fit in memory: reduce it first")
    sys.stderr.write(traceback.format_exc())
    return CallerError(f"a fault of Hedgerow's, {type(error).__name__}: {' '.join(str(error).split())}")
