"""What each phase of learning a segmenter brought: exploring, self-instruction, self-correction, in one table.

In: a label store and a run of `hedgerow train` on it, and labelled photos, of which nothing was learned. Out: a row a
phase. Exploring is measured as it made the store's labels; networks are measured as they would ship, in float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hedgerow.config import Evaluate, Explore, Train
from hedgerow.data.labels import LabelStore
from hedgerow.evaluation.forests import evaluate
from hedgerow.pipeline import Watch
from hedgerow.writing import write_atomically

BACKBONES = ("texture", "embedded")
NETWORKS = {
    "instructed": "self-instruction: the teacher",
    "student": "self-correction: the student",
    "teacher": "self-correction: the teacher",
}
COLUMNS = ("masks a photo", "AR@10", "AR@100", "AR@1000", "AR@1000 small", "AR@1000 medium", "AR@1000 large")


def measure_phases(
    store: Path, run: Path, config: Train, watch: Watch = lambda items, _: items
) -> Iterator[tuple[str, dict[str, float]]]:
    """Each phase's name and scores as they are known; RUN/phases.json holds them all in the end."""
    from hedgerow.learn.ship import export_segmenter

    assert config.measure is not None
    asked = Evaluate(data=config.measure, every=config.every, workers=config.workers)
    rows: dict[str, dict[str, float]] = {}
    settings = LabelStore(store).record["settings"]
    if settings["name"] in BACKBONES:  # a file or a hub's weights a store knows by their hash alone
        rows["exploring: its labels"] = evaluate("masks", as_labels(asked, settings), watch).scores
        yield from rows.items()
    with TemporaryDirectory() as place:
        for name, told in NETWORKS.items():
            folder = run / "segmenter" / name
            if not folder.exists() or (name != "instructed" and not config.correct):
                continue
            model = export_segmenter(folder, Path(place) / f"{name}.onnx", config.size)
            rows[told] = evaluate("masks", replace(asked, model=str(model)), watch).scores
            yield told, rows[told]
    content = {"data": config.measure, "every": config.every, "phases": rows}
    write_atomically(run / "phases.json", (json.dumps(content, indent=1) + "\n").encode())


def as_labels(asked: Evaluate, settings: dict[str, Any]) -> Evaluate:
    """The same photos, explored with the settings of a label store."""
    backbone = settings["name"] + (f"?{settings['options']}" if settings["options"] else "")
    return replace(asked, backbone=backbone, explore=_read(Explore, settings["explore"]), seed=settings["seed"])


def _read(kind: type, values: dict[str, Any]) -> Any:
    """Settings as JSON has them, as the dataclass they were."""
    given = {}
    for field in fields(kind):
        value, default = values[field.name], getattr(kind(), field.name)
        given[field.name] = _read(type(default), value) if is_dataclass(default) else _plain(value, default)
    return kind(**given)


def _plain(value: Any, default: Any) -> Any:
    return float(value) if isinstance(default, float) else value  # "inf" is a word in JSON
