"""Our vision transformer against transformers' models: the same numbers from the same files, and bad files refused.

Every model is small and random. Its weights are drawn wide, so that a wrong rule shows: `test_wide_enough` proves it.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch", reason="hub: backbones need torch: pip install hedgerow[train]")
transformers = pytest.importorskip("transformers", reason="the oracle here is transformers: pip install transformers")
safetensors = pytest.importorskip("safetensors.torch", reason="weights are read with safetensors")

from hedgerow.backbones import feature_map, open_backbone  # noqa: E402
from hedgerow.backbones.fit import fitted, prepare  # noqa: E402
from hedgerow.backbones.hub import HubBackbone  # noqa: E402
from hedgerow.config import CallerError  # noqa: E402
from hedgerow.learn.networks.checkpoints import load_network  # noqa: E402
from hedgerow.learn.networks.vit import ViT, ViTConfig  # noqa: E402

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

PATCH, DEPTH = 4, 3
SHAPE = {"hidden_size": 32, "num_hidden_layers": DEPTH, "num_attention_heads": 2, "patch_size": PATCH}
WITH_MLP = dict(**SHAPE, intermediate_size=48)
SQUARE = {"image_size": 6 * PATCH}
SIZES = [(24, 24), (44, 44), (16, 36), (40, 12)]  # native, larger, wide, tall; smaller in both is (8, 8) below
KINDS = {
    "vit": lambda t: t.ViTModel(t.ViTConfig(**WITH_MLP, **SQUARE)),
    "vit-without-qkv-bias": lambda t: t.ViTModel(t.ViTConfig(**WITH_MLP, **SQUARE, qkv_bias=False)),
    "dinov2": lambda t: t.Dinov2Model(t.Dinov2Config(**SHAPE, **SQUARE, mlp_ratio=2)),
    "dinov2-gated": lambda t: t.Dinov2Model(t.Dinov2Config(**SHAPE, **SQUARE, mlp_ratio=2, use_swiglu_ffn=True)),
    "dinov2-registers": lambda t: t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**SHAPE, **SQUARE)),
    "dinov3": lambda t: t.DINOv3ViTModel(t.DINOv3ViTConfig(**WITH_MLP, num_register_tokens=4)),
    "dinov3-bare": lambda t: t.DINOv3ViTModel(t.DINOv3ViTConfig(**WITH_MLP, query_bias=False, value_bias=False)),
    "dinov3-gated": lambda t: t.DINOv3ViTModel(
        t.DINOv3ViTConfig(**WITH_MLP, num_register_tokens=4, use_gated_mlp=True, hidden_act="silu")
    ),
    "clip-tower": lambda t: t.CLIPVisionModel(t.CLIPVisionConfig(**WITH_MLP, **SQUARE)),
    "clip": lambda t: t.CLIPModel(t.CLIPConfig(text_config=TEXT, vision_config=WITH_MLP | SQUARE)),
    "siglip-tower": lambda t: t.SiglipVisionModel(t.SiglipVisionConfig(**WITH_MLP, **SQUARE)),
    "siglip": lambda t: t.SiglipModel(t.SiglipConfig(text_config=TEXT, vision_config=WITH_MLP | SQUARE)),
    "siglip2": lambda t: t.Siglip2VisionModel(t.Siglip2VisionConfig(**WITH_MLP, num_patches=36)),
}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


class Oracle(NamedTuple):
    model: Any  # transformers' image tower
    whole: Any  # what is saved: the tower, or a model around it
    folder: Path


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    @cache
    def make(kind: str) -> Oracle:
        torch.manual_seed(len(kind))
        whole = KINDS[kind](transformers).eval()
        for parameter in whole.parameters():
            parameter.data.normal_(0, 0.3)
        folder = tmp_path_factory.mktemp(kind)
        whole.save_pretrained(folder)
        return Oracle(getattr(whole, "vision_model", whole), whole, folder)

    return make


@pytest.fixture(scope="module")
def ours(oracle):
    @cache
    def make(kind: str) -> ViT:
        return load_network(oracle(kind).folder).network

    return make


def look(model: Any, pixels: Any) -> tuple[list[Any], dict[str, list[Any]], Any]:
    """What transformers says: each block's output, each block's projections, the last hidden state."""
    seen: dict[str, list[Any]] = {"query": [], "key": [], "value": []}
    hooks = [
        module.register_forward_hook(lambda _, __, out, feature=feature: seen[feature].append(out))
        for name, module in model.named_modules()
        for feature, ending in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))
        if name.endswith(ending)
    ]
    options: dict[str, Any] = {"output_hidden_states": True}
    kind = model.config.model_type
    if kind in ("vit", "clip_vision_model", "siglip_vision_model"):
        options["interpolate_pos_encoding"] = True
    if kind == "siglip2_vision_model":
        h, w = (side // PATCH for side in pixels.shape[-2:])
        cut = pixels.unflatten(2, (h, PATCH)).unflatten(4, (w, PATCH)).permute(0, 2, 4, 3, 5, 1)
        options["pixel_attention_mask"] = torch.ones(len(pixels), h * w, dtype=torch.long)
        options["spatial_shapes"] = torch.tensor([[h, w]] * len(pixels))
        pixels = cut.flatten(3).flatten(1, 2)
    with torch.no_grad():
        out = model(pixels, **options)
    for hook in hooks:
        hook.remove()
    return list(out.hidden_states[1:]), seen, out.last_hidden_state


def close(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= tolerance * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("size", [*SIZES, (8, 8)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_transformers(kind, size, oracle, ours):
    model, vit = oracle(kind).model, ours(kind)
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    blocks, projections, last = look(model, pixels)
    assert [len(found) for found in (blocks, *projections.values())] == [DEPTH] * 4
    with torch.no_grad():
        close(vit(pixels), last)  # every token, class and registers too
        close(vit.patches(pixels).flatten(1, 2), last[:, vit.prefix :])
        for layer in range(DEPTH):
            close(vit(pixels, layer, norm=False), blocks[layer])
            for feature in projections:
                close(vit(pixels, layer, feature), projections[feature][layer])
        close(vit(pixels, -2), blocks[-2])  # an earlier block's output is bare
        close(vit(pixels, -1, norm=True), vit.norm(blocks[-1]))
    h, w = (side // PATCH for side in size)
    assert vit.patches(pixels, 0, "key").shape == (2, h, w, 32)


def test_wide_enough(ours):
    """The random weights tell right from wrong: each rule of positions, activation or epsilon gives other numbers."""
    pixels = torch.randn(1, 3, 16, 36)
    rules = [
        ("dinov2", {"positions": "bicubic-antialias"}),
        ("dinov2-registers", {"positions": "bicubic"}),
        ("siglip2", {"positions": "bicubic-antialias"}),
        ("clip", {"activation": "gelu"}),
        ("siglip", {"activation": "gelu"}),
        ("dinov3-gated", {"activation": "gelu"}),
        ("dinov3", {"rope_base": 99.0}),
        ("dinov3", {"norm_eps": 1e-3}),
        ("clip", {"heads": 4}),
    ]
    for kind, wrong in rules:
        right = ours(kind)
        other = ViT(ViTConfig(**{**right.config.__dict__, **wrong})).eval()
        other.load_state_dict(right.state_dict())
        with torch.no_grad():
            assert float((other(pixels) - right(pixels)).abs().max()) > 1e-4, (kind, wrong)


def test_spelling_of_transformers_5(oracle, ours, tmp_path):
    """save_pretrained still writes the names of version 4; a state dict saved as it is has those of version 5."""
    for kind in ("vit", "dinov2-gated", "dinov2-registers", "dinov3-gated", "clip", "siglip-tower"):
        folder = tmp_path / kind
        folder.mkdir()
        whole, saved = oracle(kind).whole, oracle(kind).folder
        safetensors.save_file(dict(whole.state_dict()), folder / "model.safetensors")
        (folder / "config.json").write_text((saved / "config.json").read_text())
        same_weights(load_network(folder).network, ours(kind))


def test_pickled_folder_and_pixel_statistics(oracle, ours, tmp_path):
    old = safetensors.load_file(oracle("dinov2").folder / "model.safetensors")
    torch.save(old, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((oracle("dinov2").folder / "config.json").read_text())
    same_weights(load_network(tmp_path).network, ours("dinov2"))
    assert load_network(tmp_path / "pytorch_model.bin").mean == (0.485, 0.456, 0.406)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}')
    found = load_network(tmp_path)
    assert (found.mean, found.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    old = safetensors.load_file(oracle("clip").folder / "model.safetensors")
    old["vision_model.embeddings.position_ids"] = torch.arange(37)[None]  # as CLIP's first files on the hub have it
    torch.save(old, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((oracle("clip").folder / "config.json").read_text())
    same_weights(load_network(tmp_path).network, ours("clip"))
    assert load_network(oracle("clip").folder).mean[0] == pytest.approx(0.48145466)
    assert load_network(oracle("siglip").folder).std == (0.5, 0.5, 0.5)


def same_weights(found: ViT, expected: ViT) -> None:
    assert found.config == expected.config
    for key, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[key], tensor), key


# ---------------------------------------------------------------- files of the releases


def release(model: Any, gate: tuple[str, ...] = ()) -> dict[str, Any]:
    """A model's weights under the names of the DINO, DINOv2 and DINOv3 releases, from its modules, not by renaming."""
    kind, stem = model.config.model_type, model.embeddings
    patch = getattr(stem.patch_embeddings, "projection", stem.patch_embeddings)
    last = model.norm if kind == "dinov3_vit" else model.layernorm
    out = {"cls_token": stem.cls_token, "mask_token": torch.zeros(1, 32), **leaves("patch_embed.proj", patch)}
    out |= leaves("norm", last)
    if kind != "dinov3_vit":
        out["pos_embed"] = stem.position_embeddings
    if kind == "vit":
        del out["mask_token"]
    if hasattr(stem, "register_tokens"):
        out["storage_tokens" if kind == "dinov3_vit" else "register_tokens"] = stem.register_tokens
    layers = model.layers if kind == "vit" else model.model.layer if kind == "dinov3_vit" else model.encoder.layer
    for i, layer in enumerate(layers):
        a, name = layer.attention, f"blocks.{i}."
        zero = torch.zeros(32)
        out[name + "attn.qkv.weight"] = torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight])
        out[name + "attn.qkv.bias"] = torch.cat(
            [zero if p.bias is None else p.bias for p in (a.q_proj, a.k_proj, a.v_proj)]
        )
        out |= leaves(name + "attn.proj", a.o_proj)
        out |= leaves(name + "norm1", layer.layernorm_before if kind == "vit" else layer.norm1)
        out |= leaves(name + "norm2", layer.layernorm_after if kind == "vit" else layer.norm2)
        if kind != "vit":
            out |= {name + "ls1.gamma": layer.layer_scale1.lambda1, name + "ls2.gamma": layer.layer_scale2.lambda1}
        mlp = layer.mlp
        if gate == ("w12", "w3"):
            pair = (mlp.gate_proj, mlp.up_proj)
            out[name + "mlp.w12.weight"] = torch.cat([part.weight for part in pair])
            out[name + "mlp.w12.bias"] = torch.cat([part.bias for part in pair])
            out |= leaves(name + "mlp.w3", mlp.down_proj)
        elif gate:
            parts = zip(gate, (mlp.gate_proj, mlp.up_proj, mlp.down_proj), strict=True)
            out |= {k: v for ours, part in parts for k, v in leaves(f"{name}mlp.{ours}", part).items()}
        else:
            first, second = (mlp.up_proj, mlp.down_proj) if kind == "dinov3_vit" else (mlp.fc1, mlp.fc2)
            out |= leaves(name + "mlp.fc1", first) | leaves(name + "mlp.fc2", second)
    return {key: value.detach().clone() for key, value in out.items()}


def leaves(name: str, module: Any) -> dict[str, Any]:
    return {f"{name}.{leaf}": tensor for leaf, tensor in module.named_parameters()}


def same_numbers(path: Path, model: Any, heads: int | None) -> None:
    vit = load_network(path, heads).network
    for size in SIZES:
        pixels = torch.randn(1, 3, *size)
        with torch.no_grad():
            close(vit(pixels), look(model, pixels)[2])


@pytest.fixture(scope="module")
def dino():
    """DINO's release has an epsilon of 1e-6, where transformers' ViT says 1e-12."""
    torch.manual_seed(7)
    model = transformers.ViTModel(transformers.ViTConfig(**WITH_MLP, **SQUARE, layer_norm_eps=1e-6)).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    return model


def test_dino_release(dino, tmp_path):
    path = tmp_path / "dino_deitsmall8_pretrain.pth"
    torch.save(release(dino), path)
    same_numbers(path, dino, heads=2)
    found = HubBackbone(str(path), heads=2, device="cpu")
    assert found.supervision == "none"
    assert found.name == f"hub:dino_deitsmall8_pretrain.pth?layer={DEPTH - 1}&feature=key"


def test_dino_training_checkpoint(dino, tmp_path):
    """The teacher is taken, from under its prefixes and from beside what training keeps: arguments, heads, momenta."""
    trunk = release(dino)
    teacher = {f"backbone.{key}": value for key, value in trunk.items()} | {"head.mlp.0.weight": torch.ones(2, 2)}
    student = {f"module.{key}": value + 1 for key, value in teacher.items()}
    whole = {"student": student, "teacher": teacher, "optimizer": {"state": {0: torch.ones(1)}}, "epoch": 100}
    torch.save(whole | {"args": argparse.Namespace(arch="vit_small", lr=0.1)}, tmp_path / "full.pth")
    same_numbers(tmp_path / "full.pth", dino, heads=2)
    torch.save({"state_dict": {f"module.{key}": value for key, value in trunk.items()}}, tmp_path / "parallel.pth")
    same_numbers(tmp_path / "parallel.pth", dino, heads=2)
    safetensors.save_file(trunk, tmp_path / "dino.safetensors")
    same_numbers(tmp_path / "dino.safetensors", dino, heads=2)


@pytest.mark.parametrize(
    ("kind", "gate"), [("dinov2", ()), ("dinov2-gated", ("w12", "w3")), ("dinov2-registers", ())], ids=str
)
def test_dinov2_release(kind, gate, oracle, tmp_path):
    weights = release(oracle(kind).model, gate)
    torch.save(weights, tmp_path / "dinov2_vits14_pretrain.pth")
    same_numbers(tmp_path / "dinov2_vits14_pretrain.pth", oracle(kind).model, heads=2)
    chunked = {f"backbone.{key.replace('blocks.', 'blocks.0.')}": value for key, value in weights.items()}
    torch.save({"teacher": chunked}, tmp_path / "teacher_checkpoint.pth")
    same_numbers(tmp_path / "teacher_checkpoint.pth", oracle(kind).model, heads=2)


@pytest.mark.parametrize(("kind", "gate"), [("dinov3", ()), ("dinov3-gated", ("w1", "w2", "w3"))], ids=str)
def test_dinov3_release(kind, gate, oracle, tmp_path):
    """Heads come from the rotation's periods (kept as bfloat16); the keys' bias is masked, whatever it holds."""
    weights = release(oracle(kind).model, gate)
    weights["rope_embed.periods"] = (100.0 ** (torch.arange(4) / 4)).bfloat16()
    for key in [key for key in weights if key.endswith("qkv.bias")]:
        weights[key + "_mask"] = torch.cat([torch.ones(32), torch.zeros(32), torch.ones(32)])
        weights[key][32:64] = 5
    path = tmp_path / "dinov3_vits16_pretrain_lvd1689m-08c60483.pth"
    torch.save(weights, path)
    same_numbers(path, oracle(kind).model, heads=None)
    assert load_network(path).mean == (0.485, 0.456, 0.406)
    torch.save(weights, tmp_path / "dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth")
    assert load_network(tmp_path / "dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth").mean == (0.430, 0.411, 0.296)
    weights["rope_embed.periods"] = 10.0 ** (torch.arange(4) / 4)
    torch.save(weights, path)
    refused(path, "other periods")


# ---------------------------------------------------------------- what is refused, in one line


def refused(where: Path, *words: str, **options: Any) -> None:
    with pytest.raises(CallerError) as told:
        load_network(where, **options)
    assert "\n" not in str(told.value)
    for word in (*words, where.name):
        assert word in str(told.value), told.value


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_hostile_pickle_is_refused_not_run(tmp_path):
    mark = tmp_path / "it-ran"
    torch.save({"cls_token": torch.ones(1), "model": Evil(mark)}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil(mark), protocol=2))
    refused(tmp_path / "zip.pth", "more than tensors")
    refused(tmp_path / "plain.pth", "more than tensors")
    assert not mark.exists()


def test_broken_files(oracle, tmp_path):
    (tmp_path / "a.pth").write_text("not a checkpoint")
    (tmp_path / "b.pth").write_bytes(b"")
    (tmp_path / "c.safetensors").write_bytes((oracle("vit").folder / "model.safetensors").read_bytes()[:5000])
    torch.save([1, 2], tmp_path / "d.pth")
    torch.save({"epoch": 3}, tmp_path / "e.pth")
    refused(tmp_path / "a.pth", "refused")
    refused(tmp_path / "b.pth", "refused")
    refused(tmp_path / "c.safetensors", "broken")
    refused(tmp_path / "d.pth", "no tensors")
    refused(tmp_path / "e.pth", "no tensors")
    refused(tmp_path / "f.pth", "no such file")


def test_wrong_files(dino, tmp_path):
    good, path = release(dino), tmp_path / "x.pth"

    def saved(**changes: Any) -> Path:
        torch.save({key: value for key, value in {**good, **changes}.items() if value is not None}, path)
        return path

    refused(saved(**{"blocks.1.norm1.bias": None}), "blocks.1.norm1.bias is missing", heads=2)
    refused(saved(**{"blocks.1.attn.rel_pos": torch.ones(1)}), "no place for: blocks.1.attn.rel_pos", heads=2)
    refused(saved(**{"blocks.2.attn.proj.bias": torch.ones(31)}), "blocks.2.attn.proj.bias", "(31,)", "(32,)", heads=2)
    refused(saved(pos_embed=torch.ones(1, 30, 32)), "29 positions", heads=2)
    refused(saved(**{"patch_embed.proj.weight": None}), "config.json")
    refused(saved(**{"blocks.0.mlp.fc2.weight": None}), "blocks.0.mlp.fc2.weight")
    refused(saved(**{"head.weight": torch.ones(10, 32)}), "labels")
    refused(saved(), "32 channels", "heads")
    torch.save({"conv1.weight": torch.ones(1), "layer1.0.conv1.weight": torch.ones(1)}, tmp_path / "resnet.pth")
    refused(tmp_path / "resnet.pth", "conv1.weight")


def test_weights_in_several_files(oracle, tmp_path):
    """As transformers writes what is large; the index may name nothing outside of its folder."""
    oracle("vit").model.save_pretrained(tmp_path, max_shard_size="20KB")
    index = tmp_path / "model.safetensors.index.json"
    parts = sorted(tmp_path.glob("model-*-of-*.safetensors"))
    assert len(parts) > 2
    one, several = load_network(oracle("vit").folder), load_network(tmp_path)
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, several.network.state_dict()[name]), name
    assert several.sha256 != one.sha256
    assert load_network(index).sha256 == several.sha256
    content = json.loads(index.read_text())
    parts[0].rename(tmp_path.parent / parts[0].name)
    refused(tmp_path, f"names {parts[0].name}, which is not there")
    outside = {key: f"../{name}" for key, name in content["weight_map"].items()}
    index.write_text(json.dumps(content | {"weight_map": outside}))
    refused(tmp_path, f"names {parts[0].name}, which is not there")
    index.write_text("{}")
    refused(tmp_path, "does not say which file")


def test_wrong_folders(oracle, tmp_path):
    refused(tmp_path, "no config.json")
    config = json.loads((oracle("vit").folder / "config.json").read_text())

    def says(**changes: Any) -> None:
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))

    says()
    refused(tmp_path, "model.safetensors nor model.safetensors.index.json nor pytorch_model.bin")
    (tmp_path / "model.safetensors").write_bytes((oracle("vit").folder / "model.safetensors").read_bytes())
    load_network(tmp_path)
    says(hidden_size=64)
    refused(tmp_path, "hidden_size 64", "holds 32")
    says(num_hidden_layers=12)
    refused(tmp_path, "num_hidden_layers 12")
    says(model_type="swin")
    refused(tmp_path, "swin", "dinov3_vit")
    says(hidden_act="relu")
    refused(tmp_path, "relu")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CallerError, match="not JSON"):
        load_network(tmp_path)


def test_classifier_is_refused(tmp_path):
    config = transformers.ViTConfig(**WITH_MLP, **SQUARE)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    refused(tmp_path / "model.safetensors", "labels")


# ---------------------------------------------------------------- the backbone around it


def test_features_of_photos(oracle):
    """Pixels in, the same as transformers given the same pixels: sides to whole patches, colours by the model's own."""
    model, folder = oracle("dinov2-registers").model, oracle("dinov2-registers").folder
    backbone = open_backbone(f"hub:{folder}?layer=1&feature=value", device="cpu")
    photos = np.random.default_rng(0).integers(0, 256, (3, 21, 38, 3), np.uint8)
    found = backbone.features(photos)
    assert found.shape == (3, 5, 10, 32)  # 21 / 4 and 38 / 4, to the nearest
    assert found.dtype == np.float32
    (batch,) = prepare(photos, PATCH, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), size=None, square=False)
    assert batch.shape == (3, 3, 20, 40)
    theirs = look(model, torch.from_numpy(batch))[1]["value"][1]
    close(torch.from_numpy(found).flatten(1, 2), theirs[:, 5:])
    assert np.allclose(backbone.features(photos[1:2])[0], found[1], atol=1e-5)
    whole = feature_map(backbone, photos[0])
    assert whole.size == (21, 38)
    assert np.allclose(whole.values, found[0], atol=1e-5)
    assert backbone.features(photos[:0]).shape == (0, 5, 10, 32)
    assert backbone.supervision == "none"
    assert len(backbone.weights_sha256) == 64


def test_normalising_by_hand():
    photo = np.full((1, 4, 4, 3), 255, np.uint8)
    (batch,) = prepare(photo, 4, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0), size=None, square=False)
    assert batch[0, :, 0, 0].tolist() == [1.0, 3.0, 0.5]


def test_fitted():
    assert fitted(480, 640, 8, None, False) == (480, 640)
    assert fitted(483, 644, 8, None, False) == (480, 648)  # half a patch goes up
    assert fitted(3, 100, 8, None, False) == (8, 104)  # 12.5 patches too; never none
    assert fitted(960, 1280, 8, 480, False) == (480, 640)
    assert fitted(1280, 960, 14, 480, False) == (644, 476)
    assert fitted(960, 1280, 8, 480, True) == (480, 480)
    for wrong, words in [((1000, 1000, 8, None, False), "size=480"), ((9, 9, 8, None, True), "square")]:
        with pytest.raises(CallerError, match=words):
            fitted(*wrong)


def test_batches_are_bounded():
    photos = np.zeros((5, 512, 512, 3), np.uint8)
    counts = [len(batch) for batch in prepare(photos, 8, (0.5,) * 3, (0.5,) * 3, size=None, square=False)]
    assert counts == [2, 2, 1]


def test_half_precision(oracle):
    folder = oracle("dinov3").folder
    photo = np.random.default_rng(0).integers(0, 256, (1, 24, 24, 3), np.uint8)
    exact = HubBackbone(str(folder), device="cpu").features(photo)
    rough = HubBackbone(str(folder), device="cpu", dtype="bfloat16").features(photo)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()


def test_options(oracle, tmp_path):
    dinov2, vit = f"hub:{oracle('dinov2').folder}", f"hub:{oracle('vit').folder}"
    for spec, words in [
        ("webcam", "texture, embedded"),
        (dinov2 + "?colour=red", "no option colour"),
        (dinov2 + "?layer=first", "layer should be int"),
        (dinov2 + "?feature=keys", "feature should be output or query or key or value"),
        (dinov2 + "?layer=3", "layers 0 to 2"),
        (dinov2 + "?size=true", "size should be int"),
        (dinov2 + "?dtype=int8", "dtype is float32"),
        (dinov2 + "?device=abacus", "abacus"),
        (vit, "supervision=none"),
        (vit + "?supervision=magic", "none, captions, labels"),
        ("hub:./nowhere", "no such file or folder"),
        ("hub:/nowhere/x.pth", "no such file or folder"),
    ]:
        with pytest.raises(CallerError, match=words) as told:
            open_backbone(spec)
        assert "\n" not in str(told.value)
    assert open_backbone(vit + "?supervision=none").supervision == "none"
    chosen = open_backbone(
        dinov2 + "?layer=0&feature=query&norm=false&size=16&square=true", feature="output", device="cpu"
    )
    assert chosen.name.endswith("?layer=0&feature=output&norm=false")
    assert chosen.features(np.zeros((1, 50, 90, 3), np.uint8)).shape == (1, 4, 4, 32)


def test_hub_id(oracle, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CallerError, match=r"into a folder and give hub:FOLDER") as told:
        open_backbone("hub:nobody/dino-nothing")
    assert "\n" not in str(told.value)
    asked = []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns[-1]))
        return str(oracle("vit").folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    backbone = open_backbone("hub:facebook/dino-vitb8", device="cpu")
    assert asked == [("facebook/dino-vitb8", "model-*-of-*.safetensors")]
    assert backbone.name == "hub:facebook/dino-vitb8?layer=2&feature=key"
    assert backbone.supervision == "none"


def test_initial_weights_come_from_the_generator():
    small = ViTConfig(dim=32, depth=1, heads=2, hidden=32, patch=4, side=2, registers=1, layer_scale=True)
    one, two, three = (ViT(small, torch.Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["blocks.0.attn.qkv.weight"], three["blocks.0.attn.qkv.weight"])
    assert not one["blocks.0.attn.qkv.bias"].any()


def test_the_same_network_with_weights_just_drawn(oracle):
    """Nothing of the file but its shape and pixels; the options that NAME takes are taken and mean the same."""
    where = f"hub:{oracle('dinov3').folder}"
    options = "layer=1&feature=output&norm=true&size=16&device=cpu"
    trained = open_backbone(f"{where}?{options}&supervision=none")
    drawn = open_backbone(f"random:{where}?{options}&supervision=none&seed=3")
    photo = np.random.default_rng(0).integers(0, 256, (1, 20, 30, 3), np.uint8)
    assert drawn.name == f"random:{trained.name}&seed=3"
    assert (drawn.supervision, drawn.weights_sha256) == ("none", None)
    assert drawn.network.config == trained.network.config
    expected = ViT(trained.network.config, torch.Generator().manual_seed(3)).eval()
    pixels = next(prepare(photo, PATCH, trained.mean, trained.std, size=16, square=False))
    with torch.no_grad():
        close(torch.from_numpy(drawn.features(photo)), expected.patches(torch.from_numpy(pixels), 1, "output", True))
    assert np.abs(drawn.features(photo) - trained.features(photo)).max() > 0.1
    other = open_backbone(f"random:{where}?{options}&seed=4")
    assert np.abs(drawn.features(photo) - other.features(photo)).max() > 0.1
    assert open_backbone(f"random:{where}?device=cpu").reading == (-1, "key", None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("random:texture", "random: draws weights for hub:... and FILE.onnx; texture is no network"),
        ("random:", "random: draws weights for"),
        ("random:hub:nowhere", "no such file or folder: nowhere"),
        ("random:no.onnx", "no such file: no.onnx"),
        ("random:hub:x?seed=-1", "seed is at least 0, got -1"),
        ("random:hub:x?feature=keys", "feature should be output or query or key or value, got 'keys'"),
        ("random:hub:x?layer=yes", "layer should be int, got 'yes'"),
    ],
)
def test_what_cannot_be_drawn_anew(name, told):
    with pytest.raises(CallerError) as error:
        open_backbone(name)
    assert str(error.value).startswith(told)
