"""Learning from captions: its losses by hand, what a step looks at, where gradients go, runs, and what ships."""

import csv
import hashlib
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from company import two_processes
from hedgerow.cli import main
from hedgerow.config import CAPTIONS, CallerError, CaptionPull, Network, Pretrain, Pull, Ship, Text, UsageError, Views
from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.data.pairs import read_pairs
from hedgerow.forest import MaskForest
from hedgerow.learn.album import read_album
from hedgerow.learn.caption import CELLS, begin, caption, learn, look, vision_of, watch
from hedgerow.learn.captioning import sit_caption
from hedgerow.learn.losses import assigned_together, best_of, cross_modal, mutual_information, word_regions
from hedgerow.learn.networks.captioner import likeness, whole
from hedgerow.learn.networks.saving import load_captioner, save_network
from hedgerow.learn.overlaps import common_places, read_at
from hedgerow.learn.pretrain import network_of
from hedgerow.learn.recall import KNOWN, calibrated, logit
from hedgerow.learn.ship import ship_run
from hedgerow.learn.sittings import read_checkpoint
from hedgerow.learn.tokens import content_words, folded, read_tokens
from hedgerow.learn.trunks import trunk_named
from hedgerow.learn.views import MEAN, STD, View, cut, draw
from hedgerow.naming import open_language

CPU = torch.device("cpu")
SIDE, PHOTOS, HELD = 48, 16, 4
PAINTS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (60, 80, 230), "yellow": (230, 220, 60)}
TINY = replace(
    CAPTIONS["tiny"],
    steps=4,
    batch=4,
    held=HELD,
    side=SIDE,
    size=32,
    dim=16,
    hidden=24,
    clusters=5,
    pieces=300,
    prototypes=32,
    workers=1,
    device="cpu",
    quiet=True,
    text=Text(dim=16, layers=1, heads=2, context=24),
    views=Views(large=32, small=16, smalls=1),
    pull=CaptionPull(vision=1.0, cross=1.0, cluster=1.0, words=1.0),
)
ALONE = {name: CaptionPull(**(dict.fromkeys(vars(CaptionPull()), 0.0) | {name: 1.0})) for name in vars(CaptionPull())}


def made(seed):
    """A bright square on a dark textured ground, its mask, and what is said of it."""
    rng = np.random.default_rng(seed)
    colour = list(PAINTS)[seed % len(PAINTS)]
    pixels = np.repeat(rng.normal(40, 8, (SIDE, SIDE, 1)), 3, 2)
    side = int(rng.integers(26, 34))
    top, left = rng.integers(2, SIDE - side - 2, 2)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + side, left : left + side] = True
    pixels[mask] = PAINTS[colour]
    said = f"a {colour} square on dark ground", f"the {colour} thing {2 * chr(97 + seed % 26)}"
    return pixels.clip(0, 255).astype(np.uint8), mask, said


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Captioned photos, a store of their regions, a pyramid and a transformer that have learned nothing."""
    home = tmp_path_factory.mktemp("caption")
    (home / "pairs" / "images").mkdir(parents=True)
    labels = []
    with (home / "pairs" / "captions.csv").open("w", newline="") as file:
        for seed in range(PHOTOS):
            pixels, mask, said = made(seed)
            Image.fromarray(pixels).save(home / "pairs" / "images" / f"{seed:02}.png")
            csv.writer(file).writerows([f"{seed:02}.png", one] for one in said)
            labels.append(Label(f"{seed:02}", f"{seed:02}.png", "", MaskForest.from_masks([mask, ~mask])))
    store = LabelStore(home / "labels")
    store.claim(Collection(tuple(label.key for label in labels), (str(home / "pairs" / "images"),), {}))
    store.write(0, labels)
    forms = {
        "backbone": Network(kind="pyramid", dim=16, widths=(8, 12, 16, 16), depths=(1, 1, 1, 1)),
        "transformer": Network(kind="transformer", patch=16, dim=32, depth=1, heads=2),
    }
    for name, form in forms.items():
        network = network_of(Pretrain(network=form, views=Views()), torch.Generator().manual_seed(0))
        if name == "backbone":
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 1.0
            with torch.no_grad():  # a trunk keeps its statistics, so they have to be of photos
                network.train()(normal(np.stack([made(seed)[0] for seed in range(PHOTOS)])))
        save_network(network.eval(), home / name, MEAN, STD)
    return home


def normal(pixels):
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return ((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std).float()


def settings(home, **change):
    return replace(TINY, backbone=str(home / "backbone"), **change)


def album_of(home, config):
    return read_album(read_pairs([home / "pairs"]), config, device=CPU, workers=0)


def begun(home, **change):
    config = settings(home, **change)
    album = album_of(home, config)
    return config, album, begin(config, CPU, trunk_named(config.backbone), album)


def unit(*rows):
    return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=-1)


# ---------------------------------------------------------------------- losses


def test_photos_and_captions_by_hand():
    table = torch.tensor([[0.5, 0.0], [0.2, 0.4]])
    photos = math.log(1 + math.exp(-1.0)), math.log(1 + math.exp(-0.4))  # scale 2: differences of 1 and 0.4
    captions = math.log(1 + math.exp(-0.6)), math.log(1 + math.exp(-0.8))
    expected = (sum(photos) / 2 + sum(captions) / 2) / 2
    assert cross_modal(table, 2.0).item() == pytest.approx(expected, rel=1e-6)


def test_photos_and_captions_as_a_loop_has_them():
    table = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for i in range(6):
        row = [math.exp(3 * value) for value in table[i].tolist()]
        column = [math.exp(3 * value) for value in table[:, i].tolist()]
        total -= math.log(row[i] / sum(row)) + math.log(column[i] / sum(column))
    assert cross_modal(table, torch.tensor(3.0)).item() == pytest.approx(total / 12, rel=1e-5)
    assert cross_modal(torch.zeros(6, 6), 50.0).item() == pytest.approx(math.log(6), rel=1e-6), "nothing is told apart"
    assert cross_modal(torch.eye(6), 100.0).item() < 1e-6
    order = torch.tensor([3, 1, 0, 5, 2, 4])
    assert torch.allclose(cross_modal(table[order][:, order], 3.0), cross_modal(table, 3.0))


def clusters_of(case):
    """(1000, 25) in which clusters each of a thousand places is."""
    number = torch.arange(1000)
    return {
        "balanced": F.one_hot(number % 25, 25),
        "uniform": torch.full((1000, 25), 1 / 25),
        "one": F.one_hot(number * 0, 25),
        "five": F.one_hot(number % 5, 25),
    }[case].float()


@pytest.mark.parametrize(
    ("case", "even", "more"),
    [("balanced", -3.2189, -6.4378), ("uniform", 0, -3.2189), ("one", 0, 0), ("five", -1.6094, -3.2189)],
)
def test_what_clusters_tell(case, even, more):
    """Minus ln 25 where 25 are used evenly and surely, minus ln 5 for 5 of them; nothing where nothing is told."""
    some = clusters_of(case)
    together = assigned_together(some, some, torch.ones(1000))
    assert mutual_information(together).item() == pytest.approx(even, abs=1e-4)
    assert mutual_information(together, 1.5).item() == pytest.approx(more, abs=1e-4)


@pytest.mark.parametrize("lam", [1.0, 1.5])
def test_empty_clusters_give_a_number_and_a_gradient(lam):
    logits = torch.zeros(40, 25)
    logits[:, 0], logits[:20, 1] = 200.0, 400.0  # all others are exactly 0
    logits.requires_grad_()
    some = logits.softmax(-1)
    assert (some.sum(0) == 0).sum() == 23
    loss = mutual_information(assigned_together(some, some, torch.ones(40)), lam)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    nothing = mutual_information(torch.zeros(25, 25, requires_grad=True))
    nothing.backward()
    assert nothing.item() == 0, "no place is seen in both views"


def test_clusters_of_two_views():
    generator = torch.Generator().manual_seed(0)
    first, second = ((3 * torch.randn(8, 30, 6, generator=generator)).softmax(-1) for _ in range(2))
    weight = torch.rand(8, 30, generator=generator)
    together = assigned_together(first, second, weight)
    expected = torch.zeros(6, 6)
    for i in range(8):
        for j in range(30):
            outer = torch.outer(first[i, j], second[i, j])
            expected += weight[i, j] * (outer + outer.T) / 2
    assert torch.allclose(together, expected, atol=1e-4)
    assert together.sum().item() == pytest.approx(weight.sum().item(), rel=1e-5)
    assert torch.allclose(together, assigned_together(second, first, weight), atol=1e-5), "no view comes first"
    order = torch.randperm(240, generator=generator)
    flat = [one.flatten(0, 1)[order] for one in (first, second)]
    assert torch.allclose(assigned_together(*flat, weight.flatten()[order]), together, atol=1e-4)
    same = mutual_information(assigned_together(first, first, weight))
    moved = mutual_information(assigned_together(first, first.flatten(0, 1)[order].view_as(first), weight))
    assert same < -0.3
    assert abs(moved) < 0.1, "places that have nothing to do with each other tell nothing"


def test_the_best_region_by_hand():
    """Cosines 0.3 and 0.1 at temperature 0.1: the better has e^2 times the weight."""
    cosines = torch.tensor([[[0.3], [0.1], [0.9]]])
    valid = torch.tensor([[True, True, False]])
    share = math.exp(2) / (math.exp(2) + 1)
    assert best_of(cosines, valid, 0.1).item() == pytest.approx(0.3 * share + 0.1 * (1 - share), rel=1e-6)
    twice = cosines[:, :2].repeat(1, 3, 1)
    assert torch.allclose(best_of(twice, torch.ones(1, 6).bool(), 0.1), best_of(cosines, valid, 0.1)), "six are no more"


def test_the_best_region_as_a_loop_has_it():
    generator = torch.Generator().manual_seed(0)
    cosines = torch.rand(3, 5, 4, generator=generator) * 2 - 1
    valid = torch.rand(3, 5, generator=generator) < 0.6
    valid[2] = False
    cosines.requires_grad_()
    found = best_of(cosines, valid, 0.2)
    for photo in range(2):
        for word in range(4):
            some = [cosines[photo, region, word].item() for region in range(5) if valid[photo, region]]
            powers = [math.exp(value / 0.2) for value in some]
            expected = sum(p * value for p, value in zip(powers, some, strict=True)) / sum(powers)
            assert found[photo, word].item() == pytest.approx(expected, rel=1e-5)
    assert not found[2].any(), "a photo without a region"
    found.sum().backward()
    assert torch.isfinite(cosines.grad).all()
    assert not cosines.grad[~valid].any()


def test_words_and_photos_by_hand():
    """Two photos, three words, scale 1. The first photo mentions the first two, the second the last."""
    score = torch.tensor([[0.5, 0.2, 0.1], [0.0, 0.3, 0.4]])
    mentioned = torch.tensor([[True, True, False], [False, False, True]])
    weight = torch.tensor([1.0, 0.5, 2.0])

    def told(right, *wrong):
        return -math.log(math.exp(right) / (math.exp(right) + sum(map(math.exp, wrong))))

    photos = (told(0.5, 0.1) + 0.5 * told(0.2, 0.1) + 2 * told(0.4, 0.0, 0.3)) / 3.5
    words = (told(0.5, 0.0) + 0.5 * told(0.2, 0.3) + 2 * told(0.4, 0.1)) / 3.5
    assert word_regions(score, mentioned, weight, 1.0).item() == pytest.approx((photos + words) / 2, rel=1e-5)


def test_words_and_photos_as_a_loop_has_them():
    generator = torch.Generator().manual_seed(0)
    score = torch.randn(5, 7, generator=generator)
    mentioned = torch.rand(5, 7, generator=generator) < 0.4
    mentioned[:, 0] = False  # a word of nobody
    weight = torch.rand(7, generator=generator) + 0.1
    terms = [[], []]
    for photo in range(5):
        for word in range(7):
            if not mentioned[photo, word]:
                continue
            own = math.exp(2 * score[photo, word].item())
            others = [math.exp(2 * score[photo, w].item()) for w in range(7) if not mentioned[photo, w]]
            rivals = [math.exp(2 * score[p, word].item()) for p in range(5) if not mentioned[p, word]]
            terms[0].append((-math.log(own / (own + sum(others))), weight[word].item()))
            share = weight[word].item() / mentioned[:, word].sum().item()  # a word counts once, whoever says it
            terms[1].append((-math.log(own / (own + sum(rivals))), share))
    expected = sum(sum(a * b for a, b in some) / sum(b for _, b in some) for some in terms) / 2
    assert word_regions(score, mentioned, weight, 2.0).item() == pytest.approx(expected, rel=1e-4)


def test_right_words_do_not_compete():
    """A photo that has all its words, and no other, loses nothing, be they one or three."""
    for mentioned in (torch.eye(3).bool(), torch.ones(2, 3).bool()):
        score = torch.where(mentioned, 1.0, -1.0).requires_grad_()
        loss = word_regions(score, mentioned, torch.ones(3), 20.0)
        loss.backward()
        assert loss.item() < 1e-6
        assert torch.isfinite(score.grad).all()
    nobody = word_regions(torch.zeros(2, 3), torch.zeros(2, 3).bool(), torch.ones(3), 20.0)
    assert nobody.item() == 0


@torch.no_grad()
def test_what_of_a_photo_is_compared():
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(2, 4, 3, 5, generator=generator)
    texts = F.normalize(torch.randn(3, 4, generator=generator), dim=1)
    for pool in ("mean", "max", "attention"):
        found = likeness(words, texts, pool, 0.3)
        for i in range(2):
            patches = [F.normalize(words[i, :, y, x], dim=0) for y in range(3) for x in range(5)]
            for j in range(3):
                cosines = torch.stack([patch @ texts[j] for patch in patches])
                share = (cosines / 0.3).softmax(0)
                vector = sum(s * patch for s, patch in zip(share, patches, strict=True))
                expected = {
                    "mean": F.normalize(sum(patches), dim=0) @ texts[j],
                    "max": share @ cosines,
                    "attention": F.normalize(vector, dim=0) @ texts[j],
                }[pool]
                assert found[i, j].item() == pytest.approx(expected.item(), abs=1e-5)
    assert torch.allclose(whole(words).norm(dim=1), torch.ones(2))
    assert torch.allclose(whole(words * torch.rand(2, 1, 3, 5)), whole(words), atol=1e-6), "directions alone count"


# ---------------------------------------------------------------------- what a step looks at


def test_two_views_are_laid_over_each_other():
    """Photos whose colours tell where in them a pixel lies: both views say of a common place where it is, within half
    a patch of theirs."""
    at = (np.arange(SIDE) + 0.5) / SIDE * 255
    photo = np.stack([*np.meshgrid(at, at, indexing="ij"), np.zeros((SIDE, SIDE))]).round().astype(np.uint8)
    photos = torch.from_numpy(photo)[None].repeat(32, 1, 1, 1)
    shape = torch.linspace(0.6, 1.6, 32)
    generator = torch.Generator().manual_seed(0)
    drawn = [draw(32, generator).plain() for _ in range(2)]
    views = [cut(photos, shape, one, size=32, share=(0.3, 1.0), kind=3) for one in drawn]
    assert {(bool(a), bool(b)) for a, b in zip(views[0].flip, views[1].flip, strict=True)} == {
        (first, second) for first in (True, False) for second in (True, False)
    }
    places, there = common_places(*views, 5)
    assert there.sum() > 20
    for view in views:
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        patches = F.avg_pool2d((view.pixels * std + mean)[:, :2], 4)  # 8 x 8 patches
        apart = (read_at(patches, view, places) - places).abs()
        assert (apart[there] <= 0.5 * view.box[there][:, None, 2:] / 8 + 0.01).all()
    low = torch.maximum(views[0].box[:, :2], views[1].box[:, :2])
    assert (places[there] > low[there][:, None]).all()


def test_common_places_by_hand():
    pixels = torch.zeros(2, 3, 8, 8)
    first = View(pixels, torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.4, 0.4]]), torch.tensor([False, False]))
    second = View(pixels, torch.tensor([[0.25, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]]), torch.tensor([True, True]))
    places, there = common_places(first, second, 2)
    assert there.tolist() == [True, False]
    rows, columns = (0.3125, 0.4375), (0.625, 0.875)  # of the quarter to half down, half to all across
    assert torch.allclose(places[0], torch.tensor([[y, x] for y in rows for x in columns]))
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]).repeat(2, 1, 1, 1)
    middle = torch.tensor([[[0.375, 0.625]], [[0.0, 0.0]]])  # a quarter in, each way: the middle of a patch
    assert read_at(maps, second, middle)[0].item() == pytest.approx(2), "flipped: what was right is left"
    assert read_at(maps, replace(second, flip=torch.tensor([False, False])), middle)[0].item() == pytest.approx(1)


def test_a_step_sees_photos_with_what_is_said_of_them(home):
    config = settings(home)
    album = album_of(home, config)
    assert album.learned == PHOTOS - HELD
    assert len(album.held) == HELD
    assert len(album.captions) == PHOTOS
    seen = torch.cat([album.shelves.at(step).numbers for step in range(3)])
    assert sorted(seen.tolist()) == list(range(12)), "each once a turn, none of those held back"
    for step in (0, 4):
        rows = album.shelves.at(step).numbers
        sight = look(config, step, album, 8, CPU)
        for place, row in enumerate(rows.tolist()):
            said = album.tokens(album.captions[row])
            mine = F.pad(sight.tokens[place], (0, 99))[: said.shape[1]]
            assert (said == mine).all(1).any(), "one of its own captions"
        spoken = [album.tokens.tokenizer.decode([i for i in row if i]).strip() for row in sight.spoken.tolist()]
        for place, row in enumerate(rows.tolist()):
            words = {word for one in album.captions[row] for word in content_words(one)}
            assert {word for word, there in zip(spoken, sight.mentioned[place], strict=True) if there} == words
        for word, count in zip(spoken, sight.counts.tolist(), strict=True):
            mentions = [any(word in content_words(one) for one in some) for some in album.captions[: album.learned]]
            assert count == sum(mentions), "of those learned from alone"
    rows = torch.tensor([7, 0, 7, PHOTOS - 1])
    for row, there in zip(rows.tolist(), album.mentions(rows), strict=True):
        words = {word for one in album.captions[row] for word in content_words(one)}
        assert {word for word, one in zip(album.words, there, strict=True) if one} == words & set(album.words)
    unsaid = replace(album, mentioned=album.mentioned[:0], until=album.until * 0)
    assert not unsaid.mentions(rows).any(), "captions without a known word"
    again = look(config, 4, album, 8, CPU)
    assert torch.equal(again.views[1].pixels, sight.views[1].pixels)
    assert torch.equal(again.tokens, sight.tokens)
    assert len(look(replace(config, pull=ALONE["cross"]), 0, album, 8, CPU).views) == 1


def test_colours_stay_what_they_are_called(home):
    config = settings(home, batch=12)
    album = album_of(home, config)
    sight = look(config, 0, album, 8, CPU)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    for place, row in enumerate(album.shelves.at(0).numbers.tolist()):
        colour = album.captions[row][0].split()[1]
        for view in sight.views:
            pixels = (view.pixels[place] * std + mean).flatten(1)
            bright = pixels[:, (pixels.amax(0) - pixels.amin(0)) > 0.2]
            assert bright.shape[1], "the thing is seen"
            middle = bright.median(1).values
            alike = {name: middle @ unit(paint)[0] for name, paint in PAINTS.items()}
            assert max(alike, key=alike.get) == colour


def test_regions_lie_where_they_are_seen(home):
    config = settings(home, batch=12, labels=str(home / "labels"))
    sight = look(config, 0, album_of(home, config), 8, CPU)
    assert sight.members.shape == (12, 2, 16)
    assert torch.allclose(sight.members.sum(1), torch.ones(12, 16)), "the thing and all else"
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    pixels = F.avg_pool2d(sight.views[0].pixels * std + mean, 8).amax(1).flatten(1)
    for seen, both in zip(pixels, sight.members, strict=True):
        thing = max(both, key=lambda share: torch.corrcoef(torch.stack([share, seen]))[0, 1].nan_to_num())
        bright = (seen - seen.min()) / (seen.max() - seen.min())
        assert thing.min() > 0.9 or (bright - thing).abs().mean() < 0.15


def test_a_store_without_the_photos(home, tmp_path):
    store = LabelStore(tmp_path / "labels")
    store.claim(Collection(("00",), (str(home / "pairs" / "images"),), {}))
    store.write(0, [Label("00", "00.png", "", MaskForest.from_masks([made(0)[1]]))])
    with pytest.raises(CallerError, match="has no regions of 15 of the 16 photos, as 01: give a store that"):
        album_of(home, settings(home, labels=str(tmp_path / "labels")))


# ---------------------------------------------------------------------- where gradients go


def parts_moved(home, pull, **change):
    """Of each part of what learns: does every parameter have a gradient, none, or some."""
    config, album, run = begun(home, pull=ALONE[pull], **change)
    network = run.network
    if pull == "vision":
        run.vision.steps = 4
        watch(vision_of(config, network.patch), run.vision, album.shelves.at(0), CPU).backward()
    else:
        losses, _ = learn(config, network, look(config, 0, album, network.patch, CPU))
        assert list(losses) == [pull]
        losses[pull].backward()
    moved = {}
    for name, parameter in network.named_parameters():
        strong = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        moved.setdefault(name.partition(".")[0], set()).add(strong)
    if run.vision is not None:
        assert all(p.grad is None for p in run.vision.teacher.parameters()), "nothing of a teacher's learns"
        moved["vision"] = {p.grad is not None for p in run.vision.student.heads.parameters()}
    return {name: some.pop() if len(some) == 1 else some for name, some in moved.items()}


ON_TOP = {"decoder": True, "wording": True, "text": True}
STILL = {"decoder": False, "wording": False, "text": False, "scale": False, "word_scale": False}


@pytest.mark.parametrize(
    ("pull", "change", "expected"),
    [
        ("cross", {"trunk_rate": 1.0}, ON_TOP | {"trunk": True, "scale": True, "word_scale": False}),
        ("cross", {"trunk_rate": 0.0}, ON_TOP | {"trunk": False, "scale": True, "word_scale": False}),
        ("words", {"trunk_rate": 1.0}, ON_TOP | {"trunk": True, "scale": False, "word_scale": True}),
        ("words", {"trunk_rate": 0.0}, ON_TOP | {"trunk": False, "scale": False, "word_scale": True}),
        ("cluster", {"trunk_rate": 1.0}, STILL | {"trunk": False, "head": True}),
        ("cluster", {"trunk_rate": 1.0, "cluster_grad": "encoder"}, STILL | {"trunk": True, "head": True}),
        ("vision", {"trunk_rate": 1.0}, STILL | {"trunk": True, "vision": True}),
    ],
)
def test_gradients_go_where_they_should(home, pull, change, expected):
    assert parts_moved(home, pull, **change) == expected


def test_all_that_learns_moves_and_no_teacher_but_behind_it(home):
    """One step of all losses, those of pretrain all on."""
    every = Pull(whole=1.0, hidden=1.0, place=1.0, region=1.0, spread=0.1)
    config, album, run = begun(home, vision=every, steps=1, momentum=0.9)
    config = replace(config, warm=0.0)
    before = {name: p.clone() for name, p in run.network.named_parameters()}
    teacher = {name: p.clone() for name, p in run.vision.teacher.named_parameters()}
    caption(config, run, album, CPU, lambda *_: None)
    for name, parameter in run.network.named_parameters():
        assert parameter.grad is not None, name
        assert not torch.equal(parameter, before[name]), name
    held = [name for name, p in run.vision.student.named_parameters() if p.grad is None]
    assert all("prototypes" in name for name in held), "which early on stay as they are"
    student = dict(run.vision.student.named_parameters())
    for name, parameter in run.vision.teacher.named_parameters():
        assert parameter.grad is None, name
        assert torch.allclose(parameter, 0.9 * teacher[name] + 0.1 * student[name], atol=1e-6), name
    assert any(not torch.equal(p, teacher[name]) for name, p in run.vision.teacher.named_parameters())


@pytest.mark.parametrize("pool", ["mean", "max", "attention"])
def test_one_batch_is_learned_by_heart(home, pool):
    pull = CaptionPull(vision=0.0, cross=1.0, cluster=0.0, words=1.0)
    config = settings(home, steps=120, rate=1e-2, pool=pool, pull=pull, held=0, share=(0.8, 1.0))
    album = read_album(read_pairs([home / "pairs"])[: len(PAINTS)], config, device=CPU, workers=0)
    run, told = begin(config, CPU, trunk_named(config.backbone), album), []
    caption(config, run, album, CPU, lambda _, numbers: told.append(numbers))
    assert told[0]["cross"] > 1, "near guessing, ln 4"
    assert [numbers["found"] for numbers in told[-3:]] == [1, 1, 1]
    assert max(numbers["cross"] for numbers in told[-3:]) < 0.1
    assert max(numbers["words"] for numbers in told[-3:]) < 0.2 < told[0]["words"]


class Colours(torch.nn.Module):
    """A trunk that sees the mean colour of each patch and nothing around it."""

    def __init__(self, config):
        super().__init__()
        self.config, self.map = config, torch.randn(3, config.dim, generator=torch.Generator().manual_seed(0))

    def patches(self, pixels):
        return torch.tanh(F.avg_pool2d(pixels, self.config.patch).permute(0, 2, 3, 1) @ self.map)


def test_clusters_are_things_and_ground(home):
    """Told nothing, the head finds ground and things, and things of one colour, on photos it has not seen."""
    config, album, run = begun(home, batch=12, steps=60, rate=1e-2, pull=ALONE["cluster"])
    run.network.trunk = Colours(run.network.config.trunk)
    run.network.settle(normal(np.stack([made(seed)[0] for seed in range(12)])))
    told = []
    caption(config, run, album, CPU, lambda _, numbers: told.append(numbers))
    assert told[-1]["cluster"] < -0.8 < told[0]["cluster"]
    assert told[-1]["even"] > 0.7
    found, true = [], []
    for seed in range(100, 120):
        pixels, mask, _ = made(seed)
        with torch.no_grad():
            groups = run.network(normal(pixels[None])).groups[0]
        share = mask.reshape(6, 8, 6, 8).mean((1, 3))
        for place in zip(*np.nonzero(np.abs(share - 0.5) > 0.4), strict=True):  # patches on an edge are of both
            found.append(int(groups[:, *place].argmax()))
            true.append(1 + seed % len(PAINTS) if share[place] > 0.5 else 0)
    found, true = np.array(found), np.array(true)
    assert adjusted_rand(found, true) > 0.8
    grounds = [group for group in range(5) if (true[found == group] == 0).sum() > (true[found == group] > 0).sum()]
    assert adjusted_rand(np.isin(found, grounds).astype(int), (true == 0).astype(int)) > 0.95


def adjusted_rand(one, other):
    """Hubert & Arabie 1985: 1 for the same parts, 0 for what chance would give."""
    table = np.histogram2d(one, other, (np.arange(one.max() + 2), np.arange(other.max() + 2)))[0]
    both, mine, theirs, all_of = (
        (n * (n - 1) / 2).sum() for n in (table, table.sum(1), table.sum(0), np.array([len(one)]))
    )
    by_chance = mine * theirs / all_of
    return (both - by_chance) / ((mine + theirs) / 2 - by_chance)


# ---------------------------------------------------------------------- runs


def weights(folder):
    return (folder / "captioner" / "model.safetensors").read_bytes()


def last_line(folder, key="loss"):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if key in line][-1]


def test_a_resumed_run_is_the_uninterrupted_one(home, tmp_path):
    config = settings(home)
    sit_caption([home / "pairs"], tmp_path / "whole", config)

    class Killed(Exception):
        pass

    def kill(run, _):
        if run.step == 2:
            raise Killed

    with pytest.raises(Killed):
        sit_caption([home / "pairs"], tmp_path / "broken", replace(config, save=0.0), shown=kill)
    sit_caption([home / "pairs"], tmp_path / "broken", config, resume=True)
    assert weights(tmp_path / "whole") == weights(tmp_path / "broken")
    for name in ("card.json", "tokenizer.json", "config.json"):
        one, two = ((tmp_path / run / "captioner" / name).read_bytes() for run in ("whole", "broken"))
        assert one == two
    one, two = (read_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "broken"))
    for part in ("teacher", "heads", "centres"):
        for name, value in one[part].items():
            assert torch.equal(value, two[part][name]), f"{part}: {name}"
    assert (tmp_path / "whole" / "report.png").exists()
    with pytest.raises(CallerError, match=r"begun with other settings \(rate\)"):
        sit_caption([home / "pairs"], tmp_path / "broken", replace(config, rate=1.0), resume=True)
    table = (home / "pairs" / "captions.csv").read_text()
    (home / "pairs" / "others.csv").write_text(table.replace("square", "box"))
    with pytest.raises(CallerError, match="begun with other captions, or other photos held back: give the same"):
        sit_caption([home / "pairs" / "others.csv"], tmp_path / "broken", config, resume=True)


def test_minutes_are_steps_that_fit(home, tmp_path):
    run = sit_caption([home / "pairs"], tmp_path / "run", settings(home, steps=0, minutes=0.005, pull=ALONE["cross"]))
    assert run.step == run.steps >= 1


def of_two(home):
    """Settings for two processes, which have whole networks, or shares."""
    plain = settings(home, steps=3, cluster_grad="encoder")
    views = Views(large=32, small=16, smalls=1)
    return plain, replace(plain, sharded=True, backbone=str(home / "transformer"), views=views)


def test_processes_and_pieces_lose_as_one(home, tmp_path):
    """By two processes, and in three pieces: captions, words and clusters are those of the whole batch, so the loss is
    the same number; also where each process keeps a share of the network, of a transformer by its blocks."""
    code = f"""
import sys
from pathlib import Path
from company import share_kept
from hedgerow.learn.networks.devices import in_company
from test_caption import CPU, of_two, sit_caption
if __name__ == "__main__":
    home = Path({str(home)!r})
    plain, blocks = of_two(home)
    with in_company(CPU):
        sit_caption([home / "pairs"], Path(sys.argv[1]) / "two", plain)
        run = sit_caption([home / "pairs"], Path(sys.argv[1]) / "two-blocks", blocks)
        assert 0.45 < share_kept(run.optimizer, run.network, run.vision.student, run.vision.teacher) < 0.55
"""
    two_processes(tmp_path, code, tmp_path)
    plain, blocks = of_two(home)
    for name, config in (("one", plain), ("pieces", replace(plain, accumulate=3)), ("one-blocks", blocks)):
        sit_caption([home / "pairs"], tmp_path / name, config)
    for name, way in (("one", "two"), ("one", "pieces"), ("one-blocks", "two-blocks")):
        for loss in ("cross", "words", "cluster", "gradient"):
            assert last_line(tmp_path / name)[loss] == pytest.approx(last_line(tmp_path / way)[loss], rel=1e-3), loss
        one, other = (read_checkpoint(tmp_path / place / "checkpoint.pt") for place in (name, way))
        for part in ("network", "teacher", "heads", "centres"):
            for tensor, value in one[part].items():
                if not tensor.endswith("qkv.bias"):  # of keys it has no say in attention: Adam makes steps of rounding
                    assert torch.allclose(value, other[part][tensor], atol=1e-4), f"{way}, {part}: {tensor}"


SWITCHES = {
    "without vision": {"pull": replace(TINY.pull, vision=0.0)},
    "without cross": {"pull": replace(TINY.pull, cross=0.0)},
    "without clusters": {"pull": replace(TINY.pull, cluster=0.0)},
    "without words": {"pull": replace(TINY.pull, words=0.0)},
    "a trunk that stays": {"trunk_rate": 0.0, "pull": replace(TINY.pull, vision=0.0)},
    "clusters move the trunk": {"cluster_grad": "encoder"},
    "clusters more even": {"lam": 1.3, "cluster_grad": "encoder"},
    "best patches": {"pool": "max"},
    "attention": {"pool": "attention"},
    "regions of forests": {"labels": "labels"},
    "a bag of words": {"text": replace(TINY.text, layers=0)},
    "the last piece": {"text": replace(TINY.text, pool="last")},
    "other views": {"vision": Pull(whole=0.0, hidden=0.0, place=1.0, region=0.0, spread=0.0)},
    "none held back": {"held": 0},
    "few words looked for": {"known": 3},
}


def learned(home, **change):
    """Two steps: the numbers of the second, and the network."""
    config, album, run = begun(home, **({"steps": 2} | change))
    told = []
    caption(config, run, album, CPU, lambda _, numbers: told.append(numbers))
    return told[-1], run.network


@pytest.fixture(scope="module")
def usual(home):
    return learned(home)[1].state_dict()


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_changes_what_is_learned(home, usual, switch):
    change = SWITCHES[switch]
    if "labels" in change:
        change = {"labels": str(home / "labels")}
    numbers, network = learned(home, **change)
    found, config = network.state_dict(), settings(home, **change)
    assert found.keys() != usual.keys() or any(not torch.equal(found[name], usual[name]) for name in usual)
    assert {name for name, weight in vars(config.pull).items() if weight} == numbers.keys() & vars(config.pull).keys()
    assert all(math.isfinite(value) for value in numbers.values())
    assert (network.head is None) == (not config.pull.cluster)
    trunk = trunk_named(config.backbone).state_dict()
    same = all(torch.equal(value, network.trunk.state_dict()[name]) for name, value in trunk.items())
    assert same == (not config.trunk_rate)


def test_a_transformer_is_a_trunk_as_well(home, tmp_path):
    config = settings(home, steps=1, views=Views(large=32, small=16, smalls=1))
    config = replace(config, backbone=str(home / "transformer"))
    assert sit_caption([home / "pairs"], tmp_path / "run", config).network.patch == 16
    with pytest.raises(UsageError, match="--size is a multiple of the backbone's patch, 16, got 40"):
        sit_caption([home / "pairs"], tmp_path / "odd", replace(config, size=40))


def test_many_patches_are_looked_at_together(home):
    """More than CELLS a side are averaged, so memory does not run out with size."""
    config, album, run = begun(home, size=8 * (CELLS + 1), pull=ALONE["words"])
    losses, _ = learn(config, run.network, look(config, 0, album, 8, CPU))
    assert torch.isfinite(losses["words"])


# ---------------------------------------------------------------------- what a run says of itself


def test_the_curve_is_found_again():
    """Right as often as a known logistic curve of the log-odds says."""
    rng = np.random.default_rng(0)
    chance = 1 / (1 + np.exp(-rng.uniform(-5, 4, 20000)))
    slope, intercept = calibrated(chance, rng.random(20000) < 1 / (1 + np.exp(-(1.4 * logit(chance) - 0.8))))
    assert slope == pytest.approx(1.4, abs=0.06)
    assert intercept == pytest.approx(-0.8, abs=0.06)


def test_the_curve_is_where_its_slope_is_none():
    """Newton's end: what is told on the whole, and against the log-odds, is what is there (Platt's targets)."""
    chance = np.array([0.2, 0.4, 0.5, 0.7, 0.9, 0.95])
    right = np.array([False, True, False, True, True, False])
    slope, intercept = calibrated(chance, right)
    told = 1 / (1 + np.exp(-(slope * logit(chance) + intercept)))
    target = np.where(right, 4 / 5, 1 / 5)
    assert (told - target).sum() == pytest.approx(0, abs=1e-4)
    assert ((told - target) * logit(chance)).sum() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("chance", "right"),
    [
        ([0.1, 0.5, 0.9], [True, True, True]),
        ([0.1, 0.5, 0.9], [False, False, False]),
        ([0.5, 0.5, 0.5], [True, False, True]),
        ([0.1, 0.2, 0.8, 0.9], [True, True, False, False]),
        ([], []),
    ],
)
def test_where_there_is_no_curve(chance, right):
    assert calibrated(np.array(chance, float), np.array(right, bool)) is None


def test_a_curve_of_what_is_nearly_always_right_is_finite():
    found = calibrated(np.array([0.0, 1.0, 1.0, 1.0]), np.array([False, True, True, True]))
    assert all(math.isfinite(value) for value in found)


@pytest.fixture(scope="module")
def shipped(home, tmp_path_factory):
    """A run by the command, and the files of it."""
    place = tmp_path_factory.mktemp("shipped")
    options = ["--recipe", "tiny", "--steps", "30", "--batch", "12", "--held", "4", "--dim", "16", "--hidden", "24"]
    options += ["--clusters", "5", "--pieces", "300", "--side", "48", "--size", "32", "--text.context", "12"]
    options += ["--words-start", "captions", "--labels", str(home / "labels"), "--workers", "1", "--device", "cpu"]
    options += ["--backbone", str(home / "backbone"), "--quiet", "-o", str(place / "run")]
    assert main(["caption", str(home / "pairs"), *options]) == 0
    assert main(["ship", str(place / "run"), "-o", str(place / "words.onnx")]) == 0
    return place


def test_the_card_of_what_ships(shipped, home):
    card = json.loads((shipped / "words.json").read_text())
    config = settings(home)
    album = album_of(home, config)
    captions = album.captions[: album.learned]
    assert card["met"]["photos"] == album.learned == card["photos"] == 12
    for word, count in card["met"]["words"].items():
        said = [any(word in map(folded, one.replace(",", " ").split()) for one in some) for some in captions]
        assert count == sum(said) >= 2, word
    assert card["met"]["words"]["a"] == card["met"]["words"]["square"] == 12
    counts = {word: sum(any(word in content_words(one) for one in some) for some in captions) for word in card["knows"]}
    assert list(counts.values()) == sorted(counts.values(), reverse=True), "the most frequent first"
    assert set(list(counts)[:3]) == {"square", "dark", "ground"}
    assert len(card["knows"]) <= KNOWN
    assert card["background"] == [word for word in card["knows"] if word not in {"dark", *PAINTS}]
    assert card["calibration"] is None or card["calibration"][0] > 0
    assert (card["kind"], card["supervision"], card["held"], card["captions"]) == ("language", "captions", 4, 32)
    assert (card["patch"], card["dim"], card["context"], card["size"]) == (8, 16, 12, 32)
    assert card["steps"] == "30 of 30"
    assert set(card["recall"]) >= {f"{what} R@{k}" for what in ("caption", "photo") for k in (1, 5, 10)}
    assert str(home) not in json.dumps(card), "where things lay stays on this machine"
    assert (card["start"], card["run"]["labels"]) == ("backbone", "labels")
    files = {"weights": "words.onnx", "text": "words.text.onnx", "tokenizer": "words.tokenizer.json"}
    for name, file in files.items():
        assert card[f"{name}_sha256"] == hashlib.sha256((shipped / file).read_bytes()).hexdigest()


@torch.no_grad()
def test_what_ships_says_what_torch_says(shipped):
    """At another number of photos, another size and other lengths than those it was written at; weights of 16 bits."""
    network, *_ = load_captioner(shipped / "run" / "captioner")
    sees = onnxruntime.InferenceSession(shipped / "words.onnx")
    for count, height, width in ((1, 8, 24), (3, 72, 40)):
        pixels = torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))
        expected = network(pixels)
        words, photo, groups = sees.run(["words", "whole", "groups"], {"pixels": pixels.numpy()})
        close = {"rtol": 0, "atol": 0.01 * expected.words.abs().max().item()}
        assert words.shape == (count, height // 8, width // 8, 16)
        assert np.allclose(words, expected.words.permute(0, 2, 3, 1).numpy(), **close)
        assert np.allclose(photo, whole(expected.words).numpy(), atol=0.01)
        assert np.allclose(np.linalg.norm(photo, axis=1), 1, atol=1e-5)
        assert np.allclose(groups, expected.groups.permute(0, 2, 3, 1).numpy(), atol=0.02)
        assert np.allclose(groups.sum(-1), 1, atol=1e-5)
    tokens = read_tokens(shipped / "words.tokenizer.json", 12)
    reads = onnxruntime.InferenceSession(shipped / "words.text.onnx")
    for sentences in (["red"], ["a red square on dark ground, and a blue one, and more", "thing", "", "green square"]):
        rows = tokens(sentences)
        (text,) = reads.run(["text"], {"tokens": rows.numpy()})
        assert np.allclose(text, network.text(rows).numpy(), atol=0.01)
    language = open_language(str(shipped / "words.onnx"))
    assert np.allclose(language.text(sentences[:2]), text[:2], atol=1e-5)
    pixels, _, _ = made(0)
    assert np.allclose(language.groups(pixels).sum(-1), 1, atol=1e-5)
    assert language.look(pixels).values.shape == (4, 4, 16), "at the size it learned at"
    assert np.linalg.norm(language.whole(pixels)) == pytest.approx(1, abs=1e-5)


def test_a_hub_tower_learns_in_its_map_alone(home, tmp_path):
    """A sentence encoder of transformers; it goes through a run and is loaded again. Exporting: test_text."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", *PAINTS, "square", "thing", "a", "the", "on", "dark", "ground"]
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(**small, vocab_size=len(words), max_position_embeddings=12)
    torch.manual_seed(0)
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path / "bert")
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "bert" / "tokenizer.json"))
    asked = settings(home, steps=2, tower=f"hub:{tmp_path / 'bert'}", text=replace(TINY.text, map="tanh"))
    run = sit_caption([home / "pairs"], tmp_path / "run", asked)
    assert all(p.grad is not None for p in run.network.text.map.parameters())
    frozen = run.network.text.model.state_dict()
    assert all(torch.equal(value, frozen[name]) for name, value in model.state_dict().items())
    rows = read_tokens(tmp_path / "run" / "captioner" / "tokenizer.json", 12)(["a red square", "blue"])
    assert rows.tolist() == [[words.index(word) for word in ("a", "red", "square")], [words.index("blue"), 0, 0]]
    network, *_ = load_captioner(tmp_path / "run" / "captioner")
    assert torch.equal(network.text(rows), run.network.eval().text(rows))
    (tmp_path / "bert" / "tokenizer.json").unlink()
    with pytest.raises(CallerError, match=r"bert has no tokenizer\.json: give a tower that has one"):
        sit_caption([home / "pairs"], tmp_path / "other", asked)


def test_what_people_gave_is_told(home, tmp_path):
    """Regions made with labels make what is learned of them a model of labels, which naming does not take."""
    store = LabelStore(tmp_path / "labels")
    store.claim(Collection(tuple(f"{n:02}" for n in range(PHOTOS)), ("photos",), {"supervision": "labels"}))
    masks = [made(seed)[1] for seed in range(PHOTOS)]
    store.write(0, [Label(f"{n:02}", f"{n:02}.png", "", MaskForest.from_masks([mask])) for n, mask in enumerate(masks)])
    sit_caption([home / "pairs"], tmp_path / "run", settings(home, steps=1, labels=str(tmp_path / "labels")))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["supervision"] == "labels"


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"batch": 1}, "--batch is at least 2, got 1"),
        ({"pieces": 256}, "--pieces is at least 257, got 256"),
        ({"trunk_rate": -1.0}, "--trunk-rate is at least 0, got -1"),
        ({"lam": 0.5}, "--lam is at least 1, got 0.5"),
        ({"share": (0.9, 0.1)}, "--share is two shares, least and most, got 0.9 0.1"),
        ({"warm": 1.5}, r"--warm lies in 0 \.\.\. 1, got 1.5"),
        ({"sharp": 0.0}, "--sharp is more than 0, got 0"),
        ({"pull": CaptionPull(0.0, 0.0, 0.0, 0.0)}, "one of them is more: else there is nothing to learn from"),
        ({"pull": CaptionPull(0.0, -1.0, 1.0, 1.0)}, r"--pull\.\* are 0 or more"),
        ({"pull": ALONE["cluster"]}, "--pull.cross or --pull.words is more than 0"),
        ({"vision": Pull(0.0, 0.0, 0.0, 0.0, 0.0)}, r"--pull.vision wants one of --vision\.\* to be more than 0"),
        ({"trunk_rate": 0.0}, "--pull.vision moves the backbone: give --trunk-rate, 0.1 or so"),
        (
            {"trunk_rate": 0.0, "cluster_grad": "encoder", "pull": CaptionPull()},
            "--cluster-grad encoder moves the backbone",
        ),
        ({"text": Text(dim=10, heads=4)}, "--text.dim is a multiple of --text.heads"),
        ({"templates": ("a photo",)}, "--templates are sentences with {} where the name stands"),
        ({"templates": ()}, "--templates are sentences with {} where the name stands"),
        ({"tower": "bert"}, "--tower is own, hub:ID or hub:FOLDER, got bert"),
        ({"tower": "hub:x", "words_start": "captions"}, "--words-start is for a tower of our own"),
        ({"size": 36}, "--size is a multiple of the backbone's patch, 8, got 36"),
        ({"views": Views(large=36)}, "--views.large is a multiple of the backbone's patch, 8, got 36"),
    ],
)
def test_settings_that_cannot_be(home, tmp_path, change, told):
    with pytest.raises(UsageError, match=told) as error:
        sit_caption([home / "pairs"], tmp_path / "run", settings(home, **change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists(), "nothing is begun"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ([], 2, "give captioned photos and a folder for the run: hedgerow caption PAIRS... -o RUN"),
        (["PAIRS"], 2, "give captioned photos and a folder for the run"),
        (["nowhere", "-o", "RUN"], 1, "nowhere"),
        (["PAIRS", "-o", "RUN", "--batch", "1"], 2, "--batch is at least 2, got 1"),
        (["PAIRS", "-o", "RUN", "--batch", "16"], 1, "12 photos are left to learn from, fewer than one step's"),
        (["PAIRS", "-o", "RUN", "--held", "16"], 1, "16 photos cannot be held back of 16"),
        (["PAIRS", "-o", "RUN", "--memory", "0"], 1, "0 of 12 photos fit into memory, and those of two steps must, 8"),
        (["PAIRS", "-o", "RUN", "--resume"], 1, "holds no checkpoint to go on from: leave --resume out"),
        (["PAIRS", "-o", "RUN", "--labels", "nowhere"], 1, "nowhere"),
        (["PAIRS", "-o", "RUN", "--words-start", "nowhere"], 1, "nowhere cannot be read"),
        (["PAIRS", "-o", "RUN", "--tower", "hub:nowhere/at-all"], 1, "nowhere/at-all"),
        (["PAIRS", "-o", "RUN", "--pool", "middle"], 2, "middle"),
    ],
)
def test_mistakes_are_told_in_a_line(home, capsys, words, status, told):
    place = home / "nothing"
    given = {"PAIRS": str(home / "pairs"), "RUN": str(place)}
    options = ["--recipe", "tiny", "--held", "4", "--batch", "4", "--steps", "1", "--workers", "1", "--quiet"]
    options += ["--backbone", str(home / "backbone")]
    assert main(["caption", *options, *(given.get(word, word) for word in words)]) == status
    said = capsys.readouterr().err.strip()
    assert told in said
    assert len(said.splitlines()) == 1
    assert not (place / "checkpoint.pt").exists()


def test_a_run_is_not_begun_over_another(home, shipped):
    with pytest.raises(CallerError, match="holds a run: --resume goes on with it, or choose another folder"):
        sit_caption([home / "pairs"], shipped / "run", settings(home))


def test_a_captioner_without_its_card_is_no_whole_one(shipped, tmp_path):
    shutil.copytree(shipped / "run", tmp_path / "run")
    (tmp_path / "run" / "captioner" / "card.json").unlink()
    with pytest.raises(CallerError, match=r"is no whole captioner .+: go on with its run, --resume"):
        ship_run(tmp_path / "run", tmp_path / "words.onnx", Ship())
