"""What finding and opening share: what is taken for a photo, opening its file, telling in one line what went wrong.

In: a path, or whatever error Pillow or the system raises. Out: an open file, or a `PhotoError` that says what to do.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from PIL import Image

from hedgerow.config import CallerError
from hedgerow.storage import is_remote, reach

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
BLOCK = 2**22  # bytes that are fetched ahead from a bucket
# A larger photo than CLAIMED pixels with more than DENSE a byte is damaged or made to fill the memory: of what cameras
# and programs write, a flat PNG of two colours is the densest, with 8,000.
CLAIMED, DENSE = 16_000_000, 10_000
PIXEL_LIMIT = 400_000_000  # about 3 GB at full size, beyond any camera's frame; a larger claim is taken for a bomb


class PhotoError(CallerError):
    """A photo that cannot be found or opened, told in one line."""


@contextmanager
def telling(label: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one line that opens with `label`."""
    try:
        yield
    except Exception as error:  # Pillow meets damaged files with nearly every type of exception there is
        raise PhotoError(_one_line(f"{label}: {_cause(error)}")) from error


def _cause(error: Exception) -> str:
    known = {
        errno.ENOENT: "there is no such file or folder: check the path",
        errno.ENOTDIR: "there is no such file or folder: check the path",
        errno.ELOOP: "a link that leads back to itself: remove it",
        errno.EACCES: "may not be read: change its permissions",
        errno.EPERM: "may not be read: change its permissions",
    }
    if isinstance(error, CallerError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"claims more than {PIXEL_LIMIT // 10**6} megapixels, the most that are opened: reduce or cut it first"
    if isinstance(error, MemoryError):
        return "does not fit in memory: reduce it first"
    if isinstance(error, OSError) and error.errno is not None:
        return known.get(error.errno, f"cannot be read ({os.strerror(error.errno)}): check the disk")
    return f"damaged or cut short ({type(error).__name__}: {error}): fetch or export it again"


def _one_line(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in readable(text)).split())
    return text if len(text) <= 500 else f"{text[:300]} ... {text[-195:]}"


def readable(text: str) -> str:
    """File names need not be valid text; what is recorded and printed must be."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """A file of this machine, or of a bucket, to be read from any of its bytes on."""
    if is_remote(os.fspath(path)):
        files, name = reach(os.fspath(path))
        return files.open(name, "rb", block_size=BLOCK)  # type: ignore[no-any-return]
    path = os.path.expanduser(os.fspath(path))
    check_is_file(path)  # first, because opening a pipe would wait for its other end
    return open(path, "rb")


def check_is_file(path: str) -> None:
    if "\0" in path:
        raise FileNotFoundError(errno.ENOENT, "", path)
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise PhotoError("a folder, not a photo: name a photo in it")
    if not stat.S_ISREG(mode):
        raise PhotoError("a pipe, socket or device, not a file: save the photo as a file first")
