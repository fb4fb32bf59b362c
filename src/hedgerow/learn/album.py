"""Photos and what is said of them: what `caption` learns from.

In: pairs, and with them, where they are asked for, the regions of a label store. Out: an `Album`. What is said of the
photos is in memory, the photos as far as they fit. Those held back are in it behind the others, but no step sees them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hedgerow.config import CallerError, Caption
from hedgerow.data.labels import LabelStore
from hedgerow.data.pairs import Pair, held_back
from hedgerow.learn.bank import Bank, Item, Watch, fitting, led, read_bank
from hedgerow.learn.labelled import Labelled, numbers_of
from hedgerow.learn.shelves import Shelves
from hedgerow.learn.tokens import Tokens, content_words, learn_tokens, read_tokens, vocabulary_of


@dataclass(frozen=True)
class Album:
    """
    shelves     the photos that are learned from
    held        those held back
    captions    of each of all N photos, those held back last
    tokens      what makes numbers of sentences
    said        (S, L) all captions as numbers, photo after photo
    first       (N + 1,) where in `said` those of a photo begin
    words       the content words that are looked for, most frequent first
    counts      (W,) how many photos mention each
    spoken      (W, l) each as numbers, by itself
    mentioned   (M,) int32 the words that a photo's captions mention, photo after photo
    until       (N + 1,) where in `mentioned` those of a photo begin
    """

    shelves: Shelves
    held: Bank | None
    captions: list[tuple[str, ...]]
    tokens: Tokens
    said: Tensor
    first: Tensor
    words: list[str]
    counts: Tensor
    spoken: Tensor
    mentioned: Tensor
    until: Tensor

    def mentions(self, photos: Tensor) -> Tensor:
        """(P, W) bool: do any captions of these photos mention each word."""
        begin, count = self.until[photos], self.until[photos + 1] - self.until[photos]
        row = torch.repeat_interleave(torch.arange(len(photos)), count)
        place = torch.arange(len(row)) - torch.repeat_interleave(count.cumsum(0) - count - begin, count)
        found = torch.zeros(len(photos), len(self.words), dtype=torch.bool)
        found[row, self.mentioned[place].long()] = True
        return found

    @property
    def learned(self) -> int:
        """How many photos are learned from."""
        return len(self.shelves)

    @property
    def sha256(self) -> str:
        """Of what is said of the photos."""
        told = "\0".join("\n".join(some) for some in self.captions)
        return hashlib.sha256(told.encode()).hexdigest()


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
    if len(learning) < config.batch:
        raise CallerError(
            f"{len(learning)} photos are left to learn from, fewer than one step's --batch {config.batch}"
        )
    read = partial(
        read_bank,
        side=config.side,
        device=device,
        workers=workers,
        keep_going=config.keep_going,
        bad=bad,
        watch=led(watch),
    )
    labels = None if config.labels is None else LabelStore(config.labels)
    items = _items([*learning, *held], labels)
    shelves = Shelves(
        items[: len(learning)],
        fitting=fitting(config.memory, config.side, labels is not None),
        batch=config.batch,
        seed=config.seed,
        read=partial(read, regions=config.pull.vision > 0 and config.vision.region > 0),
    )
    bank, there = read(items[len(learning) :]) if held else (None, np.zeros(0, np.int64))
    mine = [pair.captions for pair in learning]
    captions = mine + [held[place].captions for place in there.tolist()]
    if tower is None:
        tokens = learn_tokens([one for some in mine for one in some], config.pieces, config.text.context)
    else:
        tokens = read_tokens(tower / "tokenizer.json", context or config.text.context)
    words = vocabulary_of(mine, config.known)
    mentioned = _mentioned(captions, list(words))
    return Album(
        shelves,
        bank,
        captions,
        tokens,
        tokens([one for some in captions for one in some]),
        torch.tensor([0, *np.cumsum([len(some) for some in captions])]),
        list(words),
        torch.tensor(list(words.values())),
        tokens(list(words)),
        torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *mentioned])),
        torch.tensor([0, *np.cumsum([len(some) for some in mentioned])]),
    )


def _mentioned(captions: Sequence[tuple[str, ...]], words: list[str]) -> list[np.ndarray]:
    """Of each photo the numbers of the words that its captions mention, ascending. A table of photos by words would be
    gigabytes of mostly nothing where there are millions of captions."""
    number = {word: place for place, word in enumerate(words)}
    said = ({word for one in some for word in content_words(one)} for some in captions)
    return [np.array(sorted(number[word] for word in some if word in number), np.int32) for some in said]


def _items(pairs: Sequence[Pair], labels: LabelStore | None) -> Sequence[Item]:
    """Photos, with their labels if there are any; then all must have regions."""
    if labels is None:
        return [(pair.photo, None) for pair in pairs]
    numbers = numbers_of([pair.photo.key for pair in pairs], labels)
    known = [(pair.photo, number) for pair, number in zip(pairs, numbers, strict=True) if number is not None]
    if len(known) < len(pairs):
        missing = {pair.photo.key for pair in pairs} - {photo.key for photo, _ in known}
        told = f"{labels.place} has no regions of {len(missing)} of the {len(pairs)} photos, as {min(missing)}"
        raise CallerError(f"{told}: give a store that hedgerow explore made of them")
    return Labelled(known, labels)
