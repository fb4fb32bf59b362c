"""Photos: open any image safely; a folder, a glob or a tar of photos as one sequence.

In: paths, bytes, arrays or Pillow images. Out: a `Photo` (upright 8-bit RGB pixels and the full size), or a
`PhotoError` of one line that names the photo, the cause and what to do. Nothing else escapes, and a file
that ends too early is refused, not filled up with grey.

The rooms: finding.py (which photos there are, and a key for each), opening.py (one of them decoded; what is done to it,
and why), and below both tars.py (files read where they lie in a tar) and files.py (what is taken for a photo, opening
its file, telling in one line what went wrong).
"""

from hedgerow.photos.files import PHOTO_SUFFIXES, PIXEL_LIMIT, PhotoError
from hedgerow.photos.finding import PhotoRef, find_photos
from hedgerow.photos.opening import Photo, open_hashed, open_photo

__all__ = [
    "PHOTO_SUFFIXES",
    "PIXEL_LIMIT",
    "Photo",
    "PhotoError",
    "PhotoRef",
    "find_photos",
    "open_hashed",
    "open_photo",
]
