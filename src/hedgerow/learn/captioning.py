"""A run of learning from captions, in sittings.

In: pairs of photos and captions, and a `Caption`. Out: RUN/, in which are run.json, log.jsonl and checkpoint.pt
(`sittings.py`), report.png, and captioner/, the network, its tokenizer.json, and card.json, what was measured on the
photos held back; `hedgerow ship` makes files of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from hedgerow.backbones.hub import fetched
from hedgerow.config import CallerError, Caption, UsageError
from hedgerow.data.labels import LabelStore
from hedgerow.data.pairs import read_pairs
from hedgerow.engines import usable_cores
from hedgerow.learn.album import Album, read_album
from hedgerow.learn.bank import Watch
from hedgerow.learn.caption import Captioning, begin, caption
from hedgerow.learn.lexicon import start_of
from hedgerow.learn.networks.devices import in_company, rank, torch_device, world
from hedgerow.learn.networks.saving import save_ours
from hedgerow.learn.networks.text import HubTower, load_text_tower
from hedgerow.learn.recall import card_of
from hedgerow.learn.rehearsal import steps_that_fit
from hedgerow.learn.report import CAPTION, draw_report
from hedgerow.learn.sittings import Keeper, check_photos, checkpoint_of, forget_after, make_run, open_run
from hedgerow.learn.trunks import MORE, supervision_of, trunk_named, trunk_supervision
from hedgerow.learn.views import MEAN, STD
from hedgerow.writing import write_atomically


def sit_caption(
    places: Sequence[Path],
    folder: Path,
    config: Caption,
    *,
    resume: bool = False,
    bad: Callable[[str], None] = lambda line: None,
    watch: Watch = lambda items, _: items,
    shown: Callable[[Captioning, dict[str, float]], None] = lambda run, numbers: None,
) -> Captioning:
    """Begin a run, or go on with it, until it is done. `bad` hears of photos left out, `shown` of every step."""
    check(config)
    before = checkpoint_of(folder, config, resume, "in another folder")
    pairs = read_pairs(places)
    trunk = trunk_named(config.backbone, config.seed)
    check_fits(config, trunk)
    tower, source = _tower(config)
    make_run(folder)
    device = torch_device(config.device)
    workers = config.workers or usable_cores()
    torch.set_num_threads(max(1, workers if device.type == "cpu" else 1))
    with in_company(device):
        if config.batch % world():
            raise UsageError(f"--batch is a multiple of the {world()} processes, got {config.batch}")
        album = read_album(
            pairs,
            config,
            device=device,
            workers=workers,
            tower=source,
            context=None if tower is None else tower.config.context,
            bad=bad,
            watch=watch,
        )
        anew = partial(begin, config, device, trunk, album, text=tower, start=_start(config, album))
        steps = before["steps"] if before else config.steps or _steps_that_fit(config, album, device, anew)
        run = anew()
        run.steps = steps
        if before is None:
            about = {
                "photos": album.learned,
                "held": 0 if album.held is None else len(album.held),
                "captions": len(album.said),
                "parameters": sum(p.numel() for p in run.network.parameters()),
                "start": config.backbone,
                "supervision": _supervision(config),
            }
            open_run(folder, config, run, device, about)
        else:
            check_photos(before, album.learned)
            run.take_up(before)
            forget_after(folder, run.step)
        keeper = Keeper(folder, config, device, partial(_write, folder, album, config, device), shown)
        with keeper.at_work():
            caption(config, run, album, device, keeper)
        keeper.save(run)
        if rank() == 0:
            draw_report(folder, CAPTION)
    return run


def check(config: Caption) -> None:
    """Settings that cannot be, in one line each."""
    least = {
        "minutes": 0,
        "accumulate": 1,
        "batch": 2,
        "pieces": 257,  # every byte is one, and there is nothing
        "known": 1,
        "dim": 2,
        "hidden": 1,
        "clusters": 2,
        "side": 32,
        "size": 16,
        "regions": 1,
        "held": 0,
        "save": 0,
        "memory": 0,
        "trunk_rate": 0,
        "lam": 1,
        "prototypes": 2,
    }
    for name, value in least.items():
        if not getattr(config, name) >= value:
            raise UsageError(f"--{name.replace('_', '-')} is at least {value}, got {getattr(config, name)}")
    _check_parts(config)


def _check_parts(config: Caption) -> None:
    if not 0 < config.share[0] <= config.share[1] <= 1:
        raise UsageError(f"--share is two shares, least and most, got {config.share[0]} {config.share[1]}")
    for name in ("warm", "momentum"):
        if not 0 <= getattr(config, name) <= 1:
            raise UsageError(f"--{name} lies in 0 ... 1, got {getattr(config, name)}")
    if config.sharp <= 0:
        raise UsageError(f"--sharp is more than 0, got {config.sharp}")
    pull = config.pull
    if not any(vars(pull).values()) or min(vars(pull).values()) < 0:
        raise UsageError("--pull.* are 0 or more, and one of them is more: else there is nothing to learn from")
    if not (pull.cross or pull.words):
        raise UsageError("--pull.cross or --pull.words is more than 0: nothing else learns from the captions")
    if pull.vision and not any(vars(config.vision).values()):
        raise UsageError("--pull.vision wants one of --vision.* to be more than 0")
    for asked, moved in (("--pull.vision", pull.vision > 0), ("--cluster-grad encoder", config.cluster_grad != "none")):
        if moved and not config.trunk_rate:
            raise UsageError(f"{asked} moves the backbone: give --trunk-rate, 0.1 or so")
    _check_text(config)


def _check_text(config: Caption) -> None:
    text = config.text
    if text.dim % text.heads or min(text.dim, text.heads, text.context) < 1 or text.layers < 0:
        raise UsageError(
            f"--text.dim is a multiple of --text.heads, .layers at least 0, .context at least 1; got {text}"
        )
    if not config.templates or not all(one.count("{}") == 1 for one in config.templates):
        raise UsageError("--templates are sentences with {} where the name stands")
    if config.tower != "own" and not config.tower.startswith("hub:"):
        raise UsageError(f"--tower is own, hub:ID or hub:FOLDER, got {config.tower}")
    if config.tower != "own" and config.words_start:
        raise UsageError("--words-start is for a tower of our own: leave --tower or it out")


def check_fits(config: Caption, trunk: nn.Module) -> None:
    patch: int = trunk.config.patch  # type: ignore[union-attr, assignment]
    sides = {"size": config.size}
    if config.pull.vision:
        sides |= {"views.large": config.views.large, "views.small": config.views.small}
        if not hasattr(trunk, "look"):
            raise UsageError(f"--pull.vision cannot look with {config.backbone}: give a pyramid or a transformer")
    for name, side in sides.items():
        if side % patch or side < patch:
            raise UsageError(f"--{name} is a multiple of the backbone's patch, {patch}, got {side}")


def _tower(config: Caption) -> tuple[HubTower | None, Path | None]:
    """A hub tower and the folder it is in."""
    if config.tower == "own":
        return None, None
    folder, _ = fetched(config.tower.removeprefix("hub:"), beside=("tokenizer.json",))
    if not (folder / "tokenizer.json").is_file():
        raise CallerError(f"{folder} has no tokenizer.json: give a tower that has one")
    generator = torch.Generator().manual_seed(config.seed)
    return load_text_tower(folder, config.dim, config.text.map, generator), folder


def _start(config: Caption, album: Album) -> torch.Tensor | None:
    if config.words_start is None:
        return None
    captions = (one for some in album.captions[: album.learned] for one in some)
    return torch.from_numpy(start_of(config.words_start, captions, album.tokens, config.text.dim))


def _supervision(config: Caption) -> str:
    """Captions, or more, where the backbone or the labels had more."""
    if config.labels is not None:
        given = supervision_of(LabelStore(config.labels), config.backbone)
    else:
        given = trunk_supervision(config.backbone)
    return max((given, "captions"), key=MORE.index)


def _steps_that_fit(config: Caption, album: Album, device: torch.device, anew: Callable[[], Captioning]) -> int:
    def learn(run: Captioning, told: Callable[[Captioning, dict[str, float]], None]) -> None:
        caption(config, run, album, device, told)

    return steps_that_fit(config.minutes, 0.0, anew, learn, device)


def _write(folder: Path, album: Album, config: Caption, device: torch.device, run: Captioning) -> dict[str, float]:
    place = folder / "captioner"
    save_ours(run.network, place, MEAN, STD)
    with torch.no_grad():
        card = run.shared(card_of, run.network, album, config, device)
    if rank() == 0:
        write_atomically(place / "tokenizer.json", album.tokens.written())
        write_atomically(place / "card.json", (json.dumps(card, indent=2) + "\n").encode())
    right = {"named right": card["named right"]} if "named right" in card else {}
    return card["recall"] | right
