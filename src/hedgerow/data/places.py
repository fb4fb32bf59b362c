"""Where the parts of a data set lie: its root, its splits, its files; and one line about it where they do not."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from hedgerow.data.examples import Dataset, Example, LayoutError
from hedgerow.photos import PHOTO_SUFFIXES, PhotoRef, find_photos

Missing = Literal["error", "skip"]
SHOWN = 8  # names in a message before it says "and so many more"

log = logging.getLogger(__name__)


def find_root(layout: str, root: Path, needs: Sequence[str], inside: Sequence[str] = ("",)) -> Path:
    """The folder that holds all those in `needs`: the root, or one of those `inside` it that archives unpack to."""
    for place in inside:
        if all((root / place / need).is_dir() for need in needs):
            return root / place
    raise wrong_layout(layout, root, " and ".join(f"{need}/" for need in needs))


def wrong_layout(layout: str, root: Path, looked_for: str) -> LayoutError:
    return LayoutError(f"{root} is not laid out as {layout}: looked for {looked_for}, found {contents(root)}")


def contents(folder: Path) -> str:
    """What a message says lies in a folder."""
    folders = subfolders(folder)
    files = sum(entry.is_file() for entry in folder.iterdir())
    named = (
        f"the folders {some(folders)}" if len(folders) > 1 else f"the folder {folders[0]}" if folders else "no folder"
    )
    return named + (f" and {files} files" if files else "")


def subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def choose_split(layout: str, root: Path, split: str | None, found: Sequence[str], usual: Sequence[str] = ()) -> str:
    """The split asked for; else the first of the `usual` ones that is there; else the only one."""
    if not found:
        raise wrong_layout(layout, root, "a split that has both photos and labels")
    if split is not None:
        if split not in found:
            raise LayoutError(f"{root} has no split {split} of {layout}: found {some(found)}")
        return split
    for name in usual:
        if name in found:
            return name
    if len(found) > 1:
        raise LayoutError(f"{root} has several splits: write {layout}:{root}:SPLIT with one of {some(found)}")
    return found[0]


def refuse_split(layout: str, root: Path, split: str | None) -> None:
    if split is not None:
        raise LayoutError(f"{layout} has no splits, got {split}: write {layout}:{root}")


def photos_with_labels(
    layout: str, photos: Path, label_of: Callable[[PhotoRef], Path], others: Iterable[Path] = ()
) -> list[tuple[PhotoRef, Path]]:
    """The photos of a folder, each with the path its label should have; orphaned labels are warned of.

    Not one label there means that this is another layout, or none. `others` are labels that may have a photo.
    """
    pairs = [(photo, label_of(photo)) for photo in find_photos([photos])]
    present = Presence()
    if not any(present(label) for _, label in pairs):
        raise wrong_layout(layout, photos, f"labels of its {len(pairs)} photos, such as {pairs[0][1]}")
    orphans = sorted(
        {str(path) for path in others if not path.name.startswith(".")} - {str(label) for _, label in pairs}
    )
    if orphans:
        log.warning("%s: %d labels have no photo in %s: %s", layout, len(orphans), photos, some(orphans))
    return pairs


def photo_named(folder: Path, name: str) -> PhotoRef:
    """The photo of that name without suffix, whatever its suffix is; where there is none, a JPEG to be missed."""
    path = folder / f"{name}.jpg"  # what nearly every data set has, so the folder is seldom searched
    if not path.exists() and path.parent.is_dir():
        kin = sorted(path.parent.glob(glob.escape(path.stem) + ".*"))
        path = next((other for other in kin if other.suffix.lower() in PHOTO_SUFFIXES), path)
    return PhotoRef(name, path)


class Presence:
    """Whether files are there, looking into each folder once: far quicker than asking for 118,287 files one by one."""

    def __init__(self) -> None:
        self.names: dict[Path, set[str]] = {}

    def __call__(self, path: Path) -> bool:
        if path.parent not in self.names:
            there = os.path.isdir(path.parent)  # noqa: PTH112: Path's would raise where a name is longer than any can be
            self.names[path.parent] = {e.name for e in path.parent.iterdir()} if there else set()
        return path.name in self.names[path.parent]


def without_missing(dataset: Dataset, missing: Missing) -> Dataset:
    """The data set, if all files of its examples are there; else one line that names the absent ones.

    With missing="skip" that line is a warning, and the data set is of the examples that have their files.
    """
    present = Presence()
    absent: list[str] = []
    kept: list[Example] = []
    for example in dataset.examples:
        gone = [path for path in (example.photo.path, *example.labels) if not present(path)]
        absent += map(str, gone)
        if not gone:
            kept.append(example)
    if not absent:
        return dataset
    count, total = len(dataset) - len(kept), len(dataset)
    told = f"{dataset.name}: {count} of {total} photos lack their photo or label file: {some(absent)}"
    if missing == "error":
        raise LayoutError(f'{told}; fetch them, or leave these photos out with missing="skip"')
    if not kept:
        raise LayoutError(f"{told}; none is left")
    log.warning("%s; left out", told)
    return replace(dataset, examples=tuple(kept))
