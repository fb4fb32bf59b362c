"""Every knob, as frozen dataclasses; standard library only. The command line is generated from these."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

VERSION = "0.1.0"  # recorded in what is written: another version's results are not mixed with these


class CallerError(ValueError):
    """A mistake of the caller's, told in one line: what was expected, what came, what to do. Never a traceback at the
    command line."""


class UsageError(CallerError):
    """A command line that asks for what cannot be: exit status 2, as for an unknown option."""


@dataclass(frozen=True)
class Borders:
    """How strong a border between two grains is."""

    spectral: float = 2.0  # weight of what the whole photo's eigenvectors see, against the local gradient's 1; 0: off
    vectors: int = 16  # eigenvectors looked at
    local: float = 0.25  # weight of the local gradient in the graph that the eigenvectors are of
    softness: float = 1.0  # of that graph: unlikeness at which the bond between two grains falls to 1/e


@dataclass(frozen=True)
class Merge:
    """Price of merging two neighbours: (feature * (1 - cosine) + border * strength) * smaller area ** size.

    SOHES as published is feature 1, border 0, size 0.
    """

    feature: float = 1.0
    border: float = 0.5
    size: float = 0.1


@dataclass(frozen=True)
class Candidates:
    """Which unions of grains are looked at, and what they are worth."""

    pairs_from: int = 160  # pairs of neighbours are formed from this many regions on down
    triples_from: int = 60
    pair: float = 1.0  # how much less a pair is worth than a node of the same crowd, in natural logarithms
    triple: float = 3.3
    compact: float = 2.3  # weight of compactness
    inner: float = 0.8  # weight of the structure inside
    min_area: int = 40  # pixels of the photo as it is explored
    faint: float = 0.02  # strength of an outline, in units of the photo's mean border, below which nothing ends there
    max_share: float = 0.9  # of the photo; a region of nearly everything says nothing
    most: int = 5000  # candidates of a tree that are looked at closely


@dataclass(frozen=True)
class Zoom:
    """A second, closer look at small things."""

    windows: int = 8  # at most, in one photo; 0: no second look
    small: float = 0.01  # theta_small: share of the photo below which a region is small
    context: float = 3.0  # side of a window, in longer sides of the region it is for
    apart: float = 0.5  # IoU of two windows above which one of them is enough
    side: int = 256  # pixels a window is brought to
    grains: int = 400
    pairs_from: int = 40  # as for the whole photo
    triples_from: int = 0
    looked_at: int = 600
    most: int = 40  # regions a window may add


@dataclass(frozen=True)
class Explore:
    """SOHES phase 1, from features to a forest."""

    pixels: int = 640 * 640  # a larger photo is explored at this many; its masks come back at full size all the same
    grain: Literal["photo", "patches"] = "photo"  # finest regions: edged as the photo is, or the backbone's patches
    grains: int = 3000  # how many, where they are edged as the photo is
    keep_iou: float = 0.5  # of a mask of patches before and after refining; below it goes (HASSOD, UnSAM). 0: unrefined
    words: int = 128  # visual words a photo is read in; 0: the backbone's features as they are
    word_dims: int = 32
    borders: Borders = field(default_factory=Borders)
    merge: Merge = field(default_factory=Merge)
    second: Merge = field(default_factory=lambda: Merge(border=1.0, size=0.3))  # on local borders alone
    handicap: float = 0.8  # how much less a candidate of the second merging is worth; inf: there is no second merging
    candidates: Candidates = field(default_factory=Candidates)
    zoom: Zoom = field(default_factory=Zoom)
    overlap: float = 0.9  # of two candidates whose IoU is more, the less worthy goes (SOHES, UnSAM)
    cover: float = 0.9  # theta_cover: a region this much inside another is part of it
    max_masks: int = 1000
    min_area: int = 0  # pixels of the photo at full size; a smaller region is left out


@dataclass(frozen=True)
class Predict:
    """A trained segmenter's look at a photo."""

    size: int | None = None  # pixels, to which the photo's shorter side is brought (default: as the model's card says)
    pixels: int = 640 * 640  # edges are looked for in the photo at this many
    grains: int = 3000  # of which masks are made
    tiles: int = 0  # pixels a side of tiles of the photo that are looked at as well, for small things; 0: none
    head: bool = True  # the network says who is part of whom; without it the masks alone do
    cover: float = 0.9  # a region this much inside another is part of it, where the masks alone say
    max_masks: int = 1000
    min_area: int = 0  # pixels of the photo at full size; a smaller region is left out


@dataclass(frozen=True)
class Segment:
    """A run over photos: what looks at them, what is written, how the work is carried out."""

    model: str | None = None  # FILE.onnx of a trained segmenter (default: photos are explored)
    backbone: str = "texture"  # what looks at the photos: texture, FILE.onnx or hub:ID
    max_masks: int | None = None  # regions of a photo at most, best first (default: explore.max-masks, 1000)
    min_area: int | None = None  # pixels of the photo; smaller regions are left out (default: explore.min-area, 0)
    tiles: int | None = None  # pixels a side of tiles that a model looks at as well, for small things in large photos
    formats: str = "forest,overlay"  # what is written, of forest,overlay,coco,levels; coco implies forest
    coco_ids: Path | None = None  # a COCO json: its photos are taken from the folder given, and its image ids for coco
    workers: int | None = None  # processes (default: as many as there are cores for us)
    overwrite: bool = False  # forget the results that are there, and start again
    keep_going: bool = False  # pass over photos that cannot be opened, name them at the end, and exit with 0
    seed: int = 0
    quiet: bool = False  # print errors only
    predict: Predict = field(default_factory=Predict)
    explore: Explore = field(default_factory=Explore)


@dataclass(frozen=True)
class Labelling:
    """Exploring a collection into a label store."""

    backbone: str = "texture"  # what looks at the photos: texture, FILE.onnx or hub:ID
    max_masks: int | None = None  # regions of a photo at most, best first (default: explore.max-masks, 1000)
    min_area: int | None = None  # pixels of the photo; smaller regions are left out (default: explore.min-area, 0)
    workers: int | None = None  # processes (default: as many as there are cores for us)
    overwrite: bool = False  # forget the labels that are there, and start again
    keep_going: bool = False  # note why a photo cannot be opened, and go on
    seed: int = 0
    quiet: bool = False  # print errors only
    explore: Explore = field(default_factory=Explore)


@dataclass(frozen=True)
class Evaluate:
    """What is measured on what: forests made now, or predictions made before."""

    data: str  # LAYOUT:ROOT or LAYOUT:ROOT:SPLIT, as coco:/data/coco:val2017
    predictions: Path | None = None  # a folder of KEY.forest.json, or COCO results (default: photos are segmented now)
    every: int = 1  # only every so many photos, for a quick look
    limit: int | None = None  # only the first so many photos (of those that every leaves)
    worst: int = 0  # name so many photos with the worst scores
    json: Path | None = None  # write the numbers to this file, too
    model: str | None = None  # FILE.onnx of a trained segmenter (default: photos are explored)
    backbone: str = "texture"  # what looks at the photos: texture, FILE.onnx or hub:ID
    max_masks: int | None = None  # regions of a photo at most, best first (default: explore.max-masks, 1000)
    min_area: int | None = None  # pixels of the photo; smaller regions are left out (default: explore.min-area, 0)
    workers: int | None = None  # processes (default: as many as there are cores for us)
    keep_going: bool = False  # leave photos that cannot be opened out, name them at the end, and exit with 0
    seed: int = 0
    quiet: bool = False  # no progress bar
    predict: Predict = field(default_factory=Predict)
    explore: Explore = field(default_factory=Explore)


@dataclass(frozen=True)
class EvaluateRegions(Evaluate):
    """The same for partitions, which have a few options of their own."""

    levels: Path | None = None  # a folder of KEY.npz, each holding levels (L, H, W), to measure in place of forests
    count: int = 12  # levels that a forest is cut into; more of them sharpen ODS and OIS
    boundaries: bool = True  # measure boundaries, too, the slow part; --no-boundaries leaves them out


@dataclass(frozen=True)
class EvaluateFeatures:
    """What is measured of a backbone's features; data sets are LAYOUT:ROOT or LAYOUT:ROOT:SPLIT."""

    backbone: str = "texture"  # what looks at the photos: texture, FILE.onnx or hub:ID
    probe: str | None = None  # linear probe: learns the classes of camvid, voc, ade20k (challenge) or clothing here
    test: str | None = None  # photos the probe is tested on (default: half of those of --probe)
    parts: str | None = None  # part matching: photos whose parts are painted, as clothing:ROOT
    coco: str | None = None  # AR@1000 of exploring with the backbone, as coco:ROOT; takes minutes
    bsds: str | None = None  # covering of exploring with it, as bsds:ROOT:val; takes minutes
    beside: bool = True  # texture, the same network untrained and colour are measured, too; --no-beside leaves them out
    seeds: int = 3  # draws of what is learned from and asked for; their spread is told
    every: int = 1  # only every so many photos of each data set, for a quick look
    limit: int | None = None  # only the first so many photos of each (of those that every leaves)
    json: Path | None = None  # write the numbers to this file, too
    workers: int | None = None  # processes (default: as many as there are cores for us)
    seed: int = 0  # the first of the seeds
    quiet: bool = False  # no progress bar
    explore: Explore = field(default_factory=Explore)


# ---------------------------------------------------------------------- learning


@dataclass(frozen=True)
class Network:
    """What learns: a vision transformer as transformers' DINOv3 has it, which takes photos of any size by its rotary
    positions; or a pyramid, a narrow ResNet whose stages are summed, for machines without a GPU."""

    kind: Literal["transformer", "pyramid"] = "transformer"
    patch: int = 8  # of a pyramid always 8
    dim: int = 384  # of the features
    depth: int = 12  # of a transformer, as the next two
    heads: int = 6
    registers: int = 4
    widths: tuple[int, int, int, int] = (32, 64, 128, 256)  # of a pyramid's stages
    depths: tuple[int, int, int, int] = (1, 2, 2, 2)


@dataclass(frozen=True)
class Views:
    """How a photo is looked at while learning: two large views that cover much of it, and small ones that do not."""

    large: int = 96  # pixels, the side of a large view
    small: int = 48
    smalls: int = 6  # small views of a photo
    most: tuple[float, float] = (0.25, 1.0)  # share of the photo that a large view covers, least and most
    least: tuple[float, float] = (0.05, 0.25)  # the same of a small one
    masked: tuple[float, float] = (0.1, 0.5)  # share of a large view's patches that is hidden, in half of the views


@dataclass(frozen=True)
class Pull:
    """Weights of what is learned from; 0 leaves one out."""

    whole: float = 1.0  # views of one photo are alike (DINO)
    hidden: float = 1.0  # hidden patches are told from those around them (iBOT)
    place: float = 1.0  # one place of a photo is alike in two views
    region: float = 1.0  # one region of a photo is alike in two views, and unlike other regions
    spread: float = 0.1  # different photos keep apart (KoLeo)


@dataclass(frozen=True)
class Pretrain:
    """Learning a backbone from raw photos."""

    recipe: Literal["tiny", "laptop", "gpu10", "gpu30"] = "laptop"  # where the defaults of all else come from
    steps: int = 0  # of learning; 0: as many as fit into `minutes`
    minutes: float = 60.0  # of learning, reading photos not counted
    batch: int = 64  # photos a step, on all devices together
    rate: float = 1e-3  # of learning, at its height
    warm: float = 0.1  # share of the steps in which the rate rises
    decay: tuple[float, float] = (0.04, 0.2)  # of weights, at the start and at the end
    momentum: float = 0.99  # of the teacher at the start; 1 at the end
    sharp: tuple[float, float] = (0.04, 0.04)  # temperature of the teacher, at the start and after a third of the steps
    prototypes: int = 4096
    late: float = 0.0  # share of the steps, the last ones, in which views have 4/3 of their pixels a side
    side: int = 144  # pixels, the side to which photos are brought in memory
    memory: float = 8.0  # GB for photos; a collection that needs more is read again and again in parts
    save: float = 5.0  # minutes between checkpoints
    probe: str | None = None  # LAYOUT:ROOT, labelled photos that measure each checkpoint; nothing is learned from them
    device: str = "auto"  # auto takes cuda, else mps, else cpu
    workers: int | None = None  # processes that read photos, and threads that learn (default: one a core)
    keep_going: bool = False  # leave photos that cannot be opened out, and name them
    seed: int = 0  # of weights and views
    quiet: bool = False  # print errors only
    network: Network = field(default_factory=Network)
    views: Views = field(default_factory=Views)
    pull: Pull = field(default_factory=Pull)


# a photo of 320 x 240 is to take at most a quarter of a second on two cores, where ViT-S takes nearly twice that
MIDDLE = Network(dim=256, depth=12, heads=4)
RECIPES = {
    "tiny": Pretrain(
        recipe="tiny",
        steps=150,
        batch=32,
        prototypes=256,
        side=64,
        momentum=0.96,
        network=Network(dim=96, depth=3, heads=3, registers=1),
        views=Views(large=48, small=24, smalls=2),
    ),
    # two losses, both of the kind that learns from the first step: there is no time for plateaus (LOG.md)
    "laptop": Pretrain(
        batch=32,
        rate=2e-3,
        decay=(0.05, 0.05),
        side=128,
        late=0.15,
        network=Network(kind="pyramid", dim=192),
        views=Views(smalls=0, most=(0.2, 1.0)),
        pull=Pull(whole=0.0, hidden=0.0, spread=0.0),
    ),
    "gpu10": Pretrain(recipe="gpu10", minutes=7.0, batch=512, momentum=0.994, late=0.15, memory=16.0, network=MIDDLE),
    "gpu30": Pretrain(recipe="gpu30", minutes=25.0, batch=512, momentum=0.996, late=0.15, memory=16.0, network=MIDDLE),
}


@dataclass(frozen=True)
class Decoder:
    """The part of the segmenter that stands on its backbone."""

    dim: int = 128  # of queries and maps
    layers: int = 3
    heads: int = 4
    grids: tuple[int, ...] = (16, 8, 4, 2, 1)  # queries start from the cells of so many cells a side: 341 of them


@dataclass(frozen=True)
class Train:
    """Learning the segmenter from labels that exploring found."""

    recipe: Literal["tiny", "laptop", "gpu10", "gpu30"] = "laptop"  # where the defaults of all else come from
    backbone: str = (
        "embedded"  # what the network starts from: embedded, or a folder or file that hub: names, without it
    )
    steps: int = 0  # of learning; 0: as many as fit into `minutes`
    minutes: float = 120.0  # of learning, reading photos not counted
    batch: int = 8  # photos a step, on all devices together
    rate: float = 5e-4  # of learning, at its height
    trunk_rate: float = 0.3  # of the backbone, in shares of that
    warm: float = 0.05  # share of the steps in which the rate rises
    momentum: float = 0.999  # of the teacher
    side: int = 192  # pixels, the side to which photos are brought in memory
    size: int = 160  # pixels, the side of a view; a multiple of 32
    share: tuple[float, float] = (0.3, 1.0)  # of a photo that a view covers, least and most
    asked: int = 96  # regions that are asked for in a view, at most
    scenes: float = 0.25  # share of the views that are made scenes; not in the last part
    scenes_first: float = 0.0  # share of the steps, the first ones, in which all views are made scenes
    correct: float = 0.25  # share of the steps, the last ones, in which the teacher corrects (SOHES phase 3)
    fixed: float | None = None  # one threshold of the teacher's scores for all sizes (default: it rises with size)
    ancestors: float = 1.0  # weight of learning who is inside whom
    measure: str | None = None  # LAYOUT:ROOT, labelled photos that measure each phase; nothing is learned from them
    every: int = 1  # only every so many of these photos
    save: float = 5.0  # minutes between checkpoints
    device: str = "auto"  # auto takes cuda, else mps, else cpu
    workers: int | None = None  # processes that read photos, and threads that learn (default: one a core)
    seed: int = 0  # of weights and views
    quiet: bool = False  # print errors only
    network: Decoder = field(default_factory=Decoder)


COURSES = {
    "tiny": Train(
        recipe="tiny",
        steps=240,
        batch=8,
        rate=2e-3,
        trunk_rate=1.0,
        momentum=0.98,
        side=64,
        size=64,
        asked=16,
        network=Decoder(dim=48, layers=2, grids=(8, 4, 1)),
    ),
    "laptop": Train(),
    "gpu10": Train(
        recipe="gpu10", minutes=7.0, batch=64, size=256, side=288, network=Decoder(dim=192, layers=6, heads=6)
    ),
    "gpu30": Train(
        recipe="gpu30", minutes=25.0, batch=64, size=256, side=288, network=Decoder(dim=192, layers=6, heads=6)
    ),
}


@dataclass(frozen=True)
class Ship:
    """What a run learned, as a file."""

    about: Path | None = None  # a JSON object that is added to the card: data and its terms, licence, measures
    precision: Literal["float32", "float16", "int8"] = "float16"  # of the weights in the file
    feature: Literal["key", "query", "value", "output"] = "output"  # which vectors of a block are the features
    layer: int = -1  # which block, from 0, or from the end by a negative number
    size: int | None = None  # pixels to which a photo's shorter side is brought if nobody says (default: a backbone
    # takes photos as they come, a segmenter at the size of the views it learned from)
    which: Literal["teacher", "student", "instructed"] = "teacher"  # of the networks of a segmenter's run: measure them
