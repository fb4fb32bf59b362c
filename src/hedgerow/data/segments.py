"""The segment store: a photo collection's segments, each with its vector and its thumbnail, as Parquet shards.

In: segments in the order of their photos. Out: a folder

    segments.json            which segments, seen by what, of which photos
    segments-00000.parquet   a row a photo, SHARD photos, in their order

As in a label store (`hedgerow.data.labels`), a shard is whole or not there, what is there is not made again, and the
same photos and settings give the same bytes. A photo that could not be opened has an `error` and no segments.

    key, file       the photo's name in its collection, and that of its file
    sha256          of the file
    height, width   of the photo
    rows            the segments' rows in the forest they were chosen from, best first
    masks           COCO-compressed run lengths
    scores          in (0, 1]
    vectors         unit vectors, one after the other
    thumbnails      JPEG files: each segment in what is around it
    error           why there are no segments; null where there are
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.config import CallerError
from hedgerow.data.labels import Collection
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

SHARD = 64  # photos, as in a label store
GROUP = 8  # rows that are read together, at random access
RECORD = "segments.json"
FORMAT = 1


@dataclass(frozen=True, eq=False)
class PhotoSegments:
    """One photo of a store: its segments as a flat forest, with their vectors; None where it could not be opened."""

    key: str
    file: str
    sha256: str
    forest: MaskForest | None
    rows: tuple[int, ...] = ()
    thumbnails: tuple[bytes, ...] = ()
    error: str | None = None


class SegmentStore:
    """See the module's text. Reading needs a folder; writing begins with `claim`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    # ------------------------------------------------------------------ writing

    def claim(self, collection: Collection, overwrite: bool = False) -> list[int]:
        """The shards still to be made; or, in one line, why this collection does not go on with what is there."""
        remedy = "give another folder, or --overwrite"
        described = _described(collection)
        if overwrite:
            for path in (*self.folder.glob("segments-*.parquet"), *self.folder.glob(RECORD)):
                path.unlink()
        before = _read_record(self.folder / RECORD, remedy) if (self.folder / RECORD).exists() else None
        if before is None and list(self.folder.glob("segments-*.parquet")):
            raise CallerError(f"{self.folder} holds segments, but no {RECORD} that says how they were made: {remedy}")
        if before is not None and before["shard"] != SHARD:
            raise CallerError(f"{self.folder} holds segments made by another version: {remedy}")
        if before is not None and before["keys_sha256"] != described["keys_sha256"]:
            raise CallerError(f"{self.folder} holds segments of other photos: {remedy}")
        if before is not None and before["settings"] != described["settings"]:
            old, new = _flat(before["settings"]), _flat(described["settings"])
            name = next(name for name in (*new, *old) if old.get(name) != new.get(name))
            told = f"{name} {old.get(name, 'unknown')}, not {new.get(name, 'unknown')}"
            raise CallerError(f"{self.folder} holds segments made with {told}: {remedy}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CallerError(f"cannot make the folder {self.folder} ({error.strerror}): give another, -o") from None
        write_atomically(self.folder / RECORD, (json.dumps(described, indent=1) + "\n").encode())
        return [number for number in range(_shards(described)) if not self._path(number).exists()]

    def write(self, number: int, photos: Sequence[PhotoSegments]) -> None:
        """One shard, whole."""
        from pyarrow import parquet

        memory = BytesIO()
        parquet.write_table(_table(photos), memory, compression="zstd", row_group_size=GROUP)
        write_atomically(self._path(number), memory.getvalue())

    def _path(self, number: int) -> Path:
        return self.folder / f"segments-{number:05}.parquet"

    # ------------------------------------------------------------------ reading

    @cached_property
    def record(self) -> dict[str, Any]:
        """What segments.json says."""
        if not (self.folder / RECORD).is_file():
            raise CallerError(f"{self.folder} holds no segments: it has no {RECORD}; `hedgerow index` makes it")
        return _read_record(self.folder / RECORD, "make it again")

    @cached_property
    def shards(self) -> list[Path]:
        """All of them; in one line, which is not there."""
        paths = [self._path(number) for number in range(_shards(self.record))]
        if missing := [path.name for path in paths if not path.exists()]:
            raise CallerError(f"{self.folder} is not finished, {missing[0]} is to be made: give its command once more")
        return paths

    def columns(self, *names: str) -> dict[str, list[Any]]:
        """Of all photos in order, no more than these columns."""
        from pyarrow import parquet

        found: dict[str, list[Any]] = {name: [] for name in names}
        for path in self.shards:
            with _telling(path):
                table = parquet.read_table(path, columns=list(names))
                for name in names:
                    found[name] += table.column(name).to_pylist()
        return found

    def vectors(self) -> np.ndarray:
        """(N, D) float32, of all segments in order."""
        from pyarrow import parquet

        parts = []
        for path in self.shards:
            with _telling(path):
                table = parquet.read_table(path, columns=["rows", "vectors"])
                flat = table.column("vectors").combine_chunks().flatten().to_numpy()
                count = len(table.column("rows").combine_chunks().flatten())
                if count:
                    parts.append(flat.reshape(count, -1))
        if not parts:
            raise CallerError(f"{self.folder} has no segment in any photo: give photos in which something stands out")
        return np.concatenate(parts)

    def __iter__(self) -> Iterator[PhotoSegments]:
        """All photos, in order, a shard in memory at a time; without thumbnails, which are most of a shard."""
        from pyarrow import parquet

        for path in self.shards:
            with _telling(path):
                names = [name for name in _schema().names if name != "thumbnails"]
                rows = parquet.read_table(path, columns=names).to_pylist()
            yield from map(_photo, rows)

    def forest(self, photo: int) -> MaskForest:
        """The segments of the photo with this number; without their vectors."""
        row = self._row(photo, ["height", "width", "masks", "scores"])
        return MaskForest((row["height"], row["width"]), tuple(row["masks"]), score=row["scores"])

    def thumbnail(self, photo: int, place: int) -> bytes:
        """A JPEG file: of the photo with this number the segment at this place."""
        return self._row(photo, ["thumbnails"])["thumbnails"][place]

    def _row(self, photo: int, columns: list[str]) -> dict[str, Any]:
        """Of one photo; only the few rows around it are read."""
        from pyarrow import parquet

        path, row = self.shards[photo // self.record["shard"]], photo % self.record["shard"]
        with _telling(path), parquet.ParquetFile(path) as file:
            return file.read_row_group(row // GROUP, columns=columns).slice(row % GROUP, 1).to_pylist()[0]


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """A shard that cannot be read, told in one line."""
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException, KeyError, IndexError, ValueError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise CallerError(f"{path} is broken ({reason}): remove it, and it is made again") from None


def _described(collection: Collection) -> dict[str, Any]:
    described = collection.described()
    return {
        "segments": FORMAT,
        **{name: value for name, value in described.items() if name != "labels"},
        "shard": SHARD,
    }


def _shards(record: Mapping[str, Any]) -> int:
    return -(-record["photos"] // record["shard"])


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _read_record(path: Path, remedy: str) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
        if record["segments"] != FORMAT:
            raise CallerError(f"{path} is of another version ({record['segments']!r}, not {FORMAT}): {remedy}")
        kinds = {"photos": int, "keys_sha256": str, "shard": int, "inputs": list, "settings": dict}
        if all(isinstance(record[name], kind) for name, kind in kinds.items()) and record["shard"] > 0:
            return record
        reason = "fields are missing"
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = repr(error)
    raise CallerError(f"{path} is no record of a segment store ({reason}): {remedy}")


def _schema() -> Any:
    import pyarrow

    return pyarrow.schema(
        [
            ("key", pyarrow.string()),
            ("file", pyarrow.string()),
            ("sha256", pyarrow.string()),
            ("height", pyarrow.int32()),
            ("width", pyarrow.int32()),
            ("rows", pyarrow.list_(pyarrow.int32())),
            ("masks", pyarrow.list_(pyarrow.binary())),
            ("scores", pyarrow.list_(pyarrow.float32())),
            ("vectors", pyarrow.list_(pyarrow.float32())),
            ("thumbnails", pyarrow.list_(pyarrow.binary())),
            ("error", pyarrow.string()),
        ]
    )


def _table(photos: Sequence[PhotoSegments]) -> Any:
    import pyarrow

    return pyarrow.Table.from_pylist([_row(photo) for photo in photos], schema=_schema())


def _row(photo: PhotoSegments) -> dict[str, Any]:
    row = {"key": photo.key, "file": photo.file, "sha256": photo.sha256, "error": photo.error}
    if photo.forest is None:
        return row
    assert photo.forest.embedding is not None
    return row | {
        "height": photo.forest.size[0],
        "width": photo.forest.size[1],
        "rows": list(photo.rows),
        "masks": list(photo.forest.rles),
        "scores": photo.forest.score,
        "vectors": photo.forest.embedding.ravel(),
        "thumbnails": list(photo.thumbnails),
    }


def _photo(row: Mapping[str, Any]) -> PhotoSegments:
    forest = None
    if row["error"] is None:
        forest = MaskForest(
            (row["height"], row["width"]),
            tuple(row["masks"]),
            score=row["scores"],
            embedding=np.array(row["vectors"], np.float32).reshape(len(row["masks"]), -1) if row["masks"] else None,
        )
    return PhotoSegments(row["key"], row["file"], row["sha256"], forest, tuple(row["rows"] or ()), (), row["error"])
