"""What a command says: progress, notices, what went wrong; and how it ends when it is told to stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hedgerow.config import CallerError

if TYPE_CHECKING:
    from hedgerow.pipeline import Failed

NAMED = 20  # bad photos told of at the end of a run


class Terminated(KeyboardInterrupt):
    """SIGTERM: the same orderly end as Ctrl-C."""


def watched(items: Iterable[Any], total: int, done: int = 0, *, quiet: bool, name: str | None = None) -> Iterable[Any]:
    """The items, with a progress bar where somebody is looking."""
    if quiet or not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    return tqdm(items, desc=name, total=total, initial=done, unit=" photos", dynamic_ncols=True, smoothing=0.05)


def name_bad(bad: Sequence[Failed], total: int, listed: Path | None) -> None:
    """The photos that were passed over, at the end, where they are seen."""
    if not bad:
        return
    say(f"{len(bad)} of {count(total)} could not be done{f', listed in {listed}' if listed else ''}:")
    for failed in bad[:NAMED]:
        say(failed.reason)
    if len(bad) > NAMED:
        say(f"and {len(bad) - NAMED} more")


def count(number: int, noun: str = "photo") -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def say(text: str) -> None:
    print(one_line(f"hedgerow: {text}"), file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """Names of files may hold anything, line breaks and what moves a terminal's cursor included."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


@contextmanager
def needing(what: str) -> Iterator[None]:
    """Packages of the extra [train] are imported inside; told in one line where one is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "hedgerow":
            raise
        raise CallerError(f"{what} needs {error.name}: install hedgerow with its extra [train]") from None


@contextmanager
def notices() -> Iterator[None]:
    """What our rooms log is told in our way; warnings of numerical libraries are no news to whoever runs a command."""
    room, handler = logging.getLogger("hedgerow"), _Notices()
    room.addHandler(handler)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        room.removeHandler(handler)


# ---------------------------------------------------------------------- being stopped


def stopped(stop: KeyboardInterrupt, told: str) -> int:
    say(told)
    return 143 if isinstance(stop, Terminated) else 130


@contextmanager
def heeding_sigterm() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield
        return

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
