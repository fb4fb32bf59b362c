"""A backbone in onnxruntime: against numpy for a network written by hand, against torch for the exported ones."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hedgerow.backbones import open_backbone
from hedgerow.backbones.embedded import SHIPPED, EmbeddedBackbone
from hedgerow.config import CallerError

PATCH, DIM = 4, 5


@pytest.fixture
def network(tmp_path) -> Path:
    """Each patch's pixels times one matrix: small enough to be checked by numpy, written without torch."""
    onnx = pytest.importorskip("onnx", reason="the network here is written with onnx: pip install hedgerow[train]")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    matrix = np.random.default_rng(0).standard_normal((DIM, 3, PATCH, PATCH)).astype(np.float32)
    np.save(tmp_path / "matrix.npy", matrix)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pixels", "matrix"], ["grid"], strides=[PATCH, PATCH]),
            helper.make_node("Transpose", ["grid"], ["features"], perm=[0, 2, 3, 1]),
        ],
        "patches",
        [helper.make_tensor_value_info("pixels", kind, ["B", 3, "H", "W"])],
        [helper.make_tensor_value_info("features", kind, ["B", "h", "w", DIM])],
        [onnx.numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (tmp_path / "tiny.onnx").write_bytes(model.SerializeToString())
    write_card(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def write_card(model: Path, **changes: Any) -> None:
    card = {
        "name": "tiny",
        "supervision": "none",
        "patch": PATCH,
        "dim": DIM,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 1.0, 2.0],
        "weights_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "licence": "MIT",
    }
    card = {key: value for key, value in (card | changes).items() if value != "gone"}
    model.with_suffix(".json").write_text(json.dumps(card))


def test_equals_numpy(network):
    backbone = open_backbone(str(network))
    photos = np.random.default_rng(1).integers(0, 256, (2, 12, 20, 3), np.uint8)
    matrix = np.load(network.parent / "matrix.npy")
    colours = (photos / 255 - [0.1, 0.2, 0.3]) / [0.5, 1.0, 2.0]
    cut = colours.reshape(2, 3, PATCH, 5, PATCH, 3)
    expected = np.einsum("bhiwjc,dcij->bhwd", cut, matrix)
    found = backbone.features(photos)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5
    assert (backbone.name, backbone.supervision, len(backbone.weights_sha256)) == ("tiny", "none", 64)


def test_size_comes_from_the_card_unless_said(network):
    photo = np.zeros((1, 40, 81, 3), np.uint8)
    assert open_backbone(str(network)).features(photo).shape == (1, 10, 20, DIM)
    write_card(network, size=20, square=False)
    assert open_backbone(str(network)).features(photo).shape == (1, 5, 10, DIM)
    assert open_backbone(f"{network}?square=true").features(photo).shape == (1, 5, 5, DIM)
    write_card(network, size=20, square=True)
    assert open_backbone(str(network)).features(photo).shape == (1, 5, 5, DIM)
    assert open_backbone(f"{network}?size=8&square=false&threads=2").features(photo).shape == (1, 2, 4, DIM)
    assert open_backbone(str(network)).features(photo[:0]).shape == (0, 5, 5, DIM)


def test_the_weights_that_ship():
    """They open without torch, at any size, and say what they learned from."""
    backbone = open_backbone("embedded")
    assert backbone.supervision == "none"
    pixels = np.random.default_rng(0).integers(0, 256, (1, 90, 160, 3), np.uint8)
    values = backbone.features(pixels)
    assert values.shape[:1] + values.shape[3:] == (1, backbone.dim)
    assert np.isfinite(values).all()
    assert open_backbone("embedded?size=64").features(pixels).shape == (1, 8, 14, backbone.dim)
    assets = Path(SHIPPED).parent
    assert sum(path.stat().st_size for path in assets.rglob("*") if path.is_file()) < 45e6
    home = str(Path.home()).encode()
    assert not re.search(rb"(?:site-packages|%s)/" % re.escape(home), (assets / "backbone.onnx").read_bytes())
    card = json.loads((assets / "backbone.json").read_text())
    assert {"licence", "data", "hours", "hardware", "recipe", "measures", "parameters"} <= set(card)
    torch = pytest.importorskip("torch", reason="the same network in torch: pip install hedgerow[train]")
    with torch.inference_mode():
        theirs = open_backbone(f"hub:{assets}/backbone?size=64").features(pixels)
    mine = open_backbone("embedded?size=64").features(pixels)
    assert np.abs(mine - theirs).max() < 1e-3 * np.abs(theirs).max()


def test_what_is_refused(network, tmp_path):
    def refused(*words: str, where: Path | str = network) -> None:
        with pytest.raises(CallerError) as told:
            open_backbone(str(where))
        assert "\n" not in str(told.value)
        assert all(word in str(told.value) for word in words), told.value

    refused("no such file", where=tmp_path / "other.onnx")
    refused("no option layer", "size, square, threads", where=f"{network}?layer=2")
    write_card(network, patch="four")
    refused("patch should be of type int")
    write_card(network, patch="gone", kind="segmenter")
    refused("is a segmenter, not a backbone: give it as --model")
    write_card(network, dim="gone")
    refused("dim should be of type int")
    write_card(network, std=[1.0, 1.0])
    refused("three numbers")
    write_card(network, dim=DIM + 1)
    refused("give (B, h, w, 6)")
    write_card(network, weights_sha256="0" * 64)
    refused("not the file its card describes", "0000")
    network.with_suffix(".json").write_text("[")
    refused("not JSON")
    network.with_suffix(".json").write_text("[]")
    refused("no backbone's card")
    network.write_bytes(network.read_bytes()[:100])
    write_card(network)
    refused("cannot be run")
    network.with_suffix(".json").unlink()
    refused("tiny.json")


def test_needs_no_torch(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "hedgerow.backbones.hub", raising=False)
    assert open_backbone(str(network)).features(np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 2, 2, DIM)
    for name in ("hub:facebook/dino-vitb8", f"random:{network}"):
        with pytest.raises(CallerError, match=r"(hub|random): backbones need torch: install hedgerow with its extra"):
            open_backbone(name)


def test_pixels_are_checked(network):
    backbone = open_backbone(str(network))
    for wrong in (np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3)), np.zeros((1, 0, 8, 3), np.uint8)):
        with pytest.raises(CallerError, match="uint8 in RGB"):
            backbone.features(wrong)


# ---------------------------------------------------------------- exported from torch


CONFIGS = {
    "bicubic": {"class_token": True, "activation": "gelu_tanh"},
    "bicubic-antialias": {"registers": 2, "layer_scale": True},
    "bilinear-antialias": {"class_token": False, "first_norm": True, "activation": "quick_gelu"},
    "rope": {"registers": 3, "layer_scale": True, "gated": True, "activation": "silu"},
}


@pytest.mark.parametrize(
    ("positions", "layer", "feature"),
    [
        ("bicubic", -1, "output"),
        ("bicubic-antialias", 1, "key"),
        ("bilinear-antialias", -1, "output"),
        ("rope", -1, "output"),
    ],
)
@pytest.mark.filterwarnings(
    r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"
)  # torch's own code
def test_round_trip(positions, layer, feature, tmp_path, monkeypatch):
    """A backbone exported from torch gives the same features without it, at sizes it was never traced at."""
    torch = pytest.importorskip("torch", reason="exporting needs torch: pip install hedgerow[train]")
    pytest.importorskip("onnxscript", reason="exporting needs onnxscript: pip install hedgerow[train]")
    from hedgerow.backbones import hub
    from hedgerow.learn.networks.checkpoints import Pretrained
    from hedgerow.learn.networks.vit import ViT, ViTConfig
    from hedgerow.learn.ship import export_backbone

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shape = {"patch": PATCH, "dim": 16, "depth": 2, "heads": 2, "hidden": 24, "side": 6, "positions": positions}
    vit = ViT(ViTConfig(**shape, **CONFIGS[positions])).eval().requires_grad_(False)
    for parameter in vit.parameters():
        parameter.normal_(0, 0.3, generator=generator)
    found = Pretrained(vit, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "none", "5" * 64)
    monkeypatch.setattr(hub, "load_network", lambda path, heads: found)
    online = hub.HubBackbone(str(tmp_path), layer=layer, feature=feature, device="cpu", size=24)

    path = export_backbone(online, tmp_path / "made" / "small.onnx", {"licence": "MIT"})
    assert sorted(file.name for file in path.parent.iterdir()) == ["small.json", "small.onnx"]
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["licence"] == "MIT"
    assert card["from_sha256"] == "5" * 64
    shipped = open_backbone(str(path))
    assert isinstance(shipped, EmbeddedBackbone)
    assert (shipped.name, shipped.supervision) == (online.name, "none")
    for count, height, width in [(1, 24, 24), (3, 24, 24), (2, 60, 24), (1, 37, 91), (1, 300, 24)]:
        photos = np.random.default_rng(height).integers(0, 256, (count, height, width, 3), np.uint8)
        expected = online.features(photos)
        assert np.abs(shipped.features(photos) - expected).max() < 1e-5 * max(1, np.abs(expected).max())
    one = open_backbone(str(path), size=PATCH, square=True)  # a single patch, below what was traced
    assert one.features(photos).shape == (1, 1, 1, 16)

    untrained = open_backbone(f"random:{path}", device="cpu")  # the card alone tells the network
    assert untrained.network.config == vit.config
    assert (untrained.reading, untrained.size) == ((layer, feature, None), 24)
    assert untrained.name == online.name.replace("hub:", "random:hub:") + "&seed=0"


def test_a_card_that_does_not_tell_its_architecture(network):
    """Known networks are drawn anew; of any other card one line says what is wrong."""
    pytest.importorskip("torch", reason="random: needs torch: pip install hedgerow[train]")
    from dataclasses import asdict

    from hedgerow.learn.networks.vit import ViTConfig

    config = asdict(ViTConfig(patch=PATCH, dim=DIM, depth=2, heads=1, hidden=6, side=3))
    whole = config | {"layer": 1, "feature": "value", "norm": None, "norm_eps": 1}
    write_card(network, architecture=whole, size=8)
    backbone = open_backbone(f"random:{network}", device="cpu")
    assert (backbone.mean, backbone.std) == ((0.1, 0.2, 0.3), (0.5, 1.0, 2.0))
    assert backbone.features(np.zeros((1, 8, 16, 3), np.uint8)).shape == (1, 2, 4, DIM)
    told = "tells no architecture known here"
    for architecture, expected in [
        ("gone", "tiny.json does not tell the architecture"),
        ([], "does not tell the architecture"),
        ({**whole, "depth": "two"}, f"{told}: depth is 'two'"),
        ({**whole, "activation": "tanh"}, f"{told}: activation is 'tanh'"),
        ({**whole, "positions": "none"}, f"{told}: positions is 'none'"),
        ({key: value for key, value in whole.items() if key != "norm"}, f"{told}: norm is None"),
        ({**whole, "dim": 8}, "not that of its own patch and dim"),
        ({**whole, "heads": 2}, "an architecture that cannot be"),
        ({**whole, "depth": 0}, "an architecture that cannot be"),
        ({**whole, "feature": "keys"}, "feature is one of"),
        ({**whole, "layer": 2}, "has layers 0 to 1"),
    ]:
        write_card(network, architecture=architecture)
        with pytest.raises(CallerError) as error:
            open_backbone(f"random:{network}", device="cpu")
        assert expected in str(error.value)
        assert "\n" not in str(error.value)


def test_export_needs_an_onnx_name(tmp_path):
    pytest.importorskip("torch", reason="exporting needs torch: pip install hedgerow[train]")
    from torch import nn

    from hedgerow.learn.export import write_onnx

    with pytest.raises(CallerError, match=r"a backbone is written to FILE\.onnx"):
        write_onnx(nn.Identity(), tmp_path / "small.pt", {"kind": "backbone"}, unit=8, outputs=("features",))
