"""Published vision transformers in torch, from the Hugging Face hub, a folder or a file.

In: RGB pixels (B, H, W, 3) uint8, of any size. Out: features (B, h, w, D) float32 of one layer. `learn/networks/` says
which files are read; it is the one room this file looks up to, because the network lives where it is trained.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from hedgerow.backbones.fit import prepare
from hedgerow.config import CallerError
from hedgerow.learn.networks.checkpoints import load_vit
from hedgerow.learn.networks.devices import torch_device
from hedgerow.learn.networks.vit import Feature

SUPERVISIONS = ("none", "captions", "labels")


class HubBackbone:
    """A vision transformer's features; see `hedgerow.backbones.Backbone`.

    where         ID on the hub, FOLDER or FILE
    layer         a block, counted from 0, or from the end by a negative number
    feature       key (SOHES and HASSOD cluster the last block's keys), query, value or output; heads concatenated, keys
                  and queries before any rotation. The last block's output has the model's last norm where transformers'
                  last_hidden_state has it (all but CLIP); an earlier block's output is bare, as in hidden_states
    norm          puts the last norm on an output, or leaves it off, whatever the model does
    size, square  see `fit.py`
    device        auto takes cuda, else mps, else cpu
    dtype         float32, bfloat16 or float16
    heads         for a release's file whose heads are not 64 wide
    supervision   what the weights learned from, for those that do not tell
    """

    def __init__(
        self,
        where: str,
        *,
        layer: int = -1,
        feature: Feature = "key",
        norm: bool | None = None,
        size: int | None = None,
        square: bool = False,
        device: str = "auto",
        dtype: str = "float32",
        heads: int | None = None,
        supervision: str | None = None,
    ) -> None:
        if feature not in get_args(Feature):
            raise CallerError(f"feature is one of {', '.join(get_args(Feature))}, got {feature}")
        if dtype not in ("float32", "bfloat16", "float16"):
            raise CallerError(f"dtype is float32, bfloat16 or float16, got {dtype}")
        path, short = _fetch(where)
        found = load_vit(path, heads)
        depth = found.vit.config.depth
        if not -depth <= layer < depth:
            raise CallerError(f"{where} has layers 0 to {depth - 1}, or -{depth} to -1; got {layer}")
        self.supervision = _supervision(where, short, found.supervision, supervision)
        self.weights_sha256 = found.sha256
        self.name = (
            f"hub:{short}?layer={layer % depth}&feature={feature}{'' if norm is None else f'&norm={norm}'.lower()}"
        )
        self.device = torch_device(device)
        self.dtype = getattr(torch, dtype)
        self.vit = found.vit.to(self.device, self.dtype)
        self.patch, self.dim = self.vit.config.patch, self.vit.config.dim
        self.mean, self.std = found.mean, found.std
        self.size, self.square = size, square
        self.reading = (layer, feature, norm)

    @torch.inference_mode()
    def features(self, pixels: np.ndarray) -> np.ndarray:
        parts = []
        for batch in prepare(pixels, self.patch, self.mean, self.std, size=self.size, square=self.square):
            inside = torch.from_numpy(batch).to(self.device, self.dtype)
            parts.append(self.vit.patches(inside, *self.reading).float().cpu().numpy())
        return np.concatenate(parts)


def _fetch(where: str) -> tuple[Path, str]:
    """The folder or file, and what to call it: an id, or a file's own name without the folders of this machine."""
    path = Path(where).expanduser()
    if path.exists():
        return path, path.resolve().name
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", where) or where.startswith(".") or path.suffix in (".pth", ".safetensors"):
        raise CallerError(f"no such file or folder: {where} (an id on the hub has the form owner/name)")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ModuleNotFoundError:
        raise CallerError("fetching from the hub needs huggingface-hub: pip install hedgerow[train]") from None
    wanted = ["config.json", "preprocessor_config.json"]
    try:
        folder = Path(snapshot_download(where, allow_patterns=[*wanted, "model.safetensors"]))
        if not (folder / "model.safetensors").is_file():
            folder = Path(snapshot_download(where, allow_patterns=[*wanted, "pytorch_model.bin"]))
    except (OSError, ValueError, HfHubHTTPError) as error:  # offline, no such id, not allowed
        reason = str(error).strip().splitlines()[0][:160]
        raise CallerError(
            f"{where} could not be fetched ({reason}): put config.json and model.safetensors from "
            f"https://huggingface.co/{where} into a folder and give hub:FOLDER"
        ) from None
    return folder, where


def _supervision(where: str, short: str, told: str | None, asked: str | None) -> str:
    """What the weights learned from: the kind of model tells, or a name with dino in it, or the caller must."""
    told = told or ("none" if "dino" in short.lower() else None)
    if asked is not None and asked not in SUPERVISIONS:
        raise CallerError(f"supervision is one of {', '.join(SUPERVISIONS)}, got {asked}")
    if told is None and asked is None:
        raise CallerError(f"{where} does not tell what it learned from: add supervision=none, captions or labels")
    return asked or told or ""
