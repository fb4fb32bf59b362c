"""Pre-training: banks of photos, who gets gradients, stopping and going on, files that go out."""

import json
import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from company import losses_of, two_processes
from hedgerow.backbones import open_backbone
from hedgerow.cli import main
from hedgerow.config import RECIPES, CallerError, Network, Pull, UsageError, Views
from hedgerow.explore.squares import REGIONS, squarer
from hedgerow.learn import bank as bank_module
from hedgerow.learn import pretrain as pretrain_module
from hedgerow.learn import shelves as shelves_module
from hedgerow.learn.bank import Bank, read_bank
from hedgerow.learn.export import CLOSE, Entry, write_graph
from hedgerow.learn.networks.checkpoints import load_network
from hedgerow.learn.networks.saving import save_network
from hedgerow.learn.networks.vit import ViT
from hedgerow.learn.pretrain import Learner, begin, learn, look, members_of, network_of, pace_at, views_at
from hedgerow.learn.runs import sit
from hedgerow.learn.shelves import Shelves
from hedgerow.learn.sittings import read_checkpoint
from hedgerow.learn.views import MEAN, STD, cut, draw
from hedgerow.photos import PhotoError, find_photos

CPU = torch.device("cpu")
SMALL = replace(
    RECIPES["tiny"],
    steps=6,
    batch=4,
    prototypes=16,
    side=32,
    save=1e9,
    workers=1,
    quiet=True,
    network=Network(patch=8, dim=32, depth=2, heads=2, registers=1),
    views=Views(large=32, small=16, smalls=1),
)
PYRAMID = replace(
    SMALL,
    network=Network(kind="pyramid", dim=24, widths=(8, 8, 16, 16), depths=(1, 1, 2, 1)),
    pull=RECIPES["laptop"].pull,
    views=Views(large=32, smalls=0),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Sixteen photos of one coloured shape each, of different sizes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(16):
        height, width = rng.integers(40, 70, 2)
        pixels = rng.integers(0, 60, (height, width, 3)) + rng.integers(0, 160, 3)
        top, left = rng.integers(5, 20, 2)
        pixels[top : top + 20, left : left + 20] = rng.integers(0, 256, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


def bank_of(numbers, side=2):
    """Photos of one colour each, their number."""
    colours = torch.tensor(numbers, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, side, side)
    return Bank(colours, torch.ones(len(numbers)), torch.zeros(len(numbers), 0, 0))


def shelves(count, batch=3, fitting=1000, bad=()):
    def read(items):
        there = [place for place, number in enumerate(items) if number not in bad]
        return bank_of([items[place] for place in there]), np.array(there)

    return Shelves(range(count), fitting=fitting, batch=batch, seed=1, read=read)


def seen(held, step):
    taken = held.at(step)
    colours = taken.shelf.photos[taken.rows, 0, 0, 0].tolist()
    assert colours == taken.numbers.tolist()
    return colours


# ---------------------------------------------------------------------- photos in memory


def test_every_photo_once_a_turn():
    held = shelves(12)
    first, second = ([number for step in steps for number in seen(held, step)] for steps in (range(4), range(4, 8)))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_a_step_sees_the_same_photos_whatever_came_before():
    for fitting in (1000, 6):  # everything at once; shelves of three
        held = shelves(12, fitting=fitting)
        told = [seen(held, step) for step in range(20)]
        for step in (19, 3, 11):
            assert seen(shelves(12, fitting=fitting), step) == told[step]


def test_what_does_not_fit_comes_in_shelves():
    held = shelves(12, fitting=6)  # two shelves at a time, so each has three
    assert len(held.numbers) == 4
    first = [number for step in range(4) for number in seen(held, step)]
    assert sorted(first) == list(range(12))
    assert len(held.at(0).shelf) == 3


def test_few_photos_fill_a_batch_twice():
    assert sorted(seen(shelves(2, batch=5), 0)) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


@pytest.mark.parametrize("world", [2, 3, 6])
@pytest.mark.parametrize("fitting", [1000, 20])
def test_processes_share_the_photos_of_a_step_and_read_none_twice(monkeypatch, world, fitting):
    whole = shelves(40, batch=6, fitting=fitting, bad=(3, 17))
    steps = [seen(whole, step) for step in range(14)]
    read = []
    shared = [[] for _ in steps]
    for rank in range(world):
        monkeypatch.setattr(shelves_module, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(shelves_module, "world", lambda: world)
        mine = shelves(40, batch=6, fitting=fitting, bad=(3, 17))
        for step in range(14):
            shared[step] += seen(mine, step)
        if fitting == 1000:
            read += mine.at(0).shelf.photos[:, 0, 0, 0].tolist()
    assert shared == steps
    if fitting == 1000:
        assert sorted(read) == sorted(set(range(40)) - {3, 17})


def test_what_lies_beside_comes_in_later_steps():
    held = shelves(12)
    taken = held.at(0, beside=2)
    numbers = [[held.at(step).numbers[place].item() for step in (1, 2)] for place in range(3)]
    assert torch.stack(list(taken.beside), 1).tolist() == [
        [held.at(0).shelf.photos[:, 0, 0, 0].tolist().index(number) for number in lane] for lane in numbers
    ]


def test_reading_photos(photos, tmp_path):
    items = [(ref, None) for ref in find_photos([photos])]
    read = {"side": 24, "device": CPU, "workers": 1}
    bank, there = read_bank(items, **read)
    assert there.tolist() == list(range(16))
    assert bank.photos.shape == (16, 3, 24, 24)
    opened = Image.open(photos / "03.png")
    assert bank.shape[3].item() == pytest.approx(opened.width / opened.height)
    expected = np.asarray(opened.resize((24, 24), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal(bank.photos[3].numpy(), expected)

    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    items = [(ref, None) for ref in find_photos([tmp_path / "bad.png", photos / "00.png"])]
    with pytest.raises(PhotoError, match=r"bad\.png"):
        read_bank(items, **read)
    told = []
    bank, there = read_bank(items, **read, keep_going=True, bad=told.append)
    assert len(bank) == len(told) == 1
    assert [items[place][0].key for place in there] == ["00"]
    with pytest.raises(PhotoError, match="not one"):
        read_bank([item for item in items if item[0].key == "bad"], **read, keep_going=True, bad=told.append)


# ---------------------------------------------------------------------- one step


def step_of(config, state):
    bank = Bank(
        torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8),
        torch.ones(8),
        torch.arange(16, dtype=torch.uint8).repeat_interleave(64).reshape(1, 32, 32).repeat(8, 1, 1),
    )
    held = Shelves(range(8), fitting=8, batch=config.batch, seed=0, read=lambda items: (bank, np.arange(len(items))))
    return learn(config, state, state.student, look(config, state, held, CPU), 0.04)


def test_gradients_go_to_all_of_the_student_and_none_of_the_teacher():
    torch.manual_seed(0)
    state = begin(SMALL, CPU)
    losses, seen = step_of(SMALL, state)
    sum(losses.values()).backward()
    still = [name for name, p in state.student.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    assert all(p.grad is None for p in state.teacher.parameters())
    assert all(0 <= float(seen[name]) <= 1 + 1e-6 for name in ("unsure", "even"))
    assert 1 <= float(seen["rank"]) <= 32


@pytest.mark.parametrize("name", ["whole", "hidden", "place", "region", "spread"])
@pytest.mark.parametrize("form", [SMALL, PYRAMID], ids=["transformer", "pyramid"])
def test_each_loss_stands_alone(form, name):
    """What is left out is not computed, and has no head whose gradients others would wait for."""
    torch.manual_seed(0)
    config = replace(form, pull=replace(Pull(0, 0, 0, 0, 0), **{name: 1.0}))
    state = begin(config, CPU)
    losses, seen = step_of(config, state)
    assert list(losses) == [name]
    losses[name].backward()
    assert all(p.grad is not None for p in state.student.parameters())
    assert all(torch.isfinite(value) for value in (*losses.values(), *seen.values()))


def test_regions_are_where_they_are():
    """Against one patch and one region at a time."""
    generator = torch.Generator().manual_seed(0)
    regions = torch.randint(0, 3, (4, 32, 32), generator=generator, dtype=torch.uint8)
    shape = torch.full((4,), 1.5)
    photos = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    views = [cut(photos, shape, draw(4, generator), size=32, share=(0.1, 0.6), kind=0) for _ in range(2)]
    members, both = members_of(views, regions, 4)
    assert members.shape == (8, 16, REGIONS)
    for number in range(8):
        view, photo = views[number // 4], number % 4
        shown = [[] for _ in range(REGIONS)]
        for patch in range(16):
            down, across = (patch // 4 + 0.5) / 4, (patch % 4 + 0.5) / 4
            across = 1 - across if view.flip[photo] else across
            top, left, height, width = view.box[photo].tolist()
            cell = int((top + height * down) * 32), int((left + width * across) * 32)
            shown[regions[photo][cell]].append(patch)
        for region in range(REGIONS):
            expected = torch.zeros(16)
            expected[shown[region]] = 1 / max(len(shown[region]), 1)
            assert torch.allclose(members[number, :, region], expected)
    count = (members > 0).sum(1)
    assert torch.equal(both, (count[:4] >= 2) & (count[4:] >= 2))
    assert both.any()


def test_centres_follow_the_teachers_mean():
    torch.manual_seed(0)
    state = begin(SMALL, CPU)
    step_of(SMALL, state)
    assert state.centres["whole"].abs().max() > 0
    assert state.centres["whole"].abs().max() <= 0.1 + 1e-6  # a tenth of the way to cosines


def test_what_is_hidden_is_not_seen():
    vit = ViT(network_of(SMALL).config, torch.Generator().manual_seed(0)).eval()
    pixels = torch.randn(1, 3, 32, 32)
    hidden = torch.zeros(1, 16, dtype=torch.bool)
    hidden[0, 5] = True
    other = pixels.clone()
    other[:, :, 8:16, 8:16] += 1  # patch 5 of 4 x 4
    token = torch.randn(32)
    one, two = (vit(p, hidden=(hidden, token)) for p in (pixels, other))
    assert torch.equal(one, two)
    assert not torch.allclose(vit(pixels), vit(other))
    with_token = vit(pixels, hidden=(hidden, token + 1))
    assert not torch.allclose(one, with_token)


def test_what_is_hidden_from_a_pyramid_is_not_seen():
    network = network_of(PYRAMID, torch.Generator().manual_seed(0)).eval()
    pixels, hidden, colour = torch.randn(1, 3, 32, 32), torch.zeros(1, 16, dtype=torch.bool), torch.randn(3)
    hidden[0, 5] = True
    other = pixels.clone()
    other[:, :, 8:16, 8:16] += 1
    assert torch.equal(network.look(pixels, (hidden, colour))[1], network.look(other, (hidden, colour))[1])
    assert not torch.allclose(network.look(pixels)[1], network.look(other)[1])


def test_the_pace():
    config = replace(SMALL, rate=1.0, warm=0.1, momentum=0.9, decay=(0.0, 1.0), sharp=(0.04, 0.07), late=0.25)
    assert pace_at(config, 0.05)["rate"] == pytest.approx(0.5)
    assert pace_at(config, 0.1)["rate"] == pytest.approx(1.0)
    assert pace_at(config, 1.0)["rate"] == pytest.approx(0.01)
    assert pace_at(config, 0.5) == pytest.approx(
        {"rate": pace_at(config, 0.5)["rate"], "decay": 0.5, "momentum": 0.95, "sharp": 0.07}
    )
    assert views_at(config, 0.74) == config.views
    assert (views_at(config, 0.76).large, views_at(config, 0.76).small) == (40, 24)


# ---------------------------------------------------------------------- stopping and going on


def lines(folder):
    own = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("time", "seconds", "photos/s")} for line in own]


class Killed(Exception):
    pass


@pytest.mark.parametrize("form", [SMALL, PYRAMID], ids=["transformer", "pyramid"])
def test_stopped_and_gone_on_with_is_as_if_never_stopped(form, photos, tmp_path):
    sit([photos], tmp_path / "whole", form)

    def kill(state, _):
        if state.step == 4:
            raise Killed

    broken = tmp_path / "broken"
    with pytest.raises(Killed):  # saved after every step
        sit([photos], broken, replace(form, save=0.0), shown=kill)
    assert read_checkpoint(broken / "checkpoint.pt")["step"] == 3
    with (broken / "log.jsonl").open("a") as log:  # as if it had been killed a little later
        log.write('{"step": 4, "loss": 1.0}\n')
    sit([photos], broken, form, resume=True)
    assert lines(broken) == lines(tmp_path / "whole")
    one, other = (read_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "broken"))
    assert one["step"] == other["step"] == 6
    for part in ("student", "teacher"):
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])
    assert (broken / "report.png").stat().st_size > 10_000
    assert load_network(broken / "backbone").network.config == network_of(form).config


@pytest.mark.parametrize("stop", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop_it_saves_first(photos, tmp_path, capsys, monkeypatch, stop):
    """In the middle of a step: the step is done, saved, and gone on from."""
    run = tmp_path / "run"
    command = ["pretrain", str(photos), "-o", str(run), "--recipe", "tiny", "--batch", "4", "--workers", "1"]
    whole, looks = pretrain_module.look, []

    def look_and_stop(*given):
        looks.append(given)
        if len(looks) == 3:
            signal.raise_signal(stop[0])
        return whole(*given)

    monkeypatch.setattr(pretrain_module, "look", look_and_stop)
    assert main([*command, "--steps", "5"]) == stop[1]
    assert capsys.readouterr().err == f"hedgerow: stopped; the same command with --resume goes on with {run}\n"
    assert read_checkpoint(run / "checkpoint.pt")["step"] == 3
    assert main([*command, "--steps", "5", "--resume"]) == 0
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4, 5]


def test_what_cannot_be_probed_is_told_before_learning(photos, tmp_path, capsys):
    command = ["pretrain", str(photos), "-o", str(tmp_path / "run"), "--recipe", "tiny", "--probe", f"camvid:{photos}"]
    assert main(command) == 1
    assert f"--probe camvid:{photos} cannot be measured: " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_checkpoints_are_probed(photos, tmp_path):
    """What the probe says stands in the log, and what is learned does not hang on it."""
    seen = []

    def probe(backbone):
        seen.append(load_network(backbone).network.config)
        return {"mIoU": 0.25}

    sit([photos], tmp_path / "run", SMALL, probe=probe)
    sit([photos], tmp_path / "plain", SMALL)
    assert seen == [network_of(SMALL).config]
    probed = [line for line in lines(tmp_path / "run") if "mIoU" in line]
    assert probed == [{"step": 6, "mIoU": 0.25}]
    assert [line for line in lines(tmp_path / "run") if "mIoU" not in line] == lines(tmp_path / "plain")


def test_mistakes_are_told_in_one_line(photos, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(CallerError, match="no checkpoint to go on from"):
        sit([photos], run, SMALL, resume=True)
    with pytest.raises(UsageError, match="no photo was named"):
        sit([], run, SMALL)
    for change, told in (
        ({"batch": 1}, "--batch is at least 2, got 1"),
        ({"network": Network(dim=30, heads=4)}, "--network.dim is a multiple"),
        ({"views": Views(large=30)}, "--views.large is a multiple of the patch 8, got 30"),
        ({"views": Views(large=32, small=16, most=(0.9, 0.2))}, "--views.most is two shares"),
        ({"network": Network(kind="pyramid", patch=16)}, "--network.patch of a pyramid is 8, got 16"),
        ({"network": Network(kind="pyramid", depths=(1, 0, 1, 1))}, "are at least 1"),
        ({"pull": Pull(0, 0, 0, 0, 0)}, "nothing to learn from"),
        ({"minutes": float("nan")}, "--minutes is at least 0, got nan"),
    ):
        with pytest.raises(UsageError, match=told):
            sit([photos], run, replace(SMALL, **change))
    assert not run.exists()
    sit([photos], run, replace(SMALL, steps=1))
    with pytest.raises(CallerError, match=r"--resume goes on with it"):
        sit([photos], run, SMALL)
    with pytest.raises(CallerError, match=r"begun with other settings \(rate, steps\)"):
        sit([photos], run, replace(SMALL, rate=1.0), resume=True)
    with pytest.raises(CallerError, match="begun with 16 photos, now there are 1: give the same"):
        sit([photos / "01.png"], run, replace(SMALL, steps=1), resume=True)


def test_regions_are_found_once(photos, tmp_path, monkeypatch):
    """They take long: the next sitting reads those of the first."""

    def kill(state, _):
        if state.step % 2 == 0:
            raise Killed

    asked = []
    monkeypatch.setattr(bank_module, "squarer", lambda side, regions: asked.append(regions) or squarer(side, regions))
    for resume in (False, True):
        with pytest.raises(Killed):
            sit([photos], tmp_path / "run", replace(SMALL, save=0.0), shown=kill, resume=resume)
    assert asked == [True, False]
    (kept,) = (tmp_path / "run").glob("regions*")
    np.savez_compressed(kept, regions=np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(CallerError, match="is of other photos: remove it"):
        sit([photos], tmp_path / "run", SMALL, resume=True)
    sit([photos], tmp_path / "other", replace(SMALL, steps=1, pull=replace(SMALL.pull, region=0.0)))
    assert not asked[-1]
    assert not list((tmp_path / "other").glob("regions*"))


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_a_run_that_goes_astray_says_so(rate, photos, tmp_path):
    with pytest.raises(CallerError, match=r"learning went astray at step \d+: the loss is (nan|inf); lower the rate"):
        sit([photos], tmp_path / "run", replace(SMALL, steps=40, rate=rate, warm=0.0))


def test_a_run_without_matplotlib_ends_without_a_picture(photos, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as if it were not installed
    assert sit([photos], tmp_path / "run", replace(SMALL, steps=1)).step == 1
    assert not (tmp_path / "run" / "report.png").exists()
    (line,) = caplog.messages
    assert line.endswith("install hedgerow with its extra [train], and --resume draws it")
    monkeypatch.undo()
    sit([photos], tmp_path / "run", replace(SMALL, steps=1), resume=True)
    assert (tmp_path / "run" / "report.png").exists()


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"student": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CallerError, match="broken or no checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "ran").exists()
    torch.save({"step": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(CallerError, match="no checkpoint of a run"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_a_run_that_fits_the_minutes(photos, tmp_path):
    state = sit([photos], tmp_path / "run", replace(SMALL, steps=0, minutes=0.02, late=0.5))
    assert 2 <= state.steps <= 400
    assert 0.3 < state.seconds < 6, "1.2 s were asked for, on a machine that may be busy"


def test_starting_from_another_run(photos, tmp_path):
    first = sit([photos], tmp_path / "first", SMALL)
    again = begin(SMALL, CPU, str(tmp_path / "first" / "backbone"))
    for name, value in first.teacher.network.state_dict().items():
        assert torch.allclose(again.student.network.state_dict()[name], value, atol=1e-6), name
    with pytest.raises(CallerError, match="no network of this recipe's"):
        begin(replace(SMALL, network=Network(dim=64, depth=2, heads=2)), CPU, str(tmp_path / "first" / "backbone"))


def test_processes_and_pieces_learn_as_one(photos, tmp_path):
    """By two processes, and in three pieces: the same views, shared out, and losses of the whole batch; also where each
    process keeps a share of the network."""
    code = """
import sys
from pathlib import Path
from company import share_kept
from hedgerow.learn.networks.devices import in_company
from test_pretrain import CPU, SMALL, replace, sit
if __name__ == "__main__":
    config = replace(SMALL, steps=3, batch=8)
    with in_company(CPU):
        sit([sys.argv[1]], Path(sys.argv[2]), config)
        state = sit([sys.argv[1]], Path(sys.argv[3]), replace(config, sharded=True))
        assert 0.45 < share_kept(state.optimizer, state.student, state.teacher) < 0.55
"""
    two_processes(tmp_path, code, photos, tmp_path / "two", tmp_path / "shares")
    for name, pieces in (("one", 1), ("pieces", 3)):
        sit([photos], tmp_path / name, replace(SMALL, steps=3, batch=8, accumulate=pieces))
    one, *others = (read_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("one", "two", "shares", "pieces"))
    for way in ("two", "shares", "pieces"):
        assert losses_of(tmp_path / way) == pytest.approx(losses_of(tmp_path / "one"), rel=1e-2), way
    anew = Learner(SMALL, torch.Generator()).state_dict()
    moved = [(one["teacher"][name] - anew[name]).abs().max() for name in one["teacher"]]
    for other in others:
        assert other["step"] == 3
        for kind in one["centres"]:
            assert torch.allclose(one["centres"][kind], other["centres"][kind], atol=1e-4), kind
        apart = [(one["teacher"][name] - other["teacher"][name]).abs().max() for name in one["teacher"]]
        assert max(apart) < 0.05 * max(moved)


# ---------------------------------------------------------------------- files that go out


@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
def test_saved_networks_are_those_of_transformers(tmp_path, size):
    from transformers import DINOv3ViTModel

    learner = Learner(SMALL, torch.Generator().manual_seed(0))
    for p in learner.network.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    folder = save_network(learner.network, tmp_path / "backbone", MEAN, STD)
    pixels = torch.randn(2, 3, *size)
    model, info = DINOv3ViTModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    with torch.inference_mode():
        ours, theirs = learner.network.eval()(pixels), model.eval()(pixels).last_hidden_state
        back = load_network(folder).network(pixels)
    assert (ours - theirs).abs().max() < 1e-5
    assert torch.equal(ours, back)


def test_a_saved_pyramids_trunk_is_the_resnet_of_transformers(tmp_path):
    from transformers import ResNetModel

    network = network_of(PYRAMID, torch.Generator().manual_seed(0))
    network.train()
    for _ in range(3):  # so that its norms have something to say
        network(torch.randn(4, 3, 64, 64) + 1)
    folder = save_network(network.eval(), tmp_path / "backbone", MEAN, STD)
    pixels = torch.randn(2, 3, 40, 72)
    model, info = ResNetModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert all(key.startswith("neck.") for key in info["unexpected_keys"])
    seen = []
    for stage in network.encoder["stages"]:
        stage.register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.inference_mode():
        ours = network.patches(pixels)
        theirs = model.eval()(pixels, output_hidden_states=True).hidden_states[1:]
        back = load_network(folder)
    assert ours.shape == (2, 5, 9, 24)
    assert len(seen) == len(theirs) == 4
    assert max((one - other).abs().max() for one, other in zip(seen, theirs, strict=True)) < 1e-5
    assert torch.equal(back.network.patches(pixels), ours)
    assert back.supervision == "none"

    config = json.loads((folder / "config.json").read_text())
    for change, told in (({"neck": None}, "without a neck"), ({"neck": 25}, "does not hold the network")):
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(CallerError, match=told):
            load_network(folder)


@pytest.mark.parametrize(("precision", "close"), [("float16", 1e-3), ("int8", 0.1)])  # float32: below
def test_shipped_files_say_what_torch_says(photos, tmp_path, precision, close):
    from skimage import data

    run, file = tmp_path / "run", tmp_path / "small.onnx"
    sit([photos], run, SMALL)
    (tmp_path / "about.json").write_text('{"licence": "MIT", "data": "made shapes"}')
    asked = ["ship", str(run), "-o", str(file), "--precision", precision, "--about", str(tmp_path / "about.json")]
    assert main(asked) == 0
    shipped, inside = open_backbone(str(file)), open_backbone(f"hub:{run}/backbone?feature=output&supervision=none")
    for photo in (data.chelsea(), data.coffee()[:100, :150]):
        mine, theirs = (one.features(photo[None]) for one in (shipped, inside))
        apart = np.abs(mine - theirs)
        assert (apart.mean() if precision == "int8" else apart.max()) < close * np.abs(theirs).max()
    card = json.loads(file.with_suffix(".json").read_text())
    assert (card["name"], card["supervision"], card["precision"]) == ("small", "none", precision)
    assert (card["recipe"], card["photos"], card["steps"], card["licence"]) == ("tiny", 16, "6 of 6", "MIT")
    assert card["views"] == 6 * 4 * 3


def test_a_shipped_pyramid(photos, tmp_path, capsys):
    run, file = tmp_path / "run", tmp_path / "small.onnx"
    sit([photos], run, PYRAMID)
    assert main(["ship", str(run), "-o", str(file), "--precision", "int8"]) == 1
    assert "a pyramid is convolutions" in capsys.readouterr().err
    assert main(["ship", str(run), "-o", str(file), "--precision", "float32"]) == 0
    shipped, inside = open_backbone(str(file)), open_backbone(f"hub:{run}/backbone")
    photo = np.random.default_rng(0).integers(0, 256, (2, 120, 72, 3), np.uint8)
    mine, theirs = (one.features(photo) for one in (shipped, inside))
    assert mine.shape == (2, 15, 9, 24)
    assert np.abs(mine - theirs).max() < 1e-5 * np.abs(theirs).max()
    untrained = open_backbone(f"random:{file}").features(photo)
    assert np.array_equal(untrained, open_backbone(f"random:hub:{run}/backbone").features(photo))
    assert np.abs(untrained - theirs).max() > 0.1 * np.abs(theirs).max()
    card = json.loads(file.with_suffix(".json").read_text())
    for wrong in ({"widths": [8, 8, 8]}, {"widths": [8, 8, 8, "8"]}, {"dim": 25}, {"depths": 3}):
        file.with_suffix(".json").write_text(json.dumps({**card, "architecture": {**card["architecture"], **wrong}}))
        with pytest.raises(CallerError, match="tells"):
            open_backbone(f"random:{file}")
    with pytest.raises(CallerError, match="feature is one of output, got key"):
        open_backbone(f"hub:{run}/backbone?feature=key")


def test_a_network_that_is_not_the_same_in_8_bits(tmp_path, monkeypatch):
    network, outputs = torch.nn.Linear(64, 64), ("out",)
    entry = Entry("entry", torch.zeros(2, 64), {}, np.ones((2, 64), np.float32))
    monkeypatch.setitem(CLOSE, "int8", 0.0)
    with pytest.raises(CallerError, match=r"differs .+ of its largest value: give --precision float16 or float32$"):
        write_graph(network, tmp_path / "a.onnx", entry, outputs=outputs, precision="int8")
    monkeypatch.setitem(CLOSE, "float32", 0.0)
    with pytest.raises(RuntimeError, match="differs"):  # that is a fault of ours
        write_graph(network, tmp_path / "a.onnx", entry, outputs=outputs)
    assert not list(tmp_path.iterdir())


def test_nothing_to_ship(tmp_path, capsys):
    assert main(["ship", str(tmp_path), "-o", str(tmp_path / "a.onnx")]) == 1
    assert "holds no run that can be shipped" in capsys.readouterr().err
