"""A backbone in onnxruntime: FILE.onnx and its card FILE.json. No torch.

In: RGB pixels (B, H, W, 3) uint8, of any size. Out: features (B, h, w, D) float32. The network takes normalised pixels
(B, 3, H, W), H and W any multiples of the patch, and gives `features` (B, h, w, D); one that `hedgerow contrast` has
made gives `salience` (B, h, w) as well, how likely each patch is part of what stands out, and may give `meaning`
(B, h, w, E), features by which things of one kind are alike. The card, one JSON object, says:

    name, supervision      as `Backbone` has them
    patch, dim             pixels a patch is wide, D
    mean, std              of R, G and B, in [0, 1]
    meaning                E, where there is one: read with ?feature=meaning, and then salience is told, too
    weights_sha256         of FILE.onnx, checked before anything is read from it
    size, square           how photos are brought to size where the caller does not say (`fit.py`); null: as they come

More fields may follow (licence, data; `architecture`, which `random:FILE.onnx` draws weights for).
`hedgerow.learn.ship.export_backbone` writes both files.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from hedgerow.backbones.fit import prepare
from hedgerow.config import CallerError, UsageError

SHIPPED = str(Path(__file__).parent.parent / "assets" / "backbone.onnx")
CARD_FIELDS: dict[str, Any] = {
    "name": str,
    "supervision": str,
    "patch": int,
    "dim": int,
    "mean": list,
    "std": list,
    "weights_sha256": str,
}
OPTIONS = {  # which takes what
    "backbone": "--backbone",
    "outliner": "--backbone texture+",
    "segmenter": "--model",
    "language": "--name-model",
}


class EmbeddedBackbone:
    """A network in onnxruntime; see `hedgerow.backbones.Backbone`.

    `threads` is one by default: photos are shared out to processes, and two of them must not fight over the cores.
    """

    def __init__(
        self,
        path: str,
        *,
        feature: str = "features",
        size: int | None = None,
        square: bool | None = None,
        threads: int = 1,
    ) -> None:
        model = Path(path).expanduser()
        card = read_card(model)
        dims = {"features": card["dim"], **({"meaning": card["meaning"]} if card.get("meaning") else {})}
        if feature not in dims:
            raise UsageError(f"{model.name} has {' and '.join(dims)}, no {feature}: leave ?feature out")
        self.name: str = card["name"] if feature == "features" else f"{card['name']}?feature={feature}"
        self.supervision: str = card["supervision"]
        self.weights_sha256: str = card["weights_sha256"]
        self.patch: int = card["patch"]
        self.dim: int = dims[feature]
        self._pixels = (tuple(card["mean"]), tuple(card["std"]))
        self._size = card.get("size") if size is None else size
        self._square = bool(card.get("square")) if square is None else square
        self._session = session_of(model, self.weights_sha256, threads)
        self._outputs = _check_shapes(self._session, model, dims)
        self._asked = [feature, "salience"] if feature == "meaning" or "meaning" not in dims else [feature]

    def features(self, pixels: np.ndarray) -> np.ndarray:
        return self.look(pixels)[0]

    def look(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Features, and (B, h, w) in [0, 1] how likely each patch stands out, where the network says so."""
        batches = prepare(pixels, self.patch, *self._pixels, size=self._size, square=self._square)
        entry = self._session.get_inputs()[0].name
        wanted = [self._outputs[name] for name in self._asked if name in self._outputs]
        told = zip(*(self._session.run(wanted, {entry: batch}) for batch in batches), strict=True)
        features, *salience = (np.concatenate(batch) for batch in told)
        return features, salience[0] if salience else None


def read_card(model: Path) -> dict[str, Any]:
    """The card beside a backbone's .onnx file, its fields checked."""
    card = checked_card(model, CARD_FIELDS, "backbone")
    if card["patch"] < 1:
        raise CallerError(f"{model.with_suffix('.json')} is no backbone's card: patch is at least 1")
    return card


def checked_card(model: Path, fields: dict[str, Any], kind: str) -> dict[str, Any]:
    """The card beside an .onnx file, with fields of these types."""
    path = model.with_suffix(".json")
    for file in (model, path):
        if not file.is_file():
            raise CallerError(f"no such file: {file} (a {kind} is FILE.onnx with its card FILE.json beside it)")
    try:
        card = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CallerError(f"{path} is not JSON: {error}") from None
    found = card.get("kind") if isinstance(card, dict) else None
    if isinstance(found, str) and found != kind:  # before its fields, which say less; a backbone's card may lack it
        remedy = f"give it as {OPTIONS[found]}" if found in OPTIONS else f"give a {kind}"
        raise CallerError(f"{model} is {'an' if found[:1] in 'aeiou' else 'a'} {found}, not a {kind}: {remedy}")
    for field, wanted in fields.items():
        if not isinstance(card, dict) or not isinstance(card.get(field), wanted):
            raise CallerError(f"{path} is no {kind}'s card: {field} should be of type {wanted.__name__}")
    if len(card["mean"]) != 3 or len(card["std"]) != 3 or 0 in card["std"]:
        raise CallerError(f"{path} is no {kind}'s card: mean and std have three numbers each, none of std's is 0")
    return card


def session_of(model: Path, sha256: str, threads: int) -> Any:
    """The network of a file that is the one its card describes."""
    content = model.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CallerError(f"{model} is not the file its card describes: sha256 {found}, the card says {sha256}")
    import onnxruntime  # imported late: it takes longer than the rest of the package

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread leaves its core
    options.enable_mem_pattern = False  # it would keep a plan for every photo size
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no other base
        raise CallerError(f"{model} cannot be run: {str(error).splitlines()[0]}") from None


def _check_shapes(session: Any, model: Path, dims: dict[str, int]) -> dict[str, str]:
    """What the outputs of a network are called; those of others may call them otherwise, features come first."""
    entry, exits = session.get_inputs(), session.get_outputs()
    shapes = [list(value.shape) for value in (*entry, *exits)]
    wanted = {"features": 4, "salience": 3, "meaning": 4} if "meaning" in dims else {"features": 4, "salience": 3}
    ranks = [4, *list(wanted.values())[: len(exits)]]
    fits = (
        [len(shape) for shape in shapes] == ranks and shapes[0][1] == 3 and ("meaning" not in dims or len(exits) == 3)
    )
    outputs = {name: value.name for name, value in zip(wanted, exits, strict=False)}
    if not fits or any(dict(zip(wanted, shapes[1:], strict=False))[name][3] not in (dims[name], None) for name in dims):
        told = ", ".join(f"(B, h, w, {dim})" for dim in dims.values())
        raise CallerError(f"{model} should take (B, 3, H, W) and give {told}, perhaps (B, h, w), too; it has {shapes}")
    return outputs
