"""What pieces of words start from, before any photo has been seen.

In: captions, or a file of word vectors. Out: a vector for each piece of a vocabulary.

`captions`: which words stand near which in the captions (positive pointwise mutual information in a window, its
directions by SVD: Levy & Goldberg 2014, section 3; no data of others, and seconds). FILE: word2vec's or GloVe's text
form, a word and its numbers a line. A piece that is a whole word has the vector of that word; any other the mean of the
words it is part of, the frequent more.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hedgerow.config import CallerError
from hedgerow.learn.tokens import Tokens

WORD = re.compile(r"[^\W_]+|[^\w\s]")
WINDOW = 5  # words to each side
LEAST = 3  # times a word is there: of rarer ones little can be told
DENSE = (
    1000  # words, at most, whose table is taken whole: in small ones svds draws numbers of its own, not the same twice
)
SPREAD = 0.02  # of a piece's numbers: as those that are drawn


def start_of(start: str, captions: Iterable[str], tokens: Tokens, dim: int) -> np.ndarray:
    """(pieces, dim) float32; zeros where nothing is known of a piece."""
    sentences = [said(caption) for caption in captions]
    counts = Counter(word for words in sentences for word in words)
    vectors = neighbours(sentences, dim) if start == "captions" else read_vectors(Path(start), set(counts))
    if not vectors:
        raise CallerError(f"{start} has not one word of these captions: give vectors of their language")
    words = sorted(vectors)
    narrowed = _narrowed(np.stack([vectors[word] for word in words]), dim)
    return _of_pieces(dict(zip(words, narrowed, strict=True)), counts, tokens, dim)


def said(caption: str) -> list[str]:
    """The words of a caption, as the vocabulary reads them, and its marks."""
    return WORD.findall(unicodedata.normalize("NFKC", caption).lower())


def neighbours(sentences: list[list[str]], dim: int) -> dict[str, np.ndarray]:
    """Of each word that is there often enough, which others stand near it, in `dim` directions or fewer."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    counts = Counter(word for words in sentences for word in words)
    words = sorted(word for word, count in counts.items() if count >= LEAST)
    place = {word: number for number, word in enumerate(words)}
    pairs: Counter[tuple[int, int]] = Counter()
    for sentence in sentences:
        numbers = [place[word] for word in sentence if word in place]
        for at, number in enumerate(numbers):
            for other in numbers[max(at - WINDOW, 0) : at]:
                pairs[number, other] += 1
                pairs[other, number] += 1
    if len(words) < 3 or not pairs:
        return {}
    (rows, columns), together = np.array(sorted(pairs)).T, np.array([pairs[key] for key in sorted(pairs)], np.float64)
    sums = np.bincount(rows, together, len(words))
    rare = sums**0.75 / (sums**0.75).sum()  # contexts' share, smoothed: rare words would weigh too much (section 3.2)
    value = np.log(together / sums[rows] / rare[columns])
    kept = value > 0
    table = csr_matrix((value[kept], (rows[kept], columns[kept])), (len(words), len(words)))
    count = min(dim, len(words) - 1)
    if len(words) <= DENSE:
        left, strength, _ = np.linalg.svd(table.toarray())
        left, strength = left[:, :count], strength[:count]
    else:
        left, strength, _ = svds(table, k=count, v0=np.ones(len(words)))
    order = np.argsort(-strength)
    left, strength = left[:, order], strength[order]
    left = left * np.where(left[np.abs(left).argmax(0), np.arange(count)] < 0, -1.0, 1.0)  # a direction has no sign
    return dict(zip(words, (left * np.sqrt(strength)).astype(np.float32), strict=True))


def read_vectors(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Vectors of those words that a text file has: a word and its numbers a line; a first line of two counts, as
    word2vec's, is no word."""
    found: dict[str, np.ndarray] = {}
    width = 0
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                word, *numbers = line.rstrip().split(" ")
                if number == 1 and len(numbers) == 1:
                    continue
                width = width or len(numbers)
                if len(numbers) > width > 1:  # a word with blanks in it: GloVe's largest file has some
                    continue
                if len(numbers) != width or width < 2:
                    raise CallerError(f"{path}, line {number}: a word and {width or 'its'} numbers are expected")
                if word.lower() in wanted and word.lower() not in found:
                    found[word.lower()] = np.array(numbers, np.float32)
    except OSError as error:
        reason = error.strerror
        raise CallerError(f"{path} cannot be read ({reason}): give a file of word vectors, or captions") from None
    except CallerError:  # is a ValueError, too
        raise
    except ValueError:
        raise CallerError(f"{path} holds no word vectors: a word and its numbers a line are expected") from None
    return found


def _narrowed(rows: np.ndarray, dim: int) -> np.ndarray:
    """Centred, in their first `dim` directions (PCA), filled up with zeros, as spread as weights that are drawn."""
    rows = rows - rows.mean(0)
    _, _, axes = np.linalg.svd(rows, full_matrices=False)
    axes = axes[:dim] * np.sign(axes[np.arange(len(axes[:dim])), np.abs(axes[:dim]).argmax(1)])[:, None]
    rows = rows @ axes.T
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12) * SPREAD * np.sqrt(dim)
    return np.pad(rows, ((0, 0), (0, dim - rows.shape[1]))).astype(np.float32)


def _of_pieces(vectors: dict[str, np.ndarray], counts: Counter[str], tokens: Tokens, dim: int) -> np.ndarray:
    total = np.zeros((len(tokens), dim), np.float64)
    weight = np.zeros(len(tokens))
    own: dict[int, np.ndarray] = {}
    for word, vector in vectors.items():
        pieces = tokens.pieces(word)
        if len(pieces) == 1:
            own[pieces[0]] = vector
        for piece in pieces:
            total[piece] += counts[word] * vector
            weight[piece] += counts[word]
    made = total / np.maximum(weight, 1)[:, None]
    for piece, vector in own.items():
        made[piece] = vector
    return made.astype(np.float32)
