"""A language of ours in onnxruntime: FILE.onnx looks at pixels, FILE.text.onnx reads words. No torch.

In: RGB pixels (H, W, 3) uint8 of any size, and sentences. Out: vectors in one space. Four files:

    FILE.onnx              pixels (B, 3, H, W) normalised, sides multiples of the patch -> words (B, h, w, E), raw;
                           whole (B, E), unit; perhaps groups (B, h, w, C), probabilities
    FILE.text.onnx         tokens (B, L) int64, 0 for nothing -> text (B, E), unit rows
    FILE.tokenizer.json    of the `tokenizers` library: letters to tokens, lower-casing and marks of ends included
    FILE.json              the card: what `CARD_FIELDS` names; calibration, size, square, threshold where there are any

The card has the sha256 of the other three, and each is proved before anything is read from it. What reads words is
opened when words are to be read: a run whose rows of text are kept does without.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.backbones import FeatureMap
from hedgerow.backbones.embedded import checked_card, session_of
from hedgerow.backbones.fit import prepare
from hedgerow.backbones.pooling import bounded, fitting_size, unit_rows
from hedgerow.config import CallerError, UsageError
from hedgerow.forest import MaskForest

SHIPPED = str(Path(__file__).parent.parent / "assets" / "words.onnx")
CARD_FIELDS: dict[str, Any] = {
    "name": str,
    "kind": str,
    "supervision": str,
    "patch": int,
    "dim": int,
    "mean": list,
    "std": list,
    "context": int,
    "templates": list,
    "background": list,
    "knows": list,
    "weights_sha256": str,
    "text_sha256": str,
    "tokenizer_sha256": str,
}
AT_ONCE = 256  # sentences that are read together


class OwnLanguage:
    """See `hedgerow.naming.language.Language`.

    `size` is that of the shorter side where the card's is not wanted; `threads` is one by default: photos are shared
    out to processes, and two of them must not fight over the cores.
    """

    def __init__(self, path: str, *, size: int | None = None, threads: int = 1) -> None:
        self._model = Path(path).expanduser()
        if path == SHIPPED and not self._model.is_file():
            raise CallerError(
                "no words ship with this version yet: give --name-model FILE.onnx of `hedgerow caption`, or hub:ID"
            )
        card = read_card(self._model)
        self.card: Mapping[str, Any] = {**card, "text_sha256": _sha256(card["text_sha256"], card["tokenizer_sha256"])}
        self.name: str = card["name"] if size is None else f"{card['name']}?size={size}"
        self.supervision: str = card["supervision"]
        self.weights_sha256: str | None = card["weights_sha256"]
        self.dim: int = card["dim"]
        self.scale = float(card["scale"])
        self._size, self._square = card.get("size") if size is None else size, bool(card.get("square"))
        if self._size is not None and self._size < 1:
            raise UsageError(f"size is a number of pixels from 1 up, got {self._size}")
        self._threads, self._text_sha256 = threads, card["text_sha256"]

    def look(self, pixels: np.ndarray, forest: MaskForest | None = None) -> FeatureMap:
        return FeatureMap(self._seen(pixels, "words"), pixels.shape[:2])

    def whole(self, pixels: np.ndarray) -> np.ndarray:
        return self._seen(pixels, "whole")

    def groups(self, pixels: np.ndarray) -> np.ndarray | None:
        return self._seen(pixels, "groups") if "groups" in self._outputs else None

    def text(self, sentences: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(sentences), self.dim), np.float32)
        tokens = [one.ids for one in self._tokenizer.encode_batch(list(sentences))]
        for sentence, ids in zip(sentences, tokens, strict=True):
            if not any(ids):
                raise CallerError(f"{self.name} can read nothing of {sentence!r}: say it otherwise")
        order = np.argsort([len(ids) for ids in tokens], kind="stable")  # the shortest together: less is filled up
        for first in range(0, len(order), AT_ONCE):
            some = order[first : first + AT_ONCE]
            batch = np.zeros((len(some), max(len(tokens[row]) for row in some)), np.int64)
            for place, row in zip(batch, some, strict=True):
                place[: len(tokens[row])] = tokens[row]
            rows[some] = self._reader.run(["text"], {"tokens": batch})[0]
        return unit_rows(rows)

    # ------------------------------------------------------------------ the networks

    def _seen(self, pixels: np.ndarray, output: str) -> np.ndarray:
        photo, patch = bounded(pixels), self.card["patch"]
        size = self._size
        if not self._square:
            size = fitting_size(photo, patch, min(photo.shape[:2]) if size is None else size)
        mean, std = tuple(self.card["mean"]), tuple(self.card["std"])
        (batch,) = prepare(photo[None], patch, mean, std, size=size, square=self._square)
        return self._looker.run([output], {"pixels": batch})[0][0]

    @cached_property
    def _looker(self) -> Any:
        session = session_of(self._model, str(self.weights_sha256), self._threads)
        _check(session, self._model, {"pixels": 4}, {"words": 4, "whole": 2}, self.dim)
        return session

    @property
    def _outputs(self) -> set[str]:
        return {value.name for value in self._looker.get_outputs()}

    @cached_property
    def _reader(self) -> Any:
        path = self._model.with_suffix(".text.onnx")
        _check_there(path)
        session = session_of(path, self._text_sha256, self._threads)
        _check(session, path, {"tokens": 2}, {"text": 2}, self.dim)
        return session

    @cached_property
    def _tokenizer(self) -> Any:
        path = self._model.with_suffix(".tokenizer.json")
        _check_there(path)
        content = path.read_bytes()
        if (found := hashlib.sha256(content).hexdigest()) != self.card["tokenizer_sha256"]:
            said = self.card["tokenizer_sha256"]
            raise CallerError(f"{path} is not the file its card describes: sha256 {found}, the card says {said}")
        tokenizer = tokenizer_of(content, path)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.card["context"])
        return tokenizer


def read_card(model: Path) -> dict[str, Any]:
    """The card beside a language's .onnx file, its fields checked."""
    told = model.with_suffix(".json")
    for path in (model, told):
        _check_there(path)
    card, where = checked_card(model, CARD_FIELDS, "language"), f"{told} is no language's card"
    if card["supervision"] not in ("none", "captions"):
        raise CallerError(f"{where}: it learned from {card['supervision']}; names come of captions alone")
    if min(card["patch"], card["dim"], card["context"]) < 1:
        raise CallerError(f"{where}: patch, dim and context are at least 1")
    for field in ("templates", "background", "knows"):
        if not all(isinstance(one, str) for one in card[field]):
            raise CallerError(f"{where}: {field} is a list of words")
    if not card["templates"] or any(one.count("{}") != 1 for one in card["templates"]):
        raise CallerError(f"{where}: templates are sentences with one {{}} each")
    numbers = {"scale": card.get("scale"), "threshold": card.get("threshold", 0.5)}
    numbers |= dict(zip(("calibration[0]", "calibration[1]"), card.get("calibration") or (1, 0), strict=False))
    for field, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise CallerError(f"{where}: {field} should be a number, got {number!r}")
    if len(card.get("calibration") or (1, 0)) != 2 or card["scale"] <= 0 or not 0 <= numbers["threshold"] <= 1:
        raise CallerError(f"{where}: calibration is two numbers, scale above 0, a threshold between 0 and 1")
    if card.get("met") is not None and not _counted(card["met"]):
        raise CallerError(f"{where}: met tells photos, at least 1, a weight, at least 0, and words with their counts")
    return card


def _counted(met: Any) -> bool:
    """What a card says of how often words were met."""
    if not isinstance(met, dict) or not isinstance(met.get("words"), dict):
        return False
    numbers = (met.get("photos"), met.get("weight"), *met["words"].values())
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        return False
    return met["photos"] >= 1 and 0 <= met["weight"] < math.inf and min(met["words"].values(), default=0) >= 0


def tokenizer_of(content: bytes, path: Path) -> Any:
    """A tokenizer file of the `tokenizers` library, imported late: only reading words needs it."""
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise CallerError("reading words needs tokenizers: install hedgerow with its extra [names]") from None
    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
        tokenizer.encode_special_tokens = True  # one that somebody typed is text as any other
        return tokenizer
    except Exception as error:  # what the library raises shares no other base
        raise CallerError(f"{path} is no tokenizer: {str(error).splitlines()[0]}") from None


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise CallerError(
            f"no such file: {path} (a language is FILE.onnx, FILE.text.onnx, FILE.tokenizer.json, FILE.json)"
        )


def _check(session: Any, path: Path, entries: dict[str, int], exits: dict[str, int], dim: int) -> None:
    """Inputs and outputs of these names and ranks; every output ends in the space of words."""
    taken = {value.name: len(value.shape) for value in session.get_inputs()}
    given = {value.name: value.shape for value in session.get_outputs()}
    fits = taken == entries and all(
        len(given.get(name, ())) == rank and (given[name][-1] == dim or not isinstance(given[name][-1], int))
        for name, rank in exits.items()
    )
    if not fits:
        raise CallerError(f"{path} should take {entries} and give {exits} of {dim} numbers, it has {taken} and {given}")


def _sha256(*parts: str) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()
