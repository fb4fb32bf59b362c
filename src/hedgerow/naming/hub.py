"""Languages in torch: CLIP, SigLIP and SigLIP 2, from the Hugging Face hub or a folder.

In: RGB pixels (H, W, 3) uint8 of any size, and sentences. Out: vectors in one space. The image tower is our own vision
transformer (`hedgerow.learn.networks.vit`), the text tower transformers', imported late.

Such models have learned what a photo as a whole is called; their last attention carries what is everywhere to the class
token. `attention` says what is read of the patches instead:

    value     the last block's values, projected, without its attention, residual and MLP: MaskCLIP (Zhou et al. 2022),
              and ClearCLIP (Lan et al. 2024) on what is in the way
    self      SCLIP (Wang et al. 2023): queries attend to queries and keys to keys, softmax(q q) + softmax(k k); the
              residual and the MLP stay, as in its code
    regions   ProxyCLIP's idea (Lan et al. 2024): values of patches that belong together, where another model says which
              do. It takes cosines of DINO's patches; we depart and take the forest of the photo: a patch attends to its
              regions by their scores, and evenly to all patches of each. Without a forest it is `value`

SigLIP has a head that attends to patches in place of a class token. Under `value` and `self` it is asked about one
patch at a time, which leaves its value path; under `regions` about the patches of one region at a time. Positions of
another grid than the trained one are interpolated, as everywhere here; SCLIP and ProxyCLIP slide a window of the
trained size instead.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hedgerow.backbones import FeatureMap
from hedgerow.backbones.fit import prepare
from hedgerow.backbones.hub import fetched
from hedgerow.backbones.pooling import bounded, fitting_size, shares
from hedgerow.config import CallerError, UsageError
from hedgerow.forest import MaskForest
from hedgerow.learn.networks.checkpoints import load_network
from hedgerow.learn.networks.devices import torch_device
from hedgerow.learn.networks.text import quiet_transformers
from hedgerow.learn.networks.vit import Attention, Block, ViT
from hedgerow.naming.own import tokenizer_of
from hedgerow.naming.prompts import BACKGROUND, TEMPLATES

Attending = Literal["value", "self", "regions"]
Tokens = Callable[[Sequence[str]], np.ndarray]
KINDS = ("clip", "siglip", "siglip2")
TOKENS = ("tokenizer.json", "tokenizer_config.json")
SIZE = 336  # of the shorter side: SCLIP's and ProxyCLIP's
SCALE = 40  # of CLIP's cosines, in SCLIP and ProxyCLIP; its own of 100 is for whole photos
AT_ONCE = 64  # sentences


class HubLanguage:
    """See `hedgerow.naming.language.Language`.

    where      ID on the hub or FOLDER
    attention  see above
    size       of the shorter side of photos
    scale      what cosines are multiplied with (default: 40 for CLIP, its own for SigLIP)
    device     auto takes cuda, else mps, else cpu
    """

    supervision = "captions"

    def __init__(
        self,
        where: str,
        *,
        attention: Attending = "self",
        size: int = SIZE,
        scale: int | None = None,
        device: str = "auto",
    ) -> None:
        if size < 1 or (scale is not None and scale < 1):
            raise UsageError(f"size and scale are at least 1, got size={size}, scale={scale}")
        folder, short = fetched(where, TOKENS)
        self._kind, settings = _kind(folder)
        found = load_network(folder)
        assert isinstance(found.network, ViT)
        self.device = torch_device(device)
        self._network = found.network.to(self.device)
        self._pixels = found.mean, found.std
        self._attention, self._size = attention, size
        self.name = f"hub:{short}?attention={attention}&size={size}"
        self.weights_sha256: str | None = found.sha256
        model = _transformers(folder).to(self.device)
        self._reader = _reader(model)
        self._last: nn.Module = model.visual_projection if self._kind == "clip" else model.vision_model.head
        own_scale = float(model.logit_scale.exp())
        self.scale = float(scale or (SCALE if self._kind == "clip" else own_scale))
        self._tokenizer, sha256 = _tokenizer(folder, self._kind, settings)
        text = hashlib.sha256(f"{found.sha256}{sha256}".encode()).hexdigest()
        self.card: Mapping[str, Any] = {"templates": TEMPLATES, "background": BACKGROUND, "text_sha256": text}
        self.dim = self.text(["a photo"]).shape[1]

    @torch.inference_mode()
    def look(self, pixels: np.ndarray, forest: MaskForest | None = None) -> FeatureMap:
        photo, patch = bounded(pixels), self._network.config.patch
        inside = self._entering(photo, fitting_size(photo, patch, self._size), False)
        h, w = (side // patch for side in inside.shape[-2:])
        spread: Callable[..., Tensor] | None = None
        if self._attention == "regions" and forest is not None and len(forest):
            held = torch.from_numpy(shares(forest, h, w)).to(self.device)
            spread = partial(spread_in_regions, held, torch.from_numpy(forest.score).to(self.device))
        dense = _dense_of_clip if self._kind == "clip" else _dense_of_siglip
        found = dense(self._network, self._last, inside, self._attention, spread)
        return FeatureMap(found.view(h, w, -1).float().cpu().numpy(), pixels.shape[:2])

    @torch.inference_mode()
    def whole(self, pixels: np.ndarray) -> np.ndarray:
        """As the model was trained to see it, but for cropping: both sides are brought to its own size."""
        inside = self._entering(bounded(pixels), self._network.config.side * self._network.config.patch, True)
        tokens = self._network(inside)
        found = self._last(self._network.norm(tokens[:, 0]) if self._kind == "clip" else tokens)
        return F.normalize(found, dim=-1)[0].float().cpu().numpy()

    def groups(self, pixels: np.ndarray) -> np.ndarray | None:
        return None

    @torch.inference_mode()
    def text(self, sentences: Sequence[str]) -> np.ndarray:
        parts = [np.zeros((0, getattr(self, "dim", 0)), np.float32)]
        for first in range(0, len(sentences), AT_ONCE):
            tokens = torch.from_numpy(self._tokenizer(sentences[first : first + AT_ONCE])).to(self.device)
            parts.append(F.normalize(self._reader(tokens), dim=-1).float().cpu().numpy())
        return np.concatenate(parts[1:] or parts)

    def _entering(self, photo: np.ndarray, size: int, square: bool) -> Tensor:
        (batch,) = prepare(photo[None], self._network.config.patch, *self._pixels, size=size, square=square)
        return torch.from_numpy(batch).to(self.device)


# ---------------------------------------------------------------------- patches in the space of words


def _dense_of_clip(
    vit: ViT, projection: nn.Module, pixels: Tensor, attention: Attending, spread: Callable[..., Tensor] | None
) -> Tensor:
    """(1, 3, H, W) -> (P, E) raw."""
    block = vit.blocks[-1]
    assert isinstance(block, Block)
    before = vit(pixels, -2, "output", False)
    if attention == "self":
        after = _with_self_attention(block, before)[0, vit.prefix :]
    else:
        values = block.attn.split(block.norm1(before))["value"][0, vit.prefix :]
        after = block.attn.proj(values if spread is None else spread(values))
    return projection(vit.norm(after))


def _dense_of_siglip(
    vit: ViT, head: Any, pixels: Tensor, attention: Attending, spread: Callable[..., Tensor] | None
) -> Tensor:
    """(1, 3, H, W) -> (P, E) raw."""
    if attention == "self":
        block = vit.blocks[-1]
        assert isinstance(block, Block)
        tokens = vit.norm(_with_self_attention(block, vit(pixels, -2, "output", False)))[0]
    else:
        tokens = vit(pixels)[0]
    pooling = head.attention
    asked, keyed, valued = pooling.in_proj_weight.chunk(3)
    asked_bias, keyed_bias, valued_bias = pooling.in_proj_bias.chunk(3)
    values = F.linear(tokens, valued, valued_bias)
    if spread is not None:
        query = F.linear(head.probe[0], asked, asked_bias).unflatten(-1, (pooling.num_heads, -1))
        keys = F.linear(tokens, keyed, keyed_bias).unflatten(-1, (pooling.num_heads, -1))
        logits = (query * keys).sum(-1) / keys.shape[-1] ** 0.5  # (P, heads)
        values = spread(values, (logits - logits.max(0).values).exp())
    after = pooling.out_proj(values)
    return after + head.mlp(head.layernorm(after))


def _with_self_attention(block: Block, x: Tensor) -> Tensor:
    """A block whose queries attend to queries and keys to keys (SCLIP): both softmaxes are added, as there."""
    x = x + block.attn.proj(self_attention(block.attn, block.norm1(x)))
    return x + block.mlp(block.norm2(x))


def self_attention(attention: Attention, x: Tensor) -> Tensor:
    """(B, T, D) -> (B, T, D), before the projection."""
    q, k, v = (one.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for one in attention.split(x).values())
    found = F.scaled_dot_product_attention(q, q, v) + F.scaled_dot_product_attention(k, k, v)
    return found.transpose(1, 2).flatten(2)


def spread_in_regions(held: Tensor, score: Tensor, values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Values (P, D) of patches as their regions see them, (P, D): a patch takes the mean of each region it lies in, by
    the region's score and the share (N, P) of the patch that it holds; one that lies in none keeps its own.

    `weights` (P, heads) are what a head that pools gives to the patches, each head for its part of D.
    """
    parts = values[:, None] if weights is None else values.unflatten(-1, (weights.shape[1], -1))
    loads = torch.ones_like(parts[..., 0]) if weights is None else weights
    sums = torch.einsum("np,ph,phd->nhd", held, loads, parts)
    means = sums / torch.einsum("np,ph->nh", held, loads).clamp(min=1e-12)[..., None]
    votes = held * score[:, None]
    told = torch.einsum("np,nhd->phd", votes, means) / votes.sum(0).clamp(min=1e-12)[:, None, None]
    return torch.where(votes.sum(0)[:, None, None] > 0, told, parts).flatten(1)


# ---------------------------------------------------------------------- words


def _reader(model: Any) -> Callable[[Tensor], Tensor]:
    """Tokens (B, L) -> (B, E)."""
    projection = getattr(model, "text_projection", nn.Identity())  # SigLIP's text tower has its own inside
    tower = model.text_model
    return lambda tokens: projection(tower(input_ids=tokens).pooler_output)


def _tokenizer(folder: Path, kind: str, settings: Mapping[str, Any]) -> tuple[Tokens, str]:
    """Sentences -> tokens (n, L) int64, filled up as the model was trained; and the sha256 of the file behind it."""
    path = folder / TOKENS[0]
    if not path.is_file():
        raise CallerError(f"{folder} has no {TOKENS[0]}, which reads words: fetch it beside the weights")
    content = path.read_bytes()
    tokenizer, most = tokenizer_of(content, path), settings.get("max_position_embeddings", 77 if kind == "clip" else 64)
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    # CLIP looks back only, and takes its sentence from the mark of its end: what stands behind does not matter. SigLIP
    # sees all, and was trained on sentences filled up to the full length
    fill = 0 if kind == "clip" else _pad_of(folder, tokenizer, settings)

    def tokens(sentences: Sequence[str]) -> np.ndarray:
        given = list(sentences) if kind == "clip" else [_canonical(one) for one in sentences]
        ids = [one.ids for one in tokenizer.encode_batch(given)]
        batch = np.full((len(ids), max(map(len, ids)) if kind == "clip" else most), fill, np.int64)
        for place, row in zip(batch, ids, strict=True):
            place[: len(row)] = row
        return batch

    return tokens, hashlib.sha256(content).hexdigest()


def _pad_of(folder: Path, tokenizer: Any, settings: Mapping[str, Any]) -> int:
    """What SigLIP's sentences are filled up with: a token the folder names, `</s>` in the first and `<pad>` in the
    second version."""
    path = folder / TOKENS[1]
    told = json.loads(path.read_text("utf-8")).get("pad_token") if path.is_file() else None
    word = told.get("content") if isinstance(told, dict) else told
    found = tokenizer.token_to_id(word) if isinstance(word, str) else None
    return int(settings.get("pad_token_id", 1) if found is None else found)


def _canonical(sentence: str) -> str:
    """Lower case without punctuation, as SigLIP was trained on."""
    return " ".join(sentence.lower().translate(str.maketrans("", "", string.punctuation)).split())


# ---------------------------------------------------------------------- files


def _kind(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Which kind of model a folder holds, and what its config.json says of the text tower."""
    config = folder / "config.json"
    if not config.is_file():
        raise CallerError(f"{folder} has no config.json: give a folder as transformers writes it, or an id on the hub")
    try:
        told = json.loads(config.read_text("utf-8"))
        kind, settings = str(told.get("model_type")), dict(told.get("text_config") or {})
    except (ValueError, AttributeError, TypeError):
        raise CallerError(f"{config} is no JSON object that tells of a model") from None
    if kind not in KINDS:
        raise CallerError(f"{folder} holds a model of type {kind}; those that read words are {', '.join(KINDS)}")
    return kind, settings


def _transformers(folder: Path) -> Any:
    """The whole model, of which the text tower and the last layers are kept."""
    with quiet_transformers() as transformers:
        try:
            model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0][:160]
            raise CallerError(f"{folder} could not be read ({reason}): fetch it again") from None
    return model.float().eval().requires_grad_(False)
