"""What a run calls things: a language, a vocabulary said in it, and where a name is sure enough.

In: what was asked for. Out: `Naming`, which names the regions of one photo after the other, or keeps those that match
what is looked for; and the settings that its names depend on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np

from hedgerow.config import CallerError, Segment, UsageError
from hedgerow.forest import MaskForest
from hedgerow.naming.language import Language, open_language
from hedgerow.naming.matching import (
    Names,
    Synonyms,
    beside,
    name_regions,
    named_rows,
    say_names,
    vocabulary_sha256,
)
from hedgerow.naming.prompts import checked_templates, read_background, read_templates
from hedgerow.naming.vocabulary import BUILT_IN, Vocabulary, read_vocabulary, read_vocabulary_file

THRESHOLD = 0.5  # where neither the caller nor the language's card says: more likely than not
LONGEST = 200  # letters of names in a setting; their sha256 stands beside


@dataclass(frozen=True, eq=False)
class Naming:
    """Names the regions of photos; `find` keeps those alone that have one."""

    language: Language
    vocabulary: Vocabulary
    names: Names
    threshold: float
    find: bool
    settings: dict[str, Any]

    def __call__(self, forest: MaskForest, pixels: np.ndarray) -> MaskForest:
        """The forest of a photo with these pixels (H, W, 3) uint8, at any scale."""
        if not len(forest):
            return forest
        named = name_regions(forest, self.language.look(pixels, forest), self.names, self.threshold)
        return named.select(named_rows(named)) if self.find else named


@cache
def naming_of(config: Segment) -> Naming | None:
    """What a run calls its regions, or looks for; None where it asks for neither. Opened once in a process."""
    asked = {"--names": config.names, "--names-file": config.names_file, "--find": config.find}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"give one of {', '.join(asked)}, got {' and '.join(given)}")
    if not given:
        for field in ("name_model", "name_threshold", "background", "templates", "synonyms"):
            if getattr(config, field) != getattr(Segment, field):  # the class has the defaults
                raise UsageError(f"--{field.replace('_', '-')} goes with --names, --names-file or --find")
        return None
    kind, words = given[0], str(asked[given[0]])
    return open_naming(
        read_vocabulary_file(words) if kind == "--names-file" else read_vocabulary(words, kind),
        config.name_model,
        threshold=config.name_threshold,
        background=config.background,
        templates=config.templates,
        synonyms=config.synonyms,
        find=kind == "--find",
    )


def open_naming(
    vocabulary: Vocabulary,
    model: str | Language = "embedded",
    *,
    threshold: float | None = None,
    background: str | Sequence[str] | None = None,
    templates: str | Path | Sequence[str] | None = None,
    synonyms: Synonyms = "sum",
    find: bool = False,
) -> Naming:
    """What was not asked for is as the language's card says."""
    if threshold is not None and not (math.isfinite(threshold) and 0 <= threshold <= 1):
        raise UsageError(f"--name-threshold lies in 0 ... 1, got {threshold}")
    if synonyms not in get_args(Synonyms):
        raise CallerError(f"synonyms are {', '.join(get_args(Synonyms))}, got {synonyms!r}")
    if isinstance(templates, str | Path):
        templates = read_templates(templates)
    elif templates is not None:
        templates = checked_templates(templates, "the list given")
    language = open_language(model) if isinstance(model, str) else model
    words = read_background(background) if isinstance(background, str) else background
    words = tuple(language.card["background"] if words is None else words)
    said = tuple(language.card["templates"]) if templates is None else templates
    names = say_names(language, vocabulary, background=words, templates=said, synonyms=synonyms)
    sure = language.card.get("threshold", THRESHOLD) if threshold is None else threshold
    settings = {
        "model": language.name,
        "weights_sha256": language.weights_sha256,
        "text_sha256": language.card.get("text_sha256"),
        "vocabulary": _told(vocabulary),
        "vocabulary_sha256": vocabulary_sha256(vocabulary),
        "count": len(vocabulary.names),
        "background": list(beside(words, vocabulary)),
        "templates_sha256": hashlib.sha256(json.dumps(said).encode()).hexdigest(),
        "threshold": float(sure),
        "synonyms": synonyms,
        "find": find,
    }
    return Naming(language, vocabulary, names, float(sure), find, settings)


def _told(vocabulary: Vocabulary) -> str:
    """A list by its name, other names as they are, the first of many: a file's place says nothing of what is in it."""
    if vocabulary.source in BUILT_IN:
        return vocabulary.source
    names = ", ".join(vocabulary.names)
    return names if len(names) <= LONGEST else names[: LONGEST - 3] + "..."


def vocabulary_of(names: str | Sequence[str] | Vocabulary) -> Vocabulary:
    """A vocabulary of what a caller may give for one."""
    if isinstance(names, Vocabulary):
        return names
    return read_vocabulary(names if isinstance(names, str) else ", ".join(names))
