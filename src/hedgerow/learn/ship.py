"""What a run has learned, as a file that the package runs without torch.

In: a run's folder, or a network. Out: FILE.onnx and its card FILE.json, as `hedgerow.backbones.embedded` and
`hedgerow.predict` read them.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hedgerow.backbones.hub import HubBackbone
from hedgerow.config import CallerError, Ship
from hedgerow.learn.export import Precision, write_onnx
from hedgerow.learn.networks.contraster import Contraster
from hedgerow.learn.networks.saving import load_contraster, load_segmenter
from hedgerow.learn.networks.segmenter import STRIDES
from hedgerow.learn.sittings import FREE


def ship_run(place: Path, path: str | Path, config: Ship) -> dict[str, Any]:
    """Write the backbone, or the segmenter, of a run; its card says how it came about. Returns the card."""
    about = _read_about(config.about) if config.about else {}
    kind = next((name for name in ("segmenter", "contraster", "backbone") if (place / name).is_dir()), None)
    if kind is None or not (place / "run.json").is_file():
        raise CallerError(
            f"{place} holds no run that can be shipped: run.json and backbone/, segmenter/ or contraster/ are wanted"
        )
    run = json.loads((place / "run.json").read_text("utf-8"))
    log = (place / "log.jsonl").read_text("utf-8").splitlines()
    last = json.loads(log[-1]) if log else {"step": 0, "seconds": 0.0}
    views = 2 + run["config"]["views"]["smalls"] if kind == "backbone" else {"segmenter": 1, "contraster": 2}[kind]
    made = {
        "name": Path(path).stem,
        "recipe": run["config"]["recipe"],
        "photos": run["photos"],
        "views": last["step"] * run["config"]["batch"] * views,
        "steps": f"{last['step']} of {run['steps']}",
        "hours": round(last["seconds"] / 3600, 3),
        "hardware": f"{run['processes']} x {run['device']}",
        "parameters": run["parameters"],
        "start": run["start"],
        "supervision": run.get("supervision", "none"),  # into pretraining go photos alone
        "run": {name: value for name, value in run["config"].items() if name not in FREE},  # what does not matter stays
        **about,
    }
    if kind == "segmenter":
        size = config.size or run["config"]["size"]
        export_segmenter(place / kind / config.which, path, size, made, config.precision)
    elif kind == "contraster":
        decoder = config.feature == "decoder"
        export_contraster(place / kind, path, made, size=config.size, decoder=decoder, precision=config.precision)
    elif config.feature == "decoder":
        raise CallerError(f"{place} is a run of pretraining: only one of contrast has a decoder, leave --feature out")
    else:
        backbone = HubBackbone(
            str(place / kind),
            layer=config.layer,
            feature=config.feature,
            size=config.size,
            supervision=made["supervision"],
            device="cpu",
        )
        export_backbone(backbone, path, made, config.precision)
    return json.loads(Path(path).with_suffix(".json").read_text("utf-8"))


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
    decoder: bool = False,
    precision: Precision = "float32",
) -> Path:
    """Write what a run of contrasting left in `folder`: a backbone that also says what stands out. With `decoder` its
    features are what the vectors are made from: that is what the paper probes."""
    network, mean, std = load_contraster(folder)
    card = {
        "name": Path(path).stem,
        "kind": "backbone",
        "supervision": "none",
        "patch": network.patch,
        "dim": network.width if decoder else network.config.dim,
        "mean": mean,
        "std": std,
        "size": size,
        "square": False,
        "salience": True,
        **(about or {}),
    }
    outputs = ("features", "salience")
    return write_onnx(_Meaning(network, decoder), path, card, unit=network.patch, outputs=outputs, precision=precision)


class _Meaning(nn.Module):
    """Vectors, or what they are made from, and salience as a probability."""

    def __init__(self, network: Contraster, decoder: bool) -> None:
        super().__init__()
        self.network, self.decoder = network, decoder

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        decoded = self.network.decoded(pixels)
        meant = self.network.meant(decoded)
        return decoded.permute(0, 2, 3, 1) if self.decoder else meant.vectors, meant.salience.sigmoid()


class _Reading(nn.Module):
    """A backbone's network from pixels to the features it was opened for, in float32 on the CPU."""

    def __init__(self, backbone: HubBackbone) -> None:
        super().__init__()
        self.network, self.reading = copy.deepcopy(backbone.network).float().cpu(), backbone.reading

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.patches(pixels, *self.reading)
