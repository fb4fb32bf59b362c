"""Readers under a coverage-guided fuzzer (atheris): whatever a file holds, it is read or told of in one line.

    python tests/fuzz.py                    which readers there are
    python tests/fuzz.py forest 10          one of them, for so many minutes
    make fuzz MINUTES=10                    all of them, one after the other

A find is kept beside the corpus, in fuzz/READER/crash-*, and ends the run with a status; make a test of it.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import atheris

with atheris.instrument_imports(include=["hedgerow", "PIL", "tarfile", "json", "csv"]):
    from hedgerow.data.coco import image_ids_and_files
    from hedgerow.data.labels import LabelStore
    from hedgerow.data.pairs import read_pairs
    from hedgerow.exchange import read_coco_instances, read_geojson, read_labelme, read_panoptic, read_voc, read_yolo
    from hedgerow.formats import read_forest
    from hedgerow.photos import find_photos, open_photo
    from hedgerow.results import read_levels

import numpy as np
import pyarrow
import torch
from pyarrow import parquet

from faulty import KINDS, encoded, paint, run
from hedgerow.config import CallerError
from hedgerow.data.captions import LayoutError
from hedgerow.learn.sittings import read_checkpoint

HOME = Path("fuzz")
PLACE = Path(mkdtemp(prefix="hedgerow-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
TOLD = (CallerError, LayoutError)
SIZE = (40, 48)


def at(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of files that have to lie at a place."""

    def reads(content: bytes) -> object:
        path = PLACE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(path)

    return reads


def every(entries: object) -> list[object]:
    return list(entries)  # type: ignore[call-overload]


READERS: dict[str, Callable[[bytes], object]] = {
    "photo": lambda content: open_photo(content, 100_000),
    "tar": at("a.tar", lambda path: [photo.read_bytes() for photo in find_photos([path])]),
    "table": at("a.parquet", lambda path: [photo.read_bytes() for photo in find_photos([path])]),
    "forest": at("a.forest.json", read_forest),
    "levels": at("a.npz", read_levels),
    "coco": at("a.json", lambda path: list(image_ids_and_files(path))),
    "instances": at("b.json", lambda path: every(read_coco_instances(path))),
    "labels": at("labels/shard-00000.parquet", lambda path: list(LabelStore(path.parent))),
    "captions": at("pairs/captions.csv", lambda path: read_pairs([path.parent])),
    "labelme": at("labelme/0000.json", lambda path: every(read_labelme(path))),
    "geojson": at("0000.geojson", lambda path: every(read_geojson(path))),
    "panoptic": at("panoptic/panoptic.json", lambda path: every(read_panoptic(path.parent))),
    "voc": at("voc/Annotations/0000.xml", lambda path: every(read_voc(path.parent.parent))),
    "yolo": at("yolo/labels/0000.txt", lambda path: every(read_yolo(path.parent.parent, lambda key: SIZE))),
    "checkpoint": at("checkpoint.pt", read_checkpoint),
}


def main() -> None:
    if len(sys.argv) < 3:
        print("\n".join(READERS))
        return
    name, minutes = sys.argv[1], float(sys.argv[2])
    corpus = HOME / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(begun(name)):
        (corpus / f"seed-{number}").write_bytes(content)
    read = READERS[name]

    def one(content: bytes) -> None:
        told = ""
        try:
            read(content)
        except TOLD as error:
            told = str(error)
        assert "\n" not in told, told

    # memory as a whole grows by a kilobyte an input, in what the fuzzer notes of comparisons
    memory = ["-rss_limit_mb=8000", "-malloc_limit_mb=3000"]
    limits = [f"-max_total_time={60 * minutes:.0f}", "-timeout=60", *memory, "-max_len=20000"]
    atheris.Setup(["fuzz", *limits, f"-artifact_prefix={corpus}/", "-print_final_stats=1", str(corpus)], one)
    atheris.Fuzz()


def begun(name: str) -> list[bytes]:
    """Whole files of that kind, from which the fuzzer begins."""
    photos, memory = paint(PLACE / "photos", 2), io.BytesIO()
    match name:
        case "photo":
            return [encoded(kind, 0) for kind in KINDS]
        case "tar":
            with tarfile.open(fileobj=memory, mode="w") as tar:
                for path in photos.iterdir():
                    tar.add(path, path.name)
        case "table":
            images = [{"bytes": path.read_bytes(), "path": path.name} for path in photos.iterdir()]
            parquet.write_table(pyarrow.table({"image": images}), memory)
        case "captions":
            photos.rename(PLACE / "pairs")
            memory.write(b'image,caption\n0000.png,a red square\n0001.png,"a, b"\n')
        case "checkpoint":
            told = {"version": "0", "config": {}, "photos": 1, "step": 0, "steps": 1, "seconds": 0.0}
            torch.save(told | {"weights": torch.ones(3)}, memory)
        case "coco":
            images = [{"id": 1, "file_name": "0000.png", "width": 48, "height": 40}]
            memory.write(json.dumps({"images": images, "annotations": [], "categories": []}).encode())
        case "levels":
            np.savez(memory, levels=np.arange(32, dtype=np.int32).reshape(2, 4, 4))
        case _:
            return written(name, photos)
    return [memory.getvalue()]


def written(name: str, photos: Path) -> list[bytes]:
    """What our commands write."""
    quick = ["--explore.grains", "30", "--explore.zoom.windows", "0", "--max-masks", "6", "--quiet"]
    if name == "labels":
        assert run("explore", photos, "-o", PLACE / "labels", *quick).returncode == 0
        return [(PLACE / "labels" / "shard-00000.parquet").read_bytes()]
    assert run("segment", photos, "-o", PLACE / "out", "--formats", "forest", *quick).returncode == 0
    if name == "forest":
        return [(PLACE / "out" / "0000.forest.json").read_bytes()]
    made = PLACE / name
    done = run("export", PLACE / "out", "--to", "coco" if name == "instances" else name, "-o", made)
    assert done.returncode == 0, done.stderr
    wanted = {"panoptic": "panoptic.json", "voc": "*.xml", "yolo": "0000.txt"}.get(name, "*json")
    return [path.read_bytes() for path in sorted(made.rglob(wanted))][:2] if made.is_dir() else [made.read_bytes()]


if __name__ == "__main__":
    main()
