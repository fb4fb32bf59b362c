"""What a run has learned, as a file that the package runs without torch.

In: a run's folder, or a network. Out: FILE.onnx and its card FILE.json, as `hedgerow.backbones.embedded`,
`hedgerow.predict` and `hedgerow.naming` read them; of what learned from captions FILE.text.onnx and FILE.tokenizer.json
as well.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hedgerow.backbones.hub import HubBackbone
from hedgerow.config import CallerError, Ship
from hedgerow.learn.export import Entry, Precision, write_graph, write_onnx
from hedgerow.learn.networks.captioner import Captioner, whole
from hedgerow.learn.networks.contraster import Contraster
from hedgerow.learn.networks.maps import STRIDES
from hedgerow.learn.networks.outliner import Outliner
from hedgerow.learn.networks.saving import load_captioner, load_contraster, load_outliner, load_segmenter
from hedgerow.learn.networks.text import TextConfig
from hedgerow.learn.sittings import FREE
from hedgerow.writing import write_atomically

PLACES = ("backbone", "tower", "labels", "words_start")  # settings that may be files or folders


def ship_run(place: Path, path: str | Path, config: Ship) -> dict[str, Any]:
    """Write the backbone, or the segmenter, of a run; its card says how it came about. Returns the card."""
    about = _read_about(config.about) if config.about else {}
    kinds = ("outliner", "segmenter", "contraster", "captioner", "backbone")
    kind = next((name for name in kinds if (place / name).is_dir()), None)
    if kind is None or not (place / "run.json").is_file():
        wanted = ", ".join(f"{name}/" for name in kinds)
        raise CallerError(f"{place} holds no run that can be shipped: run.json and one of {wanted} are wanted")
    run = json.loads((place / "run.json").read_text("utf-8"))
    log = (place / "log.jsonl").read_text("utf-8").splitlines()
    last = json.loads(log[-1]) if log else {"step": 0, "seconds": 0.0}
    views = _views_of(kind, run["config"])
    made = {
        "name": Path(path).stem,
        "recipe": run["config"]["recipe"],
        "photos": run["photos"],
        "views": last["step"] * run["config"]["batch"] * views,
        "steps": f"{last['step']} of {run['steps']}",
        "hours": round(last["seconds"] / 3600, 3),
        "hardware": f"{run['processes']} x {run['device']}",
        "parameters": run["parameters"],
        "start": _called(run["start"]),
        "supervision": run.get("supervision", "none"),  # into pretraining go photos alone
        "run": {  # what does not matter stays, and so does where things lay on this machine
            name: _called(value) if name in PLACES else value
            for name, value in run["config"].items()
            if name not in FREE
        },
        **about,
    }
    if kind == "outliner":
        export_outliner(place / kind, path, config.size or 1.5 * run["config"]["size"], made, config.precision)
    elif kind == "segmenter":
        size = config.size or run["config"]["size"]
        export_segmenter(place / kind / config.which, path, size, made, config.precision)
    elif kind == "contraster":
        feature = config.feature if config.feature in ("decoder", "trunk") else "output"
        export_contraster(place / kind, path, made, size=config.size, feature=feature, precision=config.precision)
    elif kind == "captioner":
        captions = {name: run[name] for name in ("held", "captions")}
        size = config.size or run["config"]["size"]
        export_captioner(place / kind, path, made | captions, size=size, precision=config.precision)
    elif config.feature in ("decoder", "trunk"):
        raise CallerError(f"{place} is a run of pretraining: --feature {config.feature} is for one of contrast")
    else:
        backbone = HubBackbone(
            str(place / kind),
            layer=config.layer,
            feature=config.feature,  # type: ignore[arg-type]  # the others were refused above
            size=config.size,
            supervision=made["supervision"],
            device="cpu",
        )
        export_backbone(backbone, path, made, config.precision)
    return json.loads(Path(path).with_suffix(".json").read_text("utf-8"))


def _called(place: str | None) -> str | None:
    """A backbone, a tower or a file without the folders it lies in; an id of the hub has none."""
    if place is None:
        return None
    kind, colon, rest = place.rpartition(":")
    path = Path(rest).expanduser()
    return kind + colon + path.name if path.is_absolute() or path.exists() else place


def _views_of(kind: str, config: dict[str, Any]) -> int:
    """How many of a photo a step looks at."""
    if kind == "backbone":
        return 2 + config["views"]["smalls"]
    if kind == "captioner":
        return 1 + (config["pull"]["cluster"] > 0)
    return 2 if kind == "contraster" else 1


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CallerError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(about, dict):
        raise CallerError(f"{path} should hold one JSON object")
    return about


def export_backbone(
    backbone: HubBackbone, path: str | Path, about: dict[str, Any] | None = None, precision: Precision = "float32"
) -> Path:
    """Write a backbone, its layer and feature fixed, to `path` (FILE.onnx) and its card beside it.

    `about` is added to the card: the weights' licence, the data behind them.
    """
    reading = dict(zip(("layer", "feature", "norm"), backbone.reading, strict=True))
    card = {
        "name": backbone.name,
        "kind": "backbone",
        "supervision": backbone.supervision,
        "patch": backbone.patch,
        "dim": backbone.dim,
        "mean": backbone.mean,
        "std": backbone.std,
        "size": backbone.size,
        "square": backbone.square,
        "architecture": asdict(backbone.network.config) | reading,  # what random:FILE.onnx draws weights for
        "from_sha256": backbone.weights_sha256,
        **(about or {}),
    }
    return write_onnx(_Reading(backbone), path, card, unit=backbone.patch, outputs=("features",), precision=precision)


def export_outliner(
    folder: str | Path,
    path: str | Path,
    size: float,
    about: dict[str, Any] | None = None,
    precision: Precision = "float32",
) -> Path:
    """Write what a run of outlines left in `folder`; a photo is looked at with its shorter side brought to `size`, and
    to twice that if it has so many pixels."""
    network, mean, std = load_outliner(folder)
    card = {
        "name": Path(path).stem,
        "kind": "outliner",
        "supervision": "none",
        "mean": mean,
        "std": std,
        "size": int(size),
        "architecture": asdict(network.config),
        **(about or {}),
    }
    return write_onnx(_Strength(network), path, card, unit=max(STRIDES), outputs=("outlines",), precision=precision)


def export_segmenter(
    folder: str | Path,
    path: str | Path,
    size: int,
    about: dict[str, Any] | None = None,
    precision: Precision = "float32",
) -> Path:
    """Write a segmenter that a run left in `folder`; `size` is what a photo's shorter side is brought to."""
    segmenter, mean, std = load_segmenter(folder)
    card = {
        "name": Path(path).stem,
        "kind": "segmenter",
        "supervision": "none",
        "queries": segmenter.config.queries,
        "mean": mean,
        "std": std,
        "size": size,
        "architecture": asdict(segmenter.config),
        **(about or {}),
    }
    outputs = ("found", "masks", "contains")
    return write_onnx(segmenter, path, card, unit=max(STRIDES), outputs=outputs, precision=precision, share=0.9)


def export_contraster(
    folder: str | Path,
    path: str | Path,
    about: dict[str, Any] | None = None,
    *,
    size: int | None = None,
    feature: Literal["output", "decoder", "trunk"] = "output",
    precision: Precision = "float32",
) -> Path:
    """Write what a run of contrasting left in `folder`: a backbone that also says what stands out. Its features are its
    vectors; or what these are made from, the `decoder`, which is what the paper probes; or those of the `trunk`, and
    what vectors are made from goes beside them, as `meaning`: one pass for both."""
    network, mean, std = load_contraster(folder)
    trunk = network.config.trunk
    card = {
        "name": Path(path).stem,
        "kind": "backbone",
        "supervision": "none",
        "patch": network.patch,
        "dim": {"output": network.config.dim, "decoder": network.width, "trunk": trunk.dim}[feature],
        "mean": mean,
        "std": std,
        "size": size,
        "square": False,
        "salience": True,
        **({"meaning": network.width} if feature == "trunk" else {}),
        **(about or {}),
    }
    outputs = ("features", "salience", "meaning") if feature == "trunk" else ("features", "salience")
    return write_onnx(_Meaning(network, feature), path, card, unit=network.patch, outputs=outputs, precision=precision)


def export_captioner(
    folder: str | Path,
    path: str | Path,
    about: dict[str, Any] | None = None,
    *,
    size: int | None = None,
    precision: Precision = "float32",
) -> Path:
    """Write what a run of captions left in `folder`: what looks, what reads, how text is cut into pieces, and a card
    that has the other three's sha256. The card is written last."""
    folder, path = Path(folder), Path(path)
    network, mean, std = load_captioner(folder)
    try:
        measured = json.loads((folder / "card.json").read_text("utf-8"))
        tokenizer = (folder / "tokenizer.json").read_bytes()
    except (OSError, ValueError) as error:
        raise CallerError(f"{folder} is no whole captioner ({error}): go on with its run, --resume") from None
    if path.suffix != ".onnx":
        raise CallerError(f"a language is written to FILE.onnx, got {path}")
    context = network.config.text.context
    batch, length = (torch.export.Dim(name, min=1, max=most) for name, most in (("batch", 4096), ("length", context)))
    form = network.config.text
    pieces = form.pieces if isinstance(form, TextConfig) else json.loads(form.settings)["vocab_size"]
    tried = np.random.default_rng(0).integers(1, pieces, (3, max(context - 1, 1)))
    tried[1, len(tried[1]) // 2 :] = 0
    tokens = Entry("tokens", torch.ones(2, min(6, context), dtype=torch.long), {0: batch, 1: length}, tried)
    text = path.with_suffix(".text.onnx")
    text_sha256, text_error = write_graph(network.text, text, tokens, outputs=("text",), precision=precision)
    write_atomically(path.with_suffix(".tokenizer.json"), tokenizer)
    card = {
        "name": path.stem,
        "kind": "language",
        "supervision": "captions",
        "patch": network.patch,
        "dim": network.config.dim,
        "mean": mean,
        "std": std,
        "size": size,
        "square": False,
        "context": context,
        "text_sha256": text_sha256,
        "text_error": float(f"{text_error:.1e}"),
        "tokenizer_sha256": hashlib.sha256(tokenizer).hexdigest(),
        **measured,
        "architecture": asdict(network.config),
        **(about or {}),
    }
    outputs = ("words", "whole") if network.head is None else ("words", "whole", "groups")
    return write_onnx(_Wording(network), path, card, unit=network.patch, outputs=outputs, precision=precision)


class _Strength(nn.Module):
    """Outlines as 0 ... 1."""

    def __init__(self, network: Outliner) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels).sigmoid()


class _Wording(nn.Module):
    """Patches raw, the photo as a whole, and clusters where there are any; channels last."""

    def __init__(self, network: Captioner) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        words, groups = self.network(pixels)
        said = words.permute(0, 2, 3, 1), whole(words)
        return said if groups is None else (*said, groups.permute(0, 2, 3, 1))


class _Meaning(nn.Module):
    """Vectors, or what they are made from, or the trunk's features; salience as a probability; and, beside the trunk's,
    what vectors are made from."""

    def __init__(self, network: Contraster, feature: str) -> None:
        super().__init__()
        self.network, self.feature = network, feature

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        patches = self.network.trunk.patches(pixels)  # type: ignore[operator]
        decoded = self.network.decoded_from(patches)
        meant = self.network.meant(decoded)
        salience, decoded = meant.salience.sigmoid(), decoded.permute(0, 2, 3, 1)
        if self.feature == "trunk":
            return patches, salience, decoded
        return decoded if self.feature == "decoder" else meant.vectors, salience


class _Reading(nn.Module):
    """A backbone's network from pixels to the features it was opened for, in float32 on the CPU."""

    def __init__(self, backbone: HubBackbone) -> None:
        super().__init__()
        self.network, self.reading = copy.deepcopy(backbone.network).float().cpu(), backbone.reading

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.patches(pixels, *self.reading)
