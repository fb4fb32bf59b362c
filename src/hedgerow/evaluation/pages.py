"""What was measured as a page to look at: the scores, a curve of all photos', and the worst photos first.

In: a `Report` and the settings it was made with. Out: one HTML file that stands for itself, pictures inside, no script.
Each photo is shown as people marked it, what was found of that in green and what was missed in red, and as our regions
have it; forests that nobody wrote down are made again for the few photos shown, which gives the same.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from hedgerow.config import Evaluate
from hedgerow.data.datasets import Example, Truth, open_dataset
from hedgerow.draw import contours, overlay
from hedgerow.evaluation.forests import Prediction, Report, opened, predictor
from hedgerow.forest import MaskForest
from hedgerow.photos import open_photo
from hedgerow.writing import write_atomically

SHOWN = 12  # photos, unless --worst says more
LONGEST = 480  # pixels of a picture's longer side
FOUND = 0.5  # IoU from which a marked region counts as found
GREEN, RED = (38, 166, 91), (222, 53, 53)
CURVE, MARGIN = (640, 160), 30  # pixels
STYLE = """
:root { color-scheme: light dark; --soft: #777; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1040px; margin: 32px auto; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 17px; margin-top: 32px; } .soft { color: var(--soft); }
table { border-collapse: collapse; } td { padding: 1px 18px 1px 0; } td + td { font-variant-numeric: tabular-nums; }
figure { margin: 24px 0; } figcaption { margin-bottom: 6px; }
.pair { display: flex; gap: 12px; flex-wrap: wrap; } .pair img { max-width: 100%; border-radius: 4px; }
svg { max-width: 100%; } svg text { font-size: 12px; fill: currentColor; } svg path { fill: none; }
"""


def write_page(path: Path, report: Report, config: Evaluate) -> None:
    """The page of a report, whole or not at all."""
    worst = report.photos[: max(config.worst, SHOWN)]
    title = f"{report.protocol}: {report.title}"
    facts = [report.data, f"{len(report.photos)} of {report.total} photos have something to find"]
    made = report.forests.get("read from") or f"{report.forests['name']}, seed {report.forests['seed']}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(" · ".join([*facts, str(made)]))}</p>',
        f"<table>{''.join(_scores(report))}</table>",
        f"<h2>Photos by {escape(report.by)}</h2>",
        _curve([score for _, score in report.photos]),
        f"<h2>The worst {len(worst)} first</h2>",
        '<p class="soft">Left what people marked: green was found, red was missed. Right our regions.</p>',
        *_figures(worst, config),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    text = f"<!doctype html><html lang=en>{head}<style>{STYLE}</style><body>{''.join(body)}</body></html>\n"
    write_atomically(path, text.encode())


def _scores(report: Report) -> Iterator[str]:
    for name, value in report.scores.items():
        told = "-" if np.isnan(value) else f"{value:.4f}" if isinstance(value, float) else str(value)
        yield f"<tr><td>{escape(name)}<td>{told}"


def _curve(scores: Sequence[float]) -> str:
    """Photos from the worst to the best, and where their scores lie."""
    if not scores:
        return "<p>no photo has anything to find</p>"
    width, height = CURVE
    count, bottom, right = max(len(scores), 2), height - MARGIN, width - 8
    xs = np.linspace(MARGIN, right, count)
    ys = bottom - np.resize(scores, count) * (bottom - 8)
    line = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))
    drawn = [f'<path d="{line}" stroke="#3b82f6" stroke-width="2"/>']
    for value in (0.0, 0.5, 1.0):
        y = bottom - value * (bottom - 8)
        drawn.append(f'<path d="M{MARGIN} {y:.1f} H{right}" stroke="currentColor" opacity=".15"/>')
        drawn.append(f'<text x="4" y="{y + 4:.1f}">{value:g}</text>')
    drawn.append(f'<text x="{MARGIN}" y="{height - 6}">worst</text>')
    drawn.append(f'<text x="{right}" y="{height - 6}" text-anchor="end">best of {len(scores)}</text>')
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="scores">{"".join(drawn)}</svg>'


# ---------------------------------------------------------------------- photos


def _figures(worst: Sequence[tuple[str, float]], config: Evaluate) -> Iterator[str]:
    if not worst:
        return
    examples = {example.key: example for example in open_dataset(config.data)}
    forests = opened(config, [examples[name] for name, _ in worst])
    predict = predictor(config)
    for name, score in worst:
        example = examples[name]
        truth, pixels = example.truth(), open_photo(example.photo).pixels
        given = forests.get(example.image_id) or MaskForest(pixels.shape[:2])
        found = predict(example, given)
        marked = _marked(truth)
        pictures = (_lines(pixels, marked, found), _regions(pixels, found))
        images = "".join(f'<img alt="" src="{_image(picture)}">' for picture in pictures)
        told = f"{escape(name)} <span class=soft>{score:.3f}, {_told(marked, example, found)}</span>"
        yield f'<figure><figcaption>{told}</figcaption><div class="pair">{images}</div></figure>'


def _told(marked: MaskForest, example: Example, found: Prediction) -> str:
    ours = f"{len(found)} of ours" if isinstance(found, MaskForest) else f"{len(found)} levels of ours"
    return f"{len(marked)} regions marked, {ours}"


def _marked(truth: Truth) -> MaskForest:
    return MaskForest.from_labels(truth.partitions[0]) if truth.partitions else truth.regions or MaskForest((1, 1))


def _lines(pixels: np.ndarray, marked: MaskForest, found: Prediction) -> np.ndarray:
    ours = found if isinstance(found, MaskForest) else MaskForest.from_labels(found[len(found) // 2])
    best = marked.iou(ours).max(1, initial=0.0) if len(marked) and len(ours) else np.zeros(len(marked))
    colours = np.where((best >= FOUND)[:, None], GREEN, RED).astype(np.uint8)
    return contours(pixels, marked, rows=np.arange(len(marked)), colours=colours, written=False)


def _regions(pixels: np.ndarray, found: Prediction) -> np.ndarray:
    if isinstance(found, MaskForest):
        return overlay(pixels, found)
    middle = MaskForest.from_labels(found[len(found) // 2])
    return contours(pixels, middle, rows=np.arange(len(middle)), written=False)


def _image(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((LONGEST, LONGEST))
    memory = BytesIO()
    image.save(memory, "JPEG", quality=85, subsampling=0)  # lines keep their colours
    return f"data:image/jpeg;base64,{b64encode(memory.getvalue()).decode()}"
