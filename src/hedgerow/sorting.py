"""Segments of a collection into categories, and all that shows what the categories are.

In: a segment store, and how many categories (or `auto`). Out, in the store's folder,

    categories.npz, .json   what sorts new segments the same way (`hedgerow.categories.model`)
    segments.parquet        a row a segment: photo, row, box, area, score, category, distance from its centroid
    labels/KEY.png          label maps: 0 where no segment lies, category + 1 elsewhere
    overview.png            a row a category: its colour, its number, its most typical segments
    category-07.png         a category's most typical segments, each of another photo: for a person to name
    sheet.png               some photos under the colours of their categories

No photo is opened but those of the last sheet. The same segments, K and seed give the same files.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.categories import Categories, agreements, choose_k, fit_categories, fit_pca, write_categories
from hedgerow.config import Cluster, UsageError
from hedgerow.data.segments import PhotoSegments
from hedgerow.draw import category_colours, category_overlay, category_overview, contact_sheet
from hedgerow.formats import write_label_map
from hedgerow.gathering import Gathering
from hedgerow.photos import PhotoRef, open_photo
from hedgerow.pipeline import DECODED, Watch
from hedgerow.results import full_size, make_folder, png
from hedgerow.writing import write_atomically

GRID = (2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 21, 25, 30, 36, 43, 52, 62, 74, 90)  # numbers of categories that auto tries
ABREAST, AT_A_GLANCE = 6, 12  # thumbnails in a row of a category's sheet, and in one of the overview
DRAWN, SIDE = 24, 320  # photos on the sheet of photos, and pixels of each


@dataclass(frozen=True, eq=False)
class Sorted:
    """What was found: categories, the category of each segment, its distance; agreements that `auto` saw, by number."""

    categories: Categories
    of: np.ndarray
    distances: np.ndarray
    tried: dict[int, float]


def categories_asked(text: str) -> int | None:
    """-k as a number, None for auto; told before any photo is looked at."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"-k is a number of categories from 1 up, or auto, got {text!r}")
    return int(text)


def sort_segments(planned: Gathering, k: int | None, config: Cluster, watch: Watch = lambda items, _: items) -> Sorted:
    """Fit categories to the segments and write all files; `watch` shows progress."""
    store, seed = planned.store, config.seed
    vectors = store.vectors()
    tried: dict[int, float] = {}
    if k is None:
        found_in = fit_pca(vectors, config.dims)(vectors)
        tried = agreements(found_in, [k for k in GRID if 4 * k <= len(vectors)], seed, watch)
        k = choose_k(tried) if tried else 1
    categories = fit_categories(vectors, k, dims=config.dims, seed=seed)
    of, distances = categories.of(vectors)
    found = Sorted(categories, of, distances, tried)
    _forget(store.folder)
    write_categories(store.folder, categories, _card(planned, config, found))
    _write_photos(planned, found, watch)
    _draw_categories(planned, found, config.shown)
    _draw_photos(planned, config.seed)
    return found


def _forget(folder: Path) -> None:
    """Sheets of other categories would be taken for these."""
    for path in folder.glob("category-*.png"):
        with suppress(OSError):
            path.unlink()


def _card(planned: Gathering, config: Cluster, found: Sorted) -> dict[str, Any]:
    settings, k = planned.collection.settings, len(found.categories)
    counts = np.bincount(found.of, minlength=k)
    return {
        "supervision": settings["supervision"],
        "backbone": settings["backbone"],
        "most_segments": config.most_segments,
        "dims": config.dims,
        "seed": config.seed,
        "segments": len(found.of),
        "photos": len(planned.photos),
        "regions": settings["regions"],
        "tried": {str(number): round(score, 6) for number, score in found.tried.items()},
        "palette": [
            {"value": number + 1, "category": number, "colour": colour, "segments": int(counts[number])}
            for number, colour in enumerate(category_colours(k).tolist())
        ],
    }


# ---------------------------------------------------------------------- photo by photo


def _write_photos(planned: Gathering, found: Sorted, watch: Watch) -> None:
    """Label maps, and the table of all segments."""
    folder, first = planned.store.folder, 0
    colours = category_colours(len(found.categories))
    rows: list[dict[str, Any]] = []
    for photo in watch(planned.store, len(planned.photos)):
        if photo.forest is None:
            continue
        places = range(first, first + len(photo.forest))
        first = places.stop
        path = folder / "labels" / f"{photo.key}.png"
        make_folder(path.parent)
        write_label_map(path, _map(photo, found.of[places.start : places.stop]), colours)
        rows += [
            {
                "key": photo.key,
                "row": photo.rows[place - places.start],
                "x": int(box[0]),
                "y": int(box[1]),
                "width": int(box[2]),
                "height": int(box[3]),
                "area": int(photo.forest.areas[place - places.start]),
                "score": float(photo.forest.score[place - places.start]),
                "category": int(found.of[place]),
                "distance": float(found.distances[place]),
            }
            for place, box in zip(places, photo.forest.boxes, strict=True)
        ]
    _write_table(folder / "segments.parquet", rows)


def _map(photo: PhotoSegments, categories: np.ndarray) -> np.ndarray:
    """(H, W) int32 category of each pixel, -1 for none; the best segments, which stand first, are painted last."""
    assert photo.forest is not None
    labels = np.full(photo.forest.size, -1, np.int32)
    for row in range(len(photo.forest))[::-1]:
        labels[photo.forest.mask(row)] = categories[row]
    return labels


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = {"key": pyarrow.string(), "score": pyarrow.float32(), "distance": pyarrow.float32()}
    names = ("key", "row", "x", "y", "width", "height", "area", "score", "category", "distance")
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.int32())) for name in names])
    memory = BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), memory, compression="zstd")
    write_atomically(path, memory.getvalue())


# ---------------------------------------------------------------------- pictures


def _draw_categories(planned: Gathering, found: Sorted, shown: int) -> None:
    """A sheet a category, and one of all."""
    store, k = planned.store, len(found.categories)
    columns = store.columns("key", "scores")
    counts = [len(scores or ()) for scores in columns["scores"]]
    photo = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(photo)) - np.repeat(np.cumsum(counts) - counts, counts)
    digits = max(2, len(str(k - 1)))
    glances = []
    for category in range(k):
        typical = _typical(found, category, photo)[: max(shown, AT_A_GLANCE)]
        pictures = [_opened(store.thumbnail(int(photo[n]), int(place[n]))) for n in typical]
        glances.append(pictures[:AT_A_GLANCE])
        captions = [columns["key"][photo[n]] for n in typical]
        if pictures and shown:
            sheet = contact_sheet(pictures[:shown], captions[:shown], columns=ABREAST)
            write_atomically(store.folder / f"category-{category:0{digits}}.png", png(sheet))
    sizes = np.bincount(found.of, minlength=k).tolist()
    write_atomically(store.folder / "overview.png", png(category_overview(sizes, glances)))


def _typical(found: Sorted, category: int, photo: np.ndarray) -> np.ndarray:
    """Segments of a category, nearest to its centroid first, one a photo."""
    own = np.flatnonzero(found.of == category)
    own = own[np.argsort(found.distances[own], kind="stable")]
    return own[np.sort(np.unique(photo[own], return_index=True)[1])]


def _opened(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(jpeg)).convert("RGB"))


def _draw_photos(planned: Gathering, seed: int) -> None:
    """Some photos at random, each under the colours of its categories."""
    order = np.random.default_rng(seed).permutation(len(planned.photos))[:DRAWN]
    pictures, captions = [], []
    for photo in (planned.photos[place] for place in sorted(order.tolist())):
        path = planned.store.folder / "labels" / f"{photo.key}.png"
        if path.exists():
            pictures.append(_under_colours(photo, path))
            captions.append(photo.key)
    if pictures:
        write_atomically(planned.store.folder / "sheet.png", png(contact_sheet(pictures, captions, columns=6)))


def _under_colours(photo: PhotoRef, path: Path) -> np.ndarray:
    labels = np.asarray(Image.open(path)).astype(np.int32) - 1
    picture = Image.fromarray(category_overlay(full_size(open_photo(photo, DECODED)), labels))
    picture.thumbnail((SIDE, SIDE))
    return np.asarray(picture)
