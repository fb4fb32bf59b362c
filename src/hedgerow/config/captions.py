"""Learning names from captions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hedgerow.config.learning import Pull, Views


@dataclass(frozen=True)
class Text:
    """The text tower of our own; of a hub tower, the map on top of it."""

    dim: int = 256  # inside
    layers: int = 2  # 0: a bag of words
    heads: int = 4
    pool: Literal["mean", "last"] = "mean"  # of the pieces of a sentence: their mean, or what its last one has become
    context: int = 32  # pieces of a sentence; what is longer is cut
    map: Literal["linear", "tanh"] = "linear"  # on top of a hub tower: linear, or W2 tanh(W1 u), Talk2DINO's


@dataclass(frozen=True)
class CaptionPull:
    """Weights of what is learned from; 0 leaves one out."""

    vision: float = 0.0  # views of a photo are alike: the losses of pretrain that --vision.* choose, for the backbone
    cross: float = 1.0  # a photo and its caption go together, and not with others
    cluster: float = 1.0  # a place of a photo falls into one cluster in two views, and clusters tell much
    words: float = 1.0  # each word of a caption finds the region that explains it best


@dataclass(frozen=True)
class Caption:
    """Learning what words look like from photos and their captions."""

    recipe: Literal["tiny", "laptop", "gpu10"] = "laptop"  # where the defaults of all else come from
    backbone: str = "embedded"  # what it starts from: embedded, a folder or file as hub: names, or moco:FILE
    tower: str = "own"  # what reads text: own, small and learned here; or hub:ID or hub:FOLDER, frozen
    labels: str | None = None  # forests of the same photos, of hedgerow explore: words then find regions, not patches
    # what pieces of words start from: FILE of word vectors (word2vec's or GloVe's, as text), or captions: which words
    # stand near which in these captions (default: nothing)
    words_start: str | None = None
    steps: int = 0  # of learning; 0: as many as fit into `minutes`
    minutes: float = 60.0  # of learning, reading photos not counted
    batch: int = 64  # photos a step, on all devices together
    accumulate: int = 1  # pieces in which a step is looked at: as many times less memory
    rate: float = 1e-3  # of learning, at its height
    trunk_rate: float = 0.0  # of the backbone, in shares of that; 0: it stays as it is
    warm: float = 0.05  # share of the steps in which the rate rises
    decay: float = 0.05  # of weights
    pieces: int = 4096  # of words, in the vocabulary that is learned of the captions
    known: int = 1000  # content words, the most frequent, that are looked for in regions
    dim: int = 256  # of the space that photos and words share
    hidden: int = 256  # channels of the decoder
    # what of a photo is compared with a caption: the mean of its patches (ViL-Seg), the patches that fit the caption
    # best, each by itself, or the mean of these
    pool: Literal["mean", "max", "attention"] = "mean"
    sharp: float = 0.1  # temperature at which the best patch or region is chosen; small: the best alone
    clusters: int = 25  # of the clustering head
    cluster_grad: Literal["none", "encoder"] = "none"  # whether what clusters learn moves the backbone
    lam: float = 1.0  # above 1 clusters are used more evenly
    side: int = 192  # pixels, the side to which photos are brought in memory
    size: int = 160  # pixels, the side of a view; a multiple of the backbone's patch
    share: tuple[float, float] = (0.5, 1.0)  # of a photo that a view covers: much, for the caption is of all of it
    regions: int = 48  # of a photo that are looked at in a step, at most, with --labels
    held: int = 500  # photos that are never learned from, to measure on
    templates: tuple[str, ...] = ("{}", "a {}")  # what a name is said in where it is used
    momentum: float = 0.99  # of the teacher of vision at the start; 1 at the end
    prototypes: int = 4096  # of vision, where it looks at whole views or hidden patches
    memory: float = 8.0  # GB for photos, in all processes together; what needs more is read again and again in parts
    save: float = 5.0  # minutes between checkpoints
    device: str = "auto"  # auto takes cuda, else mps, else cpu
    sharded: bool = False  # each of torchrun's processes keeps a share of the network: for large backbones
    workers: int | None = None  # processes that read photos, and threads that learn (default: one a core)
    keep_going: bool = False  # leave photos that cannot be opened out, and name them
    seed: int = 0  # of weights and views
    quiet: bool = False  # print errors only
    pull: CaptionPull = field(default_factory=CaptionPull)
    text: Text = field(default_factory=Text)
    vision: Pull = field(default_factory=lambda: Pull(hidden=0.0, place=0.0, region=0.0, spread=0.0))
    views: Views = field(default_factory=Views)


CAPTIONS = {
    "tiny": Caption(
        recipe="tiny",
        steps=500,
        batch=32,
        rate=1.5e-3,
        trunk_rate=1.0,
        pieces=320,
        dim=128,
        hidden=64,
        side=64,
        size=64,
        share=(1.0, 1.0),
        held=16,
        prototypes=256,
        momentum=0.96,
        text=Text(dim=48, layers=0, heads=2, context=24),
        views=Views(large=48, small=24, smalls=2),
    ),
    "laptop": Caption(),
    "gpu10": Caption(
        recipe="gpu10",
        minutes=7.0,
        batch=256,
        trunk_rate=0.1,
        pieces=8192,
        known=2000,
        dim=384,
        hidden=384,
        side=256,
        size=224,
        memory=48.0,
        text=Text(dim=384, layers=4, heads=6, context=48),
    ),
}
