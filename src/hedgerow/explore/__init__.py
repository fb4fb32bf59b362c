"""SOHES phase 1, self-exploration: one photo and a backbone's features in, a forest of regions out.

Read `explore` from top to bottom: it is the method. The rooms: grain.py (finest regions), words.py (features of this
photo), borders.py (how strong borders are), merge.py (the kernel), candidates.py (what may be a thing), zoom.py (small
things), refine.py (pixel edges for masks of patches). Where we depart from the paper each says why.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, feature_map
from hedgerow.config import Explore
from hedgerow.explore.borders import borders
from hedgerow.explore.candidates import Candidates, candidates, choose
from hedgerow.explore.grain import Grain, cells, enlarged, grain
from hedgerow.merge import merge_graph
from hedgerow.explore.words import words
from hedgerow.forest import MaskForest
from hedgerow.photos import Photo
from hedgerow.rle import unions


def explore(photo: Photo, backbone: Backbone, config: Explore = Explore(), seed: int = 0) -> MaskForest:  # noqa: B008
    """The forest of one photo, at the photo's full size, best-scored `config.max_masks` regions."""
    pixels = _reduced(photo.pixels, config.pixels)
    features = feature_map(backbone, pixels).values
    grains = grain(pixels, config.grains) if config.grain == "photo" else cells(pixels, *features.shape[:2])
    if config.words:
        features = words(features, config.words, config.word_dims, np.random.default_rng(seed))
    pooled = grains.pool(features)

    found = _found(grains, pooled, config)
    rows = choose(found, grains.areas, config.overlap, config.max_masks)
    if not len(rows):  # nothing stands out: the photo is one region
        return MaskForest(photo.size, unions(np.zeros(photo.size, np.int32), np.ones((1, 1), bool)), source=("photo",))

    labels = enlarged(grains.labels, photo.pixels, photo.size)
    masks = unions(labels, found.sets[rows])
    score = _score(found.worth[rows])
    return MaskForest(photo.size, masks, score=score, source=[found.source[i] for i in rows]).nest(config.cover)


def _found(grains: Grain, pooled: np.ndarray, config: Explore) -> Candidates:
    """Candidates of two mergings: on borders that the whole photo agrees on, and on local ones.

    They err in different places: eigenvectors see large things whole and lose small ones in them.
    """
    strengths = borders(grains, pooled, config.borders)
    found = _merged(grains, pooled, strengths, config, config.merge, "global", 0.0)
    if not np.isfinite(config.handicap):
        return found
    local = _merged(grains, pooled, grains.strengths, config, config.second, "local", config.handicap)
    return Candidates(
        np.concatenate([found.sets, local.sets]),
        np.concatenate([found.worth, local.worth]),
        found.source + local.source,
    )


def _merged(grains, pooled, strengths, config, prices, name, handicap) -> Candidates:
    tree = merge_graph(
        pooled * grains.areas[:, None],  # the SUM of features, as published
        grains.edges,
        areas=grains.areas,
        lengths=grains.lengths,
        strengths=strengths,
        feature=prices.feature,
        border=prices.border,
        size=prices.size,
    )
    found = candidates(grains, strengths, tree, config.candidates, name)
    return replace(found, worth=found.worth - handicap)


def _score(worth: np.ndarray) -> np.ndarray:
    """Worth as a number in (0, 1) that means the same in every photo: 0.5 where a photo's 200th region tends to be."""
    return np.clip(1 / (1 + np.exp(-(worth + 6.0) / 2)), 1e-6, 1)


def _reduced(pixels: np.ndarray, most: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = np.sqrt(most / (height * width))
    if scale >= 1:
        return pixels
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX, reducing_gap=None))
