"""The protocol `finetune` of `evaluate semantic`: a backbone's whole network learns from some of the labelled photos.

In: photos to learn from and to test on. Out: a row a backbone, a number a share of the photos, as
`hedgerow.learn.finetune` learns from them; rows that have no network are left out with a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hedgerow.config import CallerError, EvaluateSemantic, UsageError
from hedgerow.data.datasets import Example
from hedgerow.evaluation.features import FeatureReport, Row, names_beside
from hedgerow.evaluation.viewing import exploring, labels_of
from hedgerow.measure import ProbeScores, measure_probe, pool_probe
from hedgerow.photos import open_photo
from hedgerow.pipeline import DECODED, Watch, settings_of


def tuned(
    config: EvaluateSemantic,
    learning: Sequence[Example],
    testing: Sequence[Example],
    *,
    classes: Mapping[int, str],
    described: Mapping[str, str],
    watch: Watch,
) -> FeatureReport:
    """A network learned afresh for each share of the photos and each seed."""
    _check(config)
    try:
        from hedgerow.learn.finetune import HubBackbone, choose, finetune, open_tunable, steps_of
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise CallerError("fine-tuning needs torch: install hedgerow with its extra [train]") from None
    tuning, count = config.tuning, max(classes) + 1
    names, notes = names_beside(config)
    backbones: dict[str, HubBackbone] = {}
    for name in names:
        try:
            backbones[name] = open_tunable(name, tuning.device)
        except CallerError as error:
            if name == config.backbone:
                raise
            notes.append(f"no row of {name}: {error}")
    shown = np.stack([np.isin(np.arange(count), labels_of(example)) for example in learning])
    seeds = [config.seed + number for number in range(config.seeds)]
    numbers = {share: max(1, round(share * len(learning))) for share in tuning.fractions}

    def read(place: int) -> tuple[np.ndarray, np.ndarray]:
        return open_photo(learning[place].photo, DECODED).pixels, labels_of(learning[place])

    def runs() -> Iterator[tuple[str, float, ProbeScores]]:
        for name, backbone in backbones.items():
            for share, photos in numbers.items():
                for seed in seeds:
                    places = choose(shown, photos, np.random.default_rng(seed))
                    course = replace(tuning, steps=steps_of(tuning, share))
                    tell = finetune(backbone, places.tolist(), read, course, classes=count, seed=seed)
                    tested = []
                    for example in testing:
                        labels = labels_of(example)
                        found = tell(open_photo(example.photo, DECODED).pixels, (labels.shape[0], labels.shape[1]))
                        tested.append(measure_probe(found, labels, count, name=example.key))
                    yield name, share, pool_probe(tested)

    found: dict[str, dict[float, list[float]]] = {name: {share: [] for share in numbers} for name in backbones}
    for name, share, scores in watch(runs(), len(backbones) * len(numbers) * len(seeds)):
        found[name][share].append(scores.miou)
    rows = [
        Row(
            name,
            {f"mIoU at {share:.3g} ({numbers[share]})": tuple(scores) for share, scores in found[name].items()},
            {},
            np.nan,
            settings_of(backbone, exploring(config, name)),
            {"photos": {str(share): photos for share, photos in numbers.items()}},
        )
        for name, backbone in backbones.items()
    ]
    fewest = choose(shown, min(numbers.values()), np.random.default_rng(config.seed))
    lost = shown.any(0) & ~shown[fewest].any(0)
    if missing := [name for index, name in classes.items() if lost[index]]:
        notes.append(f"{len(fewest)} photos cannot show all classes: {', '.join(missing)} are missing there")
    return FeatureReport(rows, {}, dict(described), notes, seeds)


def _check(config: EvaluateSemantic) -> None:
    tuning = config.tuning
    if not tuning.fractions or not all(0 < share <= 1 for share in tuning.fractions):
        raise UsageError(f"--tuning.fractions lie above 0, up to 1, got {tuning.fractions}")
    for name in ("steps", "batch", "crop"):
        if getattr(tuning, name) < 1:
            raise UsageError(f"--tuning.{name} is at least 1, got {getattr(tuning, name)}")
