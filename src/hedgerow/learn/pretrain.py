"""A backbone learned from raw photos: self-distillation on whole views, hidden patches, places and regions.

In: photos, without any label. Out: a run's folder: log.jsonl, checkpoint.pt, report.png and backbone/, a folder as
transformers writes its models, which `hub:RUN/backbone` opens.

A student sees several views of a photo and learns to say what its teacher says of others; the teacher is a moving
average of the student. Four losses (`losses.py`), each of which can be left out:

    whole    the view as a whole: any view against the teacher's large views (DINO; ViL-Seg's vision-based contrasting)
    hidden   patches the student does not see, against the teacher, who does (iBOT)
    place    a patch of one large view finds the patch of the other that shows the same place of the photo, among all
             of the batch (contrast, as DenseCL). DINO says nothing of patches, and iBOT nothing across views;
             segmenting lives from patches that mean the same wherever they are seen from
    region   the mean over a region of one large view finds that of the same region in the other, among all regions of
             the batch, those of its own photo included (DetCon, Henaff et al. 2021, there with Felzenszwalb's regions).
             Regions are what exploring finds in the photo (`explore/squares.py`), so nobody drew them

and KoLeo keeps photos apart. The networks are what transformers calls DINOv3 ViT and ResNet, so checkpoints move both
ways. All random numbers of a step come from its number, so a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hedgerow.config import CallerError, Pretrain, Views
from hedgerow.explore.squares import REGIONS
from hedgerow.learn.bank import Bank
from hedgerow.learn.losses import contrast, distillation, spread, targets, views_agree
from hedgerow.learn.networks.checkpoints import load_network
from hedgerow.learn.networks.devices import mean_of_all, rank, rows_of_all
from hedgerow.learn.networks.heads import Projector, PrototypeHead
from hedgerow.learn.networks.pieces import in_pieces
from hedgerow.learn.networks.pyramid import Pyramid, PyramidConfig
from hedgerow.learn.networks.sharing import clip, shared, take
from hedgerow.learn.networks.vit import ViT, ViTConfig
from hedgerow.learn.shelves import Shelves, own_share
from hedgerow.learn.views import View, cut, draw, draw_hidden, middles, patches_at, regions_at

PLACES = 8  # of a large view that are to be found in the other
AMONG = 0.1  # weight of rival places from the same photo
SEEN = 2  # patches of a region that a view must show
CENTRING = 0.9  # momentum of the centres: DINO's
CLIP = 3.0  # length of the gradient, at most: DINO's
STILL = 0.02  # share of the steps in which prototypes stay as they are: DINO's first epoch
WATCHED = 1024  # places, and half of the patches, from which it is told how learning goes
LATE = 4 / 3  # sides of late views


class Learner(nn.Module):
    """What the student is, and the teacher: a backbone, what stands in place of hidden patches, a head a loss."""

    def __init__(self, config: Pretrain, generator: torch.Generator, network: ViT | Pyramid | None = None) -> None:
        """`network` is a backbone that is there already, else one is made."""
        super().__init__()
        self.network = network_of(config, generator) if network is None else network
        dim, pull, self.pieces = self.network.config.dim, config.pull, config.accumulate
        if pull.hidden:
            self.blank = nn.Parameter(torch.zeros(self.network.blank))
        made = {
            "whole": lambda: PrototypeHead(dim, config.prototypes, generator),
            "hidden": lambda: PrototypeHead(dim, config.prototypes, generator),
            "place": lambda: Projector(dim, generator),
            "region": lambda: Projector(dim, generator),
        }
        self.heads = nn.ModuleDict({name: make() for name, make in made.items() if getattr(pull, name)})

    def forward(self, sight: Sight, hides: bool, rows: Tensor, places: Tensor) -> dict[str, Tensor]:
        """Vectors of the large views and of their patches; and what the heads say: of views as a whole, of the patches
        in `rows` and in `places` (numbers among all patches of all large views), of regions (2B, REGIONS). With `hides`
        hidden patches are not seen, and small views are looked at, too."""
        large = torch.cat([view.pixels for view in sight.large])
        vector, patches = self._look(large, sight.hidden if hides and "hidden" in self.heads else None)
        said = {"vector": vector, "patches": patches}
        if "whole" in self.heads:
            said["large"] = self.heads["whole"](vector)
            if hides and sight.small:
                small = torch.cat([view.pixels for view in sight.small])
                said["small"] = self.heads["whole"](self._look(small)[0])
        if "hidden" in self.heads:
            said["rows"] = self.heads["hidden"](patches.flatten(0, 1)[rows])
        if "place" in self.heads:
            said["places"] = self.heads["place"](patches.flatten(0, 1)[places])
        if "region" in self.heads:
            said["regions"] = self.heads["region"](sight.members.transpose(1, 2) @ patches)
        return said

    def _look(self, pixels: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        def look(pixels: Tensor, hidden: Tensor | None) -> Any:
            return self.network.look(pixels, None if hidden is None else (hidden, self.blank))

        return in_pieces(self.network, look, self.pieces, pixels, hidden)  # type: ignore[no-any-return]


@dataclass
class State:
    """All that a run is at one moment. `shared` is the student as all processes learn it."""

    student: Learner
    teacher: Learner
    shared: nn.Module
    centres: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0
    steps: int = 0
    seconds: float = 0.0  # of learning, over all its sittings

    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "centres": self.centres,
            "optimizer": self.optimizer.state_dict(),
        }

    def take_up(self, before: dict[str, Any], device: torch.device) -> None:
        """Go on from a checkpoint."""
        try:
            for name in ("student", "teacher", "optimizer"):
                take(getattr(self, name), before[name])
            self.centres = {kind: centre.to(device) for kind, centre in before["centres"].items()}
        except (KeyError, RuntimeError, ValueError) as error:
            raise CallerError(f"the checkpoint is of no such run: {str(error).splitlines()[0]}") from None
        self.step, self.steps, self.seconds = before["step"], before["steps"], before["seconds"]


def begin(config: Pretrain, device: torch.device, start: str | None = None) -> State:
    """A run at its first step; `start` is a folder or file with a backbone to go on from."""
    student = Learner(config, torch.Generator().manual_seed(config.seed))
    if start is not None:
        before = load_network(start).network
        if before.config != student.network.config:
            told = f"{before.config} against {student.network.config}"
            raise CallerError(f"{start} is no network of this recipe's: {told}")
        student.network.load_state_dict(before.state_dict())
    teacher = copy.deepcopy(student).requires_grad_(False)
    together = shared(student, device, config.sharded)
    shared(teacher, device, config.sharded)
    plain = [p for p in student.parameters() if p.ndim < 2 or p.shape[:2] == (1, 1)]  # biases, norms, tokens
    ids = {id(p) for p in plain}
    groups = [
        {"params": [p for p in student.parameters() if id(p) not in ids], "decayed": True},
        {"params": plain, "decayed": False},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, fused=device.type == "cuda")
    centres = {kind: torch.zeros(config.prototypes, device=device) for kind in ("whole", "hidden")}
    return State(student, teacher, together, centres, optimizer, steps=config.steps)


def pretrain(
    config: Pretrain,
    state: State,
    shelves: Shelves,
    device: torch.device,
    told: Callable[[State, dict[str, float]], None],
) -> None:
    """From where `state` is to its last step. `told` hears of every step, and may save, log or stop."""
    while state.step < state.steps:
        start = perf_counter()
        pace = pace_at(config, state.step / state.steps)
        for group in state.optimizer.param_groups:
            group["lr"], group["weight_decay"] = pace["rate"], pace["decay"] * group["decayed"]
        losses, seen = learn(config, state, state.shared, look(config, state, shelves, device), pace["sharp"])
        total = sum(getattr(config.pull, name) * loss for name, loss in losses.items())
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()
        if state.step < STILL * state.steps:
            hold_prototypes(state.student)
        length = clip(state.student.parameters(), CLIP)
        state.step += 1
        if not torch.isfinite(total):
            raise CallerError(f"learning went astray at step {state.step}: the loss is {total:g}; lower the rate")
        state.optimizer.step()
        follow(state, pace["momentum"])
        numbers = {**losses, "loss": total, "gradient": length, **seen}
        state.seconds += perf_counter() - start
        values = mean_of_all(torch.stack([value.detach().float() for value in numbers.values()])).tolist()
        told(state, dict(zip(numbers, values, strict=True)) | pace)


@dataclass(frozen=True)
class Sight:
    """What one step looks at.

    large, small   two large views of each of B photos, and some small ones
    hidden         (2B, n) bool, which patches of the large views are hidden
    mine, theirs   (2B * PLACES,) patches that show one place, as numbers among the patches of all large views: in the
                   view the student finds it from, and in the other, which the teacher sees
    there          (2B * PLACES,) bool: does the other view show the place at all
    members        (2B, n, REGIONS) how much each patch counts in the mean over each region
    both           (B, REGIONS) bool: do both large views show the region
    """

    large: list[View]
    small: list[View]
    hidden: Tensor
    mine: Tensor
    theirs: Tensor
    there: Tensor
    members: Tensor
    both: Tensor


def look(config: Pretrain, state: State, shelves: Shelves, device: torch.device) -> Sight:
    """The views of a step, of this process's share of its photos."""
    taken = shelves.at(state.step)
    return sight_of(config, state, taken.shelf, taken.rows, device)


def sight_of(config: Pretrain, state: State, bank: Bank, rows: Tensor, device: torch.device) -> Sight:
    """`look` at some rows of a bank."""
    generator, own = torch.Generator().manual_seed((config.seed << 32) + state.step), own_share(config.batch)
    views = views_at(config, state.step / state.steps)
    patches = views.large // config.network.patch
    draws = [draw(config.batch, generator) for _ in range(2 + views.smalls)]
    hidden = draw_hidden(2 * config.batch, patches, views, generator).unflatten(0, (2, config.batch))
    points = torch.rand(2, config.batch, patches**2, generator=generator).argsort(-1)[..., :PLACES]

    photos, shape, regions = (column[rows.to(column.device)] for column in (bank.photos, bank.shape, bank.regions))
    made = [
        cut(photos, shape, one.of(own, device), size=size, share=share, kind=kind)
        for one, size, share, kind in zip(
            draws,
            [views.large] * 2 + [views.small] * views.smalls,
            [views.most] * 2 + [views.least] * views.smalls,
            [0, 1] + [2] * views.smalls,
            strict=True,
        )
    ]
    pairs = pairs_of(made[:2], points[:, own].to(device), patches)
    members = members_of(made[:2], regions, patches)
    return Sight(made[:2], made[2:], hidden[:, own].flatten(0, 1).to(device), *pairs, *members)


def pairs_of(large: list[View], points: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """`mine`, `theirs` and `there` of a `Sight`, from the points (2, B, PLACES) picked among each view's patches."""
    count = len(large[0].box)
    first = (torch.arange(count, device=points.device) * side * side)[:, None]
    mine, theirs, there = [], [], []
    for k, (view, other) in enumerate([(large[0], large[1]), (large[1], large[0])]):
        places = torch.gather(middles(view, side), 1, points[k][..., None].expand(-1, -1, 2))
        patch, shown = patches_at(other, places, side)
        mine.append(k * count * side * side + first + points[k])
        theirs.append((1 - k) * count * side * side + first + patch)
        there.append(shown)
    return torch.cat(mine).flatten(), torch.cat(theirs).flatten(), torch.cat(there).flatten()


def members_of(large: list[View], regions: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """`members` and `both` of a `Sight`; no region at all where the bank has none."""
    if not regions.numel():
        count = len(large[0].box)
        return regions.new_zeros((2 * count, side * side, REGIONS)), regions.new_zeros((count, REGIONS)).bool()
    numbers = torch.cat([regions_at(regions, middles(view, side)) for view in large])
    inside = F.one_hot(numbers.long(), REGIONS).float()
    patches = inside.sum(1, keepdim=True)
    first, second = (patches[:, 0] >= SEEN).chunk(2)
    return inside / patches.clamp(min=1), first & second


def learn(
    config: Pretrain, state: State, student: nn.Module, sight: Sight, sharp: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The losses of a step, and what to watch beside them."""
    rows = sight.hidden.flatten().nonzero()[:, 0]
    kind = sight.hidden.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        with torch.no_grad():
            theirs = state.teacher(sight, False, rows, sight.theirs)
        mine = student(sight, True, rows, sight.mine)

    losses: dict[str, Tensor] = {}
    seen = {"rank": directions(theirs["patches"])}
    photo = rank() * len(sight.both) + torch.arange(len(sight.both), device=sight.both.device)
    if config.pull.whole:
        whole = targets(theirs["large"], state.centres["whole"], sharp)
        students = [*mine["large"].chunk(2), *(mine["small"].chunk(len(sight.small)) if sight.small else ())]
        losses["whole"] = views_agree(students, list(whole.chunk(2)))
        seen |= sureness(whole)
        _recentre(state, "whole", theirs["large"])
    if config.pull.hidden:
        patch = targets(theirs["rows"], state.centres["hidden"], sharp)
        # hidden patches count so much each that a view counts for one, however much of it is hidden (iBOT, DINOv2)
        weight = _evenly(sight.hidden)
        losses["hidden"] = distillation(mine["rows"], patch, weight, mean_of_all(weight.sum()))
        _recentre(state, "hidden", theirs["rows"])
    if config.pull.place:
        owner, there = photo.repeat(2).repeat_interleave(PLACES), sight.there
        losses["place"] = _contrasted(mine["places"], theirs["places"], owner, there, AMONG)
        seen["found"] = found(mine["places"], theirs["places"], there)
    if config.pull.region:
        owner, both = photo.repeat_interleave(REGIONS), sight.both.flatten()
        (a, b), (c, d) = ([view.flatten(0, 1) for view in side["regions"].chunk(2)] for side in (mine, theirs))
        losses["region"] = (_contrasted(a, d, owner, both) + _contrasted(b, c, owner, both)) / 2
        seen["regions found"] = found(a, d, both)
    if config.pull.spread:
        vectors = mine["vector"].chunk(2)[0]
        losses["spread"] = spread(vectors, rows_of_all(vectors), rank() * len(vectors))
    return losses, seen


def _contrasted(queries: Tensor, keys: Tensor, photo: Tensor, there: Tensor, among: float = 1.0) -> Tensor:
    """Each query against the keys of all processes; `photo` and `there` are of the keys of this one."""
    everywhere = [rows_of_all(column) for column in (keys, photo, there)]
    total = mean_of_all(there.sum().float())
    return contrast(queries, *everywhere, own=rank() * len(there), among=among, total=total)


def _recentre(state: State, kind: str, scores: Tensor) -> None:
    centre, rows = state.centres[kind], torch.tensor(float(len(scores)), device=scores.device)
    rows, total = mean_of_all(rows), mean_of_all(scores.float().sum(0))  # some processes have more rows than others
    centre.lerp_(torch.where(rows > 0, total / rows, centre), 1 - CENTRING)


def _evenly(hidden: Tensor) -> Tensor:
    share = 1 / hidden.sum(1).clamp(min=1)
    return share[:, None].expand_as(hidden)[hidden]


@torch.no_grad()
def sureness(whole: Tensor) -> dict[str, Tensor]:
    """Signs of collapse: how unsure the teacher is of a view, and how evenly it uses its prototypes; both are entropies
    over that of evenness, so 0 ... 1."""
    most = math.log(whole.shape[-1])
    even = mean_of_all(whole.mean(0))
    return {
        "unsure": torch.special.entr(whole).sum(-1).mean() / most,
        "even": torch.special.entr(even).sum() / most,
    }


@torch.no_grad()
def directions(patches: Tensor) -> Tensor:
    """Another: how many directions patches take (effective rank, Roy & Vetterli 2007)."""
    some = patches.flatten(0, 1).float()
    some = some[:: max(len(some) // (2 * WATCHED), 1)]
    covariance = torch.cov(some.T)
    if not torch.isfinite(covariance).all():  # eigvalsh would raise, and the loss, looked at next, says it better
        return covariance.new_tensor(math.nan)
    values = torch.linalg.eigvalsh(covariance).clamp(min=0)
    return torch.special.entr(values / values.sum().clamp(min=1e-12)).sum().exp()


@torch.no_grad()
def found(queries: Tensor, keys: Tensor, there: Tensor) -> Tensor:
    """Share of the queries that find their key at first try among all of this process: a probe of dense features that
    needs no label. Some of the queries will do."""
    nearest = (queries[:WATCHED].float() @ keys.float().T).where(there, -2.0).argmax(1)
    right = nearest == torch.arange(len(nearest), device=nearest.device)
    return right[there[:WATCHED]].float().mean().nan_to_num()


def hold_prototypes(student: Learner) -> None:
    """Early on they stay as they are (DINO's implementation)."""
    for head in student.heads.values():
        if isinstance(head, PrototypeHead):
            head.prototypes.grad = None


@torch.no_grad()
def follow(state: State, momentum: float) -> None:
    """The teacher moves towards the student (DINO section 3.1)."""
    for theirs, mine in zip(state.teacher.parameters(), state.student.parameters(), strict=True):
        theirs.lerp_(mine, 1 - momentum)


def pace_at(config: Pretrain, done: float) -> dict[str, float]:
    """Rates at a share of the run: all rise or fall by half a cosine, the learning rate after a straight rise."""
    fall = (1 + math.cos(math.pi * max(done - config.warm, 0) / max(1 - config.warm, 1e-9))) / 2
    rise = (1 - math.cos(math.pi * done)) / 2
    return {
        "rate": config.rate * (done / config.warm if done < config.warm else 0.01 + 0.99 * fall),
        "decay": config.decay[0] + (config.decay[1] - config.decay[0]) * rise,
        "momentum": config.momentum + (1 - config.momentum) * rise,
        "sharp": config.sharp[0] + (config.sharp[1] - config.sharp[0]) * min(3 * done, 1),
    }


def views_at(config: Pretrain, done: float) -> Views:
    """Late views are larger, by whole patches."""
    if done < 1 - config.late:
        return config.views
    patch = config.network.patch
    large, small = (round(LATE * side / patch) * patch for side in (config.views.large, config.views.small))
    return replace(config.views, large=large, small=small)


def network_of(config: Pretrain, generator: torch.Generator | None = None) -> ViT | Pyramid:
    network = config.network
    if network.kind == "pyramid":
        return Pyramid(PyramidConfig(network.widths, network.depths, network.dim), generator)
    form = ViTConfig(
        patch=network.patch,
        dim=network.dim,
        depth=network.depth,
        heads=network.heads,
        hidden=4 * network.dim,
        positions="rope",
        registers=network.registers,
        layer_scale=True,
        norm_eps=1e-5,
    )
    return ViT(form, generator)
