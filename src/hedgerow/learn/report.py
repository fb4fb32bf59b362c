"""The log of a run, drawn: RUN/log.jsonl in, RUN/report.png out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.writing import whole_or_not

log = logging.getLogger(__name__)

# panels: a title, and what is drawn in it
Panels = tuple[tuple[str, tuple[str, ...]], ...]
BACKBONE: Panels = (
    ("losses", ("whole", "hidden", "place", "region")),
    ("photos keep apart (KoLeo)", ("spread",)),
    ("gradient", ("gradient",)),
    ("teacher: unsure of a view, even over prototypes", ("unsure", "even")),
    ("directions that patches take (effective rank)", ("rank",)),
    ("places and regions found at first try", ("found", "regions found")),
    ("probe of labelled photos (--probe): mIoU", ("mIoU",)),
    ("photos a second", ("photos/s",)),
)
SEGMENTER: Panels = (
    ("a query found something", ("found", "found (teacher)")),
    ("masks: cross-entropy", ("cross", "cross (teacher)")),
    ("masks: 1 - dice", ("dice", "dice (teacher)")),
    ("who is inside whom", ("ancestors", "ancestors (teacher)")),
    ("regions of a view that the teacher is sure of", ("taken",)),
    ("gradient", ("gradient",)),
    ("rate of learning", ("rate",)),
    ("photos a second", ("photos/s",)),
)
CONTRAST: Panels = (
    ("pixels find their objects: cross-entropy", ("contrast",)),
    ("objects and ground: balanced cross-entropy", ("salience",)),
    ("pixels that find their object at first try", ("found",)),
    ("objects contrasted in a step", ("objects",)),
    ("loss", ("loss",)),
    ("gradient", ("gradient",)),
    ("rate of learning", ("rate",)),
    ("photos a second", ("photos/s",)),
)
OUTLINE: Panels = (
    ("outlines: cross-entropy", ("loss",)),
    ("agreement with what regions vote for (correlation)", ("agree",)),
    ("gradient", ("gradient",)),
    ("photos a second", ("photos/s",)),
)
CAPTION: Panels = (
    ("captions, words: cross-entropy", ("cross", "words")),
    ("views agree (vision), clusters: minus information", ("vision", "cluster")),
    ("found at first try: captions, words", ("found", "words found")),
    ("clusters are used evenly", ("even",)),
    (
        "photos held back: photo to caption",
        ("caption R@1", "caption R@5", "caption R@10", "named right"),
    ),
    ("scale of photos and captions, regions and words", ("scale", "word scale")),
    ("gradient", ("gradient",)),
    ("photos a second", ("photos/s",)),
)
ACROSS = 4


def draw_report(folder: Path, panels: Panels = BACKBONE) -> None:
    try:
        from matplotlib.figure import Figure  # a figure of its own: no backend, no window, no state kept
    except ModuleNotFoundError as error:  # what was learned is saved, and worth more than its picture
        told = "%s is not drawn, which needs %s: install hedgerow with its extra [train], and --resume draws it"
        log.warning(told, folder / "report.png", error.name)
        return
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    run = json.loads((folder / "run.json").read_text("utf-8"))
    figure = Figure(figsize=(18, 4 * (len(panels) // ACROSS)), layout="constrained")
    axes = figure.subplots(len(panels) // ACROSS, ACROSS).flat
    for panel, (title, names) in zip(axes, panels, strict=True):
        for name in names:
            points = [(line["step"], line[name]) for line in lines if name in line]
            if points:
                _draw(panel, name, points, len(lines))
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
        if len(names) > 1 and panel.has_data():
            panel.legend(fontsize=8)
    last = lines[-1] if lines else {"step": 0, "seconds": 0.0}
    figure.suptitle(
        f"{run['config']['recipe']}: {run['photos']} photos, {last['step']} of {run['steps']} steps, "
        f"{last['seconds'] / 60:.1f} minutes on {run['device']}, {run['parameters'] / 1e6:.1f} M parameters",
        fontsize=11,
    )
    with whole_or_not(folder / "report.png") as file:
        figure.savefig(file, format="png", dpi=80)


def _draw(panel: Any, name: str, points: list[tuple[int, float]], lines: int) -> None:
    """What nearly every line has is drawn smoothed over its own shadow, what few have as points."""
    steps, values = np.array(points, np.float64).reshape(-1, 2).T
    if len(points) < lines / 2:
        panel.plot(steps, values, "o-", label=name)
        return
    (shadow,) = panel.plot(steps, values, alpha=0.25)
    panel.plot(steps, _smooth(values), color=shadow.get_color(), label=name)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over a fiftieth of the run."""
    width = max(len(values) // 50, 1)
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
