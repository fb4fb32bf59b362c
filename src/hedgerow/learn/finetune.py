"""A whole network learning classes from a few labelled photos: how far a start without labels carries.

In: a backbone in torch, labelled photos, how many of them are shown. Out: what tells each pixel's class. Labels serve
measuring only: nothing that has seen them is kept.

MaskContrast (Van Gansbeke et al. 2021) fine-tunes from 1, 2, 5, 12.5 and 100 % of the labels, and does not publish
which photos these are nor how it learns from them; both are our choice. Photos are drawn by a seed, so that each class
occurs where there are photos enough (`choose`). A new 1x1 layer reads the features; network and layer learn together by
SGD, the layer at ten times the network's rate, both falling to 0 by a power of 0.9; crops are scaled by 0.5 to 2 and
mirrored. The last step is measured, none is picked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from hedgerow.backbones import open_backbone
from hedgerow.backbones.embedded import SHIPPED, read_card
from hedgerow.backbones.fit import fitted, prepare
from hedgerow.backbones.hub import HubBackbone
from hedgerow.config import CallerError, FineTune

Read = Callable[[int], tuple[np.ndarray, np.ndarray]]  # place -> pixels (H, W, 3) uint8, labels (H, W), -1 where void

SCALES = (0.5, 2.0)  # of a crop
ENOUGH = 0.125  # of the photos; from less a third of the steps is learned
POWER = 0.9  # by which rates fall
MOMENTUM = 0.9


def open_tunable(name: str, device: str = "auto") -> HubBackbone:
    """A backbone whose network can learn: hub:..., random:..., or the one that ships."""
    place, _, options = name.partition("?")
    if place == "embedded":
        card = read_card(Path(SHIPPED))
        folder = Path(SHIPPED).with_suffix("")
        name = f"hub:{folder}?size={card['size']}&supervision={card['supervision']}" + (
            f"&{options}" if options else ""
        )
    elif not place.startswith(("hub:", "random:")):
        raise CallerError(f"{place} has no network that could learn: give embedded, hub:... or random:...")
    backbone = open_backbone(name, device=device)
    assert isinstance(backbone, HubBackbone)
    return backbone


def choose(shown: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(N, C) bool which photo shows which class -> `count` places. Drawn at random, but as long as a class is missing
    the next is the photo, first in the draw, that shows most of those missing."""
    drawn = rng.permutation(len(shown))
    chosen: list[int] = []
    missing = shown.any(0)
    while missing.any() and len(chosen) < count:
        gains = (shown[drawn] & missing).sum(1)
        chosen.append(int(drawn[gains.argmax()]))
        missing &= ~shown[chosen[-1]]
    rest = [int(place) for place in drawn if place not in chosen]
    return np.sort(np.array([*chosen, *rest][:count]))


def finetune(
    backbone: HubBackbone, places: Sequence[int], read: Read, config: FineTune, *, classes: int, seed: int
) -> Callable[[np.ndarray, tuple[int, int]], np.ndarray]:
    """Learn from the photos at these places; returns what tells the classes (H, W) of a photo's pixels."""
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = deepcopy(backbone.network).requires_grad_(True).train()
    head = nn.Conv2d(backbone.dim, classes, 1)
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    assert head.bias is not None
    nn.init.zeros_(head.bias)
    head.to(backbone.device)
    groups = [
        {"params": network.parameters(), "lr": config.rate},
        {"params": head.parameters(), "lr": config.head_rate},
    ]
    learner = torch.optim.SGD(groups, momentum=MOMENTUM, weight_decay=config.decay)
    steps = config.steps
    falling = torch.optim.lr_scheduler.LambdaLR(learner, lambda step: (1 - step / max(steps, 1)) ** POWER)

    def scores(pixels: Tensor) -> Tensor:
        return head(network.patches(pixels, *backbone.reading).permute(0, 3, 1, 2))

    for _ in range(steps):
        crops = [_crop(*read(int(place)), backbone, config.crop, rng) for place in rng.choice(places, config.batch)]
        pixels = np.stack([crop for crop, _ in crops])
        labels = torch.from_numpy(np.stack([own for _, own in crops])).to(backbone.device)
        (inside,) = prepare(pixels, backbone.patch, backbone.mean, backbone.std, size=None, square=False)
        told = scores(torch.from_numpy(inside).to(backbone.device))
        told = F.interpolate(told, labels.shape[1:], mode="bilinear", align_corners=False)
        loss = F.cross_entropy(told, labels, ignore_index=-1, reduction="sum") / (labels >= 0).sum().clamp(min=1)
        learner.zero_grad()
        loss.backward()
        learner.step()
        falling.step()
    network.eval()

    @torch.no_grad()
    def labels_of(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        sides = {"size": backbone.size, "square": backbone.square}
        (inside,) = prepare(photo[None], backbone.patch, backbone.mean, backbone.std, **sides)  # type: ignore[arg-type]
        told = scores(torch.from_numpy(inside).to(backbone.device))
        return F.interpolate(told, size, mode="bilinear", align_corners=False)[0].argmax(0).cpu().numpy()

    return labels_of


def steps_of(config: FineTune, fraction: float) -> int:
    """Few photos are learned by heart soon."""
    return config.steps if fraction >= ENOUGH else max(1, config.steps // 3)


def _crop(
    photo: np.ndarray, labels: np.ndarray, backbone: HubBackbone, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(side, side, 3) and (side, side) of a photo at another size, mirrored or not; void beyond its edges."""
    height, width = fitted(photo.shape[0], photo.shape[1], backbone.patch, backbone.size, backbone.square)
    scale = float(np.exp(rng.uniform(*np.log(SCALES))))
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    pixels = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
    painted = Image.fromarray(labels.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
    side = max(backbone.patch, side // backbone.patch * backbone.patch)
    top, left = (int(rng.integers(0, max(have - side, 0) + 1)) for have in (height, width))
    some, own = (whole[top : top + side, left : left + side] for whole in (pixels, np.asarray(painted)))
    crop, void = np.zeros((side, side, 3), np.uint8), np.full((side, side), -1, np.int64)
    crop[:] = np.round(255 * np.asarray(backbone.mean)).astype(np.uint8)
    crop[: some.shape[0], : some.shape[1]], void[: own.shape[0], : own.shape[1]] = some, own
    return (crop[:, ::-1], void[:, ::-1].copy()) if rng.random() < 0.5 else (crop, void)
