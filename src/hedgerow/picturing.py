"""Pictures of a collection: photos and their forests, drawn.

In: forest files, folders of them, or photos; what is to be drawn. Out: KEY.KIND.png for each photo and kind, and sheets
of many. A forest's photo is looked for in the folder given, where the run that made the forest took its photos from,
and beside the forest. A photo without a forest is explored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, open_backbone
from hedgerow.backbones.pooling import look
from hedgerow.config import CallerError, Draw, Explore, UsageError, Zoom
from hedgerow.draw import at_peace, contact_sheet, contours, feature_colours, level_strip, overlay, path_colours, tree
from hedgerow.explore import explore
from hedgerow.explore.refine import refine
from hedgerow.exporting import chosen, find_forests
from hedgerow.forest import MaskForest
from hedgerow.formats import read_forest
from hedgerow.partition import sampled
from hedgerow.photos import Photo, PhotoRef, find_photos, open_photo
from hedgerow.pipeline import DECODED, Failed
from hedgerow.results import LEVELS, RECORD, SUFFIXES, full_size, make_folder, png
from hedgerow.writing import write_atomically

__all__ = ["Failed", "Pictures", "draw_pictures", "plan_pictures"]

KINDS = ("overlay", "outlines", "tree", "levels", "features", "refined", "sheet")
TOGETHER = 100  # photos whose features are coloured together: one colour means one thing in all of them
FEW = 24  # regions of patches that are shown before and after refining


@dataclass(frozen=True)
class Subject:
    """A photo to be drawn, and its forest's file, if there is one."""

    key: str
    photo: PhotoRef
    forest: Path | None


@dataclass(frozen=True)
class Pictures:
    """What is to be drawn, of which photos, and where: a folder, or the file of the one picture."""

    subjects: tuple[Subject, ...]
    kinds: tuple[str, ...]
    place: Path
    config: Draw

    def path(self, subject: Subject, kind: str) -> Path:
        return self.place if self.place.suffix == ".png" else self.place / f"{subject.key}.{kind}.png"


def plan_pictures(inputs: Iterable[str | Path], output: str | Path, config: Draw) -> Pictures:
    """Checked, before any photo is opened."""
    kinds = tuple(dict.fromkeys(kind.strip() for kind in config.kind.split(",")))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"--kind takes {','.join(KINDS)} or some of them, got {unknown[0]!r}")
    for name, least in (("count", 3), ("columns", 1), ("max_masks", 1), ("seed", 0)):
        if (value := getattr(config, name)) is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} is at least {least}, got {value}")
    subjects = _subjects([Path(given) for given in inputs], config.photos)
    place = Path(output)
    if place.suffix == ".png" and kinds != ("sheet",) and (len(subjects) > 1 or len(kinds) > 1):
        raise UsageError(f"{len(subjects) * len(kinds)} pictures need a folder, not {place}: give another, -o DIR")
    return Pictures(tuple(subjects), kinds, place, config)


def draw_pictures(planned: Pictures) -> Generator[Subject | Failed]:
    """Each photo as its pictures are done; what spoils one photo is `Failed`. Sheets, and what a backbone sees in many
    photos, are written when enough of them have come, and at the end."""
    sheet = _Sheet(planned) if "sheet" in planned.kinds else None
    seen = _Seen(planned) if "features" in planned.kinds else None
    for subject in planned.subjects:
        try:
            _draw_one(planned, subject, sheet, seen)
        except CallerError as error:
            yield Failed(subject.photo, str(error))
            continue
        yield subject
    if sheet is not None:
        sheet.write(last=True)
    if seen is not None:
        seen.write(last=True)


# ---------------------------------------------------------------------- finding


def _subjects(inputs: Sequence[Path], photos: Path | None) -> list[Subject]:
    if not inputs:
        raise UsageError("nothing to draw was named: give forests, photos, or folders of them")
    places = [place.expanduser() for place in inputs]
    forests = [place for place in places if _holds_forests(place)]
    found: dict[str, Subject] = {}
    for place in forests:
        found_at = _Looked(place, photos)
        for source in find_forests([place]):
            _add(found, Subject(source.key, found_at.photo(source.key, source.path), source.path))
    others = [place for place in places if place not in forests]
    for photo in find_photos(others) if others else []:
        beside = photo.path.parent / f"{PurePosixPath(photo.key).name}{SUFFIXES['forest']}"
        has = photo.member is None and beside.is_file()
        _add(found, Subject(photo.key, photo, beside if has else None))
    return list(found.values())


def _holds_forests(place: Path) -> bool:
    if place.is_dir():
        return next(place.rglob(f"*{SUFFIXES['forest']}"), None) is not None
    return place.suffix == ".json"


def _add(found: dict[str, Subject], subject: Subject) -> None:
    other = found.setdefault(subject.key, subject)
    if other.photo != subject.photo:
        raise UsageError(
            f"{other.photo.path} and {subject.photo.path} are both {subject.key}: draw one after the other"
        )


class _Looked:
    """Where the photos of a folder of forests, or of one forest, may lie; each place is looked through once."""

    def __init__(self, place: Path, photos: Path | None) -> None:
        self.told = photos
        folder = place if place.is_dir() else place.parent
        inputs = [photos] if photos is not None else _inputs_of(folder)
        self.by_key: dict[str, PhotoRef] = {}
        for given in inputs:
            try:
                self.by_key |= {photo.key: photo for photo in find_photos([given])}
            except CallerError:  # a run's photos may have gone since; those that are told of are there
                if photos is not None:
                    raise

    def photo(self, key: str, forest: Path) -> PhotoRef:
        if key in self.by_key:
            return self.by_key[key]
        name = PurePosixPath(read_forest(forest)[1]["image"]["file"]).name
        beside = forest.parent / name
        if beside.is_file():
            return PhotoRef(key, beside)
        alike = [photo for photo in self.by_key.values() if photo.name == name]
        if len(alike) == 1:
            return PhotoRef(key, alike[0].path, alike[0].member, alike[0]._span)
        where = f"in {self.told}" if self.told is not None else "beside it or where its run found it"
        raise CallerError(f"{forest}: no photo {name} is {where}: give the photos' folder, --photos DIR")


def _inputs_of(folder: Path) -> list[Path]:
    """Where the run that made these results took its photos from."""
    try:
        return [Path(place) for place in json.loads((folder / RECORD).read_bytes())["inputs"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []


# ---------------------------------------------------------------------- drawing


def _draw_one(planned: Pictures, subject: Subject, sheet: _Sheet | None, seen: _Seen | None) -> None:
    config = planned.config
    opened = open_photo(subject.photo, DECODED)
    if {"overlay", "outlines", "tree", "levels", "sheet"} & {*planned.kinds}:
        forest, pixels = _forest(subject, opened, config), full_size(opened)
        drawn: dict[str, Callable[[], np.ndarray]] = {
            "overlay": partial(overlay, pixels, forest, count=config.count),
            "outlines": partial(contours, pixels, forest),
            "tree": partial(tree, pixels, forest),
            "levels": partial(_levels, pixels, forest),
        }
        for kind in planned.kinds:
            if kind in drawn:
                _write(planned.path(subject, kind), drawn[kind]())
        if sheet is not None:
            sheet.add(overlay(pixels, forest, count=config.count), f"{subject.key}: {len(forest)} regions")
    if "refined" in planned.kinds:
        looker = _opened(config.backbone or "embedded")
        _write(planned.path(subject, "refined"), before_and_after(opened, looker, config.seed))
    if seen is not None:
        seen.add(subject, opened)


def _forest(subject: Subject, opened: Photo, config: Draw) -> MaskForest:
    if subject.forest is None:
        forest = explore(opened, _opened(config.backbone or "texture"), Explore(), config.seed)
    else:
        forest = read_forest(subject.forest)[0]
        if forest.size != opened.size:
            where = f"{subject.photo.path} is of size {opened.size}"
            raise CallerError(f"{where}, {subject.forest} of {forest.size} (height, width): is it of another photo?")
    return chosen(forest, config.max_masks, config.min_score)


def _levels(pixels: np.ndarray, forest: MaskForest) -> np.ndarray:
    """The picture shows five of them; looked up at its own size they would not be nested."""
    return level_strip(pixels, forest.levels(LEVELS))


def before_and_after(photo: Photo, backbone: Backbone, seed: int = 0) -> np.ndarray:
    """What refining makes of masks of patches: the best that do not compete, before and after, in the same colours."""
    config = replace(Explore(), grain="patches", keep_iou=0.0, max_masks=300, zoom=Zoom(windows=0))
    best = at_peace(explore(photo, backbone, config, seed)).best(FEW)
    coarse = MaskForest(photo.size, best.rles)  # all of them roots, so that all lines are of one width
    features = look(backbone, photo.pixels)
    ys, xs = sampled(photo.size, features.values.shape[:2])
    cells = [coarse.mask(row)[ys[:, None], xs] for row in range(len(coarse))]
    texts, same = refine(photo.pixels, cells, size=photo.size)
    kept = np.flatnonzero(same)
    fine = MaskForest(photo.size, tuple(texts[row] for row in kept))
    colours = path_colours(coarse.rles, coarse.parent)
    pixels = full_size(photo)
    pictures = [
        contours(pixels, coarse, rows=np.arange(len(coarse)), colours=colours, written=False),
        contours(pixels, fine, rows=np.arange(len(fine)), colours=colours[kept], written=False),
    ]
    told = "all of them" if same.all() else f"{len(kept)} of {len(coarse)} are still the same region"
    return contact_sheet(pictures, [f"{len(coarse)} regions as patches have them", f"refined: {told}"], columns=2)


@cache
def _opened(name: str) -> Backbone:
    return open_backbone(name)


def _write(path: Path, picture: np.ndarray) -> None:
    make_folder(path.parent)
    write_atomically(path, png(picture))


# ---------------------------------------------------------------------- of many photos


class _Sheet:
    """Pictures waiting for a sheet that is full."""

    def __init__(self, planned: Pictures) -> None:
        self.planned, self.number = planned, 0
        self.room = planned.config.columns**2
        self.side = max(64, 2048 // planned.config.columns)
        self.several = len(planned.subjects) > self.room
        self.pictures: list[np.ndarray] = []
        self.captions: list[str] = []

    def add(self, picture: np.ndarray, caption: str) -> None:
        image = Image.fromarray(picture)
        image.thumbnail((self.side, self.side))
        self.pictures.append(np.asarray(image))
        self.captions.append(caption)
        self.write()

    def write(self, *, last: bool = False) -> None:
        if not self.pictures or (len(self.pictures) < self.room and not last):
            return
        place = self.planned.place
        name = f"sheet-{self.number:03}.png" if self.several else "sheet.png"
        path = place if place.suffix == ".png" and not self.several else place.with_suffix("") / name
        _write(path, contact_sheet(self.pictures, self.captions, columns=self.planned.config.columns))
        self.number += 1
        self.pictures, self.captions = [], []


class _Seen:
    """Features waiting for enough others to be coloured together with."""

    def __init__(self, planned: Pictures) -> None:
        self.planned = planned
        self.looker = _opened(planned.config.backbone or "embedded")
        self.waiting: list[tuple[Subject, np.ndarray, np.ndarray]] = []

    def add(self, subject: Subject, opened: Photo) -> None:
        image = Image.fromarray(opened.pixels)
        image.thumbnail((1024, 1024))
        self.waiting.append((subject, np.asarray(image), look(self.looker, opened.pixels).values))
        self.write()

    def write(self, *, last: bool = False) -> None:
        if not self.waiting or (len(self.waiting) < TOGETHER and not last):
            return
        for (subject, photo, values), seen in zip(self.waiting, self._coloured(), strict=True):
            ys, xs = sampled(values.shape[:2], photo.shape)
            captions = ["photo", f"what {self.looker.name} sees, {values.shape[1]} x {values.shape[0]} patches"]
            _write(
                self.planned.path(subject, "features"),
                contact_sheet([photo, seen[ys[:, None], xs]], captions, columns=2),
            )
        self.waiting = []

    def _coloured(self) -> Iterator[np.ndarray]:
        return iter(feature_colours([values for _, _, values in self.waiting]))
