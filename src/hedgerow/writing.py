"""Files that are whole or not there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import IO
from uuid import uuid4

from hedgerow.config import CallerError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

ABANDONED = 60  # seconds since a half-written file was touched, after which nobody is writing it any more


def check_writable(path: str | Path) -> None:
    """Told before long work whose result is to go there, not after it."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise CallerError(f"cannot write {path}: there is no folder {folder}: make it first")
    if not os.access(folder, os.W_OK) or Path(path).is_dir():
        raise CallerError(f"cannot write {path}: choose a file in a folder that you may write to")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Inside, no other run is at work in this folder: it is refused, in one line. The system forgets the lock when its
    process ends, however it ends. Where there are no such locks, as on some networks, nothing is refused."""
    if fcntl is None or not folder.is_dir():
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CallerError(f"another run is at work in {folder}: wait for its end, or choose another folder") from None
    except OSError:
        pass


@contextmanager
def whole_or_not(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write to, beside `path`: flushed to the disk, then renamed. After an error what was there is there."""
    path = Path(path)
    beside = path.parent / f".{uuid4().hex}.tmp"
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise CallerError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # renamed, or never made
            beside.unlink()


def write_atomically(path: str | Path, data: bytes | Iterable[bytes]) -> None:
    """Data or its pieces: all of it, or what was there."""
    with whole_or_not(path) as file:
        file.writelines((data,) if isinstance(data, bytes) else data)


def sweep(folder: Path) -> None:
    """Remove what a killed run had half written."""
    with suppress(OSError):
        for path in folder.glob(".*.tmp"):
            old = time() - path.stat().st_mtime > ABANDONED
            if old and re.fullmatch(r"\.[0-9a-f]{32}\.tmp", path.name):
                path.unlink()
