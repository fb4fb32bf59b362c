"""Segments that look alike over a collection: an index of them, and what it answers.

In: a segment store; then a photo and a point of it. Out: `index.faiss` with `index.json`, in the store's folder; the
regions at that point; the segments most like one of them, as a table `found.csv` and a sheet `found.png`.

What is asked about is explored, whichever way the index's segments were found, and looked at by the backbone that
looked at those. How alike two segments are is the cosine of their vectors (MaskContrast, Van Gansbeke et al. 2021,
section 4.3, retrieves by it; whitening first was no better for the shipped backbone).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.backbones.pooling import embed, look
from hedgerow.categories import VectorIndex, foremost, same_backbone
from hedgerow.categories.segments import WHOLE
from hedgerow.config import VERSION, CallerError, Search, UsageError
from hedgerow.data.segments import SegmentStore
from hedgerow.draw import contact_sheet
from hedgerow.forest import MaskForest
from hedgerow.gathering import Gathering, explored_now, exploring, thumbnail
from hedgerow.photos import Photo, open_photo
from hedgerow.pipeline import DECODED
from hedgerow.results import full_size, make_folder, png
from hedgerow.writing import write_atomically

INDEX, CARD = "index.faiss", "index.json"
FORMAT = 1
TABLE, SHEET = "found.csv", "found.png"
ALIKE, PATH = 0.7, 12  # IoU from which two regions at a point are one for whoever asks; regions told of at most


@dataclass(frozen=True)
class Like:
    """What is asked about: a photo, and a point of it if one is given."""

    photo: Path
    point: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Asked:
    """The photo that is asked about, the regions that may be meant, and which of them (`level`) is."""

    photo: Photo
    sha256: str
    name: str
    regions: MaskForest
    level: int


@dataclass(frozen=True)
class Hit:
    """A segment that was found: the photo's number in its store, the segment's place in it, and what the table says."""

    photo: int
    place: int
    alike: float
    row: dict[str, Any]


def write_index(planned: Gathering) -> VectorIndex:
    """The index of a finished store; the same segments give the same bytes."""
    store = planned.store
    vectors = store.vectors()
    index = VectorIndex.of(vectors)
    content = index.to_bytes()
    card = {
        "hedgerow": FORMAT,
        "kind": "index",
        "version": VERSION,
        "supervision": planned.collection.settings["supervision"],
        "backbone": planned.collection.settings["backbone"],
        "segments": len(index),
        "dims": index.dims,
        "search": index.kind,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(store.folder / INDEX, content)
    write_atomically(store.folder / CARD, (json.dumps(card, indent=1) + "\n").encode())
    return index


class SegmentIndex:
    """A folder that `write_index` finished, proved before it is trusted."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self.card = _read_card(self.folder)
        self.store = SegmentStore(self.folder)
        try:
            content = (self.folder / INDEX).read_bytes()
        except OSError as error:
            raise CallerError(f"cannot read {self.folder / INDEX}: {error.strerror or error}") from None
        if hashlib.sha256(content).hexdigest() != self.card["sha256"]:
            raise CallerError(f"{self.folder / INDEX} is not the file that {CARD} beside it describes: make it again")
        self.index = VectorIndex.from_bytes(content)
        self.photos = self.store.columns("key", "file", "sha256", "rows")
        counts = [len(rows or ()) for rows in self.photos["rows"]]
        self.photo = np.repeat(np.arange(len(counts)), counts)
        self.place = np.arange(len(self.photo)) - np.repeat(np.cumsum(counts) - counts, counts)
        if len(self.photo) != len(self.index):
            raise CallerError(
                f"{self.folder} has {len(self.photo)} segments, its index {len(self.index)}: make it again"
            )

    def ask(self, like: Like, config: Search) -> Asked:
        """The regions that may be meant, from smallest to largest where a point is given, best first otherwise."""
        opened = open_photo(like.photo, DECODED)
        forest = explored_now(opened, exploring(config))
        regions = _at(forest, like) if like.point else _foremost(forest)
        if not len(regions):
            raise CallerError(f"no region of {like.photo} is at {_told(like.point)}: give another point")
        level = _standing_out(regions) if config.level is None else config.level
        if not 0 <= level < len(regions):
            raise UsageError(f"--level lies in 0 ... {len(regions) - 1} there, got {level}")
        digest = hashlib.sha256(like.photo.expanduser().read_bytes()).hexdigest()
        return Asked(opened, digest, like.photo.name, regions, level)

    def search(self, asked: Asked, count: int, config: Search) -> list[Hit]:
        """At most `count` segments, the most alike first."""
        if count < 1:
            raise UsageError(f"-n is at least 1, got {count}")
        backbone = same_backbone(self.card["backbone"], f"the segments of {self.folder}")
        chosen = asked.regions.select([asked.level])
        vector = embed(chosen, look(backbone, asked.photo.pixels)).embedding
        assert vector is not None
        same = np.isin(self.photo, [n for n, sha in enumerate(self.photos["sha256"]) if sha == asked.sha256])
        spare = 0 if config.same_photo else int(same.sum())
        rows, alike = self.index.search(vector[0], count + spare)
        kept = (alike >= config.min_score) & (config.same_photo | ~same[rows])
        return [
            self._hit(rank, int(row), float(score))
            for rank, (row, score) in enumerate(zip(rows[kept][:count], alike[kept][:count], strict=True), start=1)
        ]

    def _hit(self, rank: int, row: int, score: float) -> Hit:
        photo, place = int(self.photo[row]), int(self.place[row])
        told = {
            "rank": rank,
            "alike": round(score, 4),
            "key": self.photos["key"][photo],
            "file": self.photos["file"][photo],
            "row": self.photos["rows"][photo][place],
        }
        return Hit(photo, place, score, told | self._box(photo, place))

    def _box(self, photo: int, place: int) -> dict[str, int]:
        forest = self.store.forest(photo)
        x, y, width, height = (int(v) for v in forest.boxes[place])
        return {"x": x, "y": y, "width": width, "height": height, "area": int(forest.areas[place])}


def like_asked(text: str) -> Like:
    """PHOTO or PHOTO@X,Y; a file whose own name holds an @ is that file."""
    place, mark, point = text.rpartition("@")
    if not mark or Path(text).expanduser().exists():
        return Like(Path(text), None)
    numbers = point.split(",")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise UsageError(f"--like takes PHOTO or PHOTO@X,Y, pixels from the left and from the top, got {text!r}")
    return Like(Path(place), (int(numbers[0]), int(numbers[1])))


def write_found(folder: Path, asked: Asked, hits: Sequence[Hit], store: SegmentStore) -> tuple[Path, Path]:
    """The table and the sheet, what was asked about first."""
    make_folder(folder)
    write_atomically(folder / TABLE, table_of(hits).encode("utf-8", "backslashreplace"))
    jpegs = [thumbnail(full_size(asked.photo), asked.regions, asked.level)]
    jpegs += [store.thumbnail(hit.photo, hit.place) for hit in hits]
    pictures = [np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in jpegs]
    captions = [f"asked: {asked.name}", *(f"{hit.alike:.2f} {hit.row['key']}" for hit in hits)]
    write_atomically(folder / SHEET, png(contact_sheet(pictures, captions, columns=8)))
    return folder / TABLE, folder / SHEET


def table_of(hits: Sequence[Hit]) -> str:
    """The hits as CSV."""
    names = ["rank", "alike", "key", "file", "row", "x", "y", "width", "height", "area"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(hit.row for hit in hits)
    return text.getvalue()


# ---------------------------------------------------------------------- what is asked about


def _at(forest: MaskForest, like: Like) -> MaskForest:
    """The regions at a point that differ to whoever asks, from the smallest to the largest, as a flat forest."""
    assert like.point is not None
    (x, y), (height, width) = like.point, forest.size
    if x >= width or y >= height:
        raise CallerError(f"{_told(like.point)} lies outside of {like.photo}, which has {width}x{height} pixels")
    here = forest.select(forest.at(x, y)).suppress(ALIKE).best(PATH)
    return _flat(here, np.argsort(here.areas, kind="stable"))


def _foremost(forest: MaskForest) -> MaskForest:
    return _flat(forest, foremost(forest, PATH))


def _flat(forest: MaskForest, rows: np.ndarray) -> MaskForest:
    return MaskForest(forest.size, tuple(forest.rles[row] for row in rows), score=forest.score[rows])


def _standing_out(regions: MaskForest) -> int:
    """The best-scored, but the photo as a whole only where there is nothing else."""
    part = regions.areas <= WHOLE * regions.size[0] * regions.size[1]
    return int(np.where(part, regions.score, regions.score - 1).argmax())


def _told(point: tuple[int, int] | None) -> str:
    return ",".join(map(str, point or ()))


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    if not path.is_file():
        raise CallerError(f"{folder} is no index: it has no {CARD}; `hedgerow index` makes one")
    try:
        card = json.loads(path.read_bytes())
        if card["kind"] == "index" and (card["hedgerow"] != FORMAT or card["version"] != VERSION):
            raise CallerError(
                f"{path} is of another version ({card['version']}, format {card['hedgerow']}; this is {VERSION}, "
                f"{FORMAT}): make it again"
            )
        made_with = card["backbone"]
        sound = card["kind"] == "index" and all(isinstance(made_with[name], str) for name in ("asked", "name"))
        if sound and isinstance(made_with["weights_sha256"], str | None) and isinstance(card["sha256"], str):
            return card
        reason = "a field is of the wrong type"
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = repr(error)
    raise CallerError(f"{path} is no card of an index ({reason}): make it again with `hedgerow index`")
