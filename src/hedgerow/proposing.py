"""A collection into a prior: the objects that stand out in each photo, as a label store of flat forests.

In: photos, folders, globs and tars; instead of exploring them, labels of theirs that are there already; or masks made
elsewhere. Out: a `LabelStore` as `hedgerow.labelling` fills it, its sheet, and masks as other trainers read them. What
takes labels takes a prior, and the other way round. A photo in which nothing stands out has an empty forest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, FeatureMap, feature_map
from hedgerow.config import VERSION, Labelling, Prior, Propose, UsageError
from hedgerow.data.labels import Label, LabelStore
from hedgerow.explore import explore
from hedgerow.explore.refine import refine
from hedgerow.filling import named, plan_filling
from hedgerow.forest import MaskForest
from hedgerow.labelling import Labels
from hedgerow.photos import Photo, PhotoError, PhotoRef, find_photos, open_hashed
from hedgerow.pipeline import DECODED, Watch, explore_of, looker_of, settings_of
from hedgerow.predict import SegmenterModel
from hedgerow.prior import cut_out, given_masks, objects, pooled, salience, stand_out, union
from hedgerow.results import make_folder, png
from hedgerow.writing import write_atomically

MASKS = "masks"  # the folder of a prior that has a picture a photo
LOOKED_AT = 480 * 360  # pixels: what stands out does so in a small picture, too
KINDS = {"L": False, "P": True, "1": False}  # modes of mask pictures that are understood; has it a palette?
SUPERVISION = ("unknown", "none", "captions", "labels")


@dataclass(frozen=True)
class Source:
    """Where objects come from: labels that are there, masks that are there, or else a look at the photo."""

    config: Propose
    labels: Path | None = None


def plan_prior(inputs: Sequence[str | Path], folder: str | Path, config: Propose, labels: Path | None = None) -> Labels:
    """What is to be done for these photos; what is there is checked, or forgotten if it is to be overwritten."""
    places = named(inputs)
    _check(config, labels)
    photos = find_photos(places)
    source = Source(config, labels)
    if config.masks is not None:
        _check_masks(photos, config)
    if labels is not None:
        _check_labels(photos, labels)
    settings, make = _settings(source), partial(_proposer, source)
    return plan_filling(places, photos, LabelStore(folder), config, settings=settings, make=make)


def propose(photo: Photo, backbone: Backbone, forest: MaskForest | None, config: Propose) -> MaskForest:
    """The objects of one photo: of its forest, or without one by a cut alone. A backbone that has learned what stands
    out is asked instead of the cut, so that a prior can be made anew from what was learned of it."""
    seen = feature_map(backbone, reduced(photo.pixels))
    values = pooled(seen.values, config.prior.patches)
    found = _salience(seen, values, config.prior) if config.by != "forest" or forest is None else None
    if forest is not None:
        return stand_out(forest, values, found, config.max_objects, config.prior)
    assert found is not None
    parts, scores = cut_out(values, found, config.prior)
    texts, there = refine(photo.pixels, parts[: config.max_objects], keep_iou=0, size=photo.size)
    refined = MaskForest(photo.size, tuple(compress(texts, there)), score=np.array(scores[: config.max_objects])[there])
    masks = (refined.mask(row) for row in range(len(refined)))
    return objects(photo.size, masks, refined.score.tolist(), "cut", config.prior.least)


def _salience(seen: FeatureMap, values: np.ndarray, config: Prior) -> np.ndarray:
    if seen.salience is None:
        return salience(values, config)
    return pooled(seen.salience[..., None], config.patches)[..., 0]


def write_masks(store: LabelStore, watch: Watch = lambda items, _: items) -> int:
    """masks/KEY.png of every photo with an object, as MaskContrast's trainer reads them; returns how many."""
    folder, count = Path(store.place) / MASKS, 0
    make_folder(folder)
    for label in watch(store, len(store)):
        path = folder / f"{label.key}.png"
        if label.forest is None or not len(label.forest):
            path.unlink(missing_ok=True)  # that trainer leaves a photo without a mask out
            continue
        make_folder(path.parent)
        write_atomically(path, png(union(label.forest).astype(np.uint8) * 255))
        count += 1
    return count


def reduced(pixels: np.ndarray) -> np.ndarray:
    """A photo as it is looked at."""
    height, width = pixels.shape[:2]
    scale = math.sqrt(LOOKED_AT / (height * width))
    if scale >= 1:
        return pixels
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


# ---------------------------------------------------------------------- planning


def _check(config: Propose, labels: Path | None) -> None:
    if config.max_objects < 1:
        raise UsageError(f"--max-objects is at least 1, got {config.max_objects}")
    if config.supervision not in SUPERVISION:
        raise UsageError(f"--supervision is {', '.join(SUPERVISION)}, got {config.supervision}")
    if config.masks is None and (config.components or config.supervision != "unknown"):
        raise UsageError("--components and --supervision go with --masks")
    if labels is not None and (config.masks is not None or config.by == "spectral"):
        instead = "--masks" if config.masks is not None else "--by spectral"
        raise UsageError(f"--from gives forests, which {instead} does not look at")
    for name, value in asdict(config.prior).items():
        least, most = (1, math.inf) if name == "patches" else (0, 1)
        if name in ("softness", "near") and not 0 < value < math.inf:
            raise UsageError(f"--prior.{name} is above 0, got {value}")
        if name not in ("softness", "near") and not least <= value <= most:
            raise UsageError(f"--prior.{name} lies in {least} ... {most}, got {value}")
    explore_of(_exploring(config))


def _exploring(config: Propose) -> Labelling:
    """How photos are explored: as `hedgerow explore` does by itself, since other backbones find fewer regions."""
    return Labelling(
        max_masks=config.max_masks,
        min_area=config.min_area,
        workers=config.workers,
        seed=config.seed,
        explore=config.explore,
    )


def _looker(config: Labelling) -> Backbone:
    looker = looker_of(config)
    assert not isinstance(looker, SegmenterModel)  # labelling knows none
    return looker


def _check_masks(photos: Sequence[PhotoRef], config: Propose) -> None:
    assert config.masks is not None
    missing = [photo for photo in photos if not _mask_of(photo, config.masks).is_file()]
    if len(missing) == len(photos) or (missing and not config.keep_going):
        first = _mask_of(missing[0], config.masks)
        remedy = "give the folder that holds them" + ("" if len(missing) == len(photos) else ", or --keep-going")
        raise PhotoError(f"{len(missing)} of {len(photos)} photos have no mask, as {first}: {remedy}")


def _check_labels(photos: Sequence[PhotoRef], folder: Path) -> None:
    there = LabelStore(folder).places
    missing = [photo.key for photo in photos if photo.key not in there]
    if missing:
        told = f"{folder} has no labels of {len(missing)} of {len(photos)} photos, as {missing[0]}"
        raise PhotoError(f"{told}: explore them all, with the same PHOTOS")


def _mask_of(photo: PhotoRef, folder: Path) -> Path:
    return folder.expanduser() / f"{photo.key}.png"


def _settings(source: Source) -> dict[str, Any]:
    """All that objects depend on beside their photo."""
    config = source.config
    knobs = {"prior": asdict(config.prior), "max_objects": config.max_objects, "version": VERSION}
    if config.masks is not None:
        place = str(config.masks.expanduser().absolute())
        given = {"by": "masks", "masks": place, "components": config.components}
        return knobs | given | {"name": "masks", "supervision": config.supervision}
    backbone = _looker(config)
    learned = [backbone.supervision]
    own: dict[str, Any] = {"by": config.by, "name": backbone.name, "weights_sha256": backbone.weights_sha256}
    own["options"] = config.backbone.partition("?")[2]
    if config.by != "spectral":
        forests = (
            settings_of(_looker(_exploring(config)), _exploring(config))
            if source.labels is None
            else dict(LabelStore(source.labels).record["settings"])
        )
        learned.append(str(forests.get("supervision", "unknown")))
        own["forests"] = forests
    return knobs | own | {"supervision": next((word for word in learned if word != "none"), "none")}


# ---------------------------------------------------------------------- in a worker


def _proposer(source: Source) -> Callable[[PhotoRef], Label]:
    if source.config.masks is not None:
        return partial(_label_given, source.config)
    store = LabelStore(source.labels) if source.labels is not None else None
    explorer = _looker(_exploring(source.config)) if store is None and source.config.by != "spectral" else None
    return partial(_label_found, source.config, _looker(source.config), explorer, store)


def _label_given(config: Propose, photo: PhotoRef) -> Label:
    assert config.masks is not None
    opened, digest = open_hashed(photo, max_pixels=4096)  # reduced, because a JPEG then is decoded many times faster
    painted, palette = _painted(_mask_of(photo, config.masks))
    if painted.shape != opened.size:
        told = f"a mask of {painted.shape} for the photo {photo.path} of {opened.size} (height, width)"
        raise PhotoError(f"{_mask_of(photo, config.masks)}: {told}: bring it to the photo's size")
    masks = given_masks(painted, palette, config.components)[: config.max_objects]
    forest = objects(opened.size, masks, [1.0] * len(masks), "given", config.prior.least)
    return Label(photo.key, photo.name, digest, forest)


def _painted(path: Path) -> tuple[np.ndarray, bool]:
    """(H, W) values of a mask picture, and whether they number the colours of a palette."""
    try:
        with Image.open(path) as image:
            mode, painted = image.mode, np.array(image)
    except FileNotFoundError:
        raise PhotoError(f"{path}: there is no such mask: make it, or --keep-going leaves its photo out") from None
    except Exception as error:  # Pillow meets damaged files with nearly every type of exception there is
        raise PhotoError(f"{path}: damaged or cut short ({error}): make it again") from None
    if mode not in KINDS:
        raise PhotoError(f"{path}: expected a mask of one channel of 8 bits, got an image of mode {mode}: convert it")
    return painted, KINDS[mode]


def _label_found(
    config: Propose, backbone: Backbone, explorer: Backbone | None, store: LabelStore | None, ref: PhotoRef
) -> Label:
    photo, digest = open_hashed(ref, DECODED)
    forest = _explored(photo, ref, explorer, store, config) if config.by != "spectral" else None
    return Label(ref.key, ref.name, digest, propose(photo, backbone, forest, config))


def _explored(
    photo: Photo, ref: PhotoRef, explorer: Backbone | None, store: LabelStore | None, config: Propose
) -> MaskForest:
    if store is None:
        assert explorer is not None
        return explore(photo, explorer, explore_of(_exploring(config)), config.seed)
    label = store[ref.key]
    if label.forest is None:
        raise PhotoError(label.error or f"{ref.path}: its labels have no forest")
    if label.forest.size != photo.size:
        told = f"a forest of {label.forest.size} for the photo {ref.path} of {photo.size} (height, width)"
        raise PhotoError(f"{store.place}: {told}: explore these photos again")
    return label.forest
