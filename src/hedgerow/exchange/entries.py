"""What all formats share: one photo's forest and its file, what its regions are called, reading what others wrote.

In and out: `Entry`. A region is called by its name, else "category 7", else "region"; a reader takes these two back for
what they are. Whoever gives masks without parents gets them from the masks (`MaskForest.nest`).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from pycocotools import mask as coco

from hedgerow.config import CallerError
from hedgerow.forest import INSIDE, MaskForest

REGION = "region"  # what a region without name or category is called
CATEGORY = re.compile(r"category (0|[1-9][0-9]{0,8})")
SIDECAR = "hedgerow.export.json"  # in a folder of files that have no place for it: who made what they hold

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Entry:
    """One photo of a collection.

    file    its file below the collection's folder, parts separated by "/"
    forest  its regions
    model   what made them, as forest files have it; empty where nobody said
    key     under which files of it are written; the file without suffix unless two photos differ in that alone
    """

    file: str
    forest: MaskForest
    model: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", PurePosixPath(self.file).with_suffix("").as_posix())


# ---------------------------------------------------------------------- what regions are called


def called(forest: MaskForest, row: int) -> str:
    if forest.name is not None and forest.name[row]:
        return forest.name[row]
    if forest.category is not None and forest.category[row] >= 0:
        return f"category {forest.category[row]}"
    return REGION


@dataclass
class Classes:
    """What regions are called, by number, in the order in which they are met; from `first` on."""

    first: int = 1
    numbers: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.numbers.setdefault(name, self.first + len(self.numbers))

    def of(self, forest: MaskForest, row: int) -> int:
        return self[called(forest, row)]

    @property
    def names(self) -> list[str]:
        return list(self.numbers)


def of_calls(calls: Sequence[str]) -> dict[str, Any]:
    """The columns `name` and `category` of regions that are called so."""
    found = [CATEGORY.fullmatch(call) for call in calls]
    category = np.array([int(match[1]) if match else -1 for match in found], np.int32)
    name = tuple("" if match or call == REGION else call for call, match in zip(calls, found, strict=True))
    return {"name": name if any(name) else None, "category": category if (category >= 0).any() else None}


@dataclass
class Makers:
    """Who made the regions of a file: each model once, in the order in which they are met."""

    found: list[dict[str, Any]] = field(default_factory=list)

    def add(self, model: Mapping[str, Any]) -> None:
        told = maker(model)
        if told and told not in self.found:
            self.found.append(told)


def maker(model: Mapping[str, Any]) -> dict[str, Any]:
    """What every file says of what made it; all other settings stay in the forest's own."""
    return {key: model[key] for key in ("name", "supervision", "weights_sha256") if key in model}


def made_by(told: Any) -> dict[str, Any]:
    """The one model of a file of ours; nothing where there are several, or none."""
    if isinstance(told, list) and len(told) == 1:
        told = told[0]
    return maker(told) if isinstance(told, dict) else {}


# ---------------------------------------------------------------------- forests of masks


def forest_of(
    size: tuple[int, int],
    masks: Sequence[bytes | None],
    calls: Sequence[str],
    *,
    parent: Sequence[int] | None = None,
    score: Sequence[float] | None = None,
    where: str = "",
) -> MaskForest:
    """Masks of one photo as a forest. Those without a pixel are left out, and told of.

    Without parents the masks say who is part of whom. A parent that holds less than 90 % of a region, which happens
    where outlines were simplified, gives way to the next above it.
    """
    kept = [row for row, counts in enumerate(masks) if counts]
    if len(kept) < len(masks):
        log.warning("%s: %d regions cover no pixel: left out", where, len(masks) - len(kept))
    rles = tuple(counts for counts in masks if counts)
    columns = of_calls([calls[row] for row in kept])
    if score is not None:
        columns["score"] = np.clip(np.array([score[row] for row in kept], np.float32), 1e-6, 1)
    if parent is None:
        return MaskForest(size, rles, **columns).nest()
    above = _holding(size, masks, parent, where)
    place = {row: number for number, row in enumerate(kept)}
    return MaskForest.from_nested(size, rles, np.array([place.get(above[row], -1) for row in kept]), **columns)


def _holding(size: tuple[int, int], masks: Sequence[bytes | None], parent: Sequence[int], where: str) -> dict[int, int]:
    """Of each row the nearest of those above it that holds it."""
    found, strayed = {}, 0
    for row, counts in enumerate(masks):
        above, seen = parent[row], {row}
        while above >= 0 and counts and not _inside(size, counts, masks[above]):
            if above in seen:
                raise CallerError(f"{where}: the parents of region {row} go round in a circle")
            seen.add(above)
            above = parent[above]
        strayed += above != parent[row]
        found[row] = above
    if strayed:
        log.warning("%s: %d regions lie less than 90 %% inside their parent: given the next above it", where, strayed)
    return found


def _inside(size: tuple[int, int], inner: bytes, outer: bytes | None) -> bool:
    if not outer:
        return False
    pair = [{"size": list(size), "counts": counts} for counts in (inner, outer)]
    return float(coco.iou(pair[:1], pair[1:], [1])[0, 0]) >= INSIDE - 1e-6


def rows_of(ids: Sequence[Any], parents: Sequence[Any], where: str) -> list[int]:
    """The place of each region's parent, -1 for none, from the ids that a file has for them."""
    place = {number: row for row, number in enumerate(ids)}
    if len(place) < len(ids):
        raise CallerError(f"{where}: two of its regions have one id")
    strange = [above for above in parents if above is not None and above not in place]
    if strange:
        raise CallerError(f"{where}: no region has the id {strange[0]!r}, which one has as its parent")
    return [-1 if above is None else place[above] for above in parents]


# ---------------------------------------------------------------------- reading


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Whatever is wrong with a file is told in one line, which names it."""
    try:
        yield
    except CallerError as error:
        told = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise CallerError("".join(c if c.isprintable() else "?" for c in told)) from None  # names may hold line breaks
    except OSError as error:
        raise CallerError(f"cannot read {path}: {error.strerror or error}") from None
    except KeyError as error:
        raise CallerError(f"{path} is no {kind} that can be read: something in it lacks {error}") from None
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        told = " ".join(str(error).split())[:200]
        raise CallerError(f"{path} is no {kind} that can be read: {told}") from None


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def size_told(height: Any, width: Any) -> tuple[int, int]:
    """(H, W) as a file tells it, checked."""
    sides = (height, width)
    if any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in sides):
        raise CallerError(f"height and width are whole numbers from 1 up, got {sides}")
    return sides


def file_told(name: Any) -> str:
    """A file name as a file tells it: below its folder, since files are written under it."""
    text = str(name).replace("\\", "/") if isinstance(name, str) else ""
    parts = PurePosixPath(text).parts
    if not parts or text.startswith("/") or PureWindowsPath(text).drive or ".." in parts or "\0" in text:
        raise CallerError(f"expected the name of a photo below its folder, got {name!r}")
    return PurePosixPath(text).as_posix()


def in_folder(folder: Path, pattern: str, kind: str) -> list[Path]:
    """The files of a folder and of those below it, in order; our own record of an export is none of them."""
    found = sorted(path for path in folder.rglob(pattern) if not path.name.startswith(".") and path.name != SIDECAR)
    if not found:
        raise CallerError(f"{folder} holds no {pattern} ({kind}): give another folder")
    return found


def read_sidecar(folder: Path) -> dict[str, Any]:
    """Who made what a folder of ours holds; nothing of another's."""
    path = folder / SIDECAR
    if not path.is_file():
        return {}
    with reading(path, "record of an export"):
        return made_by(read_json(path)["models"])


def sidecar(makers: Makers) -> bytes:
    return (json.dumps({"models": makers.found}, indent=1) + "\n").encode()


# ---------------------------------------------------------------------- writing


def stream(pieces: Iterable[str]) -> Iterator[bytes]:
    """Pieces of text as bytes, put together so that not every one is written by itself."""
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size > 2**20:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    yield "".join(waiting).encode()


def place(path: Path) -> Path:
    """The path, its folder made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CallerError(f"cannot make the folder {path.parent} ({error.strerror}): give another, -o") from None
    return path
