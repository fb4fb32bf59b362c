"""Trained networks as ONNX files with a card: what the package runs without torch.

In: a network in torch. Out: FILE.onnx and FILE.json, as `hedgerow.backbones.embedded` reads them. Each is checked
against the network in onnxruntime, at another batch and size than it was traced at, before it gets its name.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hedgerow.backbones.embedded import read_card
from hedgerow.backbones.hub import HubBackbone
from hedgerow.config import CallerError, Ship
from hedgerow.learn.networks.pyramid import Pyramid

Precision = Literal["float32", "float16", "int8"]
# of the largest value: float32 through 12 blocks differs by 1e-6 to 1e-5, weights of 11 bits by 1e-4 or so in a
# transformer and by 1e-3 in an untrained pyramid
CLOSE: dict[Precision, float] = {"float32": 1e-4, "float16": 2e-3, "int8": 0.1}
LARGE = 1024  # weights of fewer numbers stay as they are


def ship_run(place: Path, path: str | Path, config: Ship) -> dict[str, Any]:
    """Write the backbone of a run; its card says how it came about. Returns the card."""
    if not (place / "run.json").is_file() or not (place / "backbone").is_dir():
        raise CallerError(f"{place} holds no run that can be shipped: run.json and backbone/ are looked for")
    run = json.loads((place / "run.json").read_text("utf-8"))
    log = (place / "log.jsonl").read_text("utf-8").splitlines()
    about = _read_about(config.about) if config.about else {}
    backbone = HubBackbone(
        str(place / "backbone"),
        layer=config.layer,
        feature=config.feature,
        size=config.size,
        supervision="none",  # nothing but photos goes into a run
        device="cpu",
    )
    last = json.loads(log[-1]) if log else {"step": 0, "seconds": 0.0}
    made = {
        "name": Path(path).stem,
        "recipe": run["config"]["recipe"],
        "photos": run["photos"],
        "views": last["step"] * run["config"]["batch"] * (2 + run["config"]["views"]["smalls"]),
        "steps": f"{last['step']} of {run['steps']}",
        "hours": round(last["seconds"] / 3600, 3),
        "hardware": f"{run['processes']} x {run['device']}",
        "parameters": run["parameters"],
        "start": run["start"],
        "run": run["config"],
    }
    export_backbone(backbone, path, {**made, **about}, config.precision)
    return read_card(Path(path))


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

    `about` is added to the card: the weights' licence, the data behind them. Weights of float16 are widened when the
    file is opened, so what is computed stays float32; int8 also computes with them.
    """
    path = Path(path)
    if precision == "int8" and isinstance(backbone.network, Pyramid):
        raise CallerError("int8 is of matrix products, and a pyramid is convolutions: give float32 or float16")
    if path.suffix != ".onnx":
        raise CallerError(f"a backbone is written to FILE.onnx, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".onnx.part")
    network = _Reading(backbone).eval()
    reading = dict(zip(("layer", "feature", "norm"), backbone.reading, strict=True))
    try:
        _export(network, backbone.patch, draft)
        _narrow(draft, precision)
        error = _error(network, backbone.patch, draft)
        if not error < CLOSE[precision]:
            raise RuntimeError(
                f"the exported network differs from the one in torch by {error:.1e} of its largest value"
            )
        card = {
            "name": backbone.name,
            "supervision": backbone.supervision,
            "patch": backbone.patch,
            "dim": backbone.dim,
            "mean": backbone.mean,
            "std": backbone.std,
            "precision": precision,
            "error": float(f"{error:.1e}"),
            "size": backbone.size,
            "square": backbone.square,
            "architecture": asdict(backbone.network.config) | reading,  # what random:FILE.onnx draws weights for
            "weights_sha256": hashlib.sha256(draft.read_bytes()).hexdigest(),
            "from_sha256": backbone.weights_sha256,
            **(about or {}),
        }
        os.replace(draft, path)
        draft.write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        os.replace(draft, path.with_suffix(".json"))
    finally:
        draft.unlink(missing_ok=True)
    return path


class _Reading(nn.Module):
    """A backbone's network from pixels to the features it was opened for, in float32 on the CPU."""

    def __init__(self, backbone: HubBackbone) -> None:
        super().__init__()
        self.network, self.reading = copy.deepcopy(backbone.network).float().cpu(), backbone.reading

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.patches(pixels, *self.reading)


def _export(network: nn.Module, patch: int, file: Path) -> None:
    """(B, 3, H, W) -> (B, h, w, D), batch, height and width free."""
    batch, h, w = (torch.export.Dim(name, min=1, max=4096) for name in ("batch", "h", "w"))
    with _silent(logging.getLogger("torch.onnx._internal.exporter._registration")):  # it warns of torchvision's absence
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, 4 * patch, 6 * patch),),
            file,
            dynamo=True,
            opset_version=20,  # the oldest with GELU as one operator; onnxruntime 1.18 runs it
            external_data=False,  # one file, not weights in a second
            input_names=["pixels"],
            output_names=["features"],
            dynamic_shapes=[{0: batch, 2: patch * h, 3: patch * w}],
            verbose=False,
        )


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _narrow(file: Path, precision: Precision) -> None:
    """Bring the weights in an ONNX file to fewer bits."""
    if precision == "float32":
        return
    if precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with _silent(logging.getLogger()):  # it advises on other networks than ours
            quantize_dynamic(file, file, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
        return
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(file)
    graph, casts = model.graph, []
    for place, weight in enumerate(graph.initializer):
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < LARGE:
            continue
        half = numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half")
        casts.append(helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))
        graph.initializer[place].CopyFrom(half)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, file)


def _error(network: nn.Module, patch: int, file: Path) -> float:
    """How far onnxruntime and torch are apart, as a share of the largest value."""
    import onnxruntime

    pixels = np.random.default_rng(0).standard_normal((1, 3, 5 * patch, 3 * patch), np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()
    found = onnxruntime.InferenceSession(file.read_bytes()).run(None, {"pixels": pixels})[0]
    return float(np.abs(found - expected).max() / np.abs(expected).max())
