"""MaskContrast end to end, by the commands, on made photos: things of four patterns, in any two greys.

Their mean colour tells nothing of their kind. Views are made brighter, darker and flatter at random, so what one view
has in common with the other, and not with other photos, is the pattern.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.optimize import linear_sum_assignment

from hedgerow.backbones import FeatureMap, feature_map, open_backbone
from hedgerow.categories import embed, fit_whitening, kmeans
from hedgerow.cli import main
from hedgerow.config import Network, Pretrain, Views
from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.forest import MaskForest
from hedgerow.learn.networks.saving import load_contraster, save_network
from hedgerow.learn.pretrain import network_of
from hedgerow.learn.views import MEAN, STD

SIDE, PHOTOS, KINDS = 64, 96, 4


def made(seed):
    """(H, W, 3) pixels, the mask of the thing on them, and of which kind it is."""
    rng = np.random.default_rng(seed)
    kind = int(rng.integers(KINDS))
    size, (top, left) = int(rng.integers(24, 34)), rng.integers(2, 28, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = (np.abs(rows - top - size / 2) < size / 2) & (np.abs(columns - left - size / 2) < size / 2)
    if rng.random() < 0.5:
        mask = (rows - top - size / 2) ** 2 + (columns - left - size / 2) ** 2 < (size / 2) ** 2
    period = int(rng.integers(3, 5))
    across, down = (rows + rng.integers(4)) // period % 2, (columns + rng.integers(4)) // period % 2
    pattern = (across, down, across ^ down, np.zeros_like(rows))[kind]
    dark, bright = rng.uniform(20, 90), rng.uniform(165, 235)
    waves = np.sin(rows * rng.uniform(0.05, 0.15) + columns * rng.uniform(0.05, 0.15))
    grey = 128 + 40 * waves
    grey[mask] = np.where(pattern, dark, bright)[mask]
    pixels = grey[..., None] + rng.normal(0, 8, (SIDE, SIDE, 1)).repeat(3, 2)
    return pixels.clip(0, 255).astype(np.uint8), mask, kind


def sorted_out(seen, region):
    """mIoU of ground and kinds, K-means of one vector a photo painted where `region` says, matched as well as can be;
    `seen` are feature maps."""
    photos = [made(1000 + number) for number in range(60)]
    painted = [region(features, mask) for features, (_, mask, _) in zip(seen, photos, strict=True)]
    forests = [MaskForest.from_masks([where if where.any() else ~where]) for where in painted]
    vectors = np.concatenate([embed(f, features).embedding for f, features in zip(forests, seen, strict=True)])
    groups = kmeans(fit_whitening(vectors, dims=KINDS)(vectors), KINDS, seed=0).of
    table = np.zeros((KINDS + 1, KINDS + 1))
    for group, where, (_, mask, kind) in zip(groups, painted, photos, strict=True):
        np.add.at(table, (np.where(mask, kind + 1, 0).ravel(), np.where(where, group + 1, 0).ravel()), 1)
    iou = table / (table.sum(0) + table.sum(1)[:, None] - table)
    return iou[linear_sum_assignment(-iou)].mean()


def by_salience(features, _):
    return np.asarray(Image.fromarray(features.salience).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) > 0.5


def by_truth(_, mask):
    return mask


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run of the tiny recipe with the true masks as its prior, its file, and a run of one step."""
    home = tmp_path_factory.mktemp("contrast")
    (home / "photos").mkdir()
    labels = []
    for number in range(PHOTOS):
        pixels, mask, _ = made(number)
        Image.fromarray(pixels).save(home / "photos" / f"{number:02}.png")
        labels.append(Label(f"{number:02}", f"{number:02}.png", "", MaskForest.from_masks([mask])))
    store = LabelStore(home / "prior")
    store.claim(Collection(tuple(label.key for label in labels), (str(home / "photos"),), {}))
    for first in range(0, PHOTOS, 64):
        store.write(first // 64, labels[first : first + 64])
    form = Network(kind="pyramid", dim=32, widths=(16, 24, 32, 48), depths=(1, 1, 1, 1))
    pyramid = Pretrain(network=form, views=Views())
    save_network(network_of(pyramid, torch.Generator().manual_seed(0)).eval(), home / "backbone", MEAN, STD)
    command = ["contrast", str(home / "photos"), "--prior", str(home / "prior"), "--recipe", "tiny", "--workers", "1"]
    for name, steps in (("untrained", "1"), ("model", "150")):
        assert main([*command, "--backbone", str(home / "backbone"), "-o", str(home / name), "--steps", steps]) == 0
    assert main(["ship", str(home / "model"), "-o", str(home / "model.onnx")]) == 0
    return home


def in_torch(folder, pixels):
    """Feature maps of a run's network: without the ten seconds that exporting it takes."""
    network, mean, std = load_contraster(folder / "contraster")
    taken = (torch.from_numpy(np.stack(pixels)).float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    with torch.inference_mode():
        vectors = network.eval()(taken.permute(0, 3, 1, 2)).vectors
    return [FeatureMap(one.numpy(), photo.shape[:2]) for one, photo in zip(vectors, pixels, strict=True)]


def test_kinds_come_apart_by_themselves(learned):
    pixels = [made(1000 + number)[0] for number in range(60)]

    model = open_backbone(str(learned / "model.onnx"))
    before, after = in_torch(learned / "untrained", pixels), [feature_map(model, photo) for photo in pixels]
    colours = [FeatureMap(photo[4::8, 4::8] / np.float32(255), photo.shape[:2]) for photo in pixels]
    score, found = sorted_out(after, by_truth), sorted_out(after, by_salience)
    rivals = sorted_out(before, by_truth), sorted_out(colours, by_truth)
    assert score > max(rivals) + 0.25, (score, rivals)
    assert found > max(rivals) + 0.05, (found, rivals)  # which were told where things are
    assert found > 0.6, found


def test_the_command_asks_for_what_it_needs(learned, tmp_path, capsys):
    assert main(["contrast", str(learned / "photos")]) == 2
    assert "--prior PRIOR -o RUN" in capsys.readouterr().err
    command = ["contrast", "--prior", str(learned / "prior"), "-o", str(tmp_path / "run"), "--recipe", "tiny"]
    assert main([*command, "--size", "60"]) == 2
    assert "--size is a multiple of the backbone's patch" in capsys.readouterr().err
    assert main(["contrast", "--prior", str(tmp_path), "-o", str(tmp_path / "run")]) == 1
    assert "is no label store" in capsys.readouterr().err
