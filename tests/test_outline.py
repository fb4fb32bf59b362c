"""Where things end: outlines drawn from forests, learned from them, shipped, and heard by exploring."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from company import losses_of, two_processes
from hedgerow.backbones import open_backbone, outlines_of
from hedgerow.backbones.outlines import SHIPPED
from hedgerow.cli import main
from hedgerow.config import OUTLINES, CallerError, Explore, Network, Pretrain, Ship, UsageError, Views, Zoom
from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.explore import explore
from hedgerow.explore.grain import gradient
from hedgerow.forest import MaskForest
from hedgerow.learn.labelled import labelled_shelves
from hedgerow.learn.losses import OUTLINED, agreement, outline_loss
from hedgerow.learn.networks.outliner import Outliner, OutlinerConfig
from hedgerow.learn.networks.pyramid import PyramidConfig
from hedgerow.learn.networks.saving import load_outliner, load_segmenter, save_network, save_ours
from hedgerow.learn.networks.vit import ViTConfig
from hedgerow.learn.outline import begin, learn, look
from hedgerow.learn.outlining import sit_outline
from hedgerow.learn.pretrain import network_of
from hedgerow.learn.ship import export_outliner, ship_run
from hedgerow.learn.views import MEAN, STD
from hedgerow.learn.votes import drawn
from hedgerow.photos import find_photos, open_photo

TINY = replace(OUTLINES["tiny"], steps=4, batch=4, workers=1, device="cpu", quiet=True)
CPU = torch.device("cpu")
SIDE, PHOTOS = 64, 64


def made(seed):
    """A thing of stripes on a ground of stripes that run the other way, in the same two greys: inside, colours change
    at every step, and at its outline no more than there."""
    rng = np.random.default_rng(seed)
    size, (top, left) = int(rng.integers(26, 36)), rng.integers(4, 26, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = (np.abs(rows - top - size / 2) < size / 2) & (np.abs(columns - left - size / 2) < size / 2)
    across, down = (rows + rng.integers(6)) // 3 % 2, (columns + rng.integers(6)) // 3 % 2
    if rng.random() < 0.5:
        across, down = down, across
    dark, bright = rng.uniform(20, 100), rng.uniform(150, 235)
    grey = np.where(np.where(mask, across, down), dark, bright) + rng.normal(0, 6, (SIDE, SIDE))
    return grey[..., None].repeat(3, 2).clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Photos, a store of the things on them, and a backbone."""
    home = tmp_path_factory.mktemp("outline")
    (home / "photos").mkdir()
    labels = []
    for number in range(PHOTOS):
        pixels, mask = made(number)
        Image.fromarray(pixels).save(home / "photos" / f"{number:02}.png")
        labels.append(Label(f"{number:02}", f"{number:02}.png", "", MaskForest.from_masks([mask], score=[0.9])))
    store = LabelStore(home / "labels")
    store.claim(Collection(tuple(label.key for label in labels), (str(home / "photos"),), {"supervision": "none"}))
    store.write(0, labels)
    form = Network(kind="pyramid", dim=16, widths=(16, 24, 32, 48), depths=(1, 1, 1, 1))
    network = network_of(Pretrain(network=form, views=Views()), torch.Generator().manual_seed(0))
    save_network(network.eval(), home / "backbone", MEAN, STD)
    return home


@pytest.fixture(scope="module")
def learned(home):
    """A run of the tiny recipe, and its file."""
    command = ["outline", str(home / "labels"), "--backbone", str(home / "backbone"), "--recipe", "tiny"]
    assert main([*command, "-o", str(home / "run"), "--workers", "1", "--quiet"]) == 0
    assert main(["ship", str(home / "run"), "-o", str(home / "ends.onnx"), "--size", str(SIDE)]) == 0
    return home


def shelves_of(home, batch=TINY.batch):
    photos, store = find_photos([home / "photos"]), LabelStore(home / "labels")
    return labelled_shelves(photos, store, replace(TINY, batch=batch), device=CPU, workers=0)


def outliner(trunk=None):
    trunk = trunk or PyramidConfig(widths=(8, 12, 16, 16), depths=(1, 1, 1, 1), dim=16)
    return Outliner(OutlinerConfig(trunk, dim=16), torch.Generator().manual_seed(0)).eval()


# ---------------------------------------------------------------------- what is learned from


def test_an_outline_is_drawn_where_a_region_ends():
    mask = np.zeros((20, 30), bool)
    mask[5:15, 10:20] = True
    map_ = drawn(MaskForest.from_masks([mask], score=[0.5]), 20)  # 30 columns in 20
    ends = np.zeros((20, 20), bool)
    small = mask[:, ((np.arange(20) + 0.5) * 1.5).astype(int)]
    ends[1:] |= small[1:] != small[:-1]
    ends[:-1] |= small[1:] != small[:-1]
    ends[:, 1:] |= small[:, 1:] != small[:, :-1]
    ends[:, :-1] |= small[:, 1:] != small[:, :-1]
    np.testing.assert_array_equal(map_ > 0, ends)
    assert set(np.unique(map_)) == {0, 255}


def test_what_more_regions_agree_on_is_stronger():
    """Two regions end at row 10, one at row 20; the photo is parted at row 10 first."""
    masks = np.zeros((3, 32, 32), bool)
    masks[0, :10] = masks[1, 10:] = masks[2, 20:] = True
    map_ = drawn(MaskForest.from_masks(masks, score=[0.6, 0.6, 0.3]), 32)
    assert map_[9:11].min() == 255
    assert 0 < map_[19:21].max() < 255
    assert map_[3].max() == map_[15].max() == map_[28].max() == 0


def test_the_loss_by_hand():
    said, wanted = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([0.0, 1.0, 0.5])
    p = said.sigmoid()
    terms = -(wanted * p.log() + (1 - wanted) * (1 - p).log())
    expected = (terms[0] + OUTLINED * terms[1] + OUTLINED * terms[2]) / 3
    assert outline_loss(said, wanted).item() == pytest.approx(expected.item(), rel=1e-6)
    assert agreement(torch.logit(torch.tensor([0.2, 0.4, 0.6])), torch.tensor([0.0, 0.5, 1.0])).item() > 0.999
    assert agreement(torch.zeros(3), wanted).item() == 0


def test_views_and_outlines_are_of_the_same_place(home):
    """Here, of photos that are their own outlines."""
    shelves = shelves_of(home, batch=8)
    taken = shelves.at(0)
    bright = taken.shelf.photos.float().mean(1)
    bank = replace(taken.shelf, outlines=bright.to(torch.uint8))
    shelves.held = replace(shelves.held, shelf=bank)
    pixels, wanted = look(replace(TINY, batch=8), 0, shelves)
    grey = F.max_pool2d(pixels.mean(1, keepdim=True), 2)[:, 0]
    for one, other in zip(grey, wanted, strict=True):
        assert agreement(one, other).abs() > 0.9  # solarised or not, the stripes lie where they lie
    assert wanted.shape == (8, TINY.size // 2, TINY.size // 2)


# ---------------------------------------------------------------------- the network


@pytest.mark.parametrize(
    "trunk", [None, ViTConfig(patch=8, dim=32, depth=1, heads=2, hidden=64)], ids=["pyramid", "transformer"]
)
def test_it_says_something_of_every_second_pixel(trunk):
    network = outliner(trunk)
    said = network(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    assert said.shape == (2, 32, 48)
    assert said.sigmoid().mean().item() < 0.3


def test_pieces_learn_as_the_whole(home):
    shelves, gradients, losses = shelves_of(home), [], []
    for pieces in (1, 3):
        config = replace(TINY, accumulate=pieces)
        run = begin(config, CPU, str(home / "backbone"))
        run.student.eval()
        pixels, wanted = look(config, 0, shelves)
        losses.append(learn(config, run, pixels, wanted)["loss"])
        gradients.append([p.grad for p in run.student.parameters() if p.grad is not None])
    assert torch.allclose(*losses, rtol=1e-5)
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-6)
    assert all(p.grad is None for p in run.teacher.parameters())


def test_a_resumed_run_is_the_uninterrupted_one(home, tmp_path):
    config = replace(TINY, backbone=str(home / "backbone"))
    whole = sit_outline(home / "labels", tmp_path / "whole", config)

    class Killed(Exception):
        pass

    def kill(run, _):
        if run.step == 2:
            raise Killed

    with pytest.raises(Killed):
        sit_outline(home / "labels", tmp_path / "broken", replace(config, save=0.0), shown=kill)
    broken = sit_outline(home / "labels", tmp_path / "broken", config, resume=True)
    for name, value in whole.teacher.state_dict().items():
        assert torch.equal(value, broken.teacher.state_dict()[name]), name
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "broken")
    assert (tmp_path / "whole" / "report.png").exists()
    with pytest.raises(CallerError, match=r"begun with other settings \(rate\)"):
        sit_outline(home / "labels", tmp_path / "broken", replace(config, rate=1.0), resume=True)
    timed = sit_outline(home / "labels", tmp_path / "timed", replace(config, steps=0, minutes=0.01))
    assert timed.step == timed.steps >= 1


def test_processes_lose_as_one(home, tmp_path):
    code = f"""
import sys
from pathlib import Path
from hedgerow.learn.networks.devices import in_company
from test_outline import CPU, TINY, replace, sit_outline
if __name__ == "__main__":
    config = replace(TINY, steps=3, batch=8, backbone={str(home / "backbone")!r})
    with in_company(CPU):
        for name, change in (("two", {{}}), ("shares", {{"sharded": True, "accumulate": 2}})):
            sit_outline(Path(sys.argv[1]), Path(sys.argv[2]) / name, replace(config, **change))
"""
    two_processes(tmp_path, code, home / "labels", tmp_path)
    config = replace(TINY, steps=3, batch=8, backbone=str(home / "backbone"))
    sit_outline(home / "labels", tmp_path / "one", config)
    for name in ("two", "shares"):
        np.testing.assert_allclose(losses_of(tmp_path / name), losses_of(tmp_path / "one"), rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 60}, "--size is a multiple of 32, got 60"),
        ({"share": (0.9, 0.1)}, "--share is two shares"),
        ({"momentum": 1.5}, r"--momentum lies in 0 \.\.\. 1"),
        ({"dim": 0}, "--dim is at least 1"),
    ],
)
def test_settings_that_cannot_be(home, tmp_path, change, told):
    with pytest.raises(UsageError, match=told):
        sit_outline(home / "labels", tmp_path / "run", replace(TINY, **change))


# ---------------------------------------------------------------------- the file


def test_onnx_says_what_torch_says(tmp_path):
    network = outliner()
    save_ours(network, tmp_path / "outliner", MEAN, STD)
    export_outliner(tmp_path / "outliner", tmp_path / "ends.onnx", size=64)
    card = json.loads((tmp_path / "ends.json").read_text())
    assert (card["kind"], card["size"]) == ("outliner", 64)
    outlines = open_backbone(f"texture+{tmp_path}/ends.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    taken = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.inference_mode():
        said = network(taken.permute(2, 0, 1)[None]).sigmoid()[0].numpy()
    seen = outlines_of(outlines, pixels)
    large = np.asarray(Image.fromarray(said).resize((96, 64), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(seen, large, atol=1e-3)
    with pytest.raises(CallerError, match="no segmenter of ours"):
        load_segmenter(tmp_path / "outliner")


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (40, 48), (300, 200)])
def test_photos_of_any_shape(learned, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    seen = outlines_of(open_backbone(f"texture+{learned}/ends.onnx"), pixels)
    assert seen.shape == shape
    assert seen.dtype == np.float32
    assert 0 <= seen.min() <= seen.max() <= 1


def test_a_file_that_gives_something_else(learned, tmp_path):
    assets = Path(SHIPPED).parent
    (tmp_path / "other.onnx").write_bytes((assets / "backbone.onnx").read_bytes())
    card = json.loads((learned / "ends.json").read_text())
    sha256 = json.loads((assets / "backbone.json").read_text())["weights_sha256"]
    (tmp_path / "other.json").write_text(json.dumps(card | {"weights_sha256": sha256}))
    with pytest.raises(CallerError, match="should give outlines; it gives features"):
        open_backbone(f"texture+{tmp_path}/other.onnx")
    with pytest.raises(UsageError, match="size is a number of pixels from 1 up, got 0"):
        outlines_of(open_backbone(f"texture+{learned}/ends.onnx?size=0"), np.zeros((9, 9, 3), np.uint8))


def test_names(learned, capsys):
    file = f"{learned}/ends.onnx"
    both = open_backbone(f"texture+{file}")
    assert both.name == "texture+ends"
    assert both.supervision == "none"
    assert len(both.weights_sha256) == 64
    pixels = np.random.default_rng(0).integers(0, 256, (1, 40, 48, 3), np.uint8)
    np.testing.assert_array_equal(both.features(pixels), open_backbone("texture").features(pixels))
    beside = open_backbone(f"texture+colour+{file}+{file}?size=32")
    assert beside.features(pixels).shape[-1] > both.features(pixels).shape[-1]
    assert outlines_of(beside, pixels[0]).shape == (40, 48)
    assert outlines_of(open_backbone("texture"), pixels[0]) is None
    with pytest.raises(UsageError, match="has no features: name a backbone too, texture"):
        open_backbone(file)
    assert main(["segment", f"{learned}/photos/00.png", "--backbone", file]) == 2
    assert "name a backbone too" in capsys.readouterr().err
    assert main(["segment", f"{learned}/photos/00.png", "--model", file]) == 1
    assert "is an outliner, not a segmenter: give it as --backbone texture+" in capsys.readouterr().err


def test_a_run_ships(learned, tmp_path):
    card = ship_run(learned / "run", tmp_path / "ends.onnx", Ship(precision="float16"))
    assert card["size"] == int(1.5 * OUTLINES["tiny"].size)
    assert (card["photos"], card["views"], card["supervision"]) == (PHOTOS, 120 * 8, "none")
    assert (tmp_path / "ends.onnx").stat().st_size < 2**20


# ---------------------------------------------------------------------- what comes of it


def test_outlines_that_no_gradient_shows(learned):
    """Of photos it did not learn from, it sees where the stripes turn, and not the stripes."""
    said, network = [], load_outliner(learned / "run" / "outliner")[0]
    untrained = outliner()
    model = open_backbone(f"texture+{learned}/ends.onnx")
    for number in range(1000, 1024):
        pixels, mask = made(number)
        wanted = torch.from_numpy(drawn(MaskForest.from_masks([mask]), SIDE) / 255)
        rivals = [torch.from_numpy(gradient(pixels)).logit(1e-6)]
        taken = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        with torch.inference_mode():
            rivals.append(F.interpolate(untrained(taken.permute(2, 0, 1)[None])[:, None], size=(SIDE, SIDE))[0, 0])
        seen = torch.from_numpy(outlines_of(model, pixels)).logit(1e-6)
        said.append([agreement(one, wanted).item() for one in (seen, *rivals)])
    mine, *others = np.mean(said, 0)
    assert network.config.dim == OUTLINES["tiny"].dim
    assert mine > max(others) + 0.3, (mine, others)


def test_exploring_hears_of_outlines(learned):
    """A thing that no colour tells from its ground is found by them, and is the surest region."""
    plain = Explore(grains=150, zoom=Zoom(windows=0), max_masks=20)
    model = open_backbone(f"texture+{learned}/ends.onnx")
    deaf, hearing = [], []
    for number in range(1000, 1012):
        pixels, mask = made(number)
        truth = MaskForest.from_masks([mask])
        for found, backbone, config in (
            (deaf, model, replace(plain, outlined=float("inf"))),
            (hearing, model, plain),
        ):
            forest = explore(open_photo(pixels), backbone, config)
            found.append(forest.iou(truth).max())
    same = explore(open_photo(pixels), open_backbone("texture"), plain)
    assert same.rles == explore(open_photo(pixels), model, replace(plain, outlined=float("inf"))).rles
    assert np.mean(hearing) > np.mean(deaf) + 0.05, (np.mean(hearing), np.mean(deaf))
    assert {word.partition("+")[0] for word in forest.source} & {"outlined", "outlined local"}
