"""The label store, and exploring a collection into one."""

import json
import subprocess
import sys

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from hedgerow.cli import main
from hedgerow.config import CallerError, Explore, Labelling, Zoom
from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.filling import fill
from hedgerow.forest import MaskForest
from hedgerow.labelling import plan_labels
from hedgerow.pipeline import segment

EXPLORE = Explore(grains=60, zoom=Zoom(windows=0), max_masks=30)
CONFIG = Labelling(explore=EXPLORE)
QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "30", "--workers", "1"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("hedgerow.data.shards.SHARD", 3)
    monkeypatch.setattr("hedgerow.pipeline._crew", lambda photos, config: 0)


@pytest.fixture
def photos(tmp_path):
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(7):
        pixels = np.full((40, 48, 3), rng.integers(0, 256, 3), np.uint8)
        for _ in range(4):
            top, left = rng.integers(0, 30, 2)
            pixels[top : top + 12, left : left + 16] = rng.integers(0, 256, 3)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def run(*words):
    return main(["explore", *QUICK, *map(str, words)])


def shards(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.parquet"))}


def same(one, other):
    assert (one.size, one.rles, one.source) == (other.size, other.rles, other.source)
    assert np.array_equal(one.parent, other.parent)
    assert np.array_equal(one.score, other.score)


def test_labels_are_the_forests_of_the_photos(photos, tmp_path, capsys):
    out = tmp_path / "labels"
    assert run(photos, "-o", out) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("7 of 7 photos labelled, ")
    assert told[1] == f"some of them: {out}/sheet.png"
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 300
    assert list(shards(out)) == [f"shard-0000{number}.parquet" for number in range(3)]
    store = LabelStore(out)
    assert store.complete
    assert len(store) == 7
    for number, label in enumerate(store):
        assert (label.key, label.file, label.error) == (str(number), f"{number}.png", None)
        same(label.forest, segment(photos / f"{number}.png", config=EXPLORE))
        same(store[label.key].forest, label.forest)
    table = parquet.read_table(out / "shard-00002.parquet")  # by anybody's reader
    assert table.column("height").to_pylist() == [40]
    assert len(table.column("sha256")[0].as_py()) == 64


def test_stopped_and_gone_on_with(photos, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for _ in fill(plan_labels([photos], whole, CONFIG)):
        pass
    stopped = fill(plan_labels([photos], broken, CONFIG))
    for _ in range(5):
        next(stopped)
    stopped.close()
    assert list(shards(broken)) == ["shard-00000.parquet"]
    assert not LabelStore(broken).complete
    planned = plan_labels([photos], broken, CONFIG)
    assert planned.todo == (1, 2)
    assert len(list(fill(planned))) == 4
    assert shards(broken) == shards(whole)
    assert plan_labels([photos], broken, CONFIG).todo == ()
    (broken / "shard-00001.parquet").unlink()
    assert len(list(fill(plan_labels([photos], broken, CONFIG)))) == 3
    assert shards(broken) == shards(whole)


def test_photos_that_came_are_labelled_and_the_others_left(photos, tmp_path):
    out, early = tmp_path / "labels", photos / "0a.png"  # by its name among the first
    list(fill(plan_labels([photos], out, CONFIG)))
    before = shards(out)
    Image.open(photos / "5.png").transpose(Image.Transpose.ROTATE_180).save(early)
    grown = plan_labels([photos], out, CONFIG)
    assert [photo.key for photo in grown.photos] == [*map(str, range(7)), "0a"]
    assert grown.todo == (2,)  # where there is room
    assert LabelStore(out).missing == ["shard-00002.parquet"]
    assert len(list(fill(grown))) == 2
    store = LabelStore(out)
    assert [label.key for label in store] == [*map(str, range(7)), "0a"]
    same(store["0a"].forest, segment(early, config=EXPLORE))
    same(store["6"].forest, segment(photos / "6.png", config=EXPLORE))
    after = shards(out)
    assert {name for name in before if before[name] != after[name]} == {"shard-00002.parquet"}
    assert plan_labels([photos], out, CONFIG).todo == ()
    (photos / "3.png").unlink()
    with pytest.raises(CallerError, match="of other photos"):
        plan_labels([photos], out, CONFIG)


def test_stopped_while_photos_came(photos, tmp_path):
    """Keys are written before the record that counts them: of too many the first are those it tells of."""
    out, also = tmp_path / "labels", photos / "0a.png"
    list(fill(plan_labels([photos], out, CONFIG)))
    record = (out / "labels.json").read_bytes()
    Image.open(photos / "5.png").save(also)
    plan_labels([photos], out, CONFIG)
    (out / "labels.json").write_bytes(record)
    assert plan_labels([photos], out, CONFIG).todo == (2,)
    assert [photo.key for photo in plan_labels([photos], out, CONFIG).photos][-1] == "0a"


def test_no_two_runs_mix(photos, tmp_path):
    out = tmp_path / "labels"
    list(fill(plan_labels([photos], out, CONFIG)))
    with pytest.raises(CallerError, match="made with seed 0, not 1: give another folder, or --overwrite"):
        plan_labels([photos], out, Labelling(explore=EXPLORE, seed=1))
    with pytest.raises(CallerError, match="of other photos"):
        plan_labels([photos / "1.png"], out, CONFIG)
    assert plan_labels([photos / "1.png"], out, Labelling(explore=EXPLORE, overwrite=True)).todo == (0,)
    assert shards(out) == {}
    list(fill(plan_labels([photos / "1.png"], out, CONFIG)))
    (out / "labels.json").unlink()
    with pytest.raises(CallerError, match=r"no labels\.json that says how"):
        plan_labels([photos / "1.png"], out, CONFIG)


def test_what_cannot_be_opened(photos, tmp_path, capsys):
    (photos / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    out = tmp_path / "labels"
    assert run(photos, "-o", out) == 1
    assert "2 of 7 photos done; --keep-going notes such and goes on" in capsys.readouterr().err
    assert shards(out) == {}
    assert run(photos, "-o", out, "--keep-going") == 0
    told = capsys.readouterr()
    assert told.out.startswith("6 of 7 photos labelled")
    assert "1 of 7 photos could not be done:" in told.err
    bad = LabelStore(out)["2"]
    assert bad.forest is None
    assert "2.png" in bad.error
    assert run("-o", out) == 2
    assert run(photos) == 2


@pytest.mark.parametrize("damage", ["cut", "emptied", "another file"])
def test_damage_is_told_in_one_line(photos, tmp_path, damage):
    out = tmp_path / "labels"
    list(fill(plan_labels([photos], out, CONFIG)))
    shard = out / "shard-00001.parquet"
    shard.write_bytes({"cut": shard.read_bytes()[:-100], "emptied": b"", "another file": b"x" * 500}[damage])
    with pytest.raises(CallerError, match=r"shard-00001\.parquet is broken .*: remove it, and it is made again"):
        list(LabelStore(out))
    (out / "labels.json").write_text("{}")
    with pytest.raises(CallerError, match="no record of a label store"):
        LabelStore(out).record  # noqa: B018
    with pytest.raises(CallerError, match="no label store"):
        len(LabelStore(tmp_path))


def test_awkward_forests_come_back(tmp_path):
    empty = MaskForest((3, 5))
    nested = MaskForest.from_masks([np.ones((3, 5), bool), np.eye(3, 5, dtype=bool)], parent=[-1, 0], score=[0.5, 0.25])
    labels = [Label("ä/b\n", "b\n.png", "", empty), Label("c", "c.png", "0" * 64, nested)]
    store = LabelStore(tmp_path / "store")
    assert store.claim(Collection(("ä/b\n", "c"), (), {})) == [0]
    store.write(0, labels)
    read = LabelStore(tmp_path / "store")
    for label in labels:
        again = read[label.key]
        assert (again.key, again.file, again.sha256) == (label.key, label.file, label.sha256)
        same(again.forest, label.forest)
    assert json.loads((tmp_path / "store" / "labels.json").read_text())["photos"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_no_thread_outlives_the_reading(tmp_path):
    """One of Arrow's that reads a Python file makes a process that ends hang, or abort, now and then."""
    store = LabelStore(tmp_path)
    store.claim(Collection(("a",), (), {}))
    store.write(0, [Label("a", "a.png", "", MaskForest.from_masks([np.ones((3, 5), bool)]))])
    code = """
import sys
from pathlib import Path
import pyarrow.parquet
from hedgerow.data.labels import LabelStore
def threads():
    tasks = Path("/proc/self/task").iterdir()
    return [task for task in tasks if "jemalloc" not in (task / "comm").read_text()]  # which sweeps now and then
before = threads()
store = LabelStore(sys.argv[1])
assert len(list(store)) == len([store["a"]]) == len(store.regions)
sys.exit(threads() != before)
"""
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == 0


def test_a_shard_that_another_tool_wrote_is_read(tmp_path):
    """Words as words, lists of wide numbers, columns in another order."""
    forest = MaskForest.from_masks([np.ones((3, 5), bool), np.eye(3, 5, dtype=bool)], parent=[-1, 0], score=[0.5, 0.25])
    store = LabelStore(tmp_path)
    store.claim(Collection(("a",), (), {}))
    store.write(0, [Label("a", "a.png", "", forest)])
    table = parquet.read_table(tmp_path / "shard-00000.parquet")
    wide = {"sources": pyarrow.list_(pyarrow.large_string()), "scores": pyarrow.large_list(pyarrow.float64())}
    fields = [pyarrow.field(one.name, wide.get(one.name, one.type)) for one in table.schema]
    table = table.cast(pyarrow.schema(fields)).select(table.column_names[::-1])
    parquet.write_table(table.replace_schema_metadata(), tmp_path / "shard-00000.parquet", store_schema=False)
    same(next(iter(store)).forest, forest)
    same(store["a"].forest, forest)
    assert store.regions.tolist() == [2]
