"""Tars read in place: a tar's path in; where each file lies in it, or one file's bytes, out. Nothing is unpacked."""

from __future__ import annotations

import os
import tarfile
from functools import lru_cache
from pathlib import Path

from hedgerow.photos.files import PhotoError, check_is_file


def read_member(path: Path, member: str, span: tuple[int, int] | None) -> bytes:
    place = os.path.expanduser(path)
    check_is_file(place)
    span = span or tar_index(place).get(member)
    if span is None:
        raise PhotoError("no such file in the tar, or one not stored in one piece: check the name, or pack it again")
    offset, size = span
    with open(place, "rb") as file:
        if offset + size > os.fstat(file.fileno()).st_size:
            raise PhotoError("the tar is cut short: fetch it again")
        file.seek(offset)
        return file.read(size)


def tar_index(path: str) -> dict[str, tuple[int, int] | None]:
    status = os.stat(path)
    return _scan_tar(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)  # for references made by hand; those that find_photos makes carry their offset
def _scan_tar(path: str, *_version: int) -> dict[str, tuple[int, int] | None]:
    """Offset and size of each file; of one name the last holds, as in unpacking; None where it is not in one piece."""
    spans: dict[str, tuple[int, int] | None] = {}
    links = {}
    with open(path, "rb", buffering=0) as file, tarfile.open(fileobj=file, mode="r:") as tar:  # buffers cost a third
        damaged = PhotoError("the tar is damaged inside: fetch or pack it again")
        for member in tar:
            if tar.offset <= member.offset:  # a negative size would lead back here for ever
                raise damaged
            if member.isreg():
                spans[member.name] = None if member.issparse() else (member.offset_data, member.size)
            elif member.islnk():
                links[member.name] = member.linkname
            elif member.issym():
                links[member.name] = os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname))
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a damaged header for the end
            raise damaged
    return spans | {name: spans.get(target) for name, target in links.items()}
