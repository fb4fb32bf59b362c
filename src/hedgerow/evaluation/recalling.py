"""Captions find their photos, and photos their captions: image-text retrieval.

In: captioned photos, and what joins pixels and words. Out: a `FeatureReport` of one row, recall at 1, 5 and 10 both
ways, beside what an order by lot recalls on average. A photo is looked at as a whole (`Language.whole`), a caption is
read as it is, without a template. With several captions a photo one of them is enough; the photo of each is asked for.

Photos that learning has held back are those of `hedgerow.data.pairs.held_back`: the same ones for the same places.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from hedgerow.config import CallerError, EvaluateNames, UsageError
from hedgerow.data.pairs import Pair, held_back, read_pairs
from hedgerow.engines import share_out
from hedgerow.evaluation.features import FeatureReport, Row
from hedgerow.evaluation.viewing import exploring
from hedgerow.measure import measure_recall, recall_by_chance
from hedgerow.naming import open_language
from hedgerow.photos import PhotoRef, open_photo
from hedgerow.pipeline import DECODED, Watch, failed, workers_of

CAPTIONS = "captions:"


def evaluate_captions(config: EvaluateNames, watch: Watch) -> FeatureReport:
    """Recall of a language on the captions of --data, of the photos held back or of all."""
    pairs, said = _chosen(config)
    if len(pairs) < 2:
        raise UsageError(f"{config.data}: {len(pairs)} photos are no choice: give more, or --split all")
    language = open_language(config.model)
    photos, seconds = _looked_at(config, pairs, watch)
    of = np.repeat(np.arange(len(pairs)), [len(pair.captions) for pair in pairs])
    captions = language.text([caption for pair in pairs for caption in pair.captions])
    found = measure_recall(photos, captions, of).as_dict()
    described = {
        "data": f"{config.data}: {len(pairs)} photos, {len(captions)} captions, {said}",
        "model": f"{language.name}, learned from {language.supervision}",
    }
    model = {"name": language.name, "supervision": language.supervision, "weights_sha256": language.weights_sha256}
    row = Row("whole", {name: (value,) for name, value in found.items()}, {}, seconds, model, {})
    chance: dict[str, tuple[float, ...]] = {name: (value,) for name, value in recall_by_chance(of).items()}
    return FeatureReport([row], chance, described, [], [config.seed])


def _chosen(config: EvaluateNames) -> tuple[list[Pair], str]:
    place = config.data.removeprefix(CAPTIONS)
    places = [place] if Path(place).expanduser().exists() else place.split(",")
    if not place:
        raise UsageError(f"captions are written {CAPTIONS}PLACE or {CAPTIONS}PLACE,PLACE, got {config.data}")
    pairs = read_pairs([Path(one.strip()) for one in places])
    said = "all of them"
    if config.split != "all":
        total = len(pairs)
        if not 0 < config.held < total:
            raise UsageError(f"--held {config.held} of {total} photos leaves no choice: give 1 to {total - 1}")
        pairs, said = held_back(pairs, config.held)[1], f"held back of {total}"
    return pairs[:: config.every][: config.limit], said


def _looked_at(config: EvaluateNames, pairs: list[Pair], watch: Watch) -> tuple[np.ndarray, float]:
    """(N, E) the photos as a whole, in order, and mean seconds."""
    photos = [pair.photo for pair in pairs]
    most = workers_of(exploring(config))
    found: dict[int, tuple[np.ndarray, float]] = {}
    make = partial(_looker, config.model)
    with closing(share_out(make, photos, min(most, len(photos)) if most > 1 else 0)) as outcomes:
        for place, outcome in watch(outcomes, len(photos)):
            if isinstance(outcome, CallerError):
                raise CallerError(failed(photos[place], outcome).reason)
            found[place] = outcome
    told = [found[place] for place in range(len(photos))]
    return np.stack([vector for vector, _ in told]), float(np.mean([seconds for _, seconds in told]))


def _looker(model: str) -> Callable[[PhotoRef], tuple[np.ndarray, float]]:
    language = open_language(model)

    def looked(photo: PhotoRef) -> tuple[np.ndarray, float]:
        pixels = open_photo(photo, DECODED).pixels
        start = perf_counter()
        return language.whole(pixels), perf_counter() - start

    return looked
