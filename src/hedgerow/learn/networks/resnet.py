"""A dilated ResNet with the head of DeepLab-v3, MaskContrast's own trunk; read from a file of MoCo v2.

In: normalised pixels (B, 3, H, W), H and W multiples of 8. Out: features (B, h, w, D), one vector a patch of 8 pixels.

The ResNet's last two stages keep the stride of the second: their 3x3 filters are dilated by 2 and by 4 instead (output
stride 8; the first filter of a stage is still dilated as before it). Tensors have the names that torchvision gives them
and MoCo's files have. The head is DeepLab-v3's (Chen et al. 2017, section 3.3): a 1x1 filter, three dilated 3x3 filters
and the mean of the whole photo side by side. Where we depart: it is normed by groups of channels, not over the batch,
so that a loss does not hang on how many devices share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from hedgerow.config import CallerError
from hedgerow.learn.networks.checkpoints import read_tensors

EXPAND = 4  # channels of a block's output over those inside it
STRIDE_8 = (
    (1, 1, 1),
    (2, 1, 1),
    (1, 1, 2),
    (1, 2, 4),
)  # of a stage: stride, dilation of its first block, of the others
MOCO = "module.encoder_q."


@dataclass(frozen=True)
class ResNetConfig:
    """The defaults are ResNet-50's, and the paper's head."""

    width: int = 64
    depths: tuple[int, ...] = (3, 4, 6, 3)
    rates: tuple[int, ...] = (12, 24, 36)
    dim: int = 256
    patch: int = 8  # where the features are; the stages fix it


class ResNet(nn.Module):
    """`patches` is what others read, as of a `ViT` or a `Pyramid`."""

    def __init__(self, config: ResNetConfig, generator: Generator | None = None) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        before = width
        for number, (depth, (stride, first, others)) in enumerate(zip(config.depths, STRIDE_8, strict=True)):
            inside = width * 2**number
            blocks = []
            for place in range(depth):
                pace, dilation = (1, others) if place else (stride, first)
                blocks.append(_Block(before, inside, pace, dilation))
                before = inside * EXPAND
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.head = _Head(before, config.dim, config.rates)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)

    def patches(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, h, w, D)."""
        return self.head(self.stages(pixels)).permute(0, 2, 3, 1)

    def stages(self, pixels: Tensor) -> Tensor:
        """The trunk's last map (B, C, H / 8, W / 8)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(pixels))), 3, 2, 1)
        for number in range(len(self.config.depths)):
            x = getattr(self, f"layer{number + 1}")(x)
        return x


class _Block(nn.Module):
    def __init__(self, before: int, inside: int, stride: int, dilation: int) -> None:
        super().__init__()
        after = inside * EXPAND
        self.conv1, self.bn1 = nn.Conv2d(before, inside, 1, bias=False), nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3, self.bn3 = nn.Conv2d(inside, after, 1, bias=False), nn.BatchNorm2d(after)
        self.downsample: nn.Module = nn.Identity()
        if before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class _Head(nn.Module):
    def __init__(self, before: int, dim: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.near = _filters(before, dim, 1)
        self.far = nn.ModuleList(_filters(before, dim, 3, rate) for rate in rates)
        self.whole = _filters(before, dim, 1)
        self.join = _filters((2 + len(rates)) * dim, dim, 1)
        self.last = _filters(dim, dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        whole = self.whole(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.last(self.join(torch.cat([self.near(x), *(far(x) for far in self.far), whole], 1)))


def _filters(before: int, after: int, side: int, rate: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, side, padding=rate * (side // 2), dilation=rate, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(min(32, after), after), nn.ReLU())


def load_moco(path: str | Path, generator: Generator | None = None) -> ResNet:
    """The ResNet of a MoCo v2 file under a new head; MoCo's own projection and queue stay behind."""
    tensors = read_tensors(Path(path).expanduser())
    trunk = {name.removeprefix(MOCO): value for name, value in tensors.items() if name.startswith(MOCO)}
    trunk = {name: value for name, value in trunk.items() if not name.startswith("fc.")}
    if "conv1.weight" not in trunk or "layer1.0.conv3.weight" not in trunk:
        raise CallerError(
            f"{path} is no file of MoCo v2's ResNet-50: it holds no tensors {MOCO}conv1, ... layer1.0.conv3"
        )
    depths = tuple(len({name.split(".")[1] for name in trunk if name.startswith(f"layer{n}.")}) for n in (1, 2, 3, 4))
    width = trunk["conv1.weight"].shape[0]
    network = ResNet(ResNetConfig(width=width, depths=depths), generator)
    try:
        missing, left = network.load_state_dict(trunk, strict=False)
    except RuntimeError as error:
        raise CallerError(f"{path} is of another network: {str(error).splitlines()[-1].strip()[:200]}") from None
    if odd := [*left, *(name for name in missing if not name.startswith("head."))]:
        raise CallerError(f"{path} is of another network: {odd[0]} is missing or left over")
    return network
