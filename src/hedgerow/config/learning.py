"""Learning, and what ships of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


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
    accumulate: int = 1  # pieces in which a step is looked at: as many times less memory
    rate: float = 1e-3  # of learning, at its height
    warm: float = 0.1  # share of the steps in which the rate rises
    decay: tuple[float, float] = (0.04, 0.2)  # of weights, at the start and at the end
    momentum: float = 0.99  # of the teacher at the start; 1 at the end
    sharp: tuple[float, float] = (0.04, 0.04)  # temperature of the teacher, at the start and after a third of the steps
    prototypes: int = 4096
    late: float = 0.0  # share of the steps, the last ones, in which views have 4/3 of their pixels a side
    side: int = 144  # pixels, the side to which photos are brought in memory
    memory: float = 8.0  # GB for photos, in all processes together; what needs more is read again and again in parts
    save: float = 5.0  # minutes between checkpoints
    probe: str | None = None  # LAYOUT:ROOT, labelled photos that measure each checkpoint; nothing is learned from them
    device: str = "auto"  # auto takes cuda, else mps, else cpu
    sharded: bool = False  # each of torchrun's processes keeps a share of the network: for large backbones
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
    accumulate: int = 1  # pieces in which a step is looked at: as many times less memory
    rate: float = 5e-4  # of learning, at its height
    trunk_rate: float = 0.3  # of the backbone, in shares of that
    warm: float = 0.05  # share of the steps in which the rate rises
    momentum: float = 0.999  # of the teacher
    side: int = 192  # pixels, the side to which photos are brought in memory
    memory: float = 8.0  # GB for photos and regions, in all processes together; what needs more is read in parts
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
    sharded: bool = False  # each of torchrun's processes keeps a share of the network: for large backbones
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
class Outline:
    """Learning where things end from labels that exploring found."""

    recipe: Literal["tiny", "laptop", "gpu10"] = "laptop"  # where the defaults of all else come from
    backbone: str = (
        "embedded"  # what the network starts from: embedded, or a folder or file that hub: names, without it
    )
    steps: int = 0  # of learning; 0: as many as fit into `minutes`
    minutes: float = 30.0  # of learning, reading photos not counted
    batch: int = 8  # photos a step, on all devices together
    accumulate: int = 1  # pieces in which a step is looked at: as many times less memory
    rate: float = 2e-3  # of learning, at its height
    trunk_rate: float = 0.15  # of the backbone, in shares of that
    warm: float = 0.02  # share of the steps in which the rate rises
    momentum: float = 0.99  # of the teacher, which ships
    side: int = 224  # pixels, the side to which photos are brought in memory
    memory: float = 8.0  # GB for photos, in all processes together; what needs more is read in parts
    size: int = 160  # pixels, the side of a view; a multiple of 32
    share: tuple[float, float] = (0.2, 1.0)  # of a photo that a view covers, least and most
    dim: int = 48  # channels of the maps
    save: float = 5.0  # minutes between checkpoints
    device: str = "auto"  # auto takes cuda, else mps, else cpu
    sharded: bool = False  # each of torchrun's processes keeps a share of the network: for large backbones
    workers: int | None = None  # processes that read photos, and threads that learn (default: one a core)
    seed: int = 0  # of weights and views
    quiet: bool = False  # print errors only


OUTLINES = {
    "tiny": Outline(recipe="tiny", steps=120, side=64, size=64, share=(0.4, 1.0), momentum=0.9, dim=32),
    "laptop": Outline(),
    "gpu10": Outline(recipe="gpu10", minutes=7.0, batch=128, momentum=0.999, side=320, size=256, dim=96),
}


@dataclass(frozen=True)
class Contrast:
    """Learning what pixels mean from masks of objects."""

    recipe: Literal["tiny", "laptop", "gpu10", "paper"] = "laptop"  # where the defaults of all else come from
    backbone: str = "embedded"  # what it starts from: embedded, a folder or file as hub: names, or moco:FILE
    steps: int = 0  # of learning; 0: as many as fit into `minutes`
    minutes: float = 60.0  # of learning, reading photos not counted
    batch: int = 16  # photos a step, on all devices together
    accumulate: int = 1  # pieces in which a step is looked at: as many times less memory
    rate: float = 1e-3  # of learning, at its height
    trunk_rate: float = 0.1  # of the backbone, in shares of that; 0: it stays as it is
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.99  # of the slow network
    queue: int = 256  # prototypes of steps before that are rivals, too
    dim: int = 32  # of vectors
    hidden: int = 256  # channels of the decoder
    side: int = 192  # pixels, the side to which photos are brought in memory
    memory: float = 8.0  # GB for photos and regions, in all processes together; what needs more is read in parts
    size: int = 160  # pixels, the side of a view; a multiple of the backbone's patch
    share: tuple[float, float] = (0.2, 1.0)  # of a photo that a view covers, least and most
    objects: int = 8  # regions of a photo that are contrasted in a step, at most
    salience: float | None = None  # weight of telling objects from ground (default: 1, and 0 for whole forests)
    nested: bool = False  # roots in the first half of the vector, all regions in the whole of it
    save: float = 5.0  # minutes between checkpoints
    device: str = "auto"  # auto takes cuda, else mps, else cpu
    sharded: bool = False  # each of torchrun's processes keeps a share of the network: for large backbones
    workers: int | None = None  # processes that read photos, and threads that learn (default: one a core)
    seed: int = 0  # of weights and views
    quiet: bool = False  # print errors only


CONTRASTS = {
    "tiny": Contrast(
        recipe="tiny",
        steps=250,
        rate=3e-3,
        trunk_rate=1.0,
        momentum=0.9,
        queue=32,
        dim=16,
        hidden=64,
        side=64,
        size=64,
        share=(0.4, 1.0),
    ),
    "laptop": Contrast(),
    "gpu10": Contrast(recipe="gpu10", minutes=7.0, batch=128, momentum=0.996, queue=1024, side=256, size=224),
    # MaskContrast's setting for masks that nobody drew: 40 epochs of PASCAL's 10,582 photos
    "paper": Contrast(
        recipe="paper",
        steps=3307,
        batch=128,
        rate=4e-3,
        trunk_rate=1.0,
        optimizer="sgd",
        momentum=0.999,
        objects=1,
        side=320,
        size=224,
    ),
}


@dataclass(frozen=True)
class Ship:
    """What a run learned, as a file."""

    about: Path | None = None  # a JSON object that is added to the card: data and its terms, licence, measures
    precision: Literal["float32", "float16", "int8"] = "float16"  # of the weights in the file
    # which vectors of a block are the features; of what contrast has learned its vectors, or what they are made from
    # (decoder), or its backbone's own with the decoder's beside (trunk)
    feature: Literal["key", "query", "value", "output", "decoder", "trunk"] = "output"
    layer: int = -1  # which block, from 0, or from the end by a negative number
    size: int | None = None  # pixels to which a photo's shorter side is brought if nobody says (default: a backbone
    # takes photos as they come, a segmenter at the size of the views it learned from)
    which: Literal["teacher", "student", "instructed"] = "teacher"  # of the networks of a segmenter's run: measure them
