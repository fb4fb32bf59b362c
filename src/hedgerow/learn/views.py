"""Views of photos: random crops in random colours, cut in whole batches where the photos lie.

In: photos (B, 3, S, S) uint8 with their shapes, and random numbers (`Draws`). Out: `View`s, pixels as a network takes
them and where in the photo they come from, so that one place can be found in two views.

What is done to a view is DINO's recipe (Caron et al. 2021, appendix E; BYOL's before it): crop, flip, jitter of
brightness, contrast, saturation and hue, grey, blur, solarising. Random numbers are drawn on the CPU for the batch of
all devices together, by the number of the step alone: a run that is resumed, or spread over more devices, sees the
same views.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hedgerow.config import Views

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as all published backbones here have
RATIO = (3 / 4, 4 / 3)  # width to height of what a view shows
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
JITTERED, GREY = 0.8, 0.2  # how often
BLUR = (0.1, 2.0)  # pixels, for a photo of 224; a smaller view is blurred less
BLURRED = (1.0, 0.1, 0.5, 0.1)  # how often: first and second large view, small ones, and views to segment
SOLARISED = (0.0, 0.2, 0.0, 0.0)
LUMA = (0.299, 0.587, 0.114)
# to luma and two colour axes, in which a turn is a change of hue
TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


@dataclass(frozen=True)
class Draws:
    """The random numbers of one kind of view for a batch: each (B,) or (B, ...), in 0 ... 1 unless said otherwise."""

    crop: Tensor  # (B, 4): area, ratio, and where it lies, down and across
    flip: Tensor
    jitter: Tensor  # (B, 5): is it done, then brightness, contrast, saturation, hue
    grey: Tensor
    blur: Tensor  # (B, 2): is it done, how much
    solar: Tensor

    def of(self, rows: Tensor | slice, device: torch.device) -> Draws:
        """Those of some views, on a device."""
        return Draws(*(getattr(self, each.name)[rows].to(device) for each in fields(self)))

    def at(self, places: Tensor | slice) -> Draws:
        """Those of some views."""
        return self.of(places, self.flip.device)

    def plain(self) -> Draws:
        """The same crops, their colours left alone."""
        never = torch.ones_like(self.grey)
        jitter, blur = self.jitter.clone(), self.blur.clone()
        jitter[:, 0] = blur[:, 0] = 1
        return replace(self, jitter=jitter, grey=never, blur=blur, solar=never)


@dataclass(frozen=True)
class View:
    """pixels (B, 3, V, V), normalised; box (B, 4): top, left, height, width as shares of the photo; flip (B,) bool."""

    pixels: Tensor
    box: Tensor
    flip: Tensor

    def to(self, device: torch.device) -> View:
        return View(*(getattr(self, each.name).to(device) for each in fields(self)))


def draw(count: int, generator: torch.Generator) -> Draws:
    """For `count` photos."""
    sizes = {"crop": (4,), "flip": (), "jitter": (5,), "grey": (), "blur": (2,), "solar": ()}
    return Draws(**{name: torch.rand(count, *size, generator=generator) for name, size in sizes.items()})


def draw_hidden(count: int, side: int, config: Views, generator: torch.Generator) -> Tensor:
    """(count, side * side) bool: which patches of a large view are hidden, in blobs; in half of the views none is."""
    coarse = torch.rand(count, 1, max(side // 3, 2), max(side // 3, 2), generator=generator)
    height = F.interpolate(coarse, (side, side), mode="bicubic").flatten(1)
    least, most = config.masked
    share = least + (most - least) * torch.rand(count, 1, generator=generator)
    hidden = height.argsort(1).argsort(1) < (share * side * side).round()
    return hidden & (torch.rand(count, 1, generator=generator) < 0.5)


def cut(photos: Tensor, shape: Tensor, draws: Draws, *, size: int, share: tuple[float, float], kind: int) -> View:
    """One view of each photo, `size` pixels a side, that covers `share` of it. Kinds are as in BLURRED."""
    box = boxes(shape, draws, share)
    flip = draws.flip < 0.5
    pixels = _sampled(photos, box, flip, size)
    pixels = _coloured(pixels, draws)
    pixels = _blurred(pixels, draws, BLURRED[kind], size)
    solar = (draws.solar < SOLARISED[kind])[:, None, None, None]
    pixels = torch.where(solar & (pixels >= 0.5), 1 - pixels, pixels)
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return View((pixels - mean) / std, box, flip)


def sampled(maps: Tensor, view: View, size: int) -> Tensor:
    """Maps of the photos (B, C, S, S) uint8 as a view shows them, (B, C, size, size) in 0 ... 1."""
    return _sampled(maps, view.box, view.flip, size)


def boxes(shape: Tensor, draws: Draws, share: tuple[float, float]) -> Tensor:
    """(B, 4) top, left, height, width as shares of the photo, whose width / height is `shape`."""
    area = share[0] + (share[1] - share[0]) * draws.crop[:, 0]
    ratio = torch.exp(math.log(RATIO[0]) + (math.log(RATIO[1]) - math.log(RATIO[0])) * draws.crop[:, 1]) / shape
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    return torch.stack([draws.crop[:, 2] * (1 - height), draws.crop[:, 3] * (1 - width), height, width], 1)


def middles(view: View, side: int) -> Tensor:
    """(B, side * side, 2): where in the photo, down and across, the middles of a view's patches lie."""
    at = (torch.arange(side, device=view.box.device) + 0.5) / side
    across = torch.where(view.flip[:, None], 1 - at, at)
    y = view.box[:, :1] + view.box[:, 2:3] * at
    x = view.box[:, 1:2] + view.box[:, 3:4] * across
    grid = torch.stack([y[:, :, None].expand(-1, -1, side), x[:, None, :].expand(-1, side, -1)], -1)
    return grid.flatten(1, 2)


def patches_at(view: View, places: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Which patch of a view holds each place (B, P, 2) of the photo: (B, P) numbers, and (B, P) bool, does any."""
    inside = (places - view.box[:, None, :2]) / view.box[:, None, 2:]
    inside = torch.stack([inside[..., 0], torch.where(view.flip[:, None], 1 - inside[..., 1], inside[..., 1])], -1)
    cell = (inside * side).floor().long()
    there = ((cell >= 0) & (cell < side)).all(-1)
    cell = cell.clamp(0, side - 1)
    return cell[..., 0] * side + cell[..., 1], there


def regions_at(regions: Tensor, places: Tensor) -> Tensor:
    """(B, P) the numbers that maps (B, C, C), spanning the photo, have at places (B, P, 2) of it."""
    count, cells, _ = regions.shape
    cell = (places * cells).long().clamp(0, cells - 1)
    return regions.reshape(count, -1).gather(1, cell[..., 0] * cells + cell[..., 1])


def _sampled(photos: Tensor, box: Tensor, flip: Tensor, size: int) -> Tensor:
    """Bilinear. Views have at least two thirds of the pixels a side that they show, too few to alias much."""
    top, left, height, width = box.T
    sign = torch.where(flip, -1.0, 1.0)
    zero = torch.zeros_like(top)
    across = torch.stack([width * sign, zero, 2 * left + width - 1], 1)
    down = torch.stack([zero, height, 2 * top + height - 1], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), [len(photos), 3, size, size], align_corners=False)
    return F.grid_sample(photos.float() / 255, grid, padding_mode="border", align_corners=False)


def _coloured(pixels: Tensor, draws: Draws) -> Tensor:
    """Jitter and grey: each is linear in a pixel's colour, so all of them are one matrix and one offset a view."""
    to_yiq = pixels.new_tensor(TO_YIQ)
    unit = torch.eye(3, device=pixels.device)
    luma = pixels.new_tensor(LUMA).expand(3, 3)  # each channel becomes the luma
    done, brightness, contrast, saturation, hue = (column[:, None, None] for column in draws.jitter.T)
    done = done < JITTERED
    brightness, contrast, saturation = (
        torch.where(done, 1 + amount * (2 * value - 1), 1.0)
        for amount, value in ((BRIGHTNESS, brightness), (CONTRAST, contrast), (SATURATION, saturation))
    )
    turn = torch.where(done, 2 * math.pi * HUE * (2 * hue - 1), 0.0)[:, 0, 0]
    grey = (draws.grey < GREY).float()[:, None, None]
    colour = unit * saturation + luma * (1 - saturation)
    colour = torch.linalg.inv(to_yiq) @ _turned(turn) @ to_yiq @ colour
    colour = (unit * (1 - grey) + luma * grey) @ colour * brightness
    mean = (pixels.mean((2, 3)) @ pixels.new_tensor(LUMA))[:, None, None] * brightness[:, 0, :, None]
    pixels = torch.einsum("bij,bjhw->bihw", colour * contrast, pixels) + ((1 - contrast) * mean)[..., None]
    return pixels.clamp(0, 1)


def _turned(angle: Tensor) -> Tensor:
    """(B, 3, 3): a turn of the two colour axes."""
    one, zero, cos, sin = torch.ones_like(angle), torch.zeros_like(angle), angle.cos(), angle.sin()
    rows = [torch.stack(row, 1) for row in ((one, zero, zero), (zero, cos, -sin), (zero, sin, cos))]
    return torch.stack(rows, 1)


def _blurred(pixels: Tensor, draws: Draws, often: float, size: int) -> Tensor:
    sigma = (BLUR[0] + (BLUR[1] - BLUR[0]) * draws.blur[:, 1]) * size / 224
    sigma = torch.where(draws.blur[:, 0] < often, sigma, 1e-3)
    reach = max(1, round(2 * BLUR[1] * size / 224))
    at = torch.arange(-reach, reach + 1, device=pixels.device)
    weights = torch.exp(-0.5 * (at / sigma[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]
    count = len(pixels) * 3
    rows = F.pad(pixels, (reach, reach, reach, reach), mode="replicate").reshape(1, count, size + 2 * reach, -1)
    rows = F.conv2d(rows, weights[:, :, None, :], groups=count)
    return F.conv2d(rows, weights[:, :, :, None], groups=count).reshape(pixels.shape)
