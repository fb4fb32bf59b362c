"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from hedgerow.config import CallerError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


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


def write_atomically(path: str | Path, data: bytes | Iterable[bytes]) -> None:
    """Data or its pieces, written beside `path`, flushed to the disk, then renamed: all of it, or what was there."""
    path = Path(path)
    beside = path.parent / f".{uuid4().hex}.tmp"
    try:
        with open(beside, "xb") as file:
            file.writelines((data,) if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise CallerError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # renamed, or never made
            beside.unlink()
