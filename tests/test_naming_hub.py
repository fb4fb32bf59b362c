"""CLIP and SigLIP against transformers and against twins by hand: whole photos, sentences, patches, and bad folders.

Every model is small and random, its weights drawn wide, so that a wrong rule shows.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch", reason="hub: languages need torch: pip install hedgerow[train]")
transformers = pytest.importorskip("transformers", reason="text towers are transformers': pip install transformers")
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: E402

from hedgerow.backbones.fit import prepare  # noqa: E402
from hedgerow.config import CallerError  # noqa: E402
from hedgerow.forest import MaskForest  # noqa: E402
from hedgerow.naming import open_language, open_naming, vocabulary_of  # noqa: E402
from hedgerow.naming.hub import _canonical, spread_in_regions  # noqa: E402

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

PATCH, SIDE = 4, 6
WORDS = ["!", "</s>", "[UNK]", "a", "photo", "of", "the", "red", "car", "dog", "grass", "person", "sky", "<s>", "<e>"]
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "intermediate_size": 48,
    "image_size": SIDE * PATCH,
}
TEXT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 16,
    "bos_token_id": 13,
    "eos_token_id": 14,
}
KINDS = {
    "clip": lambda t: t.CLIPModel(t.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=20)),
    "siglip": lambda t: t.SiglipModel(t.SiglipConfig(text_config=TEXT | {"projection_size": 32}, vision_config=VISION)),
}


class Made(NamedTuple):
    model: Any
    folder: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    @cache
    def make(kind: str) -> Made:
        torch.manual_seed(len(kind))
        model = KINDS[kind](transformers).eval()
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.3)
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        write_tokenizer(folder, ends=kind == "clip")
        return Made(model, folder)

    return make


def write_tokenizer(folder: Path, ends: bool) -> None:
    """Words apart; CLIP's sentences have a mark at either end, SigLIP's one at the end."""
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = ("<s> $A <e>", [("<s>", 13), ("<e>", 14)]) if ends else ("$A </s>", [("</s>", 1)])
    tokenizer.post_processor = processors.TemplateProcessing(single=marks[0], special_tokens=marks[1])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "</s>"}}))


def language(made: Made, options: str = ""):
    return open_language(f"hub:{made.folder}?device=cpu{options}")


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def entering(one: Any, pixels: np.ndarray, size: int, square: bool) -> Any:
    (batch,) = prepare(pixels[None], PATCH, *one._pixels, size=size, square=square)
    return torch.from_numpy(batch)


def unit(rows: Any) -> np.ndarray:
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


# ---------------------------------------------------------------------- against transformers


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_as_a_whole(kind, made):
    one, pixels = language(made(kind)), photo(31, 40)
    with torch.no_grad():
        theirs = made(kind).model.get_image_features(entering(one, pixels, SIDE * PATCH, True))
    theirs = getattr(theirs, "pooler_output", theirs)
    np.testing.assert_allclose(one.whole(pixels), unit(theirs)[0], atol=2e-5)
    assert np.abs(one.whole(pixels) - one.whole(photo(31, 40, 1))).max() > 1e-3
    assert one.groups(pixels) is None


@pytest.mark.parametrize("kind", KINDS)
def test_sentences(kind, made):
    """One at a time as transformers reads it, filled up as the model was trained; together it is the same."""
    one, model = language(made(kind)), made(kind).model
    asked = ["a photo of the red car", "dog", "The Grass!"]
    ids = [[3, 4, 5, 6, 7, 8], [9], [6, 10]]
    if kind == "clip":  # "!" is a word to CLIP
        rows = [[13, *own, 14] for own in (ids[0], ids[1], [6, 10, 0])]
    else:
        rows = [own + [1] * (16 - len(own)) for own in ids]
    with torch.no_grad():
        told = [model.get_text_features(input_ids=torch.tensor([row])) for row in rows]
    theirs = np.concatenate([unit(getattr(found, "pooler_output", found)) for found in told])
    np.testing.assert_allclose(one.text(asked), theirs, atol=2e-5)
    assert one.text([]).shape == (0, one.dim)
    assert one.text([" ".join(["dog"] * 40)]).shape == (1, one.dim)  # cut to what the model can take


def test_what_siglip_reads_is_bare():
    assert _canonical("  A photo, of the  Dog's tail! ") == "a photo of the dogs tail"


# ---------------------------------------------------------------------- patches, by hand


def before_last(model: Any, pixels: Any) -> Any:
    """What enters the last block, by transformers."""
    with torch.no_grad():
        return model.vision_model(pixels, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states[-2]


def by_hand(kind: str, model: Any, inside: Any, attention: str) -> np.ndarray:
    """(P, E): heads one by one, with transformers' own layers."""
    vision = model.vision_model
    x = before_last(model, inside)
    layer = vision.encoder.layers[-1]
    with torch.no_grad():
        normed = layer.layer_norm1(x)
        q, k, v = (getattr(layer.self_attn, f"{name}_proj")(normed)[0] for name in "qkv")
        if attention == "self":
            heads = []
            for channels in (slice(0, 16), slice(16, 32)):
                to_q, to_k = (torch.softmax(p[:, channels] @ p[:, channels].T / 4, -1) for p in (q, k))
                heads.append((to_q + to_k) @ v[:, channels])
            x = x[0] + layer.self_attn.out_proj(torch.cat(heads, -1))
            x = x + layer.mlp(layer.layer_norm2(x))
        elif kind == "clip":
            x = layer.self_attn.out_proj(v)
        else:
            x = vision.encoder.layers[-1](x, None)
            x = (x[0] if isinstance(x, tuple) else x)[0]
        x = vision.post_layernorm(x)
        if kind == "clip":
            return model.visual_projection(x[1:]).numpy()
        return torch.cat([vision.head(row[None, None]) for row in x]).numpy()  # asked about one patch at a time


@pytest.mark.parametrize("attention", ["value", "self"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [24, 40])
def test_patches(kind, attention, size, made):
    one, pixels = language(made(kind), f"&attention={attention}&size={size}"), photo(30, 45)
    found = one.look(pixels)
    assert found.size == (30, 45)
    assert found.values.shape == (size // PATCH, size * 3 // 2 // PATCH, one.dim)
    theirs = by_hand(kind, made(kind).model, entering(one, pixels, size, False), attention)
    np.testing.assert_allclose(found.values.reshape(-1, one.dim), theirs, atol=2e-4 * np.abs(theirs).max())


def two_regions() -> tuple[MaskForest, np.ndarray]:
    """The left third, and all but the last column of patches: patches lie in both, in one, in none."""
    masks = np.zeros((2, 24, 24), bool)
    masks[0, :, :8], masks[1, :, :20] = True, True
    return MaskForest.from_masks(masks, score=[0.25, 0.75]), masks[:, ::4, ::4].reshape(2, -1)


def test_values_spread_in_regions():
    _, held = two_regions()
    values = torch.randn(36, 8, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(36, 2, generator=torch.Generator().manual_seed(1)) + 0.1
    found = spread_in_regions(torch.from_numpy(held).float(), torch.tensor([0.25, 0.75]), values, weights).numpy()
    even = spread_in_regions(torch.from_numpy(held).float(), torch.tensor([0.25, 0.75]), values).numpy()
    for patch in range(36):
        told, plain = [], []
        for region, score in ((0, 0.25), (1, 0.75)):
            if held[region, patch]:
                inside = np.flatnonzero(held[region])
                heads = [
                    np.average(values[inside][:, 4 * h : 4 * h + 4], axis=0, weights=weights[inside, h]) for h in (0, 1)
                ]
                told.append((score, np.concatenate(heads)))
                plain.append((score, values[inside].numpy().mean(0)))
        for lists, given in ((told, found), (plain, even)):
            expected = values[patch].numpy()
            if lists:
                expected = sum(s * mean for s, mean in lists) / sum(s for s, _ in lists)
            np.testing.assert_allclose(given[patch], expected, atol=1e-5)


def test_patches_of_one_region_see_the_same(made):
    """Where a forest is told, patches of one region are alike, and one in no region is as without; without any forest
    it is the value path."""
    forest, held = two_regions()
    pixels = photo(24, 24)
    for kind in KINDS:
        one = language(made(kind), "&attention=regions&size=24")
        plain = language(made(kind), "&attention=value&size=24").look(pixels).values.reshape(36, -1)
        np.testing.assert_array_equal(one.look(pixels).values.reshape(36, -1), plain)
        found = one.look(pixels, forest).values.reshape(36, -1)
        both, one_alone, none = held.all(0), held[1] & ~held[0], ~held.any(0)
        for alike in (both, one_alone):
            np.testing.assert_allclose(found[alike], found[alike][:1].repeat(alike.sum(), 0), atol=1e-4)
        np.testing.assert_allclose(found[none], plain[none], atol=1e-4)
        assert np.abs(found[both][0] - found[one_alone][0]).max() > 1e-2


def test_siglips_head_asked_about_a_region(made):
    """All patches in one region: each is told what the head says of all of them together."""
    model, pixels = made("siglip").model, photo(24, 24)
    one = language(made("siglip"), "&attention=regions&size=24")
    found = one.look(pixels, MaskForest.from_masks(np.ones((1, 24, 24), bool))).values.reshape(36, -1)
    with torch.no_grad():
        theirs = model.get_image_features(entering(one, pixels, 24, False))
    theirs = getattr(theirs, "pooler_output", theirs).numpy()
    np.testing.assert_allclose(found, theirs.repeat(36, 0), atol=2e-4 * np.abs(theirs).max())


# ---------------------------------------------------------------------- around it


def test_regions_get_the_nearest_name(made, tmp_path, monkeypatch):
    monkeypatch.setenv("HEDGEROW_CACHE", str(tmp_path))
    forest, _ = two_regions()
    naming = open_naming(vocabulary_of("dog, grass, person"), f"hub:{made('clip').folder}?device=cpu", threshold=0)
    named = naming(forest, photo(24, 24))
    assert naming.settings["model"] == f"hub:{made('clip').folder.name}?attention=self&size=336"
    assert naming.language.scale == 40
    assert "sky" in naming.settings["background"]
    assert "grass" not in naming.settings["background"]
    assert len(list(tmp_path.glob("words-*.npy"))) == 1
    assert set(named.name) <= {"", "dog", "grass", "person"}


def test_long_strips_are_seen(made):
    found = language(made("clip"), "&size=336").look(np.zeros((20, 3000, 3), np.uint8))
    assert found.values.shape[0] * found.values.shape[1] <= 10_000


def test_scale_is_the_callers_or_siglips_own(made):
    assert language(made("clip"), "&scale=77").scale == 77
    own = float(made("siglip").model.logit_scale.exp().detach())
    assert language(made("siglip")).scale == pytest.approx(own)


def test_what_cannot_be_read(made, tmp_path):
    folder = made("clip").folder
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((folder / name).read_bytes())
    tower = tmp_path / "tower"
    made("clip").model.vision_model.save_pretrained(tower)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("[")
    for name, words in [
        (f"hub:{bare}", "has no tokenizer.json"),
        (f"hub:{tower}", "type clip_vision_model; those that read words are clip, siglip, siglip2"),
        (f"hub:{tmp_path / 'broken'}", "is no JSON object"),
        (f"hub:{tmp_path}", "has no config.json"),
        ("hub:./nowhere", "no such file or folder"),
        (f"hub:{folder}?attention=all", "attention should be value or self or regions"),
        (f"hub:{folder}?size=0", "at least 1"),
        (f"hub:{folder}?layer=1", "knows no option layer"),
    ]:
        with pytest.raises(CallerError, match=words) as told:
            open_language(name)
        assert "\n" not in str(told.value)


def test_transformers_that_cannot_be_used(made, monkeypatch):
    def fail(*_, **__):
        raise ModuleNotFoundError("Could not import module 'CLIPModel'. Are this object's requirements defined?")

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", fail)
    with pytest.raises(CallerError, match=r"transformers cannot be used \(Could not .+\): a torchvision there"):
        open_language(f"hub:{made('clip').folder}")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("GatedRepoError", r"eyes could not be fetched \(its licence .+\): do so on https.+, then `hf auth login`$"),
        ("RepositoryNotFoundError", r"eyes could not be fetched \(no such id, or a private one\): check it"),
        ("HfHubHTTPError", r"403 .+ Not for you\): put config\.json, tokenizer\.json and model\.safetensors from "),
    ],
)
def test_why_the_hub_gives_nothing(kind, told, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def refuse(self):
        Exception.__init__(self, "403 Client Error. (Request ID: x)\n\nNot for you")

    refusal = type("Refusal", (getattr(hub.errors, kind),), {"__init__": refuse, "__str__": lambda self: self.args[0]})

    def fail(*_, **__):
        raise refusal

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(CallerError, match=told) as said:
        open_language("hub:nobody/eyes")
    assert "\n" not in str(said.value)
