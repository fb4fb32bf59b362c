"""GeoJSON (RFC 7946): a FeatureCollection a photo, a region a Polygon or MultiPolygon with its holes.

Coordinates are pixels, x from the left and y from the top, as viewers of slides take them; or, through six numbers of
an affine transform, those of a map. A world file has the same six, of the middles of pixels and in another order.
RFC 7946 wants longitude and latitude; whoever has other coordinates gives them all the same, and says so elsewhere.
Properties are those of a forest file: id, parent, depth, area, score, source, name, category.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.config import CallerError
from hedgerow.exchange.entries import (
    REGION,
    Entry,
    file_told,
    forest_of,
    in_folder,
    made_by,
    maker,
    place,
    read_json,
    reading,
    rows_of,
    size_told,
    stream,
)
from hedgerow.exchange.outlines import Polygon, painted, polygons, signed_area
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

KIND = "GeoJSON file"
WORLD_FILES = (".wld", ".tfw", ".tifw", ".tiffw", ".jgw", ".jpgw", ".jpegw", ".pgw", ".pngw")


@dataclass(frozen=True)
class Affine:
    """x' = a x + b y + c and y' = d x + e y + f; of corners of pixels, as GDAL and rasterio have it."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        x, y = points.T
        return np.stack([self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f], 1)

    @property
    def inverse(self) -> Affine:
        area = self.a * self.e - self.b * self.d
        if not np.isfinite(area) or area == 0:
            raise CallerError(f"this transform brings all pixels onto a line: {self}")
        a, b, d, e = self.e / area, -self.b / area, -self.d / area, self.a / area
        return Affine(a, b, -a * self.c - b * self.f, d, e, -d * self.c - e * self.f)


PIXELS = Affine()


def read_world_file(path: str | Path) -> Affine:
    """Six lines: a, d, b, e, and where the middle of the first pixel lies."""
    path = Path(path)
    with reading(path, "world file"):
        a, d, b, e, c, f = (float(word) for word in path.read_text("utf-8").split())
    return Affine(a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)


def world_file_of(photo: Path) -> Path | None:
    """The world file beside a photo."""
    return next((place for suffix in WORLD_FILES if (place := photo.with_suffix(suffix)).is_file()), None)


def write_geojson(
    folder: str | Path,
    entries: Iterable[Entry],
    *,
    tolerance: float = 0.0,
    transform_of: Callable[[str], Affine] = lambda file: PIXELS,
) -> int:
    """A folder of files, NAME.geojson each; returns how many regions are in them."""
    folder = Path(folder)
    written = 0
    for entry in entries:
        write_atomically(
            place(folder / f"{entry.key}.geojson"), stream(_pieces(entry, tolerance, transform_of(entry.file)))
        )
        written += len(entry.forest)
    return written


def read_geojson(
    path: str | Path,
    sized: Callable[[str], tuple[str, tuple[int, int]]] | None = None,
    transform_of: Callable[[str], Affine] = lambda file: PIXELS,
) -> Iterator[Entry]:
    """The forests of a file, or of a folder of them. Where a file does not say how large its photo is, `sized` tells,
    by its name without suffix, the photo's file and its (H, W)."""
    path = Path(path)
    for file in in_folder(path, "*.geojson", KIND) if path.is_dir() else [path]:
        below = file.relative_to(path) if path.is_dir() else Path(file.name)
        with reading(file, KIND):
            document = read_json(file)
            told = document.get("image")
            if told is not None:
                photo, size = file_told(told["file"]), size_told(told["height"], told["width"])
            elif sized is not None:
                photo, size = sized(below.with_suffix("").as_posix())
            else:
                raise CallerError(f"{file} does not say how large its photo is: give the folder of photos")
            features = [feature for feature in document["features"] if feature["geometry"] is not None]
            forest = _forest(features, size, transform_of(photo).inverse, str(file))
        yield Entry(photo, forest, made_by(document.get("model")))


def _pieces(entry: Entry, tolerance: float, transform: Affine) -> Iterator[str]:
    forest = entry.forest
    height, width = forest.size
    image = {"file": entry.file, "width": width, "height": height}
    yield f'{{"type": "FeatureCollection",\n"image": {json.dumps(image)},\n"model": {json.dumps(maker(entry.model))},\n'
    yield '"features": ['
    for row in range(len(forest)):
        outlines = [
            [_ring(ring, transform, number > 0) for number, ring in enumerate(piece.rings)]
            for piece in polygons(forest.rles[row], forest.size, tolerance)
        ]
        several = len(outlines) > 1
        geometry = {
            "type": "MultiPolygon" if several else "Polygon",
            "coordinates": outlines if several else outlines[0],
        }
        feature = {"type": "Feature", "id": row, "properties": _properties(forest, row), "geometry": geometry}
        yield (",\n" if row else "\n") + json.dumps(feature)
    yield "\n]}\n"


def _properties(forest: MaskForest, row: int) -> dict[str, Any]:
    above = int(forest.parent[row])
    told: dict[str, Any] = {
        "parent": above if above >= 0 else None,
        "depth": int(forest.depth[row]),
        "area": int(forest.areas[row]),
        "score": max(round(float(forest.score[row]), 6), 1e-6),
        "source": forest.source[row],
    }
    if forest.name is not None and forest.name[row]:
        told["name"] = forest.name[row]
    if forest.category is not None and forest.category[row] >= 0:
        told["category"] = int(forest.category[row])
    return told


def _ring(ring: np.ndarray, transform: Affine, hole: bool) -> list[list[float]]:
    """Closed, an outline counterclockwise as x goes right and y goes up, a hole clockwise."""
    points = transform(ring)
    if (signed_area(points) > 0) == hole:
        points = points[::-1]
    closed = np.concatenate([points, points[:1]])
    return [[int(v) if v == int(v) else float(f"{v:.12g}") for v in point] for point in closed.tolist()]


def _forest(features: list[dict[str, Any]], size: tuple[int, int], to_pixels: Affine, where: str) -> MaskForest:
    masks, calls, score = [], [], []
    for feature in features:
        rings = [to_pixels(ring) for piece in _polygons(feature["geometry"]) for ring in piece.rings]
        masks.append(painted(rings, size))
        told = feature.get("properties") or {}
        category = told.get("category")
        calls.append(str(told.get("name") or (REGION if category is None else f"category {category}")))
        score.append(float(told.get("score", 1.0)))
    above = None
    if any("parent" in (feature.get("properties") or {}) for feature in features):
        parents = [(feature.get("properties") or {}).get("parent") for feature in features]
        above = rows_of([feature["id"] for feature in features], parents, where)
    return forest_of(size, masks, calls, parent=above, score=score, where=where)


def _polygons(geometry: dict[str, Any]) -> list[Polygon]:
    kinds = {"Polygon": [geometry.get("coordinates")], "MultiPolygon": geometry.get("coordinates")}
    if geometry["type"] not in kinds:
        raise CallerError(f"regions are of Polygon or MultiPolygon, got {geometry['type']!r}")
    found = []
    for outline in kinds[geometry["type"]] or []:
        rings = [np.array(ring, np.float64)[:, :2] for ring in outline or []]
        if any(not np.isfinite(ring).all() or np.abs(ring).max(initial=0) > 1e12 for ring in rings):
            raise CallerError("a corner of an outline is no number that a map has")
        if rings:
            found.append(Polygon(rings[0], tuple(rings[1:])))
    return found
