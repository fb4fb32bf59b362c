"""The segmenter's network in torch, in onnxruntime, and what is made of what it says."""

import json

import numpy as np
import pytest
import torch

from hedgerow.cli import main
from hedgerow.config import CallerError, Explore, Predict
from hedgerow.forest import MaskForest
from hedgerow.learn.networks.pyramid import PyramidConfig
from hedgerow.learn.networks.saving import load_segmenter, save_ours
from hedgerow.learn.networks.segmenter import Segmenter, SegmenterConfig, _cells, _unseen, _windows
from hedgerow.learn.networks.vit import ViTConfig
from hedgerow.learn.ship import export_segmenter
from hedgerow.learn.views import MEAN, STD
from hedgerow.photos import open_photo
from hedgerow.pipeline import segment
from hedgerow.predict import SegmenterModel, nested, predict, scores

PYRAMID = PyramidConfig((8, 8, 16, 16), (1, 1, 1, 1), 16)
TRANSFORMER = ViTConfig(8, 16, 2, 2, 32, positions="rope", registers=1, layer_scale=True)


def small(trunk=PYRAMID, seed=0, layers=2, grids=(4, 2, 1)):
    config = SegmenterConfig(trunk, dim=16, layers=layers, heads=2, grids=grids)
    return Segmenter(config, torch.Generator().manual_seed(seed)).eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Of one layer and one grid, which is exported sooner; test_train_tiny exports several of both."""
    home = tmp_path_factory.mktemp("segmenter")
    save_ours(small(layers=1, grids=(4,)), home / "run", MEAN, STD)
    return export_segmenter(home / "run", home / "small.onnx", 64, precision="float32")


@pytest.mark.parametrize("trunk", [PYRAMID, TRANSFORMER], ids=["pyramid", "transformer"])
@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_photos_of_any_shape(trunk, size, tmp_path):
    network = small(trunk)
    pixels = torch.randn(2, 3, *size)
    with torch.inference_mode():
        glimpses, seen = network.every(pixels)
        assert len(glimpses) == 2
        for look, cell in (*((glimpse, 8) for glimpse in glimpses), (seen, 4)):
            assert look.found.shape == (2, 21)
            assert look.masks.shape == (2, 21, size[0] // cell, size[1] // cell)
        assert seen.contains.shape == (2, 21, 21)
        alone = network(pixels[1:])
        assert torch.allclose(alone.masks, seen.masks[1:], atol=1e-4), "a photo does not hang on its neighbours"
        again, mean, std = load_segmenter(save_ours(network, tmp_path / "a", MEAN, STD))
        assert torch.equal(again(pixels).masks, network(pixels).masks)
    assert (mean, std) == (MEAN, STD)


def test_queries_look_where_their_masks_are():
    masks = torch.full((1, 2, 8, 8), -1.0)
    masks[0, 0, :4, :4] = 1
    unseen = _unseen(masks, torch.zeros(1, 1, 4, 4)).view(1, 2, 4, 4)
    assert not unseen[0, 0, 0, 0]
    assert unseen[0, 0, 3, 3]
    assert not unseen[0, 1].any(), "a mask that is nowhere may look everywhere"


def test_windows_are_polynomials_about_their_cells():
    """Each number by itself, pixel by pixel."""
    cells = _cells((2, 1), torch.zeros(1))
    assert cells.tolist() == [[0.25, 0.25, 0.5], [0.75, 0.25, 0.5], [0.25, 0.75, 0.5], [0.75, 0.75, 0.5], [0.5, 0.5, 1]]
    form = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))
    found = _windows(form, cells, torch.zeros(1, 1, 4, 6))
    for query, (x, y, side) in enumerate(cells):
        for row in range(4):
            for column in range(6):
                u, v = ((column + 0.5) / 6 - x) / side, ((row + 0.5) / 4 - y) / side
                wanted = (form[0, query] * torch.stack([torch.ones(()), u, v, u * u, v * v, u * v])).sum()
                assert found[0, query, row, column] == pytest.approx(float(wanted), abs=1e-4)


def test_a_folder_that_holds_none(tmp_path):
    with pytest.raises(CallerError, match="holds no segmenter of ours"):
        load_segmenter(tmp_path)


# ---------------------------------------------------------------------- without torch


def test_the_file_says_what_torch_says(model):
    pixels = np.random.default_rng(0).integers(0, 256, (96, 64, 3), np.uint8)
    found, masks, contains = SegmenterModel(model).look(pixels, 64)
    taken = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.inference_mode():
        seen = small(layers=1, grids=(4,))(taken.permute(2, 0, 1)[None])
    assert masks.shape == (24, 16, 16)
    assert np.allclose(found, seen.found[0], atol=1e-4)
    assert np.allclose(masks.transpose(2, 0, 1), seen.masks[0], atol=1e-3)
    assert np.allclose(contains, seen.contains[0], atol=1e-4)


@pytest.mark.parametrize("size", [(50, 70), (9, 200), (3, 3)])
def test_a_forest_at_the_photos_own_size(model, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    forest = segment(pixels, model=str(model), config=Predict(grains=50))
    assert forest.size == size
    assert 1 <= len(forest) <= 16
    assert np.array_equal(forest.rles, segment(pixels, model=str(model), config=Predict(grains=50)).rles)
    best = segment(pixels, model=str(model), config=Predict(grains=50, max_masks=3, head=False))
    assert len(best) <= 3
    assert np.isin(best.score, forest.score).all()


def test_scores_by_hand():
    """Found with even odds; a mask sure of one cell and half sure of the other inside."""
    masks = np.array([[[4.0, -9], [0.0001, -9], [-3, -9]]])
    told = scores(np.array([0.0, 5.0]), masks)
    assert told[0] == pytest.approx(0.5 * (1 / (1 + np.exp(-4)) + 0.5) / 2, abs=1e-4)
    assert told[1] == 0


def test_who_is_part_of_whom():
    """The smallest region that the network names and that covers it; never a smaller one, so never a circle."""
    masks = np.zeros((4, 8, 8), bool)
    masks[0], masks[1, :6, :6], masks[2, :3, :3], masks[3, 5:, 5:] = True, True, True, True
    forest = MaskForest.from_masks(masks)
    everything = np.ones((4, 4), bool)
    by_area = {64: -1, 36: 64, 9: 36}
    said = nested(forest, everything)
    parents = [int(said.areas[p]) if p >= 0 else -1 for p in said.parent]
    assert [by_area[int(a)] for a, p in zip(said.areas, parents, strict=True) if a != 9] == [-1, 64]
    assert sorted(p for a, p in zip(said.areas, parents, strict=True) if a == 9) == [36, 64]
    assert (nested(forest, ~everything).parent == -1).all()


def test_nothing_found(model, monkeypatch):
    one = SegmenterModel(model)
    monkeypatch.setattr(one, "look", lambda *_: (np.zeros(2), np.full((8, 8, 2), -1.0), np.zeros((2, 2))))
    forest = predict(open_photo(np.zeros((20, 30, 3), np.uint8)), one)
    assert (len(forest), forest.areas.tolist()) == (1, [600])


def test_mistakes_are_told_in_one_line(model, tmp_path, capsys):
    card = json.loads(model.with_suffix(".json").read_text())
    assert (card["kind"], card["supervision"], card["queries"]) == ("segmenter", "none", 16)
    with pytest.raises(CallerError, match="no such file"):
        SegmenterModel(tmp_path / "none.onnx")
    other = tmp_path / "other.onnx"
    other.write_bytes(model.read_bytes())
    for change, told in (
        ({"kind": "backbone", "queries": None}, "is a backbone, not a segmenter: give it as --backbone"),
        ({"kind": "language"}, "is a language, not a segmenter: give it as --name-model"),
        ({"kind": "bird"}, "is a bird, not a segmenter: give a segmenter"),
        ({"weights_sha256": "0"}, "is not the file its card describes"),
        ({"size": None}, "size should be of type int"),
    ):
        other.with_suffix(".json").write_text(json.dumps({**card, **change}))
        with pytest.raises(CallerError, match=told):
            SegmenterModel(other)
    with pytest.raises(CallerError, match="a model takes a Predict"):
        segment(np.zeros((9, 9, 3), np.uint8), model=str(model), config=Explore())
    other.with_suffix(".json").write_text(json.dumps({**card, "supervision": "labels"}))
    photo = tmp_path / "a.png"
    from PIL import Image

    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(photo)
    assert main(["segment", str(photo), "--model", str(other)]) == 1
    assert "learned from labels, which only measuring may use" in capsys.readouterr().err
    assert main(["segment", str(photo), "--model", str(model), "--predict.grains", "-1"]) == 2
    assert main(["train", str(tmp_path), "-o", str(tmp_path / "run")]) == 1
    assert "is no label store" in capsys.readouterr().err
    assert main(["train", str(tmp_path), "-o", str(tmp_path / "run"), "--size", "50"]) == 2
