"""Layouts in which all of a photo is labelled, grounds as well as things: context, coco-stuff.

In: a root and a split. Out: a `Dataset` whose truths are maps of classes, -1 where the data set says void. Neither is
published as maps that can be read as they are (PASCAL-Context as MATLAB files of 459 classes); what is read here are
the maps that everybody makes of them with MMSegmentation's converters, and for COCO-Stuff those that its authors offer.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from hedgerow.data import classes
from hedgerow.data.examples import Dataset, Example, LayoutError, Truth
from hedgerow.data.maps import VOID, read_map, semantic_map
from hedgerow.data.places import (
    choose_split,
    find_root,
    photo_named,
    photos_with_labels,
    subfolders,
    wrong_layout,
)
from hedgerow.photos import PhotoRef

TRAIN_IDS = "_labelTrainIds.png"


def read_context(root: Path, split: str | None) -> Dataset:
    """JPEGImages, SegmentationClassContext (0 is background, 1 to 59 the classes by their names' letters), and
    ImageSets/SegmentationContext/SPLIT.txt names the photos."""
    needs = ["JPEGImages", "SegmentationClassContext", "ImageSets/SegmentationContext"]
    top = find_root("context", root, needs, ["", "VOC2010", "VOCdevkit/VOC2010"])
    lists = top / "ImageSets" / "SegmentationContext"
    split = choose_split("context", root, split, sorted(path.stem for path in lists.glob("*.txt")), usual=("val",))
    examples = []
    for line in (lists / f"{split}.txt").read_text(encoding="utf-8").split():
        photo = photo_named(top / "JPEGImages", line)
        label = top / "SegmentationClassContext" / f"{line}.png"
        examples.append(Example(photo, photo.key, labels=(label,), read=partial(_context_truth, photo, label)))
    return Dataset("context", dict(enumerate(classes.CONTEXT)), tuple(examples))


def _context_truth(photo: PhotoRef, path: Path) -> Truth:
    return Truth(semantic=semantic_map(read_map(photo, path), len(classes.CONTEXT), (VOID,), path))


def read_coco_stuff(root: Path, split: str | None) -> Dataset:
    """images/SPLIT or SPLIT with maps in annotations/SPLIT or stuffthingmaps/SPLIT.

    X_labelTrainIds.png, which MMSegmentation makes, counts the 171 classes from 0; X.png, as published, has each
    class's id less one, 0 to 181. Both have 255 for void.
    """
    for folder in ("annotations", "stuffthingmaps"):
        places = [
            (name, _photos(root, name)) for name in (subfolders(root / folder) if (root / folder).is_dir() else [])
        ]
        found = {name: photos for name, photos in places if photos is not None}
        if found:
            split = choose_split("coco-stuff", root, split, list(found), usual=("val2017",))
            return _painted(root / folder / split, found[split])
    raise wrong_layout("coco-stuff", root, "images/SPLIT/ with annotations/SPLIT/ or stuffthingmaps/SPLIT/")


def _photos(root: Path, split: str) -> Path | None:
    return next((place for place in (root / "images" / split, root / split) if place.is_dir()), None)


def _painted(maps: Path, photos: Path) -> Dataset:
    made = any(maps.glob(f"[!.]*{TRAIN_IDS}"))
    ending = TRAIN_IDS if made else ".png"
    others = maps.glob(f"*{ending}") if made else (path for path in maps.glob("*.png") if "TrainIds" not in path.name)
    pairs = photos_with_labels("coco-stuff", photos, lambda photo: maps / f"{photo.path.stem}{ending}", others)
    examples = [
        Example(photo, _number(photo), labels=(label,), read=partial(_stuff_truth, made, photo, label))
        for photo, label in pairs
    ]
    return Dataset("coco-stuff", dict(enumerate(classes.COCO_STUFF)), tuple(examples))


def _number(photo: PhotoRef) -> int | str:
    return int(photo.path.stem) if photo.path.stem.isdecimal() else photo.key


def _stuff_truth(made: bool, photo: PhotoRef, path: Path) -> Truth:
    painted = read_map(photo, path)
    count = len(classes.COCO_STUFF)
    if made:
        return Truth(semantic=semantic_map(painted, count, (VOID,), path))
    row = np.full(256, -2, np.int32)
    used = np.setdiff1d(np.arange(1, count + len(classes.COCO_STUFF_GAPS) + 1), classes.COCO_STUFF_GAPS)
    row[used - 1], row[VOID] = np.arange(count), -1
    labels = row[painted]
    if (labels == -2).any():
        strange = int(painted[labels == -2].max())
        raise LayoutError(f"{path}: has {strange}, no class of COCO-Stuff: are these maps of another data set?")
    return Truth(semantic=labels)
