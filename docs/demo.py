"""Three photos that scikit-image ships, segmented and drawn: `make demo`. Reads as an example of the Python API.

    python docs/demo.py demo

Of each photo: itself, its forest over it, its nested levels, its tree as thumbnails, and its forest as a file.
"""

import sys
from pathlib import Path
from time import perf_counter

from PIL import Image
from skimage import data

import hedgerow

NAMES = ("chelsea", "coffee", "astronaut")
MODEL = {"name": "texture", "supervision": "none", "weights_sha256": None}  # a method without weights


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        pixels = getattr(data, name)()  # (H, W, 3) uint8; a path or a Pillow image does as well
        start = perf_counter()
        forest = hedgerow.segment(pixels)
        print(f"{name}: {len(forest)} regions, {len(forest.roots)} roots, {perf_counter() - start:.1f} s", flush=True)

        pictures = {
            "photo": pixels,
            "overlay": hedgerow.overlay(pixels, forest),
            "levels": hedgerow.level_strip(pixels, forest.levels(8)),
            "tree": hedgerow.tree(pixels, forest),
        }
        for kind, picture in pictures.items():
            Image.fromarray(picture).save(folder / f"{name}.{kind}.png")
        hedgerow.write_forest(folder / f"{name}.forest.json", forest, f"{name}.photo.png", MODEL)
    print(f"in {folder.resolve()}: " + ", ".join(f"*.{kind}.png" for kind in pictures) + ", *.forest.json")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
