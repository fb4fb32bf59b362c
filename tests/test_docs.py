"""What README.md and docs/ show is run: every ```bash and ```python block, in order, page by page, on small photos.

A block that cannot be run here says why in a comment on the line before: <!-- not run: it downloads weights -->.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from scipy.io import savemat

import hedgerow
from hedgerow.cli import main
from hedgerow.naming import naming_of, own
from made_language import write_language

HOME = Path(__file__).resolve().parents[1]
PAGES = sorted([HOME / "README.md", *HOME.glob("docs/*.md")])
BLOCK = re.compile(r"^(<!-- not run: .+ -->\n)?```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEIGHT, WIDTH = 36, 54


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_runs(page, tmp_path, monkeypatch):
    make_photos(tmp_path)
    make_data(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for name in ("_crew", "usable_cores"):  # in this process: starting others takes seconds
        monkeypatch.setattr(f"hedgerow.pipeline.{name}", lambda *_: 0)
    monkeypatch.setattr(own, "SHIPPED", str(write_language(tmp_path / "words.onnx")))  # it knows what is on made photos
    naming_of.cache_clear()
    names: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.finditer(page.read_text("utf-8")):
        skipped, language, code = block.groups()
        line = page.read_text("utf-8")[: block.start(3)].count("\n")
        if skipped:
            continue
        if language == "python":
            exec(compile("\n" * line + code, str(page), "exec"), names)
            continue
        for command in code.splitlines():
            words = shlex.split(command, comments=True)  # Hedgerow expands what a shell would, stars and all
            assert words[:1] == ["hedgerow"], f"{page.name}:{line + 1}: {command!r} is run by nobody: mark the block"
            assert main(words[1:]) == 0, f"{page.name}:{line + 1}: {command}"


@pytest.mark.parametrize("page", [*PAGES, HOME / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_what_a_page_points_to_is_there(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https:", "#")):
            place = page.parent / target.partition("#")[0]
            assert place.is_file(), f"{page.name} points to {target}"
            assert place.suffix != ".png" or place.stat().st_size < 300_000, f"{target} is large for a repository"
    rules = (HOME / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", text, re.MULTILINE):
        name = "".join(target)
        assert re.search(rf"^{re.escape(name)}:", rules, re.MULTILINE) or (
            (HOME / "benchmarks" / f"{name.removeprefix('bench-')}.py").is_file()
        ), f"{page.name} names `make {name}`"


def test_the_site_has_every_page_and_every_public_name():
    listed = set(re.findall(r"^([a-z_]+)$", (HOME / "docs" / "index.md").read_text("utf-8"), re.MULTILINE))
    assert listed == {page.stem for page in HOME.glob("docs/*.md")} - {"index"}
    told = re.findall(r"^\.\. auto\w+:: (\w+)$", (HOME / "docs" / "reference.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(told) == sorted(hedgerow.ROOM_OF)


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="sphinx is missing: pip install '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-d", str(tmp_path / "doctrees")]
    built = subprocess.run(
        [*command, str(HOME / "docs"), str(tmp_path / "site")], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "site" / "reference.html").read_text("utf-8")
    for word in ("hedgerow.segment", "MaskForest", "run lengths", "explore.max-masks, 1000"):
        assert word in reference, word


def test_blocks_are_seen():
    text = "<!-- not run: why -->\n```bash\nfalse\n```\n\n```python\n1 / 0\n```\n\n```json\n{}\n```\n"
    assert [block.groups() for block in BLOCK.finditer(text)] == [
        ("<!-- not run: why -->\n", "bash", "false\n"),
        (None, "python", "1 / 0\n"),
    ]
    assert sum(len(BLOCK.findall(page.read_text("utf-8"))) for page in PAGES) > 20


# ---------------------------------------------------------------------- what the pages speak of


def made_photo(seed: int) -> Image.Image:
    """A dark ground, a bright thing on it, two parts of the thing, and the grain of a photo."""
    rng = np.random.default_rng(seed)
    pixels = np.full((HEIGHT, WIDTH, 3), (40, 70, 50), float)
    for (top, left, bottom, right), colour in zip(BOXES, ((220, 180, 60), (200, 60, 40), (60, 80, 200)), strict=True):
        pixels[top:bottom, left:right] = colour
    return Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8))


BOXES = ((6, 10, 30, 45), (10, 15, 20, 25), (10, 30, 25, 40))


def masks() -> list[np.ndarray]:
    found = []
    for top, left, bottom, right in BOXES:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[top:bottom, left:right] = 1
        found.append(mask)
    return found


def save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95)


def make_photos(folder: Path) -> None:
    save(folder / "photo.jpg", made_photo(0))
    save(folder / "photos" / "street.jpg", made_photo(1))
    save(folder / "photos" / "june" / "1.jpg", made_photo(2))
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "000.tar", "w") as tar:
        tar.add(folder / "photo.jpg", "in-a-tar.jpg")


def make_data(root: Path) -> None:
    names = ("000000000007", "000000000012")
    segments = np.ones((HEIGHT, WIDTH), np.uint16)
    for number, mask in enumerate(masks(), start=2):
        segments[mask > 0] = number
    people = np.empty((1, 1), object)
    edges = np.diff(segments.astype(int), axis=0, prepend=1) != 0
    people[0, 0] = {"Segmentation": segments, "Boundaries": edges.astype(np.uint8)}
    for number, name in enumerate(names):
        save(root / "coco" / "val2017" / f"{name}.jpg", made_photo(number))
        save(root / "bsds500" / "images" / "val" / f"{name}.jpg", made_photo(number))
        save(root / "clothing" / "images" / f"{name}.jpg", made_photo(number))
        save(root / "clothing" / "masks" / f"{name}.png", Image.fromarray((segments - 1).astype(np.uint8)))
        save(root / "camvid" / "train" / f"{name}.jpg", made_photo(number))
        save(root / "camvid" / "trainannot" / f"{name}.png", Image.fromarray((segments - 1).astype(np.uint8)))
        (root / "bsds500" / "groundTruth" / "val").mkdir(parents=True, exist_ok=True)
        savemat(root / "bsds500" / "groundTruth" / "val" / f"{name}.mat", {"groundTruth": people})
    for place in range(3):
        save(root / "davis" / "JPEGImages" / "480p" / "street" / f"{place:05}.jpg", made_photo(place))
        thing = Image.fromarray(masks()[0] * np.uint8(255))
        save(root / "davis" / "Annotations" / "480p" / "street" / f"{place:05}.png", thing)
    (root / "clothing" / "classes.txt").write_text("0 null\n1 coat\n2 shoe\n3 bag\n")
    (root / "coco" / "annotations").mkdir()
    (root / "coco" / "annotations" / "instances_val2017.json").write_text(json.dumps(coco_document(names)))


def coco_document(names: tuple[str, ...]) -> dict[str, object]:
    images = [{"id": int(name), "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH} for name in names]
    annotations = []
    for image in images:
        for mask in masks():
            rle = coco.encode(np.asfortranarray(mask))
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image["id"],
                "category_id": 1,
                "iscrowd": 0,
                "area": int(mask.sum()),
                "bbox": coco.toBbox(rle).tolist(),
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()},
            }
            annotations.append(annotation)
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
