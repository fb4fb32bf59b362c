"""Networks in torch: published vision transformers from the Hugging Face hub, a folder or a file, and what a run of
ours has learned; and the same networks with weights just drawn, to measure the others against.

In: RGB pixels (B, H, W, 3) uint8, of any size. Out: features (B, h, w, D) float32 of one layer. `learn/networks/` says
which files are read; it is the one room this file looks up to, because the network lives where it is trained.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from hedgerow.backbones.embedded import SHIPPED, read_card
from hedgerow.backbones.fit import prepare
from hedgerow.config import CallerError, UsageError
from hedgerow.learn.networks.checkpoints import load_network
from hedgerow.learn.networks.devices import torch_device
from hedgerow.learn.networks.pyramid import Pyramid, PyramidConfig
from hedgerow.learn.networks.vit import ACTIVATIONS, Feature, Positions, ViT, ViTConfig

SUPERVISIONS = ("none", "captions", "labels")


class HubBackbone:
    """A network's features; see `hedgerow.backbones.Backbone`.

    where         ID on the hub, FOLDER or FILE
    layer         a block, counted from 0, or from the end by a negative number; a pyramid has only one
    feature       of a transformer key (the default: HASSOD clusters the last block's keys), query, value or
                  output; heads concatenated, keys and queries before any rotation. The last block's output has the
                  model's last norm where transformers' last_hidden_state has it (all but CLIP); an earlier block's
                  output is bare, as in hidden_states. Of a pyramid output
    norm          puts the last norm on an output, or leaves it off, whatever the model does
    size, square  see `fit.py`
    device        auto takes cuda, else mps, else cpu
    dtype         float32, bfloat16 or float16
    heads         for a release's file whose heads are not 64 wide
    supervision   what the weights learned from, for those that do not tell
    """

    weights_sha256: str | None

    def __init__(
        self,
        where: str,
        *,
        layer: int = -1,
        feature: Feature | None = None,
        norm: bool | None = None,
        size: int | None = None,
        square: bool = False,
        device: str = "auto",
        dtype: str = "float32",
        heads: int | None = None,
        supervision: str | None = None,
    ) -> None:
        path, short = fetched(where)
        found = load_network(path, heads)
        self.supervision = _supervision(where, short, found.supervision, supervision)
        self.weights_sha256 = found.sha256
        self._take(f"hub:{short}", found.network, (layer, feature, norm), device, dtype)
        self.mean, self.std = found.mean, found.std
        self.size, self.square = size, square

    def _take(
        self,
        name: str,
        network: ViT | Pyramid,
        reading: tuple[int, Feature | None, bool | None],
        device: str,
        dtype: str,
    ) -> None:
        """The network and what is read of it."""
        layer, asked, norm = reading
        feature: Feature = asked or network.FEATURES[0]
        if feature not in network.FEATURES:
            raise UsageError(f"feature is one of {', '.join(network.FEATURES)}, got {feature}")
        if dtype not in ("float32", "bfloat16", "float16"):
            raise UsageError(f"dtype is float32, bfloat16 or float16, got {dtype}")
        if not -network.layers <= layer < network.layers:
            raise UsageError(f"{name} has layers 0 to {network.layers - 1}, or -{network.layers} to -1; got {layer}")
        told = f"&norm={norm}".lower() if norm is not None else ""
        self.name = f"{name}?layer={layer % network.layers}&feature={feature}{told}"
        self.device = torch_device(device)
        self.dtype = getattr(torch, dtype)
        self.network = network.to(self.device, self.dtype)
        self.patch, self.dim = network.config.patch, network.config.dim
        self.reading = layer, feature, norm

    @torch.inference_mode()
    def features(self, pixels: np.ndarray) -> np.ndarray:
        parts = []
        for batch in prepare(pixels, self.patch, self.mean, self.std, size=self.size, square=self.square):
            inside = torch.from_numpy(batch).to(self.device, self.dtype)
            parts.append(self.network.patches(inside, *self.reading).float().cpu().numpy())
        return np.concatenate(parts)


class RandomBackbone(HubBackbone):
    """The network of another backbone, none of its training: weights are drawn afresh.

    like    hub:..., or FILE.onnx whose card tells its architecture
    seed    of the draw

    The other options are those of the backbone it is like, and where they are not given its own hold; what it learned
    from (`supervision`) and onnxruntime's `threads` are taken, too, and say nothing here.
    """

    def __init__(
        self,
        like: str,
        *,
        seed: int = 0,
        layer: int | None = None,
        feature: Feature | None = None,
        norm: bool | None = None,
        size: int | None = None,
        square: bool | None = None,
        device: str = "auto",
        dtype: str = "float32",
        heads: int | None = None,
        supervision: str | None = None,
        threads: int | None = None,
    ) -> None:
        if seed < 0:
            raise UsageError(f"seed is at least 0, got {seed}")
        card: dict[str, Any] = {}
        reading: tuple[int, Feature | None, bool | None] = (-1, None, None)
        if like.startswith("hub:"):
            path, short = fetched(like.removeprefix("hub:"))
            found = load_network(path, heads)
            config, self.mean, self.std, short = found.network.config, found.mean, found.std, f"hub:{short}"
        elif like == "embedded" or like.endswith(".onnx"):
            model = Path(SHIPPED if like == "embedded" else like).expanduser()
            card = read_card(model)
            config, reading = _told_by_card(card, model.with_suffix(".json"))
            self.mean, self.std, short = tuple(card["mean"]), tuple(card["std"]), card["name"].partition("?")[0]
        else:
            raise UsageError(f"random: draws weights for hub:... and FILE.onnx; {like} is no network")
        generator = torch.Generator().manual_seed(seed)
        network = Pyramid(config, generator) if isinstance(config, PyramidConfig) else ViT(config, generator)
        network.eval().requires_grad_(False)
        self.supervision, self.weights_sha256 = "none", None
        asked = (
            reading[0] if layer is None else layer,
            reading[1] if feature is None else feature,
            reading[2] if norm is None else norm,
        )
        self._take(f"random:{short}", network, asked, device, dtype)
        self.name += f"&seed={seed}"
        self.size = card.get("size") if size is None else size
        self.square = bool(card.get("square")) if square is None else square


def _told_by_card(
    card: dict[str, Any], file: Path
) -> tuple[ViTConfig | PyramidConfig, tuple[int, Feature, bool | None]]:
    """The network an ONNX file was written from, and what is read of it."""
    told = card.get("architecture")
    if not isinstance(told, dict):
        raise CallerError(f"{file} does not tell the architecture: write it again with this version's export_backbone")
    default: Any = PyramidConfig() if "widths" in told else ViTConfig()
    kinds: dict[str, Any] = {field.name: type(getattr(default, field.name)) for field in fields(default)}
    wider: dict[Any, Any] = {float: (int, float), tuple: list}  # as JSON has them
    wanted: dict[str, Any] = {name: wider.get(kind, kind) for name, kind in kinds.items()}
    for name, kind in {**wanted, "layer": int, "feature": str, "norm": (bool, type(None))}.items():
        known = {"positions": get_args(Positions), "activation": ACTIVATIONS}.get(name)
        if not isinstance(told.get(name, ...), kind) or (known and told[name] not in known):
            raise CallerError(f"{file} tells no architecture known here: {name} is {told.get(name)!r}")
    inside = {name: tuple(told[name]) if kinds[name] is tuple else told[name] for name in kinds}
    config = type(default)(**inside)
    if not _can_be(config) or (config.patch, config.dim) != (card["patch"], card["dim"]):
        raise CallerError(f"{file} tells an architecture that cannot be, or not that of its own patch and dim: {told}")
    return config, (told["layer"], told["feature"], told["norm"])


def _can_be(config: ViTConfig | PyramidConfig) -> bool:
    if isinstance(config, PyramidConfig):
        numbers = (*config.widths, *config.depths, config.dim)
        whole = all(isinstance(number, int) and number >= 1 for number in numbers)
        return whole and len(config.widths) == len(config.depths) == 4
    least = min(config.patch, config.dim, config.depth, config.heads, config.hidden, config.side)
    return least >= 1 and config.dim % config.heads == 0


def fetched(where: str, beside: Sequence[str] = ()) -> tuple[Path, str]:
    """The folder or file, and what to call it: an id, or a file's own name without the folders of this machine. Files
    named in `beside` are fetched, too, where there are any; the first of them is needed."""
    path = Path(where).expanduser()
    if path.exists():
        return path, path.resolve().name
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", where) or where.startswith(".") or path.suffix in (".pth", ".safetensors"):
        raise CallerError(f"no such file or folder: {where} (an id on the hub has the form owner/name)")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    except ModuleNotFoundError:
        raise CallerError(
            "fetching from the hub needs huggingface-hub: install hedgerow with its extra [train]"
        ) from None
    wanted = ["config.json", "preprocessor_config.json", *beside]
    try:
        whole, index = "model.safetensors", "model.safetensors.index.json"  # large weights are in several files
        folder = Path(snapshot_download(where, allow_patterns=[*wanted, whole, index, "model-*-of-*.safetensors"]))
        if not any((folder / name).is_file() for name in (whole, index)):
            folder = Path(snapshot_download(where, allow_patterns=[*wanted, "pytorch_model.bin"]))
    except (OSError, ValueError, HfHubHTTPError) as error:  # offline, no such id, not allowed
        page = f"https://huggingface.co/{where}"
        reason = " ".join(str(error).split())[:160]
        files = ", ".join(["config.json", *beside[:1]])
        remedy = f"put {files} and model.safetensors from {page} into a folder and give hub:FOLDER"
        if isinstance(error, GatedRepoError):  # a kind of the next
            reason, remedy = "its licence has to be accepted", f"do so on {page}, then `hf auth login`"
        elif isinstance(error, RepositoryNotFoundError):
            reason, remedy = "no such id, or a private one", "check it; for a private one `hf auth login`"
        raise CallerError(f"{where} could not be fetched ({reason}): {remedy}") from None
    return folder, where


def _supervision(where: str, short: str, told: str | None, asked: str | None) -> str:
    """What the weights learned from: the kind of model tells, or a name with dino in it, or the caller must."""
    told = told or ("none" if "dino" in short.lower() else None)
    if asked is not None and asked not in SUPERVISIONS:
        raise UsageError(f"supervision is one of {', '.join(SUPERVISIONS)}, got {asked}")
    if told is None and asked is None:
        raise CallerError(f"{where} does not tell what it learned from: add supervision=none, captions or labels")
    return asked or told or ""
