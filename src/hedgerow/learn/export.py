"""A network in torch as an ONNX file with a card.

In: a network from pixels (B, 3, H, W) to one output or several, and what its card is to say. Out: FILE.onnx and
FILE.json. The file is checked against the network in onnxruntime, at another batch and size than it was traced at,
before it gets its name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hedgerow.config import CallerError
from hedgerow.writing import write_atomically

Precision = Literal["float32", "float16", "int8"]
# how far from torch, in shares of the largest value: float32 differs by 1e-6 to 1e-5, weights of 11 bits by 1e-4 in a
# transformer and up to some 1e-3 in a network of convolutions that has hardly learned
CLOSE: dict[Precision, float] = {"float32": 1e-4, "float16": 1e-2, "int8": 0.15}
LARGE = 1024  # weights of fewer numbers stay as they are


def write_onnx(
    network: nn.Module,
    path: str | Path,
    card: dict[str, Any],
    *,
    unit: int,
    outputs: Sequence[str],
    precision: Precision = "float32",
    share: float = 1.0,
) -> Path:
    """Write the network to `path` (FILE.onnx), for photos whose sides are multiples of `unit`, and its card beside it.

    Weights of float16 are widened when the file is opened, so what is computed stays float32; int8 also computes with
    them. `share` of the values of an output must be close; fewer than all where a network takes decisions, as masked
    attention does: one on the edge falls otherwise, and all that hangs on it is another.
    """
    path = Path(path)
    if precision == "int8" and any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise CallerError("int8 is of matrix products, and a pyramid is convolutions: give float32 or float16")
    if path.suffix != ".onnx":
        raise CallerError(f"a {card['kind']} is written to FILE.onnx, got {path}")
    batch, h, w = (torch.export.Dim(name, min=1, max=4096) for name in ("batch", "h", "w"))
    pixels = Entry(
        "pixels",
        torch.zeros(2, 3, 4 * unit, 6 * unit),
        {0: batch, 2: unit * h, 3: unit * w},
        np.random.default_rng(0).standard_normal((1, 3, 5 * unit, 3 * unit), np.float32),
    )
    sha256, error = write_graph(network, path, pixels, outputs=outputs, precision=precision, share=share)
    told = {**card, "precision": precision, "error": float(f"{error:.1e}"), "weights_sha256": sha256}
    write_atomically(path.with_suffix(".json"), (json.dumps(told, indent=2) + "\n").encode())
    return path


@dataclass(frozen=True)
class Entry:
    """What goes into a network: its name, what it is traced at, which sides are free, and another on which the file is
    compared with the network."""

    name: str
    traced: Tensor
    free: dict[int, Any]
    tried: np.ndarray


def write_graph(
    network: nn.Module,
    path: Path,
    entry: Entry,
    *,
    outputs: Sequence[str],
    precision: Precision = "float32",
    share: float = 1.0,
) -> tuple[str, float]:
    """Write the network alone, compared with torch; returns the file's sha256 and how far the two are apart."""
    network = network.float().cpu().eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".onnx.part")
    try:
        _export(network, entry, outputs, draft)
        _forget_traces(draft)
        _check(network, entry, draft, share, "float32")
        _narrow(draft, precision)
        error = _check(network, entry, draft, share, precision)
        sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return sha256, error


def _export(network: nn.Module, entry: Entry, outputs: Sequence[str], file: Path) -> None:
    with _silent(logging.getLogger("torch.onnx._internal.exporter._registration")):  # it warns of torchvision's absence
        torch.onnx.export(
            network,
            (entry.traced,),
            file,
            dynamo=True,
            opset_version=20,  # the oldest with GELU as one operator; onnxruntime 1.18 runs it
            external_data=False,  # one file, not weights in a second
            input_names=[entry.name],
            output_names=list(outputs),
            dynamic_shapes=[entry.free],
            verbose=False,
        )


def _forget_traces(file: Path) -> None:
    """torch notes for each operator which line of which file it came from: places on the machine that wrote it."""
    import onnx

    model = onnx.load(file)
    for one in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del one.metadata_props[:]
    onnx.save(model, file)


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _narrow(file: Path, precision: Precision) -> None:
    """Bring the weights in an ONNX file to fewer bits."""
    if precision == "float32":
        return
    if precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with _silent(logging.getLogger()):  # it advises on other networks than ours
            quantize_dynamic(file, file, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
        return
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(file)
    graph, casts = model.graph, []
    for place, weight in enumerate(graph.initializer):
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < LARGE:
            continue
        half = numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half")
        casts.append(helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))
        graph.initializer[place].CopyFrom(half)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, file)


def _check(network: nn.Module, entry: Entry, file: Path, share: float, precision: Precision) -> float:
    """How far onnxruntime and torch are apart, as a share of the largest value of an output: not far."""
    import onnxruntime

    with torch.inference_mode():
        expected = network(torch.from_numpy(entry.tried))
    expected = [one.numpy() for one in ((expected,) if isinstance(expected, Tensor) else expected)]
    found = onnxruntime.InferenceSession(file.read_bytes()).run(None, {entry.name: entry.tried})
    apart = (np.quantile(np.abs(a - b), share) / np.abs(b).max() for a, b in zip(found, expected, strict=True))
    error = float(max(apart))
    if not error < CLOSE[precision]:
        told = f"the exported network differs from the one in torch by {error:.1e} of its largest value"
        if precision == "int8":  # too few bits for some networks; the others lose next to nothing
            raise CallerError(f"{told}: give --precision float16 or float32")
        raise RuntimeError(told)
    return error
