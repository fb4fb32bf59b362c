"""Names to choose from: a built-in list, names separated by commas, or a file of them.

In: what was asked for. Out: a `Vocabulary`, a row a name, with all ways to say it. Names are what is shown; words are
what is compared with pixels. That one thing is called by many words, people and vehicles above all, is a weakness that
ViL-Seg states of itself (Liu et al. 2022); a name here may bring its synonyms: "person/man/woman".

Built-in lists are in vocabularies/, a line a class in the order of its data set:

    tv monitor/television/tv = tvmonitor

the name, other ways to say it, and how the data set spells it where that differs by more than spaces and signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path

from hedgerow.config import CallerError, UsageError

BUILT_IN = ("voc", "coco", "ade20k", "lvis", "camvid", "context", "coco-stuff")


@dataclass(frozen=True)
class Vocabulary:
    """Names in an order that is theirs for good.

    names   shown, written into files
    words   of each name all ways to say it, its own first; no word is said for two names
    source  where they come from: the name of a list, the path of a file, or "asked for"
    spelled how a data set spells each, "" where by the name or one of the words
    """

    names: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    source: str
    spelled: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def index_of(self, class_name: str) -> int:
        """The row that a data set's class is, -1 where it is none: "diningtable" is the "dining table" of voc, and
        "sofa" the "couch" of coco, which has that for a synonym. Letters and digits decide, in either case."""
        return self._rows.get(_bare(class_name), -1)

    def select(self, rows: Sequence[int]) -> Vocabulary:
        """Some of the names, in this order."""
        spelled = self.spelled or ("",) * len(self)
        return Vocabulary(
            tuple(self.names[row] for row in rows),
            tuple(self.words[row] for row in rows),
            self.source,
            tuple(spelled[row] for row in rows),
        )

    @cached_property
    def _rows(self) -> dict[str, int]:
        """A data set's own spelling goes before a name, and a name before another's synonym."""
        ways = [(self.spelled or ()), self.names]
        found: dict[str, int] = {}
        for way in ways:
            for row, word in enumerate(way):
                found.setdefault(_bare(word), row)
        for row, words in enumerate(self.words):
            for word in words:
                found.setdefault(_bare(word), row)
        found.pop("", None)
        return found


def read_vocabulary(asked: str, option: str = "--names") -> Vocabulary:
    """A built-in list by its name, or names separated by commas, their synonyms by slashes; `option` is what a mistake
    is said to be in."""
    if (name := asked.strip().lower()) in BUILT_IN:
        text = (resources.files("hedgerow.naming") / "vocabularies" / f"{name}.txt").read_text("utf-8")
        return _made(_lines(text), name)
    lists = f"one of {', '.join(BUILT_IN)}, or names separated by commas"
    if not name:
        raise UsageError(f"no name was given: give {lists}")
    rows = [(f"name {number}", part) for number, part in enumerate(asked.split(","), start=1)]
    return _made(rows, "asked for", option)


def read_vocabulary_file(path: str | Path) -> Vocabulary:
    """A name a line, synonyms by slashes; empty lines and what follows a # are passed over."""
    path = Path(path).expanduser()
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CallerError(f"{path}: cannot be read ({error.strerror}): give a file with a name a line") from None
    except UnicodeDecodeError:
        raise CallerError(f"{path}: is not UTF-8 text: give a file with a name a line") from None
    lines = _lines(text)
    if not lines:
        raise CallerError(f"{path}: has no name: expected one a line")
    return _made(lines, str(path))


def _lines(text: str) -> list[tuple[str, str]]:
    lines = ((f"line {number}", line.partition("#")[0]) for number, line in enumerate(text.splitlines(), start=1))
    return [(where, line) for where, line in lines if line.strip()]


def _made(rows: Iterable[tuple[str, str]], source: str, place: str | None = None) -> Vocabulary:
    """`place` is what a mistake is said to be in, where that is not the source."""
    place = place or source
    names: list[str] = []
    words: list[tuple[str, ...]] = []
    spelled: list[str] = []
    owner: dict[str, str] = {}
    for where, row in rows:
        said, _, own = row.partition("=")
        parts = [" ".join(part.split()) for part in said.split("/")]
        if not all(_bare(part) for part in parts):
            raise UsageError(f'{place}: {where} is empty or has an empty synonym, got "{row.strip()}": remove it')
        if parts[0].casefold() in (name.casefold() for name in names):
            raise UsageError(f'{place}: {where} has "{parts[0]}" a second time: give each name once')
        for part in dict.fromkeys(part.casefold() for part in parts):
            if part in owner:
                raise UsageError(f'{place}: "{part}" is said for both {owner[part]} and {parts[0]}: give it once')
            owner[part] = parts[0]
        names.append(parts[0])
        words.append(tuple(dict.fromkeys(parts)))
        spelled.append(own.strip())
    return Vocabulary(tuple(names), tuple(words), source, tuple(spelled))


def _bare(name: str) -> str:
    """Letters and digits of any script, in one case."""
    return re.sub(r"[\W_]+", "", name.casefold())
