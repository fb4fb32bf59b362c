"""Where files lie: in folders of this machine, or in buckets that fsspec reaches (s3://, gs:// and others).

In: a place, as a command line gives it. Out: for a store a `Storage`: names there, whole files in and out; for photos,
which are read only, `reach`. A file is written whole
or not at all: a folder's is renamed into its place, a bucket's object is there once it was sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from hedgerow.config import CallerError
from hedgerow.writing import alone_in, sweep, write_atomically

URL = re.compile(r"^([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])")  # a Path makes one slash of two; a drive has one letter


class Storage(Protocol):
    """`place` is what it is called in messages."""

    place: str

    def names(self, pattern: str) -> set[str]:
        """The files there whose names are like this, `*` for anything; none where there is no such place."""
        ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, data: bytes) -> None: ...

    def remove(self, name: str) -> None: ...

    def make(self) -> None:
        """The place, where there is none."""
        ...

    def opened(self, name: str) -> Any:
        """A context in which a file can be read from any of its bytes on, as pyarrow wants it."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """A context that a second run on the same place cannot enter; where that can be told."""
        ...


def storage_of(place: str | Path) -> Storage:
    """A folder, or a bucket where the place begins like s3://."""
    return Bucket(spelled(place).rstrip("/")) if is_remote(place) else Folder(Path(place).expanduser())


def is_remote(place: str | Path) -> bool:
    return URL.match(str(place)) is not None


def spelled(place: str | Path) -> str:
    """A place as people write it."""
    return URL.sub(r"\1://", str(place))


def absolute(place: str | Path) -> str:
    """A place that holds from any folder."""
    return spelled(place) if is_remote(place) else os.path.abspath(os.path.expanduser(place))


@cache
def reach(place: str) -> tuple[Any, str]:
    """The file system of a bucket, as fsspec has it, and what the place is called there."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(spelled(place))  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:  # fsspec, or what it needs for this kind, or no such kind
        told = f"{spelled(place)} cannot be reached ({error}): install hedgerow with its extra [remote]"
        raise CallerError(told) from None


def cache_folder() -> Path:
    """Where is kept what would take long to find again; it may be removed at any time."""
    if own := os.environ.get("HEDGEROW_CACHE"):
        return Path(own).expanduser()
    everybodys = os.environ.get("XDG_CACHE_HOME")
    return (Path(everybodys) if everybodys else Path("~/.cache")).expanduser() / "hedgerow"


class Folder:
    def __init__(self, path: Path) -> None:
        self.path, self.place = path, str(path)

    def names(self, pattern: str) -> set[str]:
        return {path.name for path in self.path.glob(pattern)}

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        write_atomically(self.path / name, data)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CallerError(f"cannot make the folder {self.place} ({error.strerror}): give another, -o") from None
        sweep(self.path)

    def opened(self, name: str) -> Any:
        return open(self.path / name, "rb")

    def alone(self) -> AbstractContextManager[None]:
        return alone_in(self.path)


class Bucket:
    def __init__(self, url: str) -> None:
        self.place = url
        self._files, self._root = reach(url)

    def names(self, pattern: str) -> set[str]:
        with self._telling("looked at"):
            self._files.invalidate_cache(self._root)  # others may have written there
            try:
                found = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return set()
        return {name for path in found if fnmatch(name := str(path).rpartition("/")[2], pattern)}

    def read(self, name: str) -> bytes:
        with self._telling(f"read {name} from"):
            return bytes(self._files.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, data: bytes) -> None:
        with self._telling(f"written {name} to"):
            self._files.pipe_file(f"{self._root}/{name}", data)

    def remove(self, name: str) -> None:
        with self._telling(f"rid of {name}"):
            self._files.rm_file(f"{self._root}/{name}")

    def make(self) -> None:
        """Nothing: an object's name holds its folders."""

    def opened(self, name: str) -> Any:
        with self._telling(f"read {name} from"):
            return self._files.open(f"{self._root}/{name}", "rb")

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()  # two runs of the same photos write the same bytes; others are refused by their settings

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """What a network or its keys refuse, in one line. Each kind of bucket has errors of its own."""
        try:
            yield
        except (CallerError, FileNotFoundError):
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            raise CallerError(f"{self.place} cannot be {what} ({reason}): look to its keys and the network") from None
