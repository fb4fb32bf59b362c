"""What is done in the workshop: a photo opened into its forest, its regions named, look-alikes found.

In: where a photo's files are, and what is asked. Out: files in the entry's own folder, and short answers.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.app import alike
from hedgerow.app.workshop import Tell
from hedgerow.backbones import Backbone
from hedgerow.backbones.pooling import embed
from hedgerow.config import CallerError, Segment, Serve
from hedgerow.draw import name_colours
from hedgerow.formats import read_forest, write_forest
from hedgerow.naming import Language, open_language, open_naming, read_vocabulary
from hedgerow.photos import PIXEL_LIMIT, Photo, PhotoError, PhotoRef, open_photo
from hedgerow.photos.finding import open_stored
from hedgerow.pipeline import DECODED, forest_of, looker_of, settings_of
from hedgerow.writing import write_atomically

EXACT = 1_500_000  # pixels up to which the picture is sent as a PNG, so that a cut-out of it is the photo's own
QUALITY = 92  # of JPEG beyond: a 12 megapixel PNG would take seconds to write
REMEMBERED = 64  # photos of which vectors in the space of words are kept: 1.5 MB each


class Bench:
    """What a workshop has at hand: opened once, and what was seen before."""

    def __init__(self, config: Serve) -> None:
        self.config = config
        self.segment = Segment(
            model=config.model,
            backbone=config.backbone,
            name_model=config.name_model,
            max_masks=config.max_masks,
            min_area=config.min_area,
            tiles=config.tiles,
            seed=config.seed,
            predict=config.predict,
            explore=config.explore,
        )
        self.looker = looker_of(self.segment)
        self.settings = settings_of(self.looker, self.segment)
        self.alike = alike.Vectors()
        self._worded: OrderedDict[str, np.ndarray] = OrderedDict()

    @cached_property
    def language(self) -> Language:
        return open_language(self.config.name_model)

    @cached_property
    def backbone(self) -> Backbone:
        return looker_of(Segment(backbone=self.config.alike))  # type: ignore[return-value]  # no model was named

    def lacks(self) -> dict[str, str]:
        """What cannot be done here, and why: names without a language, look-alikes without a backbone."""
        missing = {}
        for name in ("language", "backbone"):
            try:
                getattr(self, name)
            except CallerError as error:
                missing[name] = str(error)
        return missing

    def worded(self, where: Where) -> np.ndarray:
        """(N, E) a photo's regions in the space of words; looking takes a second, so it is done once."""
        if where.id not in self._worded:
            forest = read_forest(where.forest)[0]
            features = self.language.look(open_photo(where.shown).pixels, forest)
            self._worded[where.id] = np.asarray(embed(forest, features).embedding)
            while len(self._worded) > REMEMBERED:
                self._worded.popitem(last=False)
        self._worded.move_to_end(where.id)
        return self._worded[where.id]


@dataclass(frozen=True)
class Where:
    """An entry's files, once it is ready."""

    id: str
    shown: Path
    forest: Path


@dataclass(frozen=True)
class Open:
    """A photo into its picture and its forest, in a folder of ours; a forest made before is proved and taken."""

    name: str
    stored: PhotoRef | None
    results: Path | None
    roots: tuple[str, ...]
    folder: Path

    def do(self, bench: Bench, tell: Tell) -> dict[str, Any]:
        tell("opening")
        before = None if self.results is None else read_forest(self._inside(self.results))
        photo = None if self.stored is None else self._opened(bench)
        if photo is not None:
            tell(f"shown {self._show(photo).name}")
        if before is not None:
            forest, header = before
            if photo is not None and photo.size != forest.size:
                raise CallerError(f"its forest is of size {forest.size}, the photo of {photo.size}: it was changed")
            settings = header["model"]
        else:
            assert photo is not None
            tell("looking")
            forest, settings = forest_of(photo, bench.looker, bench.segment), bench.settings
        write_forest(self.folder / "forest.json", forest, self.name, settings)
        return {"regions": len(forest)}

    def _opened(self, bench: Bench) -> Photo:
        assert self.stored is not None
        self._inside(self.stored.path)
        most = bench.config.max_megapixels
        try:
            if (pixels := claimed(self.stored)) > most * 1e6:
                told = f"{pixels / 1e6:.0f} megapixels are more than the {most:g} that are taken"
                raise PhotoError(f"{told}: reduce it first, or give more --max-megapixels")
            return open_photo(self.stored, DECODED)
        except PhotoError as error:  # where the file lies is no news to a browser
            path = str(self.stored.path)
            raise PhotoError(str(error).removeprefix(f"{path}: ").replace(path, self.name)) from None

    def _inside(self, path: Path) -> Path:
        """Asked again now: a link may have been made since the photo was found."""
        place = Path(os.path.realpath(path))
        if not any(place.is_relative_to(root) for root in self.roots):
            raise CallerError(f"{self.name} leads out of the folders given")
        return path

    def _show(self, photo: Photo) -> Path:
        """The picture as a browser shows it: upright, and without what else the file held, as where it was taken."""
        exact, memory = photo.pixels.size <= 3 * EXACT, BytesIO()
        if exact:
            Image.fromarray(photo.pixels).save(memory, "PNG", compress_level=1)
        else:
            Image.fromarray(photo.pixels).save(memory, "JPEG", quality=QUALITY)
        path = self.folder / ("shown.png" if exact else "shown.jpg")
        write_atomically(path, memory.getvalue())
        return path


def claimed(photo: PhotoRef) -> int:
    """Pixels that a file says it has, by its head alone; 0 where it cannot be read: opening it then tells why."""
    try:
        with warnings.catch_warnings(), open_stored(photo) as file:
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                return image.width * image.height
    except Image.DecompressionBombError:
        return PIXEL_LIMIT
    except Exception:
        return 0


@dataclass(frozen=True)
class Name:
    """The best of the names for each region of a photo."""

    where: Where
    asked: str

    def do(self, bench: Bench, tell: Tell) -> dict[str, Any]:
        naming = open_naming(read_vocabulary(self.asked, "the list of names"), bench.language)
        tell("looking")
        best, score = naming.names.best(bench.worded(self.where))
        named = (best >= 0) & (score >= naming.threshold)
        return {
            "names": list(naming.names.names),
            "colours": name_colours(naming.names.names).tolist(),
            "best": np.where(named, best, -1).tolist(),
            "scores": [round(float(one), 4) for one in np.where(named, score, 0)],
            "model": naming.language.name,
        }


@dataclass(frozen=True)
class Alike:
    """Segments of the photos that are open, or have forests, most like one region."""

    asked: alike.Source
    row: int
    others: tuple[alike.Source, ...]

    def do(self, bench: Bench, tell: Tell) -> dict[str, Any]:
        return alike.find(bench.backbone, bench.alike, self.asked, self.row, self.others, tell=tell)
