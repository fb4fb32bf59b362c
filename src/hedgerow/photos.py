"""Photos: open any image safely; a folder, a glob or a tar of photos as one sequence.

In: paths, bytes, arrays or Pillow images. Out: a `Photo` (upright 8-bit RGB pixels and the full size), or a
`PhotoError` of one line that names the photo, the cause and what to do. Nothing else escapes, and a file
that ends too early is refused, not filled up with grey.

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

import errno
import glob
import io
import logging
import math
import os
import re
import stat
import tarfile
import threading
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFile, PngImagePlugin, UnidentifiedImageError

from hedgerow.config import CallerError

# Pillow's name of each format that is opened, and the suffixes by which a folder's photos are known. Formats without a
# signature (TGA) are left out, as any damaged bytes could pass for them; so are those that run another program (EPS).
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),  # opened where a plug-in has taught Pillow, else refused by name rather than skipped
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "QOI": (".qoi",),
}
PHOTO_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
PIXEL_LIMIT = 400_000_000  # about 3 GB at full size, beyond any camera's frame; a larger claim is taken for a bomb

STRIP = 2**23  # pixels converted at a time, so that only the decoded photo itself is held whole
TEXT_LIMIT = 2**26  # bytes of text a PNG may unpack; Pillow's 1 MB refuses photos with a long editing history
ORIENTATION = 0x0112  # the EXIF tag; also TIFF's
COMPRESSED_TAR = re.compile(r"\.(tar\.(gz|bz2|xz|zst|lz4|z)|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)


class PhotoError(CallerError):
    """A photo that cannot be found or opened, told in one line."""


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


@dataclass(frozen=True)
class PhotoRef:
    """Where a photo of a sequence lies; small, and picklable for worker processes.

    key     unique in its sequence: the path below the input given, without suffix, parts separated by "/"
    path    the file, or the tar that holds it
    member  the name inside the tar, None for a file
    """

    key: str
    path: Path
    member: str | None = None
    _span: tuple[int, int] | None = field(default=None, repr=False, compare=False)  # offset and size inside the tar

    @property
    def name(self) -> str:
        """The file's name with suffix."""
        return _readable(os.path.basename(self.member if self.member is not None else os.fspath(self.path)))

    def read_bytes(self) -> bytes:
        """The file as it is stored."""
        with _telling(_label(self)):
            if self.member is not None:
                return _read_member(self.path, self.member, self._span)
            with _open_file(self.path) as file:
                return file.read()


# ---------------------------------------------------------------------- opening one


def open_photo(
    source: PhotoRef | str | Path | bytes | np.ndarray | Image.Image, max_pixels: int | None = None
) -> Photo:
    """A photo from a reference, a path, an encoded file's bytes, an array or a Pillow image.

    An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), in uint8, uint16 (scaled from its full range), bool
    (black and white) or floats from 0 to 1. `max_pixels` reduces a larger photo, averaging, until it has at most so
    many; a JPEG is then decoded at a reduced scale in the first place.
    """
    with _telling(_label(source)):
        if max_pixels is not None and max_pixels < 1:
            raise PhotoError(f"max_pixels is at least 1, got {max_pixels}")
        with _strict_pillow, _opened(source) as image:
            return _decode(image, max_pixels, ours=image is not source)


@contextmanager
def _telling(label: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one line that opens with `label`."""
    try:
        yield
    except Exception as error:  # Pillow meets damaged files with nearly every type of exception there is
        raise PhotoError(_one_line(f"{label}: {_cause(error)}")) from error


def _label(source: object) -> str:
    if isinstance(source, PhotoRef):
        return f"{source.path}/{source.member}" if source.member is not None else str(source.path)
    if isinstance(source, str | os.PathLike):
        return str(source) or "an empty path"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "image")
    return {np.ndarray: "array", bytes: "encoded photo"}.get(type(source), type(source).__name__)


def _cause(error: Exception) -> str:
    known = {
        errno.ENOENT: "there is no such file or folder: check the path",
        errno.ENOTDIR: "there is no such file or folder: check the path",
        errno.ELOOP: "a link that leads back to itself: remove it",
        errno.EACCES: "may not be read: change its permissions",
        errno.EPERM: "may not be read: change its permissions",
    }
    if isinstance(error, PhotoError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"claims more than {PIXEL_LIMIT // 10**6} megapixels, the most that are opened: reduce or cut it first"
    if isinstance(error, MemoryError):
        return "does not fit in memory: reduce it first"
    if isinstance(error, OSError) and error.errno is not None:
        return known.get(error.errno, f"cannot be read ({os.strerror(error.errno)}): check the disk")
    return f"damaged or cut short ({type(error).__name__}: {error}): fetch or export it again"


def _one_line(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in _readable(text)).split())
    return text if len(text) <= 500 else f"{text[:300]} ... {text[-195:]}"


def _readable(text: str) -> str:
    """File names need not be valid text; what is recorded and printed must be."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


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
    if isinstance(source, PhotoRef) and source.member is not None:
        return io.BytesIO(_read_member(source.path, source.member, source._span))
    if isinstance(source, PhotoRef):
        return _open_file(source.path)
    if isinstance(source, str | os.PathLike):
        return _open_file(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    raise PhotoError("expected a path, the bytes of an image file, an array or a Pillow image: give one of these")


def _open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    path = os.path.expanduser(os.fspath(path))
    _check_is_file(path)  # first, because opening a pipe would wait for its other end
    return open(path, "rb")


def _check_is_file(path: str) -> None:
    if "\0" in path:
        raise FileNotFoundError(errno.ENOENT, "", path)
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise PhotoError("a folder, not a photo: name a photo in it")
    if not stat.S_ISREG(mode):
        raise PhotoError("a pipe, socket or device, not a file: save the photo as a file first")


def _identify(file: IO[bytes]) -> Image.Image:
    Image.init()
    try:
        image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
        if image.format == "JPEG2000":
            _check_is_whole(file)
        return image
    except UnidentifiedImageError:
        file.seek(0)
        head = file.read(16)
    if not head:
        raise PhotoError("the file is empty: fetch or export it again")
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1"):
        raise PhotoError("HEIC is not read here: export it as JPEG")
    formats = ", ".join(name for name in FORMATS if name != "HEIF")
    raise PhotoError(f"no image of a kind that is read ({formats}), or damaged at its start: export it as one of these")


def _check_is_whole(file: IO[bytes]) -> None:
    """JPEG 2000 cut at certain places decodes grey without a word; what is whole has an end marker, else never used."""
    place = file.tell()
    file.seek(0)
    if b"\xff\xd9" not in file.read():
        raise PhotoError("cut short: fetch or export it again")
    file.seek(place)


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


# ---------------------------------------------------------------------- finding many


class _Found(NamedTuple):
    """A photo before it has a key: `below` is its path below `root`, with suffix and "/"."""

    path: str
    root: str
    below: str
    member: str | None = None
    span: tuple[int, int] | None = None


def find_photos(inputs: Iterable[str | Path]) -> list[PhotoRef]:
    """The photos of files, folders, globs and tars as one sequence.

    Inputs keep their order; within one, names are in natural order (2 before 10). A photo met twice counts once.
    - A file is taken whatever its suffix.
    - A folder gives the photos in it and in folders below, known by their suffix (`PHOTO_SUFFIXES`); hidden ones and
      tars are passed over.
    - A glob the shell did not expand gives the photos and folders it matches; files of any kind, and tars, where it
      ends in their suffix, as "shards/*.tar" does.
    - A tar gives its photos, known by suffix, and is read in place. A compressed one is refused: it would have to be
      unpacked from its start for every photo.

    Keys that would be the same, by letters of either case too, keep their suffix (one folder) or the name of the folder
    or tar given (several), so that no photo's results overwrite another's.
    """
    found: dict[tuple[str, str | None], _Found] = {}
    resolved = lru_cache(maxsize=None)(os.path.realpath)  # a link to a folder is that folder; to a photo, another photo
    for given in [inputs] if isinstance(inputs, str | os.PathLike) else inputs:
        with _telling(str(given) or "an empty path"):
            for photo in _expand(os.path.expanduser(os.fspath(given))):
                folder, name = os.path.split(photo.path)
                found.setdefault((os.path.join(resolved(folder), name), photo.member), photo)
    if not found:
        raise PhotoError("no photo was named: give files, folders, globs or tars")
    photos = list(found.values())
    return [PhotoRef(key, Path(p.path), p.member, p.span) for key, p in zip(_keys(photos), photos, strict=True)]


def _expand(given: str) -> list[_Found]:
    if glob.has_magic(given) and not os.path.lexists(given):
        return _in_glob(given)
    if not os.path.isdir(given):
        return _in_file(given, os.path.dirname(os.path.abspath(given)))
    photos, tars = _in_folder(given, os.path.abspath(given))
    if not photos:
        remedy = f"its {tars} tars are taken when named, as '*.tar'" if tars else "give another"
        raise PhotoError(f"no photo in this folder or below it (looked for {_suffixes()}): {remedy}")
    return photos


def _in_glob(given: str) -> list[_Found]:
    fixed = given
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)
    matches = sorted(glob.glob(given, recursive=True), key=_natural)
    root = os.path.commonpath(map(os.path.abspath, [fixed, *matches]))  # above `fixed` if the pattern climbs by ".."
    suffix = os.path.splitext(given)[1]
    any_kind = suffix != "" and not glob.has_magic(suffix)
    photos: list[_Found] = []
    for match in matches:
        if os.path.isdir(match):
            photos += _in_folder(match, root)[0]
        elif any_kind or _is_photo(match):
            photos += _in_file(match, root)
    if not photos:
        raise PhotoError(f"no photo among the {len(matches)} names in {root} that match: check the pattern")
    return photos


def _in_folder(folder: str, root: str) -> tuple[list[_Found], int]:
    """The photos below a folder, and how many tars were passed over."""
    photos, tars, seen = [], 0, set()
    for here, below, names in os.walk(folder, onerror=_raise, followlinks=True):
        place = os.path.realpath(here)
        if place in seen:  # a link to a folder above would go round for ever
            below.clear()
            continue
        seen.add(place)
        below[:] = sorted(name for name in below if not name.startswith("."))
        prefix = os.path.relpath(here, root).replace(os.sep, "/") + "/"
        for name in names:
            if _is_photo(name) and not name.startswith("."):
                photos.append(_Found(os.path.join(here, name), root, f"{prefix}{name}".removeprefix("./")))
            tars += name.lower().endswith(".tar")
    return sorted(photos, key=lambda photo: _natural(photo.below)), tars


def _raise(error: OSError) -> None:
    raise error


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES


def _suffixes() -> str:
    return " ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)


def _natural(name: str) -> tuple[list[str], str]:
    """Sorts img_2 before img_10, and what is in one folder together."""
    return [re.sub("[0-9]+", lambda digits: digits[0].zfill(20), part) for part in name.split("/")], name


def _in_file(path: str, root: str) -> list[_Found]:
    _check_is_file(path)
    if COMPRESSED_TAR.search(path):
        raise PhotoError("a compressed tar cannot be read in place: unpack it, or decompress it to a plain .tar")
    if path.lower().endswith(".tar"):
        return _in_tar(path)
    return [_Found(path, root, os.path.relpath(path, root).replace(os.sep, "/"))]


def _in_tar(path: str) -> list[_Found]:
    root = os.path.splitext(os.path.abspath(path))[0]  # keys that need the tar's name carry it without suffix
    photos = []
    for member, span in _tar_index(path).items():
        # a member's name comes from a stranger: no key made of it may lead out of a folder of results, on any system
        safe = re.sub(r"[:\x00-\x1f]", "_", member.replace("\\", "/"))
        parts = [part for part in safe.split("/") if part not in ("", ".", "..")]
        if parts and _is_photo(parts[-1]) and not any(part.startswith(".") for part in parts):
            photos.append(_Found(path, root, "/".join(parts), member, span))
    if not photos:
        raise PhotoError(f"no photo in this tar (looked for {_suffixes()}): give another")
    return sorted(photos, key=lambda photo: _natural(photo.below))


def _tar_index(path: str) -> dict[str, tuple[int, int] | None]:
    status = os.stat(path)
    return _scan_tar(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)  # for references made by hand; those that find_photos makes carry their offset
def _scan_tar(path: str, *_version: int) -> dict[str, tuple[int, int] | None]:
    """Offset and size of each file; of one name the last holds, as in unpacking; None where it is not in one piece."""
    spans: dict[str, tuple[int, int] | None] = {}
    links = {}
    with open(path, "rb", buffering=0) as file, tarfile.open(fileobj=file, mode="r:") as tar:  # buffers cost a third
        damaged = PhotoError("the tar is damaged inside: fetch or pack it again")
        for member in tar:
            if tar.offset <= member.offset:  # a negative size would lead back here for ever
                raise damaged
            if member.isreg():
                spans[member.name] = None if member.issparse() else (member.offset_data, member.size)
            elif member.islnk():
                links[member.name] = member.linkname
            elif member.issym():
                links[member.name] = os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname))
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a damaged header for the end
            raise damaged
    return spans | {name: spans.get(target) for name, target in links.items()}


def _read_member(path: Path, member: str, span: tuple[int, int] | None) -> bytes:
    place = os.path.expanduser(path)
    _check_is_file(place)
    span = span or _tar_index(place).get(member)
    if span is None:
        raise PhotoError("no such file in the tar, or one not stored in one piece: check the name, or pack it again")
    offset, size = span
    with open(place, "rb") as file:
        if offset + size > os.fstat(file.fileno()).st_size:
            raise PhotoError("the tar is cut short: fetch it again")
        file.seek(offset)
        return file.read(size)


def _keys(photos: list[_Found]) -> list[str]:
    """A key for each photo; those that clash are made more specific until none does, or nothing is left to add."""
    kept = [(0, False)] * len(photos)  # how many parts of the root, and whether the suffix
    while True:
        keys = [_key(photo, *how) for photo, how in zip(photos, kept, strict=True)]
        alike = defaultdict(list)
        for i, key in enumerate(keys):
            alike[_fold(key)].append(i)
        before = list(kept)
        for rows in filter(lambda rows: len(rows) > 1, alike.values()):
            roots = Counter(photos[i].root for i in rows)
            for i in rows:
                parts, suffix = kept[i]
                more = min(parts + (len(roots) > 1), len(_parts(photos[i].root)))
                kept[i] = more, suffix or roots[photos[i].root] > 1
        if kept == before:
            return _numbered(keys)


def _key(photo: _Found, parts: int, suffix: bool) -> str:
    root = _parts(photo.root) if parts else []
    name = photo.below if suffix else os.path.splitext(photo.below)[0]
    return _readable("/".join([*root[len(root) - parts :], name]))


def _parts(folder: str) -> list[str]:
    return [part for part in os.path.splitdrive(folder)[1].split(os.sep) if part]


def _fold(key: str) -> str:
    """One and the same for names that a file system which ignores case, or rewrites accents, takes for the same."""
    return unicodedata.normalize("NFC", key).casefold()


def _numbered(keys: list[str]) -> list[str]:
    """Keys that still clash, as a.jpg and A.jpg of one folder do, get a number from the second on."""
    taken: set[str] = set()
    for i, key in enumerate(keys):
        number = 1
        while _fold(key if number == 1 else f"{key}-{number}") in taken:
            number += 1
        keys[i] = key if number == 1 else f"{key}-{number}"
        taken.add(_fold(keys[i]))
    return keys
