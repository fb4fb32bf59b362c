"""A network of ours as a folder that transformers reads: config.json, model.safetensors, preprocessor_config.json.

In: a `ViT` of the form transformers calls DINOv3 ViT, or a `Pyramid`, whose trunk it calls ResNet; they are what we
train. Out: the folder; `load_network` reads it, too. Each file is written beside its place and renamed. Of several
processes the first writes, and all are asked for their shares.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hedgerow.config import CallerError
from hedgerow.learn.networks.captioner import Captioner, CaptionerConfig
from hedgerow.learn.networks.contraster import Contraster, ContrasterConfig
from hedgerow.learn.networks.devices import rank
from hedgerow.learn.networks.outliner import Outliner, OutlinerConfig
from hedgerow.learn.networks.pyramid import Pyramid, PyramidConfig
from hedgerow.learn.networks.resnet import ResNetConfig
from hedgerow.learn.networks.segmenter import Segmenter, SegmenterConfig
from hedgerow.learn.networks.sharing import whole
from hedgerow.learn.networks.text import HubTextConfig, TextConfig
from hedgerow.learn.networks.vit import ViT, ViTConfig

TRUNKS: dict[str, Any] = {"pyramid": PyramidConfig, "transformer": ViTConfig, "resnet": ResNetConfig}
TEXTS: dict[str, Any] = {"own": TextConfig, "hub": HubTextConfig}
KINDS: dict[Any, str] = {
    Outliner: "hedgerow_outliner",
    Segmenter: "hedgerow_segmenter",
    Contraster: "hedgerow_contraster",
    Captioner: "hedgerow_captioner",
}
INSIDE = {
    "norm1": "norm1",
    "attn.proj": "attention.o_proj",
    "ls1.gamma": "layer_scale1.lambda1",
    "norm2": "norm2",
    "mlp.fc1": "mlp.up_proj",
    "mlp.fc2": "mlp.down_proj",
    "ls2.gamma": "layer_scale2.lambda1",
}
OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "register_tokens": "embeddings.register_tokens",
    "patch_embed.proj": "embeddings.patch_embeddings",
    "norm": "norm",
}


def save_network(network: ViT | Pyramid, folder: str | Path, mean: tuple[float, ...], std: tuple[float, ...]) -> Path:
    """Write the network, and the mean and std of the pixels it takes."""
    from safetensors.torch import save

    folder, tensors = Path(folder), whole(network.state_dict())
    if rank():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    if isinstance(network, Pyramid):
        described, processor = _resnet(network.config), "ConvNextImageProcessor"
    else:
        described, processor = _dinov3(network.config), "DINOv3ViTImageProcessorFast"
        tensors = _theirs(tensors, network.config.dim)
    pixels = {"image_mean": list(mean), "image_std": list(std), "image_processor_type": processor}
    _write(folder / "model.safetensors", save(tensors))
    _write(folder / "config.json", _json({**described, "dtype": "float32"}))
    _write(folder / "preprocessor_config.json", _json(pixels))
    return folder


def save_ours(
    network: Outliner | Segmenter | Contraster | Captioner,
    folder: str | Path,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Path:
    """A network that is ours alone: transformers has no such model."""
    from safetensors.torch import save

    folder, tensors = Path(folder), whole(network.state_dict())
    if rank():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    config = network.config
    kind = next(name for type_, name in KINDS.items() if isinstance(network, type_))
    trunk = next(name for name, type_ in TRUNKS.items() if isinstance(config.trunk, type_))
    described = {"model_type": kind, "trunk_kind": trunk, **asdict(config), "mean": mean, "std": std}
    if isinstance(config, CaptionerConfig):
        described["text_kind"] = next(name for name, type_ in TEXTS.items() if isinstance(config.text, type_))
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    _write(folder / "model.safetensors", save(tensors))
    _write(folder / "config.json", _json(described))
    return folder


def load_outliner(folder: str | Path) -> tuple[Outliner, tuple[float, ...], tuple[float, ...]]:
    """The network, frozen, and the mean and std of the pixels it takes."""
    return _load(Outliner, OutlinerConfig, folder)


def load_segmenter(folder: str | Path) -> tuple[Segmenter, tuple[float, ...], tuple[float, ...]]:
    """Likewise."""
    return _load(Segmenter, SegmenterConfig, folder)


def load_contraster(folder: str | Path) -> tuple[Contraster, tuple[float, ...], tuple[float, ...]]:
    """Likewise."""
    return _load(Contraster, ContrasterConfig, folder)


def load_captioner(folder: str | Path) -> tuple[Captioner, tuple[float, ...], tuple[float, ...]]:
    """Likewise."""
    return _load(Captioner, CaptionerConfig, folder)


def _load(network: Any, config: Any, folder: str | Path) -> Any:
    from safetensors.torch import load_file

    try:
        told = _in_tuples(json.loads((Path(folder) / "config.json").read_text("utf-8")))
        if told["model_type"] != KINDS[network]:
            raise ValueError(f"model_type is {told['model_type']}")
        trunk = TRUNKS[told["trunk_kind"]](**told["trunk"])
        own = {field.name: told[field.name] for field in fields(config) if field.name != "trunk"}
        if "text_kind" in told:
            own["text"] = TEXTS[told["text_kind"]](**told["text"])
        made = network(config(trunk=trunk, **own))
        tensors, shapes = load_file(Path(folder) / "model.safetensors"), made.state_dict()
        for name, value in tensors.items():  # numbers that stood alone in files of before are rows of one
            if value.numel() == 1 and name in shapes:
                tensors[name] = value.reshape(shapes[name].shape)
        made.load_state_dict(tensors)
        return made.eval().requires_grad_(False), told["mean"], told["std"]
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise CallerError(f"{folder} holds no {network.__name__.lower()} of ours ({reason})") from None


def _in_tuples(value: Any) -> Any:
    """JSON has lists where configurations have tuples."""
    if isinstance(value, dict):
        return {key: _in_tuples(inner) for key, inner in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _dinov3(config: ViTConfig) -> dict[str, Any]:
    assert (config.positions, config.layer_scale, config.class_token, config.gated) == ("rope", True, True, False)
    return {
        "architectures": ["DINOv3ViTModel"],
        "model_type": "dinov3_vit",
        "patch_size": config.patch,
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden,
        "num_register_tokens": config.registers,
        "hidden_act": config.activation,
        "layer_norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
        "key_bias": True,
        "use_gated_mlp": False,
    }


def _resnet(config: PyramidConfig) -> dict[str, Any]:
    return {
        "architectures": ["ResNetModel"],
        "model_type": "resnet",
        "embedding_size": config.widths[0],
        "hidden_sizes": list(config.widths),
        "depths": list(config.depths),
        "layer_type": "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "neck": config.dim,  # ours: transformers has no use for it
    }


def _theirs(tensors: dict[str, Tensor], dim: int) -> dict[str, Tensor]:
    """A vision transformer's tensors under transformers' names; it keeps query, key and value apart."""
    # they ask for a token that hides patches, which learning has and using has not
    named = {"embeddings.mask_token": torch.zeros(1, 1, dim)}
    for key, value in tensors.items():
        if not key.startswith("blocks."):
            layer = next(ours for ours in OUTSIDE if key == ours or key.startswith(f"{ours}."))
            named[OUTSIDE[layer] + key.removeprefix(layer)] = value
            continue
        _, number, inside = key.split(".", 2)
        if inside.startswith("attn.qkv."):
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                named[f"layer.{number}.attention.{part}_proj.{inside[9:]}"] = piece.contiguous()
            continue
        layer = next(ours for ours in INSIDE if inside == ours or inside.startswith(f"{ours}."))
        named[f"layer.{number}.{INSIDE[layer]}{inside.removeprefix(layer)}"] = value
    return named


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
