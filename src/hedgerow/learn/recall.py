"""How well words and photos go together on photos that were held back, and what a model's card says because of it.

In: a network and an `Album`. Out: retrieval recall; background words, the words it knows, and a calibration: what a
region's best probability among those words is worth, as the share of regions whose best name is said of their photo.
Held back photos are looked at whole and undistorted, as what ships looks at photos. Captions name only some of what is
to be seen, so the share is a little too low: what it calls unsure may be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hedgerow.config import Caption
from hedgerow.learn.album import Album
from hedgerow.learn.bank import Bank
from hedgerow.learn.networks.captioner import Captioner, whole
from hedgerow.learn.tokens import Tokens, met_in, names_of_things
from hedgerow.learn.views import MEAN, STD
from hedgerow.measure.names import measure_recall

KNOWN, BACKGROUND = 200, 64  # words that a card tells of, and that a region is compared with beside the names asked for
MET = 2, 4000  # photos that mention a word whose count a card tells, and words, at most
PRIOR = 0.5  # weight of how often a word was met: of 1 hardly any but the three commonest is ever an answer (LOG.md)
PARTS = 4  # cells a side that stand for regions where there are none
SHARED = 32  # photos, or texts, that are looked at together


@torch.no_grad()
def card_of(network: Captioner, album: Album, config: Caption, device: torch.device) -> dict[str, Any]:
    """What is measured on the photos held back, under the names that the card has for it; and `recall`."""
    knows = album.words[:KNOWN]
    scale = float(network.scales()[1 if config.pull.words else 0])
    card: dict[str, Any] = {
        "scale": scale,
        "templates": list(config.templates),
        "background": names_of_things(album.words)[:BACKGROUND],
        "knows": knows,
        "met": {
            "photos": album.learned,
            "weight": PRIOR,
            "words": met_in(album.captions[: album.learned], *MET),
        },
        "calibration": None,
        "recall": {},
    }
    if album.held is None or not knows:
        return card
    mode = network.training
    network.eval()
    names = names_read(network, album.tokens, knows, config.templates, device)
    captions, owner = _captions_of(album)
    texts = read(network, album.tokens, captions, device)
    prior = PRIOR * ((album.counts[: len(knows)].float() + 0.5) / album.learned).log().to(device)  # as naming has it
    photos = np.empty((len(album.held), network.config.dim), np.float32)
    chances, right = [], []
    for row, words in look_at_all(network, album.held, config, device):
        photos[row] = whole(words)[0].cpu().numpy()
        cosines = _regions(words[0], album.held, row).float() @ names.T
        chance, best = (cosines * scale + prior).softmax(-1).max(-1)
        chances.append(chance.cpu().numpy())
        right.append(album.mentions(torch.tensor([album.learned + row]))[0, best.cpu()].numpy())
    card["recall"] = measure_recall(photos, texts.cpu().numpy(), owner).as_dict()
    card["calibration"] = calibrated(np.concatenate(chances), np.concatenate(right))
    card["named right"] = float(np.concatenate(right).mean())
    network.train(mode)
    return card


def look_at_all(network: Captioner, bank: Bank, config: Caption, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Each photo and its patches (1, E, h, w), those of one shape looked at together."""
    shapes: dict[tuple[int, int], list[int]] = {}
    for row, shape in enumerate(bank.shape.tolist()):
        shapes.setdefault(_size_of(shape, config.size, network.patch), []).append(row)
    for size, rows in sorted(shapes.items()):
        for first in range(0, len(rows), SHARED):
            some = rows[first : first + SHARED]
            pixels = bank.photos[some].to(device).float() / 255
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
            mean, std = (pixels.new_tensor(values)[:, None, None] for values in (MEAN, STD))
            words = network((pixels - mean) / std).words
            yield from zip(some, words.split(1), strict=True)


def _size_of(shape: float, size: int, patch: int) -> tuple[int, int]:
    """Height and width, whole patches, of a photo of width / height `shape` whose shorter side is brought to `size`."""
    height, width = (size, size * shape) if shape >= 1 else (size / shape, size)
    return max(round(height / patch), 1) * patch, max(round(width / patch), 1) * patch


def read(network: Captioner, tokens: Tokens, sentences: Sequence[str], device: torch.device) -> Tensor:
    """(n, E) unit vectors of sentences."""
    rows = tokens(sentences).to(device)
    return torch.cat([network.text(some).float() for some in rows.split(8 * SHARED)])


def names_read(
    network: Captioner, tokens: Tokens, names: Sequence[str], templates: Sequence[str], device: torch.device
) -> Tensor:
    """(n, E) a unit vector a name: the direction of the mean over what it is said in."""
    said = read(network, tokens, [template.format(name) for name in names for template in templates], device)
    return F.normalize(said.unflatten(0, (len(names), len(templates))).mean(1), dim=-1)


def _captions_of(album: Album) -> tuple[list[str], np.ndarray]:
    captions = [(one, row) for row, some in enumerate(album.captions[album.learned :]) for one in some]
    return [one for one, _ in captions], np.array([place for _, place in captions])


def _regions(words: Tensor, bank: Bank, row: int) -> Tensor:
    """(R, E) unit vectors of a photo's regions: the direction of the mean of their patches' directions."""
    patches = F.normalize(words.float(), dim=0)
    if bank.forests is None:
        return F.normalize(F.adaptive_avg_pool2d(patches, PARTS).flatten(1).T, dim=-1)
    (height, width), device = patches.shape[1:], patches.device
    y, x = ((torch.arange(count, device=device) + 0.5) / count for count in (height, width))
    places = torch.stack([y[:, None].expand(-1, width), x[None].expand(height, -1)], -1).flatten(0, 1)
    members = bank.forests.at(row, places).float()
    return F.normalize(members[members.any(1)] @ patches.flatten(1).T, dim=-1)


def calibrated(chance: np.ndarray, right: np.ndarray, steps: int = 50) -> list[float] | None:
    """Slope and intercept of a logistic curve from logit(chance) to the share that is right, by Newton's steps (Platt
    1999, with his targets, so that what is always right stays finite). None where there is nothing to learn from, or
    where higher chances are not more often right: such a curve would turn the order of names around."""
    x = logit(chance.astype(np.float64))
    if len(x) < 2 or right.all() or not right.any() or np.ptp(x) < 1e-9:
        return None
    yes, no = right.sum(), (~right).sum()
    target = np.where(right, (yes + 1) / (yes + 2), 1 / (no + 2))
    columns = np.stack([x, np.ones_like(x)], 1)
    found = np.zeros(2)
    for _ in range(steps):
        share = 1 / (1 + np.exp(-np.clip(columns @ found, -30, 30)))
        gradient = columns.T @ (share - target)
        bend = (columns * (share * (1 - share))[:, None]).T @ columns + 1e-6 * np.eye(2)
        step = np.linalg.solve(bend, gradient)
        found -= step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return [round(float(value), 6) for value in found] if found[0] > 0 else None


def logit(chance: np.ndarray) -> np.ndarray:
    """Kept away from 0 and 1."""
    chance = np.clip(chance, 1e-6, 1 - 1e-6)
    return np.log(chance / (1 - chance))
