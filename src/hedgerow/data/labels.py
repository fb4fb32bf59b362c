"""The label store: forests of a photo collection, as Parquet shards that any tool reads.

In: forests in the order of their photos. Out: a folder

    labels.json           with which settings and of which photos they were made
    shard-00000.parquet   a row a photo, SHARD photos, in their order

Photo number n of the collection is in shard n // SHARD, so what a shard holds does not hang on how many processes
worked or how often they were stopped: the same photos and settings give the same bytes. A shard is whole or not there;
what is there is not made again. A photo that could not be opened is a row with its `error` and without a forest.

    key, file       the photo's name in its collection, and that of its file
    sha256          of the file
    height, width   of the photo
    masks           COCO-compressed run lengths, parents first
    parents         row of the parent in this photo's lists, -1 for a root
    scores          in (0, 1]
    sources         which level or stage each came from
    error           why there is no forest; null where there is one
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from hedgerow.config import CallerError
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

SHARD = 64  # photos: some minutes of exploring, which is what a killed run loses at most
GROUP = 8  # rows that are read together, at random access
RECORD = "labels.json"


@dataclass(frozen=True)
class Label:
    """One photo of a store; `forest` is None where it could not be opened, and `error` says why."""

    key: str
    file: str
    sha256: str
    forest: MaskForest | None
    error: str | None = None


@dataclass(frozen=True)
class Collection:
    """What a store is of: keys of the photos in their order, the places they were given by, the settings."""

    keys: tuple[str, ...]
    inputs: tuple[str, ...]
    settings: Mapping[str, Any]

    def described(self) -> dict[str, Any]:
        names = hashlib.sha256("\0".join(self.keys).encode()).hexdigest()
        return {
            "labels": 1,
            "photos": len(self.keys),
            "keys_sha256": names,
            "shard": SHARD,
            "inputs": list(self.inputs),
            "settings": dict(self.settings),
        }


class LabelStore:
    """See the module's text. Reading needs a folder; writing begins with `claim`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    # ------------------------------------------------------------------ writing

    def claim(self, collection: Collection, overwrite: bool = False) -> list[int]:
        """The shards still to be made; or, in one line, why this collection does not go on with what is there."""
        remedy = "give another folder, or --overwrite"
        described = collection.described()
        if overwrite:
            for path in (*self.folder.glob("shard-*.parquet"), *self.folder.glob(RECORD)):
                path.unlink()
        before = _read_record(self.folder / RECORD) if (self.folder / RECORD).exists() else None
        if before is None and list(self.folder.glob("shard-*.parquet")):
            raise CallerError(f"{self.folder} holds shards, but no {RECORD} that says how they were made: {remedy}")
        for name in ("settings", "keys_sha256", "shard"):
            if before is not None and before[name] != described[name]:
                what = {"settings": "with other settings", "keys_sha256": "of other photos"}.get(
                    name, "by another version"
                )
                raise CallerError(f"{self.folder} holds labels made {what}: {remedy}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CallerError(f"cannot make the folder {self.folder} ({error.strerror}): give another, -o") from None
        write_atomically(self.folder / RECORD, (json.dumps(described, indent=1) + "\n").encode())
        shards = range(-(-len(collection.keys) // SHARD))
        return [number for number in shards if not self._path(number).exists()]

    def write(self, number: int, labels: Sequence[Label]) -> None:
        """One shard, whole."""
        from pyarrow import parquet

        memory = BytesIO()
        parquet.write_table(_table(labels), memory, compression="zstd", row_group_size=GROUP)
        write_atomically(self._path(number), memory.getvalue())

    def _path(self, number: int) -> Path:
        return self.folder / f"shard-{number:05}.parquet"

    # ------------------------------------------------------------------ reading

    @cached_property
    def record(self) -> dict[str, Any]:
        """What labels.json says."""
        if not (self.folder / RECORD).is_file():
            raise CallerError(f"{self.folder} is no label store: it has no {RECORD}; `hedgerow explore` makes one")
        return _read_record(self.folder / RECORD)

    @cached_property
    def shards(self) -> list[Path]:
        """The shards that are there."""
        count = -(-self.record["photos"] // self.record["shard"])
        return [path for path in map(self._path, range(count)) if path.exists()]

    @cached_property
    def places(self) -> dict[str, tuple[Path, int]]:
        """In which shard, and in which row of it, each photo is."""
        from pyarrow import parquet

        found: dict[str, tuple[Path, int]] = {}
        for path in self.shards:
            with _telling(path):
                keys = parquet.read_table(path, columns=["key"]).column("key").to_pylist()
            found |= {key: (path, row) for row, key in enumerate(keys)}
        return found

    @property
    def complete(self) -> bool:
        """Are all shards there?"""
        return len(self.shards) == -(-self.record["photos"] // self.record["shard"])

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Label]:
        """All photos, in order, a shard in memory at a time."""
        from pyarrow import parquet

        for path in self.shards:
            with _telling(path):
                rows = parquet.read_table(path).to_pylist()
            yield from map(_label, rows)

    def __getitem__(self, key: str) -> Label:
        """One photo; only the few rows around it are read."""
        from pyarrow import parquet

        path, row = self.places[key]
        with _telling(path), parquet.ParquetFile(path) as file:
            group = file.read_row_group(row // GROUP)
        return _label(group.slice(row % GROUP, 1).to_pylist()[0])


class _telling:
    """A shard that cannot be read, told in one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import pyarrow

        if isinstance(error, OSError | pyarrow.ArrowException):
            reason = str(error).splitlines()[0]
            raise CallerError(f"{self.path} is broken ({reason}): remove it, and it is made again") from None


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
        kinds = {"photos": int, "keys_sha256": str, "shard": int, "inputs": list, "settings": dict}
        if all(isinstance(record[name], kind) for name, kind in kinds.items()) and record["shard"] > 0:
            return record
        reason = "fields are missing"
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = repr(error)
    raise CallerError(f"{path} is no record of a label store ({reason}): give another folder, or --overwrite")


def _table(labels: Sequence[Label]) -> Any:
    import pyarrow

    schema = pyarrow.schema(
        [
            ("key", pyarrow.string()),
            ("file", pyarrow.string()),
            ("sha256", pyarrow.string()),
            ("height", pyarrow.int32()),
            ("width", pyarrow.int32()),
            ("masks", pyarrow.list_(pyarrow.binary())),
            ("parents", pyarrow.list_(pyarrow.int32())),
            ("scores", pyarrow.list_(pyarrow.float32())),
            ("sources", pyarrow.list_(pyarrow.dictionary(pyarrow.int8(), pyarrow.string()))),
            ("error", pyarrow.string()),
        ]
    )
    return pyarrow.Table.from_pylist([_row(label) for label in labels], schema=schema)


def _row(label: Label) -> dict[str, Any]:
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
    }


def _label(row: Mapping[str, Any]) -> Label:
    forest = None
    if row["error"] is None:
        forest = MaskForest(
            (row["height"], row["width"]),
            tuple(row["masks"]),
            parent=row["parents"],
            score=row["scores"],
            source=tuple(row["sources"]),
        )
    return Label(row["key"], row["file"], row["sha256"], forest, row["error"])
