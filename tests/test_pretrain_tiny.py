"""The recipe `tiny` end to end, by the command, on made photos: what it learns tells patterns apart that colours hide."""

import json

import numpy as np
import pytest
from PIL import Image

from hedgerow.backbones import open_backbone
from hedgerow.cli import main
from hedgerow.measure import fit_probe, label_histograms, measure_probe, pool_probe

SIDE, PHOTOS, KINDS = 64, 128, 5


def made(seed):
    """A photo of patches of stripes, checks and dots in any two colours each, and which pattern is where."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), int)
    for _ in range(4):
        (top, left), size = rng.integers(-8, SIDE - 20, 2), rng.integers(24, 44)
        labels[max(top, 0) : top + size, max(left, 0) : left + size] = rng.integers(0, KINDS)
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = np.zeros((SIDE, SIDE, 3))
    for kind in range(KINDS):
        pace, shift = rng.uniform(0.9, 1.5), rng.uniform(0, 6, 2)
        wave = np.sin(pace * x + shift[0]), np.sin(pace * y + shift[1])
        on = (np.zeros_like(x), wave[0] > 0, wave[1] > 0, wave[0] * wave[1] > 0, wave[0] + wave[1] > 1)[kind]
        light = rng.uniform(0, 255, 3)
        dark = (light + rng.choice([-1, 1], 3) * rng.uniform(60, 150, 3)).clip(0, 255)
        pixels[labels == kind] = np.where(on[..., None], light, dark)[labels == kind]
    return (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8), labels


def probed(backbone):
    """mIoU over patterns, learned from 24 photos and told of 24 others."""
    photos = [made(1000 + number) for number in range(48)]
    features = [backbone.features(pixels[None])[0] for pixels, _ in photos]
    values = np.concatenate([one.reshape(-1, one.shape[-1]) for one in features[:24]])
    counts = [label_histograms(labels, one.shape[:2], KINDS) for one, (_, labels) in zip(features, photos, strict=True)]
    counts = np.concatenate([one.reshape(-1, KINDS) for one in counts[:24]])
    probe = fit_probe(values, counts, np.arange(len(values)) >= len(values) // 2)
    told = [
        measure_probe(probe.labels(one, labels.shape), labels, KINDS)
        for one, (_, labels) in zip(features[24:], photos[24:], strict=True)
    ]
    return pool_probe(told).miou


def test_tiny_learns_patterns(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for number in range(PHOTOS):
        Image.fromarray(made(number)[0]).save(tmp_path / "photos" / f"{number:03}.png")
    run = tmp_path / "run"
    assert main(["pretrain", str(tmp_path / "photos"), "-o", str(run), "--recipe", "tiny", "--workers", "1"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1].startswith(f"150 steps, in {run}; ")
    assert len(told) > 10

    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert np.mean([line["place"] for line in log[-20:]]) < 0.9 * log[0]["place"]
    place = f"hub:{run}/backbone?feature=output&supervision=none"
    learned, untrained = probed(open_backbone(place)), probed(open_backbone(f"random:{place}"))
    print(learned, untrained, probed(open_backbone("colour")))
    assert learned > untrained + 0.1
    assert learned == pytest.approx(probed(open_backbone(place)), abs=1e-6)
