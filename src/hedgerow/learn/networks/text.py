"""Towers of text: sentences as numbers in, one vector each out, of length 1, in the space that photos share.

In: tokens (B, L) int64; behind the end of a sentence stand zeros, and what is before the last number that is not zero
belongs to it. Out: (B, E).

`TextTower` is our own, small, learned from the captions alone: pieces and their places, some transformer blocks (none:
a bag of words), the mean of all pieces or the last one. `HubTower` is one of transformers' models, frozen, with a map
of ours on top that is learned: CLIP's or SigLIP's text tower, or an encoder of sentences as BERT's kin, of whose pieces
the mean is taken. The map is linear, or W2 tanh(W1 u), Talk2DINO's (Barsellotti et al. 2024, eq. 1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from hedgerow.config import CallerError

PROJECTED = {"clip": "CLIPTextModelWithProjection", "siglip": "SiglipTextModel", "siglip2": "Siglip2TextModel"}


@dataclass(frozen=True)
class TextConfig:
    """`pieces` of the vocabulary, `context` the most of a sentence, `dim` inside, `out` of the vectors."""

    pieces: int = 4096
    context: int = 32
    dim: int = 256
    layers: int = 2
    heads: int = 4
    pool: Literal["mean", "last"] = "mean"
    out: int = 256


@dataclass(frozen=True)
class HubTextConfig:
    """`kind` and `settings` (JSON) are transformers'; `pad` is the number that stands for nothing there; `width` is
    that of its vectors, `fixed` says that sentences are filled up to `context` (SigLIP was trained so)."""

    kind: str
    settings: str
    context: int
    pad: int
    width: int
    fixed: bool
    map: Literal["linear", "tanh"] = "linear"
    out: int = 256


class TextTower(nn.Module):
    def __init__(self, config: TextConfig, generator: Generator | None = None) -> None:
        super().__init__()
        self.config, dim = config, config.dim
        self.pieces = nn.Embedding(config.pieces, dim)
        self.places = nn.Embedding(config.context, dim)
        self.blocks = nn.ModuleList(_Block(dim, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, config.out, bias=False)
        nn.init.normal_(self.pieces.weight, std=0.02, generator=generator)
        nn.init.normal_(self.places.weight, std=0.01, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        there = belonging(tokens)
        x = self.pieces(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x, there[:, None, None])
        x = self.norm(x)
        if self.config.pool == "last":
            x = x[torch.arange(tokens.shape[0], device=x.device), there.sum(1) - 1]
        else:
            x = (x * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        return F.normalize(self.out(x), dim=-1)


class _Block(nn.Module):
    """Attention among the pieces of a sentence, then an MLP, each on normed pieces and added to what came in."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, attn_mask=there).transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def belonging(tokens: Tensor) -> Tensor:
    """(B, L) bool: which tokens belong to their sentence; of an empty one the first, for there must be some."""
    place = torch.arange(tokens.shape[1], device=tokens.device)
    last = ((tokens != 0) * (place + 1)).amax(1, keepdim=True)
    return place < last.clamp(min=1)


class HubTower(nn.Module):
    """See the module's text. Only the map on top is learned."""

    def __init__(
        self, config: HubTextConfig, generator: Generator | None = None, model: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.model = (_made(config) if model is None else model).eval().requires_grad_(False)
        hidden = [] if config.map == "linear" else [nn.Linear(config.width, config.width), nn.Tanh()]
        self.map = nn.Sequential(*hidden, nn.Linear(config.width, config.out))
        for layer in self.map:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.map(self.read(tokens)), dim=-1)

    @torch.no_grad()
    def read(self, tokens: Tensor) -> Tensor:
        """(B, width), what the model on its own makes of them."""
        if self.config.fixed:
            tokens = F.pad(tokens, (0, self.config.context))[:, : self.config.context]
        there = belonging(tokens)
        tokens = torch.where(there, tokens, self.config.pad)
        if self.config.kind in PROJECTED:  # pads stand behind the end, which CLIP's causal attention does not look at
            said = self.model(input_ids=tokens)
            return said.text_embeds if self.config.kind == "clip" else said.pooler_output
        vectors = self.model(input_ids=tokens, attention_mask=there.long()).last_hidden_state
        return (vectors * there[..., None]).sum(1) / there.sum(1, keepdim=True)

    def train(self, mode: bool = True) -> HubTower:
        super().train(mode)
        self.model.eval()  # dropout stays out
        return self


Tower = TextTower | HubTower


def tower_of(config: TextConfig | HubTextConfig, generator: Generator | None = None) -> Tower:
    return TextTower(config, generator) if isinstance(config, TextConfig) else HubTower(config, generator)


def load_text_tower(
    folder: str | Path, out: int, map: Literal["linear", "tanh"] = "linear", generator: Generator | None = None
) -> HubTower:
    """The text tower of a folder that transformers wrote, or of an id of the hub."""
    with quiet_transformers() as transformers:
        try:
            whole = transformers.AutoConfig.from_pretrained(folder)
            kind = "clip" if whole.model_type == "clip_text_model" else whole.model_type.removesuffix("_text_model")
            own = getattr(whole, "text_config", whole)
            if kind == "clip":
                own.projection_dim = whole.projection_dim  # of a whole CLIP the text's own may say another
            model: Any = getattr(transformers, PROJECTED.get(kind, "AutoModel")).from_pretrained(
                folder, config=own, dtype=torch.float32, attn_implementation="eager"
            )
        except (OSError, ValueError, AttributeError, KeyError, RuntimeError) as error:
            raise CallerError(f"{folder} holds no model of text ({str(error).strip().splitlines()[0][:200]})") from None
    settings = model.config
    if kind not in PROJECTED and not hasattr(settings, "vocab_size"):
        raise CallerError(f"{folder} holds a {kind}, no model of text: give CLIP, SigLIP or an encoder as BERT")
    width = settings.projection_dim if kind == "clip" else getattr(settings, "projection_size", settings.hidden_size)
    context = settings.max_position_embeddings
    pad = settings.pad_token_id if settings.pad_token_id is not None else 0
    if kind not in PROJECTED:  # RoBERTa's kin count their places from behind the pad
        context -= pad + 1 if pad else 0
    described = json.dumps(settings.to_diff_dict(), sort_keys=True)
    config = HubTextConfig(kind, described, min(context, 512), pad, width, kind.startswith("siglip"), map, out)
    return HubTower(config, generator, model)


def _made(config: HubTextConfig) -> nn.Module:
    """The model of those settings; its weights come later."""
    settings = json.loads(config.settings)
    kind = settings.pop("model_type")
    with quiet_transformers() as transformers:
        described = transformers.AutoConfig.for_model(kind, **settings)
        described._attn_implementation = "eager"
        made: Any = getattr(transformers, PROJECTED.get(config.kind, "AutoModel"))
        return made._from_config(described) if config.kind in PROJECTED else made.from_config(described)


@contextmanager
def quiet_transformers() -> Iterator[Any]:
    """transformers, imported late. It tells of weights it leaves out, of CLIP those of the other tower: not here. Each
    of its models is imported when it is first used, so what keeps one from that is met inside."""
    try:
        import transformers

        logging = transformers.utils.logging
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield transformers
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
    except ImportError as error:
        if error.name == "transformers":
            raise CallerError("hub: models need transformers for their text: pip install transformers") from None
        reason = (str(error).strip() or repr(error)).splitlines()[0][:160]
        raise CallerError(
            f"transformers cannot be used ({reason}): a torchvision there may be made for another torch: remove it"
        ) from None
