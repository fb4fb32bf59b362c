"""One vision transformer for DINO, DINOv2 (with and without registers), DINOv3, CLIP's and SigLIP's image towers.

In: normalised pixels (B, 3, H, W), H and W multiples of the patch. Out: tokens (B, T, D), or the features (B, h, w, D)
of the patches alone: a block's output, or the query, key or value its attention reads. Parameters are named as in the
original DINO release. `checkpoints.py` fills it from a file, and it then equals transformers' models.

One rule for each model says how positions reach a patch grid of another size than the trained one, and it is the rule
of transformers: bicubic (a = -0.75) without antialias, with antialias for DINOv2 with registers, bilinear with
antialias for SigLIP 2 NaFlex, rotary angles for DINOv3. The first releases of DINO and DINOv2 shift the sampling by 0.1
of a patch (facebookresearch/dino issue 8); transformers leaves that out, and so do we.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Feature = Literal["output", "query", "key", "value"]
Positions = Literal["bicubic", "bicubic-antialias", "bilinear-antialias", "rope"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
}


@dataclass(frozen=True)
class ViTConfig:
    """What tells one vision transformer from another; the defaults are DINO's ViT-S/16. A side counts patches."""

    patch: int = 16
    dim: int = 384
    depth: int = 12
    heads: int = 6
    hidden: int = 1536  # width inside the MLP
    positions: Positions = "bicubic"
    side: int = 14  # of the trained position grid; rope has none
    rope_base: float = 100.0
    class_token: bool = True
    registers: int = 0
    layer_scale: bool = False
    gated: bool = False  # SwiGLU: one half of the MLP gates the other
    activation: str = "gelu"
    norm_eps: float = 1e-6
    first_norm: bool = False  # CLIP norms the tokens before the first block
    last_norm: bool = True  # whether the model's own output is normed; CLIP norms the class token only


class ViT(nn.Module):
    """See the module's text. `patches` is what segmenting reads, `look` what learning does."""

    FEATURES: ClassVar[tuple[Feature, ...]] = (
        "key",
        "query",
        "value",
        "output",
    )  # HASSOD clusters the last block's keys

    def __init__(self, config: ViTConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config, dim = config, config.dim
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, dim, config.patch, config.patch)))
        if config.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        if config.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, dim))
        if config.positions != "rope":
            self.pos_embed = nn.Parameter(torch.zeros(1, config.class_token + config.side**2, dim))
        self.first_norm = nn.LayerNorm(dim, config.norm_eps) if config.first_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim, config.norm_eps)
        _start(self, generator)

    @property
    def prefix(self) -> int:
        """How many tokens stand before the patches: the class token, then the registers."""
        return self.config.class_token + self.config.registers

    def patches(self, pixels: Tensor, layer: int = -1, feature: Feature = "output", norm: bool | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, h, w, D), the patches' part of `forward`."""
        h, w = (side // self.config.patch for side in pixels.shape[-2:])
        return self(pixels, layer, feature, norm)[:, self.prefix :].unflatten(1, (h, w))

    def look(self, pixels: Tensor, hidden: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(B, D) of the whole view, and (B, h * w, D) of its patches; `hidden` is which patches are not to be seen,
        (B, h * w) bool, and the token (D,) that stands in their place."""
        tokens = self(pixels, hidden=hidden)
        return tokens[:, 0], tokens[:, self.prefix :]

    @property
    def blank(self) -> int:
        """How many numbers stand in the place of a hidden patch: a token."""
        return self.config.dim

    @property
    def layers(self) -> int:
        return self.config.depth

    def forward(
        self,
        pixels: Tensor,
        layer: int = -1,
        feature: Feature = "output",
        norm: bool | None = None,
        hidden: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(B, 3, H, W) -> (B, T, D) at one block, counted from 0, or from the end by a negative number.

        Heads are concatenated; queries and keys are those before any rotation. `norm` puts the model's last norm on a
        block's output. Left at None it is on for the last block of a model that norms its own output, off elsewhere:
        transformers' `last_hidden_state` and `hidden_states`. `hidden` is as in `look`.
        """
        layer = range(self.config.depth)[layer]
        x, rope = self._embed(pixels, hidden)
        for block in self.blocks[:layer]:
            x = block(x, rope)
        block = cast(Block, self.blocks[layer])
        if feature != "output":
            return block.attn.split(block.norm1(x))[feature]
        x = block(x, rope)
        last = layer == self.config.depth - 1
        return self.norm(x) if norm or (norm is None and last and self.config.last_norm) else x

    def _embed(
        self, pixels: Tensor, hidden: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Tokens (B, T, D) in the order class token, registers, patches; and the rotation, if there is one."""
        x = self.patch_embed(pixels)
        h, w = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        if hidden is not None:
            x = torch.where(hidden[0][..., None], hidden[1].to(x.dtype), x)
        before: list[Tensor] = [self.cls_token] if self.config.class_token else []
        rope = None
        if self.config.positions == "rope":
            rope = self._rotation(h, w, x)
        else:
            x = x + self._positions(h, w)
            before = [token + self.pos_embed[:, :1] for token in before]
        if self.config.registers:  # they stand nowhere: no position
            before.append(self.register_tokens)
        batch = x.shape[0]  # len() would fix the exported batch
        x = torch.cat([*(tokens.expand(batch, -1, -1) for tokens in before), x], 1)
        return self.first_norm(x), rope

    def _positions(self, h: int, w: int) -> Tensor:
        """(1, h * w, D). Resampled in float32 whatever the weights' type; the trained size comes out unchanged."""
        mode, _, antialias = self.config.positions.partition("-")
        grid = self.pos_embed[:, int(self.config.class_token) :].unflatten(1, (self.config.side,) * 2)
        grid = F.interpolate(grid.permute(0, 3, 1, 2).float(), (h, w), mode=mode, antialias=bool(antialias))
        return grid.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)

    def _rotation(self, h: int, w: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin (T, D / heads): patch centres on [-1, 1], rows then columns; no turn for the tokens before."""
        quarter = self.config.dim // self.config.heads // 4
        turns = 1 / self.config.rope_base ** (torch.arange(quarter, device=like.device, dtype=torch.float32) / quarter)
        centres = [2 * (torch.arange(n, device=like.device, dtype=torch.float32) + 0.5) / n - 1 for n in (h, w)]
        y, x = torch.meshgrid(*centres, indexing="ij")
        angle = 2 * math.pi * torch.stack([y, x], -1)[..., None] * turns
        angle = F.pad(angle.flatten(2).flatten(0, 1).tile(2), (0, 0, self.prefix, 0))
        return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


class Block(nn.Module):
    """Attention, then an MLP, each added to what came in."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, config.norm_eps)
        self.attn = Attention(config.dim, config.heads)
        self.ls1 = LayerScale(config.dim) if config.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(config.dim, config.norm_eps)
        self.mlp = MLP(config)
        self.ls2 = LayerScale(config.dim) if config.layer_scale else nn.Identity()

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), rope))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def split(self, x: Tensor) -> dict[str, Tensor]:
        """Query, key and value, (B, T, D) each."""
        return dict(zip(("query", "key", "value"), self.qkv(x).chunk(3, -1), strict=True))

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.split(x).values())
        if rope is not None:
            q, k = _rotate(q, *rope), _rotate(k, *rope)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.gated, self.activation = config.gated, ACTIVATIONS[config.activation]
        self.fc1 = nn.Linear(config.dim, config.hidden * (2 if config.gated else 1))
        self.fc2 = nn.Linear(config.hidden, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        if self.gated:
            gate, x = x.chunk(2, -1)
            return self.fc2(self.activation(gate) * x)
        return self.fc2(self.activation(x))


class LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))  # DINOv2's 1e-5 keeps blocks silent for longer than our runs last

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each head's channels i and i + half turn together by one angle."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def _start(vit: ViT, generator: torch.Generator | None) -> None:
    """MAE's initial weights (He et al. 2022): Glorot's uniform for matrices, zero for biases, 0.02 for tokens. DINO has
    0.02 for all, which suits a width of 768 and learns far slower in narrow networks."""
    for module in vit.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.data.flatten(1), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for token in vit.parameters(recurse=False):
        nn.init.trunc_normal_(token, std=0.02, generator=generator)
