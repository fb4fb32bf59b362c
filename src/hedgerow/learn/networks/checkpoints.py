"""Weights into our networks: from a folder of the Hugging Face hub or of a run of ours, or a release's own file.

In: a folder with config.json and model.safetensors, in one file or several (or pytorch_model.bin), as transformers 4 or
5 writes it; or a file of the DINO, DINOv2 or DINOv3 releases, or a whole training checkpoint of theirs (its teacher is
taken). Out: `Pretrained`, a vision transformer, or a pyramid of ours.

The tensors' shapes tell the architecture; config.json adds what shapes cannot tell (heads, epsilon, activation) and
must agree with them. Every tensor must be used, or be known to be no part of the image trunk: one that is missing or
left over is an error. Pickles are read as tensors only (`weights_only`), so no file runs code here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from hedgerow.config import CallerError
from hedgerow.learn.networks.pyramid import Pyramid, PyramidConfig
from hedgerow.learn.networks.vit import ViT, ViTConfig

Pixels = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of R, G, B in [0, 1]
IMAGENET: Pixels = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SATELLITE: Pixels = (0.430, 0.411, 0.296), (0.213, 0.156, 0.143)  # DINOv3's README, for the sat493m weights
OPENAI: Pixels = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF: Pixels = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
INDEX = "model.safetensors.index.json"  # of large weights: which tensor is in which file beside it


@dataclass(frozen=True)
class Family:
    """What holds for one kind of model where config.json says nothing: the defaults of transformers' configurations."""

    positions: Literal["bicubic", "bicubic-antialias", "bilinear-antialias", "rope"] = "bicubic"
    norm_eps: float = 1e-6
    activation: str = "gelu"
    last_norm: bool = True
    pixels: Pixels = IMAGENET
    supervision: str | None = None  # None: this kind is trained in several ways
    heads: int | None = None  # None: 64 channels a head
    biasless: tuple[str, ...] = ()  # layers the kind gives no bias
    beside: tuple[str, ...] = (
        "mask_token",
        "embeddings.mask_token",
        "pooler.",
    )  # tensors that are no part of the trunk


DINO2 = Family(supervision="none")
SIGLIP = Family(activation="gelu_pytorch_tanh", pixels=HALF, supervision="captions", heads=12, beside=("head.",))
FAMILIES = {
    "dino": Family(),  # the release's own files; MAE's have the same form
    "vit": Family(norm_eps=1e-12),
    "dinov2": DINO2,
    "dinov2_with_registers": replace(DINO2, positions="bicubic-antialias"),
    "dinov3_vit": replace(
        DINO2,
        positions="rope",
        norm_eps=1e-5,
        biasless=("attn.qkv", "attn.k"),
        beside=(*DINO2.beside, "local_cls_norm."),
    ),
    "clip": Family(
        norm_eps=1e-5,
        activation="quick_gelu",
        last_norm=False,
        pixels=OPENAI,
        supervision="captions",
        heads=12,
        biasless=("patch_embed.proj",),
        beside=("embeddings.position_ids",),
    ),
    "siglip": replace(
        SIGLIP, beside=("head.", "embeddings.position_ids")
    ),  # SigLIP 2 of fixed size calls itself siglip
    "siglip2": replace(SIGLIP, positions="bilinear-antialias"),
    "resnet": Family(supervision="none"),  # those with a neck, which are ours; others are not read
}
BIAS_SETTINGS = {
    "qkv_bias": ("attn.q", "attn.k", "attn.v"),
    "query_bias": ("attn.q",),
    "key_bias": ("attn.k",),
    "value_bias": ("attn.v",),
    "proj_bias": ("attn.proj",),
    "mlp_bias": ("mlp.gate", "mlp.up", "mlp.fc2"),
}
ACTIVATION_NAMES = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "quick_gelu": "quick_gelu", "silu": "silu"}

# Our name, then everybody's: the releases', transformers 4's and 5's.
OUTSIDE = {
    "cls_token": "cls_token embeddings.cls_token embeddings.class_embedding",
    "register_tokens": "register_tokens storage_tokens embeddings.register_tokens",
    "pos_embed": "pos_embed embeddings.position_embeddings embeddings.position_embedding.weight",
    "patch_embed.proj": "patch_embed.proj embeddings.patch_embeddings.projection embeddings.patch_embeddings "
    "embeddings.patch_embedding",
    "first_norm": "pre_layrnorm",
    "norm": "norm layernorm post_layernorm",
    "periods": "rope_embed.periods",
}
INSIDE = {
    "norm1": "norm1 layernorm_before layer_norm1",
    "attn.qkv": "attn.qkv",
    "attn.q": "attention.q_proj attention.attention.query self_attn.q_proj",
    "attn.k": "attention.k_proj attention.attention.key self_attn.k_proj",
    "attn.v": "attention.v_proj attention.attention.value self_attn.v_proj",
    "attn.proj": "attn.proj attention.o_proj attention.output.dense self_attn.out_proj",
    "ls1": "ls1 layer_scale1",
    "norm2": "norm2 layernorm_after layer_norm2",
    "mlp.fc1": "mlp.fc1 intermediate.dense mlp.w12 mlp.weights_in",
    "mlp.gate": "mlp.gate_proj mlp.w1",
    "mlp.up": "mlp.up_proj mlp.w2",
    "mlp.fc2": "mlp.fc2 output.dense mlp.down_proj mlp.w3 mlp.weights_out",
    "ls2": "ls2 layer_scale2",
}
OURS_OUTSIDE = {theirs: ours for ours, names in OUTSIDE.items() for theirs in names.split()}
OURS_INSIDE = {theirs: ours for ours, names in INSIDE.items() for theirs in names.split()}
TRUNKS = ("backbone.", "vision_model.", "vit.", "dinov2.", "dinov2_with_registers.", "dinov3_vit.")
# in a block: its number (after that of its chunk, in DINOv2's training checkpoints), the layer, the tensor
IN_BLOCK = re.compile(r"(?:encoder\.|model\.)?(?:blocks|layers?)\.(?:\d+\.(?=\d))?(\d+)\.(.+)\.(\w+)")
CLASSIFIER = re.compile(r"(classifier|fc|head)\.(weight|bias)")


@dataclass(frozen=True)
class Pretrained:
    """A network with its weights, and what one must know to use them.

    mean, std     of the pixels it was trained on, in [0, 1], for R, G, B
    supervision   "none" or "captions"; None where neither the kind of model nor the file tells
    sha256        of the weights file
    """

    network: ViT | Pyramid
    mean: tuple[float, ...]
    std: tuple[float, ...]
    supervision: str | None
    sha256: str


def load_network(path: str | Path, heads: int | None = None) -> Pretrained:
    """The network of a folder or file, frozen.

    `heads` is for a release's file whose heads are not 64 channels wide.
    """
    weights, settings, pixels = _find(Path(path).expanduser())
    tensors = _trunk(read_tensors(weights), weights)
    kind = settings["kind"] if settings else _kind_of_release(tensors, weights)
    family = FAMILIES[kind]
    if kind == "resnet":
        network: ViT | Pyramid = _pyramid(tensors, settings, weights)
    else:
        tensors = _ours(tensors, family, settings, weights)
        network = _filled(_config(tensors, kind, settings, heads, weights), tensors, weights)
    mean, std = pixels or (SATELLITE if "sat493m" in weights.name else family.pixels)
    return Pretrained(network, mean, std, family.supervision, _sha256(weights))


def _find(path: Path) -> tuple[Path, dict[str, Any], Pixels | None]:
    """The weights file; the image tower's part of config.json, empty for a release's file; the pixels' mean and std."""
    names = ("model.safetensors", INDEX, "pytorch_model.bin")
    folder = path.parent if path.name in names else path
    if path.is_file() and path.name not in names:
        return path, {}, None
    if not path.exists():
        raise CallerError(f"no such file or folder: {path}")
    if not (folder / "config.json").is_file():
        raise CallerError(f"{folder} has no config.json: give a folder as transformers writes it, or the weights file")
    weights = path if path.is_file() else next((folder / n for n in names if (folder / n).is_file()), None)
    if weights is None:
        raise CallerError(f"{folder} holds neither {' nor '.join(names)}")
    settings, pixels = _json(folder / "config.json"), None
    kind = str(settings.get("model_type")).removesuffix("_vision_model")
    if kind not in FAMILIES:
        raise CallerError(f"{folder} holds a model of type {kind}; read are {', '.join(sorted(FAMILIES))}")
    if (folder / "preprocessor_config.json").is_file():
        wanted = _json(folder / "preprocessor_config.json")
        if "image_mean" in wanted and "image_std" in wanted:
            pixels = tuple(wanted["image_mean"]), tuple(wanted["image_std"])
    return weights, {**settings.get("vision_config", settings), "kind": kind}, pixels


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CallerError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise CallerError(f"{path} must hold one JSON object")
    return content


def _sha256(weights: Path) -> str:
    """Of a file; of large weights in several files, of what each of them has."""
    digests = []
    for part in _parts(weights):
        with part.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _parts(weights: Path) -> list[Path]:
    """The files that tensors are in: the file itself, or those that an index names, beside it."""
    if weights.name != INDEX:
        return [weights]
    places = _json(weights).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise CallerError(f"{weights} does not say which file each tensor is in")
    parts = [weights.parent / Path(name).name for name in sorted(set(places.values()))]
    if missing := [part.name for part in parts if not (part.is_file() and part.suffix == ".safetensors")]:
        raise CallerError(f"{weights} names {missing[0]}, which is not there: fetch it, too")
    return parts


def read_tensors(weights: Path) -> dict[str, Tensor]:
    """Every tensor of the weights by its key; of a training checkpoint, those of the teacher."""
    if weights.name == INDEX:
        return {key: value for part in _parts(weights) for key, value in read_tensors(part).items()}
    if weights.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(weights)
        except SafetensorError as error:
            raise CallerError(f"{weights} is broken or no safetensors file: {_line(error)}") from None
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # DINO's checkpoints carry their arguments: inert
            content = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        raise CallerError(
            f"{weights} was refused: it is broken, or holds more than tensors ({_line(error)}); "
            "where you trust it, save its state_dict() alone"
        ) from None
    while isinstance(content, dict) and not any(isinstance(value, Tensor) for value in content.values()):
        parts = ("teacher", "model", "state_dict", "backbone", "student")
        content = next((content[part] for part in parts if part in content), None)
    if not isinstance(content, dict):
        raise CallerError(f"{weights} holds no tensors by name")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _trunk(tensors: dict[str, Tensor], weights: Path) -> dict[str, Tensor]:
    """The image trunk's tensors, without the prefixes that training and larger models put before them."""
    tensors = {re.sub(r"^((module|_orig_mod)\.)+", "", key): value for key, value in tensors.items()}
    for key in tensors:
        if CLASSIFIER.fullmatch(key):
            raise CallerError(f"{weights} has a classifier ({key}), so it learned from labels: take the bare trunk")
    trunk = next((t for t in TRUNKS if any(key.startswith(t) for key in tensors)), "")
    return {key.removeprefix(trunk): value for key, value in tensors.items() if key.startswith(trunk)}


def _kind_of_release(tensors: dict[str, Tensor], weights: Path) -> str:
    if "patch_embed.proj.weight" not in tensors:
        raise CallerError(
            f"{weights} is no file of the DINO, DINOv2 or DINOv3 releases (it begins with {_some(tensors)}); "
            "give the folder that has its config.json"
        )
    if "storage_tokens" in tensors or "rope_embed.periods" in tensors:
        return "dinov3_vit"
    if "blocks.0.ls1.gamma" in tensors or "blocks.0.0.ls1.gamma" in tensors:
        return "dinov2_with_registers" if "register_tokens" in tensors else "dinov2"
    return "dino"


def _ours(tensors: dict[str, Tensor], family: Family, settings: dict[str, Any], weights: Path) -> dict[str, Tensor]:
    """The same tensors under our names, in our shapes: queries, keys, values in one, gate and gated in one."""
    named: dict[str, Tensor] = {}
    left = []
    for key, value in tensors.items():
        name = _name(key)
        if name is not None:
            named[name] = value
        elif not key.startswith(family.beside):
            left.append(key)
    if left:
        raise CallerError(f"{weights} holds tensors this kind of model has no place for: {_some(left)}")
    for name in ("cls_token", "register_tokens", "pos_embed"):
        if name in named:
            named[name] = named[name].reshape(1, -1, named[name].shape[-1])
            if not named[name].numel():  # a DINOv3 without registers says so with none
                del named[name]
    patch = named.get("patch_embed.proj.weight")
    if patch is not None and patch.ndim == 2:  # SigLIP 2 NaFlex multiplies cut-out patches: rows, columns, colours
        side = math.isqrt(patch.shape[1] // 3)
        named["patch_embed.proj.weight"] = patch.reshape(-1, side, side, 3).permute(0, 3, 1, 2)
    _zero_biases(named, family, settings)
    _join(named, "attn.qkv", ("attn.q", "attn.k", "attn.v"))
    _join(named, "mlp.fc1", ("mlp.gate", "mlp.up"))
    _join(named, "mlp.fc1", ("mlp.up",))  # where nothing gates it, DINOv3's up_proj is the first layer
    return named


def _name(key: str) -> str | None:
    """blocks.3.attn.proj.bias for encoder.layer.3.attention.output.dense.bias; None for what we have no name for."""
    if inside := IN_BLOCK.fullmatch(key):
        number, layer, tensor = inside.groups()
        ours = OURS_INSIDE.get(layer)
        return ours and f"blocks.{number}.{ours}.{'gamma' if tensor == 'lambda1' else tensor}"
    if key in OURS_OUTSIDE:
        return OURS_OUTSIDE[key]
    layer, _, tensor = key.rpartition(".")
    return f"{OURS_OUTSIDE[layer]}.{tensor}" if layer in OURS_OUTSIDE else None


def _zero_biases(named: dict[str, Tensor], family: Family, settings: dict[str, Any]) -> None:
    """Our layers all have a bias: zero where the model has none, or masks it."""
    none = [layer for flag, layers in BIAS_SETTINGS.items() if settings.get(flag) is False for layer in layers]
    for key in list(named):
        if key.endswith(tuple(f"{layer}.weight" for layer in (*family.biasless, *none))):
            named.setdefault(key.removesuffix("weight") + "bias", torch.zeros(len(named[key])))
        elif key.endswith(".bias_mask"):  # DINOv3's release: zero for the keys' part, which softmax would cancel anyway
            mask, bias = named.pop(key), key.removesuffix("_mask")
            if bias in named:
                named[bias] = torch.where(mask == 1, named[bias], torch.zeros_like(named[bias]))


def _join(named: dict[str, Tensor], whole: str, parts: tuple[str, ...]) -> None:
    for key in [key for key in named if f".{parts[0]}." in key]:
        pieces = [key.replace(parts[0], part) for part in parts]
        if all(piece in named for piece in pieces):  # a missing one is told by name later
            named[key.replace(parts[0], whole)] = torch.cat([named.pop(piece) for piece in pieces])


def _config(
    named: dict[str, Tensor], kind: str, settings: dict[str, Any], heads: int | None, weights: Path
) -> ViTConfig:
    """The architecture the tensors' shapes tell, completed from config.json and from what holds for its kind."""
    first = {"patch_embed.proj.weight": 4, "blocks.0.mlp.fc1.weight": 2, "blocks.0.mlp.fc2.weight": 2}
    if lacking := [key for key, ndim in first.items() if key not in named or named[key].ndim != ndim]:
        raise CallerError(f"{weights} lacks {_some(lacking)}: it is no vision transformer, or not a whole one")
    family = FAMILIES[kind]
    (dim, *_, patch), (wide, _), (_, hidden) = (named[key].shape for key in first)
    gated = wide == 2 * hidden
    activation = settings.get("hidden_act", family.activation)
    if gated and not (kind == "dinov3_vit" and settings):  # DINOv2's gate is SiLU whatever config.json says
        activation = "silu"
    if activation not in ACTIVATION_NAMES:
        raise CallerError(f"{weights} wants the activation {activation}; known are {', '.join(ACTIVATION_NAMES)}")
    config = ViTConfig(
        patch=patch,
        dim=dim,
        depth=1 + max(int(key.split(".")[1]) for key in named if key.startswith("blocks.")),
        heads=_heads(named, settings.get("num_attention_heads", family.heads) or heads, dim, weights),
        hidden=hidden,
        positions=family.positions,
        side=_side(named, family, weights),
        rope_base=settings.get("rope_theta", 100.0),
        class_token="cls_token" in named,
        registers=named["register_tokens"].shape[1] if "register_tokens" in named else 0,
        layer_scale="blocks.0.ls1.gamma" in named,
        gated=gated,
        activation=ACTIVATION_NAMES[activation],
        norm_eps=settings.get("layer_norm_eps", family.norm_eps),
        first_norm="first_norm.weight" in named,
        last_norm=family.last_norm,
    )
    said = {"hidden_size": dim, "num_hidden_layers": config.depth, "patch_size": patch}
    for field, found in said.items():
        if settings.get(field, found) not in (found, [found, found]):
            raise CallerError(f"config.json says {field} {settings[field]}, {weights} holds {found}")
    return config


def _heads(named: dict[str, Tensor], said: int | None, dim: int, weights: Path) -> int:
    periods = named.pop("periods", None)
    if periods is not None:  # of DINOv3's rotation, four channels each; recomputed in float32, as transformers does
        expected = 100.0 ** (torch.arange(len(periods)) / len(periods))
        if not torch.allclose(periods.float(), expected, rtol=0.01):  # they may have been kept as bfloat16
            raise CallerError(f"{weights} turns by other periods than DINOv3's: {periods.tolist()}")
    heads = said or (dim // (4 * len(periods)) if periods is not None else dim // 64)
    if heads < 1 or dim % heads:
        raise CallerError(f"{weights} is {dim} channels wide, which does not make {heads} heads: give heads=...")
    return heads


def _side(named: dict[str, Tensor], family: Family, weights: Path) -> int:
    if family.positions == "rope" or "pos_embed" not in named:
        return ViTConfig.side
    count = named["pos_embed"].shape[1] - ("cls_token" in named)
    if math.isqrt(count) ** 2 != count:
        raise CallerError(f"{weights} has {count} positions, which are no square grid of patches")
    return math.isqrt(count)


def _filled(config: ViTConfig, named: dict[str, Tensor], weights: Path) -> ViT:
    with torch.device("meta"):  # no time and no random numbers spent on weights that are replaced
        vit = ViT(config)
    wanted = vit.state_dict()
    faults = [f"{key} is missing" for key in wanted if key not in named]
    faults += [f"{key} has no place" for key in named if key not in wanted]
    for key, tensor in wanted.items():
        if key in named and named[key].shape != tensor.shape:
            faults.append(f"{key} is {tuple(named[key].shape)} where {tuple(tensor.shape)} is expected")
    if faults:
        raise CallerError(f"{weights} does not fit: {_some(faults)}")
    vit.load_state_dict({key: tensor.float().contiguous() for key, tensor in named.items()}, assign=True)
    return vit.eval().requires_grad_(False)


def _pyramid(tensors: dict[str, Tensor], settings: dict[str, Any], weights: Path) -> Pyramid:
    """A ResNet with our neck; its tensors have their names already."""
    told = settings.get("neck"), settings.get("hidden_sizes"), settings.get("depths")
    if settings.get("layer_type") != "basic" or not all(told):
        raise CallerError(f"{weights} is a ResNet without a neck, which only `hedgerow pretrain` gives it")
    try:
        network = Pyramid(PyramidConfig(tuple(settings["hidden_sizes"]), tuple(settings["depths"]), settings["neck"]))
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CallerError(f"{weights} does not hold the network its config.json tells of: {_line(error)}") from None
    return network.eval().requires_grad_(False)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
