"""Layouts whose labels are painted, a map or more a photo: bsds, voc, camvid, ade20k, davis, clothing.

In: a root and a split. Out: a `Dataset`. Semantic maps count classes from 0 and have -1 where the data set says void or
unlabelled, so they index `Dataset.classes` whatever the files' own numbering is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy import io, ndimage

from hedgerow.data import classes
from hedgerow.data.examples import Dataset, Example, LayoutError, Truth
from hedgerow.data.maps import VOID, DrawnForest, check_fits, commonest, read_map, semantic_map, values_in
from hedgerow.data.places import (
    choose_split,
    find_root,
    photo_named,
    photos_with_labels,
    refuse_split,
    subfolders,
    wrong_layout,
)
from hedgerow.photos import PhotoRef, find_photos

CAMVID_VOID = 11
PIECE_SHARE, PIECE_AREA = 0.05, 100  # less of a clothing label is a slip of the brush or a sliver behind a strap


# ---------------------------------------------------------------------- BSDS500


def read_bsds(root: Path, split: str | None) -> Dataset:
    """images/SPLIT/*.jpg and groundTruth/SPLIT/*.mat: several people's segmentations, and their boundaries."""
    top = find_root("bsds", root, ["images", "groundTruth"], ["", "data", "BSDS500/data", "BSR/BSDS500/data"])
    found = [name for name in subfolders(top / "groundTruth") if (top / "images" / name).is_dir()]
    split = choose_split("bsds", root, split, found, usual=("val", "test"))
    truths = top / "groundTruth" / split
    pairs = photos_with_labels(
        "bsds", top / "images" / split, lambda photo: truths / f"{photo.path.stem}.mat", [*truths.glob("*.mat")]
    )
    return Dataset("bsds", {}, tuple(_example(photo, _bsds_truth, label) for photo, label in pairs))


def _bsds_truth(photo: PhotoRef, path: Path) -> Truth:
    try:
        people = io.loadmat(path, variable_names=["groundTruth"])["groundTruth"].ravel()
        partitions = [person["Segmentation"][0, 0].astype(np.int32) - 1 for person in people]  # MATLAB counts from 1
        boundaries = [person["Boundaries"][0, 0].astype(bool) for person in people]
    except Exception as error:  # scipy meets damaged files with nearly every type of exception there is
        raise LayoutError(f"{path}: expected groundTruth with Segmentation and Boundaries ({error!r})") from error
    for labels in {labels.shape: labels for labels in partitions + boundaries}.values():  # one, unless some are odd
        check_fits(photo, labels, path)
    return Truth(partitions=tuple(partitions), boundaries=tuple(boundaries))


# ---------------------------------------------------------------------- VOC


def read_voc(root: Path, split: str | None) -> Dataset:
    """JPEGImages, SegmentationClass, SegmentationObject; ImageSets/Segmentation/SPLIT.txt names the photos.

    Without objects (a split of SegmentationClassAug, such as trainaug) there are no regions. A region's class is that
    of most of its pixels.
    """
    top = find_root("voc", root, ["JPEGImages", "ImageSets/Segmentation"], ["", "VOC2012", "VOCdevkit/VOC2012"])
    lists = top / "ImageSets" / "Segmentation"
    split = choose_split("voc", root, split, sorted(path.stem for path in lists.glob("*.txt")), usual=("val",))
    augmented = "aug" in split or not (top / "SegmentationClass").is_dir()
    folders = [top / "SegmentationClassAug"] if augmented else [top / "SegmentationClass", top / "SegmentationObject"]
    if not all(folder.is_dir() for folder in folders):
        raise wrong_layout("voc", top, " and ".join(f"{folder.name}/" for folder in folders))
    examples = []
    for line in _lines(lists / f"{split}.txt"):
        name = Path(line.split()[0]).stem  # the first of two paths in lists of SegmentationClassAug
        labels = [folder / f"{name}.png" for folder in folders]
        examples.append(_example(photo_named(top / "JPEGImages", name), _voc_truth, *labels))
    return Dataset("voc", dict(enumerate(classes.VOC)), tuple(examples))


def _voc_truth(photo: PhotoRef, class_path: Path, object_path: Path | None = None) -> Truth:
    semantic = semantic_map(read_map(photo, class_path), len(classes.VOC), (VOID,), class_path)
    if object_path is None:
        return Truth(semantic=semantic)
    objects = read_map(photo, object_path)
    drawn = DrawnForest(objects.shape)
    for value in values_in(objects, but=(0, VOID)):
        mask = objects == value
        drawn.add(mask, category=commonest(semantic[mask], but=(0,)))
    return drawn.truth(semantic)


# ---------------------------------------------------------------------- CamVid


def read_camvid(root: Path, split: str | None) -> Dataset:
    """SegNet's: photos in SPLIT, index maps of the same names in SPLITannot; 11 is void."""
    found = [name for name in subfolders(root) if (root / f"{name}annot").is_dir()]
    if not found:
        raise wrong_layout("camvid", root, "folders SPLIT/ and SPLITannot/ (train/ and trainannot/)")
    split = choose_split("camvid", root, split, found, usual=("val", "test"))
    maps = root / f"{split}annot"
    pairs = photos_with_labels(
        "camvid", root / split, lambda photo: maps / f"{photo.path.stem}.png", [*maps.glob("*.png")]
    )
    examples = [_example(photo, _camvid_truth, label) for photo, label in pairs]
    return Dataset("camvid", dict(enumerate(classes.CAMVID)), tuple(examples))


def _camvid_truth(photo: PhotoRef, path: Path) -> Truth:
    return Truth(semantic=semantic_map(read_map(photo, path), len(classes.CAMVID), (CAMVID_VOID, VOID), path))


# ---------------------------------------------------------------------- ADE20K


def read_ade20k(root: Path, split: str | None) -> Dataset:
    """The SceneParsing challenge's layout (150 classes), or the full data set's (objects and their parts)."""
    for top in (root, root / "ADEChallengeData2016"):
        if (top / "annotations").is_dir() and (top / "images").is_dir():
            return _read_challenge(root, top, split)
    for release in ("", "ADE20K_2021_17_01", "ADE20K_2016_07_26"):
        for images in ("images/ADE", "images"):
            found = [name for name in ("training", "validation") if (root / release / images / name).is_dir()]
            if found:
                return _read_full(root, root / release, root / release / images, found, split)
    raise wrong_layout("ade20k", root, "images/ and annotations/ (challenge), or images/training/ (full data set)")


def _read_challenge(root: Path, top: Path, split: str | None) -> Dataset:
    """images/SPLIT and annotations/SPLIT (0 is unlabelled); regions where annotations_instance/SPLIT is there too."""
    found = [name for name in subfolders(top / "annotations") if (top / "images" / name).is_dir()]
    split = choose_split("ade20k", root, split, found, usual=("validation",))
    maps, objects = top / "annotations" / split, top / "annotations_instance" / split
    pairs = photos_with_labels(
        "ade20k", top / "images" / split, lambda photo: maps / f"{photo.path.stem}.png", [*maps.glob("*.png")]
    )
    examples = []
    for photo, label in pairs:
        labels = [label, objects / label.name] if objects.is_dir() else [label]
        examples.append(_example(photo, _challenge_truth, *labels))
    return Dataset("ade20k", dict(enumerate(classes.ADE20K)), tuple(examples))


def _challenge_truth(photo: PhotoRef, class_path: Path, object_path: Path | None = None) -> Truth:
    """Regions are as in panoptic measuring: the objects, and one region for each class that has no objects here."""
    semantic = semantic_map(read_map(photo, class_path).astype(np.int32) - 1, len(classes.ADE20K), (-1,), class_path)
    if object_path is None:
        return Truth(semantic=semantic)
    objects = read_map(photo, object_path, channels=3)[..., 1]  # red is a class of another numbering, green the object
    drawn = DrawnForest(objects.shape)
    for value in values_in(objects, but=(0,)):
        mask = objects == value
        drawn.add(mask, category=commonest(semantic[mask]), source="object")
    for index in values_in(semantic, but=(-1, *drawn.category)):
        drawn.add(semantic == index, category=index, source="stuff")
    return drawn.truth(semantic)


def _read_full(root: Path, top: Path, images: Path, found: Sequence[str], split: str | None) -> Dataset:
    """X.jpg with X_seg.png (objects) and X_parts_1.png, X_parts_2.png ... (their parts), in folders of any depth."""
    split = choose_split("ade20k", root, split, found, usual=("validation",))
    examples = []
    for label in sorted((images / split).rglob("[!.]*_seg.png")):
        path = label.with_name(label.name.removesuffix("_seg.png") + ".jpg")
        key = path.relative_to(images / split).with_suffix("").as_posix()
        examples.append(_example(PhotoRef(key, path), _full_truth, label))
    if not examples:
        raise wrong_layout("ade20k", images / split, "*_seg.png")
    return Dataset("ade20k", _full_classes(top / "index_ade20k.mat"), tuple(examples))


def _full_classes(index: Path) -> dict[int, str]:
    """The 3000 and more names; empty without the index, whose other form is a pickle and so not safe to read."""
    if not index.is_file():
        return {}
    try:
        names = io.loadmat(index, variable_names=["index"])["index"]["objectnames"][0, 0].ravel()
        return {number: str(name[0]) for number, name in enumerate(names, start=1)}
    except Exception as error:  # as above
        raise LayoutError(f"{index}: expected index.objectnames, the names of the classes ({error!r})") from error


def _full_truth(photo: PhotoRef, path: Path) -> Truth:
    """A part's parent is what lies under it on the level above, so one paint over two objects is two parts."""
    drawn, level = None, 0
    while path.is_file():
        red, green, blue = np.moveaxis(read_map(photo, path, channels=3).astype(np.int64), 2, 0)
        category = red // 10 * 256 + green
        if drawn is None:
            drawn, under = DrawnForest(category.shape), np.full(category.shape, -1, np.int64)
        paint = np.where(category > 0, ((under + 1) << 32) | (category << 8) | blue, 0)
        over = under.copy()
        for value in values_in(paint, but=(0,)):
            mask = paint == value
            source = f"part {level}" if level else "object"
            over[mask] = drawn.add(mask, (value >> 32) - 1, (value >> 8) & 0xFFFFFF, source)
        under, level = over, level + 1
        path = path.with_name(photo.path.stem + f"_parts_{level}.png")
    if drawn is None:
        raise LayoutError(f"{path}: there is no such file")
    return drawn.truth()


# ---------------------------------------------------------------------- DAVIS


def read_davis(root: Path, split: str | None) -> Dataset:
    """JPEGImages/480p/SEQUENCE and Annotations/480p/SEQUENCE, of 2016 (one object) or 2017 (several).

    SPLIT is a list of ImageSets ("2017/val", "480p/val"), or one sequence. Frames stand in order, sequence by sequence.
    A region's category is the number of its object, the same in every frame; so there are no classes.
    """
    top = find_root("davis", root, ["JPEGImages"], ["", "DAVIS"])
    painted = next((top / name for name in ("Annotations", "Annotations_unsupervised") if (top / name).is_dir()), None)
    shared = [name for name in subfolders(top / "JPEGImages") if painted and (painted / name).is_dir()]
    if painted is None or not shared:
        raise wrong_layout("davis", root, "JPEGImages/480p/ and Annotations/480p/")
    resolution = "480p" if "480p" in shared else shared[0]
    frames, examples = top / "JPEGImages" / resolution, []
    for sequence in _sequences(root, top, frames, split):
        folder = frames / sequence
        # a sequence that is listed but not there: a frame to be missed
        photos = find_photos([folder]) if folder.is_dir() else [PhotoRef("00000", folder / "00000.jpg")]
        for photo in photos:
            label = painted / resolution / sequence / f"{photo.path.stem}.png"
            examples.append(_example(PhotoRef(f"{sequence}/{photo.key}", photo.path), _davis_truth, label))
    return Dataset("davis", {}, tuple(examples))


def _sequences(root: Path, top: Path, frames: Path, split: str | None) -> list[str]:
    sets = top / "ImageSets"
    lists = {path.relative_to(sets).with_suffix("").as_posix(): path for path in sorted(sets.rglob("*.txt"))}
    present = subfolders(frames)
    usual = [name for name in ("2017/val", "2016/val", "480p/val") if name in lists]
    if split is None and not usual:
        return present
    split = choose_split("davis", root, split, [*lists, *present], usual)
    if split not in lists:
        return [split]
    # 2017 lists sequences, 2016 lists frames: "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png"
    first = [Path(line.split()[0]) for line in _lines(lists[split])]
    return list(dict.fromkeys(path.parent.name if path.suffix else path.name for path in first))


def _davis_truth(photo: PhotoRef, path: Path) -> Truth:
    objects = read_map(photo, path, channels=None)
    if objects.ndim == 3:  # some frames of 2016 are grey stored as colour
        colours = objects[..., :3] if objects.shape[2] > 2 else objects[..., :1]
        if (colours != colours[..., :1]).any():
            raise LayoutError(f"{path}: expected an index map or black and white, got colours")
        objects = colours[..., 0]
    values = values_in(objects, but=(0,))
    if values == [VOID]:  # 2016: the one object is white
        objects, values = objects // VOID, [1]
    drawn = DrawnForest(objects.shape)
    for value in values:
        if value != VOID:
            drawn.add(objects == value, category=value)
    return drawn.truth()


# ---------------------------------------------------------------------- Clothing Co-Parsing


def read_clothing(root: Path, split: str | None) -> Dataset:
    """images/*.jpg, masks/*.png (index maps, 0 is null), classes.txt: people, what they wear, and skin and hair."""
    refuse_split("clothing", root, split)
    top = find_root("clothing", root, ["images", "masks"])
    if not (top / "classes.txt").is_file():
        raise wrong_layout("clothing", root, "classes.txt")
    names, masks = _listed_classes(top / "classes.txt"), top / "masks"
    pairs = photos_with_labels(
        "clothing", top / "images", lambda photo: masks / f"{photo.path.stem}.png", [*masks.glob("*.png")]
    )
    examples = [_example(photo, partial(_clothing_truth, names=names), label) for photo, label in pairs]
    return Dataset("clothing", names, tuple(examples))


def _clothing_truth(photo: PhotoRef, path: Path, names: dict[int, str]) -> Truth:
    """person > label > piece; `source` tells which, so a measure may leave one out.

    The person is all that is labelled (category -1: the data set has no such class). A label is what people painted in
    one class, a pair of shoes as much as a coat. Where it lies in several places, each is a piece below it: a segmenter
    that joins neighbours finds the left shoe and the right, but can never find the pair.
    """
    labels = semantic_map(read_map(photo, path), len(names), (), path)
    drawn, called = DrawnForest(labels.shape), []
    values = values_in(labels, but=(0,))
    if values:
        person = drawn.add(labels > 0, source="person")
        called.append("person")
    for value in values:
        row = drawn.add(labels == value, person, value, "label")
        pieces = _pieces(labels == value)
        for piece in pieces:
            drawn.add(piece, row, value, "piece")
        called += [names[value]] * (1 + len(pieces))
    return drawn.truth(labels, tuple(called))


def _pieces(mask: np.ndarray) -> list[np.ndarray]:
    """Its connected places, if there are several of some size; neighbours touch at a corner too."""
    places, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(places.ravel())
    least = max(PIECE_SHARE * areas[1:].sum(), PIECE_AREA)
    large = [place for place in range(1, len(areas)) if areas[place] >= least]
    return [places == place for place in large] if len(large) > 1 else []


# ---------------------------------------------------------------------- for several of them


def _example(photo: PhotoRef, truth: Callable[..., Truth], *labels: Path) -> Example:
    return Example(photo, photo.key, labels=labels, read=partial(truth, photo, *labels))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _listed_classes(path: Path) -> dict[int, str]:
    """Lines of an index and a name."""
    names = {}
    for line in _lines(path):
        index, _, name = line.strip().partition(" ")
        if not index.isdecimal() or not name:
            raise LayoutError(f'{path}: expected lines of an index and a name, got "{line.strip()}"')
        names[int(index)] = name.strip()
    if sorted(names) != list(range(len(names))):
        raise LayoutError(f"{path}: expected every index from 0 to {max(names, default=0)}, got {len(names)} of them")
    return names
