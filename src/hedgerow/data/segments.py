"""The segment store: a photo collection's segments, each with its vector and its thumbnail, as Parquet shards
(`hedgerow.data.shards`).

In: segments in the order of their photos. Out: a folder with segments.json and segments-00000.parquet and so on, a row
a photo. A photo that could not be opened has an `error` and no segments.

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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.config import CallerError
from hedgerow.data.shards import ShardStore, photo_columns
from hedgerow.forest import MaskForest


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


class SegmentStore(ShardStore[PhotoSegments]):
    """See the module's text. It lies in a folder, beside what is made of it, and is read once it is whole."""

    kind, prefix, maker = "segments", "segments", "index"

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.folder = Path(self.place)

    @cached_property
    def shards(self) -> list[str]:
        """All of them; in one line, which is not there."""
        if missing := self.missing:
            raise CallerError(f"{self.place} is not finished, {missing[0]} is to be made: give its command once more")
        return self.there

    def columns(self, *names: str) -> dict[str, list[Any]]:
        """Of all photos in order, no more than these columns."""
        found: dict[str, list[Any]] = {name: [] for name in names}
        for shard in self.shards:
            table = self.table(shard, names)
            with self.telling(shard):
                for name in names:
                    found[name] += table.column(name).to_pylist()
        return found

    def vectors(self) -> np.ndarray:
        """(N, D) float32, of all segments in order."""
        parts = []
        for shard in self.shards:
            table = self.table(shard, ["rows", "vectors"])
            with self.telling(shard):
                flat = table.column("vectors").combine_chunks().flatten().to_numpy()
                count = len(table.column("rows").combine_chunks().flatten())
                if count:
                    parts.append(flat.reshape(count, -1))
        if not parts:
            raise CallerError(f"{self.place} has no segment in any photo: give photos in which something stands out")
        return np.concatenate(parts)

    def __iter__(self) -> Iterator[PhotoSegments]:
        """All photos, in order, a shard in memory at a time; without thumbnails, which are most of a shard."""
        names = [name for name in self.schema().names if name != "thumbnails"]
        for shard in self.shards:
            with self.telling(shard):
                photos = [_photo(row) for row in self.table(shard, names).to_pylist()]
            yield from photos

    def forest(self, photo: int) -> MaskForest:
        """The segments of the photo with this number; without their vectors."""
        row = self.photo(photo, ["height", "width", "masks", "scores"])
        return MaskForest((row["height"], row["width"]), tuple(row["masks"]), score=row["scores"])

    def thumbnail(self, photo: int, place: int) -> bytes:
        """A JPEG file: of the photo with this number the segment at this place."""
        return bytes(self.photo(photo, ["thumbnails"])["thumbnails"][place])

    @classmethod
    def schema(cls) -> Any:
        import pyarrow

        return pyarrow.schema(
            [
                *photo_columns(),
                ("rows", pyarrow.list_(pyarrow.int32())),
                ("masks", pyarrow.list_(pyarrow.binary())),
                ("scores", pyarrow.list_(pyarrow.float32())),
                ("vectors", pyarrow.list_(pyarrow.float32())),
                ("thumbnails", pyarrow.list_(pyarrow.binary())),
                ("error", pyarrow.string()),
            ]
        )

    @staticmethod
    def without(key: str, file: str, error: str) -> PhotoSegments:
        return PhotoSegments(key, file, "", None, error=error)

    @staticmethod
    def columns_of(photo: PhotoSegments) -> dict[str, Any]:
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
