"""Photos and what is said of them, in memory: what `caption` learns from.

In: pairs, read from disk once, and with them, where they are asked for, the regions of a label store. Out: an `Album`.
Photos that are held back are in it, behind the others, but no step sees them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hedgerow.config import CallerError, Caption
from hedgerow.data.labels import LabelStore
from hedgerow.data.pairs import Pair, held_back
from hedgerow.learn.bank import Bank, Watch, read_rows
from hedgerow.learn.lessons import KEPT, PIECES
from hedgerow.learn.tokens import Tokens, content_words, learn_tokens, read_tokens, vocabulary_of
from hedgerow.partition import arrangement_at


@dataclass(frozen=True)
class Album:
    """
    bank        all N photos, those held back last
    learned     how many of them are learned from
    captions    of each photo
    tokens      what makes numbers of sentences
    said        (S, L) all captions as numbers, photo after photo
    first       (N + 1,) where in `said` those of a photo begin
    words       the content words that are looked for, most frequent first
    counts      (W,) how many photos mention each
    spoken      (W, l) each as numbers, by itself
    mentions    (N, W) bool: do any of a photo's captions mention it
    forests     of each photo its regions, or None
    """

    bank: Bank
    learned: int
    captions: list[tuple[str, ...]]
    tokens: Tokens
    said: Tensor
    first: Tensor
    words: list[str]
    counts: Tensor
    spoken: Tensor
    mentions: Tensor
    forests: Forests | None

    def __len__(self) -> int:
        return len(self.bank)

    @property
    def held(self) -> range:
        """Rows of the photos that are held back."""
        return range(self.learned, len(self))

    @property
    def sha256(self) -> str:
        """Of what is said of the photos."""
        told = "\0".join("\n".join(some) for some in self.captions)
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True)
class Forests:
    """pieces (N, PIECES, PIECES) int16; and of each photo holds (R, C) bool, which region holds which piece, and score
    (R,)."""

    pieces: Tensor
    holds: list[Tensor]
    score: list[Tensor]

    def of(self, rows: np.ndarray) -> Forests:
        holds, score = ([part[row] for row in rows] for part in (self.holds, self.score))
        return Forests(self.pieces[torch.from_numpy(rows)], holds, score)

    def at(self, photo: int, regions: Tensor, places: Tensor) -> Tensor:
        """(R, P) bool: which of some of its regions hold which of the photo's places (P, 2)."""
        cell = (places * PIECES).long().clamp(0, PIECES - 1)
        return self.holds[photo][regions][:, self.pieces[photo][cell[:, 0], cell[:, 1]].long()]


def read_album(
    pairs: Sequence[Pair],
    config: Caption,
    *,
    device: torch.device,
    workers: int,
    tower: Path | None = None,
    context: int | None = None,
    bad: Callable[[str], None] = lambda line: None,
    watch: Watch = lambda items, _: items,
) -> Album:
    """`tower` is the folder of a hub tower, whose tokenizer reads the captions, up to `context` pieces."""
    learning, held = held_back(pairs, config.held)
    pairs = [*learning, *held]
    room = len(pairs) * 3 * config.side**2
    if room > config.memory * 2**30:
        raise CallerError(
            f"{len(pairs)} photos take {room / 2**30:.1f} GB at --side {config.side}: give fewer, or more --memory"
        )
    forests = _forests([pair.photo.key for pair in pairs], config.labels) if config.labels else None
    bank, rows = read_rows(
        [pair.photo for pair in pairs],
        side=config.side,
        regions=config.pull.vision > 0 and config.vision.region > 0,
        device=device,
        workers=workers,
        keep_going=config.keep_going,
        bad=bad,
        watch=watch,
    )
    learned = int((rows < len(learning)).sum())
    if learned < config.batch:
        raise CallerError(f"{learned} photos are left to learn from, fewer than one step's --batch {config.batch}")
    captions = [pairs[row].captions for row in rows]
    mine = captions[:learned]
    if tower is None:
        tokens = learn_tokens([one for some in mine for one in some], config.pieces, config.text.context)
    else:
        tokens = read_tokens(tower / "tokenizer.json", context or config.text.context)
    words = vocabulary_of(mine, config.known)
    return Album(
        bank,
        learned,
        captions,
        tokens,
        tokens([one for some in captions for one in some]),
        torch.tensor([0, *np.cumsum([len(some) for some in captions])]),
        list(words),
        torch.tensor(list(words.values())),
        tokens(list(words)),
        _mentions(captions, list(words)),
        None if forests is None else forests.of(rows),
    )


def _mentions(captions: Sequence[tuple[str, ...]], words: list[str]) -> Tensor:
    column = {word: place for place, word in enumerate(words)}
    found = torch.zeros(len(captions), len(words), dtype=torch.bool)
    for row, some in enumerate(captions):
        said = {word for one in some for word in content_words(one)}
        found[row, [column[word] for word in said if word in column]] = True
    return found


def _forests(keys: list[str], store: str) -> Forests:
    """Regions of those photos; all must have some. Keys begin below the folder that was named, which may have been
    another: then the last part of them tells."""
    labels = LabelStore(store)
    known = labels.places.keys() >= set(keys)
    named = (lambda key: key) if known else (lambda key: key.rpartition("/")[2])
    place = {named(key): row for row, key in enumerate(keys)}
    pieces = torch.zeros(len(keys), PIECES, PIECES, dtype=torch.int16)
    holds: list[Tensor] = [torch.zeros(0)] * len(keys)
    score: list[Tensor] = [torch.zeros(0)] * len(keys)
    left = set(place)
    for label in labels:
        if named(label.key) not in left or label.forest is None or not len(label.forest):
            continue
        best = label.forest.best(KEPT)
        cells, held, kept = arrangement_at(best.size, best.rles, (PIECES, PIECES))
        if not len(kept):  # all of them slip through between the places
            continue
        row = place[named(label.key)]
        pieces[row] = torch.from_numpy(cells.astype(np.int16))
        holds[row], score[row] = torch.from_numpy(held), torch.from_numpy(best.score[kept])
        left.remove(named(label.key))
    if left:
        raise CallerError(
            f"{store} has no regions of {len(left)} of the {len(keys)} photos, as {min(left)}: give a store that "
            "hedgerow explore made of them"
        )
    return Forests(pieces, holds, score)
