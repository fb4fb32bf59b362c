"""A language made by hand, as real files: it sees colours and reads their names, and knows nothing else.

`words` is a linear map of the mean colour of each patch, `text` the mean of what each word of a sentence stands for: a
colour's name for that colour under the same map, any other word for nothing. What it is right to say is known, so what
comes of it can be asserted.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

# each with as much light as any other, so that a cosine tells one from the other
COLOURS = {
    "red": (230, 40, 40),
    "green": (40, 230, 40),
    "blue": (40, 40, 230),
    "yellow": (230, 230, 40),
    "cyan": (40, 230, 230),
    "pink": (230, 40, 230),
}
OTHERS = {"crimson": "red", "scarlet": "red", "lemon": "yellow"}  # other words for the same
FILLERS = ("a", "photo", "of", "the", "thing", "car")
PATCH, DIM = 4, 8


def write_language(path: Path, groups: bool = False, **card: Any) -> Path:
    """FILE.onnx and the three files beside it; `card` changes what the card says."""
    into = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0][:3].astype(np.float32)  # (3, DIM)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_looker(into, groups).SerializeToString())
    words = ["[PAD]", "[UNK]", *FILLERS, *COLOURS, *OTHERS]
    path.with_suffix(".text.onnx").write_bytes(_reader(words, into).SerializeToString())
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path.with_suffix(".tokenizer.json").write_text(tokenizer.to_str())
    document = {
        "hedgerow": 1,
        "name": path.stem,
        "kind": "language",
        "supervision": "captions",
        "patch": PATCH,
        "dim": DIM,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "weights_sha256": _sha256(path),
        "text_sha256": _sha256(path.with_suffix(".text.onnx")),
        "tokenizer_sha256": _sha256(path.with_suffix(".tokenizer.json")),
        "size": None,
        "square": False,
        "context": 12,
        "scale": 10.0,
        "templates": ["{}", "a photo of the {}"],
        "background": ["cyan", "pink"],
        "calibration": None,
        "knows": list(COLOURS),
    }
    path.with_suffix(".json").write_text(json.dumps(document | card, indent=1))
    return path


def _looker(into: np.ndarray, groups: bool) -> Any:
    """Pixels from -1 to 1 -> words, whole and perhaps groups: how much red, green and blue a patch has, softly."""
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["mean"], kernel_shape=[PATCH] * 2, strides=[PATCH] * 2),
        helper.make_node("Transpose", ["mean"], ["patches"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["patches", "into"], ["words"]),
        helper.make_node("ReduceMean", ["words", "sides"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["whole"], axis=-1, p=2),
    ]
    outputs = [_value("words", ["batch", "h", "w", DIM]), _value("whole", ["batch", DIM])]
    if groups:
        nodes.append(helper.make_node("Softmax", ["patches"], ["groups"], axis=-1))
        outputs.append(_value("groups", ["batch", "h", "w", 3]))
    weights = [
        numpy_helper.from_array(into, "into"),
        numpy_helper.from_array(np.array([1, 2], np.int64), "sides"),
    ]
    return _model(nodes, [_value("pixels", ["batch", 3, "height", "width"])], outputs, weights)


def _reader(words: list[str], into: np.ndarray) -> Any:
    """Tokens -> the direction of the sum of what they stand for; a first number that no pixel has keeps what says
    nothing from having no direction."""
    rows = np.zeros((len(words), DIM), np.float32)
    for row, word in enumerate(words):
        if (colour := COLOURS.get(OTHERS.get(word, word))) is not None:
            rows[row] = (np.array(colour, np.float32) / 127.5 - 1) @ into
    nodes = [
        helper.make_node("Gather", ["rows", "tokens"], ["each"]),
        helper.make_node("ReduceSum", ["each", "length"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "little"], ["some"]),
        helper.make_node("LpNormalization", ["some"], ["text"], axis=-1, p=2),
    ]
    weights = [
        numpy_helper.from_array(rows, "rows"),
        numpy_helper.from_array(np.array([1], np.int64), "length"),
        numpy_helper.from_array(np.full(DIM, 1e-6, np.float32), "little"),
    ]
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "length of tokens"])
    return _model(nodes, [tokens], [_value("text", ["batch", DIM])], weights)


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any]) -> Any:
    graph = helper.make_graph(nodes, "made", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


def _value(name: str, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
