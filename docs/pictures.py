"""The pictures of README.md and docs/, from those that the demo drew: `make pictures`.

    python docs/pictures.py demo docs/pictures

Small enough for a repository: 256 colours each, and no larger than a page shows them.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from hedgerow.backbones import feature_map, open_backbone, outlines_of
from hedgerow.config import Explore, Propose
from hedgerow.draw import contact_sheet, feature_colours, outlined
from hedgerow.explore import explore
from hedgerow.explore.borders import borders
from hedgerow.explore.grain import Grain, gradient, grain
from hedgerow.explore.words import words
from hedgerow.forest import MaskForest
from hedgerow.formats import read_forest
from hedgerow.measure import trace
from hedgerow.photos import open_photo
from hedgerow.proposing import propose

NAMES = ("chelsea", "coffee", "astronaut")
GAP = 8


def main(demo: Path, out: Path) -> None:
    rows = [[opened(demo / f"{name}.{kind}.png", height=250) for name in NAMES] for kind in ("photo", "overlay")]
    save(beside([beside(row, axis=1) for row in rows], axis=0), out / "overview.png")
    save(opened(demo / "coffee.levels.png", width=1200), out / "levels.png")
    save(opened(demo / "astronaut.tree.png", width=800), out / "tree.png")
    pixels = opened(demo / "coffee.photo.png")
    save(steps(pixels, opened(demo / "coffee.overlay.png")), out / "explore.png")
    save(seen(), out / "features.png")
    save(standing_out(), out / "prior.png")
    save(ends(), out / "ends.png")
    save(boundaries(pixels, read_forest(demo / "coffee.forest.json")[0]), out / "boundaries.png")


def steps(pixels: np.ndarray, overlay: np.ndarray) -> np.ndarray:
    """What exploring sees on its way: grains, borders of one place, borders the whole photo agrees on, regions."""
    config = Explore()
    grains = grain(pixels, config.grains)
    features = feature_map(open_backbone("texture"), pixels).values
    features = words(features, config.words, config.word_dims, np.random.default_rng(0))
    agreed = borders(grains, grains.pool(features), config.borders)
    flat = grains.pool(pixels.astype(np.float32))[grains.labels]
    flat = np.where(drawn(grains, np.ones(len(grains.edges))) == 0, 255, flat).astype(np.uint8)
    pictures = [flat, drawn(grains, grains.strengths), drawn(grains, agreed), overlay]
    captions = [
        f"{len(grains.areas)} grains",
        "borders by colour alone",
        "borders the whole photo agrees on",
        "regions",
    ]
    return contact_sheet([shrunk(picture, width=400) for picture in pictures], captions, columns=2)


def seen() -> np.ndarray:
    """Ten photos, what the shipped backbone sees in them, and what its network saw before it had learned."""
    photos = [shrunk(photo, height=320) for photo in samples()]
    rows = [photos]
    for name in ("embedded", "random:embedded"):
        backbone = open_backbone(name)
        rows.append(feature_colours([feature_map(backbone, photo).values for photo in photos]))
    widths = [round(120 * photo.shape[1] / photo.shape[0]) for photo in photos]
    resized = [[shrunk(one, width=width, height=120) for one, width in zip(row, widths, strict=True)] for row in rows]
    return beside([beside(row, axis=1) for row in resized], axis=0)


def samples() -> list[np.ndarray]:
    """Photos that packages bring along."""
    from matplotlib.cbook import get_sample_data
    from skimage import color, data

    grey = [color.gray2rgb(each()) for each in (data.camera, data.coins)]
    coloured = [each() for each in (data.astronaut, data.chelsea, data.coffee, data.rocket)]
    hopper = np.asarray(Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB"))
    return [*coloured, data.stereo_motorcycle()[0], hopper, *grey, data.retina(), data.immunohistochemistry()]


def standing_out() -> np.ndarray:
    """What stands out in a few photos."""
    config, backbone, pictures = Propose(), open_backbone("texture"), []
    for pixels in samples()[:6]:
        photo = open_photo(pixels)
        found = propose(photo, backbone, explore(photo, backbone), config)
        pictures.append(shrunk(outlined(photo.pixels, found), height=200))
    return beside(pictures, axis=1)


def ends() -> np.ndarray:
    """A few photos, the gradient of their colours, and where things end as the shipped network says."""
    photos = [shrunk(photo, height=480) for photo in samples()[:5]]
    backbone, rows = open_backbone("texture+outlines"), [photos]
    for say in (gradient, partial(outlines_of, backbone)):
        said = [say(photo) for photo in photos]
        inks = [np.clip(one / np.quantile(one, 0.98), 0, 1) for one in said]
        rows.append([np.repeat((255 * (1 - ink)).astype(np.uint8)[..., None], 3, axis=2) for ink in inks])
    return beside([beside([shrunk(one, height=140) for one in row], axis=1) for row in rows], axis=0)


def boundaries(pixels: np.ndarray, forest: MaskForest) -> np.ndarray:
    """What is measured of partitions: the boundaries of a few levels, thicker than they are."""
    pictures, captions = [shrunk(pixels, width=300)], ["photo"]
    for level in forest.levels(12)[3:9:2]:
        ink = Image.fromarray(~trace(level)).convert("L").filter(ImageFilter.MinFilter(3))
        pictures.append(shrunk(np.asarray(ink.convert("RGB")), width=300))
        captions.append(f"{level.max() + 1} regions")
    return contact_sheet(pictures, captions, columns=4)


def drawn(grains: Grain, strengths: np.ndarray) -> np.ndarray:
    """(H, W, 3): the darker a border between two grains, the stronger."""
    count = len(grains.areas)
    strength = dict(zip((grains.edges @ [count, 1]).tolist(), strengths.tolist(), strict=True))
    ink = np.zeros(grains.labels.shape)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        a, b = grains.labels[here], grains.labels[there]
        codes = np.minimum(a, b) * count + np.maximum(a, b)
        known, place = np.unique(codes, return_inverse=True)
        value = np.array([strength.get(code, 0.0) for code in known.tolist()])[place].reshape(a.shape)
        ink[here] = np.maximum(ink[here], value)
    ink = np.clip(ink / np.quantile(strengths, 0.97), 0, 1)
    return np.repeat((255 * (1 - ink)).astype(np.uint8)[..., None], 3, axis=2)


def opened(path: Path, *, width: int = 0, height: int = 0) -> np.ndarray:
    """(H, W, 3) uint8, brought to that width or that height if one is given."""
    return shrunk(np.asarray(Image.open(path).convert("RGB")), width=width, height=height)


def shrunk(pixels: np.ndarray, *, width: int = 0, height: int = 0) -> np.ndarray:
    if not width and not height:
        return pixels
    width = width or round(pixels.shape[1] * height / pixels.shape[0])
    height = height or round(pixels.shape[0] * width / pixels.shape[1])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def beside(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    """Pictures of one height in a row (axis 1), or of one width in a column (axis 0), with white between them."""
    gap = np.full_like(np.take(pictures[0], range(GAP), axis), 255)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis)


def save(picture: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    palette = image.quantize(256, Image.Quantize.MEDIANCUT, kmeans=1)
    image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
