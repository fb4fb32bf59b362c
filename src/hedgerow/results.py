"""Results of a run over photos: which files there are, which photos are finished, and that no two runs mix.

In: photos, a folder (or none: beside each photo), the formats asked for, the settings. Out: for each photo KEY

    KEY.forest.json   its forest, with the settings it was made with
    KEY.overlay.png   the photo with its regions in colours
    KEY.npz           `levels`, int32 (L, H, W), coarse to fine
    KEY.labels.png    its categories or names, as a label map
    KEY.labels.json   which value of that is which name

and for all of them `predictions.json`, COCO results read back from the forests, so a run that was stopped gives the
same file. Every file is whole or not there, so a photo is finished when all its files are there. `hedgerow.json` in the
folder says with which settings and from which inputs they were made; a run that differs is refused, not mixed in.
"""

from __future__ import annotations

import errno
import glob
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.categories import category_map
from hedgerow.config import CallerError
from hedgerow.draw import category_colours, category_overlay, name_colours, name_overlay, overlay
from hedgerow.engines import in_order, share_out
from hedgerow.forest import MaskForest
from hedgerow.formats import read_forest, write_coco, write_forest, write_label_map, write_legend, write_levels
from hedgerow.naming import name_map
from hedgerow.photos import Photo, PhotoError, PhotoRef
from hedgerow.settings import difference
from hedgerow.storage import absolute
from hedgerow.writing import alone_in, sweep, write_atomically

# of a photo's own files
SUFFIXES = {
    "forest": ".forest.json",
    "overlay": ".overlay.png",
    "levels": ".npz",
    "labels": ".labels.png",
    "legend": ".labels.json",
}
FORMATS = ("forest", "overlay", "coco", "levels", "labels")  # the legend of names comes with their labels
PICTURES = (SUFFIXES["overlay"], SUFFIXES["labels"])  # which are no photos to a later run over their folder
LEVELS = 12
RECORD, PREDICTIONS = "hedgerow.json", "predictions.json"
HEAD = 2**16  # bytes of a forest file that surely hold what stands before its segments
FEW = 50  # forests are read in this process: starting others takes as long

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """The files of a run: in a folder, or beside each photo (None); `kinds` of SUFFIXES are asked for. `names` are
    those that regions may have, in the order of their label maps."""

    folder: Path | None
    kinds: tuple[str, ...]
    names: tuple[str, ...] = ()

    def path(self, photo: PhotoRef, kind: str) -> Path:
        """The file of that kind that belongs to a photo."""
        if self.folder is not None:
            return self.folder / f"{photo.key}{SUFFIXES[kind]}"
        return photo.path.parent / f"{photo.key.rpartition('/')[2]}{SUFFIXES[kind]}"

    def lacks(self, photo: PhotoRef, kind: str) -> bool:
        """Is this file asked for and not there?"""
        return kind in self.kinds and not _is_there(self.path(photo, kind))

    def begin(
        self, photos: Sequence[PhotoRef], inputs: Iterable[Path], settings: Settings, overwrite: bool
    ) -> list[PhotoRef]:
        """The photos still to be done; or, in one line, why this run may not go on from what is there."""
        if self.folder is not None:
            make_folder(self.folder)
        with self.alone():
            if overwrite:
                self._forget(photos)
            if self.folder is None:
                for photo in photos:
                    self._check_own(photo, settings)
            else:
                self._claim(self.folder, photos, inputs, settings, overwrite)
                for folder in {self.path(photo, "forest").parent for photo in photos}:
                    sweep(folder)
        return [photo for photo in photos if any(self.lacks(photo, kind) for kind in self.kinds)]

    def alone(self) -> AbstractContextManager[None]:
        """A context that a second run with the same folder cannot enter."""
        return alone_in(self.folder) if self.folder is not None else nullcontext()

    def check_names(self, photo: PhotoRef) -> None:
        """The photo's own fault, told before any work: its name leaves no room for a suffix."""
        for kind in self.kinds:
            try:
                os.lstat(self.path(photo, kind))
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    told = f"its name is too long for {SUFFIXES[kind]} behind it: rename it"
                    raise PhotoError(f"{photo.path}: {told}") from None

    def write(self, photo: PhotoRef, opened: Photo | None, forest: MaskForest, settings: Settings) -> None:
        """The files of one photo that are not there yet; the overlay needs the photo itself."""
        lacking = [kind for kind in self.kinds if self.lacks(photo, kind)]
        named = name_map(forest, self.names) if self.names and {"overlay", "labels", "legend"} & {*lacking} else None
        for kind in lacking:
            path = self.path(photo, kind)
            make_folder(path.parent)
            if kind == "forest":
                write_forest(path, forest, photo.name, settings)
            elif kind == "levels":
                write_levels(path, forest.each_level(LEVELS), LEVELS)
            elif kind == "legend":
                assert named is not None
                write_legend(path, photo.name, named, self.names, name_colours(self.names))
            elif kind == "labels" and named is not None:
                write_label_map(path, named, name_colours(self.names))
            elif kind == "labels":
                colours = category_colours(settings["categories"]["count"])
                write_label_map(path, _categories(forest, settings), colours)
            else:
                assert opened is not None
                shown = _overlay(opened, forest, settings) if named is None else self._named_overlay(opened, named)
                write_atomically(path, png(shown))

    def _named_overlay(self, opened: Photo, named: np.ndarray) -> np.ndarray:
        return name_overlay(full_size(opened), named, self.names)

    def collect(
        self,
        photos: Sequence[tuple[int | str, PhotoRef]],
        most: int,
        workers: int,
        watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _: items,
    ) -> None:
        """All forests as predictions.json under the image ids given, `most` regions a photo; `watch` shows progress."""
        assert self.folder is not None
        paths = [self.path(photo, "forest") for _, photo in photos]
        reading = share_out(partial(_best_reader, most), paths, workers if len(paths) > FEW else 0)
        with closing(reading):
            ids = [image_id for image_id, _ in photos]
            forests = zip(ids, map(_unless_failed, in_order(reading)), strict=True)
            write_coco(self.folder / PREDICTIONS, watch(forests, len(ids)), most)

    @property
    def errors(self) -> Path | None:
        """Where the photos that could not be done are listed; nowhere when results lie beside photos."""
        return self.folder / "errors.jsonl" if self.folder else None

    def write_errors(self, bad: Sequence[Any]) -> None:
        """A line each: key, reason, and details where the fault is ours; no file where all could be done."""
        if self.errors is None:
            return
        with suppress(OSError):
            self.errors.unlink()
        if bad:
            lines = [{"key": one.photo.key, "reason": one.reason, "details": one.details} for one in bad]
            write_atomically(self.errors, "".join(json.dumps(line) + "\n" for line in lines).encode())

    # ------------------------------------------------------------------ what is there already

    def _forget(self, photos: Sequence[PhotoRef]) -> None:
        """A run that starts again and is stopped could not be told from a finished one if the old files stayed."""
        paths = [self.path(photo, kind) for photo in photos for kind in SUFFIXES]
        paths += [self.folder / PREDICTIONS] if self.folder else []
        for path in filter(_is_there, paths):
            try:
                path.unlink()
            except OSError as error:
                raise CallerError(f"cannot remove {path}: {error.strerror}") from None

    def _check_own(self, photo: PhotoRef, settings: Settings) -> None:
        """Beside photos there is no record: a forest itself says what it is of and how it was made."""
        path = self.path(photo, "forest")
        if not _is_there(path):
            return
        header = _header(path)
        if header["image"]["file"] != photo.name:
            raise CallerError(f"{path} is of {header['image']['file']}, not of {photo.name}: give a folder, -o")
        if header["model"] != settings:
            told = f"{path} was made with {difference(header['model'], settings)}"
            raise CallerError(f"{told}: use --overwrite, or give a folder, -o")

    def _claim(
        self, folder: Path, photos: Sequence[PhotoRef], inputs: Iterable[Path], settings: Settings, overwrite: bool
    ) -> None:
        """Check that what is there was made as this run would make it, and record this run."""
        remedy = "use --overwrite, or give another folder, -o"
        record = _read_record(folder / RECORD)
        there = [photo for photo in photos if any(_is_there(self.path(photo, kind)) for kind in SUFFIXES)]
        if record is None and there:
            raise CallerError(f"{folder} holds results, but no {RECORD} that says how they were made: {remedy}")
        same = record is not None and record["settings"] == settings
        if record is not None and not same and not overwrite:
            raise CallerError(f"{folder} was made with {difference(record['settings'], settings)}: {remedy}")
        sources = [_source(given) for given in inputs]
        known = record["inputs"] if record is not None and same else []
        if not set(sources) <= set(known):
            _check_sources(folder, there, known, remedy)
        document = {"settings": settings, "inputs": [*dict.fromkeys(known + sources)]}
        write_atomically(folder / RECORD, (json.dumps(document, indent=1) + "\n").encode())


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # no file can have this name
        return False


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CallerError(f"cannot make the folder {folder} ({error.strerror}): give another, -o") from None


def read_levels(path: Path) -> np.ndarray:
    """The level maps (L, H, W) of a file that a run wrote, or anybody else."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:  # numpy would leave it open
            levels = np.asarray(file["levels"])  # bytes, where it is no array
    except OSError as error:
        raise CallerError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # numpy and zipfile meet damaged files with several types
        raise CallerError(f"{path}: expected an .npz that holds 'levels' ({error})") from None
    if levels.ndim != 3 or levels.dtype.kind not in "iu" or not len(levels):
        raise CallerError(f"{path}: expected levels of shape (L, H, W), got {levels.dtype} of shape {levels.shape}")
    return levels


# ---------------------------------------------------------------------- records


def _header(path: Path) -> dict[str, Any]:
    """What a forest file says before its segments; a file that is laid out otherwise is read in full."""
    try:
        with open(path, "rb") as file:
            head, found, _ = file.read(HEAD).partition(b'"segments"')
        header = json.loads(head + b'"segments": []}') if found else {}
        return {"image": {"file": str(header["image"]["file"])}, "model": dict(header["model"])}
    except (OSError, ValueError, TypeError, KeyError):
        return read_forest(path)[1]


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
        return {"settings": dict(record["settings"]), "inputs": [str(place) for place in record["inputs"]]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CallerError(f"{path} is no record of a run ({error!r}): remove it, or give another folder, -o") from None


def _source(given: Path) -> str:
    """An input as a place that its photos lie at or below."""
    place = os.path.expanduser(given)
    while glob.has_magic(place) and not os.path.lexists(place):
        place = os.path.dirname(place)
    return absolute(place)


def _check_sources(folder: Path, there: Sequence[PhotoRef], known: Sequence[str], remedy: str) -> None:
    """A photo whose results are there must come from an input that gave them: another may have the same name."""
    for photo in there:
        place = Path(absolute(photo.path))
        if not any(place.is_relative_to(Path(source)) for source in known):
            raise CallerError(f"{folder} holds results named {photo.key} of another photo than {photo.path}: {remedy}")


# ---------------------------------------------------------------------- contents


def png(pixels: np.ndarray) -> bytes:
    memory = BytesIO()
    Image.fromarray(pixels).save(memory, "PNG")
    return memory.getvalue()


def full_size(photo: Photo) -> np.ndarray:
    """Its pixels, repeated where it was reduced: a picture of it is far smaller again, so nothing is seen of that."""
    if photo.pixels.shape[:2] == photo.size:
        return photo.pixels
    ys, xs = (np.arange(full) * n // full for full, n in zip(photo.size, photo.pixels.shape, strict=False))
    return np.ascontiguousarray(photo.pixels[ys][:, xs])


def _overlay(photo: Photo, forest: MaskForest, settings: Settings) -> np.ndarray:
    """In the colours of categories where there are any."""
    if "categories" not in settings:
        return overlay(full_size(photo), forest)
    return category_overlay(full_size(photo), _categories(forest, settings))


def _categories(forest: MaskForest, settings: Settings) -> np.ndarray:
    if forest.category is None:  # as a file's forest is where every region is in none
        return np.full(forest.size, -1, np.int32)
    return category_map(forest, settings["categories"]["most_segments"])


def _best_reader(most: int) -> Callable[[Path], MaskForest]:
    return lambda path: read_forest(path)[0].best(most)


def _unless_failed(forest: MaskForest | CallerError) -> MaskForest:
    if isinstance(forest, CallerError):
        raise forest
    return forest
