"""Tars read in place: a tar's path in; where each file lies in it, or one file's bytes, out. Nothing is unpacked.

A tar in a bucket is read through once to find what is where, which is then kept ($HEDGEROW_CACHE); files are fetched
one by one, so any worker begins anywhere in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from hedgerow.config import CallerError
from hedgerow.photos.files import BLOCK, PhotoError, check_is_file
from hedgerow.storage import cache_folder, is_remote, reach, spelled
from hedgerow.writing import write_atomically


def read_member(path: Path, member: str, span: tuple[int, int] | None) -> bytes:
    place = spelled(path) if is_remote(path) else os.path.expanduser(path)
    if not is_remote(place):
        check_is_file(place)
    span = span or tar_index(place).get(member)
    if span is None:
        raise PhotoError("no such file in the tar, or one not stored in one piece: check the name, or pack it again")
    offset, size = span
    if is_remote(place):
        files, name = reach(place)
        content = bytes(files.cat_file(name, start=offset, end=offset + size))
        if len(content) < size:
            raise PhotoError("the tar is cut short: fetch it again")
        return content
    with open(place, "rb") as file:
        if offset + size > os.fstat(file.fileno()).st_size:
            raise PhotoError("the tar is cut short: fetch it again")
        file.seek(offset)
        return file.read(size)


def tar_index(path: str) -> dict[str, tuple[int, int] | None]:
    if is_remote(path):
        return _remote_index(spelled(path))
    status = os.stat(path)
    return _scan_tar(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)  # for references made by hand; those that find_photos makes carry their offset
def _scan_tar(path: str, *_version: int) -> dict[str, tuple[int, int] | None]:
    """Offset and size of each file; of one name the last holds, as in unpacking; None where it is not in one piece."""
    with open(path, "rb", buffering=0) as file:  # buffers cost a third
        return _spans(file)


@lru_cache(maxsize=8)
def _remote_index(url: str) -> dict[str, tuple[int, int] | None]:
    files, name = reach(url)
    told = files.info(name)
    version = [url, *(str(told.get(field)) for field in ("size", "ETag", "etag", "LastModified", "updated", "created"))]
    kept = cache_folder() / f"tar-{hashlib.sha256(chr(0).join(version).encode()).hexdigest()}.json"
    with suppress(OSError, ValueError):
        return {member: span and tuple(span) for member, span in json.loads(kept.read_bytes()).items()}
    with files.open(name, "rb", block_size=BLOCK) as file:
        spans = _spans(file)
    with suppress(OSError, CallerError):  # it is read again where nothing can be kept
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, json.dumps(spans).encode())
    return spans


def _spans(file: Any) -> dict[str, tuple[int, int] | None]:
    spans: dict[str, tuple[int, int] | None] = {}
    links = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:
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
