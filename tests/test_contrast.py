"""MaskContrast: its equations by hand, its views, its two networks, and runs that are stopped or shared out."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from company import losses_of, two_processes
from hedgerow.backbones import feature_map, open_backbone
from hedgerow.config import CONTRASTS, CallerError, Network, Pretrain, Segment, Ship, UsageError, Views
from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.forest import MaskForest
from hedgerow.learn.contrast import begin, follow, learn, look
from hedgerow.learn.contrasting import sit_contrast
from hedgerow.learn.labelled import labelled_shelves
from hedgerow.learn.losses import OBJECTS, balanced_salience, evened, mask_contrast, prototypes
from hedgerow.learn.networks.contraster import Contraster, ContrasterConfig
from hedgerow.learn.networks.resnet import ResNet, ResNetConfig, load_moco
from hedgerow.learn.networks.saving import load_contraster, load_segmenter, save_network, save_ours
from hedgerow.learn.pretrain import network_of
from hedgerow.learn.ship import export_contraster, ship_run
from hedgerow.learn.sittings import read_checkpoint
from hedgerow.learn.trunks import supervision_of, trunk_named
from hedgerow.learn.views import MEAN, STD
from hedgerow.photos import find_photos
from hedgerow.pipeline import looker_of

TINY = replace(CONTRASTS["tiny"], steps=4, batch=4, workers=1, device="cpu", quiet=True)
CPU = torch.device("cpu")
SIDE = 64


def unit(*rows):
    return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=-1)


def photo(seed):
    """A white object, with a part of its own, on a dark ground."""
    rng = np.random.default_rng(seed)
    top, left = rng.integers(2, 22, 2)
    whole, part = (np.zeros((SIDE, SIDE), bool) for _ in range(2))
    whole[top : top + 36, left : left + 36] = True
    part[top + 4 : top + 20, left + 4 : left + 20] = True
    pixels = np.full((SIDE, SIDE, 3), 20, np.uint8)
    pixels[whole] = 240
    return pixels, MaskForest.from_masks([whole, part], parent=[-1, 0], score=[0.9, 0.8])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Photos, a store of whole forests, one of their roots alone, and a backbone."""
    home = tmp_path_factory.mktemp("contrast")
    (home / "photos").mkdir()
    forests = {}
    for number in range(8):
        pixels, forests[f"{number}"] = photo(number)
        Image.fromarray(pixels).save(home / "photos" / f"{number}.png")
    for name, rows in (("forests", (0, 1)), ("prior", (0,))):
        store = LabelStore(home / name)
        store.claim(Collection(tuple(forests), (str(home / "photos"),), {}))
        store.write(0, [Label(key, f"{key}.png", "", forest.select(rows)) for key, forest in forests.items()])
    form = Network(kind="pyramid", dim=16, widths=(8, 12, 16, 16), depths=(1, 1, 1, 1))
    network = network_of(Pretrain(network=form, views=Views()), torch.Generator().manual_seed(0))
    save_network(network.eval(), home / "backbone", MEAN, STD)
    return home


def shelves_of(home, name, batch=TINY.batch):
    photos, store = find_photos([home / "photos"]), LabelStore(home / name)
    return labelled_shelves(photos, store, replace(TINY, batch=batch), device=CPU, workers=0)


def run_of(home, config=TINY):
    return begin(config, CPU, trunk_named(str(home / "backbone")), shelves_of(home, "prior"))


# ---------------------------------------------------------------------- equations


def test_a_prototype_is_the_direction_of_the_sum():
    vectors = unit([1, 0], [0, 1], [1, 0], [-1, 0])
    member = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 1]]).bool()
    made = prototypes(vectors, member)
    assert torch.allclose(made, unit([2, 1], [-1, 0]))
    order = torch.tensor([2, 0, 1, 3])
    assert torch.allclose(prototypes(vectors[order], member[:, order]), made)
    vectors[3] = unit([0.3, -1])[0]  # of the ground to the first object
    assert torch.equal(prototypes(vectors, member)[0], made[0])


def test_the_weights_undo_part_of_the_size():
    weight = evened(torch.tensor([1.0, 3.0, 60.0]))
    assert weight[:2].tolist() == pytest.approx([1 / math.log(1.02 + 1 / 64), 1 / math.log(1.02 + 3 / 64)])
    assert weight[:2].tolist() == pytest.approx([28.6, 15.4], abs=0.05), "the numbers worked out for the paper"
    halves = [evened(part, torch.tensor(64.0)) for part in (torch.tensor([1.0, 3.0]), torch.tensor([60.0]))]
    assert torch.allclose(torch.cat(halves), weight)


def test_the_contrast_by_hand():
    """Two photos of three pixels, one earlier prototype."""
    queries, keys = unit([1, 0], [1, 1], [0, 1]), unit([1, 0], [0, 1], [-1, 0])
    own = torch.tensor([0, 0, 1])
    rival = torch.tensor([[0, 1, 1], [0, 1, 1], [1, 0, 1]]).bool()
    weight = torch.tensor([1.0, 1.0, 2.0])
    half = math.sqrt(0.5)
    terms = []
    for likeness, right in (((1, 0, -1), 0), ((half, half, -half), 0), ((0, 1, 0), 1)):
        powers = [math.exp(value / OBJECTS) for value in likeness]
        terms.append(-math.log(powers[right] / sum(powers)))
    expected = (terms[0] + terms[1] + 2 * terms[2]) / 4
    assert mask_contrast(queries, keys, own, weight=weight, rival=rival).item() == pytest.approx(expected, rel=1e-6)
    even = mask_contrast(queries, keys, own, weight=torch.ones(3), rival=rival)
    assert even.item() == pytest.approx(F.cross_entropy(queries @ keys.T / OBJECTS, own).item(), rel=1e-6)


def test_who_is_no_rival_does_not_count():
    queries, keys, own = unit([1, 0]), unit([1, 0], [0.9, 0.1], [0, 1]), torch.tensor([0])
    without = mask_contrast(queries, keys[[0, 2]], own, weight=torch.ones(1), rival=torch.tensor([[False, True]]))
    kin = mask_contrast(queries, keys, own, weight=torch.ones(1), rival=torch.tensor([[False, False, True]]))
    assert torch.allclose(without, kin)
    nothing = torch.zeros(0, 2, requires_grad=True)
    none = mask_contrast(nothing, keys, own[:0], weight=torch.ones(0), rival=torch.zeros(0, 3).bool())
    none.backward()
    assert none.item() == 0


def test_telling_objects_from_ground_hangs_on_the_area_alone_at_first():
    target = torch.zeros(1, 10)
    target[0, :3] = 1
    logits = torch.zeros(1, 10)
    for moved in (target, target.flip(1)):
        assert balanced_salience(logits, moved).item() == pytest.approx(2 * 0.7 * 0.3 * math.log(2), rel=1e-6)
    sure = torch.where(target > 0, 20.0, -20.0)
    assert balanced_salience(sure, target).item() < 1e-6 < balanced_salience(-sure, target).item()


# ---------------------------------------------------------------------- what a step looks at


def test_masks_lie_where_the_object_is_seen(home):
    shelves = shelves_of(home, "prior", batch=8)
    for step in range(3):
        sight = look(replace(TINY, batch=8, size=128), step, shelves, 8)
        for view, members in ((sight.query, sight.mine), (sight.key, sight.theirs)):
            grey = F.avg_pool2d(view.pixels.mean(1, keepdim=True), 8).flatten(1)  # white stays lighter in any colours
            for number in range(8):
                if not sight.valid[number, 0]:
                    continue
                member = members[number, 0]
                middle = (grey[number].min() + grey[number].max()) / 2
                assert ((grey[number] > middle) == member).float().mean() > 0.9
    assert sight.valid.any()


def test_parts_are_no_rivals_of_their_wholes(home):
    sight = look(TINY, 0, shelves_of(home, "forests"), 8)
    assert sight.kin[:, :2, :2].all(), "both regions of a photo overlap"
    assert not sight.kin[:, 2:].any(), "there are no more"
    assert sight.root[:, 0].all()
    assert not sight.root[:, 1].any()
    assert torch.equal(sight.stands, sight.mine.any(1)), "all that stands out here is the object"


def test_the_same_step_has_the_same_views(home):
    shelves = shelves_of(home, "prior")
    one, again, other = (look(TINY, step, shelves, 8) for step in (3, 3, 4))
    assert torch.equal(one.query.pixels, again.query.pixels)
    assert not torch.equal(one.query.pixels, other.query.pixels)


# ---------------------------------------------------------------------- two networks


def test_nothing_of_the_slow_network_learns(home):
    run, shelves = run_of(home), shelves_of(home, "prior")
    sight = look(TINY, 0, shelves, run.student.patch)
    losses, _ = learn(TINY, run, run.student, sight)
    (losses["contrast"] + losses["salience"]).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in run.student.parameters())
    assert all(p.grad is None for p in run.teacher.parameters())
    assert not run.queue.requires_grad


def test_the_slow_network_follows(home):
    run = run_of(home)
    with torch.no_grad():
        for p in run.student.parameters():
            p.add_(1.0)
    before = [p.clone() for p in run.teacher.parameters()]
    follow(run, 0.9)
    for old, new, mine in zip(before, run.teacher.parameters(), run.student.parameters(), strict=True):
        assert torch.allclose(new, 0.9 * old + 0.1 * mine, atol=1e-6)


def test_the_queue_is_a_ring_of_unit_vectors(home):
    config = replace(TINY, queue=6)
    run, shelves = run_of(home, config), shelves_of(home, "prior")
    places = []
    for step in range(4):
        _, seen = learn(config, run, run.student, look(config, step, shelves, run.student.patch))
        places.append((int(seen["objects"]), run.filled, run.place))
    count = 0
    for objects, filled, place in places:
        count += objects
        assert (filled, place) == (min(count, 6), count % 6)
    assert torch.allclose(run.queue[: run.filled].norm(dim=1), torch.ones(run.filled), atol=1e-5)


def test_the_loss_begins_near_that_of_guessing(home):
    """To vectors of an untrained network each of n prototypes is about as likely: ln n."""
    run, shelves = run_of(home), shelves_of(home, "prior")
    losses, seen = learn(TINY, run, run.student, look(TINY, 0, shelves, run.student.patch))
    assert losses["contrast"].item() == pytest.approx(math.log(int(seen["objects"])), abs=0.6)


def test_halves_of_vectors_for_wholes(home):
    """With nested, the gradient of a photo's wholes and parts reaches both halves of the last layer."""
    config = replace(TINY, nested=True)
    run = run_of(home, config)
    losses, _ = learn(config, run, run.student, look(config, 0, shelves_of(home, "forests"), run.student.patch))
    losses["contrast"].backward()
    strength = run.student.meaning.weight.grad.flatten(1).norm(dim=1)
    assert (strength > 0).all()


def test_the_paper_s_trunk(tmp_path):
    """A dilated ResNet: stride 8, and MoCo's names; undilated it equals transformers' ResNet (test below)."""
    form = ResNetConfig(width=8, depths=(1, 2, 1, 1), rates=(2, 4), dim=24)
    network = ResNet(form, torch.Generator().manual_seed(0)).eval()
    assert network.patches(torch.randn(2, 3, 64, 96)).shape == (2, 8, 12, 24)
    trunk = {f"module.encoder_q.{k}": v for k, v in network.state_dict().items() if not k.startswith("head.")}
    beside = {"module.encoder_q.fc.0.weight": torch.zeros(4, 4), "module.queue": torch.zeros(2, 2)}
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": trunk | beside}, tmp_path / "moco.pth.tar")
    again = load_moco(tmp_path / "moco.pth.tar").eval()
    pixels = torch.randn(1, 3, 48, 48)
    assert torch.equal(again.stages(pixels), network.stages(pixels))
    torch.save({"state_dict": {"encoder.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(CallerError, match="no file of MoCo v2's ResNet-50"):
        load_moco(tmp_path / "other.pth")


def test_the_trunk_s_blocks_are_those_of_resnet():
    """Without dilation the last two stages would have strides; the first two are transformers' ResNet as it is."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[32, 64], depths=[2, 2], layer_type="bottleneck", num_channels=3
    )
    theirs = transformers.ResNetModel(config).eval()
    ours = ResNet(ResNetConfig(width=8, depths=(2, 2, 1, 1))).eval()
    theirs_to_ours = {
        r"embedder\.embedder\.convolution": "conv1",
        r"embedder\.embedder\.normalization": "bn1",
        r"encoder\.stages\.(\d)\.layers": lambda found: f"layer{int(found[1]) + 1}",
        r"shortcut\.convolution": "downsample.0",
        r"shortcut\.normalization": "downsample.1",
        r"\.layer\.(\d)\.convolution": lambda found: f".conv{int(found[1]) + 1}",
        r"\.layer\.(\d)\.normalization": lambda found: f".bn{int(found[1]) + 1}",
    }
    named = theirs.state_dict()
    for name, ours_name in theirs_to_ours.items():
        named = {re.sub(name, ours_name, key): value for key, value in named.items()}
    missing, left = ours.load_state_dict(named, strict=False)
    assert not left
    assert all(key.startswith(("layer3", "layer4", "head")) for key in missing)
    pixels = torch.randn(1, 3, 64, 64)
    x = F.max_pool2d(F.relu(ours.bn1(ours.conv1(pixels))), 3, 2, 1)
    with torch.no_grad():
        assert torch.allclose(ours.layer2(ours.layer1(x)), theirs(pixels).last_hidden_state, atol=1e-5)


# ---------------------------------------------------------------------- runs


def test_a_resumed_run_is_the_uninterrupted_one(home, tmp_path):
    config = replace(TINY, backbone=str(home / "backbone"))
    whole = sit_contrast([], home / "prior", tmp_path / "whole", config)

    class Killed(Exception):
        pass

    def kill(run, _):
        if run.step == 2:
            raise Killed

    with pytest.raises(Killed):
        sit_contrast([], home / "prior", tmp_path / "broken", replace(config, save=0.0), shown=kill)
    broken = sit_contrast([], home / "prior", tmp_path / "broken", config, resume=True)
    for name, value in whole.teacher.state_dict().items():
        assert torch.equal(value, broken.teacher.state_dict()[name]), name
    assert torch.equal(whole.queue, broken.queue)
    assert (tmp_path / "whole" / "report.png").exists()
    with pytest.raises(CallerError, match=r"begun with other settings \(rate\)"):
        sit_contrast([], home / "prior", tmp_path / "broken", replace(config, rate=1.0), resume=True)
    timed = sit_contrast([], home / "prior", tmp_path / "timed", replace(config, steps=0, minutes=0.01))
    assert timed.step == timed.steps >= 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 60}, "--size is a multiple of the backbone's patch, 8, got 60"),
        ({"share": (0.9, 0.1)}, "--share is two shares"),
        ({"momentum": 1.5}, r"--momentum lies in 0 \.\.\. 1"),
        ({"dim": 1}, "--dim is at least 2"),
        ({"dim": 33, "nested": True}, "--dim is even where --nested halves it"),
    ],
)
def test_settings_that_cannot_be(home, tmp_path, change, told):
    config = replace(TINY, backbone=str(home / "backbone"), **change)
    with pytest.raises(UsageError, match=told):
        sit_contrast([], home / "prior", tmp_path / "run", config)


def test_processes_and_pieces_lose_as_one(home, tmp_path):
    """By two processes, and in three pieces: rivals and weights are those of the whole batch, so is the loss;
    also where each process keeps a share of the network, and looks in pieces."""
    code = f"""
import sys
from pathlib import Path
from company import share_kept
from hedgerow.learn.networks.devices import in_company
from test_contrast import CPU, TINY, replace, sit_contrast
if __name__ == "__main__":
    config = replace(TINY, steps=3, batch=8, backbone={str(home / "backbone")!r})
    with in_company(CPU):
        sit_contrast([], Path({str(home / "prior")!r}), Path(sys.argv[1]), config)
        shares = replace(config, sharded=True, accumulate=2)
        run = sit_contrast([], Path({str(home / "prior")!r}), Path(sys.argv[2]), shares)
        assert 0.45 < share_kept(run.optimizer, run.student, run.teacher) < 0.55
"""
    two_processes(tmp_path, code, tmp_path / "two", tmp_path / "shares")
    config = replace(TINY, steps=3, batch=8, backbone=str(home / "backbone"))
    sit_contrast([], home / "prior", tmp_path / "one", config)
    sit_contrast([], home / "prior", tmp_path / "pieces", replace(config, accumulate=3))
    one, *others = (read_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("one", "two", "shares", "pieces"))
    for way in ("two", "shares", "pieces"):
        assert losses_of(tmp_path / way) == pytest.approx(losses_of(tmp_path / "one"), rel=1e-3), way
    for other in others:
        assert one["filled"] == other["filled"] > 0
        assert torch.allclose(one["queue"], other["queue"], atol=1e-4)
        for name, value in one["teacher"].items():
            assert torch.allclose(value, other["teacher"][name], atol=1e-4), name


@pytest.fixture(scope="module")
def labelled(home, tmp_path_factory):
    """A run on a transformer, of masks that were made with labels, and its file: to export one takes seconds."""
    place = tmp_path_factory.mktemp("labelled")
    form = Network(kind="transformer", patch=16, dim=32, depth=2, heads=2)
    network = network_of(Pretrain(network=form, views=Views()), torch.Generator().manual_seed(0))
    save_network(network.eval(), place / "vit", MEAN, STD)
    forests = {f"{number}": photo(number)[1] for number in range(8)}
    store = LabelStore(place / "forests")
    store.claim(Collection(tuple(forests), (str(home / "photos"),), {"supervision": "labels"}))
    store.write(0, [Label(key, f"{key}.png", "", forest) for key, forest in forests.items()])
    run = sit_contrast([], place / "forests", place / "run", replace(TINY, steps=2, backbone=str(place / "vit")))
    return place, run, ship_run(place / "run", place / "run.onnx", Ship())


def test_a_transformer_is_a_trunk_as_well(labelled, home, tmp_path):
    place, run, _ = labelled
    assert run.student.patch == 16
    assert feature_map(open_backbone(str(place / "run.onnx")), photo(0)[0]).values.shape == (4, 4, TINY.dim)
    config = replace(TINY, steps=2, backbone=str(place / "vit"))
    with pytest.raises(UsageError, match="--size is a multiple of the backbone's patch, 16, got 72"):
        sit_contrast([], home / "forests", tmp_path / "odd", replace(config, size=72))


def test_what_people_gave_is_on_the_card(labelled, home):
    """Masks made with labels make what is learned from them a model of labels."""
    place, _, card = labelled
    assert card["supervision"] == "labels"
    with pytest.raises(CallerError, match="learned from labels, which only measuring may use"):
        looker_of(Segment(backbone=str(place / "run.onnx")))
    plain = LabelStore(home / "prior")
    assert supervision_of(plain, str(home / "backbone")) == "none"
    assert supervision_of(plain, "embedded") == "none"


MEANING = "?feature=meaning"


def test_what_ships_says_what_stands_out(home, tmp_path):
    trunk = trunk_named(str(home / "backbone"))
    network = Contraster(ContrasterConfig(trunk.config, 8, 16), torch.Generator().manual_seed(1)).eval()
    save_ours(network, tmp_path / "contraster", MEAN, STD)
    again, mean, std = load_contraster(tmp_path / "contraster")
    assert (mean, std) == (MEAN, STD)
    export_contraster(tmp_path / "contraster", tmp_path / "meant.onnx")
    seen = feature_map(open_backbone(str(tmp_path / "meant.onnx")), photo(0)[0])
    assert seen.values.shape == (8, 8, 8)
    assert np.allclose(np.linalg.norm(seen.values, axis=-1), 1, atol=1e-5)
    pixels = torch.from_numpy(photo(0)[0]).permute(2, 0, 1)[None] / 255
    normal = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        meant, decoded = again(normal.float()), again.decoded(normal.float())[0].permute(1, 2, 0).numpy()
    assert np.allclose(seen.values, meant.vectors[0].numpy(), atol=1e-4)
    assert seen.salience is not None
    assert np.allclose(seen.salience, meant.salience[0].sigmoid().numpy(), atol=1e-4)
    export_contraster(tmp_path / "contraster", tmp_path / "both.onnx", feature="trunk")
    own, both = (feature_map(open_backbone(str(tmp_path / f"both.onnx{end}")), photo(0)[0]) for end in ("", MEANING))
    with torch.no_grad():
        assert np.allclose(own.values, again.trunk.patches(normal.float())[0].numpy(), atol=1e-4), "the trunk's own"
    assert own.salience is None, "a backbone as any other"
    assert both.values.shape == (8, 8, network.width)
    assert np.allclose(both.values, decoded, atol=1e-4)
    assert np.allclose(both.salience, seen.salience, atol=1e-5)
    assert open_backbone(str(tmp_path / "both.onnx") + MEANING).name == "both?feature=meaning"
    with pytest.raises(CallerError, match=r"meant.onnx has features, no meaning: leave \?feature out"):
        open_backbone(str(tmp_path / "meant.onnx") + MEANING)
    assert feature_map(open_backbone("colour"), photo(0)[0]).salience is None
    with pytest.raises(CallerError, match="holds no segmenter of ours"):
        load_segmenter(tmp_path / "contraster")
