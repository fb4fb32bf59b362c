"""Parquet files, read so that no thread outlives the reading, and no more room is made than their content can need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def open_parquet(content: Any, most: int) -> Any:
    """A file that can have `most` rows. Room is made for all that a group claims, and damage can make that endless."""
    import pyarrow  # here: it takes a while, and plain segmenting has no need of it
    from pyarrow import parquet

    file = parquet.ParquetFile(content, pre_buffer=False, page_checksum_verification=True)
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    if (rows := max(sum(groups), *groups, file.metadata.num_rows)) > most:
        raise pyarrow.ArrowInvalid(f"it claims {rows} rows, and can have {most} at most")
    return file


def read_group(file: Any, group: int, columns: Sequence[str] | None = None) -> Any:
    """A table. It is read in this thread, and nothing beforehand: threads of Arrow's that read a Python file may
    outlive the reading, and a process that ends then hangs or aborts (apache/arrow 50482)."""
    return file.read_row_group(group, columns=None if columns is None else list(columns), use_threads=False)
