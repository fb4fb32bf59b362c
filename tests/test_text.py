"""Captions as numbers and as vectors: the vocabulary, the words that mean something, what pieces start from, our text
tower, and those of transformers, compared with transformers."""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers", reason="text towers are transformers': pip install transformers")
from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402

from hedgerow.config import CallerError  # noqa: E402
from hedgerow.learn.export import Entry, write_graph  # noqa: E402
from hedgerow.learn.lexicon import LEAST, SPREAD, neighbours, read_vectors, start_of  # noqa: E402
from hedgerow.learn.networks.text import (  # noqa: E402
    HubTower,
    TextConfig,
    TextTower,
    belonging,
    load_text_tower,
    tower_of,
)
from hedgerow.learn.tokens import (  # noqa: E402
    FUNCTION,
    PAD,
    Tokens,
    content_words,
    folded,
    learn_tokens,
    met_in,
    names_of_things,
    read_tokens,
    vocabulary_of,
)

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

CAPTIONS = [
    "A red ball lies on the grass",
    "two dogs run after a red ball",
    "The blue ball, and a dog on green grass.",
    "a man throws the blue ball to his dogs",
] * 3


@pytest.fixture(scope="module")
def tokens():
    return learn_tokens(CAPTIONS, 400, 16)


# ---------------------------------------------------------------------- captions as numbers


def test_the_same_captions_give_the_same_vocabulary(tokens, tmp_path):
    assert learn_tokens(iter(CAPTIONS), 400, 16).written() == tokens.written()
    assert learn_tokens(CAPTIONS[:1], 400, 16).written() != tokens.written()
    (tmp_path / "tokenizer.json").write_bytes(tokens.written())
    again = read_tokens(tmp_path / "tokenizer.json", 16)
    assert torch.equal(again(CAPTIONS), tokens(CAPTIONS))
    assert len(again) == len(tokens) <= 400


def test_nothing_but_padding_is_0(tokens):
    rows = tokens(["ball", "a red ball lies on the grass", ""])
    assert rows.dtype == torch.int64
    assert tokens.tokenizer.token_to_id(PAD) == 0
    count = len(tokens.tokenizer.encode("a red ball lies on the grass").ids)
    assert rows.shape == (3, count)
    assert (rows[1] != 0).all()
    assert rows[0].tolist() == [*tokens.pieces("ball"), *[0] * (count - 1)], "a word met often is one piece"
    assert not rows[2].any()
    assert tokens([]).shape == (0, 1)
    assert tokens(["", ""]).shape == (2, 1)


def test_what_is_longer_than_the_context_is_cut(tokens):
    short = Tokens(read_again(tokens), 3)
    sentence = "a red ball lies on the grass"
    assert short([sentence])[0].tolist() == tokens([sentence])[0, :3].tolist()


def test_any_text_can_be_said(tokens):
    longer = Tokens(read_again(tokens), 64)
    for text in ("ünïcödé 😀 日本", "x\ty", "zzz-qqq", "a <pad> b"):
        ids = longer([text])[0].tolist()
        assert 0 not in ids
        assert longer.tokenizer.decode(ids).strip() == text


def test_letters_of_other_forms_are_the_same(tokens):
    assert torch.equal(tokens(["RED ball"]), tokens(["red ball"]))
    assert torch.equal(tokens(["ﬁeld ２"]), tokens(["field 2"])), "NFKC"


def read_again(tokens):
    return Tokenizer.from_str(tokens.written().decode())


def test_what_is_no_tokenizer_is_told_in_a_line(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    for path in (tmp_path / "tokenizer.json", tmp_path / "none.json"):
        with pytest.raises(CallerError, match=r"json is no tokenizer\.json \(.+\)$"):
            read_tokens(path, 8)


# ---------------------------------------------------------------------- words that mean something


def test_content_words():
    assert content_words("Two dogs are running on the grass, and a DOG's ball is red.") == [
        "dog",
        "running",
        "grass",
        "ball",
        "red",
    ]
    assert content_words("There are some of them at the left side in this photo of 2 ...") == []
    assert content_words("a child and other children's boxes") == ["child", "box"]
    assert content_words("ﬁre") == ["fire"]


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("dogs", "dog"),
        ("dog's", "dog"),
        ("women", "woman"),
        ("people", "people"),
        ("boxes", "box"),
        ("benches", "bench"),
        ("dresses", "dress"),
        ("puppies", "puppy"),
        ("ties", "tie"),
        ("leaves", "leaf"),
        ("buses", "bus"),
        ("horses", "horse"),
        ("grass", "grass"),
        ("bus", "bus"),
        ("tennis", "tennis"),
        ("gas", "gas"),
    ],
)
def test_one_form_for_one_and_many(many, one):
    assert folded(many) == one
    assert folded(one) == one, "what is folded stays as it is"


def test_photos_are_counted_not_captions():
    said = [("a dog", "the dog and a cat"), ("dogs",), ("a cat on a mat",)]
    assert list(vocabulary_of(said, 10).items()) == [("cat", 2), ("dog", 2), ("mat", 1)], "even ones by their letters"
    assert vocabulary_of(said, 1) == {"cat": 2}
    assert met_in(said, 2, 10) == {"a": 2, "cat": 2, "dog": 2}, "little words as well"
    assert met_in(said, 1, 2) == {"a": 2, "cat": 2}
    assert "a" in FUNCTION


def test_names_of_things():
    words = ["dog", "red", "running", "building", "quickly", "large", "sky", "stands"]
    assert names_of_things(words) == ["dog", "building", "sky"]


# ---------------------------------------------------------------------- what pieces start from


def test_neighbours_by_hand():
    """Red and blue stand beside ball, 3 times each: of 12 pairs ball is in 6 and each of them in 3. Contexts' shares
    are 3^.75, 3^.75 and 6^.75 of their sum, so red tells ln(1 / share of ball) of ball, and ball ln(1/2 / share of
    red) of red. What is there has two directions, so two are all of it."""
    found = neighbours([["red", "ball"]] * 3 + [["blue", "ball"]] * 3, 8)
    total = 2 * 3**0.75 + 6**0.75
    of_ball, of_red = math.log(total / 6**0.75), math.log(0.5 * total / 3**0.75)
    assert sorted(found) == ["ball", "blue", "red"]
    assert np.allclose(found["red"], found["blue"], atol=1e-6)
    assert found["red"] @ found["red"] == pytest.approx(of_ball / math.sqrt(2), rel=1e-5)
    assert found["ball"] @ found["ball"] == pytest.approx(of_red * math.sqrt(2), rel=1e-5)
    assert found["red"] @ found["ball"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dense", [0, 1000])
def test_neighbours_as_a_plain_table_has_them(monkeypatch, dense):
    monkeypatch.setattr("hedgerow.learn.lexicon.DENSE", dense)
    rng = np.random.default_rng(0)
    names = np.array(["ant", "bee", "cow", "dog", "eel", "fox"])
    sentences = [list(names[rng.integers(0, 6, 8)]) for _ in range(20)] + [["once", "ant"]] * (LEAST - 1)
    found = neighbours(sentences, 3)
    assert sorted(found) == sorted(names), "a word too rare is left out"
    again = neighbours(sentences, 3)
    assert all(np.array_equal(found[name], again[name]) for name in names)
    counts = np.zeros((6, 6))
    for sentence in sentences:
        kept = [word for word in sentence if word in names]
        for i, word in enumerate(kept):
            for j, other in enumerate(kept):
                if i != j and abs(i - j) <= 5:
                    counts[np.searchsorted(names, word), np.searchsorted(names, other)] += 1
    share = counts.sum(0) ** 0.75 / (counts.sum(0) ** 0.75).sum()
    with np.errstate(divide="ignore"):
        table = np.log(counts / counts.sum(1, keepdims=True) / share).clip(0)
    left, strength, _ = np.linalg.svd(table)
    expected = (left[:, :3] * strength[:3]) @ left[:, :3].T
    vectors = np.stack([found[name] for name in names])
    assert np.allclose(vectors @ vectors.T, expected, atol=1e-5)
    assert neighbours([["one", "two"]], 3) == {}, "nothing is told of so little"


def write_vectors(path: Path, header: str = "") -> Path:
    path.write_text(f"{header}red 1 0 0\nblue 0.9 0.2 0\nBall 0 0 1\nnever 3 3 3\n")
    return path


@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_vectors_are_read(tmp_path, header):
    found = read_vectors(write_vectors(tmp_path / "v.txt", header), {"red", "blue", "ball", "4"})
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "red": [1, 0, 0],
        "blue": pytest.approx([0.9, 0.2, 0]),
        "ball": [0, 0, 1],
    }


def test_words_with_blanks_are_passed_over(tmp_path):
    """GloVe's largest file has some: ". . ." and the numbers."""
    (tmp_path / "v.txt").write_text("red 1 0 0\n. . . 5 5 5\nball 0 0 1\n")
    assert sorted(read_vectors(tmp_path / "v.txt", {"red", "ball", "."})) == ["ball", "red"]


def test_pieces_have_the_vectors_of_their_words(tokens, tmp_path):
    """Likenesses of whole words are those of their centred vectors; what is part of words is their mean."""
    made = start_of(str(write_vectors(tmp_path / "v.txt")), CAPTIONS, tokens, 8)
    assert made.shape == (len(tokens), 8)
    words = ["red", "blue", "ball"]
    rows = []
    for word in words:
        (piece,) = tokens.pieces(word)
        rows.append(made[piece])
    given = np.array([[1, 0, 0], [0.9, 0.2, 0], [0, 0, 1]])
    given -= given.mean(0)
    given /= np.linalg.norm(given, axis=1, keepdims=True)
    assert np.allclose(np.stack(rows) @ np.stack(rows).T, given @ given.T * SPREAD**2 * 8, atol=1e-7)
    assert not made[tokens.pieces("grass")[0]].any(), "nothing is known of it"
    assert not made[0].any()


def test_a_piece_of_several_words_is_their_mean(tmp_path):
    """One letter a piece: each word's letters have its vector, those of both the mean, the frequent word's more."""
    (tmp_path / "v.txt").write_text("ax 1 0\nbx 0 1\n")
    letters = learn_tokens(["q"], 257, 16)
    captions = ["ax ax ax bx"]
    made = start_of(str(tmp_path / "v.txt"), captions, letters, 4)
    a, x = letters.pieces("a")[-1], letters.pieces("x")[-1]
    b = letters.pieces("b")[-1]
    assert a != x != b
    assert np.allclose(made[x], (3 * made[a] + made[b]) / 4, atol=1e-7)
    assert np.linalg.norm(made[a]) == pytest.approx(SPREAD * 2, rel=1e-5)


def test_the_captions_themselves_tell_which_words_are_alike():
    """Red and blue are said of the same things, run and sleep of others."""
    captions = [f"a {colour} {thing}" for colour in ("red", "blue") for thing in ("ball", "hat", "car", "kite")]
    captions += [f"some {animal} {doing}" for animal in ("dog", "cow", "cat") for doing in ("run", "sleep")]
    tokens = learn_tokens(captions, 400, 16)
    made = start_of("captions", captions, tokens, 8)
    assert made.tobytes() == start_of("captions", captions, tokens, 8).tobytes()
    vectors = {word: made[tokens.pieces(word)[0]] for word in ("red", "blue", "run", "sleep")}
    alike = {pair: vectors[pair[0]] @ vectors[pair[1]] for pair in combinations(vectors, 2)}
    assert sorted(alike, key=alike.get)[-2:] in (
        [("red", "blue"), ("run", "sleep")],
        [("run", "sleep"), ("red", "blue")],
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, r"v\.txt cannot be read \(No such file or directory\): give a file of word vectors, or captions$"),
        ("red 1 0 0\nblue 1 0\n", r"v\.txt, line 2: a word and 3 numbers are expected$"),
        ("red\n", r"v\.txt, line 1: a word and its numbers are expected$"),
        ("red x y z\n", r"v\.txt holds no word vectors: a word and its numbers a line are expected$"),
        ("rot 1 0 0\n", r"v\.txt has not one word of these captions: give vectors of their language$"),
    ],
)
def test_files_of_vectors_that_are_none(tokens, tmp_path, text, told):
    if text is not None:
        (tmp_path / "v.txt").write_text(text)
    with pytest.raises(CallerError, match=told):
        start_of(str(tmp_path / "v.txt"), CAPTIONS, tokens, 8)


# ---------------------------------------------------------------------- a tower of our own


def own(**form):
    config = TextConfig(**({"pieces": 50, "context": 8, "dim": 16, "layers": 2, "heads": 2, "out": 6} | form))
    tower = TextTower(config, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return tower


def test_what_belongs_to_a_sentence():
    rows = torch.tensor([[5, 6, 0, 0], [5, 0, 7, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    assert belonging(rows).int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("form", [{}, {"layers": 0}, {"pool": "last"}])
@torch.no_grad()
def test_what_stands_beside_a_sentence_does_not_matter(form):
    tower = own(**form)
    short, long = torch.tensor([[7, 3, 9]]), torch.tensor([[4, 4, 8, 2, 1, 6]])
    together = tower(torch.cat([torch.nn.functional.pad(short, (0, 3)), long]))
    assert torch.allclose(together, torch.cat([tower(short), tower(long)]), atol=1e-6)
    assert torch.allclose(together.norm(dim=1), torch.ones(2), atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@torch.no_grad()
def test_bags_and_last_pieces():
    bag, ordered, last = own(layers=0), own(), own(pool="last", layers=0)
    one, turned = torch.tensor([[7, 3, 9]]), torch.tensor([[9, 7, 3]])
    for tower in (bag, ordered, last):
        tower.places.weight.zero_()
    assert torch.allclose(bag(one), bag(turned), atol=1e-6)
    assert torch.allclose(ordered(one), ordered(turned), atol=1e-6), "places alone tell of order"
    assert torch.allclose(last(one), last(torch.tensor([[5, 1, 9]])), atol=1e-6), "without blocks the last is all"
    moved = own()
    assert not torch.allclose(moved(one), moved(turned), atol=1e-3)


# ---------------------------------------------------------------------- towers of transformers

WORDS = ["<x>", "<p>", "<s>", "<e>", "a", "red", "blue", "ball", "dog", "grass", "on", "runs", "the", "[UNK]"]
SMALL = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
SMALL |= {"vocab_size": len(WORDS), "max_position_embeddings": 12}
ENDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 1}


def made_clip(t):
    return t.CLIPTextModelWithProjection(t.CLIPTextConfig(**SMALL, **ENDS, projection_dim=20))


def made_whole_clip(t):
    eyes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    eyes |= {"image_size": 8, "patch_size": 4}
    return t.CLIPModel(t.CLIPConfig(text_config=SMALL | ENDS, vision_config=eyes, projection_dim=20))


def made_siglip(t):
    return t.SiglipTextModel(t.SiglipTextConfig(**SMALL, **ENDS, projection_size=28))


def made_bert(t):
    return t.BertModel(t.BertConfig(**SMALL, pad_token_id=1), add_pooling_layer=False)


KINDS = {"clip": made_clip, "whole clip": made_whole_clip, "siglip": made_siglip, "bert": made_bert}
SENTENCES = ["a red ball", "the dog runs on the grass", "blue"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Models of each kind, their weights drawn wide so that a wrong rule shows, and the folders they are in."""

    @cache
    def make(kind):
        torch.manual_seed(len(kind))
        model = KINDS[kind](transformers).eval()
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.3)
        folder = tmp_path_factory.mktemp(kind.replace(" ", ""))
        model.save_pretrained(folder)
        tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A <e>", special_tokens=[("<s>", 2), ("<e>", 3)]
        )
        tokenizer.save(str(folder / "tokenizer.json"))
        return model, folder

    return make


@torch.no_grad()
def theirs(kind, model, sentences):
    """What transformers makes of each sentence by itself."""
    found = []
    for row in sentences:
        if kind == "bert":
            found.append(model(input_ids=row[None]).last_hidden_state.mean(1))
        elif kind == "siglip":
            filled = torch.nn.functional.pad(row, (0, SMALL["max_position_embeddings"] - len(row)), value=1)
            found.append(model(input_ids=filled[None]).pooler_output)
        elif kind == "clip":
            found.append(model(input_ids=row[None]).text_embeds)
        else:
            said = model.get_text_features(input_ids=row[None])
            found.append(said if isinstance(said, torch.Tensor) else said.pooler_output)
    return torch.cat(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hub_tower_says_what_transformers_says(hub, kind):
    model, folder = hub(kind)
    tower = load_text_tower(folder, 6, "tanh", torch.Generator().manual_seed(0))
    rows = read_tokens(folder / "tokenizer.json", tower.config.context)(SENTENCES)
    assert (rows == 0).any(), "shorter ones are filled up"
    expected = theirs(kind, model, [row[: int((row != 0).sum())] for row in rows])
    assert torch.allclose(tower.read(rows), expected, atol=1e-5)
    assert tower.config.width == expected.shape[1]
    said = tower(rows)
    first, _, last = tower.map
    by_hand = torch.tanh(expected @ first.weight.T + first.bias) @ last.weight.T + last.bias
    assert torch.allclose(said, by_hand / by_hand.norm(dim=1, keepdim=True), atol=1e-5)
    said.sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in tower.model.parameters()), "it stays as it is"
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in tower.map.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_hub_tower_is_made_again_from_its_config(hub, kind):
    _, folder = hub(kind)
    tower = load_text_tower(folder, 6, generator=torch.Generator().manual_seed(0))
    again = tower_of(tower.config)
    assert isinstance(again, HubTower)
    again.load_state_dict(tower.state_dict())
    rows = read_tokens(folder / "tokenizer.json", tower.config.context)(SENTENCES)
    assert torch.equal(again.train()(rows), tower(rows)), "nothing is dropped while it learns"


@pytest.mark.parametrize("kind", ["clip", "bert"])  # the last piece that counts, and the mean of all
def test_a_hub_tower_is_exported(hub, kind, tmp_path):
    _, folder = hub(kind)
    tower = load_text_tower(folder, 6, generator=torch.Generator().manual_seed(0)).requires_grad_(False)
    context = tower.config.context
    rows = read_tokens(folder / "tokenizer.json", context)(SENTENCES)
    batch, length = (torch.export.Dim(name, min=1, max=most) for name, most in (("batch", 4096), ("length", context)))
    tokens = Entry("tokens", torch.ones(2, 6, dtype=torch.long), {0: batch, 1: length}, rows.numpy())
    write_graph(tower, tmp_path / "text.onnx", tokens, outputs=("text",))
    session = onnxruntime.InferenceSession(tmp_path / "text.onnx")
    for some in (rows[:1, :5], rows[2:], torch.cat([rows, rows])):
        (found,) = session.run(["text"], {"tokens": some.numpy()})
        assert np.allclose(found, tower(some).numpy(), atol=1e-5)


def test_transformers_that_cannot_be_used(hub, monkeypatch):
    _, folder = hub("clip")

    def fail(*_, **__):
        raise ModuleNotFoundError("Could not import module 'CLIPModel'. Are this object's requirements defined?")

    with monkeypatch.context() as patched:
        patched.setattr(transformers.CLIPTextModelWithProjection, "from_pretrained", fail)
        with pytest.raises(CallerError, match=r"cannot be used \(Could not .+\): a torchvision there .+: remove it$"):
            load_text_tower(folder, 6)
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    with pytest.raises(CallerError, match=r"pip install transformers$"):
        load_text_tower(folder, 6)


def test_folders_without_a_text_model(tmp_path):
    with pytest.raises(CallerError, match=r"none holds no model of text \(.+\)$"):
        load_text_tower(tmp_path / "none", 6)
    eyes = transformers.ViTConfig(**{key: SMALL[key] for key in list(SMALL)[:4]}, image_size=8, patch_size=4)
    transformers.ViTModel(eyes).save_pretrained(tmp_path / "eyes")
    with pytest.raises(
        CallerError, match="eyes holds a vit, no model of text: give CLIP, SigLIP or an encoder as BERT"
    ):
        load_text_tower(tmp_path / "eyes", 6)
