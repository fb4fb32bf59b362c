"""A convolutional network for few cores: a narrow ResNet whose last three stages are summed on the second's grid.

In: normalised pixels (B, 3, H, W), H and W multiples of 8. Out: features (B, h, w, D), one vector a patch of 8 pixels,
of which a fine stage says where things end and coarse ones what they are.

The trunk is what transformers calls ResNet, of its basic blocks (He et al. 2016), and its tensors have the same names,
so a folder of ours opens there; the neck on top of it (a feature pyramid: Lin et al. 2017, without its 3x3 filters)
is not theirs. Convolutions know beforehand that neighbours belong together, which a transformer has to learn: after the
same minutes on one core this one's features tell more (LOG.md), and it does not mind another photo size than it
learned at. With a GPU and more photos the transformer is the better network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hedgerow.learn.networks.vit import Feature


@dataclass(frozen=True)
class PyramidConfig:
    """`widths` and `depths` have an entry a stage, at 4, 8, 16 and 32 pixels; `dim` is that of the features."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 2, 2)
    dim: int = 192
    patch: int = 8  # where the features are; the stages fix it


class Pyramid(nn.Module):
    """See the module's text. `patches` is what segmenting reads, `look` what learning does."""

    FEATURES: ClassVar[tuple[Feature, ...]] = ("output",)
    layers = 1

    def __init__(self, config: PyramidConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        before = (config.widths[0], *config.widths)
        stages = [
            _Stage(before[number], width, depth, 2 if number else 1)
            for number, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True))
        ]
        self.embedder = nn.ModuleDict({"embedder": _Normed(3, config.widths[0], 7, 2)})
        self.encoder = nn.ModuleDict({"stages": nn.ModuleList(stages)})
        self.neck = _Neck(config.widths[1:], config.dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D, h, w)."""
        return self.neck(self.stages(pixels)[1:])

    def stages(self, pixels: Tensor) -> list[Tensor]:
        """The trunk's four maps, at 4, 8, 16 and 32 pixels."""
        x = pixels.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        x = F.max_pool2d(F.relu(self.embedder["embedder"](x)), 3, 2, 1)
        found = []
        for stage in self.encoder["stages"].children():
            x = stage(x)
            found.append(x)
        return found

    def patches(self, pixels: Tensor, layer: int = -1, feature: Feature = "output", norm: bool | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, h, w, D). There is one layer and one feature to read, and they are as they are."""
        return self(pixels).permute(0, 2, 3, 1)

    def look(self, pixels: Tensor, hidden: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(B, D) of the whole view, and (B, h * w, D) of its patches; `hidden` is which patches are not to be seen,
        (B, h * w) bool, and the colour (3,) that stands in their place."""
        if hidden is not None:
            patch = self.config.patch
            blank = hidden[0].unflatten(1, (pixels.shape[2] // patch, pixels.shape[3] // patch))[:, None]
            blank = blank.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
            pixels = torch.where(blank, hidden[1].to(pixels.dtype)[:, None, None], pixels)
        patches = self(pixels).flatten(2).transpose(1, 2)
        return patches.mean(1), patches

    @property
    def blank(self) -> int:
        """How many numbers stand in the place of a hidden patch: a colour."""
        return 3


class _Normed(nn.Module):
    """A convolution and batch norm, under transformers' names."""

    def __init__(self, before: int, width: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, width, side, stride, side // 2, bias=False)
        self.normalization = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalization(self.convolution(x))


class _Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.shortcut = _Normed(before, width, 1, stride) if stride > 1 or before != width else nn.Identity()
        self.layer = nn.ModuleList([_Normed(before, width, 3, stride), _Normed(width, width, 3)])

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.layer
        return F.relu(second(F.relu(first(x))) + self.shortcut(x))


class _Stage(nn.Module):
    def __init__(self, before: int, width: int, depth: int, stride: int) -> None:
        super().__init__()
        first = _Block(before, width, stride)
        self.layers = nn.Sequential(first, *(_Block(width, width, 1) for _ in range(depth - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _Neck(nn.Module):
    """Stages, fine to coarse, brought to one width and summed on the finest grid."""

    def __init__(self, widths: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, dim, 1) for width in widths)
        self.normalization = nn.BatchNorm2d(dim)
        self.out = nn.Conv2d(dim, dim, 1)

    def forward(self, stages: list[Tensor]) -> Tensor:
        x = self.lateral[-1](stages[-1])
        for stage, lateral in zip(stages[-2::-1], self.lateral[-2::-1], strict=True):
            x = F.interpolate(x, size=stage.shape[-2:], mode="bilinear", align_corners=False) + lateral(stage)
        return self.out(F.relu(self.normalization(x)))
