"""Regions and words in one space: which name each region has, and how sure that is.

In: a forest, features of its photo's patches in the space of words, and a vocabulary. Out: the forest with a name and a
name's score a region; a map of names.

A region's vector is the direction of the sum of its patches' unit vectors (`hedgerow.backbones.pooling.embed`), that of
a word the direction of the mean of its sentences' (CLIP, Radford et al. 2021, section 3.1.4). Cosines times a scale,
through a softmax over all names and the words of a background, are probabilities. Where we depart from ViL-Seg (Liu et
al. 2022), which gives each of its clusters the nearest name: regions are a forest's, so parts may have other names than
their whole; a background and a threshold leave regions unnamed; and a name may be said in several ways, whose
probabilities add up, because people are called woman, boy or crowd in captions and hardly ever person.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from hedgerow.backbones import FeatureMap
from hedgerow.backbones.pooling import embed, unit_rows
from hedgerow.config import CallerError
from hedgerow.forest import MaskForest
from hedgerow.naming.cache import kept_rows
from hedgerow.naming.language import Language
from hedgerow.naming.prompts import sentences
from hedgerow.partition import arrangement

if TYPE_CHECKING:
    from hedgerow.naming.vocabulary import Vocabulary

Synonyms = Literal["sum", "max", "mean"]
SURE, SMALL = 2, 0.6  # powers of a name's score and of a region's area in its vote for pixels
NAMELESS = 0.6  # what a region without a name is taken to be sure of, that none fits


@dataclass(frozen=True, eq=False)
class Names:
    """What regions are compared with.

    names        K, as they are shown
    rows         (R, E) unit: the ways to say names, then the words of the background
    owner        (R,) which name a row says; from K up, the background's words, each for itself
    scale        what cosines are multiplied with
    calibration  slope and intercept on the log-odds of a probability; (1, 0) leaves it as it is
    prior        (R,) what is added to the logit of each row, or nothing
    best_way     the best way to say a name counts, not all of them together
    """

    names: tuple[str, ...]
    rows: np.ndarray
    owner: np.ndarray
    scale: float
    calibration: tuple[float, float] = (1.0, 0.0)
    prior: np.ndarray | float = 0.0
    best_way: bool = False

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """(N, E) unit -> (N, K + B): of each name, then of each word of the background."""
        logits = self.scale * (np.asarray(vectors, np.float32) @ self.rows.T) + np.asarray(self.prior, np.float32)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        odds = (np.maximum if self.best_way else np.add).reduceat(odds, starts, axis=1)
        return odds / odds.sum(1, keepdims=True)

    def best(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, E) -> (N,) int32 the best name, -1 where a word of the background is better than all; and (N,) float32
        how sure it is: the calibrated probability of the best name."""
        told = self.probabilities(vectors)
        if not len(told):
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        count, rows = len(self.names), np.arange(len(told))
        best = told[:, :count].argmax(1)
        score = calibrated(told[rows, best], self.calibration)
        behind = told[:, count:].max(1, initial=0.0) > told[rows, best]
        return np.where(behind, -1, best).astype(np.int32), score


def calibrated(probability: np.ndarray, calibration: tuple[float, float]) -> np.ndarray:
    """Platt's scaling (1999) of probabilities: a straight line on their log-odds. Six digits, as files have them."""
    sure = np.clip(np.asarray(probability, np.float64), 1e-7, 1 - 1e-7)
    odds = calibration[0] * np.log(sure / (1 - sure)) + calibration[1]
    return np.round(1 / (1 + np.exp(-np.clip(odds, -50, 50))), 6).astype(np.float32)


def say_names(
    language: Language,
    vocabulary: Vocabulary,
    *,
    background: Sequence[str] | None = None,
    templates: Sequence[str] | None = None,
    synonyms: Synonyms = "sum",
) -> Names:
    """A vocabulary as a language says it; background and templates are the language's own where none are given."""
    behind = beside(language.card["background"] if background is None else background, vocabulary)
    if len(vocabulary.names) + len(behind) < 2:
        raise CallerError(
            f"{vocabulary.names[0]!r} alone is compared with nothing, so all would be that: "
            "give more names, or words of a background"
        )
    words = [word for ways in vocabulary.words for word in ways] + list(behind)
    rows = say_words(language, words, language.card["templates"] if templates is None else templates)
    owner = np.repeat(np.arange(len(vocabulary.names)), [len(ways) for ways in vocabulary.words])
    owner = np.append(owner, len(vocabulary.names) + np.arange(len(behind)))
    prior = met(language, words)
    if synonyms == "mean":
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        rows, owner = unit_rows(np.add.reduceat(rows, starts, axis=0)), owner[starts]
        prior = np.maximum.reduceat(prior, starts)
    slope, intercept = language.card.get("calibration") or (1.0, 0.0)
    calibration = (float(slope), float(intercept))
    return Names(vocabulary.names, rows, owner, language.scale, calibration, prior, synonyms == "max")


def met(language: Language, words: Sequence[str]) -> np.ndarray:
    """(W,) float32, what is added to the logits of words for how often the language met them: the logarithm of the
    share of photos whose captions have a word, of several words that of the rarest, by the weight its card gives it;
    nothing where the card does not say. A word never met counts as half a time."""
    said = language.card.get("met")
    if not said:
        return np.zeros(len(words), np.float32)
    counts, photos = said["words"], said["photos"]
    rarest = [min((_count(counts, part) for part in word.lower().split()), default=0) for word in words]
    return np.float32(said["weight"]) * np.log((np.array(rarest, np.float32) + 0.5) / photos)


def _count(counts: Mapping[str, int], word: str) -> int:
    """Captions are counted word by word, plurals folded."""
    return counts.get(word, counts.get(word.removesuffix("s"), 0))


def say_words(language: Language, words: Sequence[str], templates: Sequence[str]) -> np.ndarray:
    """(W, E) unit: the mean of each word's sentences. Read once, and kept by what they depend on."""

    def read() -> np.ndarray:
        each = dict.fromkeys(words)  # a word may be a way to say two names
        rows = language.text(sentences(list(each), templates)).reshape(len(each), len(templates), -1)
        place = {word: row for row, word in enumerate(each)}
        return unit_rows(rows.mean(1))[[place[word] for word in words]]

    sha256 = language.card.get("text_sha256")
    return kept_rows(sha256, templates, words, read) if sha256 else read()


def beside(background: Sequence[str], vocabulary: Vocabulary) -> tuple[str, ...]:
    """The words of a background that say none of the names."""
    asked = {word.casefold() for word in (*vocabulary.names, *(word for ways in vocabulary.words for word in ways))}
    return tuple(word for word in dict.fromkeys(background) if word.casefold() not in asked)


def name_regions(forest: MaskForest, features: FeatureMap, names: Names, threshold: float) -> MaskForest:
    """The forest with the name of each region, "" where it is background or less sure than the threshold."""
    vectors = embed(forest, features).embedding
    assert vectors is not None
    best, score = names.best(vectors)
    named = (best >= 0) & (score >= threshold)
    told = tuple(names.names[name] if there else "" for name, there in zip(best, named, strict=True))
    return replace(forest, name=told, name_score=np.where(named, score, 0).astype(np.float32))


def named_rows(forest: MaskForest) -> np.ndarray:
    """Rows of the regions that have a name."""
    return np.flatnonzero([bool(name) for name in forest.name or ()])


def name_map(forest: MaskForest, names: Sequence[str]) -> np.ndarray:
    """(H, W) int32: of each pixel the row in `names` that the regions that hold it vote for, -1 where most say none.

    A region without a name votes for none: else the name of one large region spills over all that was told apart from
    it (with COCO's labels for names a mIoU with background of 56 % against 83 %, 12 photos).

    A region's vote is its own score times the square of its name's, by its area ** 0.6: a forest has many wholes around
    each part, which would outvote it. With COCO's labels for names, the majority's in each region and its share for a
    score, maps of 26 photos reach a mIoU of 78 % so, of 49 % by the plain product; with three names in ten drawn at
    random 78 % and 46 %, with six in ten 71 % and 48 %.
    """
    pieces, inside = arrangement(forest.size, forest.rles)
    most, labels = np.zeros(inside.shape[1]), np.full(inside.shape[1], -1, np.int32)
    place = {name: row for row, name in enumerate(names)}
    told = np.array([_place(place, name) if name else -1 for name in forest.name or ("",) * len(forest)], np.int64)
    sure = np.ones(len(forest)) if forest.name_score is None else forest.name_score.astype(np.float64)
    sure = np.where(told < 0, NAMELESS, sure)
    for name in np.unique(told):
        own = np.flatnonzero(told == name)
        votes = (sure[own] ** SURE * forest.score[own] / forest.areas[own] ** SMALL) @ inside[own]
        labels[votes > most] = name
        most = np.maximum(most, votes)
    return labels[pieces]


def _place(place: dict[str, int], name: str) -> int:
    if name not in place:
        raise CallerError(f"the forest has a region named {name!r}, which is not among the names given")
    return place[name]


def vocabulary_sha256(vocabulary: Vocabulary) -> str:
    """Of the names and all ways to say them, in their order."""
    return hashlib.sha256(json.dumps([vocabulary.names, vocabulary.words]).encode()).hexdigest()
