"""Words and what they look like, learned from photos with captions: ViL-Seg (Liu et al. 2022) and what came after it.

In: an `Album`. Out: a network whose patches lie where the words lie that are said of them. Four losses (`losses.py`),
each of which can be left out; the first three are the paper's:

    vision    views of a photo agree: the losses of `pretrain`, on views of its own
    cross     a photo and a caption of it go together, and not with others. What of the photo: see `captioner.likeness`
    cluster   a place of the photo falls into one cluster in two views, and clusters tell much
    words     each content word finds the photos whose captions mention it by the region that explains it best

Gradients go: vision to the trunk and its own heads; cross and words to the trunk, what is on top of it, the text tower
and their scales; cluster to its head alone, or to the trunk as well. Nothing of a teacher's learns.

What the paper says of its losses is little; each form here is as its function says. Where we depart on purpose: views
for the caption are mild (their colours are named in it) and apart from those of vision; one view and one caption a
photo a step; the trunk keeps the statistics of its pre-training, so a loss does not hang on how a batch is shared out;
and the trunk may stay as it is altogether, which later systems found to be enough (Talk2DINO, dino.txt).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hedgerow.config import CallerError, Caption, Network, Pretrain
from hedgerow.learn import pretrain
from hedgerow.learn.album import Album
from hedgerow.learn.forests import Forests
from hedgerow.learn.losses import assigned_together, best_of, cross_modal, mutual_information, word_regions
from hedgerow.learn.networks.captioner import Captioner, CaptionerConfig, likeness
from hedgerow.learn.networks.devices import mean_of_all, rows_of_all, rows_with_gradient
from hedgerow.learn.networks.pieces import in_pieces
from hedgerow.learn.networks.sharing import clip, shared, take
from hedgerow.learn.networks.text import TextConfig, belonging
from hedgerow.learn.overlaps import common_places, read_at
from hedgerow.learn.shelves import Taken, own_share
from hedgerow.learn.views import Draws, View, cut, draw, middles

GRID = 7  # cells a side on which two views of a photo are laid over each other
POINTS = 2  # a side of a patch at which regions are looked up
CLIP = 3.0  # length of the gradient, at most
SETTLING = 32  # photos that settle a new network
BETAS = (0.9, 0.98)
T = TypeVar("T")
CELLS = 12  # a side, at most, of the patches that stand for regions: more, times words, are more than memory takes


@dataclass
class Captioning:
    """All that a run is at one moment. `vision` is the part of it that pretrain knows; `shared` all that learns, as all
    processes learn it; `said` proves the captions."""

    network: Captioner
    vision: pretrain.State | None
    shared: nn.Module
    optimizer: torch.optim.Optimizer
    said: str
    step: int = 0
    steps: int = 0
    seconds: float = 0.0

    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        kept = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "said": self.said}
        if self.vision is not None:
            heads = {name: value for name, value in self.vision.student.state_dict().items() if not _of_trunk(name)}
            kept |= {"heads": heads, "teacher": self.vision.teacher.state_dict(), "centres": self.vision.centres}
        return kept

    def take_up(self, before: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if before.get("said") != self.said:
            raise CallerError("the run was begun with other captions, or other photos held back: give the same")
        try:
            take(self.network, before["network"])
            if self.vision is not None:
                missing, left = take(self.vision.student, before["heads"], strict=False)
                if left or any(not _of_trunk(name) for name in missing):
                    raise KeyError(f"heads {left or missing}")
                take(self.vision.teacher, before["teacher"])
                for kind, centre in self.vision.centres.items():
                    centre.copy_(before["centres"][kind])
            take(self.optimizer, before["optimizer"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CallerError(f"the checkpoint is of no such run: {str(error).splitlines()[0]}") from None
        self.step, self.steps, self.seconds = before["step"], before["steps"], before["seconds"]


def _of_trunk(name: str) -> bool:
    return name.startswith("network.")


def begin(
    config: Caption,
    device: torch.device,
    trunk: nn.Module,
    album: Album,
    *,
    text: nn.Module | None = None,
    start: Tensor | None = None,
) -> Captioning:
    """A run at its first step, on a backbone that was trained before; the first photos settle what is new. `text` is a
    hub tower; `start` (pieces, dim) what the pieces of our own start from."""
    generator = torch.Generator().manual_seed(config.seed)
    own = config.text
    form = (
        text.config
        if text is not None
        else TextConfig(len(album.tokens), own.context, own.dim, own.layers, own.heads, own.pool, config.dim)
    )
    clusters = config.clusters if config.pull.cluster else 0
    text = copy.deepcopy(text)  # a run that is rehearsed leaves what was given as it is
    described = CaptionerConfig(trunk.config, form, config.dim, config.hidden, clusters)  # type: ignore[arg-type]
    network = Captioner(described, generator, text=text)
    network.trunk.load_state_dict(trunk.state_dict())
    if start is not None:
        known = start.abs().sum(1) > 0
        network.text.pieces.weight.data[known] = start[known]  # type: ignore[union-attr, operator, index]
    few = album.shelves.first(SETTLING)
    plain = draw(len(few), generator).plain()
    some = cut(few.photos.cpu(), few.shape.cpu(), plain, size=config.size, share=(1.0, 1.0), kind=3)
    network.eval().settle(some.pixels)
    for name, parameter in network.named_parameters():
        frozen = name.startswith("text.model.") or (name.startswith("trunk.") and not config.trunk_rate)
        parameter.requires_grad_(not frozen)
    vision = _vision(config, network, generator, device) if config.pull.vision else None
    together = shared(_Together(network, vision), device, config.sharded)
    heads = [] if vision is None else [p for n, p in vision.student.named_parameters() if not _of_trunk(n)]
    optimizer = torch.optim.AdamW(_groups(config, network, heads), lr=0.0, betas=BETAS)
    return Captioning(network, vision, together, optimizer, album.sha256, steps=config.steps)


class _Together(nn.Module):
    """All that learns; what is done with it is done inside a call: that is what processes share."""

    def __init__(self, network: Captioner, vision: pretrain.State | None) -> None:
        super().__init__()
        self.network, self.vision = network, vision and vision.student

    def forward(self, look: Callable[..., T], *given: Any) -> T:
        return look(*given)


def _vision(config: Caption, network: Captioner, generator: torch.Generator, device: torch.device) -> pretrain.State:
    """Student and teacher of pretrain; the student's backbone is the network's trunk itself."""
    settings = vision_of(config, network.patch)
    student = pretrain.Learner(settings, generator, network.trunk).eval()  # type: ignore[arg-type]
    teacher = copy.deepcopy(student).requires_grad_(False)
    shared(teacher, device, config.sharded)
    centres = {kind: torch.zeros(config.prototypes, device=device) for kind in ("whole", "hidden")}
    nothing = torch.optim.AdamW([torch.zeros(1)])  # the run's own moves it
    return pretrain.State(student, teacher, student, centres, nothing)


def vision_of(config: Caption, patch: int) -> Pretrain:
    """What pretrain would be told to do the same."""
    return Pretrain(
        batch=config.batch,
        accumulate=config.accumulate,
        momentum=config.momentum,
        prototypes=config.prototypes,
        seed=config.seed + 1,  # other views than those for the captions
        network=Network(patch=patch),
        views=config.views,
        pull=config.vision,
    )


def _groups(config: Caption, network: Captioner, heads: list[nn.Parameter]) -> list[dict[str, Any]]:
    """Parameters by their pace and by whether they decay: biases, norms, scales and the clustering head do not."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    named = [*network.named_parameters(), *(("heads", parameter) for parameter in heads)]
    for name, parameter in named:
        if parameter.requires_grad:
            pace = config.trunk_rate if name.startswith("trunk.") else 1.0
            decays = parameter.ndim > 1 and not name.startswith("head.")
            groups.setdefault((pace, decays), []).append(parameter)
    return [
        {"params": some, "pace": pace, "weight_decay": config.decay * decays} for (pace, decays), some in groups.items()
    ]


def caption(
    config: Caption,
    run: Captioning,
    album: Album,
    device: torch.device,
    told: Callable[[Captioning, dict[str, float]], None],
) -> None:
    """From where `run` is to its last step. `told` hears of every step, and may save, log or stop."""
    run.network.eval()  # see above: its trunk keeps its statistics
    settings = vision_of(config, run.network.patch)
    parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
    while run.step < run.steps:
        start, done = perf_counter(), run.step / run.steps
        rate = config.rate * _pace(done, config.warm)
        for group in run.optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        sight = look(config, run.step, album, run.network.patch, device)
        losses, seen = run.shared(_losses, config, settings, run, album, sight)
        total = torch.stack([getattr(config.pull, name) * loss for name, loss in losses.items()]).sum()
        run.optimizer.zero_grad(set_to_none=True)
        total.backward()
        if run.vision is not None and done < pretrain.STILL:
            pretrain.hold_prototypes(run.vision.student)
        length = clip(parameters, CLIP)
        run.step += 1
        if not torch.isfinite(total):
            raise CallerError(f"learning went astray at step {run.step}: the loss is {total:g}; lower the rate")
        run.optimizer.step()
        if run.vision is not None:
            pretrain.follow(run.vision, pretrain.pace_at(settings, done)["momentum"])
        numbers = {**losses, **seen, "loss": total, "gradient": length}
        values = mean_of_all(torch.stack([value.detach().float() for value in numbers.values()])).tolist()
        run.seconds += perf_counter() - start
        told(run, dict(zip(numbers, values, strict=True)) | {"rate": rate})


def _pace(done: float, warm: float) -> float:
    """A straight rise, then half a cosine down to a hundredth."""
    if done < warm:
        return (done + 1e-3) / (warm + 1e-3)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (done - warm) / max(1 - warm, 1e-9))) / 2


def _losses(
    config: Caption, settings: Pretrain, run: Captioning, album: Album, sight: Sight
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Those of `learn`, and vision's where it is learned from."""
    losses, seen = learn(config, run.network, sight)
    if run.vision is not None:
        run.vision.step, run.vision.steps = run.step, run.steps
        losses["vision"] = watch(settings, run.vision, album.shelves.at(run.step), sight.tokens.device)
    return losses, seen


def watch(settings: Pretrain, state: pretrain.State, taken: Taken, device: torch.device) -> Tensor:
    """The losses of pretrain on views of its own of the step's photos."""
    sight = pretrain.sight_of(settings, state, taken.shelf, taken.rows, device)
    sharp = pretrain.pace_at(settings, state.step / state.steps)["sharp"]
    losses, _ = pretrain.learn(settings, state, state.student, sight, sharp)
    return torch.stack([getattr(settings.pull, name) * loss for name, loss in losses.items()]).sum()


def learn(config: Caption, network: Captioner, sight: Sight) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The losses of a step but vision's, and what to watch beside them. All but the texts' are the same number in every
    process, for each works them out from the rows of all."""
    pull, kind = config.pull, sight.tokens.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        moved = [config.trunk_rate > 0, config.cluster_grad == "encoder"]  # the second view is for clusters alone
        see = partial(in_pieces, network, network.features, config.accumulate)
        features = [_moved(see, view, moves) for view, moves in zip(sight.views, moved, strict=False)]
        words = in_pieces(network, network.words, config.accumulate, features[0]).float()
        read = partial(in_pieces, network, network.text, config.accumulate)
        texts = read(sight.tokens).float() if pull.cross else None
        spoken = read(sight.spoken).float() if pull.words else None
    scale, word_scale = network.scales()
    losses: dict[str, Tensor] = {}
    numbers: dict[str, Tensor] = {}
    if texts is not None:
        table = rows_with_gradient(likeness(words, rows_with_gradient(texts), config.pool, config.sharp))
        losses["cross"] = cross_modal(table, scale)
        numbers |= {"found": _found(table), "scale": scale}
    if spoken is not None:
        vectors, valid = _regions(words, sight.members)
        score = rows_with_gradient(best_of(vectors @ spoken.T, valid, config.sharp))
        losses["words"] = word_regions(score, sight.mentioned, sight.counts.rsqrt(), word_scale)
        numbers |= {"words found": _mentioned(score, sight.mentioned), "word scale": word_scale}
    if pull.cluster:
        together = _together(network, features, sight.views, through=config.cluster_grad == "encoder")
        losses["cluster"] = mutual_information(together, config.lam)
        numbers["even"] = _evenness(together)
    return losses, numbers


def _moved(see: Callable[[Tensor], Tensor], view: View, moves: bool) -> Tensor:
    with torch.set_grad_enabled(moves):
        return see(view.pixels)


def _regions(words: Tensor, members: Tensor | None) -> tuple[Tensor, Tensor]:
    """(B, R, E) unit vectors of a view's regions and (B, R) bool, which there are: of those of a forest the direction
    of the sum of its patches' directions, each by its share (B, R, P), as `backbones.pooling` has it; without a forest
    neighbouring patches stand for regions."""
    patches = F.normalize(words, dim=1)
    if members is None:
        if (times := -(-patches.shape[2] // CELLS)) > 1:
            patches = F.avg_pool2d(patches, times, ceil_mode=True)
        vectors = F.normalize(patches.flatten(2).transpose(1, 2), dim=-1)
        return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
    vectors = members @ patches.flatten(2).transpose(1, 2)
    return F.normalize(vectors, dim=-1), members.sum(-1) > 0


def _together(network: Captioner, features: list[Tensor], views: list[View], through: bool) -> Tensor:
    """How often each cluster of the first view goes with each of the second, at places that both show, of all
    processes. Features are read at these places, and then fall into clusters: there are fewer of them than patches."""
    assert network.head is not None
    places, there = common_places(views[0], views[1], GRID)
    kept = [one.float() if through else one.float().detach() for one in features]
    first, second = (network.head(read_at(one, view, places)) for one, view in zip(kept, views, strict=True))
    weight = there[:, None].float().expand(-1, GRID * GRID)
    return rows_with_gradient(assigned_together(first, second, weight)[None]).mean(0)


@torch.no_grad()
def _found(table: Tensor) -> Tensor:
    """The share of photos whose own caption is nearest."""
    return (table.argmax(1) == torch.arange(len(table), device=table.device)).float().mean()


@torch.no_grad()
def _mentioned(scores: Tensor, mentioned: Tensor) -> Tensor:
    """The share of photos whose best word is one that is said of them."""
    return mentioned.gather(1, scores.argmax(1, keepdim=True)).float().mean()


@torch.no_grad()
def _evenness(together: Tensor) -> Tensor:
    """How evenly clusters are used, 0 ... 1; 0 is collapse."""
    share = together.sum(1) / together.sum().clamp(min=1e-12)
    return torch.special.entr(share).sum() / math.log(len(share))


# ---------------------------------------------------------------------- what a step looks at


@dataclass(frozen=True)
class Sight:
    """Views of B photos of this process, and what is said of the step's photos.

    views      one of each photo for its caption, and where clusters are learned a second
    tokens     (B, L) a caption of each
    spoken     (W, l) the content words that captions of the step's photos mention, of all processes, each by itself
    counts     (W,) in how many photos of the album each is mentioned
    mentioned  (A, W) bool: which of the step's A photos, of all processes, mention which
    members    (B, R, P) the share of each patch of the first view that a region has; None without forests
    """

    views: list[View]
    tokens: Tensor
    spoken: Tensor
    counts: Tensor
    mentioned: Tensor
    members: Tensor | None


def look(config: Caption, step: int, album: Album, patch: int, device: torch.device) -> Sight:
    """The views of a step, of this process's share of its photos; all random numbers come from the step's number."""
    generator, own = torch.Generator().manual_seed((config.seed << 32) + step), own_share(config.batch)
    taken = album.shelves.at(step)
    bank, rows = taken.shelf, taken.rows
    counts = album.first[taken.numbers + 1] - album.first[taken.numbers]
    chosen = album.first[taken.numbers] + (torch.rand(config.batch, generator=generator)[own] * counts).long()
    draws = [draw(config.batch, generator) for _ in range(2 if config.pull.cluster else 1)]
    photos, shape = (column[rows.to(column.device)] for column in (bank.photos, bank.shape))
    views = [
        cut(photos, shape, _mild(one).of(own, device), size=config.size, share=config.share, kind=3) for one in draws
    ]
    said = album.mentions(rows_of_all(taken.numbers.to(device)).cpu())
    words = said.any(0).nonzero()[:, 0]
    members = None
    if bank.forests is not None and config.pull.words:
        seeds = torch.randint(2**62, (config.batch,), generator=generator)[own].tolist()
        regions = [
            bank.forests.draw(row, config.regions, torch.Generator().manual_seed(seed))
            for row, seed in zip(rows.tolist(), seeds, strict=True)
        ]
        members = _members(bank.forests, rows.tolist(), regions, views[0], config.size // patch)
    return Sight(
        views,
        _cut(album.said[chosen]).to(device),
        _cut(album.spoken[words]).to(device),
        album.counts[words].float().to(device),
        said[:, words].to(device),
        members,
    )


def _mild(draws: Draws) -> Draws:
    """Captions name colours: neither grey nor of another hue, and half as much lighter or darker. Nor is it blurred."""
    jitter, blur = draws.jitter.clone(), draws.blur.clone()
    jitter[:, 1:4] = 0.5 + (jitter[:, 1:4] - 0.5) / 2
    jitter[:, 4] = 0.5
    blur[:, 0] = 1
    return replace(draws, jitter=jitter, grey=torch.ones_like(draws.grey), blur=blur)


def _cut(tokens: Tensor) -> Tensor:
    """Without columns in which nothing stands."""
    return tokens[:, : int(belonging(tokens).sum(1).max())] if len(tokens) else tokens[:, :1]


def _members(forests: Forests, photos: list[int], regions: list[Tensor], view: View, side: int) -> Tensor:
    """(B, R, P) the share of a view's patches that regions have, R those of the photo that has most."""
    found = torch.zeros(len(photos), max(1, *map(len, regions)), side * side, device=view.box.device)
    for row, places in enumerate(middles(view, side * POINTS)):
        held = forests.at(photos[row], places, regions[row]).float()
        shares = F.avg_pool2d(held.unflatten(1, (1, side * POINTS, side * POINTS)).flatten(1, 2), POINTS)
        found[row, : len(shares)] = shares.flatten(1)
    return found
