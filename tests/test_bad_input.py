"""Photos and places as they come, through the command: each is done, or told of in one line with nothing lost."""

from __future__ import annotations

import io
import os
import re
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hedgerow.cli import main
from hedgerow.forest import MaskForest
from hedgerow.formats import read_forest
from hedgerow.photos import PhotoError, open_photo

QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "30"]


def scene(height: int = 48, width: int = 64) -> Image.Image:
    """A red square at the upper left, on a ground that is blue below."""
    image = Image.new("RGB", (width, height), (200, 200, 190))
    image.paste((40, 60, 160), (0, height * 2 // 3, width, height))
    image.paste((220, 30, 30), (width // 8, height // 8, width // 2, height // 2))
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    memory = io.BytesIO()
    image.save(memory, kind, **options)
    return memory.getvalue()


def segmented(path: Path, *words: str) -> MaskForest:
    """The forest that the command makes of a photo, with its picture."""
    assert main(["segment", str(path), "-o", str(path.parent / "out"), *QUICK, *words]) == 0
    with Image.open(path.parent / f"out/{path.stem}.overlay.png") as shown:
        shown.load()
    forest, header = read_forest(path.parent / f"out/{path.stem}.forest.json")
    assert (header["image"]["height"], header["image"]["width"]) == forest.size
    return forest


def best_iou(forest: MaskForest, mask: np.ndarray) -> float:
    return float(forest.iou(MaskForest.from_masks([mask])).max())


# ---------------------------------------------------------------------- what can be opened


def with_alpha() -> Image.Image:
    image = scene().convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(60, 255, 64).astype(np.uint8), (48, 1))))
    return image


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cmyk.jpg", lambda: encoded(scene().convert("CMYK"), "JPEG")),
        ("grey.jpg", lambda: encoded(scene().convert("L"), "JPEG")),
        ("deep.png", lambda: encoded(Image.fromarray(np.asarray(scene().convert("L")).astype(np.uint16) * 257), "PNG")),
        ("palette.png", lambda: encoded(scene().convert("P"), "PNG")),
        ("alpha.png", lambda: encoded(with_alpha(), "PNG")),
        ("moving.gif", lambda: encoded(scene(), "GIF", save_all=True, append_images=[Image.new("RGB", (64, 48))])),
        ("a photo without suffix", lambda: encoded(scene(), "PNG")),
        ("png inside.jpg", lambda: encoded(scene(), "PNG")),
    ],
)
def test_every_kind_of_photo(name, data, tmp_path):
    (tmp_path / name).write_bytes(data())
    forest = segmented(tmp_path / name)
    square = np.zeros((48, 64), bool)
    square[6:24, 8:32] = True
    assert forest.size == (48, 64)
    assert best_iou(forest, square) > 0.8


def test_a_turned_photo_is_upright(tmp_path):
    """Masks and sizes are those of the photo as people see it, not as it is stored."""
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    scene().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    forest = segmented(tmp_path / "turned.png")
    assert forest.size == (48, 64)
    square = np.zeros((48, 64), bool)
    square[6:24, 8:32] = True
    assert best_iou(forest, square) > 0.8


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 5), (3, 4000), (4000, 3)])
@pytest.mark.parametrize("flat", [True, False])
def test_any_shape(size, flat, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels * (not flat)).save(tmp_path / "photo.png")
    forest = segmented(tmp_path / "photo.png", "--formats", "forest,overlay,levels,coco")
    assert forest.size == size
    assert len(forest) >= 1
    assert np.load(tmp_path / "out/photo.npz")["levels"].shape == (12, *size)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB only here")
def test_a_hundred_megapixels(tmp_path):
    """Decoded at a reduced scale, masks at full size all the same, in less than 3 GB."""
    scene(8660, 11547).save(tmp_path / "big.jpg", quality=70)
    command = [sys.executable, "-m", "hedgerow", "segment", str(tmp_path / "big.jpg"), *QUICK]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    assert peak < 3, f"{peak:.1f} GB"
    forest, _ = read_forest(tmp_path / "big.forest.json")
    assert forest.size == (8660, 11547)
    square = forest.boxes - np.array([11547 // 8, 8660 // 8, 11547 * 3 // 8, 8660 * 3 // 8])
    assert np.abs(square).max(1).min() < 25, "the square's edges are within five pixels of the reduced photo"
    with Image.open(tmp_path / "big.overlay.png") as shown:
        assert shown.width == 2048


# ---------------------------------------------------------------------- what cannot


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("cut.jpg", encoded(scene(), "JPEG")[:-300], "damaged or cut short"),
        ("cut.png", encoded(scene(), "PNG")[:100], "damaged or cut short"),
        ("empty.jpg", b"", "the file is empty: fetch or export it again"),
        ("text.jpg", b"Dear diary, ", "no image of a kind that is read"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image of a kind that is read"),
        ("bomb.png", b"", "claims more than 400 megapixels"),
        ("two\nlines.jpg", b"", "the file is empty"),
    ],
)
def test_a_bad_photo_is_told_of_in_one_line(name, data, told, tmp_path, capsys):
    if name == "bomb.png":
        data = bytearray(encoded(Image.new("1", (1, 1)), "PNG"))
        data[16:24] = (60000).to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / name).write_bytes(data)
    assert main(["segment", str(tmp_path / name), "-o", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"hedgerow: {tmp_path}/{name}: ".replace("\n", " "))
    assert told in line
    assert out == ""


def test_only_what_this_pillow_reads_is_offered(monkeypatch):
    def offered():
        with pytest.raises(PhotoError) as told:
            open_photo(b"Dear diary, ")
        return re.search(r"that is read \((.+)\), or", str(told.value))[1].split(", ")

    assert {"JPEG", "PNG", "WEBP"} <= set(offered())
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    monkeypatch.delitem(Image.OPEN, "QOI")
    assert not {"AVIF", "HEIF", "QOI"} & set(offered())


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ("nowhere.jpg", "there is no such file or folder: check the path"),
        ("empty", "no photo in this folder or below it (looked for .jpg "),
        ("*.webp", "no photo among the 0 names in"),
        ("pipe", "a pipe, socket or device, not a file"),
        ("cut.tar", "no photo in this tar"),
        ("photos.tar.gz", "a compressed tar cannot be read in place"),
    ],
)
def test_inputs_without_photos(inputs, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("cut.tar").write_bytes(bytes(10240))
    Path("photos.tar.gz").touch()
    os.mkfifo("pipe")
    assert main(["segment", inputs, "-o", "out"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not Path("out").exists()


# ---------------------------------------------------------------------- where nothing can be written


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere", "long" * 100])
def test_a_folder_that_cannot_be_made(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene().save("photo.png")
    Path("file").write_text("mine")
    for more in ([], ["--overwrite"]):
        assert main(["segment", "photo.png", "-o", place, *QUICK, *more]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"hedgerow: cannot make the folder {place} (")
    assert Path("file").read_text() == "mine"


def test_a_file_that_cannot_be_written(tmp_path, capsys):
    """A file stands where a folder of results should be; what was written before stays, and nothing half-written."""
    (tmp_path / "in/sub").mkdir(parents=True)
    scene().save(tmp_path / "in/a.png")
    scene().save(tmp_path / "in/sub/b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").write_text("mine")
    words = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *QUICK, "--workers", "1", "--keep-going"]
    assert main(words) == 1, "another photo would fail in the same way, so this ends even a run that keeps going"
    assert capsys.readouterr().err.startswith(f"hedgerow: cannot make the folder {tmp_path}/out/sub (")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.forest.json", "a.overlay.png", "hedgerow.json", "sub"
    }  # fmt: skip


def test_a_name_without_room_for_a_suffix(tmp_path, capsys):
    name = "n" * 250
    scene().save(tmp_path / f"{name}.png")
    assert main(["segment", str(tmp_path / f"{name}.png"), "-o", str(tmp_path / "out"), *QUICK]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{name}.png: its name is too long for .forest.json behind it: rename it")
