"""SOHES phase 1, self-exploration: one photo and a backbone's features in, a forest of regions out.

Read `explore` from top to bottom: it is the method. The rooms: grain.py (finest regions), words.py (features of this
photo), borders.py (how strong borders are), candidates.py (what may be a thing), zoom.py (small things), refine.py
(pixel edges for masks of patches), and hedgerow/merge.py (the kernel). Where we depart from the paper each says why.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import compress

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, outlines_of
from hedgerow.config import Explore, Merge
from hedgerow.explore.borders import agreed
from hedgerow.explore.candidates import Candidates, candidates, choose
from hedgerow.explore.grain import Grain, cells, enlarged, grain
from hedgerow.explore.refine import refine
from hedgerow.explore.words import words
from hedgerow.explore.zoom import crop, whole_inside, windows
from hedgerow.forest import MaskForest
from hedgerow.merge import MergeTree, merge_graph
from hedgerow.photos import Photo
from hedgerow.rle import unions
from hedgerow.windows import WHOLE, Window

RANKED = 1000  # where fewer regions are asked for, they are the best of twice as many, up to so many
LONE = 1e-6  # score of the one region of a photo in which nothing stands out


def explore(photo: Photo, backbone: Backbone, config: Explore | None = None, seed: int = 0) -> MaskForest:
    """The forest of one photo, at the photo's full size: the `config.max_masks` best-scored regions."""
    config = config or Explore()
    pixels = _reduced(photo.pixels, config.pixels)
    outlines = outlines_of(backbone, pixels) if np.isfinite(config.outlined) else None
    grains, found = _look(pixels, backbone.features(pixels[None])[0], outlines, config, seed)
    ranked = min(2 * config.max_masks, max(RANKED, config.max_masks))
    found = choose(found, grains.areas, config.overlap, ranked)
    seen = [_forest(photo, WHOLE, grains, found, config)]

    small = _closer(config)
    views = windows(seen[0].boxes, seen[0].areas, photo.size, config.zoom)
    crops = [crop(photo.pixels, view, config.zoom.side) for view in views]
    for view, close, features in zip(views, crops, backbone.features(np.stack(crops)) if crops else (), strict=True):
        grains, found = _look(close, features, None, small, seed)  # outlines of windows cost much and brought nothing
        found = found.only(whole_inside(grains, found.sets, view, config.zoom))
        found = choose(found, grains.areas, config.overlap, config.zoom.most)
        # a crowd of k in this window would be one of k / share in the whole photo
        found = replace(found, worth=found.worth + np.log(view.share), source=("zoom",) * len(found.worth))
        seen.append(_forest(photo, view, grains, found, config))

    forest = _together(seen)
    forest = forest.select(np.flatnonzero(forest.areas >= config.min_area))
    forest = forest.suppress(config.overlap).best(ranked).fade(config.alike).best(config.max_masks)
    return forest.nest(config.cover) if len(forest) else _lone(photo.size)


def _closer(config: Explore) -> Explore:
    """How a window is looked at: as a whole photo is, but for less."""
    zoom = config.zoom
    few = replace(config.candidates, pairs_from=zoom.pairs_from, triples_from=zoom.triples_from, most=zoom.looked_at)
    return replace(config, grains=zoom.grains, candidates=few)


def _look(
    pixels: np.ndarray, features: np.ndarray, outlines: np.ndarray | None, config: Explore, seed: int
) -> tuple[Grain, Candidates]:
    """Grains of a photo, or of a window, and the candidates of two mergings of them by how colours change across a
    border; and of two more by how strongly something ends there, where the backbone says so."""
    grains = grain(pixels, config.grains) if config.grain == "photo" else cells(pixels, *features.shape[:2])
    if config.words:
        features = words(features, config.words, config.word_dims, np.random.default_rng(seed))
    features = grains.pool(features) * grains.areas[:, None]  # the SUM of features, as published
    whole = agreed(grains, features, config.borders)
    found = _two_mergings(grains, features, grains.strengths, whole, config, names=("global", "local"))
    if outlines is not None:
        ends = grains.along(outlines)
        more = _two_mergings(grains, features, ends, whole, config, names=("outlined", "outlined local"))
        found = found.and_also(replace(more, worth=more.worth - config.outlined))
    return grains, found


def _two_mergings(
    grains: Grain,
    features: np.ndarray,
    local: np.ndarray,
    whole: np.ndarray,
    config: Explore,
    *,
    names: tuple[str, str],
) -> Candidates:
    """One merges by borders that the whole photo agrees on, one by local borders alone. They err in different places:
    eigenvectors see large things whole and lose small ones in them."""
    strengths = (local + whole).astype(np.float32)
    tree = _merged(grains, features, strengths, config.merge)
    found = candidates(grains, strengths, tree, config.candidates, names[0])
    if np.isfinite(config.handicap):
        tree = _merged(grains, features, local, config.second)
        second = candidates(grains, local, tree, config.candidates, names[1])
        found = found.and_also(replace(second, worth=second.worth - config.handicap))
    return found


def _merged(grains: Grain, features: np.ndarray, strengths: np.ndarray, prices: Merge) -> MergeTree:
    return merge_graph(
        features,
        grains.edges,
        areas=grains.areas,
        lengths=grains.lengths,
        strengths=strengths,
        feature=prices.feature,
        border=prices.border,
        size=prices.size,
    )


def _forest(photo: Photo, view: Window, grains: Grain, found: Candidates, config: Explore) -> MaskForest:
    """Candidates as regions of the photo at its full size, all roots so far. Left out are those that shrank to nothing
    at this size and those that refining made into something else."""
    rows, columns = view.of(*photo.size)
    seen = photo.pixels[view.of(*photo.pixels.shape[:2])]
    if grains.cells and config.keep_iou:
        patches = (own.reshape(grains.cells) for own in found.sets)
        texts, same = refine(seen, patches, keep_iou=config.keep_iou, size=photo.size, place=(rows, columns))
        texts, found = tuple(compress(texts, same)), found.only(same)
    else:
        labels = enlarged(grains.labels, seen, (rows.stop - rows.start, columns.stop - columns.start))
        present = np.bincount(labels.ravel(), minlength=found.sets.shape[1]) > 0
        found = found.only(np.asarray((found.sets & present).any(1)))
        texts = unions(labels, found.sets, photo.size, rows.start, columns.start)
    return MaskForest(photo.size, texts, score=_score(found.worth), source=found.source)


def _score(worth: np.ndarray) -> np.ndarray:
    """Worth as a number in (0, 1) that means the same in every photo: 0.5 where a photo's 1000th region tends to be,
    before it fades."""
    return np.clip(1 / (1 + np.exp(-(worth + 6.0) / 2)), LONE, 1)


def _together(seen: list[MaskForest]) -> MaskForest:
    """What was seen in the photo and in its windows. SOHES has the regions of a window replace those they cover; here
    they compete by their worth, since replacing lost more recall than it brought."""
    return MaskForest(
        seen[0].size,
        tuple(text for forest in seen for text in forest.rles),
        score=np.concatenate([forest.score for forest in seen]),
        source=tuple(word for forest in seen for word in forest.source),
    )


def _lone(size: tuple[int, int]) -> MaskForest:
    """Nothing stands out: the photo is one region."""
    whole = unions(np.zeros(size, np.int32), np.ones((1, 1), bool))
    return MaskForest(size, whole, score=np.full(1, LONE), source=("photo",))


def _reduced(pixels: np.ndarray, most: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = np.sqrt(most / (height * width))
    if scale >= 1:
        return pixels
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
