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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hedgerow.backbones.hub import HubBackbone
from hedgerow.config import CallerError

CLOSE = 1e-3  # relative; float32 through 12 blocks differs by 1e-6 to 1e-5


def export_backbone(backbone: HubBackbone, path: str | Path, about: dict[str, Any] | None = None) -> Path:
    """Write a backbone, its layer and feature fixed, to `path` (FILE.onnx) and its card beside it.

    `about` is added to the card: the weights' licence, the data behind them.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise CallerError(f"a backbone is written to FILE.onnx, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".onnx.part")
    network = _Reading(backbone).eval()
    reading = dict(zip(("layer", "feature", "norm"), backbone.reading, strict=True))
    try:
        _export(network, backbone.patch, draft)
        _check(network, backbone.patch, draft)
        card = {
            "name": backbone.name,
            "supervision": backbone.supervision,
            "patch": backbone.patch,
            "dim": backbone.dim,
            "mean": backbone.mean,
            "std": backbone.std,
            "size": backbone.size,
            "square": backbone.square,
            "architecture": asdict(backbone.vit.config) | reading,  # what random:FILE.onnx draws weights for
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
        self.vit, self.reading = copy.deepcopy(backbone.vit).float().cpu(), backbone.reading

    def forward(self, pixels: Tensor) -> Tensor:
        return self.vit.patches(pixels, *self.reading)


def _export(network: nn.Module, patch: int, file: Path) -> None:
    """(B, 3, H, W) -> (B, h, w, D), batch, height and width free."""
    batch, h, w = (torch.export.Dim(name, min=1, max=4096) for name in ("batch", "h", "w"))
    quiet = logging.getLogger("torch.onnx._internal.exporter._registration")  # it warns that torchvision is absent
    before = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
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
    finally:
        quiet.setLevel(before)


def _check(network: nn.Module, patch: int, file: Path) -> None:
    import onnxruntime

    pixels = np.random.default_rng(0).standard_normal((1, 3, 5 * patch, 3 * patch), np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()
    found = onnxruntime.InferenceSession(file.read_bytes()).run(None, {"pixels": pixels})[0]
    worst = np.abs(found - expected).max() / np.abs(expected).max()
    if not worst < CLOSE:
        raise RuntimeError(f"the exported network differs from the one in torch by {worst:.1e} of its largest value")
