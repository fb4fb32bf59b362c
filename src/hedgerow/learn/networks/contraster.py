"""What MaskContrast learns: of each patch a vector of what it means, and whether it is part of what stands out.

In: normalised pixels (B, 3, H, W), H and W multiples of the trunk's patch. Out: `Meant`.

A trunk's features pass a small decoder; two linear maps of both side by side give vector and salience. In the code of
MaskContrast (section 2.1) they read the decoder alone, and the trunk is a dilated ResNet-50 with the head of DeepLab;
here it is any backbone of ours, of which a ResNet is one (`resnet.py`), and its features are worth keeping. Vectors are
brought to length 1 here, so that what is shipped is what was contrasted; the paper's evaluation takes them raw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from hedgerow.learn.networks.decoder import TrunkConfig, decoder_of, draw_weights, trunk_like


@dataclass(frozen=True)
class ContrasterConfig:
    """`dim` of the vectors, `hidden` of the decoder."""

    trunk: TrunkConfig
    dim: int = 32
    hidden: int = 256


class Meant(NamedTuple):
    """vectors (B, h, w, E) of length 1; salience (B, h, w), logits."""

    vectors: Tensor
    salience: Tensor


class Contraster(nn.Module):
    def __init__(self, config: ContrasterConfig, generator: Generator | None = None) -> None:
        super().__init__()
        self.config, trunk, hidden = config, config.trunk, config.hidden
        self.trunk = trunk_like(trunk, generator)
        self.standard = nn.BatchNorm2d(trunk.dim, affine=False)
        self.decoder = decoder_of(trunk.dim, hidden)
        self.meaning = nn.Conv2d(self.width, config.dim, 1)
        self.salient = nn.Conv2d(self.width, 1, 1)
        for part in (self.decoder, self.meaning, self.salient):
            draw_weights(part, generator)

    @property
    def patch(self) -> int:
        return self.config.trunk.patch

    @property
    def width(self) -> int:
        """Channels of `decoded`."""
        return self.config.trunk.dim + self.config.hidden

    def forward(self, pixels: Tensor) -> Meant:
        return self.meant(self.decoded(pixels))

    def decoded(self, pixels: Tensor) -> Tensor:
        """(B, width, h, w): what vectors are made from."""
        return self.decoded_from(self.trunk.patches(pixels))  # type: ignore[operator]

    def decoded_from(self, patches: Tensor) -> Tensor:
        """The same from what the trunk says, (B, h, w, D)."""
        features = self.standard(patches.permute(0, 3, 1, 2))
        return torch.cat([features, self.decoder(features)], 1)

    def meant(self, decoded: Tensor) -> Meant:
        vectors = F.normalize(self.meaning(decoded), dim=1)
        return Meant(vectors.permute(0, 2, 3, 1), self.salient(decoded)[:, 0])

    @torch.no_grad()
    def settle(self, pixels: Tensor) -> None:
        """Standardise by these photos what the trunk says, and centre the vectors before any has learned. Those of a
        network just drawn all but agree, and what they agree in would have to be unlearned first: the paper's network
        has batch norm for that, whose loss hangs on how a batch is shared out."""
        features = self.trunk.patches(pixels).flatten(0, 2)  # type: ignore[operator]
        assert self.standard.running_mean is not None
        assert self.standard.running_var is not None
        self.standard.running_mean.copy_(features.mean(0))
        self.standard.running_var.copy_(features.var(0))
        said = self.meaning(self.decoded(pixels)).permute(1, 0, 2, 3).flatten(1)
        spread = said.std(1).clamp(min=1e-6)
        self.meaning.weight.data /= spread[:, None, None, None]
        self.meaning.bias.data = (self.meaning.bias.data - said.mean(1)) / spread  # type: ignore[union-attr]
