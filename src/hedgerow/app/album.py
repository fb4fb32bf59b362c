"""Which photos there are, and what is kept of each.

In: photos, folders, tars, folders of results; later, uploads. Out: entries by an id of ours, each with a folder of ours
for its picture and its forest while it is kept.

No name or path that comes from a browser is ever opened: a request says an id. What is opened lies in the folders
given, links followed; whatever leads out of them is left out and counted. A folder of results says in `hedgerow.json`
where its photos came from; that is followed where only this machine can ask.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from hedgerow.app.jobs import Job
from hedgerow.config import CallerError
from hedgerow.photos import PhotoError, PhotoRef, find_photos
from hedgerow.results import PICTURES, RECORD, SUFFIXES, Results

LISTED = 5000  # photos of the folders given; a page cannot show more
FOREST = SUFFIXES["forest"]
log = logging.getLogger(__name__)

State = Literal["idle", "waiting", "working", "ready", "failed"]


@dataclass(eq=False)
class Entry:
    """A photo as the page knows it. `stored` is its file as it came, None where only the forest is there; `results` a
    forest made before."""

    id: str
    name: str
    stored: PhotoRef | None
    results: Path | None = None
    upload: bool = False
    state: State = "idle"
    stage: str = ""
    reason: str = ""
    folder: Path | None = None
    shown: Path | None = None  # its picture, upright, as a browser shows it
    since: float = 0.0
    used: float = 0.0
    seconds: float = 0.0
    job: Job | None = None  # that opens it

    def told(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "stage": self.stage,
            "error": self.reason,
            "shown": self.shown is not None,
            "thumb": self.shown is not None or (self.stored is not None and not self.upload),
            "seconds": round(monotonic() - self.since if self.state == "working" else self.seconds, 2),
        }

    @property
    def forest(self) -> Path | None:
        return self.folder / "forest.json" if self.folder is not None and self.state == "ready" else None


class Album:
    """All entries; at most `keep` of them have files, an upload that is no longer kept is forgotten."""

    def __init__(self, workplace: Path, keep: int) -> None:
        self.workplace, self.keep = workplace, keep
        self.entries: dict[str, Entry] = {}
        self.left_out = 0
        self.roots: tuple[str, ...] = ()  # nothing is opened that lies elsewhere

    def add_places(self, places: Sequence[Path], local: bool) -> None:
        """The photos of folders, files and tars, and of folders of results."""
        runs = [place for place in places if _is_results(place)]
        inputs = [place for place in places if place not in runs]
        if not inputs and local:
            inputs = [source for run in runs for source in _recorded(run)]
        roots = self.roots = tuple(root for place in (*inputs, *runs) for root in _roots(place))
        photos = [photo for photo in find_photos(inputs) if not photo.name.endswith(PICTURES)] if inputs else []
        inside = [photo for photo in photos if _is_inside(photo.path, roots)]
        if len(inside) < len(photos):
            log.warning("links that lead out of the folders given are passed over: %d", len(photos) - len(inside))
        self.left_out = max(0, len(inside) - LISTED)
        if self.left_out:
            log.warning("%d of %d photos are listed: give a smaller folder for the others", LISTED, len(inside))
        claimed = set()
        for photo in inside[:LISTED]:
            found = _forest_of(photo, runs, roots)
            claimed.add(found)
            self._add(Entry(f"f{len(self.entries)}", photo.name, photo, found))
        for run in runs:
            bare = [path for path in sorted(run.rglob(f"*{FOREST}")) if path not in claimed and _is_inside(path, roots)]
            for path in bare[: max(0, LISTED - len(self.entries))]:
                name = path.relative_to(run).as_posix().removesuffix(FOREST)
                self._add(Entry(f"f{len(self.entries)}", name, None, path))
        if not self.entries:
            raise PhotoError("nothing to show was found: give photos, folders of them, or results")

    def add_upload(self, name: str, stored: Path) -> Entry:
        """A file that a browser sent and that lies in our own workplace."""
        entry = Entry(secrets.token_hex(8), name, PhotoRef("upload", stored), upload=True)
        self._add(entry)
        return entry

    def get(self, id: str) -> Entry | None:
        entry = self.entries.get(id)
        if entry is not None:
            entry.used = monotonic()
        return entry

    def make_room(self, entry: Entry) -> Path:
        """A folder for an entry's files; those of the entries that nobody has looked at for longest go."""
        self.trim(1)
        if entry.folder is None:
            entry.folder = self.workplace / secrets.token_hex(8)
            entry.folder.mkdir()
        return entry.folder

    def trim(self, room: int = 0) -> None:
        """No more files than are kept, but for those in use."""
        kept = [one for one in self.entries.values() if one.folder is not None]
        going = sorted((one for one in kept if one.state in ("ready", "failed")), key=lambda one: one.used)
        for old in going[: max(0, len(kept) + room - self.keep)]:
            self.drop(old)

    def drop(self, entry: Entry) -> None:
        """Its files go; it can be opened again, unless it was an upload."""
        if entry.folder is not None:
            shutil.rmtree(entry.folder, ignore_errors=True)
        entry.folder, entry.shown, entry.state, entry.stage = None, None, "idle", ""
        if entry.upload:
            self.entries.pop(entry.id, None)

    def _add(self, entry: Entry) -> None:
        entry.used = monotonic()
        self.entries[entry.id] = entry


def _roots(place: Path) -> list[str]:
    """What may be opened where this place was given: a folder and all below it; a file, and the forest beside it; for a
    glob, the folder that all of it lies in."""
    text = os.path.expanduser(place)
    while glob.has_magic(text) and not os.path.lexists(text):
        text = os.path.dirname(text)
    found = [os.path.realpath(text or ".")]
    if os.path.isfile(text):
        folder, name = os.path.split(text)
        found.append(os.path.join(os.path.realpath(folder or "."), os.path.splitext(name)[0] + FOREST))
    return found


def _is_results(place: Path) -> bool:
    return (place.expanduser() / RECORD).is_file()


def _recorded(run: Path) -> list[Path]:
    """Where a run's photos came from, as far as that is still there."""
    try:
        sources = [Path(str(source)) for source in json.loads((run / RECORD).read_bytes())["inputs"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CallerError(f"{run / RECORD} is no record of a run ({error!r}): give its photos beside it") from None
    there = [source for source in sources if source.exists()]
    if len(there) < len(sources):
        log.warning("%s is no longer there: forests of it are shown without their photos", sources[0])
    return there


def _forest_of(photo: PhotoRef, runs: Sequence[Path], roots: tuple[str, ...]) -> Path | None:
    """A forest of a photo that was made before: in a folder of results, else beside the photo."""
    for folder in (*runs, None):
        path = Results(folder, ()).path(photo, "forest")
        if path.is_file() and _is_inside(path, roots):
            return path
    return None


def _is_inside(path: Path, roots: tuple[str, ...]) -> bool:
    """Once links are followed: a link made later is followed when it is opened, so the workshop asks again."""
    place = os.path.realpath(path)
    return any(place == root or Path(place).is_relative_to(root) for root in roots)
