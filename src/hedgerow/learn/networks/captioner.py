"""What learns from captions: of each patch a vector in the space of words, of sentences a vector there, and clusters.

In: normalised pixels (B, 3, H, W), H and W multiples of the trunk's patch; tokens (B, L). Out: `Worded`, and vectors of
sentences.

The three parts of ViL-Seg (Liu et al. 2022): an image encoder, here any backbone of ours, a text encoder (`text.py`)
and a clustering head over the image encoder. What brings patches into the space of words is in the paper, as far as is
known, one linear map; here it reads the trunk and a small decoder side by side, as `contraster.py` does: a trunk that
stays as it is needs something between that learns. Patches leave raw; whoever pools them brings each to length 1 first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from hedgerow.learn.networks.decoder import TrunkConfig, decoder_of, draw_weights, trunk_like
from hedgerow.learn.networks.text import HubTextConfig, TextConfig, tower_of

FIRST, MOST = math.log(1 / 0.07), math.log(100)  # of the logarithm of a scale: CLIP's


@dataclass(frozen=True)
class CaptionerConfig:
    """`dim` of the space of words, `hidden` of the decoder, `clusters` of the head (0: none)."""

    trunk: TrunkConfig
    text: TextConfig | HubTextConfig
    dim: int = 256
    hidden: int = 256
    clusters: int = 25


class Worded(NamedTuple):
    """words (B, E, h, w), raw; groups (B, C, h, w), probabilities of clusters, or None without a head."""

    words: Tensor
    groups: Tensor | None


class Captioner(nn.Module):
    def __init__(
        self, config: CaptionerConfig, generator: Generator | None = None, *, text: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.config, trunk, hidden = config, config.trunk, config.hidden
        self.trunk = trunk_like(trunk, generator)
        self.standard = nn.BatchNorm2d(trunk.dim, affine=False)
        self.decoder = decoder_of(trunk.dim, hidden)
        self.wording = nn.Conv2d(trunk.dim + hidden, config.dim, 1)
        for part in (self.decoder, self.wording):
            draw_weights(part, generator)
        self.head = Clusters(trunk.dim, config.clusters, generator) if config.clusters else None
        self.text = tower_of(config.text, generator) if text is None else text
        # rows of one: rows can be shared out
        self.scale = nn.Parameter(torch.tensor([FIRST]))  # of photos against captions
        self.word_scale = nn.Parameter(torch.tensor([FIRST]))  # of regions against words

    @property
    def patch(self) -> int:
        return self.config.trunk.patch

    def forward(self, pixels: Tensor) -> Worded:
        features = self.features(pixels)
        groups = None if self.head is None else self.head(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return Worded(self.words(features), groups)

    def features(self, pixels: Tensor) -> Tensor:
        """(B, D, h, w), what the trunk says, standardised."""
        return self.standard(self.trunk.patches(pixels).permute(0, 3, 1, 2))  # type: ignore[operator]

    def words(self, features: Tensor) -> Tensor:
        """(B, E, h, w), raw."""
        return self.wording(torch.cat([features, self.decoder(features)], 1))

    def scales(self) -> tuple[Tensor, Tensor]:
        """Of photos against captions, of regions against words: what cosines are multiplied by."""
        return self.scale[0].clamp(max=MOST).exp(), self.word_scale[0].clamp(max=MOST).exp()

    @torch.no_grad()
    def settle(self, pixels: Tensor) -> None:
        """Standardise by these photos what the trunk says, and centre the words before any has learned, as
        `Contraster.settle` does, and why."""
        features = self.trunk.patches(pixels).flatten(0, 2)  # type: ignore[operator]
        assert self.standard.running_mean is not None
        assert self.standard.running_var is not None
        self.standard.running_mean.copy_(features.mean(0))
        self.standard.running_var.copy_(features.var(0))
        said = self.words(self.features(pixels)).permute(1, 0, 2, 3).flatten(1)
        spread = said.std(1).clamp(min=1e-6)
        self.wording.weight.data /= spread[:, None, None, None]
        self.wording.bias.data = (self.wording.bias.data - said.mean(1)) / spread  # type: ignore[union-attr]


class Clusters(nn.Module):
    """ViL-Seg's online clustering head: each patch by itself into one of C clusters, the same for all photos. Its
    layers are not known; here a norm, a hidden layer and a softmax."""

    def __init__(self, dim: int, clusters: int, generator: Generator | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, clusters))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(..., D) -> (..., C), probabilities."""
        return self.layers(features).softmax(-1)


def whole(words: Tensor) -> Tensor:
    """(B, E, h, w) raw patches -> (B, E): the direction of the mean of the directions of a photo's patches."""
    return F.normalize(F.normalize(words.float(), dim=1).mean((2, 3)), dim=1)


def likeness(words: Tensor, texts: Tensor, pool: str, temperature: float) -> Tensor:
    """(B, E, h, w) raw patches of photos and (N, E) sentences -> (B, N), how well they go together.

    mean        the photo's vector is `whole`: ViL-Seg's, as far as is known, and what segmenting uses of it later
    max         of a sentence the mean over patches, weighed by the softmax of its cosines: near that of the best patch
    attention   the photo's vector hangs on the sentence: the mean of patches weighed by that softmax, to length 1
                (PACL, Mukhoti et al. 2023, section 3.2; Talk2DINO chooses among heads of attention so)
    """
    if pool == "mean":
        return whole(words) @ texts.T
    patches = F.normalize(words.float(), dim=1).flatten(2).transpose(1, 2)
    cosines = patches @ texts.T  # (B, n, N)
    share = (cosines / temperature).softmax(1)
    best = (share * cosines).sum(1)
    if pool == "max":
        return best
    lengths = torch.einsum("bpn,bpe->bne", share, patches).norm(dim=-1)
    return best / lengths.clamp(min=1e-6)
