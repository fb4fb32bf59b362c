"""What stands on a trunk where something is learned of each patch: the trunk by its kind, and a small decoder.

In: a trunk's configuration. Out: the trunk; a decoder from its standardised features; weights drawn for what is new.
"""

from __future__ import annotations

from torch import Generator, nn

from hedgerow.learn.networks.pyramid import Pyramid, PyramidConfig
from hedgerow.learn.networks.resnet import ResNet, ResNetConfig
from hedgerow.learn.networks.vit import ViT, ViTConfig

TrunkConfig = PyramidConfig | ViTConfig | ResNetConfig


def trunk_like(config: TrunkConfig, generator: Generator | None) -> nn.Module:
    if isinstance(config, PyramidConfig):
        return Pyramid(config, generator)
    return ViT(config, generator) if isinstance(config, ViTConfig) else ResNet(config, generator)


def decoder_of(dim: int, hidden: int) -> nn.Sequential:
    """(B, dim, h, w) -> (B, hidden, h, w): each patch by itself, with a glance at its neighbours between."""
    return nn.Sequential(
        nn.Conv2d(dim, hidden, 1),
        nn.GroupNorm(1, hidden),
        nn.GELU(),
        nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
        nn.Conv2d(hidden, hidden, 1),
        nn.GroupNorm(1, hidden),
        nn.GELU(),
    )


def draw_weights(part: nn.Module, generator: Generator | None) -> None:
    """Of all convolutions, each as the matrix that it is for one place."""
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight.data.flatten(1), generator=generator)
            nn.init.zeros_(layer.bias.data)  # type: ignore[union-attr]
