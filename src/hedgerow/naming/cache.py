"""Rows of text, kept by content: a vocabulary is read once, whatever photos it names.

In: which text model, which templates, which words. Out: (W, E) unit rows, from a file if they were made before.

Files lie in HEDGEROW_CACHE, else XDG_CACHE_HOME/hedgerow, else ~/.cache/hedgerow: words-KEY.npy, an array and behind it
its sha256. The key is the sha256 of all that the rows depend on, so nothing ever goes stale. A file that is damaged is
made again, and where nothing can be written the rows are made each time: a cache may fail without being told of, since
all it saves is seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np

from hedgerow.config import CallerError
from hedgerow.storage import cache_folder
from hedgerow.writing import write_atomically

FORMAT = 1
MOST = 64  # files; the largest vocabularies take some 3 MB
DIGEST = 32  # bytes


def kept_rows(
    text_sha256: str, templates: Sequence[str], words: Sequence[str], make: Callable[[], np.ndarray]
) -> np.ndarray:
    """The rows of these words, made if they are not there."""
    key = hashlib.sha256(json.dumps([FORMAT, text_sha256, list(templates), list(words)]).encode()).hexdigest()
    path = cache_folder() / f"words-{key}.npy"
    rows = _read(path, len(words))
    if rows is None:
        rows = np.ascontiguousarray(make(), np.float32)
        _write(path, rows)
    return rows


def _read(path: Path, count: int) -> np.ndarray | None:
    try:
        content = path.read_bytes()
        array, digest = content[:-DIGEST], content[-DIGEST:]
        if hashlib.sha256(array).digest() != digest:
            return None
        rows = np.load(BytesIO(array), allow_pickle=False)
        os.utime(path)  # the oldest go first, and this one is in use
    except (OSError, ValueError, RuntimeError):
        return None
    return rows if rows.dtype == np.float32 and rows.ndim == 2 and len(rows) == count else None


def _write(path: Path, rows: np.ndarray) -> None:
    memory = BytesIO()
    np.save(memory, rows)
    array = memory.getvalue()
    with suppress(OSError, RuntimeError, CallerError):  # RuntimeError: there is no home
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, array + hashlib.sha256(array).digest())
        _forget_oldest(path.parent)


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("words-*.npy"), key=lambda file: file.stat().st_mtime_ns)
    for file in files[:-MOST]:
        file.unlink()
