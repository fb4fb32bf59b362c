"""The label store: forests of a photo collection, as Parquet shards that any tool reads (`hedgerow.data.shards`).

In: forests in the order of their photos. Out: a folder with labels.json, labels.keys.parquet, and shard-00000.parquet
and so on, a row a photo. A photo that could not be opened is a row with its `error` and without a forest.

    key, file       the photo's name in its collection, and that of its file
    sha256          of the file
    height, width   of the photo
    masks           COCO-compressed run lengths, parents first
    parents         row of the parent in this photo's lists, -1 for a root
    scores          in (0, 1]
    sources         which level or stage each came from
    embeddings      vectors of the masks, one after the other, where there are any
    error           why there is no forest; null where there is one
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hedgerow.data.shards import Collection, ShardStore, photo_columns, telling
from hedgerow.forest import MaskForest

__all__ = ["Collection", "Label", "LabelStore"]


@dataclass(frozen=True)
class Label:
    """One photo of a store; `forest` is None where it could not be opened, and `error` says why."""

    key: str
    file: str
    sha256: str
    forest: MaskForest | None
    error: str | None = None


@dataclass(frozen=True)
class LabelRow:
    """A row of a shard as it was read; to prove its masks takes longer, and is left to whoever needs them."""

    place: str
    row: Mapping[str, Any]

    def label(self) -> Label:
        with telling(self.place):
            row = self.row
            return Label(row["key"], row["file"], row["sha256"], _forest(row), row["error"])


def _forest(row: Mapping[str, Any]) -> MaskForest | None:
    if row["error"] is not None:
        return None
    vectors = row["embeddings"]
    return MaskForest(
        (row["height"], row["width"]),
        tuple(row["masks"]),
        parent=row["parents"],
        score=row["scores"],
        source=tuple(row["sources"]),
        embedding=None if not vectors else np.array(vectors, np.float32).reshape(len(row["masks"]), -1),
    )


class LabelStore(ShardStore[Label]):
    """See the module's text."""

    kind, prefix, maker = "labels", "shard", "explore"

    @property
    def complete(self) -> bool:
        """Are all shards there?"""
        return not self.missing

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Label]:
        """All photos, in order, a shard in memory at a time."""
        for shard in self.there:
            for row in self.rows_of(shard):
                yield row.label()

    def __getitem__(self, key: str) -> Label:
        """One photo; only the few rows around it are read."""
        number = self.places[key]
        shard = self.name_of(number // self.record["shard"])
        return LabelRow(f"{self.place}/{shard}", self.photo(number)).label()

    def rows_of(self, shard: str) -> list[LabelRow]:
        """All photos of a shard."""
        with self.telling(shard):
            return [LabelRow(f"{self.place}/{shard}", row) for row in self.table(shard).to_pylist()]

    @cached_property
    def regions(self) -> np.ndarray:
        """(N,) how many each photo has; 0 where it could not be opened, or where its shard is missing."""
        import pyarrow.compute

        counts, size = np.zeros(self.record["photos"], np.int64), self.record["shard"]
        there = set(self.there)
        for first in range(0, len(counts), size):
            if (name := self.name_of(first // size)) in there:
                with self.telling(name):
                    parents = self.table(name, ["parents"]).column("parents")
                    counts[first : first + size] = pyarrow.compute.list_value_length(parents).fill_null(0)
        return counts

    @classmethod
    def schema(cls) -> Any:
        import pyarrow

        return pyarrow.schema(
            [
                *photo_columns(),
                ("masks", pyarrow.list_(pyarrow.binary())),
                ("parents", pyarrow.list_(pyarrow.int32())),
                ("scores", pyarrow.list_(pyarrow.float32())),
                ("sources", pyarrow.list_(pyarrow.dictionary(pyarrow.int8(), pyarrow.string()))),
                ("embeddings", pyarrow.list_(pyarrow.float32())),
                ("error", pyarrow.string()),
            ]
        )

    @staticmethod
    def without(key: str, file: str, error: str) -> Label:
        return Label(key, file, "", None, error)

    @staticmethod
    def columns_of(label: Label) -> dict[str, Any]:
        row = {"key": label.key, "file": label.file, "sha256": label.sha256, "error": label.error}
        if label.forest is None:
            return row
        forest = label.forest
        return row | {
            "height": forest.size[0],
            "width": forest.size[1],
            "masks": list(forest.rles),
            "parents": forest.parent.tolist(),
            "scores": forest.score.tolist(),
            "sources": list(forest.source),
            "embeddings": None if forest.embedding is None else forest.embedding.ravel(),
        }
