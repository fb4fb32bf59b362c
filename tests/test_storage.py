"""Stores in buckets: the same bytes as in a folder, and what goes wrong told in a line. Here they are in memory."""

import fsspec
import numpy as np
import pytest
from PIL import Image

from hedgerow.cli import main
from hedgerow.config import CallerError, Explore, Labelling, Zoom
from hedgerow.data.labels import LabelStore
from hedgerow.filling import fill
from hedgerow.labelling import draw_sheet, plan_labels
from hedgerow.storage import Bucket, Folder, storage_of

CONFIG = Labelling(explore=Explore(grains=60, zoom=Zoom(windows=0), max_masks=10))
QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "10", "--workers", "1"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("hedgerow.data.shards.SHARD", 2)
    monkeypatch.setattr("hedgerow.pipeline._crew", lambda photos, config: 0)


@pytest.fixture
def bucket():
    yield "memory://bucket/labels"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def photos(tmp_path):
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(5):
        pixels = np.full((40, 48, 3), rng.integers(0, 256, 3), np.uint8)
        pixels[8:30, 10:34] = rng.integers(0, 256, 3)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def content(place):
    storage = storage_of(place)
    return {name: storage.read(name) for name in storage.names("shard-*.parquet")}


def test_a_bucket_holds_what_a_folder_holds(photos, tmp_path, bucket):
    for place in (bucket, tmp_path / "labels"):
        planned = plan_labels([photos], place, CONFIG)
        stopped = fill(planned)
        for _ in range(3):
            next(stopped)
        stopped.close()
        assert sorted(content(place)) == ["shard-00000.parquet"]
        assert plan_labels([photos], place, CONFIG).todo == (1, 2)
        list(fill(plan_labels([photos], place, CONFIG)))
    assert content(bucket) == content(tmp_path / "labels")
    store = LabelStore(bucket)
    assert store.complete
    assert len(store) == 5
    assert [label.key for label in store] == list("01234")
    assert store["3"].forest.rles == LabelStore(tmp_path / "labels")["3"].forest.rles
    assert draw_sheet(plan_labels([photos], bucket, CONFIG)) == f"{bucket}/sheet.png"
    with pytest.raises(CallerError, match=f"{bucket} holds labels made with seed 0, not 1"):
        plan_labels([photos], bucket, Labelling(explore=CONFIG.explore, seed=1))
    assert plan_labels([photos], bucket, Labelling(explore=CONFIG.explore, overwrite=True)).todo == (0, 1, 2)
    assert content(bucket) == {}


def test_a_command_takes_a_bucket_for_a_folder(photos, bucket, capsys):
    """A Path makes one slash of two."""
    assert main(["explore", str(photos), "-o", bucket, *QUICK]) == 0
    assert f"{bucket}/sheet.png" in capsys.readouterr().out
    assert len(content(bucket)) == 3


def test_damage_in_a_bucket(photos, bucket):
    list(fill(plan_labels([photos], bucket, CONFIG)))
    storage_of(bucket).write("shard-00001.parquet", b"x" * 100)
    with pytest.raises(CallerError, match=r"labels/shard-00001\.parquet is broken"):
        list(LabelStore(bucket))
    with pytest.raises(CallerError, match=r"is no label store: it has no labels\.json"):
        LabelStore("memory://bucket/none").record  # noqa: B018


@pytest.mark.parametrize(
    ("place", "kind", "told"),
    [
        ("s3:/a/b", None, None),
        ("memory:/a/b/", Bucket, "memory://a/b"),
        ("memory://a/b", Bucket, "memory://a/b"),
        ("labels", Folder, "labels"),
        ("/tmp/a:b/c", Folder, "/tmp/a:b/c"),
        ("C:/labels", Folder, "C:/labels"),
    ],
)
def test_what_is_a_bucket_and_what_a_folder(place, kind, told):
    if kind is None:
        pytest.importorskip("s3fs", reason="s3:// needs s3fs")
        kind, told = Bucket, "s3://a/b"
    storage = storage_of(place)
    assert isinstance(storage, kind)
    assert storage.place == told


def test_a_bucket_that_cannot_be_reached_is_told_in_a_line(monkeypatch):
    with pytest.raises(CallerError, match=r"nothing://a cannot be reached \(.+\): install hedgerow with its extra"):
        storage_of("nothing://a")
    storage = storage_of("memory://a")

    def refuse(*_, **__):
        raise RuntimeError("no credentials\nat all")

    monkeypatch.setattr(type(storage._files), "cat_file", refuse)
    with pytest.raises(CallerError, match=r"memory://a cannot be read x from \(no credentials\): look to its keys"):
        storage.read("x")
