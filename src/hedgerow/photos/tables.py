"""Parquet tables that hold photos, as data sets are passed on: a table's path in; its rows, or one row's file, out.

The files are in a column of bytes, or of records with `bytes` and a `path` (as HF datasets writes images); rows are
called by `__key__`, `key`, or that path, else by their number. Rows are read a group at a time, the last one kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from hedgerow.parquet import open_parquet, read_group
from hedgerow.photos.files import PhotoError, open_file

FILES = ("image", "jpg", "jpeg", "png", "webp", "photo", "bytes", "image_bytes")  # columns that may hold them
KEYS = ("__key__", "key", "file_name", "filename")


def table_rows(path: str) -> dict[str, tuple[int, int]]:
    """The name of each row, in which group it is, and which row there."""
    with _opened(path) as table:
        column = _files_of(table)
        schema = table.schema_arrow
        named = next((name for name in KEYS if name in schema.names), None)
        inside = f"{column}.path" if _is_record(schema.field(column)) else None
        found: dict[str, tuple[int, int]] = {}
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            names: list[Any] = [None] * count
            if wanted := named or inside:
                names = read_group(table, group, [wanted]).column(0).to_pylist()
                names = [name.get("path") if isinstance(name, dict) else name for name in names]
            for row, told in enumerate(names):
                number = f"{len(found):08}"
                name = str(told) if told is not None else number
                found[name if name not in found else f"{name}-{number}"] = group, row
    return found


def read_row(path: str | Path, place: tuple[int, int]) -> bytes:
    """The file in a row."""
    content = _group(str(path), place[0])[place[1]]
    if not content:
        raise PhotoError("there is no file in this row: leave it out")
    return bytes(content)


@lru_cache(maxsize=1)
def _group(path: str, group: int) -> list[bytes | None]:
    with _opened(path) as table:
        column = _files_of(table)
        values = read_group(table, group, [column]).column(column).to_pylist()
    return [value.get("bytes") if isinstance(value, dict) else value for value in values]


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise PhotoError("a table of photos needs pyarrow: install hedgerow with its extra [train]") from None
    with open_file(path) as file:
        try:
            most = file.seek(0, os.SEEK_END)  # a photo takes a byte at least
            yield open_parquet(file, most)
        except (pyarrow.ArrowException, OSError, IndexError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise PhotoError(f"the table is damaged ({reason}): fetch it again") from None


def _files_of(table: Any) -> str:
    schema = table.schema_arrow
    for name in FILES:
        if name in schema.names and (_is_record(schema.field(name)) or _is_bytes(schema.field(name).type)):
            return name
    raise PhotoError(f"no column of photos in this table (looked for {', '.join(FILES)}): rename the one that has them")


def _is_record(field: Any) -> bool:
    import pyarrow

    return pyarrow.types.is_struct(field.type) and any(
        part.name == "bytes" and _is_bytes(part.type) for part in field.type
    )


def _is_bytes(kind: Any) -> bool:
    import pyarrow

    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
