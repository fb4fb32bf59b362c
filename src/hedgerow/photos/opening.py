"""Opening one photo: a reference, a path, bytes, an array or a Pillow image in; a `Photo` out, or a `PhotoError`.

What is done to a photo, and why:
- It is turned upright as its EXIF orientation says, because that is the frame in which people look at it.
- Of an animation the first frame is taken, of several pages the first.
- What is transparent is laid on white: cut-outs are made for white pages, and the colour stored under a transparent
  pixel is arbitrary, so showing it would invent regions that nobody sees.
- Greys of 16 bits are scaled from their full range. Pixels of 32 bits have no agreed white: they are taken as 0 to 1
  (floats only), 0 to 255 or 0 to 65535, the first that holds them all, else stretched from least to greatest.
- CMYK is converted without profiles, and colour profiles are ignored: numbers are read as sRGB, which moves colours a
  little (Display P3, Adobe RGB) and borders not at all.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageChops, ImageFile, PngImagePlugin, UnidentifiedImageError, features

from hedgerow.photos.files import CLAIMED, DENSE, FORMATS, PIXEL_LIMIT, PhotoError, open_file, telling
from hedgerow.photos.finding import PhotoRef, open_stored, where

STRIP = 2**23  # pixels converted at a time, so that only the decoded photo itself is held whole
TEXT_LIMIT = 2**26  # bytes of text a PNG may unpack; Pillow's 1 MB refuses photos with a long editing history
ORIENTATION = 0x0112  # the EXIF tag; also TIFF's
BUILT_WITH = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}  # formats, and Pillow's names of their libraries


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo.

    pixels  (h, w, 3) uint8 RGB, upright, C-contiguous, the photo's own memory; may be reduced from full size
    size    (H, W) of the upright photo at full size
    """

    pixels: np.ndarray
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """h / H: 1 where the photo was not reduced."""
        return self.pixels.shape[0] / self.size[0]


def open_photo(
    source: PhotoRef | str | Path | bytes | np.ndarray | Image.Image, max_pixels: int | None = None
) -> Photo:
    """A photo from a reference, a path, an encoded file's bytes, an array or a Pillow image.

    An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), in uint8, uint16 (scaled from its full range), bool
    (black and white) or floats from 0 to 1. `max_pixels` reduces a larger photo, averaging, until it has at most so
    many; a JPEG is then decoded at a reduced scale in the first place.
    """
    with telling(_label(source)):
        return _open(source, max_pixels)


def open_hashed(ref: PhotoRef, max_pixels: int | None = None) -> tuple[Photo, str]:
    """A photo and the sha256 of its file: of the same bytes, whoever writes to the file meanwhile."""
    content = ref.read_bytes()
    with telling(where(ref)):
        return _open(content, max_pixels), hashlib.sha256(content).hexdigest()


def _open(source: PhotoRef | str | Path | bytes | np.ndarray | Image.Image, max_pixels: int | None) -> Photo:
    if max_pixels is not None and max_pixels < 1:
        raise PhotoError(f"max_pixels is at least 1, got {max_pixels}")
    with _strict_pillow, _opened(source) as image:
        return _decode(image, max_pixels, ours=image is not source)


def _label(source: object) -> str:
    if isinstance(source, PhotoRef):
        return where(source)
    if isinstance(source, str | os.PathLike):
        return str(source) or "an empty path"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "image")
    return {np.ndarray: "array", bytes: "encoded photo"}.get(type(source), type(source).__name__)


class _StrictPillow:
    """Pillow as it must be while we decode, whatever the program around us has set; put back afterwards.

    Truncated photos fail instead of turning grey, our pixel limit holds instead of Pillow's, and its warnings (odd
    EXIF, palettes) are no news to a caller. These settings are the process's, so threads that decode at once share one
    change, and the last to leave undoes it.
    """

    settings = (
        (Image, "MAX_IMAGE_PIXELS", PIXEL_LIMIT),
        (ImageFile, "LOAD_TRUNCATED_IMAGES", False),
        (PngImagePlugin, "MAX_TEXT_CHUNK", TEXT_LIMIT),
        (PngImagePlugin, "MAX_TEXT_MEMORY", TEXT_LIMIT),
        (logging.getLogger("PIL.TiffImagePlugin"), "disabled", True),
    )

    def __init__(self) -> None:
        self.lock, self.users, self.undo = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            if self.users == 0:
                self.undo.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
                for place, name, value in self.settings:
                    self.undo.callback(setattr, place, name, getattr(place, name))
                    setattr(place, name, value)
            self.users += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.undo.close()


_strict_pillow = _StrictPillow()


@contextmanager
def _opened(source: object) -> Iterator[Image.Image]:
    """The source as a Pillow image, not decoded yet; its file is closed at the end, a caller's image is not."""
    if isinstance(source, Image.Image):
        yield source
    elif isinstance(source, np.ndarray):
        yield Image.fromarray(_array_in_8_bits(source))
    else:
        with _stream(source) as file:
            yield _identify(file)


def _array_in_8_bits(array: np.ndarray) -> np.ndarray:
    wanted = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool or floats from 0 to 1"
    got = f"got {array.dtype} of shape {array.shape}"
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))) or 0 in array.shape:
        raise PhotoError(f"expected {wanted}, {got}: bring it into that form")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return _in_8_bits(array, 0, 65535)
    if array.dtype.kind != "f":
        raise PhotoError(f"expected {wanted}, {got}: convert it to uint8")
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # rounding may leave [0, 1] a little; NaN is no colour
        raise PhotoError(f"expected floats from 0 to 1, got {low:g} to {high:g}: divide by white, or convert to uint8")
    return _in_8_bits(array, 0, 1)


def _in_8_bits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """`low` becomes black and `high` white, which may be the lesser; what is no number becomes black."""
    scaled = np.zeros(values.shape, np.uint8)
    rows = max(1, STRIP // values[0].size)
    for top in range(0, len(values) if low != high else 0, rows):
        levels = (values[top : top + rows].astype(np.float64) - low) * (255 / (high - low)) + 0.5
        scaled[top : top + rows] = np.nan_to_num(levels, nan=0, posinf=255, neginf=0).clip(0, 255)
    return scaled


def _stream(source: object) -> IO[bytes]:
    if isinstance(source, PhotoRef):
        return open_stored(source)
    if isinstance(source, str | os.PathLike):
        return open_file(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    raise PhotoError("expected a path, the bytes of an image file, an array or a Pillow image: give one of these")


def _check_claim(image: Image.Image, file: IO[bytes]) -> None:
    """Before memory is taken for it."""
    pixels = image.width * image.height
    if not CLAIMED < pixels <= PIXEL_LIMIT:  # more is refused as such
        return
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(place)
    if pixels > DENSE * size:
        told = f"claims {image.width} x {image.height} pixels in {size} bytes"
        raise PhotoError(f"{told}: damaged, or made to fill the memory; export it again")


def _identify(file: IO[bytes]) -> Image.Image:
    Image.init()
    try:
        image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
        if image.format == "JPEG2000":
            _check_is_whole(file)
        _check_claim(image, file)
        return image
    except UnidentifiedImageError:
        file.seek(0)
        head = file.read(16)
    if not head:
        raise PhotoError("the file is empty: fetch or export it again")
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1"):
        raise PhotoError("HEIC is not read here: export it as JPEG")
    formats = ", ".join(name for name in FORMATS if name != "HEIF" and _is_read(name))
    raise PhotoError(f"no image of a kind that is read ({formats}), or damaged at its start: export it as one of these")


def _is_read(name: str) -> bool:
    """Does this Pillow read the format? Some it knows by name only, where their library was not there to build it."""
    return name in Image.OPEN and (name not in BUILT_WITH or bool(features.check(BUILT_WITH[name])))


def _check_is_whole(file: IO[bytes]) -> None:
    """JPEG 2000 cut at certain places decodes grey without a word; what is whole has an end marker, else never used."""
    place = file.tell()
    file.seek(0)
    if b"\xff\xd9" not in file.read():
        raise PhotoError("cut short: fetch or export it again")
    file.seek(place)


# ---------------------------------------------------------------------- decoding


def _decode(image: Image.Image, max_pixels: int | None, ours: bool) -> Photo:
    if 0 in image.size:
        raise PhotoError("has no pixels: give another photo")
    if math.prod(image.size) > PIXEL_LIMIT:
        most = f"{PIXEL_LIMIT // 10**6} megapixels, the most that are opened"
        raise PhotoError(f"{image.width} x {image.height} pixels are more than {most}: reduce or cut it first")
    full, drafted = image.size, None
    if max_pixels is not None and ours:  # a draft would change a caller's image for good
        drafted = image.draft(image.mode, _fitting(image.size, max_pixels))
    image.load()
    if drafted is None:
        full = image.size  # a TIFF turns itself upright as it loads
    size = _fitting(full, max_pixels) if max_pixels is not None else full
    orientation = _orientation(image)
    turned = orientation >= 5
    pixels = np.empty((*(size if turned else size[::-1]), 3), np.uint8)
    stored = _as_stored(pixels, orientation)
    for top, bottom, strip in _strips(image, size):
        stored[top:bottom] = strip
    return Photo(pixels, full if turned else (full[1], full[0]))


def _fitting(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """The largest (w, h) of the same proportions with at most `max_pixels`, and never 0."""
    width, height = size
    scale = math.sqrt(max_pixels / (width * height))
    if scale >= 1:
        return size
    if width * scale < 1:
        return 1, min(height, int(max_pixels))
    if height * scale < 1:
        return min(width, int(max_pixels)), 1
    return int(width * scale), int(height * scale)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION)
    except Exception:  # a photo with damaged EXIF is shown as it is stored, as every viewer does
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """A view of the upright array into which the stored photo can be written row by row."""
    view = upright.swapaxes(0, 1) if orientation >= 5 else upright
    return view[:: -1 if orientation in (3, 4, 6, 7) else 1, :: -1 if orientation in (2, 3, 7, 8) else 1]


def _strips(image: Image.Image, size: tuple[int, int]) -> Iterator[tuple[int, int, np.ndarray]]:
    """(top, bottom, RGB rows) of the decoded image reduced to `size` (w, h).

    A reduced strip reads a margin of rows as wide as the filter, so no seam arises. The filter is Hamming's: a weighted
    average over two pixels' width that neither rings nor, as plain boxes do, displaces borders at fractional scales.
    """
    levels = _levels(image)
    step_y = image.height / size[1]
    rows = max(1, int(STRIP / (image.width * step_y)))
    margin = math.ceil(step_y) + 1 if size != image.size else 0
    for top in range(0, size[1], rows):
        bottom = min(top + rows, size[1])
        first = max(0, math.floor(top * step_y) - margin)
        last = min(image.height, math.ceil(bottom * step_y) + margin)
        strip = image if last - first == image.height else image.crop((0, first, image.width, last))
        strip = _to_rgb(strip, image.format, levels)
        if size != image.size:
            box = (0, top * step_y - first, image.width, min(bottom * step_y, last) - first)
            strip = strip.resize((size[0], bottom - top), Image.Resampling.HAMMING, box)
        yield top, bottom, np.asarray(strip)


def _levels(image: Image.Image) -> tuple[float, float] | None:
    """The values of black and white in an image of more than 8 bits, else None."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if image.mode.startswith("I;16"):
        bits = tags.get(258, (16,))  # BitsPerSample: 12 from some scanners and microscopes
        white = 2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1
    elif image.mode == "I" and image.format in ("PNG", "PPM"):
        white = 65535  # Pillow opens, and for PPM scales, their 16 bits so
    elif image.mode in ("I", "F"):
        low, high = _extremes(image)
        white = next((w for w in (1, 255, 65535) if low >= 0 and high <= w and (w > 1 or image.mode == "F")), None)
        if white is None:
            return low, high
    else:
        return None
    return (white, 0) if tags.get(262) == 0 else (0, white)  # PhotometricInterpretation 0: white is zero


def _extremes(image: Image.Image) -> tuple[float, float]:
    """The least and greatest finite value."""
    low, high = math.inf, -math.inf
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        values = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        values = values[np.isfinite(values)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low > high:
        raise PhotoError("not one of its pixels is a number: give another photo")
    return low, high


def _to_rgb(strip: Image.Image, source_format: str | None, levels: tuple[float, float] | None) -> Image.Image:
    if levels is not None:
        strip = Image.fromarray(_in_8_bits(np.asarray(strip), *levels))
    elif strip.has_transparency_data:
        rgba = strip.convert("RGBA")
        strip = Image.new("RGB", strip.size, "white")
        strip.paste(rgba, mask=rgba.getchannel("A"))
    elif strip.mode == "CMYK" and source_format == "JPEG" and "adobe" not in strip.info:
        strip = ImageChops.invert(strip)  # Pillow takes every CMYK JPEG for Adobe's, whose inks are stored inverted
    return strip.convert("RGB")
