"""A forest as a notebook shows it.

In: a forest. Out: HTML that stands for itself, without script or outside resource, legible on light and dark pages:
what there is of it, a partition of it in colours, its best regions, and its tree to be opened step by step. Colours
hang on regions and what they are part of (`hedgerow.palette`), as in pictures. A forest does not have its photo.

Written against what a forest offers, not its class: that one asks for this (`_repr_html_`).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.palette import path_colours
from hedgerow.partition import sampled

SIDE, OPENED = 320, 60  # pixels of the picture's longer side, and regions that are opened in it
BEST = 8  # regions in the table
TWIGS, DEEP = 6, 4  # parts of a region that are listed, and how far down
MUTED = "opacity:.65"


def html_of(forest: Any) -> str:
    """HTML of a MaskForest."""
    height, width = forest.size
    deep = int(forest.depth.max(initial=-1)) + 1
    facts = f"{width} × {height} pixels, {len(forest)} regions, {len(forest.roots)} roots, {deep} deep"
    title = f'<div style="margin-bottom:6px"><b>MaskForest</b> <span style="{MUTED}">{facts}</span></div>'
    if not len(forest):
        return f"<div>{title}</div>"
    colours = path_colours(forest.rles, forest.parent)
    picture = f'<img alt="a partition of the forest" style="border-radius:4px" src="{_picture(forest, colours)}">'
    table = f'<table style="border-collapse:collapse">{"".join(_rows(forest, colours))}</table>'
    listed = "".join(_twigs(forest, forest.roots, colours, 0))
    tree = f'<details style="margin-top:6px"><summary>wholes and their parts</summary>{listed}</details>'
    beside = f'<div style="display:flex;gap:16px;flex-wrap:wrap;align-items:flex-start">{picture}{table}</div>'
    return f'<div style="font:13px/1.4 system-ui,sans-serif">{title}{beside}{tree}</div>'


def _picture(forest: Any, colours: np.ndarray) -> str:
    """The regions that a granularity slider opens first, borders in white, as an image inside of the page."""
    labels = forest.cut(count=OPENED)
    scale = min(1.0, SIDE / max(forest.size))
    shape = tuple(max(1, round(side * scale)) for side in forest.size)
    ys, xs = sampled(forest.size, shape)
    labels = labels[ys[:, None], xs]
    shown = np.append(colours, [[228, 228, 228]], 0).astype(np.uint8)[labels]
    shown[:, 1:][labels[:, 1:] != labels[:, :-1]] = 255
    shown[1:][labels[1:] != labels[:-1]] = 255
    memory = BytesIO()
    Image.fromarray(shown).save(memory, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(memory.getvalue()).decode()}"


def _rows(forest: Any, colours: np.ndarray) -> Iterator[str]:
    heads = ("", "row", "score", "area", "depth", "parent", *(("name",) if forest.name is not None else ()))
    cell = "padding:1px 8px;text-align:right;border:0"
    yield "<tr>" + "".join(f'<th style="{cell};{MUTED};font-weight:normal">{head}</th>' for head in heads) + "</tr>"
    for row in np.argsort(-forest.score, kind="stable")[:BEST]:
        share = forest.areas[row] / (forest.size[0] * forest.size[1])
        above = int(forest.parent[row])
        told = [_swatch(colours[row]), str(row), f"{forest.score[row]:.2f}", f"{share:.1%}", str(forest.depth[row])]
        told.append(str(above) if above >= 0 else "–")
        told += [escape(forest.name[row])] if forest.name is not None else []
        yield "<tr>" + "".join(f'<td style="{cell}">{value}</td>' for value in told) + "</tr>"


def _twigs(forest: Any, rows: np.ndarray, colours: np.ndarray, depth: int) -> Iterator[str]:
    """The best of these regions, each to be opened for its parts."""
    for row in rows[np.argsort(-forest.score[rows], kind="stable")][:TWIGS]:
        parts = forest.children(row)
        name = f" {escape(forest.name[row])}" if forest.name is not None and forest.name[row] else ""
        told = f"{_swatch(colours[row])} {row}{name} <span style='{MUTED}'>score {forest.score[row]:.2f}"
        told += f", {len(parts)} parts</span>" if len(parts) else "</span>"
        if len(parts) and depth + 1 < DEEP:
            below = "".join(_twigs(forest, parts, colours, depth + 1))
            yield f'<details style="margin-left:16px"><summary>{told}</summary>{below}</details>'
        else:
            yield f'<div style="margin-left:16px">{told}</div>'
    if len(rows) > TWIGS:
        yield f'<div style="margin-left:16px;{MUTED}">and {len(rows) - TWIGS} more</div>'


def _swatch(colour: np.ndarray) -> str:
    style = f"display:inline-block;width:.8em;height:.8em;border-radius:2px;background:#{bytes(colour).hex()}"
    return f'<span style="{style}"></span>'
