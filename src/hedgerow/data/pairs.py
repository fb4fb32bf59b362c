"""Photos with what people wrote beneath them.

In: folders with a table of captions, COCO's caption json, WebDataset tars. Out: a `Pair` a photo, all its captions with
it, cleaned; the captions are the one thing that people give to what learns from them (`supervision: captions`).

Photos come from strangers' lists of links, so some are always absent: what is left out is counted, and told in one
warning a place. A place of which nothing is left is an error.
"""

from __future__ import annotations

import hashlib
import html
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hedgerow.data.captions import Captioned, captioned_photos
from hedgerow.data.examples import LayoutError
from hedgerow.photos import PhotoRef

FEWEST, MOST = 2, 60  # words of a caption: one word is a tag, and beyond sixty it is a page's text, not a photo's
TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A photo and its captions, at least one."""

    photo: PhotoRef
    captions: tuple[str, ...]


def read_pairs(places: Sequence[Path]) -> list[Pair]:
    """The captioned photos of several places as one sequence; their keys differ.

    A place is one of
    - a folder with captions.csv, captions.txt (image, caption; a header or none) or results.csv (Flickr30k's), or such
      a table itself; the photos lie beside it, or below images/ or Images/;
    - COCO's captions_SPLIT.json, or the folder above the annotations/ that hold it (all splits there);
    - WebDataset tars: one, a glob of them, or a folder; KEY.jpg with KEY.txt, or with KEY.json that has a "caption".
    """
    if not places:
        raise LayoutError("no captions were named: give a folder with captions.csv, a captions json of COCO, or tars")
    pairs: list[Pair] = []
    for place in places:
        pairs += _cleaned(place, captioned_photos(Path(place).expanduser()))
    return _with_keys(_joined(pairs), places)


def held_back(pairs: Sequence[Pair], count: int, seed: int = 0) -> tuple[list[Pair], list[Pair]]:
    """(to learn from, to measure on), both in their order: the `count` photos whose keys have the smallest hashes are
    held back, so that whoever asks, in whatever order, has the same ones of the same photos."""
    if not 0 <= count < max(len(pairs), 1):
        raise LayoutError(f"{count} photos cannot be held back of {len(pairs)}: hold back fewer, or give more photos")
    ranks = sorted(range(len(pairs)), key=lambda row: _rank(pairs[row], seed))
    held = set(ranks[:count])
    return (
        [pair for row, pair in enumerate(pairs) if row not in held],
        [pairs[row] for row in sorted(held)],
    )


def clean(caption: str) -> str:
    """One line of plain text: entities and tags of web pages out, letters in their usual form, single spaces."""
    text = TAG.sub(" ", html.unescape(html.unescape(caption)))  # twice: "&amp;quot;" is common in scraped captions
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _rank(pair: Pair, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{pair.photo.key}".encode()).digest()


def _cleaned(place: Path, found: Captioned) -> list[Pair]:
    pairs, odd, bare = [], 0, found.bare
    for photo, captions in found.photos:
        tidy = [clean(caption) for caption in captions]
        fit = [caption for caption in tidy if FEWEST <= _words(caption) <= MOST]
        odd += len(tidy) - len(fit)
        if fit:
            pairs.append(Pair(photo, tuple(dict.fromkeys(fit))))  # the same words twice say nothing more
        else:
            bare += 1
    told = []
    if odd:
        told.append(f"{odd} captions are of fewer than {FEWEST} words or more than {MOST}")
    if bare:
        told.append(f"{bare} photos have no caption that is left")
    if found.absent:
        told.append(f"{len(found.absent)} photos are not there, as {found.absent[0]}")
    if not pairs:
        raise LayoutError(f"{place} has no photo with a caption: {'; '.join(told) or 'it lists none'}")
    if told:
        log.warning("%s: %s: left out", place, "; ".join(told))
    return pairs


def _words(caption: str) -> int:
    """A full stop that stands alone, as in Flickr8k, is none."""
    return sum(any(letter.isalnum() for letter in word) for word in caption.split())


def _joined(pairs: Sequence[Pair]) -> list[Pair]:
    """A photo met in two places is one, with the captions of both."""
    found: dict[PhotoRef, Pair] = {}
    for pair in pairs:
        where = replace(pair.photo, key="")
        before = found.get(where)
        captions = pair.captions if before is None else tuple(dict.fromkeys(before.captions + pair.captions))
        found[where] = Pair(pair.photo if before is None else before.photo, captions)
    return list(found.values())


def _with_keys(pairs: Sequence[Pair], places: Sequence[Path]) -> list[Pair]:
    """Photos of several places, or tars, that have one key take the name of their folder or tar before it; those that
    still have one are numbered."""
    times = Counter(pair.photo.key.casefold() for pair in pairs)
    taken: Counter[str] = Counter()
    kept = []
    for pair in pairs:
        key = pair.photo.key
        if times[key.casefold()] > 1:
            above = pair.photo.path.stem if pair.photo.member is not None else pair.photo.path.parent.name
            key = f"{above}/{key}"
        taken[key.casefold()] += 1
        if (number := taken[key.casefold()]) > 1:
            key = f"{key}-{number}"
        kept.append(replace(pair, photo=replace(pair.photo, key=key)))
    return kept
