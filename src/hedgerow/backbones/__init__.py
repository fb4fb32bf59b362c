"""Photo -> features of its patches, by name.

In: RGB pixels (B, H, W, 3) uint8. Out: features (B, h, w, D) float32, raw: nobody has normalised them. The names:

    texture                         colour and texture, no weights
    embedded, or FILE.onnx          a network in onnxruntime, its card FILE.json beside it
    hub:ID, hub:FOLDER, hub:FILE    DINO, DINOv2, DINOv3, CLIP or SigLIP in torch
    ONE+OTHER                       several of these side by side
    ONE+outlines, ONE+FILE.onnx     one of these, and beside its features where things end
    colour, or random:NAME          to measure others against: colour and place; NAME's network with weights just drawn

Options follow a question mark, "hub:facebook/dino-vitb8?feature=key&size=480", or come by keyword, which wins. Every
backbone takes `size` and `square` and brings photos to whole patches by the one rule in `fit.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args
from urllib.parse import parse_qsl

import numpy as np

from hedgerow.config import CallerError, UsageError

NAMES = (
    "texture, embedded, FILE.onnx, hub:ID, hub:FOLDER or hub:FILE, and +outlines behind any; "
    "to compare with, colour and random:NAME"
)


class Backbone(Protocol):
    """What looks at pixels.

    name             recorded in a forest's model field
    supervision      what it learned from: "none", "captions", or "labels", which only measuring may use
    weights_sha256   of the weights file; None without weights
    """

    name: str
    supervision: str
    weights_sha256: str | None

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB, crops of one size -> (B, h, w, D) float32; the h x w grid spans the whole crop."""
        ...


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Features of one photo's patches.

    values   (h, w, D) float32, raw
    size     (H, W) of the pixels they were computed from, which the patch grid spans from edge to edge
    salience (h, w) float32 in [0, 1], how likely each patch belongs to something that stands out; None where the
             backbone has not learned that
    """

    values: np.ndarray
    size: tuple[int, int]
    salience: np.ndarray | None = None


def open_backbone(name: str, **options: Any) -> Backbone:
    """The backbone of that name, ready to use."""
    if "+" in name and not _is_path(name):
        if options:
            raise UsageError(f"options go to each part of {name}, behind a question mark, got {', '.join(options)}")
        return _together(name, [opened(part, _maker, {}) for part in name.split("+")])
    return _together(name, [opened(name, _maker, options)])


def _together(name: str, parts: Sequence[Any]) -> Backbone:
    """Features of all parts that have some, and outlines where a part says them."""
    lookers = [part for part in parts if hasattr(part, "features")]
    outliners = [part for part in parts if not hasattr(part, "features")]
    if not lookers:
        raise UsageError(f"{name} says where things end and has no features: name a backbone too, texture+{name}")
    if len(lookers) > 1:
        from hedgerow.backbones.beside import BesideBackbone

        lookers = [BesideBackbone(lookers)]
    if not outliners:
        return lookers[0]  # type: ignore[no-any-return]
    from hedgerow.backbones.outlines import Outlined

    return Outlined(lookers[0], outliners)


def opened(name: str, maker: Callable[[str], tuple[Any, tuple[str, ...]]], given: Mapping[str, Any]) -> Any:
    """What a name stands for, its options behind a question mark or given by keyword. `maker` gives the class behind
    the name, and what it is called with before the options; the class's own keywords say which options there are."""
    place, _, query = name.partition("?")
    asked = {key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)}
    make, before = maker(place)
    options = asked | dict(given)
    parameters = inspect.signature(make, eval_str=True).parameters.values()
    taken = {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}
    for option, value in options.items():
        if option not in taken:
            raise UsageError(f"{place} knows no option {option}; it takes {', '.join(taken) or 'none'}")
        if not _is_a(value, taken[option]):
            raise UsageError(f"{option} should be {_told(taken[option])}, got {value!r}")
    return make(*before, **options)


def _is_path(name: str) -> bool:
    """A file or folder may have a plus in its name; an option's value has none."""
    place, _, options = name.partition("?")
    return "+" not in options and Path(place.rpartition("hub:")[2]).expanduser().exists()


def feature_map(backbone: Backbone, photo: np.ndarray) -> FeatureMap:
    """Features of one photo (H, W, 3) uint8."""
    height, width = photo.shape[:2]
    look = getattr(backbone, "look", None)  # what some backbones have beside `features`
    values, salience = look(photo[None]) if look else (backbone.features(photo[None]), None)
    return FeatureMap(values[0], (height, width), None if salience is None else salience[0])


def outlines_of(backbone: Backbone, photo: np.ndarray) -> np.ndarray | None:
    """How strongly something ends at each pixel of one photo (H, W, 3) uint8: (H, W) float32 in [0, 1]; None where the
    backbone does not say."""
    say = getattr(backbone, "outlines", None)
    return None if say is None else say(photo)


def _maker(place: str) -> tuple[Any, tuple[str, ...]]:
    """The class behind a name, imported only now, and what it is called with before the options."""
    if place == "texture":
        from hedgerow.backbones.texture import TextureBackbone

        return TextureBackbone, ()
    if place == "colour":
        from hedgerow.backbones.colour import ColourBackbone

        return ColourBackbone, ()
    if place.startswith("random:"):
        return _in_torch("random:"), (place.removeprefix("random:"),)
    if place == "outlines" or place.endswith(".onnx"):
        from hedgerow.backbones.outlines import SHIPPED as OUTLINES
        from hedgerow.backbones.outlines import Outlines, has_outlines

        if place == "outlines" or has_outlines(place):
            return Outlines, (OUTLINES if place == "outlines" else place,)
    if place == "embedded" or place.endswith(".onnx"):
        from hedgerow.backbones.embedded import SHIPPED, EmbeddedBackbone

        return EmbeddedBackbone, (SHIPPED if place == "embedded" else place,)
    if place.startswith("hub:"):
        return _in_torch("hub:"), (place.removeprefix("hub:"),)
    raise UsageError(f"no backbone {place!r}; there are {NAMES}")


def _in_torch(kind: str) -> Any:
    try:
        from hedgerow.backbones.hub import HubBackbone, RandomBackbone
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise CallerError(f"{kind} backbones need torch: install hedgerow with its extra [train]") from None
    return HubBackbone if kind == "hub:" else RandomBackbone


def _value(text: str) -> int | bool | str:
    """What an option's text means: a whole number, true or false, or the text itself."""
    if text.removeprefix("-").isdecimal():
        return int(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def _is_a(value: Any, annotation: Any) -> bool:
    kinds = _kinds(annotation)
    words = [kind for kind in kinds if not isinstance(kind, type)]
    types = tuple(kind for kind in kinds if isinstance(kind, type))
    fits = isinstance(value, types) and (bool in kinds or not isinstance(value, bool))  # True is an int to Python only
    return fits or value in words


def _told(annotation: Any) -> str:
    words = [kind.__name__ if isinstance(kind, type) else str(kind) for kind in _kinds(annotation)]
    return " or ".join(word for word in words if word != "NoneType")


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types that an option may have, or the words of a choice."""
    if isinstance(annotation, type):
        return (annotation,)
    return tuple(inner for kind in get_args(annotation) for inner in (_kinds(kind) if get_args(kind) else (kind,)))
