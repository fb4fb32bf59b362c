"""Layouts whose labels are COCO's json annotations: coco and lvis (one file a split), sa1b (one file a photo).

In: a root and a split. Out: a `Dataset` whose truths are `regions`, all of them roots (none of the three says what is
part of what), in step with `crowd`. Masks are exactly those of pycocotools' annToRLE, the one reading of COCO's
polygons that all published numbers share. Or, as coco-voc, COCO's things painted as a map of VOC's classes.

An annotation that covers no pixel is left out with a warning, since a forest has no empty masks; one that cannot be
read is an error, since leaving it out would change what is measured.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from pycocotools import mask as coco

from hedgerow import rle
from hedgerow.data import classes as names
from hedgerow.data.examples import Dataset, Example, LayoutError, Truth
from hedgerow.data.places import Presence, choose_split, photos_with_labels, refuse_split, some, wrong_layout
from hedgerow.forest import MaskForest
from hedgerow.photos import PhotoRef

FAR = 1e6  # pixels; a polygon's corner beyond is a damaged number, and pycocotools would walk all the way to it

log = logging.getLogger(__name__)


def read_coco(root: Path, split: str | None) -> Dataset:
    """ROOT/annotations/instances_SPLIT.json with the photos in ROOT/SPLIT or ROOT/images/SPLIT."""
    path, split = _find_json("coco", root, "instances_", split, usual=("val2017",))
    return _read_instances("coco", path, root, [split, f"images/{split}", "images", ""])


def read_coco_voc(root: Path, split: str | None) -> Dataset:
    """COCO's files as maps of VOC's 20 classes and background, which is whatever COCO has beside these.

    Crowds are painted as their class. Pixels that things of two of the classes claim are void, as where torchvision's
    reference makes VOC of COCO; those that two things of one class claim are that class.
    """
    path, split = _find_json("coco-voc", root, "instances_", split, usual=("val2017",))
    of_name = {name: index for index, name in enumerate(names.VOC) if index}
    of_name |= {theirs: of_name[ours] for theirs, ours in names.VOC_IN_COCO.items()}
    whole = _read_instances("coco-voc", path, root, [split, f"images/{split}", "images", ""])
    of_id = {number: of_name[name] for number, name in whole.classes.items() if name in of_name}
    if not of_id:
        raise LayoutError(f"{path}: has none of VOC's classes, only {some([*whole.classes.values()]) or 'none'}")
    painted = (replace(example, read=partial(_painted, example.read, of_id)) for example in whole)
    return Dataset("coco-voc", dict(enumerate(names.VOC)), tuple(painted))


def read_lvis(root: Path, split: str | None) -> Dataset:
    """lvis_v1_SPLIT.json in ROOT or ROOT/annotations; photos where their coco_url says, below ROOT or ROOT/images.

    LVIS marks a class in a photo only where it was looked for, so a mask that matches nothing need not be wrong: recall
    means what it says, precision needs LVIS's own lists of classes looked for, which are not read here.
    """
    path, _ = _find_json("lvis", root, "lvis_v1_", split, usual=("val",))
    return _read_instances("lvis", path, root, ["", "images", "coco"])


def read_sa1b(root: Path, split: str | None) -> Dataset:
    """sa_N.jpg and sa_N.json side by side in ROOT or folders below it. No classes; masks overlap freely."""
    refuse_split("sa1b", root, split)
    pairs = photos_with_labels("sa1b", root, lambda photo: photo.path.with_suffix(".json"), root.rglob("sa_*.json"))
    examples = [
        Example(photo, _sa1b_number(photo), labels=(label,), read=partial(_sa1b_truth, label)) for photo, label in pairs
    ]
    return Dataset("sa1b", {}, tuple(examples))


def captions_by_photo(path: Path, root: Path) -> list[tuple[PhotoRef, list[str]]]:
    """The photos that captions_SPLIT.json lists, in its order, each with what five people or so wrote of it."""
    data = _load(path)
    images = _rows(data, "images", ("id",), path)
    written: dict[int | str, list[str]] = defaultdict(list)
    for row in _rows(data, "annotations", ("image_id", "caption"), path):
        written[row["image_id"]].append(str(row["caption"]))
    split = path.stem.removeprefix("captions_")
    files = [_file_name(image, path) for image in images]
    places = [split, f"images/{split}", "images", ""]
    folders = {folder: _place(root, places, folder) for folder in {PurePosixPath(file).parent for file in files}}
    photos = []
    for image, file, key in zip(images, files, _keys(images, files), strict=True):
        place = folders[PurePosixPath(file).parent] / PurePosixPath(file).name
        photos.append((PhotoRef(key, place), written.get(image["id"], [])))
    return photos


def image_ids_and_files(annotations: str | Path) -> list[tuple[int | str, str]]:
    """(image id, file name) of every photo a COCO or LVIS json lists, in its order."""
    path = Path(annotations)
    return [(image["id"], _file_name(image, path)) for image in _rows(_load(path), "images", ("id",), path)]


def _find_json(layout: str, root: Path, prefix: str, split: str | None, usual: Sequence[str]) -> tuple[Path, str]:
    found: dict[str, Path] = {}
    for path in sorted(root.glob(f"{prefix}*.json")) + sorted((root / "annotations").glob(f"{prefix}*.json")):
        found[path.stem.removeprefix(prefix)] = path
    if not found:
        raise wrong_layout(layout, root, f"annotations/{prefix}*.json")
    split = choose_split(layout, root, split, list(found), usual)
    return found[split], split


def _read_instances(name: str, path: Path, root: Path, places: Sequence[str]) -> Dataset:
    """`places` below the root may hold the photos; the first that has the folder of a file name does."""
    data = _load(path)
    images = _rows(data, "images", ("id", "height", "width"), path)
    annotations = _rows(data, "annotations", ("image_id", "category_id", "segmentation"), path)
    classes = _classes(data, path)
    of_image = _by_image(images, annotations, classes, path)
    files = [_file_name(image, path) for image in images]
    folders = {folder: _place(root, places, folder) for folder in {PurePosixPath(file).parent for file in files}}
    examples = []
    for image, file, key in zip(images, files, _keys(images, files), strict=True):
        size = _size(image, path)
        photo = PhotoRef(key, folders[PurePosixPath(file).parent] / PurePosixPath(file).name)
        read = partial(_truth, tuple(of_image.get(image["id"], ())), size, path)
        examples.append(Example(photo, image["id"], size, read=read))
    present = Presence()
    if examples and not any(present(example.photo.path) for example in examples):
        wanted = " or ".join(f"{place}/" if place else "the root" for place in places)
        raise wrong_layout(name, root, f"the photos of {path.name}, such as {files[0]}, in {wanted}")
    return Dataset(name, classes, tuple(examples))


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise LayoutError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"{path}: damaged or cut short ({error}): fetch it again") from error
    if not isinstance(data, dict):
        kind = "a list, as of results" if isinstance(data, list) else type(data).__name__
        raise LayoutError(f"{path}: expected an object with images and annotations, got {kind}")
    return data


def _rows(data: dict[str, Any], table: str, keys: Sequence[str], path: Path) -> list[dict[str, Any]]:
    rows = data.get(table)
    if not isinstance(rows, list):
        raise LayoutError(f"{path}: expected a list of {table}, found the keys {some(list(data)) or 'none'}")
    for number, row in enumerate(rows):
        lacking = [key for key in keys if key not in row] if isinstance(row, dict) else list(keys)
        if lacking:
            raise LayoutError(f"{path}: number {number} of its {table} lacks {', '.join(lacking)}")
        for key in keys:
            if key.endswith("id") and not isinstance(row[key], int | str):
                raise LayoutError(f"{path}: number {number} of its {table} has the {key} {row[key]!r}")
    return rows


def _classes(data: dict[str, Any], path: Path) -> dict[int, str]:
    classes = {row["id"]: str(row["name"]) for row in _rows(data, "categories", ("id", "name"), path)}
    for number in classes:
        if not isinstance(number, int):
            raise LayoutError(f"{path}: categories have whole numbers for ids, got {number!r}")
    return classes


def _by_image(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], classes: dict[int, str], path: Path
) -> dict[int | str, list[dict[str, Any]]]:
    ids = {image["id"] for image in images}
    if len(ids) < len(images):
        raise LayoutError(f"{path}: {len(images) - len(ids)} of its images have the id of another")
    of_image: dict[int | str, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        if annotation["category_id"] not in classes:
            raise LayoutError(
                f"{_named(annotation, path)} has category {annotation['category_id']}, which is not listed"
            )
        of_image[annotation["image_id"]].append(annotation)
    strange = [key for key in of_image if key not in ids]
    if strange:  # common in subsets cut out by their photos, and harmless to measuring those
        count = sum(len(of_image[key]) for key in strange)
        log.warning("%s: %d annotations are of images it does not list: %s", path, count, some([*map(str, strange)]))
    return of_image


def _named(annotation: dict[str, Any], path: Path) -> str:
    return f"{path}: annotation {annotation.get('id', '')} of image {annotation.get('image_id', '')}"


def _file_name(image: dict[str, Any], path: Path) -> str:
    """LVIS gives no file name, only a URL whose last two parts are COCO's folder and file."""
    name = str(image.get("file_name") or "/".join(str(image.get("coco_url", "")).split("/")[-2:]))
    outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in PurePosixPath(name).parts
    if not name or outside:  # a key is made from it, under which results are written
        raise LayoutError(f"{path}: image {image['id']} needs a file name below its folder, got {name!r}")
    return name


def _place(root: Path, places: Sequence[str], folder: PurePosixPath) -> Path:
    return next((root / place / folder for place in places if (root / place / folder).is_dir()), root / folder)


def _keys(images: list[dict[str, Any]], files: Sequence[str]) -> list[str]:
    """File names without suffix, as `find_photos` names them; in full where two would be the same."""
    names = [str(image.get("file_name") or PurePosixPath(file).name) for image, file in zip(images, files, strict=True)]
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in names]
    times = Counter(stem.casefold() for stem in stems)
    return [stem if times[stem.casefold()] == 1 else file for stem, file in zip(stems, files, strict=True)]


def _size(image: dict[str, Any], path: Path) -> tuple[int, int]:
    height, width = image["height"], image["width"]
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise LayoutError(f"{path}: image {image['id']} has height {height!r} and width {width!r}, expected pixels")
    return height, width


def _truth(annotations: Iterable[dict[str, Any]], size: tuple[int, int], path: Path) -> Truth:
    rles, kept = _masks(annotations, size, path)
    category = np.array([annotation["category_id"] for annotation in kept], np.int32)
    return Truth(MaskForest(size, rles, category=category), _crowd(kept))


def _painted(read: Callable[[], Truth], of_id: Mapping[int, int]) -> Truth:
    """What `read` marks as a map of classes, in which 0 is background."""
    regions = read().regions
    assert regions is not None
    assert regions.category is not None
    semantic = np.zeros(regions.size, np.int32)
    for row, number in enumerate(regions.category.tolist()):
        if (index := of_id.get(number)) is not None:
            mask = regions.mask(row)
            semantic[mask] = np.where(np.isin(semantic[mask], (0, index)), index, -1)
    return Truth(semantic=semantic)


def _masks(
    annotations: Iterable[dict[str, Any]], size: tuple[int, int], path: Path
) -> tuple[tuple[bytes, ...], list[dict[str, Any]]]:
    """Masks with a pixel, and the annotations they are of."""
    rles, kept, empty = [], [], []
    for annotation in annotations:
        counts = _rle(annotation, size, path)
        if counts is None:
            empty.append(_named(annotation, path))
        else:
            rles.append(counts)
            kept.append(annotation)
    if empty:
        log.warning("%s covers no pixel (%d such in this photo): left out", empty[0], len(empty))
    return tuple(rles), kept


def _rle(annotation: dict[str, Any], size: tuple[int, int], path: Path) -> bytes | None:
    """What annToRLE gives, proved sound; None where that has no pixel, or fails on polygons that enclose none."""
    shape = annotation["segmentation"]
    try:
        if isinstance(shape, list):
            polygons = _drawable(shape)
            counts = coco.merge(coco.frPyObjects(polygons, *size))["counts"] if polygons else b""
        else:
            counts, given = shape["counts"], list(shape["size"])
            if given != list(size):
                raise ValueError(f"it is of {given}, the photo of {list(size)} (height, width)")
            if isinstance(counts, list):
                counts = rle.compressed(counts, size)
            else:
                counts = rle.sound(counts if isinstance(counts, bytes) else counts.encode("ascii"), size)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        cause = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise LayoutError(f"{_named(annotation, path)} has a mask that cannot be read: {cause}") from error
    return counts if counts and coco.area({"size": list(size), "counts": counts}) else None


def _drawable(polygons: list[list[float]]) -> list[list[float]]:
    """The polygons with at least three corners; pycocotools fails on a first one with fewer."""
    for polygon in polygons:
        if not isinstance(polygon, list):
            raise ValueError("expected polygons, each a list of x, y, x, y ...")
        if not np.all(np.abs(np.asarray(polygon, float)) < FAR):  # what is not a number is not less either
            raise ValueError(f"a corner of its polygon is no number below {FAR:.0f}")
    return [polygon for polygon in polygons if len(polygon) >= 6]


def _crowd(annotations: Iterable[dict[str, Any]]) -> np.ndarray:
    return np.array([bool(annotation.get("iscrowd", 0)) for annotation in annotations], bool)


def _sa1b_number(photo: PhotoRef) -> int | str:
    number = photo.path.stem.removeprefix("sa_")
    return int(number) if number.isdecimal() else photo.key


def _sa1b_truth(path: Path) -> Truth:
    data = _load(path)
    image = data.get("image")
    if not isinstance(image, dict) or not {"height", "width"} <= set(image):
        raise LayoutError(
            f"{path}: expected an image with height and width, found the keys {some(list(data)) or 'none'}"
        )
    size = _size({"id": path.stem, **image}, path)
    rles, kept = _masks(_rows(data, "annotations", ("segmentation",), path), size, path)
    return Truth(MaskForest(size, rles), _crowd(kept))
