"""The room photos against Pillow as oracle, on images made here: every kind of pixel, of damage and of input."""

from __future__ import annotations

import errno
import gc
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from hedgerow.config import CallerError
from hedgerow.photos import PIXEL_LIMIT, PhotoError, PhotoRef, find_photos, open_photo


def scene(height: int = 96, width: int = 160) -> np.ndarray:
    """Smooth, and different in every corner, so that no two orientations look alike."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (height + width)], -1).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    Image.init()
    if kind.upper() not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def exif(orientation: object) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def png(width: int, height: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, for claims and chunks Pillow would not write."""
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in ((b"IHDR", head), *chunks, (b"IEND", b"")):
        parts += [struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(name + data))]
    return b"".join(parts)


def refusal(source, *args) -> str:
    """The one line with which a photo is refused."""
    with pytest.raises(PhotoError) as caught:
        open_photo(source, *args)
    line = str(caught.value)
    assert line.isprintable()
    assert "\n" not in line
    return line


def write(path: Path, data: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(scene(4, 5)) if data is None else data)
    return path


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


# ---------------------------------------------------------------------- what is opened


def test_every_source_gives_the_same_photo(tmp_path, monkeypatch):
    pixels = scene()
    path = write(tmp_path / "a.png", encoded(pixels))
    tar = pack(tmp_path / "a.tar", {"a.png": encoded(pixels)})
    monkeypatch.setenv("HOME", str(tmp_path))
    sources = [path, str(path), "~/a.png", path.read_bytes(), bytearray(path.read_bytes()), pixels]
    sources += [PhotoRef("a", path), PhotoRef("a", tar, "a.png"), Image.fromarray(pixels), *find_photos([path, tar])]
    for source in sources:
        photo = open_photo(source)
        assert photo.size == (96, 160)
        assert photo.scale == 1
        assert photo.pixels.flags.c_contiguous
        assert not np.shares_memory(photo.pixels, pixels)
        np.testing.assert_array_equal(photo.pixels, pixels)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind, orientation):
    data = encoded(scene(), kind, exif=exif(orientation))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    photo = open_photo(data)
    assert photo.size == upright.shape[:2]
    np.testing.assert_array_equal(photo.pixels, upright)
    given_open = open_photo(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(given_open.pixels, upright)

    small = open_photo(data, 24 * 40)
    assert small.size == photo.size
    assert small.pixels.shape[:2] == ((40, 24) if orientation >= 5 else (24, 40))
    assert small.scale == 0.25
    blocks = upright.reshape(small.pixels.shape[0], 4, small.pixels.shape[1], 4, 3).mean((1, 3))
    assert np.abs(small.pixels - blocks).max() < 8


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_senseless_orientation_is_none(orientation):
    assert open_photo(encoded(scene(), "JPEG", exif=exif(orientation))).size == (96, 160)


GREY = np.array([[0, 256, 32896, 65535]], np.uint16)  # 32896 = 128 * 257
GREY_8 = [0, 1, 128, 255]


@pytest.mark.parametrize(
    "data",
    [
        encoded(GREY),
        encoded(GREY, "TIFF"),
        encoded(Image.frombytes("I;16B", (4, 1), GREY.astype(">u2").tobytes()), "TIFF"),
        encoded(65535 - GREY, "TIFF", tiffinfo={262: 0}),  # white is zero
        encoded(GREY.astype(np.int32), "TIFF"),
        b"P5 4 1 65535\n" + GREY.astype(">u2").tobytes(),
        encoded((GREY / 65535).astype(np.float32), "TIFF"),
        encoded((GREY / 257).astype(np.float32), "TIFF"),
        encoded(GREY.astype(np.float32), "TIFF"),
        encoded(GREY.astype(np.float32) * 10 - 300_000, "TIFF"),
        Image.fromarray(GREY.astype(np.int32) * 30_000),
        GREY,
        GREY.astype(">u2")[:, :, None],
        (GREY / 65535).astype(np.float16).astype(np.float64),
    ],
)
def test_deep_grey_is_scaled_not_clipped(data):
    np.testing.assert_array_equal(open_photo(data).pixels, np.array(GREY_8)[None, :, None].repeat(3, 2))


def test_dark_16_bit_photo_stays_dark():
    for data in (encoded(GREY // 300), b"P5 4 1 65535\n" + (GREY // 300).astype(">u2").tobytes()):
        assert open_photo(data).pixels.max() == 1


def test_float_pixels_that_are_no_numbers_are_black():
    values = np.array([[np.nan, 0, 1, np.inf]], np.float32)
    assert open_photo(encoded(values, "TIFF")).pixels[0, :, 0].tolist() == [0, 0, 255, 255]
    assert "number" in refusal(encoded(np.full((2, 2), np.nan, np.float32), "TIFF"))


def test_transparency_is_laid_on_white():
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 128]]], np.uint8)
    wanted = [[255, 255, 255], [10, 20, 30], [127, 127, 127]]
    for source in (rgba, rgba / 255, encoded(rgba), encoded(rgba, "WEBP", lossless=True, exact=True)):
        assert open_photo(source).pixels[0].tolist() == wanted
    la = Image.merge("LA", [Image.fromarray(rgba[:, :, i]) for i in (0, 3)])
    assert open_photo(encoded(la)).pixels[0, :, 0].tolist() == [255, 10, 127]
    palette = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    palette.putpalette([10, 20, 30, 40, 50, 60, 0, 0, 0])
    for transparency in (0, bytes([0, 255, 128])):
        got = open_photo(encoded(palette, transparency=transparency)).pixels[0].tolist()
        assert got == [[255, 255, 255], [40, 50, 60], [0, 0, 0] if transparency == 0 else [127, 127, 127]]
    keyed = encoded(Image.fromarray(rgba[:, :, :3]), transparency=(0, 0, 0))
    assert open_photo(keyed).pixels[0].tolist() == [[10, 20, 30], [10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "HSV", "LAB", "CMYK", "RGBX", "PA"])
def test_modes_of_8_bits_convert_as_pillow_does(mode):
    image = Image.fromarray(scene(8, 9)).convert("L" if mode in ("1", "PA") else "RGB")
    image = image.convert(mode) if mode != "LAB" else Image.merge("LAB", image.split())
    np.testing.assert_array_equal(open_photo(image).pixels, np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_with_and_without_adobes_inversion():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    adobe = encoded(red, "JPEG")
    assert open_photo(adobe).pixels[8, 8].tolist() == pytest.approx([255, 0, 0], abs=4)
    start = adobe.index(b"\xff\xee")
    length = struct.unpack(">H", adobe[start + 2 : start + 4])[0]
    plain = adobe[:start] + adobe[start + 2 + length :]  # the same numbers now mean ink, so what was full is none
    assert open_photo(plain).pixels[8, 8].tolist() == pytest.approx([0, 0, 0], abs=4)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"])
def test_first_frame_of_many(kind):
    first, second = Image.new("RGB", (20, 10), "red"), Image.new("RGB", (20, 10), "blue")
    photo = open_photo(encoded(first, kind, save_all=True, append_images=[second]), 50)
    assert photo.size == (10, 20)
    assert photo.pixels.shape == (5, 10, 3)
    assert photo.pixels.mean((0, 1)).tolist() == pytest.approx([255, 0, 0], abs=8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4000, 3), (3, 4000)])
def test_thin_photos(kind, height, width):
    data = encoded(scene(height, width), kind)
    assert open_photo(data).pixels.shape == (height, width, 3)
    for most in (1, 10, 500, 12_000):
        photo = open_photo(data, most)
        assert photo.size == (height, width)
        assert 1 <= photo.pixels.shape[0] * photo.pixels.shape[1] <= most


# ---------------------------------------------------------------------- reducing


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 3000))
def test_reduced_to_at_most_max_pixels(height, width, most):
    photo = open_photo(np.full((height, width), 77, np.uint8), most)
    h, w, _ = photo.pixels.shape
    assert photo.size == (height, width)
    assert h * w <= most
    assert (h <= height) & (w <= width)
    assert (h, w) == (height, width) or most < height * width
    assert (photo.pixels == 77).all()


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "I;16", "F", "P"])
@pytest.mark.parametrize("most", [None, 6_000, 731, 20])
def test_strips_leave_no_seam(kind, most, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (97, 131, 4), np.uint8)
    image = {
        "RGBA": lambda: Image.fromarray(noise),
        "I;16": lambda: Image.fromarray(noise.view("<u2")[:, :, 0]),
        "F": lambda: Image.fromarray(noise[:, :, 0].astype(np.float32) * 1000),
    }.get(kind, lambda: Image.fromarray(noise[:, :, :3]).convert(kind))()
    image.getexif()[0x0112] = 6
    whole = open_photo(image, most).pixels
    monkeypatch.setattr("hedgerow.photos.opening.STRIP", 1000)
    strips = open_photo(image, most).pixels
    assert np.abs(strips.astype(int) - whole).max() <= 1  # the filter's weights round differently in the last bit


def test_reducing_averages():
    stripes = np.zeros((400, 400), np.uint8)
    stripes[:, ::2] = 255
    for source in (stripes, encoded(stripes), encoded(stripes, "JPEG", quality=100)):
        small = open_photo(source, 100 * 100).pixels
        assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 6


def test_huge_jpeg_is_decoded_small_in_the_first_place(monkeypatch):
    data = encoded(Image.new("L", (10_000, 10_000), 200), "JPEG")
    seen = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: (seen.append(image.size), load(image))[1])
    photo = open_photo(data, 1_000_000)
    assert photo.size == (10_000, 10_000)
    assert photo.pixels.shape == (1000, 1000, 3)
    assert seen[0] == (1250, 1250)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_100_megapixel_png_is_held_once(tmp_path):
    width = height = 10_000
    row_block = bytes((width + 1) * 50)
    packer = zlib.compressobj(1)
    header = packer.compress(row_block) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(row_block) + packer.flush(zlib.Z_FULL_FLUSH)
    size = len(row_block) * (height // 50)
    check = (size % 65521) << 16 | 1  # Adler-32 of so many zeros
    stream = header + block * (height // 50 - 1) + b"\x03\x00" + struct.pack(">I", check)
    path = write(tmp_path / "large.png", png(width, height, 0, (b"IDAT", stream)))
    code = (
        "import sys; from hedgerow.photos import open_photo; photo = open_photo(sys.argv[1], 1_000_000);"
        "status = open('/proc/self/status').read();"  # ru_maxrss starts at what the parent had when it forked
        "print(photo.pixels.shape, photo.size, status.split('VmHWM:')[1].split()[0])"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, path], capture_output=True, text=True, check=True
    )
    shape, peak = answer.stdout.rsplit(" ", 1)
    assert shape == "(1000, 1000, 3) (10000, 10000)"
    # 100 MB of grey, and strips; held whole in colour it would be 400 MB more
    assert int(peak) < 400_000


# ---------------------------------------------------------------------- arrays


def test_arrays_of_other_types():
    for array in (np.array([[False, True]]), np.array([[0, 65535]], np.uint16), np.array([[0, 1]], np.float32)):
        np.testing.assert_array_equal(open_photo(array).pixels[0, :, 0], [0, 255])
    assert open_photo(np.array([[-1e-9, 1 + 1e-9]])).pixels[0, :, 0].tolist() == [0, 255]
    flipped = scene()[::-1, ::-1]
    np.testing.assert_array_equal(open_photo(flipped).pixels, flipped)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4), complex),
        np.zeros((4, 4), object),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((3, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.full((4, 4), 255.0),
        np.full((4, 4), -0.5),
        np.full((4, 4), np.nan),
    ],
)
def test_other_arrays_are_refused_with_what_was_expected(array):
    line = refusal(array)
    assert "expected" in line
    assert "got" in line


# ---------------------------------------------------------------------- what is refused


def damaged_files() -> dict[str, bytes]:
    whole = encoded(scene(), "JPEG")
    return {
        "empty.jpg": b"",
        "text.jpg": b"this is no photo\n" * 9,
        "page.jpg": b"<!DOCTYPE html><html>404</html>",
        "cut.jpg": whole[: len(whole) // 2],
        "cut.png": encoded(scene())[:-100],
        "zeros.jpg": bytes(5000),
        "zero_tail.jpg": whole[: len(whole) // 2] + bytes(len(whole) // 2),
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50),
        "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    }


@pytest.mark.parametrize("name", damaged_files())
def test_damaged_files(name, tmp_path):
    data = damaged_files()[name]
    path = write(tmp_path / name, data)
    tar = pack(tmp_path / "all.tar", {"whole.png": encoded(scene()), name: data})
    for source in (path, str(path), PhotoRef("x", path)):
        assert refusal(source).startswith(str(path) + ": ")
    ref = next(ref for ref in find_photos([tar]) if ref.name == name)
    assert refusal(ref).startswith(f"{tar}/{name}: ")
    for most in (None, 100):
        assert refusal(data, most)
    assert isinstance(PhotoError(""), CallerError)


def test_what_is_no_file(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "lost.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "folder" in refusal(tmp_path / "x.jpg")
    assert "link" in refusal(tmp_path / "loop.jpg")
    assert "pipe" in refusal(tmp_path / "pipe.jpg")
    assert "device" in refusal("/dev/zero")
    for path in (tmp_path / "lost.jpg", tmp_path / "missing.jpg", "nul\0.jpg", "", tmp_path / "lost.jpg" / "a.jpg"):
        assert "no such file" in refusal(path)
    assert "\\" not in refusal(f"{tmp_path}/line\nbreak\udcff.jpg")
    for source in (None, 3, ["a.jpg"], open):
        assert "expected a path" in refusal(source)
    assert "max_pixels" in refusal(scene(), 0)


def test_unreadable_file_or_folder(tmp_path, monkeypatch):
    def deny(path):  # rather than chmod, because nothing is unreadable to root
        raise PermissionError(errno.EACCES, "Permission denied", path)

    path = write(tmp_path / "a.png")
    monkeypatch.setattr("hedgerow.photos.files.check_is_file", deny)
    assert "permission" in refusal(path)
    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(PhotoError, match="permission"):
        find_photos([tmp_path])


def test_a_closed_image_is_refused(tmp_path):
    with Image.open(write(tmp_path / "a.png")) as image:
        pass
    assert "image" in refusal(image) or "a.png" in refusal(image)


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (20_001, 20_000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs(width, height):
    assert str(PIXEL_LIMIT // 10**6) in refusal(png(width, height, 2, (b"IDAT", zlib.compress(bytes(100)))))
    gif = (
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0," + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\0\x02"
    )
    assert str(PIXEL_LIMIT // 10**6) in refusal(gif + b"\0;")


def test_what_pillow_only_warns_of_is_opened_or_refused_by_our_limit():
    # 180 megapixels: Pillow's own limit would call it a bomb; ours does not, so it is refused for being cut short
    assert "damaged" in refusal(png(18_000, 10_000, 0, (b"IDAT", zlib.compress(bytes(100)))), 100)


@pytest.mark.parametrize(
    "error",
    [
        *(SyntaxError, struct.error, OverflowError, MemoryError, ValueError, IndexError, EOFError, KeyError, TypeError),
        *(RecursionError, AttributeError, OSError, ZeroDivisionError, AssertionError, Image.DecompressionBombError),
    ],
)
def test_whatever_pillow_raises_is_a_photo_error(error, monkeypatch):
    def fail(*_, **__):
        raise error("first line\nsecond line")

    monkeypatch.setattr(Image, "open", fail)
    assert refusal(b"some bytes").startswith("encoded photo: ")


def test_stopping_is_no_photo_error(monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image, "open", stop)
    with pytest.raises(KeyboardInterrupt):
        open_photo(b"some bytes")


def test_large_or_broken_chunks_beside_the_pixels_do_no_harm():
    text = PngImagePlugin.PngInfo()
    text.add_text("history", "x" * 5_000_000, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x/>" * 300_000, zip=True)
    pixels = scene()
    np.testing.assert_array_equal(open_photo(encoded(pixels, pnginfo=text)).pixels, pixels)
    sound = open_photo(encoded(pixels, "JPEG")).pixels
    junk = random.Random(0).randbytes(60_000)
    for options in (
        {"icc_profile": junk * 20},
        {"exif": b"Exif\0\0" + junk},
        {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"},
    ):
        np.testing.assert_array_equal(open_photo(encoded(pixels, "JPEG", **options)).pixels, sound)
        np.testing.assert_array_equal(open_photo(encoded(pixels, **options)).pixels, pixels)


def test_pillow_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK, list(warnings.filters)
    good, bad = encoded(scene(), "JPEG"), damaged_files()["cut.jpg"]

    def work(number: int) -> str:
        return "" if number % 2 and open_photo(good).size else refusal(bad)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(work, range(200)))
    assert all(bool(answer) == (i % 2 == 0) for i, answer in enumerate(answers))
    assert (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK, list(warnings.filters)) == before
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"exif": exif(6)}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {}),
        ("TIFF", {"exif": exif(6)}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("PPM", {}),
        ("JPEG2000", {}),
        ("QOI", {}),
    ],
)
def test_damage_is_refused_or_harmless(kind, options, tmp_path):
    data = encoded(scene(21, 34), kind, **options)
    chance, path = random.Random(7), tmp_path / "photo"
    whole = {most: open_photo(data, most).pixels for most in (None, 200)}
    for length in [chance.randrange(len(data)) for _ in range(30)] + [len(data) - i for i in range(1, 10)]:
        cut = data[:length]
        most = chance.choice([None, 200])
        source = cut if chance.random() < 0.5 else write(path, cut)
        with suppress(PhotoError):  # what may be missing is what stands behind the last pixel; grey is never filled in
            np.testing.assert_array_equal(open_photo(source, most).pixels, whole[most])
    for _ in range(25):
        flipped = bytearray(data)
        for _ in range(chance.choice([1, 3])):
            flipped[int(chance.random() ** 2 * len(data))] ^= 1 << chance.randrange(8)
        with suppress(PhotoError):
            assert open_photo(bytes(flipped), 10_000).pixels.shape[2] == 3


def test_no_cut_of_jpeg_2000_is_filled_with_grey():
    data = encoded(scene(21, 34), "JPEG2000", irreversible=True, quality_layers=[20])
    whole = open_photo(data).pixels
    for length in range(len(data)):
        with suppress(PhotoError):
            np.testing.assert_array_equal(open_photo(data[:length]).pixels, whole)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files where the system lists them")
def test_no_file_stays_open(tmp_path):
    files = [write(tmp_path / name, data) for name, data in damaged_files().items()]
    files += [write(tmp_path / f"a.{kind}", encoded(scene(), kind)) for kind in ("jpeg", "png", "tiff", "webp", "gif")]
    tar = pack(tmp_path / "b.tar", {path.name: path.read_bytes() for path in files})
    cut = write(tmp_path / "cut.tar", tar.read_bytes()[:5000])
    before = os.listdir("/proc/self/fd")
    for source in [*files, *find_photos([tar])]:
        with suppress(PhotoError):
            open_photo(source)
    with pytest.raises(PhotoError):
        find_photos([cut])
    assert os.listdir("/proc/self/fd") == before
    gc.collect()  # an unclosed file would warn here, and warnings are errors


# ---------------------------------------------------------------------- files, folders, globs


def keys(*inputs) -> list[str]:
    return [ref.key for ref in find_photos(inputs)]


def test_folder(tmp_path):
    names = ["img_10.jpg", "img_2.JPG", "holiday/b.png", "holiday/a.webp", "x.jpg/y.heic"]
    hidden = [".thumb.jpg", ".cache/a.jpg", "holiday/._b.png", "notes.txt", "film.mp4", "jpg"]
    for name in names + hidden:
        write(tmp_path / name)
    assert keys(tmp_path) == ["holiday/a", "holiday/b", "img_2", "img_10", "x.jpg/y"]
    assert keys(str(tmp_path) + "/") == keys(tmp_path)
    ref = find_photos(str(tmp_path))[2]
    assert (ref.name, ref.path, ref.member) == ("img_2.JPG", tmp_path / "img_2.JPG", None)
    assert ref.read_bytes() == ref.path.read_bytes()
    assert pickle.loads(pickle.dumps(ref)) == ref


def test_named_file_is_taken_whatever_its_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a[1].dat")
    write(tmp_path / "scan")
    assert keys("a[1].dat", "./scan", "~/scan", tmp_path / "scan") == ["a[1]", "scan"]
    assert open_photo(find_photos(["~/scan"])[0]).size == (4, 5)


def test_a_photo_met_twice_counts_once(tmp_path):
    for name in ("a.jpg", "b/c.jpg"):
        write(tmp_path / "in" / name)
    (tmp_path / "link").symlink_to("in")
    again = [
        tmp_path / "in" / "a.jpg",
        tmp_path / "in",
        tmp_path / "link",
        tmp_path / "in" / "b",
        tmp_path / "in/*.jpg",
    ]
    assert keys(*again) == ["a", "b/c"]


def test_links_in_a_circle_end(tmp_path):
    write(tmp_path / "a" / "b" / "photo.jpg")
    (tmp_path / "a" / "b" / "round").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    assert keys(tmp_path) == ["a/b/photo", "a/pipe", "a/self"]  # found, so that opening them says what they are


@pytest.mark.parametrize(
    ("files", "inputs", "wanted"),
    [
        (["a.jpg", "a.png", "b.jpg"], ["."], ["a.jpg", "a.png", "b"]),
        (["x/a.jpg", "y/a.jpg", "y/b.jpg"], ["x", "y"], ["x/a", "y/a", "b"]),
        (["x/a.jpg", "y/a.jpg"], ["x/a.jpg", "y/a.jpg"], ["x/a", "y/a"]),
        (["x/a.jpg", "y/a.jpg"], ["y", "x"], ["y/a", "x/a"]),
        (["x/a.jpg", "x/a.png", "y/a.jpg"], ["x", "y"], ["x/a.jpg", "x/a.png", "y/a"]),
        (["p/x/a.jpg", "q/x/a.jpg"], ["p/x", "q/x"], ["p/x/a", "q/x/a"]),
        (["a.jpg", "A.jpg"], ["."], ["A.jpg", "a.jpg-2"]),
        (["a.jpg", "a.png", "a.jpg.png"], ["."], ["a.jpg", "a.jpg.png", "a.png"]),
        (["x/y/a.jpg", "y/a.jpg", "z/a.jpg"], ["x", "y", "z"], ["x/y/a", "IN/y/a", "z/a"]),
    ],
)
def test_keys_never_clash(files, inputs, wanted, tmp_path, monkeypatch):
    top = tmp_path / "IN"
    for name in files:
        write(top / name)
    monkeypatch.chdir(top)
    assert keys(*inputs) == wanted


def test_globs(tmp_path):
    for name in ("x/a1.jpg", "x/a10.jpg", "x/a2.jpg", "y/a1.png", "y/note.txt", "y/raw.dat", ".z/a.jpg"):
        write(tmp_path / name)
    assert keys(f"{tmp_path}/x/*.jpg") == ["a1", "a2", "a10"]
    assert keys(f"{tmp_path}/*/a1.*") == ["x/a1", "y/a1"]
    assert keys(f"{tmp_path}/*") == ["x/a1", "x/a2", "x/a10", "y/a1"]
    assert keys(f"{tmp_path}/**") == ["x/a1", "x/a2", "x/a10", "y/a1"]
    assert keys(f"{tmp_path}/**/*.png") == ["y/a1"]
    assert keys(f"{tmp_path}/y/*.dat") == ["raw"]
    (tmp_path / "x" / "below").mkdir()
    assert keys(f"{tmp_path}/x/b*/../../y/*") == ["y/a1"]  # a pattern that climbs: no key leads out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("missing.jpg", "no such file or folder"),
        ("missing/*.jpg", "0 names in"),
        ("empty", "no photo in this folder"),
        ("shards", "1 tars are taken when named"),
        ("shards/*.txt*", "1 names"),
        ("pipe", "a pipe"),
        ("lost.jpg", "no such file"),
        ("photos.tar.gz", "compressed tar"),
        ("photos.TGZ", "compressed tar"),
        ("", "no such file"),
        ("nul\0", "no such file"),
    ],
)
def test_what_is_not_found_is_said_in_one_line(given, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("empty/notes.txt", "shards/0.tar", "shards/0.txt", "photos.tar.gz", "photos.TGZ"):
        write(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lost.jpg").symlink_to("nowhere")
    with pytest.raises(PhotoError) as caught:
        find_photos([given])
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_nothing_named():
    with pytest.raises(PhotoError, match="no photo was named"):
        find_photos([])


# ---------------------------------------------------------------------- tars


def test_tar_is_one_sequence_read_in_place(tmp_path, monkeypatch):
    data = {f"./day/img_{i}.png": encoded(np.full((3, 4), i, np.uint8)) for i in (10, 9, 1)}
    others = {"day/img_1.json": b"{}", ".hidden.png": b"", "__MACOSX/._a.png": b"", "readme": b""}
    tar = pack(tmp_path / "a.tar", data | others)
    refs = find_photos([tar])
    assert [ref.key for ref in refs] == ["day/img_1", "day/img_9", "day/img_10"]
    assert refs[0].name == "img_1.png"
    refs = pickle.loads(pickle.dumps(refs))
    monkeypatch.setattr(tarfile, "open", None)  # the tar is not scanned again
    for ref, grey in zip(refs, (1, 9, 10), strict=True):
        assert ref.read_bytes() == data[ref.member]
        assert (open_photo(ref).pixels == grey).all()


def test_tar_keys(tmp_path):
    photo = encoded(scene(2, 2))
    one = pack(tmp_path / "one.tar", {"a.png": photo, "b.png": photo, "c/a.png": photo})
    two = pack(tmp_path / "two.tar", {"a.png": photo, "a.jpg": photo})
    assert keys(one, two, one) == ["one/a", "b", "c/a", "two/a.jpg", "two/a.png"]
    assert keys(f"{tmp_path}/*.tar") == keys(one, two)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("aA.:/\\é\u0301\n\udcff"), max_size=8).map(lambda name: name + "z.png"), min_size=1
    )
)
def test_no_name_in_a_tar_leads_out_or_clashes(tmp_path_factory, names):
    tar = pack(tmp_path_factory.mktemp("tar") / "t.tar", dict.fromkeys([*names, "z.png"], b"x"))
    refs = find_photos([tar])
    assert len({ref.key.casefold() for ref in refs}) == len(refs)
    for ref in refs:
        parts = ref.key.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert not set(":\\\n") & set(ref.key)
        assert (ref.key + ref.name).encode()
        assert ref.read_bytes() == b"x"


def test_tar_links_and_repeated_names(tmp_path):
    first, second = encoded(scene(2, 2)), encoded(scene(3, 3))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("d/a.png", first), ("d/a.png", second)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, kind, target in (
            ("hard.png", tarfile.LNKTYPE, "d/a.png"),
            ("d/soft.png", tarfile.SYMTYPE, "a.png"),
            ("lost.png", tarfile.SYMTYPE, "nowhere.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    refs = {ref.key: ref for ref in find_photos([tmp_path / "a.tar"])}
    assert sorted(refs) == ["d/a", "d/soft", "hard", "lost"]
    assert {open_photo(refs[key]).size for key in ("d/a", "d/soft", "hard")} == {(3, 3)}
    assert "no such file in the tar" in refusal(refs["lost"])
    assert "no such file in the tar" in refusal(PhotoRef("x", tmp_path / "a.tar", "other.png"))


def test_broken_tars(tmp_path):
    tar = pack(tmp_path / "a.tar", {f"{i}.png": encoded(scene(9, 9)) for i in range(5)})
    data = tar.read_bytes()
    step = 512 + -(-len(encoded(scene(9, 9))) // 512) * 512  # from one header to the next
    negative = bytearray(data)
    negative[step + 124 : step + 136] = (-1024).to_bytes(12, "big", signed=True)
    checked = negative[step : step + 148] + b" " * 8 + negative[step + 156 : step + 512]
    negative[step + 148 : step + 156] = b"%06o\0 " % sum(checked)
    broken = {
        "short": data[: step * 3 - 100],
        "inside": data[:step] + b"\xff" * 512 + data[step + 512 :],
        "negative": bytes(negative),
        "text": b"no tar at all" * 100,
        "empty": b"",
        "zeros": bytes(10240),
    }
    for name, content in broken.items():
        path = write(tmp_path / f"{name}.tar", content)
        with pytest.raises(PhotoError, match=f"{name}.tar: "):
            find_photos([path])


def test_tar_changed_since_it_was_found(tmp_path):
    tar = pack(tmp_path / "a.tar", {"1.png": encoded(scene(9, 9)), "2.png": encoded(scene(9, 9))})
    last = find_photos([tar])[-1]
    os.truncate(tar, 1500)
    assert "cut short" in refusal(last)
    tar.unlink()
    with pytest.raises(PhotoError, match="no such file"):
        last.read_bytes()
