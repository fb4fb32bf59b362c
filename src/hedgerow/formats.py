"""Files: forest JSON, COCO results, level maps. What is read is proved before it is trusted; what is written is whole.

In: a MaskForest and what it came from, or a path. Out: a file that carries its name only once it is complete, or the
forest again. `assets/forest.schema.json` states the forest file; COCO is the layout pycocotools reads, with `id` and
`parent_id` beside. Boxes are COCO's [x, y, w, h], width and height counted in pixels (SAM's are one less). Text is
ASCII with JSON escapes, so a file name that is not Unicode survives.
"""

from __future__ import annotations

import json
import reprlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from PIL import Image

from hedgerow import rle
from hedgerow.config import CallerError
from hedgerow.forest import MaskForest
from hedgerow.writing import write_atomically

FORMAT = 1
SUPERVISION = ("none", "captions")
KINDS = {dict: "an object", list: "a list", str: "text", int: "a whole number", float: "a number"}

# ---------------------------------------------------------------------- forest JSON


def write_forest(
    path: str | Path, forest: MaskForest, image_file: str, model: Mapping[str, Any], *, embedding: bool = False
) -> None:
    """One photo's forest as `*.forest.json`; `model` says name, supervision and weights_sha256 (None: no weights)."""
    _header_is_sound(model, "model")
    height, width = forest.size
    image = {"file": str(image_file), "width": width, "height": height}
    segments = ",\n  ".join(_json(segment) for segment in _segments(forest, embedding))
    text = f'{{"hedgerow": {FORMAT},\n "image": {_json(image)},\n "model": {_json(dict(model))},\n "segments": [\n  '
    write_atomically(path, f"{text}{segments}\n ]}}\n".encode())


def _segments(forest: MaskForest, embedding: bool) -> Iterator[dict[str, Any]]:
    for i in range(len(forest)):
        above = int(forest.parent[i])
        segment: dict[str, Any] = {
            "id": i,
            "parent": above if above >= 0 else None,
            "depth": int(forest.depth[i]),
            "area": int(forest.areas[i]),
            "bbox": [int(v) for v in forest.boxes[i]],
            "score": _short(forest.score[i]),
            "source": forest.source[i],
            "segmentation": {"size": list(forest.size), "counts": forest.rles[i].decode("ascii")},
        }
        if forest.category is not None and forest.category[i] >= 0:
            segment["category"] = int(forest.category[i])
        if forest.name is not None and forest.name[i]:
            segment["name"] = forest.name[i]
            if forest.name_score is not None:
                segment["name_score"] = round(float(forest.name_score[i]), 6)
        if embedding and forest.embedding is not None:
            segment["embedding"] = [float(str(v)) for v in forest.embedding[i]]  # as short as float32 allows, exact
        yield segment


def read_forest(path: str | Path) -> tuple[MaskForest, dict[str, Any]]:
    """The forest of a file that `write_forest` made, and its header: {"image": ..., "model": ...}."""
    document = _read_json(path)
    try:
        return _forest(document)
    except ValueError as error:
        raise CallerError(f"{path}: {error}") from None


def _forest(document: Any) -> tuple[MaskForest, dict[str, Any]]:
    if not isinstance(document, dict) or "hedgerow" not in document:
        raise CallerError("this is no forest file: it has no 'hedgerow' key")
    if (version := document["hedgerow"]) != FORMAT:
        raise CallerError(f"expected forest format {FORMAT}, got {reprlib.repr(version)}; use a newer Hedgerow")
    image, model = _get(document, "image", dict, "the file"), _get(document, "model", dict, "the file")
    _header_is_sound(model, "model")
    _get(image, "file", str, "image")
    size = _size([_get(image, "height", int, "image"), _get(image, "width", int, "image")], "image")
    segments = _get(document, "segments", list, "the file")
    columns: dict[str, list[Any]] = defaultdict(list)
    for i, segment in enumerate(segments):
        _add_segment(columns, segment, i, size)
    forest = MaskForest(
        size=size,
        rles=tuple(columns["rle"]),
        parent=np.array(columns["parent"], np.int32),
        score=np.array(columns["score"], np.float32),
        source=tuple(columns["source"]),
        category=np.array(columns["category"], np.int32) if any(c >= 0 for c in columns["category"]) else None,
        name=tuple(columns["name"]) if any(columns["name"]) else None,
        name_score=_name_scores(columns["name_score"]),
        embedding=_embeddings(columns["embedding"]),
    )
    _tells_the_truth(segments, forest)
    return forest, {"image": image, "model": model}


def _header_is_sound(model: Mapping[str, Any], where: str) -> None:
    _get(model, "name", str, where)
    if (supervision := model.get("supervision")) not in SUPERVISION:
        raise CallerError(f"{where}: 'supervision' must be one of {SUPERVISION}, got {reprlib.repr(supervision)}")
    if model.get("weights_sha256", "") is not None:
        _get(model, "weights_sha256", str, where)


def _add_segment(columns: dict[str, list[Any]], segment: Any, i: int, size: tuple[int, int]) -> None:
    where = f"segment {i}"
    if _get(_object(segment, where), "id", int, where) != i:
        raise CallerError(f"ids are row numbers from 0: expected {i}, got {segment['id']}")
    parent = -1
    if segment.get("parent", "missing") is not None:
        parent = _get(segment, "parent", int, where)
        if not 0 <= parent < i:
            raise CallerError(f"{where}: 'parent' must be null or the id of an earlier segment, got {parent}")
    columns["parent"].append(parent)
    columns["score"].append(_score(segment, where))
    columns["source"].append(_get(segment, "source", str, where))
    columns["category"].append(_category(segment, "category", where))
    columns["name"].append(_get(segment, "name", str, where) if "name" in segment else "")
    columns["name_score"].append(_name_score(segment, where))
    columns["embedding"].append(_get(segment, "embedding", list, where) if "embedding" in segment else None)
    for key in ("depth", "area", "bbox"):
        _get(segment, key, list if key == "bbox" else int, where)
    found, counts = _mask(_get(segment, "segmentation", dict, where), where)
    if found != size:
        raise CallerError(f"{where}: its mask is of size {list(found)}, the photo of {list(size)} (height, width)")
    columns["rle"].append(counts)


def _name_scores(scores: list[float | None]) -> np.ndarray | None:
    if all(score is None for score in scores):
        return None
    return np.array([score or 0.0 for score in scores], np.float32)


def _embeddings(rows: list[list[Any] | None]) -> np.ndarray | None:
    if all(row is None for row in rows):
        return None
    if any(row is None or len(row) != len(rows[0] or ()) for row in rows):
        raise CallerError("'embedding' must be given for every segment, at one length")
    table = np.asarray(rows)
    if table.dtype.kind not in "if" or table.ndim != 2 or np.abs(table).max(initial=0) > np.finfo(np.float32).max:
        raise CallerError("'embedding' must hold numbers only, each within float32")
    return table.astype(np.float32)


def _tells_the_truth(segments: list[dict[str, Any]], forest: MaskForest) -> None:
    """What a file says beside the masks is what the masks say: a cheap proof that nobody changed half of it."""
    for i, segment in enumerate(segments):
        truth = {"depth": int(forest.depth[i]), "area": int(forest.areas[i]), "bbox": forest.boxes[i].tolist()}
        for key, value in truth.items():
            if segment[key] != value:
                raise CallerError(
                    f"segment {i} says {key} {reprlib.repr(segment[key])}, its mask says {value}: the file was damaged"
                )


# ---------------------------------------------------------------------- COCO results


def write_coco(path: str | Path, forests: Iterable[tuple[int | str, MaskForest]], max_masks: int) -> int:
    """COCO results of a run, photo after photo, at most `max_masks` each, best first; returns how many in all.

    Ids are unique in the file. A region whose parent is cut is given its nearest ancestor in the file. Photos are
    taken one by one, so `forests` may read them from disk as they are asked for.
    """
    if max_masks < 1:
        raise CallerError(f"max_masks must be at least 1, got {max_masks}")
    written = 0

    def lines() -> Iterator[bytes]:
        nonlocal written
        seen: set[int | str] = set()
        yield b"["
        for image_id, forest in forests:
            if image_id in seen:
                raise CallerError(f"two forests are given for image {image_id!r}")
            seen.add(image_id)
            for result in forest.best(max_masks).to_coco(image_id, first_id=written + 1):
                yield (",\n" if written else "\n").encode() + _json(result).encode()
                written += 1
        yield b"\n]\n"

    write_atomically(path, lines())
    return written


def read_coco(path: str | Path) -> dict[int | str, MaskForest]:
    """The forests of a COCO results file by image id; regions are roots unless `parent_id` says otherwise.

    Regions stand in the file's order, parents first. Polygons are refused: results do not say how large the photo is.
    """
    document = _read_json(path)
    try:
        if not isinstance(document, list):
            raise CallerError(f"expected a list of COCO results, got {reprlib.repr(document)}")
        rows: dict[int | str, list[int]] = defaultdict(list)
        for row, result in enumerate(document):
            rows[_image_id(_object(result, f"result {row}"), f"result {row}")].append(row)
        return {image_id: _results(document, rows[image_id]) for image_id in rows}
    except ValueError as error:
        raise CallerError(f"{path}: {error}") from None


def _results(document: list[dict[str, Any]], rows: list[int]) -> MaskForest:
    """One photo's results as a forest."""
    size, rles, score, category = None, [], [], []
    name, name_score = [], []
    for row in rows:
        result, where = document[row], f"result {row}"
        if "segmentation" not in result:
            raise CallerError(f"{where} has no 'segmentation'")
        found, counts = _mask(result["segmentation"], where)
        size = size or found
        if found != size:
            raise CallerError(f"{where}: its mask is of size {list(found)}, others of its photo are {list(size)}")
        rles.append(counts)
        score.append(_score(result, where))
        category.append(-1 if result.get("category_id") == -1 else _category(result, "category_id", where))
        name.append(_get(result, "name", str, where) if "name" in result else "")
        name_score.append(_name_score(result, where))
    assert size is not None
    return MaskForest.from_nested(
        size,
        rles,
        _parents(document, rows),
        score=np.array(score, np.float32),
        category=np.array(category, np.int32) if max(category) >= 0 else None,
        name=tuple(name) if any(name) else None,
        name_score=_name_scores(name_score),
    )


def _parents(document: list[dict[str, Any]], rows: list[int]) -> np.ndarray:
    """(N,) the place of each result's parent among its photo's results, -1 for none."""
    if all(document[row].get("parent_id") is None for row in rows):
        return np.full(len(rows), -1)
    place: dict[int, int] = {}
    for k, row in enumerate(rows):
        if place.setdefault(_get(document[row], "id", int, f"result {row}"), k) != k:
            raise CallerError(f"result {row}: its id {document[row]['id']} is taken by another of its photo")
    parent = np.full(len(rows), -1)
    for k, row in enumerate(rows):
        if document[row].get("parent_id") is not None:
            above = _get(document[row], "parent_id", int, f"result {row}")
            if above not in place:
                raise CallerError(f"result {row}: no result of its photo has its parent_id {above}")
            parent[k] = place[above]
    return parent


def _image_id(result: dict[str, Any], where: str) -> int | str:
    kind = str if isinstance(result.get("image_id"), str) else int
    return _get(result, "image_id", kind, where)


# ---------------------------------------------------------------------- level maps


def write_levels(path: str | Path, levels: np.ndarray | Iterable[np.ndarray], count: int | None = None) -> None:
    """Nested partitions (L, H, W), coarse to fine, as `levels` (int32) in a compressed .npz.

    With `count`, levels are so many maps (H, W), and may come one at a time: only one is then held in memory.
    """
    if isinstance(levels, np.ndarray) and (levels.ndim != 3 or levels.dtype.kind not in "iu" or not len(levels)):
        raise CallerError(f"levels are whole numbers of shape (L, H, W), got {levels.dtype} of shape {levels.shape}")
    memory, maps = BytesIO(), iter(levels)
    first = next(maps)
    shape = (len(levels) if isinstance(levels, np.ndarray) else count, *first.shape)
    with ZipFile(memory, "w", ZIP_DEFLATED) as archive, archive.open("levels.npy", "w", force_zip64=True) as file:
        header = {"descr": "<i4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]
        for level in chain([first], maps):
            file.write(np.ascontiguousarray(level, "<i4").data)
    write_atomically(path, memory.getvalue())


# ---------------------------------------------------------------------- label maps


def write_label_map(path: str | Path, labels: np.ndarray, colours: np.ndarray) -> None:
    """Categories (H, W), -1 for none, as a PNG of category + 1 with a palette; of 16 bits without one if there are more
    colours (K, 3) than a palette holds."""
    memory, values = BytesIO(), labels + 1
    if len(colours) < 256:
        image = Image.fromarray(values.astype(np.uint8))
        image.putpalette(np.concatenate([np.zeros((1, 3), np.uint8), colours]).tobytes())
    else:
        image = Image.fromarray(values.astype(np.uint16))
    image.save(memory, "PNG")
    write_atomically(path, memory.getvalue())


def write_legend(
    path: str | Path, image_file: str, labels: np.ndarray, names: Sequence[str], colours: np.ndarray
) -> None:
    """Which values of a label map of names (H, W), -1 for none, are there, and which names they are."""
    values, counts = np.unique(labels[labels >= 0], return_counts=True)
    told = [
        {"value": int(row) + 1, "name": names[row], "colour": colours[row].tolist(), "pixels": int(count)}
        for row, count in zip(values, counts, strict=True)
    ]
    lines = ",\n  ".join(_json(one) for one in told)
    text = f'{{"hedgerow": {FORMAT},\n "image": {_json({"file": image_file})},\n "names": [\n  {lines}\n ]}}\n'
    write_atomically(path, text.encode())


# ---------------------------------------------------------------------- reading


def _short(score: float) -> float:
    """A score to six digits, never rounded down to 0, which no score is."""
    return max(round(float(score), 6), 1e-6)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CallerError(f"this cannot be written as JSON: {error}") from None


def _read_json(path: str | Path) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number of JSON's")

    try:
        return json.loads(Path(path).read_bytes(), parse_constant=refuse)
    except OSError as error:
        raise CallerError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise CallerError(f"{path}: this is no JSON file ({error})") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CallerError(f"{where} must be an object, got {reprlib.repr(value)}")
    return value


def _get(record: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    if key not in record:
        raise CallerError(f"{where} has no {key!r}")
    value = record[key]
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        raise CallerError(f"{where}: {key!r} must be {KINDS[kind]}, got {reprlib.repr(value)}")
    return value


def _score(record: dict[str, Any], where: str) -> float:
    score = _get(record, "score", float, where)
    if not 0 < score <= 1 or np.float32(score) == 0:
        raise CallerError(f"{where}: a score lies in (0, 1], got {reprlib.repr(score)}")
    return score


def _name_score(segment: dict[str, Any], where: str) -> float | None:
    """Of a name alone: without one it would say nothing."""
    if "name_score" not in segment:
        return None
    score = _get(segment, "name_score", float, where)
    if not segment.get("name") or not 0 <= score <= 1:
        raise CallerError(f"{where}: 'name_score' goes with a name and lies in [0, 1], got {reprlib.repr(score)}")
    return score


def _category(record: dict[str, Any], key: str, where: str) -> int:
    if key not in record:
        return -1
    category = _get(record, key, int, where)
    if not 0 <= category < 2**31:
        raise CallerError(f"{where}: {key!r} must be a whole number from 0 up, got {reprlib.repr(category)}")
    return category


def _size(values: Any, where: str) -> tuple[int, int]:
    """(H, W), checked."""
    ok = isinstance(values, list) and len(values) == 2
    ok = ok and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values)
    if not ok or values[0] * values[1] > rle.MOST_PIXELS:
        raise CallerError(f"{where}: height and width must be whole numbers from 1 up, got {reprlib.repr(values)}")
    return values[0], values[1]


def _mask(segmentation: Any, where: str) -> tuple[tuple[int, int], bytes]:
    """The (H, W) and the proved run lengths of a segmentation that may hold anything."""
    if isinstance(segmentation, list):
        raise CallerError(f"{where} is a polygon, which does not say how large the photo is: give run lengths (RLE)")
    size = _size(_get(_object(segmentation, where), "size", list, where), where)
    counts = segmentation.get("counts")
    try:
        if isinstance(counts, str):
            return size, rle.sound(counts.encode("utf-8", "surrogatepass"), size)
        if isinstance(counts, list):
            return size, rle.compressed(counts, size)
    except ValueError as error:
        raise CallerError(f"{where}: {error}") from None
    raise CallerError(f"{where}: 'counts' must be text or a list of run lengths, got {reprlib.repr(counts)}")
