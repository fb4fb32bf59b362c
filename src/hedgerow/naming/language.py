"""What joins pixels and words, by name.

In: RGB pixels (H, W, 3) uint8, and sentences. Out: vectors of both in one space, whose cosines say what goes with what.
The names:

    embedded                 what ships with the package
    FILE.onnx                ours, in onnxruntime: FILE.text.onnx, FILE.tokenizer.json and the card FILE.json beside it
    hub:ID, hub:FOLDER       CLIP or SigLIP in torch

Options follow a question mark, "hub:openai/clip-vit-base-patch16?attention=self", or come by keyword, as backbones' do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hedgerow.backbones import FeatureMap, opened
from hedgerow.config import CallerError, UsageError
from hedgerow.forest import MaskForest

NAMES = "embedded, FILE.onnx, hub:ID or hub:FOLDER"


class Language(Protocol):
    """What looks at pixels and reads words.

    name             recorded in a forest's model field
    supervision      what it learned from; names come of captions
    weights_sha256   of what looks at pixels
    dim              E, of the space both share
    scale            what cosines are multiplied with before a softmax says which name it is
    card             what the model says of itself: `templates`, `background`, `calibration` ([slope, intercept] or
                     none), `threshold`, `knows`, and `text_sha256`, by which rows of text are kept (none: they are not)
    """

    name: str
    supervision: str
    weights_sha256: str | None
    dim: int
    scale: float
    card: Mapping[str, Any]

    def look(self, pixels: np.ndarray, forest: MaskForest | None = None) -> FeatureMap:
        """(H, W, 3) uint8 of any size -> patches (h, w, E) in the space of words, raw. Some look better where they are
        told the regions of the photo."""
        ...

    def whole(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (E,) float32 unit: the photo as captions tell of it."""
        ...

    def groups(self, pixels: np.ndarray) -> np.ndarray | None:
        """(h, w, C) float32: to which of its groups each patch belongs; None where the network has not learned any."""
        ...

    def text(self, sentences: Sequence[str]) -> np.ndarray:
        """(n, E) float32 unit rows."""
        ...


def open_language(name: str, **options: Any) -> Language:
    """The language of that name, ready to use."""
    return opened(name, _maker, options)


def _maker(place: str) -> tuple[Any, tuple[str, ...]]:
    """The class behind a name, imported only now, and what it is called with before the options."""
    if place == "embedded" or place.endswith(".onnx"):
        from hedgerow.naming import own

        return own.OwnLanguage, (own.SHIPPED if place == "embedded" else place,)
    if place.startswith("hub:"):
        return _in_torch(), (place.removeprefix("hub:"),)
    raise UsageError(f"no language {place!r}; there are {NAMES}")


def _in_torch() -> Any:
    try:
        from hedgerow.naming.hub import HubLanguage
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise CallerError("hub: languages need torch: install hedgerow with its extra [train]") from None
    return HubLanguage
