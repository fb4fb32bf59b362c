"""Data sets by a word and a place: `open_dataset("coco:/data/coco:val2017")`.

In: LAYOUT:ROOT or LAYOUT:ROOT:SPLIT. Out: a `Dataset` whose photos and label files are known to be there; labels
themselves are read only when an example's truth is asked for. Every layout is the one its data set is published in.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path

from hedgerow.data.coco import image_ids_and_files, read_coco, read_coco_voc, read_lvis, read_sa1b
from hedgerow.data.examples import Dataset, Example, LayoutError, Truth
from hedgerow.data.painted import read_ade20k, read_bsds, read_camvid, read_clothing, read_davis, read_voc
from hedgerow.data.places import Missing, refuse_split, without_missing, wrong_layout
from hedgerow.data.stuff import read_coco_stuff, read_context
from hedgerow.photos import find_photos

__all__ = ["LAYOUTS", "Dataset", "Example", "LayoutError", "Truth", "image_ids_and_files", "open_dataset"]


def open_dataset(spec: str, missing: Missing = "error") -> Dataset:
    """The data set that lies at ROOT in the layout LAYOUT; the usual split, or the only one, where none is named.

    Photos or label files that the data set lists but that are not there end in one line that names them; with
    missing="skip" their examples are left out, and one warning says so.
    """
    layout, root, split = _parsed(spec)
    if not root.exists() and not (layout in UNLABELLED and glob.has_magic(str(root))):
        raise LayoutError(
            f"{layout}: there is nothing at {root}; a data set is written LAYOUT:ROOT or LAYOUT:ROOT:SPLIT"
        )
    if root.is_file() and layout not in UNLABELLED:
        raise LayoutError(f"{layout}: {root} is a file, expected the folder that holds the data set")
    dataset = LAYOUTS[layout](root, split)
    if not dataset:
        raise LayoutError(f"{spec} has no photo: give another split")
    return without_missing(dataset, missing)


def _parsed(spec: str) -> tuple[str, Path, str | None]:
    """A root may hold colons ("C:\\data"): what is there as a whole is the root; else its last part is the split."""
    layout, _, rest = spec.partition(":")
    layout = layout.strip().lower()
    if layout not in LAYOUTS or not rest:
        raise LayoutError(
            f'"{spec}" is no data set: write LAYOUT:ROOT or LAYOUT:ROOT:SPLIT with one of {", ".join(LAYOUTS)}'
        )
    root, colon, split = rest.rpartition(":")
    drive = len(root) == 1 and split[:1] in ("\\", "/")
    if Path(rest).expanduser().exists() or not colon or drive or not root:
        return layout, Path(rest).expanduser(), None
    return layout, Path(root).expanduser(), split or None


def _read_folder(root: Path, split: str | None) -> Dataset:
    """Photos in a folder and the folders below it, or those a glob matches; no labels."""
    refuse_split("folder", root, split)
    if root.is_file():
        raise LayoutError(f"folder: {root} is a file, expected a folder; a tar of photos is written tar:{root}")
    return _unlabelled("folder", [root])


def _read_tar(root: Path, split: str | None) -> Dataset:
    """Photos in a tar, in all tars of a folder, or in those a glob matches; no labels."""
    refuse_split("tar", root, split)
    tars = sorted(root.glob("*.tar")) if root.is_dir() else [root]
    if not tars:
        raise wrong_layout("tar", root, "*.tar")
    return _unlabelled("tar", tars)


def _unlabelled(name: str, inputs: list[Path]) -> Dataset:
    return Dataset(name, {}, tuple(Example(photo, photo.key) for photo in find_photos(inputs)))


LAYOUTS: dict[str, Callable[[Path, str | None], Dataset]] = {
    "coco": read_coco,
    "lvis": read_lvis,
    "coco-voc": read_coco_voc,
    "bsds": read_bsds,
    "voc": read_voc,
    "context": read_context,
    "coco-stuff": read_coco_stuff,
    "camvid": read_camvid,
    "ade20k": read_ade20k,
    "sa1b": read_sa1b,
    "davis": read_davis,
    "clothing": read_clothing,
    "folder": _read_folder,
    "tar": _read_tar,
}
UNLABELLED = ("folder", "tar")
