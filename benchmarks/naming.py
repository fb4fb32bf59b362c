"""What naming costs on top of segmenting, photo by photo, in one run.

    python benchmarks/naming.py                       a made language around the shipped backbone, VOC's names
    python benchmarks/naming.py --language FILE.onnx  one of yours, or hub:FOLDER

Seconds are processor time of one core, so that a busy machine does not count. `naming` is all that --names adds to a
photo: looking at it once more, pooling its patches by regions, matching; `map` is the vote of regions for pixels, which
the overlay and label maps need. Both beside exploring the same photo, and beside writing what is written without names.
The target is a share of 20 %. Reading a vocabulary is timed apart, first and from what is kept.

The made language knows nothing: its text vectors are drawn, and what is measured is time.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from hedgerow.backbones import open_backbone
from hedgerow.backbones.embedded import SHIPPED
from hedgerow.config import Explore
from hedgerow.draw import name_overlay, overlay
from hedgerow.explore import explore
from hedgerow.naming import name_map, open_naming, read_vocabulary
from hedgerow.photos import find_photos, open_photo

TARGET = 0.2
DIM, WORDS = 256, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("HEDGEROW_DATA", "data")),
        help="folder of the data sets (HEDGEROW_DATA)",
    )
    parser.add_argument("--photos", type=int, default=8, help="photos of coco")
    parser.add_argument("--language", help="what names them (default: a made one)")
    parser.add_argument("--vocabulary", default="voc")
    given = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HEDGEROW_CACHE"] = scratch
        language = given.language or str(made_language(Path(scratch) / "made.onnx"))
        vocabulary = read_vocabulary(given.vocabulary)
        first, naming = timed(lambda: open_naming(vocabulary, language, threshold=0))
        again, naming = timed(lambda: open_naming(vocabulary, language, threshold=0))
        print(
            f"{naming.language.name}, {len(vocabulary)} names: read in {first:.2f} s, from what is kept {again:.2f} s"
        )
        print(f"{'':28}{'regions':>9}{'explore':>9}{'naming':>9}{'map':>9}{'pictures':>10}{'share':>8}")
        shares = [told(photo, naming) for photo in find_photos([given.data / "coco"])[: given.photos]]
    print(f"share of naming: mean {np.mean(shares):.1%}, most {max(shares):.1%}, target {TARGET:.0%}")
    sys.exit(int(np.mean(shares) > TARGET))


def told(photo, naming) -> float:
    opened = open_photo(photo)
    naming.language.look(opened.pixels)  # the session is opened by the first photo of a run alone
    exploring, forest = timed(lambda: explore(opened, open_backbone("texture"), Explore(), 0))
    seconds, named = timed(lambda: naming(forest, opened.pixels))
    mapping, labels = timed(lambda: name_map(named, naming.names.names))
    plain, _ = timed(lambda: overlay(opened.pixels, forest))
    shown, _ = timed(lambda: name_overlay(opened.pixels, labels, naming.names.names))
    share = (seconds + mapping + shown - plain) / (exploring + plain)
    numbers = f"{exploring:9.2f}{seconds:9.2f}{mapping:9.2f}{shown - plain:+10.2f}"
    print(f"{photo.key[-28:]:28}{len(forest):9}{numbers}{share:8.1%}", flush=True)
    return share


def timed(work):
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def made_language(path: Path) -> Path:
    """The shipped backbone with a linear map behind it, beside a text model that only looks words up."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers

    rng = np.random.default_rng(0)
    model, card = onnx.load(SHIPPED), json.loads(Path(SHIPPED).with_suffix(".json").read_text())
    graph = model.graph
    (features,) = graph.output
    into = rng.normal(size=(card["dim"], DIM)).astype(np.float32)
    graph.initializer.extend(
        [numpy_helper.from_array(into, "into"), numpy_helper.from_array(np.array([1, 2], np.int64), "sides")]
    )
    graph.node.extend(
        [
            helper.make_node("MatMul", [features.name, "into"], ["words"]),
            helper.make_node("ReduceMean", ["words", "sides"], ["mean"], keepdims=0),
            helper.make_node("LpNormalization", ["mean"], ["whole"], axis=-1, p=2),
        ]
    )
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("words", ["batch", "rows", "columns", DIM]), ("whole", ["batch", DIM]))
    )
    onnx.save(model, path)
    table = numpy_helper.from_array(rng.normal(size=(WORDS, DIM)).astype(np.float32), "table")
    length = numpy_helper.from_array(np.array([1], np.int64), "length")
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["each"]),
        helper.make_node("ReduceMean", ["each", "length"], ["mean"], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["text"], axis=-1, p=2),
    ]
    entry = [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "tokens in a sentence"])]
    exit_ = [helper.make_tensor_value_info("text", TensorProto.FLOAT, ["batch", DIM])]
    reader = helper.make_graph(nodes, "reader", entry, exit_, [table, length])
    onnx.save(
        helper.make_model(reader, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        path.with_suffix(".text.onnx"),
    )
    letters = Tokenizer(models.WordLevel({chr(32 + place): place for place in range(96)}, unk_token=" "))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.save(str(path.with_suffix(".tokenizer.json")))
    names = {"weights": ".onnx", "text": ".text.onnx", "tokenizer": ".tokenizer.json"}
    proved = {
        f"{name}_sha256": hashlib.sha256(path.with_suffix(suffix).read_bytes()).hexdigest()
        for name, suffix in names.items()
    }
    made = {"name": "made", "kind": "language", "supervision": "captions", "dim": DIM, "scale": 20.0, "context": 40}
    said = {"templates": ["{}", "a photo of a {}"], "background": ["sky", "wall", "grass"], "knows": []}
    path.with_suffix(".json").write_text(json.dumps(card | made | said | proved))
    return path


if __name__ == "__main__":
    main()
