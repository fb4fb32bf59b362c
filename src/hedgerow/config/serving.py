"""The page that photos open in."""

from __future__ import annotations

from dataclasses import dataclass, field

from hedgerow.config.seeing import Explore, Predict


@dataclass(frozen=True)
class Serve:
    """Where the page is, what it may take, what looks at photos."""

    host: str = "127.0.0.1"  # address that is listened on; any but loopback asks each browser for a random token
    port: int = 8765  # 0: any that is free
    open: bool = True  # open the page in a browser; --no-open only prints its address
    keep: int = 40  # photos that are kept ready, those not looked at for longest going first
    max_upload: float = 50.0  # MB of a photo that is dropped on the page
    max_megapixels: float = 120.0  # of any photo; a larger claim is refused before it is decoded
    model: str | None = None  # FILE.onnx of a trained segmenter (default: photos are explored)
    backbone: str = "texture"  # what looks at the photos: texture, texture+outlines, FILE.onnx or hub:ID
    # what tells segments that look alike: embedded?feature=meaning, texture, FILE.onnx or hub:ID
    alike: str = "embedded?feature=meaning"
    name_model: str = "embedded"  # what joins pixels and words: embedded, FILE.onnx of hedgerow caption, or hub:ID
    max_masks: int | None = None  # regions of a photo at most, best first (default: explore.max-masks, 1000)
    min_area: int | None = None  # pixels of the photo; smaller regions are left out (default: explore.min-area, 0)
    tiles: int | None = None  # pixels a side of tiles that a model looks at as well, for small things in large photos
    seed: int = 0
    quiet: bool = False  # print the address and errors only
    predict: Predict = field(default_factory=Predict)
    explore: Explore = field(default_factory=Explore)
