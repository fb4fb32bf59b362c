"""The method in order, and what reads and writes around it. Stages below know nothing of files.

`segment` is one photo into its forest. `plan` and `segment_photos` are many, in processes, going on from what is there.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from time import perf_counter
from typing import Any

import numpy as np

from hedgerow.backbones import Backbone, open_backbone
from hedgerow.backbones.pooling import look
from hedgerow.categories import SavedCategories, read_categories, sort_regions
from hedgerow.config import VERSION, CallerError, Evaluate, Explore, Gather, Labelling, Predict, Segment, UsageError
from hedgerow.data.coco import image_ids_and_files
from hedgerow.engines import WorkerError, share_out, usable_cores
from hedgerow.explore import explore
from hedgerow.forest import MaskForest
from hedgerow.formats import SUPERVISION, read_forest
from hedgerow.naming import Language, Naming, Vocabulary, naming_of, open_naming, vocabulary_of
from hedgerow.photos import Photo, PhotoError, PhotoRef, find_photos, open_photo
from hedgerow.predict import SegmenterModel, predict
from hedgerow.results import FORMATS, PICTURES, SUFFIXES, Results
from hedgerow.storage import is_remote

SHARES = {"overlap", "cover", "keep_iou", "apart", "small", "max_share"}  # knobs that mean nothing above 1 ...
POSITIVE = {"pixels", "side", "context", "softness", "grains"}  # ... and those that mean nothing at 0
DECODED = 16_000_000  # pixels: a larger photo is decoded at a reduced scale; its masks are at full size all the same

Watch = Callable[[Iterable[Any], int], Iterable[Any]]  # items and how many there are -> the items, shown as they go

log = logging.getLogger(__name__)


def segment(
    photo: Any,
    *,
    model: str | SegmenterModel | None = None,
    backbone: str | Backbone = "texture",
    config: Explore | Predict | None = None,
    seed: int = 0,
    names: str | Sequence[str] | Vocabulary | Naming | None = None,
) -> MaskForest:
    """One photo, a path, bytes, an array or a Pillow image, into its forest: explored, or as a trained model sees it.
    `config` goes with the way that is asked for; `names` are given to its regions as `name` does."""
    opened = open_photo(photo, max_pixels=DECODED)
    if isinstance(config, Predict) != (model is not None) and config is not None:
        raise CallerError(f"a model takes a Predict, exploring an Explore, got {type(config).__name__}")
    if model is not None:
        assert not isinstance(config, Explore)
        forest = predict(opened, SegmenterModel(model) if isinstance(model, str) else model, config)
    else:
        assert not isinstance(config, Predict)
        forest = explore(opened, open_backbone(backbone) if isinstance(backbone, str) else backbone, config, seed)
    if names is None:
        return forest
    return (names if isinstance(names, Naming) else open_naming(vocabulary_of(names)))(forest, opened.pixels)


def name(
    forest: MaskForest,
    photo: Any,
    names: str | Sequence[str] | Vocabulary | Naming,
    *,
    model: str | Language = "embedded",
    threshold: float | None = None,
    background: str | Sequence[str] | None = None,
    find: bool = False,
) -> MaskForest:
    """The forest of a photo, each region with the best of the names ("dog, grass, person", a list, a vocabulary), or
    with none; `find` keeps the regions that have one. Of many photos, `names` from `open_naming` reads them once."""
    opened = open_photo(photo, max_pixels=DECODED)
    if opened.size != forest.size:
        raise CallerError(f"the photo is of size {opened.size}, its forest of {forest.size} (height, width)")
    if not isinstance(names, Naming):
        names = open_naming(vocabulary_of(names), model, threshold=threshold, background=background, find=find)
    return names(forest, opened.pixels)


# ---------------------------------------------------------------------- many photos


@dataclass(frozen=True)
class Plan:
    """What a run is to do: its photos, those still to be done, where results go and with which settings."""

    photos: tuple[PhotoRef, ...]
    todo: tuple[PhotoRef, ...]
    results: Results
    settings: dict[str, Any]
    config: Segment
    image_ids: Mapping[str, int | str] | None  # of each key, for predictions.json; None: it is not asked for


@dataclass(frozen=True)
class Done:
    """A photo whose files are all there."""

    photo: PhotoRef
    regions: int
    depth: int
    seconds: float
    names: tuple[str, ...] = ()  # of the regions that have one, the commonest first
    named: int = 0  # regions

    @property
    def place(self) -> str:
        return _place(self.photo)


@dataclass(frozen=True)
class Failed:
    """A photo that could not be done, and why in one line; `details` where the fault is ours."""

    photo: PhotoRef
    reason: str
    details: str = ""


def plan(inputs: Iterable[str | Path], output: str | Path | None, config: Segment) -> Plan:
    """What is to be done for these photos, folders, globs and tars. What is there is checked, or forgotten if it is to
    be overwritten; nothing is made yet."""
    places, folder = [Path(given) for given in inputs], None if output is None else Path(output)
    kinds = _kinds(config.formats)
    asked = _asked(config.formats)
    if not places:
        raise UsageError("no photo was named: give files, folders, globs or tars")
    if folder is None and ("coco" in asked or config.coco_ids):
        raise UsageError("COCO results are of all photos together: give a folder for them, -o DIR")
    if config.coco_ids is None:
        photos = _found(places)
        image_ids: dict[str, int | str] = {photo.key: photo.key for photo in photos}
    else:
        photos, image_ids = _listed(places, config.coco_ids)
        if not config.keep_going:
            _check_all_there(photos, places[0], config.coco_ids)
    own = any(path.is_dir() or is_remote(path) for path in places) or any(photo.member for photo in photos)
    if folder is None and own:
        raise UsageError("results of a folder or a tar need a place of their own: give a folder for them, -o DIR")
    if config.tiles is not None and config.model is None:
        raise UsageError("--tiles goes with --model; exploring looks at small things closely by itself")
    naming = naming_of(config)
    if "labels" in asked and config.categories is None and naming is None:
        raise UsageError("label maps are of names or categories: give --names, or --categories of hedgerow cluster")
    if "labels" in asked and naming is not None:
        kinds = (*kinds, "legend")
    settings = settings_of(looker_of(config), config)
    if config.categories is not None:
        settings = _with_categories(settings, _saved(config.categories))
    if naming is not None:
        settings = _learned_of(settings, naming.language.supervision) | {"names": naming.settings}
    results = Results(folder, kinds, naming.names.names if naming is not None else ())
    todo = results.begin(photos, places, settings, config.overwrite)
    return Plan(tuple(photos), tuple(todo), results, settings, config, image_ids if "coco" in asked else None)


def segment_photos(plan: Plan) -> Generator[Done | Failed]:
    """Do what is to be done, photo by photo as they are finished. Close the iterator to stop; the same plan goes on.

    What spoils one photo is `Failed`; what spoils all, as a full disk, is raised.
    """
    make = partial(_segmenter, plan.results, plan.settings, plan.config)
    with plan.results.alone(), closing(shared_out(make, plan.todo, plan.config)) as outcomes:
        for place, outcome in outcomes:
            if isinstance(outcome, CallerError):
                yield failed(plan.todo[place], outcome)
            else:
                yield outcome


def collect(plan: Plan, bad: Sequence[Failed], watch: Watch = lambda items, _: items) -> None:
    """predictions.json, if it is asked for, of all photos but the bad ones; `watch` shows progress."""
    if plan.image_ids is None:
        return
    left_out = {failed.photo for failed in bad}
    photos = [(plan.image_ids[photo.key], photo) for photo in plan.photos if photo not in left_out]
    plan.results.collect(photos, explore_of(plan.config).max_masks, workers_of(plan.config), watch)


def explore_of(config: Segment | Evaluate | Labelling) -> Explore:
    """How photos are explored, with the shortcuts of a command line in their places."""
    for name, least in (("max_masks", 1), ("min_area", 0), ("workers", 1)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} is at least {least}, got {value}")
    if config.seed < 0:
        raise UsageError(f"--seed is at least 0, got {config.seed}")
    explored = config.explore
    _check_knobs("--explore", asdict(explored))
    return replace(
        explored,
        max_masks=explored.max_masks if config.max_masks is None else config.max_masks,
        min_area=explored.min_area if config.min_area is None else config.min_area,
    )


def _check_knobs(name: str, value: Any) -> None:
    """The method's knobs are finite numbers of at least 0, or choices among words."""
    if isinstance(value, dict):
        for inner in value:
            _check_knobs(f"{name}.{inner.replace('_', '-')}", value[inner])
    elif isinstance(value, int | float):
        knob = name.rpartition(".")[2].replace("-", "_")
        if knob in SHARES and not 0 <= value <= 1:
            raise UsageError(f"{name} lies in 0 ... 1, got {value}")
        if knob in POSITIVE and not 0 < value < math.inf:
            raise UsageError(f"{name} is above 0, got {value}")
        if not 0 <= value < math.inf and not (knob == "handicap" and value == math.inf):  # which switches merging off
            raise UsageError(f"{name} is at least 0, got {value}")


def settings_of(looker: Backbone | SegmenterModel, config: Segment | Evaluate | Labelling) -> dict[str, Any]:
    """All that a forest depends on beside its photo, as JSON knows it: the model field of a forest file."""
    settings: dict[str, Any] = {
        "name": looker.name,
        "supervision": looker.supervision,
        "weights_sha256": looker.weights_sha256,
        "options": config.backbone.partition("?")[2],
        "version": VERSION,
        "seed": config.seed,
    }
    if isinstance(looker, SegmenterModel):
        assert not isinstance(config, Labelling)
        settings |= {"options": "", "predict": asdict(predict_of(config))}
    else:
        settings["explore"] = asdict(explore_of(config))
    return _plain(settings)


def _with_categories(settings: dict[str, Any], saved: SavedCategories) -> dict[str, Any]:
    """What a forest's categories depend on, too; what people gave either is given to both."""
    used = {"sha256": saved.card["sha256"], "count": len(saved.categories), "most_segments": saved.most}
    return _learned_of(settings, saved.card["supervision"]) | {"categories": used}


def _learned_of(settings: dict[str, Any], supervision: str) -> dict[str, Any]:
    """The settings where something that learned from that was used, too."""
    return settings | ({"supervision": "captions"} if supervision == "captions" else {})


def predict_of(config: Segment | Evaluate) -> Predict:
    """How a model looks, with the shortcuts of a command line in their places."""
    explored = explore_of(config)  # checks what both have
    _check_knobs("--predict", {name: value for name, value in asdict(config.predict).items() if value is not None})
    tiles = config.tiles if isinstance(config, Segment) else None
    if tiles is not None and tiles < 32:
        raise UsageError(f"--tiles is at least 32, got {tiles}")
    return replace(
        config.predict,
        tiles=config.predict.tiles if tiles is None else tiles,
        max_masks=explored.max_masks if config.max_masks is not None else config.predict.max_masks,
        min_area=explored.min_area if config.min_area is not None else config.predict.min_area,
    )


def looker_of(config: Segment | Evaluate | Labelling, measuring: bool = False) -> Backbone | SegmenterModel:
    """What looks at the photos of a run. Only measuring may use what learned from labels."""
    model = None if isinstance(config, Labelling) else config.model
    name = model or config.backbone
    looker = _model(name) if model is not None else _backbone(name)
    if looker.supervision not in SUPERVISION and not measuring:
        raise CallerError(f"{name} learned from {looker.supervision}, which only measuring may use")
    return looker


def forest_of(photo: Photo, looker: Backbone | SegmenterModel, config: Segment | Evaluate) -> MaskForest:
    """One photo, as a run does it."""
    if isinstance(looker, SegmenterModel):
        return predict(photo, looker, predict_of(config))
    return explore(photo, looker, explore_of(config), config.seed)


def shared_out(
    make: Callable[[], Callable[[PhotoRef], Any]], photos: Sequence[PhotoRef], config: Segment | Labelling | Gather
) -> Generator[tuple[int, Any]]:
    """The work of a run on these photos, by the engine asked for."""
    return share_out(make, photos, _crew(photos, config), config.engine)


def _crew(photos: Sequence[PhotoRef], config: Segment | Labelling | Gather) -> int | None:
    """How many processes; a single photo takes none, None leaves it to the engine."""
    return config.workers if len(photos) > 1 else 0


def workers_of(config: Segment | Evaluate | Labelling) -> int:
    return config.workers or usable_cores()


def failed(photo: PhotoRef, error: CallerError) -> Failed:
    """An error that is this photo's alone; any other is raised."""
    if isinstance(error, PhotoError):
        return Failed(photo, str(error))
    if isinstance(error, WorkerError):
        return Failed(photo, f"{_place(photo)}: {error}", error.details)
    raise error


def _place(photo: PhotoRef) -> str:
    return str(photo.path if photo.member is None else photo.path / photo.member)


# ---------------------------------------------------------------------- planning


def _kinds(formats: str) -> tuple[str, ...]:
    """The files a photo is to have."""
    asked = _asked(formats)
    unknown = [name for name in asked if name not in FORMATS]
    if unknown:
        raise UsageError(f"--formats takes {','.join(FORMATS)} or some of them, got {formats!r}")
    return tuple(kind for kind in SUFFIXES if kind in asked or (kind == "forest" and "coco" in asked))


def _asked(formats: str) -> list[str]:
    return [name.strip() for name in formats.split(",")]


def _found(inputs: Sequence[Path]) -> list[PhotoRef]:
    """The photos of the inputs, without the pictures that runs before have put among them."""
    photos = find_photos(inputs)
    named = {str(path) for path in inputs}
    ours = {p for p in photos if p.member is None and p.name.endswith(PICTURES) and str(p.path) not in named}
    kinds = ", ".join(f"*{suffix}" for suffix in PICTURES if any(p.name.endswith(suffix) for p in ours))
    if ours:
        log.warning("pictures of earlier runs (%s) are passed over: %d", kinds, len(ours))
    if len(ours) == len(photos):
        raise PhotoError(f"all photos found are pictures of earlier runs ({kinds}): give others")
    return [photo for photo in photos if photo not in ours]


def _listed(inputs: Sequence[Path], annotations: Path) -> tuple[list[PhotoRef], dict[str, int | str]]:
    """The photos that a COCO json lists, below the one folder given, and the image id of each key."""
    if len(inputs) != 1 or not inputs[0].is_dir():
        raise UsageError("--coco-ids needs the one folder that holds the photos listed")
    photos, image_ids = [], {}
    taken: set[int | str] = set()
    for image_id, file in image_ids_and_files(annotations):
        key = PurePosixPath(file).with_suffix("").as_posix()
        key = file if key.casefold() in taken else key
        if taken & {key.casefold(), image_id}:
            raise CallerError(f"{annotations}: image {image_id} has the id or the file name of another")
        taken |= {key.casefold(), image_id}
        photos.append(PhotoRef(key, inputs[0] / file))
        image_ids[key] = image_id
    if not photos:
        raise CallerError(f"{annotations} lists no photo")
    return photos, image_ids


def _check_all_there(photos: Sequence[PhotoRef], folder: Path, annotations: Path) -> None:
    missing = [photo for photo in photos if not photo.path.exists()]
    if missing:
        raise PhotoError(
            f"{annotations} lists {len(missing)} photos that are not in {folder}, as {missing[0].path.name}: "
            "give the folder that holds them all, or --keep-going"
        )


@cache
def _backbone(name: str) -> Backbone:
    """Opened once in a process, for what it says of itself and for the work."""
    return open_backbone(name)


@cache
def _saved(folder: Path) -> SavedCategories:
    return read_categories(folder)


@cache
def _sorter(folder: Path) -> Backbone:
    """What looked at the segments of categories looks at those to be sorted."""
    return _saved(folder).open_backbone()


@cache
def _model(name: str) -> SegmenterModel:
    return SegmenterModel(name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------- in a worker


def _segmenter(results: Results, settings: Mapping[str, Any], config: Segment) -> Any:
    return partial(_segment_one, looker_of(config), results, settings, config)


def _segment_one(
    looker: Backbone | SegmenterModel, results: Results, settings: Mapping[str, Any], config: Segment, photo: PhotoRef
) -> Done:
    """A photo's files; where its forest is there already, the other formats are made from that."""
    start = perf_counter()
    results.check_names(photo)
    there = results.path(photo, "forest")
    fresh = not there.exists()
    opened = open_photo(photo, DECODED) if fresh or results.lacks(photo, "overlay") else None
    if fresh:
        assert opened is not None
        forest = _as_written(forest_of(opened, looker, config))
        if config.categories is not None:
            features = look(_sorter(config.categories), opened.pixels)
            forest = sort_regions(forest, features, _saved(config.categories).categories)
        if (naming := naming_of(config)) is not None:
            forest = naming(forest, opened.pixels)
    else:
        forest = read_forest(there)[0]
    results.write(photo, opened, forest, settings)
    told = Counter(name for name in forest.name or () if name)
    deep, names = int(forest.depth.max(initial=-1)) + 1, tuple(name for name, _ in told.most_common())
    return Done(photo, len(forest), deep, perf_counter() - start, names, told.total())


def _as_written(forest: MaskForest) -> MaskForest:
    """With scores as files hold them, so that pictures made now and from a file are the same."""
    return replace(forest, score=np.array([max(round(float(score), 6), 1e-6) for score in forest.score], np.float32))
