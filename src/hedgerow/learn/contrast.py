"""What pixels mean, learned by contrasting object masks that nobody drew: MaskContrast (Van Gansbeke et al. 2021).

In: photos with the objects of a prior or the regions of whole forests, in `Shelves`. Out: a network and its moving
average; vectors of one category of things end up near each other, though nobody said which things are of one category.

Two views of a photo are cut, each with its masks. In the first each pixel of an object is to find the prototype of its
object, which the slow network made of the second view, among the prototypes of all objects of the batch and of those
before (`losses.mask_contrast`). Pixels of the ground take no part; a second head is to tell objects from ground.

Where we depart: a photo has several objects, and those that overlap are no rivals; rivals are those of all devices, so
the loss does not hang on their number; pixels are the network's patches, whose middles say what they belong to; a trunk
keeps the statistics of its pre-training. With `nested` the roots of a forest are contrasted in the first half of the
vector's numbers and all regions in the whole of it: parts of one thing share half of what they mean.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hedgerow.config import CallerError, Contrast
from hedgerow.learn.bank import Bank
from hedgerow.learn.forests import Forests
from hedgerow.learn.losses import balanced_salience, evened, mask_contrast, prototypes
from hedgerow.learn.networks.contraster import Contraster, ContrasterConfig
from hedgerow.learn.networks.devices import mean_of_all, rank, rows_of_all, world
from hedgerow.learn.networks.pieces import InPieces, in_pieces
from hedgerow.learn.networks.sharing import clip, shared, take
from hedgerow.learn.shelves import Shelves, own_share
from hedgerow.learn.views import Draws, View, boxes, cut, draw, middles

SHOWN = (0.01, 0.99)  # share of a view that an object takes, in both views: else it is not contrasted
RINGS = ("queue", "roots", "owners")
TRIES = 3  # pairs of views that are drawn for a photo until both show an object
CLIP = 3.0  # length of the gradient, at most
DECAY = 1e-4  # of weights: the paper's
SETTLING = 32  # photos that settle a new network
WARM = 0.02  # share of the steps in which the rate rises
COLOURS = 3  # views are in the colours of those to segment: the paper's have no solarising and hardly any blur


@dataclass
class Contrasting:
    """All that a run is at one moment. queue (K, E): prototypes of steps before, `filled` of them so far, the next goes
    to row `place`; roots (K,): which of them are of regions that are part of nothing; owners (K,): of which photo.
    `shared` is the student as all processes learn it."""

    student: Contraster
    teacher: Contraster
    shared: nn.Module
    optimizer: torch.optim.Optimizer
    queue: Tensor
    roots: Tensor
    owners: Tensor
    filled: int = 0
    place: int = 0
    step: int = 0
    steps: int = 0
    seconds: float = 0.0

    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        networks = {name: getattr(self, name).state_dict() for name in ("student", "teacher", "optimizer")}
        rings = {name: getattr(self, name) for name in RINGS}
        return {**networks, **rings, "filled": self.filled, "place": self.place}

    def take_up(self, before: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        try:
            for name in ("student", "teacher", "optimizer"):
                take(getattr(self, name), before[name])
            for name in RINGS:
                getattr(self, name).copy_(before[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CallerError(f"the checkpoint is of no such run: {str(error).splitlines()[0]}") from None
        for name in ("filled", "place", "step", "steps", "seconds"):
            setattr(self, name, before[name])


def begin(config: Contrast, device: torch.device, trunk: nn.Module, shelves: Shelves) -> Contrasting:
    """A run at its first step, on a backbone that was trained before; the first photos settle what is new."""
    generator = torch.Generator().manual_seed(config.seed)
    student = Contraster(ContrasterConfig(trunk.config, config.dim, config.hidden), generator)  # type: ignore[arg-type]
    student.trunk.load_state_dict(trunk.state_dict())
    few = shelves.first(SETTLING)
    plain = draw(len(few), generator).plain()
    some = cut(few.photos, few.shape, plain, size=config.size, share=(1.0, 1.0), kind=COLOURS)
    student.eval().settle(some.pixels)
    student.requires_grad_(True)
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    together = shared(InPieces(student, config.accumulate), device, config.sharded)
    shared(teacher, device, config.sharded)
    groups = [
        {"params": list(student.trunk.parameters()), "pace": config.trunk_rate},
        {"params": [p for n, p in student.named_parameters() if not n.startswith("trunk.")], "pace": 1.0},
    ]
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, weight_decay=DECAY)
    else:
        optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=DECAY)
    queue = torch.zeros(config.queue, config.dim, device=device)
    roots, owners = (torch.zeros(config.queue, dtype=kind, device=device) for kind in (torch.bool, torch.long))
    return Contrasting(student, teacher, together, optimizer, queue, roots, owners, steps=config.steps)


def contrast(
    config: Contrast,
    run: Contrasting,
    shelves: Shelves,
    device: torch.device,
    told: Callable[[Contrasting, dict[str, float]], None],
) -> None:
    """From where `run` is to its last step. `told` hears of every step, and may save, log or stop."""
    run.student.eval()  # see above: its trunk keeps its statistics
    salience = salience_of(config, shelves)
    while run.step < run.steps:
        start = perf_counter()
        rate = config.rate * _pace(run.step / run.steps)
        for group in run.optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        follow(run, config.momentum)  # before the slow network looks: the paper's order
        sight = look(config, run.step, shelves, run.student.patch)
        losses, seen = learn(config, run, run.shared, sight)
        total = losses["contrast"] + salience * losses["salience"]
        run.optimizer.zero_grad(set_to_none=True)
        total.backward()
        length = clip(run.student.parameters(), CLIP)
        run.step += 1
        if not torch.isfinite(total):
            raise CallerError(f"learning went astray at step {run.step}: the loss is {total:g}; lower the rate")
        run.optimizer.step()
        numbers = {**losses, **seen, "loss": total, "gradient": length}
        values = mean_of_all(torch.stack([value.detach().float() for value in numbers.values()])).tolist()
        run.seconds += perf_counter() - start
        told(run, dict(zip(numbers, values, strict=True)) | {"rate": rate})


def salience_of(config: Contrast, shelves: Shelves) -> float:
    """The weight of telling objects from ground. Whole forests fill their photos and leave no ground to tell from."""
    if config.salience is not None:
        return config.salience
    return 0.0 if any((parent >= 0).any() for parent in _forests(shelves.first(SETTLING)).parent) else 1.0


def _forests(bank: Bank) -> Forests:
    assert bank.forests is not None
    return bank.forests


def _pace(done: float) -> float:
    """A short rise, then the paper's fall."""
    return min(done / WARM, 1.0) * (1 - done) ** 0.9


def learn(
    config: Contrast, run: Contrasting, student: nn.Module, sight: Sight
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The losses of a step, and what to watch beside them; the queue takes up this step's prototypes."""
    kind = sight.valid.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        mine, salience = student(sight.query.pixels)
        with torch.no_grad():
            theirs = in_pieces(run.teacher, run.teacher, config.accumulate, sight.key.pixels).vectors
    made = torch.stack(
        [prototypes(own, member) for own, member in zip(theirs.float().flatten(1, 2), sight.theirs, strict=True)]
    )
    fresh, there = rows_of_all(made.flatten(0, 1)), rows_of_all(sight.valid.flatten())
    keys = torch.cat([fresh, run.queue])
    count, most = sight.valid.shape
    photo, object_, patch = (sight.mine & sight.valid[..., None]).nonzero(as_tuple=True)
    vectors, row = mine.float().flatten(1, 2)[photo, patch], photo * most + object_
    own, rivals = rank() * count * most + row, _rivals(run, sight, there)[row]
    pixels = (sight.mine.sum(-1) * sight.valid).flatten().float()
    weight = evened(pixels, mean_of_all(pixels.sum()) * world())[row]
    losses = [_told_apart(vectors, keys, own, weight, rivals)]
    if config.nested:
        top, roots = sight.root.flatten()[row], torch.cat([rows_of_all(sight.root.flatten()), run.roots])
        some, ends = (F.normalize(one[:, : config.dim // 2], dim=-1) for one in (vectors[top], keys))
        losses.append(_told_apart(some, ends, own[top], weight[top], rivals[top] & roots))
    ground = mean_of_all(1 - sight.stands.float().mean())
    beside = (sight.root, sight.photo[:, None].expand(-1, most))
    _remember(run, *(rows[there] for rows in (fresh, *(rows_of_all(one.flatten()) for one in beside))))
    return {
        "contrast": torch.stack(losses).mean(),
        "salience": balanced_salience(salience.flatten(1), sight.stands, ground),
    }, {"found": _found(vectors, keys, own, rivals), "objects": there.float().sum()}


def _rivals(run: Contrasting, sight: Sight, there: Tensor) -> Tensor:
    """(B * R, N) bool: which keys, of this step's objects and then of the queue, an object of ours is told from. Not
    from those that overlap it, nor from what its photo held before; that may be itself."""
    count, most = sight.valid.shape
    filled = torch.arange(len(run.queue), device=there.device) < run.filled
    rivals = torch.cat([there, filled]).repeat(count * most, 1)
    first = rank() * count * most
    for number, kin in enumerate(sight.kin):
        own = slice(number * most, (number + 1) * most)
        rivals[own, first + own.start : first + own.stop] &= ~kin
        rivals[own, len(there) :] &= run.owners != sight.photo[number]
    return rivals


@torch.no_grad()
def _found(vectors: Tensor, keys: Tensor, own: Tensor, rivals: Tensor) -> Tensor:
    """The share of pixels whose object is nearer than any rival."""
    nearest = (vectors @ keys.T).masked_fill(~rivals, -2.0).amax(1)
    return ((vectors * keys[own]).sum(1) > nearest).float().mean().nan_to_num()


def _told_apart(vectors: Tensor, keys: Tensor, own: Tensor, weight: Tensor, rival: Tensor) -> Tensor:
    return mask_contrast(vectors, keys, own, weight=weight, rival=rival, total=mean_of_all(weight.sum()))


def _remember(run: Contrasting, *fresh: Tensor) -> None:
    """Queues are rings: the newest push the oldest out. `fresh` as RINGS."""
    size = len(run.queue)
    count = min(len(fresh[0]), size)
    rows = (run.place + torch.arange(count, device=run.queue.device)) % max(size, 1)
    for name, new in zip(RINGS, fresh, strict=True):
        getattr(run, name)[rows] = new[len(new) - count :]
    run.place = (run.place + count) % max(size, 1)
    run.filled = min(run.filled + count, size)


@torch.no_grad()
def follow(run: Contrasting, momentum: float) -> None:
    """The slow network moves towards the fast one (MoCo section 3.2)."""
    for theirs, mine in zip(run.teacher.parameters(), run.student.parameters(), strict=True):
        theirs.lerp_(mine, 1 - momentum)


# ---------------------------------------------------------------------- what a step looks at


@dataclass(frozen=True)
class Sight:
    """Two views of each of B photos, P patches each, and R of its regions.

    photo          (B,) which photo of all it is
    mine, theirs   (B, R, P) bool: which patches of the first view, of the second, a region has
    valid          (B, R) bool: is there such a region, and do both views show it
    root           (B, R) bool: is it part of nothing
    kin            (B, R, R) bool: do two regions of a photo overlap, itself included
    stands         (B, P) bool: does a patch of the first view belong to any region at all
    """

    query: View
    key: View
    photo: Tensor
    mine: Tensor
    theirs: Tensor
    valid: Tensor
    root: Tensor
    kin: Tensor
    stands: Tensor


def look(config: Contrast, step: int, shelves: Shelves, patch: int) -> Sight:
    """The views of a step, of this process's share of its photos; all random numbers come from the step's number."""
    generator, own = torch.Generator().manual_seed((config.seed << 32) + step), own_share(config.batch)
    tries = [[draw(config.batch, generator).at(own) for _ in range(2)] for _ in range(TRIES)]
    seeds = torch.randint(2**62, (config.batch,), generator=generator)[own].tolist()
    taken = shelves.at(step)
    bank, rows = taken.shelf, taken.rows
    forests, side, shape, device = _forests(bank), config.size // patch, bank.shape[rows], bank.shape.device
    chosen = [
        forests.draw(row, config.objects, torch.Generator().manual_seed(seed))
        for row, seed in zip(rows.tolist(), seeds, strict=True)
    ]
    seen = [[_shown(forests, rows, _framed(shape, draws, config), side) for draws in pair] for pair in tries]
    best = [_first_that_shows(photo, chosen[photo], seen) for photo in range(len(rows))]
    views = []
    for number in range(2):
        drawn = _mixed([pair[number] for pair in tries], best).of(slice(None), device)
        views.append(cut(bank.photos[rows], shape, drawn, size=config.size, share=config.share, kind=COLOURS))
    most, patches = config.objects, side * side
    blank = torch.zeros(len(rows), most, patches, dtype=torch.bool, device=device)
    sight = Sight(
        query=views[0],
        key=views[1],
        photo=taken.numbers.to(device),
        mine=blank,
        theirs=blank.clone(),
        valid=blank[:, :, 0].clone(),
        root=blank[:, :, 0].clone(),
        kin=blank[:, :, :1].repeat(1, 1, most),
        stands=blank[:, 0].clone(),
    )
    for photo, row in enumerate(rows.tolist()):
        some, (mine, theirs) = chosen[photo], (one[photo] for one in seen[best[photo]])
        count = len(some)
        sight.mine[photo, :count], sight.theirs[photo, :count] = mine[some], theirs[some]
        sight.valid[photo, :count] = _both_show(mine[some], theirs[some])
        sight.root[photo, :count] = torch.from_numpy(forests.parent[row])[some] < 0
        held = forests.held[row][:, some].float()
        sight.kin[photo, :count, :count] = held.T @ held > 0
        sight.stands[photo] = mine.any(0)
    return sight


def _framed(shape: Tensor, draws: Draws, config: Contrast) -> View:
    """What a view shows, before any pixel is cut."""
    draws = draws.of(slice(None), shape.device)
    return View(torch.zeros(0), boxes(shape, draws, config.share), draws.flip < 0.5)


def _shown(forests: Forests, rows: Tensor, view: View, side: int) -> list[Tensor]:
    """Of each photo (R, P) bool, which patches of a view its regions have."""
    return [forests.at(row, places) for row, places in zip(rows.tolist(), middles(view, side), strict=True)]


def _both_show(mine: Tensor, theirs: Tensor) -> Tensor:
    shares = [one.float().mean(1) for one in (mine, theirs)]
    return torch.stack([(share > SHOWN[0]) & (share < SHOWN[1]) for share in shares]).all(0)


def _first_that_shows(photo: int, some: Tensor, seen: list[list[list[Tensor]]]) -> int:
    """The first pair of views in which an object is to be seen; the last, if it is in none."""
    shows = (bool(_both_show(*(one[photo][some] for one in pair)).any()) for pair in seen)
    return next((number for number, good in enumerate(shows) if good), len(seen) - 1)


def _mixed(tries: list[Draws], best: list[int]) -> Draws:
    """Each photo's draws from the try that is its best."""
    chosen = torch.tensor(best)
    columns = (torch.stack([getattr(one, each.name) for one in tries]) for each in fields(Draws))
    return Draws(*(column[chosen, torch.arange(len(chosen))] for column in columns))
