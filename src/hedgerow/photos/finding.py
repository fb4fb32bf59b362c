"""Finding photos: files, folders, globs, tars and tables in; a sequence of references out, each with its own key.

They may be of this machine or of a bucket (s3://, gs:// and what else fsspec reaches). Only names are looked at, the
headers of tars, and the names in tables; no photo is opened.
"""

from __future__ import annotations

import glob
import io
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

from hedgerow.photos.files import FORMATS, PHOTO_SUFFIXES, PhotoError, check_is_file, open_file, readable, telling
from hedgerow.photos.tables import read_row, table_rows
from hedgerow.photos.tars import read_member, tar_index
from hedgerow.storage import absolute, is_remote, reach, spelled

COMPRESSED_TAR = re.compile(r"\.(tar\.(gz|bz2|xz|zst|lz4|z)|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)


@dataclass(frozen=True)
class PhotoRef:
    """Where a photo of a sequence lies; small, and picklable for worker processes.

    key     unique in its sequence: the path below the input given, without suffix, parts separated by "/"
    path    the file, or the tar or table that holds it
    member  the name inside that, None for a file
    """

    key: str
    path: Path
    member: str | None = None
    # offset and size inside the tar, or group and row inside the table
    _span: tuple[int, int] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name with suffix."""
        return readable(os.path.basename(self.member if self.member is not None else os.fspath(self.path)))

    def read_bytes(self) -> bytes:
        """The file as it is stored."""
        with telling(where(self)), open_stored(self) as file:
            return file.read()


def where(ref: PhotoRef) -> str:
    """The place of a photo as errors name it."""
    return spelled(f"{ref.path}/{ref.member}" if ref.member is not None else ref.path)


def open_stored(ref: PhotoRef) -> IO[bytes]:
    """The file as it is stored, to be read; errors are not told in one line yet."""
    if ref.member is not None and is_table(ref.path):
        return io.BytesIO(read_row(ref.path, ref._span or table_rows(str(ref.path))[ref.member]))
    if ref.member is not None:
        return io.BytesIO(read_member(ref.path, ref.member, ref._span))
    return open_file(ref.path)


# ---------------------------------------------------------------------- finding many


def find_photos(inputs: Iterable[str | Path]) -> list[PhotoRef]:
    """The photos of files, folders, globs, tars and tables as one sequence.

    Inputs keep their order; within one, names are in natural order (2 before 10). A photo met twice counts once.
    - A file is taken whatever its suffix.
    - A folder gives the photos in it and in folders below, known by their suffix (`PHOTO_SUFFIXES`); hidden ones and
      tars are passed over.
    - A glob the shell did not expand gives the photos and folders it matches; files of any kind, and tars, where it
      ends in their suffix, as "shards/*.tar" does.
    - A tar gives its photos, known by suffix, and is read in place. A compressed one is refused: it would have to be
      unpacked from its start for every photo.
    - A Parquet table gives a photo a row (`hedgerow.photos.tables`).
    - All of these may be in a bucket.

    Keys that would be the same, by letters of either case too, keep their suffix (one folder) or the name of the folder
    or tar given (several), so that no photo's results overwrite another's.
    """
    found: dict[tuple[str, str | None], _Found] = {}
    resolved = lru_cache(maxsize=None)(os.path.realpath)  # a link to a folder is that folder; to a photo, another photo
    for given in [inputs] if isinstance(inputs, str | os.PathLike) else inputs:
        with telling(str(given) or "an empty path"):
            for photo in _expand(os.path.expanduser(os.fspath(given))):
                folder, name = os.path.split(photo.path)
                found.setdefault((os.path.join(resolved(folder), name), photo.member), photo)
    if not found:
        raise PhotoError("no photo was named: give files, folders, globs or tars")
    photos = list(found.values())
    return [PhotoRef(key, Path(p.path), p.member, p.span) for key, p in zip(_keys(photos), photos, strict=True)]


class _Found(NamedTuple):
    """A photo before it has a key: `below` is its path below `root`, with suffix and "/"."""

    path: str
    root: str
    below: str
    member: str | None = None
    span: tuple[int, int] | None = None


def is_table(path: str | Path) -> bool:
    return str(path).lower().endswith(".parquet")


def _expand(given: str) -> list[_Found]:
    if is_remote(given):
        return _in_bucket(spelled(given))
    if glob.has_magic(given) and not os.path.lexists(given):
        return _in_glob(given)
    if not os.path.isdir(given):
        return _in_file(given, os.path.dirname(os.path.abspath(given)))
    photos, tars = _in_folder(given, os.path.abspath(given))
    if not photos:
        remedy = f"its {tars} tars are taken when named, as '*.tar'" if tars else "give another"
        raise PhotoError(f"no photo in this folder or below it (looked for {_suffixes()}): {remedy}")
    return photos


def _in_glob(given: str) -> list[_Found]:
    fixed = given
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)
    matches = sorted(glob.glob(given, recursive=True), key=_natural)
    root = os.path.commonpath(map(os.path.abspath, [fixed, *matches]))  # above `fixed` if the pattern climbs by ".."
    suffix = os.path.splitext(given)[1]
    any_kind = suffix != "" and not glob.has_magic(suffix)
    photos: list[_Found] = []
    for match in matches:
        if os.path.isdir(match):
            photos += _in_folder(match, root)[0]
        elif any_kind or _is_photo(match):
            photos += _in_file(match, root)
    if not photos:
        raise PhotoError(f"no photo among the {len(matches)} names in {root} that match: check the pattern")
    return photos


def _in_bucket(url: str) -> list[_Found]:
    """What a file, a folder or a glob of a bucket gives, as the same does here."""
    files, name = reach(url)
    if glob.has_magic(name):
        fixed, found = os.path.dirname(name[: re.search(r"[*?[]", name).start()]), files.glob(name)  # type: ignore[union-attr]
        suffix = os.path.splitext(name)[1]
        some = [one for one in found if _is_photo(one) or (suffix and not glob.has_magic(suffix))]
    elif files.isfile(name):
        fixed, some = os.path.dirname(name), [name]
    else:
        fixed, some = name, [one for one in files.find(name) if _is_photo(one)]
    if not some:
        raise PhotoError(f"no photo there (looked for {_suffixes()}): give another, tars and tables by name")
    place = url[: url.rindex(name)] if name in url else url.partition("://")[0] + "://"
    photos: list[_Found] = []
    for one in sorted(some, key=_natural):
        below = one[len(fixed) :].strip("/")
        photos += _in_pack(f"{place}{one}") or [_Found(f"{place}{one}", f"{place}{fixed}", below)]
    return photos


def _in_pack(path: str) -> list[_Found]:
    """The photos of a tar or a table; none where it is neither."""
    if COMPRESSED_TAR.search(path):
        raise PhotoError("a compressed tar cannot be read in place: unpack it, or decompress it to a plain .tar")
    if path.lower().endswith(".tar"):
        return _in_tar(path)
    return _in_table(path) if is_table(path) else []


def _in_folder(folder: str, root: str) -> tuple[list[_Found], int]:
    """The photos below a folder, and how many tars were passed over."""
    photos, tars, seen = [], 0, set()
    for here, below, names in os.walk(folder, onerror=_raise, followlinks=True):
        place = os.path.realpath(here)
        if place in seen:  # a link to a folder above would go round for ever
            below.clear()
            continue
        seen.add(place)
        below[:] = sorted(name for name in below if not name.startswith("."))
        prefix = os.path.relpath(here, root).replace(os.sep, "/") + "/"
        for name in names:
            if _is_photo(name) and not name.startswith("."):
                photos.append(_Found(os.path.join(here, name), root, f"{prefix}{name}".removeprefix("./")))
            tars += name.lower().endswith(".tar")
    return sorted(photos, key=lambda photo: _natural(photo.below)), tars


def _raise(error: OSError) -> None:
    raise error


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES


def _suffixes() -> str:
    return " ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)


def _natural(name: str) -> tuple[list[str], str]:
    """Sorts img_2 before img_10, and what is in one folder together."""
    return [re.sub("[0-9]+", lambda digits: digits[0].zfill(20), part) for part in name.split("/")], name


def _in_file(path: str, root: str) -> list[_Found]:
    check_is_file(path)
    return _in_pack(path) or [_Found(path, root, os.path.relpath(path, root).replace(os.sep, "/"))]


def _in_table(path: str) -> list[_Found]:
    root = os.path.splitext(absolute(path))[0]
    photos = []
    for member, place in table_rows(path).items():
        if parts := _safe_parts(member):
            photos.append(_Found(path, root, "/".join(parts), member, place))
    if not photos:
        raise PhotoError("no photo in this table: give another")
    return photos


def _safe_parts(member: str) -> list[str]:
    """A member's name comes from a stranger: no key made of it may lead out of a folder of results, on any system."""
    safe = re.sub(r"[:\x00-\x1f]", "_", member.replace("\\", "/"))
    return [part for part in safe.split("/") if part not in ("", ".", "..")]


def _in_tar(path: str) -> list[_Found]:
    root = os.path.splitext(absolute(path))[0]  # keys that need the tar's name carry it without suffix
    photos = []
    for member, span in tar_index(path).items():
        parts = _safe_parts(member)
        if parts and _is_photo(parts[-1]) and not any(part.startswith(".") for part in parts):
            photos.append(_Found(path, root, "/".join(parts), member, span))
    if not photos:
        raise PhotoError(f"no photo in this tar (looked for {_suffixes()}): give another")
    return sorted(photos, key=lambda photo: _natural(photo.below))


# ---------------------------------------------------------------------- keys


def _keys(photos: list[_Found]) -> list[str]:
    """A key for each photo; those that clash are made more specific until none does, or nothing is left to add."""
    kept = [(0, False)] * len(photos)  # how many parts of the root, and whether the suffix
    while True:
        keys = [_key(photo, *how) for photo, how in zip(photos, kept, strict=True)]
        alike = defaultdict(list)
        for i, key in enumerate(keys):
            alike[_fold(key)].append(i)
        before = list(kept)
        for rows in filter(lambda rows: len(rows) > 1, alike.values()):
            roots = Counter(photos[i].root for i in rows)
            for i in rows:
                parts, suffix = kept[i]
                more = min(parts + (len(roots) > 1), len(_parts(photos[i].root)))
                kept[i] = more, suffix or roots[photos[i].root] > 1
        if kept == before:
            return _numbered(keys)


def _key(photo: _Found, parts: int, suffix: bool) -> str:
    root = _parts(photo.root) if parts else []
    name = photo.below if suffix else os.path.splitext(photo.below)[0]
    return readable("/".join([*root[len(root) - parts :], name]))


def _parts(folder: str) -> list[str]:
    return [part for part in os.path.splitdrive(folder)[1].split(os.sep) if part]


def _fold(key: str) -> str:
    """One and the same for names that a file system which ignores case, or rewrites accents, takes for the same."""
    return unicodedata.normalize("NFC", key).casefold()


def _numbered(keys: list[str]) -> list[str]:
    """Keys that still clash, as a.jpg and A.jpg of one folder do, get a number from the second on."""
    taken: set[str] = set()
    for i, key in enumerate(keys):
        number = 1
        while _fold(key if number == 1 else f"{key}-{number}") in taken:
            number += 1
        keys[i] = key if number == 1 else f"{key}-{number}"
        taken.add(_fold(keys[i]))
    return keys
