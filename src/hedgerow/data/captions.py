"""Captions as they are published: tables, COCO's json, tars. What is read here is as it is written; `pairs` cleans it.

In: a place. Out: its photos that are there, each with its captions, and which are not there.

Tables come by hand and by script. So a row is what opens with a photo's name, whatever lines it takes: an opening quote
that nobody closes spoils one caption, not, as for a reader that follows the quotes, all rows up to the next one.
"""

from __future__ import annotations

import csv
import glob
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from hedgerow.data.coco import captions_by_photo
from hedgerow.data.examples import LayoutError
from hedgerow.data.places import Presence, contents
from hedgerow.photos import PHOTO_SUFFIXES, PhotoRef, find_photos
from hedgerow.photos.files import telling
from hedgerow.photos.tars import read_member, tar_index

TABLES = ("captions.csv", "captions.txt", "results.csv")
BESIDE = ("", "images", "Images", "Flicker8k_Dataset", "flickr30k_images", "flickr30k-images")  # where photos lie
IMAGE = ("image", "image_name", "filename", "file_name", "filepath", "file", "photo")
CAPTION = ("caption", "captions", "comment", "text", "sentence")
SUFFIX = "|".join(re.escape(suffix) for suffix in sorted(PHOTO_SUFFIXES))
# a name, the number of the caption as in Flickr8k.token.txt, what parts name and caption
OPENING = re.compile(rf'\s*"?(?P<name>[^",|\t]+?(?:{SUFFIX}))(?:#\d+)?"?\s*(?P<mark>[,|\t])', re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Captioned:
    """Photos that are there with their captions, the names of those that are not, how many have no caption at all."""

    photos: list[tuple[PhotoRef, list[str]]]
    absent: list[str]
    bare: int = 0


def captioned_photos(place: Path) -> Captioned:
    """What a place holds, in its own order."""
    if place.is_dir():
        return _in_folder(place)
    if place.is_file():
        if place.suffix.lower() == ".json":
            return _coco([place], place.parent.parent if place.parent.name == "annotations" else place.parent)
        if place.suffix.lower() in (".csv", ".txt", ".tsv"):
            return _table(place)
        return _tars([place])
    if glob.has_magic(str(place)):
        matches = sorted(map(Path, glob.glob(str(place), recursive=True)))
        if not matches:
            raise LayoutError(f"{place}: nothing matches: check the pattern")
        return _tars(matches)
    raise LayoutError(f"there is nothing at {place}: give a folder with captions.csv, a captions json, or tars")


def _in_folder(folder: Path) -> Captioned:
    for name in TABLES:
        if (folder / name).is_file():
            return _table(folder / name)
    if listed := [*sorted(folder.glob("captions_*.json")), *sorted((folder / "annotations").glob("captions_*.json"))]:
        return _coco(listed, folder)
    if tars := sorted(folder.glob("*.tar")):
        return _tars(tars)
    wanted = f"{', '.join(TABLES)}, annotations/captions_*.json or *.tar"
    raise LayoutError(f"{folder} holds no captions: looked for {wanted}, found {contents(folder)}")


# ---------------------------------------------------------------------- tables


def _table(path: Path) -> Captioned:
    rows: dict[str, list[str]] = {}
    for name, caption in _rows(path):
        rows.setdefault(name, []).append(caption)
    present, photos, absent = Presence(), [], []
    keys = _keys(list(rows))
    for name, captions in rows.items():
        places = [path.parent / folder / name for folder in BESIDE]
        found = next((place for place in places if present(place)), None)
        if found is None:
            absent.append(name)
        else:
            photos.append((PhotoRef(keys[name], found), captions))
    return Captioned(photos, absent)


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    lines = _text(path).splitlines()
    rows: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if OPENING.match(line):
            rows.append((number, line))
        elif rows and line.strip():  # a caption goes on
            rows[-1] = rows[-1][0], f"{rows[-1][1]} {line.strip()}"
        elif line.strip() and number > 1:
            raise LayoutError(f'{path}: line {number} should open with a photo\'s name, got "{line.strip()[:60]}"')
    if not rows:
        raise LayoutError(f"{path}: no line opens with a photo's name: expected lines of image,caption")
    header = lines[0] if rows[0][0] > 1 else ""
    for number, row in rows:
        name, caption = _parted(row, header, path, number)
        outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in PurePosixPath(name).parts
        if outside:  # a key is made from it, under which results are written
            raise LayoutError(f"{path}: line {number} names {name}, expected a photo below the folder")
        yield name, caption


def _parted(row: str, header: str, path: Path, number: int) -> tuple[str, str]:
    """The photo's name and its caption. Where the header says no other, the caption is all that follows the name."""
    opening = OPENING.match(row)
    assert opening is not None
    name, mark, rest = opening["name"].strip(), opening["mark"], row[opening.end() :]
    columns = [column.strip().strip('"').lower() for column in header.split(mark)] if header else []
    if mark == "|":  # Flickr30k's: a name, a number, a caption; in one row of it the second mark is missing
        return name, _unquoted(re.sub(r"^\s*\d+\s*(\||\s)", "", rest))
    if len(columns) <= 2:
        return name, _unquoted(rest)
    place = next((place for place, column in enumerate(columns) if column in CAPTION), None)
    if place is None or columns[0] not in IMAGE:
        raise LayoutError(f'{path}: expected columns image and caption, got "{header.strip()[:80]}"')
    cells = next(csv.reader([row], delimiter=mark))
    if len(cells) <= place:
        raise LayoutError(f"{path}: line {number} has {len(cells)} columns, the header {len(columns)}")
    return name, cells[place]


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    elif text.count('"') == 1:
        text = text.strip('"')
    return text.replace('""', '"')


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LayoutError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        log.warning("%s: not UTF-8 (%s): read as Windows-1252", path, error.reason)
        return data.decode("cp1252", errors="replace")


def _keys(names: Sequence[str]) -> dict[str, str]:
    """Names without suffix; in full where two would be the same."""
    stems = {name: PurePosixPath(name).with_suffix("").as_posix() for name in names}
    times: dict[str, int] = {}
    for stem in stems.values():
        times[stem.casefold()] = times.get(stem.casefold(), 0) + 1
    return {name: stem if times[stem.casefold()] == 1 else name for name, stem in stems.items()}


# ---------------------------------------------------------------------- COCO


def _coco(paths: Sequence[Path], root: Path) -> Captioned:
    photos, absent, bare, present = [], [], 0, Presence()
    for path in paths:
        for photo, captions in captions_by_photo(path, root):
            if not captions:
                bare += 1
            elif not present(photo.path):
                absent.append(photo.key)
            else:
                photos.append((photo, captions))
    return Captioned(photos, absent, bare)


# ---------------------------------------------------------------------- tars


def _tars(paths: Sequence[Path]) -> Captioned:
    """By WebDataset's rule a sample is what shares its folder and its name up to the first dot."""
    for path in paths:
        if path.suffix.lower() != ".tar":
            raise LayoutError(f"{path}: expected a tar, a table (.csv, .txt), a captions json, or a folder of these")
    photos, bare = [], 0
    for photo in find_photos(paths):
        captions = _beside(photo)
        bare += not captions
        if captions:
            photos.append((photo, captions))
    return Captioned(photos, [], bare)


def _beside(photo: PhotoRef) -> list[str]:
    assert photo.member is not None
    folder, slash, name = photo.member.rpartition("/")
    stem = f"{folder}{slash}{name.partition('.')[0]}"
    index = tar_index(str(photo.path))
    if f"{stem}.txt" in index:
        return [_member(photo.path, f"{stem}.txt", index).decode("utf-8", errors="replace")]
    if f"{stem}.json" not in index:
        return []
    where = f"{photo.path}/{stem}.json"
    try:
        told = json.loads(_member(photo.path, f"{stem}.json", index))
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"{where}: damaged or cut short ({error}): fetch or pack it again") from error
    caption = told.get("caption") if isinstance(told, dict) else None
    captions = caption if isinstance(caption, list) else [caption]
    return [text for text in captions if isinstance(text, str) and text.strip()]


def _member(path: Path, member: str, index: dict[str, tuple[int, int] | None]) -> bytes:
    with telling(f"{path}/{member}"):
        return read_member(path, member, index[member])
