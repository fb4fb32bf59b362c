"""A store: a row a photo in the Parquet shards of a folder, or of a bucket, which any tool reads.

In: rows in the order of their photos. Out: a folder (`hedgerow.storage`)

    NAME.json            of which photos, and how the rows were made
    NAME.keys.parquet    the photos' keys in their order: photo number n is in row n % SHARD of shard n // SHARD
    PREFIX-00000.parquet a row a photo, SHARD photos, in their order

What a shard holds does not hang on how many processes worked or how often they were stopped: the same photos and
settings give the same bytes. A shard is whole or not there; what is there is not made again, and what was made
otherwise is not mixed with it. Photos that come to a collection later stand behind those that were there. Any photo is
found by the keys alone, however many shards there are.

`LabelStore` (labels.py) and `SegmentStore` (segments.py) are the two kinds; they say what a row is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from hedgerow.config import CallerError
from hedgerow.parquet import open_parquet, read_group
from hedgerow.settings import difference
from hedgerow.storage import storage_of

SHARD = 64  # photos: some minutes of exploring, which is what a killed run loses at most
GROUP = 8  # rows that are read together, at random access
FORMAT = 2
REMEDY = "give another folder, or --overwrite"


@dataclass(frozen=True)
class Collection:
    """What a store is of: keys of the photos in their order, the places they were given by, the settings."""

    keys: tuple[str, ...]
    inputs: tuple[str, ...]
    settings: Mapping[str, Any]
    shard: int = field(default_factory=lambda: SHARD)  # photos in one

    def described(self) -> dict[str, Any]:
        return {
            "photos": len(self.keys),
            "keys_sha256": _sha256(self.keys),
            "shard": self.shard,
            "inputs": list(self.inputs),
            "settings": dict(self.settings),
            "settings_sha256": hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest(),
        }

    def within(self, number: int) -> slice:
        """The places of a shard's photos."""
        return slice(number * self.shard, (number + 1) * self.shard)


Row = TypeVar("Row")


class ShardStore(Generic[Row]):
    """See the module's text. Reading needs a place; writing begins with `claim`."""

    kind: ClassVar[str]  # labels or segments: what the rows are, and the record's name
    prefix: ClassVar[str]  # of the shards' names
    maker: ClassVar[str]  # the command that makes one

    def __init__(self, place: str | Path) -> None:
        self.storage = storage_of(place)

    @property
    def place(self) -> str:
        return self.storage.place

    @classmethod
    def schema(cls) -> Any:
        """The columns, as pyarrow has them."""
        raise NotImplementedError

    @staticmethod
    def without(key: str, file: str, error: str) -> Row:
        """The row of a photo that could not be done, and why."""
        raise NotImplementedError

    @staticmethod
    def columns_of(row: Row) -> dict[str, Any]:
        raise NotImplementedError

    # ------------------------------------------------------------------ writing

    def going_on(self, collection: Collection) -> Collection:
        """The collection with its photos in the order of what is there: those that came since are the last."""
        if not {self.record_name, self.keys_name} <= {*self.storage.names(f"{self.kind}.*")}:
            return collection
        record = self._read_record(REMEDY)
        before = self._read_keys(record, max(record["photos"], len(collection.keys)))[: record["photos"]]
        if not set(before) <= set(collection.keys):
            return collection  # of other photos, which `claim` tells
        came = set(collection.keys) - set(before)
        return replace(collection, keys=(*before, *(key for key in collection.keys if key in came)))

    def claim(self, collection: Collection, overwrite: bool = False, retry: bool = False) -> list[int]:
        """The shards still to be made; or, in one line, why this collection does not go on with what is there. With
        `retry` those are made again in which a photo could not be done."""
        described = {self.kind: FORMAT, **collection.described()}
        if overwrite:
            for pattern in (self.record_name, self.keys_name, f"{self.prefix}-*.parquet"):
                for name in self.storage.names(pattern):
                    self.storage.remove(name)
        before = self._read_record(REMEDY) if self.storage.names(self.record_name) else None
        there = self.storage.names(f"{self.prefix}-*.parquet")
        if before is None and there:
            told = f"{self.place} holds {self.kind}, but no {self.record_name} that says how they were made"
            raise CallerError(f"{told}: {REMEDY}")
        if before is not None and (other := _otherwise(before, collection)):
            raise CallerError(f"{self.place} holds {self.kind} {other}: {REMEDY}")
        self.storage.make()
        grown = before is not None and before["photos"] < len(collection.keys)
        if before is not None and grown and before["photos"] % before["shard"]:
            last = self.name_of(_shards(before) - 1)  # it has room for more photos
            if last in there:
                self.storage.remove(last)
                there.remove(last)
        if before is None or grown or not self.storage.names(self.keys_name):
            self._write_keys(collection.keys)  # before the record: of more keys than it counts the first are its own
        self.storage.write(self.record_name, (json.dumps(described, indent=1) + "\n").encode())
        if retry:
            errors = {shard: self.table(shard, ["error"]).column("error") for shard in there}
            there = {shard for shard, error in errors.items() if error.null_count == len(error)}
        return [number for number in range(_shards(described)) if self.name_of(number) not in there]

    def write(self, number: int, rows: Sequence[Row]) -> None:
        """One shard, whole."""
        import pyarrow

        table = pyarrow.Table.from_pylist([self.columns_of(row) for row in rows], schema=self.schema())
        self._write_table(self.name_of(number), table, GROUP)

    def _write_keys(self, keys: Sequence[str]) -> None:
        import pyarrow

        self._write_table(self.keys_name, pyarrow.table({"key": pyarrow.array(keys, pyarrow.string())}), None)

    def _write_table(self, name: str, table: Any, group: int | None) -> None:
        from pyarrow import parquet

        memory = BytesIO()
        parquet.write_table(table, memory, compression="zstd", row_group_size=group, write_page_checksum=True)
        self.storage.write(name, memory.getvalue())

    # ------------------------------------------------------------------ reading

    @cached_property
    def record(self) -> dict[str, Any]:
        """How the rows were made, and of what."""
        if not self.storage.names(self.record_name):
            told = f"{self.place} is no {self.kind[:-1]} store: it has no {self.record_name}"
            raise CallerError(f"{told}; `hedgerow {self.maker}` makes it")
        return self._read_record("give another folder, or make it again")

    @cached_property
    def there(self) -> list[str]:
        """The shards that are there, in order."""
        found = self.storage.names(f"{self.prefix}-*.parquet")
        return [name for name in map(self.name_of, range(_shards(self.record))) if name in found]

    @cached_property
    def places(self) -> dict[str, int]:
        """The number of each photo whose shard is there."""
        size, there = self.record["shard"], set(self.there)
        keys = self._read_keys(self.record, self.record["photos"])
        found = dict(zip(keys, range(len(keys)), strict=True))
        for shard in range(_shards(self.record)):
            if self.name_of(shard) not in there:
                for key in keys[shard * size : (shard + 1) * size]:
                    del found[key]
        return found

    def photo(self, number: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """The row of the photo with that number, or these columns of it; only the few rows around it are read."""
        shard, row = divmod(number, self.record["shard"])
        return self.row(self.name_of(shard), row, columns)

    @property
    def missing(self) -> list[str]:
        """Those still to be made."""
        found = set(self.there)
        return [name for name in map(self.name_of, range(_shards(self.record))) if name not in found]

    def table(self, shard: str, columns: Sequence[str] | None = None, most: int | None = None) -> Any:
        """A shard, or these columns of it; a file of another kind can have `most` rows."""
        import pyarrow

        with self.telling(shard), self._opened(shard, most) as file:
            return pyarrow.concat_tables(self._group(file, group, columns) for group in range(file.num_row_groups))

    def row(self, shard: str, row: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """One photo of a shard; only the few rows around it are read."""
        with self.telling(shard), self._opened(shard) as file:
            group = 0
            while row >= (count := file.metadata.row_group(group).num_rows):
                group, row = group + 1, row - count
            return dict(self._group(file, group, columns).slice(row, 1).to_pylist()[0])

    def _read_keys(self, record: Mapping[str, Any], most: int) -> list[str]:
        """Of all photos, in their order; proved, as far as the record counts them."""
        keys = [str(key) for key in self.table(self.keys_name, most=most).column("key").to_pylist()]
        with self.telling(self.keys_name):
            if _sha256(keys[: record["photos"]]) != record["keys_sha256"]:
                raise ValueError(f"not the keys that {self.record_name} tells of")
        return keys

    @contextmanager
    def _opened(self, shard: str, most: int | None = None) -> Iterator[Any]:
        with self.storage.opened(shard) as content:
            yield open_parquet(content, self.record["shard"] if most is None else most)

    def _group(self, file: Any, group: int, columns: Sequence[str] | None) -> Any:
        return self._as_meant(read_group(file, group, columns))

    def _as_meant(self, table: Any) -> Any:
        """Columns of the types that the schema has; other tools write lists and words in other ways."""
        import pyarrow

        schema = self.schema()
        meant = [schema.field(one.name) if one.name in schema.names else one for one in table.schema]
        return table.cast(pyarrow.schema(meant))

    @property
    def record_name(self) -> str:
        return f"{self.kind}.json"

    @property
    def keys_name(self) -> str:
        return f"{self.kind}.keys.parquet"

    def name_of(self, number: int) -> str:
        return f"{self.prefix}-{number:05}.parquet"

    def telling(self, shard: str) -> AbstractContextManager[None]:
        """A shard that cannot be read, told in one line."""
        return telling(f"{self.place}/{shard}")

    def _read_record(self, remedy: str) -> dict[str, Any]:
        where = f"{self.place}/{self.record_name}"
        try:
            record = json.loads(self.storage.read(self.record_name))
            if record[self.kind] != FORMAT:
                raise CallerError(f"{where} is of another version ({record[self.kind]!r}, not {FORMAT}): {remedy}")
            kinds = {"photos": int, "keys_sha256": str, "shard": int, "inputs": list, "settings": dict}
            if all(isinstance(record[name], kind) for name, kind in kinds.items()) and record["shard"] > 0:
                return dict(record)
            reason = "fields are missing"
        except CallerError:
            raise
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = repr(error)
        raise CallerError(f"{where} is no record of a {self.kind[:-1]} store ({reason}): {remedy}")


@contextmanager
def telling(place: str) -> Iterator[None]:
    """A file that cannot be read, told in one line."""
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException, KeyError, IndexError, ValueError) as error:
        if isinstance(error, CallerError):
            raise
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise CallerError(f"{place} is broken ({reason}): remove it, and it is made again") from None


def photo_columns() -> list[tuple[str, Any]]:
    """What every row begins with: the photo's name in its collection and its file's, the file's sha256, and the photo's
    height and width."""
    import pyarrow

    text = [(name, pyarrow.string()) for name in ("key", "file", "sha256")]
    return [*text, *((name, pyarrow.int32()) for name in ("height", "width"))]


def _sha256(keys: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(keys).encode()).hexdigest()


def _shards(record: Mapping[str, Any]) -> int:
    return -(-record["photos"] // record["shard"])


def _otherwise(before: Mapping[str, Any], now: Collection) -> str:
    """How what is there was made otherwise; nothing if it was not."""
    if before["shard"] != now.shard:
        return "made by another version"
    if before["keys_sha256"] != _sha256(now.keys[: before["photos"]]):
        return "of other photos"
    settings = now.described()["settings"]
    if before["settings"] != settings:
        return f"made with {difference(before['settings'], settings)}"
    return ""
