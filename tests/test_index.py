"""Segments that look alike: the index, what is asked about, and the two commands."""

import csv
import hashlib
import io
import json

import faiss
import numpy as np
import pytest
from PIL import Image

from hedgerow.categories import VectorIndex, unit_rows
from hedgerow.categories import index as module
from hedgerow.cli import main
from hedgerow.config import CallerError, Search, UsageError
from hedgerow.data.labels import Collection
from hedgerow.data.segments import PhotoSegments, SegmentStore
from hedgerow.forest import MaskForest
from hedgerow.searching import SegmentIndex, like_asked
from test_categories import BACKBONE, collection, made_photo  # noqa: F401  # a fixture is used by its name

QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0"]


def units(count, dims=16, seed=0):
    return unit_rows(np.random.default_rng(seed).normal(size=(count, dims)))


# ---------------------------------------------------------------------- vectors


def test_the_most_alike_are_found():
    vectors = units(300)
    index = VectorIndex.of(vectors)
    assert (len(index), index.dims, index.kind) == (300, 16, "flat")
    for asked in units(5, seed=1):
        rows, alike = index.search(asked, 20)
        order = np.argsort(-(vectors @ asked), kind="stable")[:20]
        assert rows.tolist() == order.tolist()
        np.testing.assert_allclose(alike, (vectors @ asked)[order], atol=1e-5)
    assert len(index.search(vectors[0], 999)[0]) == 300


def test_many_are_parted_into_cells(monkeypatch):
    """What is left out is little; real vectors lie in heaps, as these do."""
    monkeypatch.setattr(module, "FLAT", 1000)
    monkeypatch.setattr(module, "PROBED", 0.2)
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng.normal(size=(60, 16))[rng.integers(0, 60, 4000)] + 0.5 * rng.normal(size=(4000, 16)))
    index = VectorIndex.of(vectors)
    assert index.kind == "cells"
    shares = []
    for asked in vectors[:40]:
        exact = np.argsort(-(vectors @ asked))[:10]
        shares.append(len(set(index.search(asked, 10)[0]) & set(exact)) / 10)
    assert np.mean(shares) > 0.95
    assert VectorIndex.of(vectors).to_bytes() == index.to_bytes()
    again = VectorIndex.from_bytes(index.to_bytes())
    assert again.kind == "cells"
    assert again.search(vectors[3], 9)[0].tolist() == index.search(vectors[3], 9)[0].tolist()


def test_no_index_is_told_in_one_line():
    whole = VectorIndex.of(units(30)).to_bytes()
    for content in (b"x" * 100, whole[:-9], b"IxF2"):
        with pytest.raises(CallerError, match="this is no faiss index"):
            VectorIndex.from_bytes(content)


# ---------------------------------------------------------------------- the store


def test_segments_come_back(tmp_path):
    forest = MaskForest.from_masks([np.eye(4, dtype=bool), np.ones((4, 4), bool)], score=[0.5, 0.25])
    forest = MaskForest(forest.size, forest.rles, score=forest.score, embedding=units(2))
    nothing = MaskForest((3, 5), embedding=np.zeros((0, 16)))
    photos = [
        PhotoSegments("ä/b", "b.png", "0" * 64, forest, (7, 2), (b"one", b"two")),
        PhotoSegments("c", "c.png", "1" * 64, nothing),
        PhotoSegments("d", "d.png", "", None, error="is damaged"),
    ]
    store = SegmentStore(tmp_path / "store")
    assert store.claim(Collection(("ä/b", "c", "d"), (), {})) == [0]
    store.write(0, photos)
    read = SegmentStore(tmp_path / "store")
    for one, other in zip(read, photos, strict=True):
        assert (one.key, one.file, one.sha256, one.rows, one.error) == (
            *(other.key, other.file, other.sha256),
            *(other.rows, other.error),
        )
    first = next(iter(read))
    assert first.forest.rles == forest.rles
    np.testing.assert_array_equal(first.forest.embedding, forest.embedding)
    np.testing.assert_array_equal(read.vectors(), forest.embedding)
    assert read.thumbnail(0, 1) == b"two"
    assert read.forest(0).rles == forest.rles


def test_damage_is_told_in_one_line(tmp_path):
    store = SegmentStore(tmp_path)
    asked = Collection(("a",), (), {"most_segments": 8})
    store.claim(asked)
    with pytest.raises(CallerError, match=r"not finished, segments-00000\.parquet is to be made"):
        SegmentStore(tmp_path).vectors()
    store.write(0, [PhotoSegments("a", "a.png", "", MaskForest((3, 5), embedding=np.zeros((0, 16))))])
    with pytest.raises(CallerError, match="has no segment in any photo"):
        SegmentStore(tmp_path).vectors()
    shard = tmp_path / "segments-00000.parquet"
    for content in (shard.read_bytes()[:-30], b"", b"x" * 300):
        shard.write_bytes(content)
        for read in (SegmentStore.vectors, list, lambda store: store.thumbnail(0, 0)):
            with pytest.raises(CallerError, match=r"segments-00000\.parquet is broken .*: remove it"):
                read(SegmentStore(tmp_path))
    with pytest.raises(CallerError, match="made with most_segments 8, not 3: give another folder, or --overwrite"):
        store.claim(Collection(("a",), (), {"most_segments": 3}))
    with pytest.raises(CallerError, match="of other photos"):
        store.claim(Collection(("b",), (), {"most_segments": 8}))
    record = json.loads((tmp_path / "segments.json").read_text())
    for changed, told in (
        ({"segments": 1}, "of another version"),
        ({"shard": 0}, "is no record"),
        ([], "is no record"),
    ):
        (tmp_path / "segments.json").write_text(json.dumps({**record, **changed} if changed else []))
        with pytest.raises(CallerError, match=told):
            store.claim(asked)
    (tmp_path / "segments.json").unlink()
    with pytest.raises(CallerError, match=r"holds segments, but no segments\.json"):
        store.claim(asked)
    assert store.claim(asked, overwrite=True) == [0]
    assert not shard.exists()


# ---------------------------------------------------------------------- the commands


@pytest.fixture
def indexed(collection, capsys):  # noqa: F811
    words = ["-o", str(collection / "index"), "--segments", str(collection / "labels"), *BACKBONE]
    assert main(["index", str(collection / "photos"), *words]) == 0
    assert capsys.readouterr().out.startswith("18 segments of 9 photos in ")
    return collection


def search(folder, like, *words):
    return main(["search", str(folder / "index"), "--like", f"{folder}/photos/{like}", *QUICK, *map(str, words)])


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def kind_at(row):
    """Which kind a row of the table is of."""
    number = int(row["key"])
    masks, kinds = made_photo(number)[1:]
    x, y = int(row["x"]) + int(row["width"]) // 2, int(row["y"]) + int(row["height"]) // 2
    return next(kind for mask, kind in zip(masks, kinds, strict=True) if mask[y, x])


@pytest.mark.parametrize(("point", "kind"), [("15,25", 0), ("58,25", 1)])
def test_what_looks_alike_is_found(indexed, capsys, point, kind):
    alike = sum(kind in made_photo(number)[2] for number in range(1, 9))
    assert search(indexed, f"0.png@{point}", "-n", alike, "-o", indexed / "found") == 0
    out, err = capsys.readouterr()
    rows = rows_of(out)
    assert [int(row["rank"]) for row in rows] == list(range(1, alike + 1))
    assert {kind_at(row) for row in rows} == {kind}
    assert "0" not in {row["key"] for row in rows}, "not the photo that is asked about"
    scores = [float(row["alike"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert "<- asked about" in err
    assert (indexed / "found" / "found.csv").read_text() == out
    with Image.open(indexed / "found" / "found.png") as sheet:
        assert sheet.width > 300


def test_the_photo_itself_where_it_is_asked_for(indexed, capsys):
    assert search(indexed, "0.png@15,25", "--same-photo", "-n", "1", "--quiet") == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert row["key"] == "0"
    assert float(row["alike"]) > 0.9


def test_how_much_alike_and_how_many(indexed, capsys):
    assert search(indexed, "0.png", "-n", "3") == 0
    assert len(rows_of(capsys.readouterr().out)) == 3
    assert search(indexed, "0.png", "-n", "99") == 0
    assert len(rows_of(capsys.readouterr().out)) == 16, "all but the two of the photo itself"
    assert search(indexed, "0.png", "--min-score", "1.5") == 0
    out, err = capsys.readouterr()
    assert rows_of(out) == []
    assert "nothing there is as much alike as --min-score 1.5" in err


def test_levels_go_from_part_to_whole(indexed):
    opened = SegmentIndex(indexed / "index")
    config = Search()
    asked = opened.ask(like_asked(f"{indexed}/photos/0.png@15,25"), config)
    assert (np.diff(asked.regions.areas) >= 0).all()
    assert all(asked.regions.mask(row)[25, 15] for row in range(len(asked.regions)))
    best = max(range(len(asked.regions)), key=lambda row: asked.regions.score[row])
    assert asked.level == best or asked.regions.areas[best] > 0.5 * 60 * 80
    assert opened.ask(like_asked(f"{indexed}/photos/0.png@15,25"), Search(level=0)).level == 0
    with pytest.raises(UsageError, match=r"--level lies in 0 \.\.\. "):
        opened.ask(like_asked(f"{indexed}/photos/0.png@15,25"), Search(level=99))


def test_a_name_may_hold_an_at(tmp_path):
    (tmp_path / "a@1,2").touch()
    assert like_asked(f"{tmp_path}/a@1,2").point is None
    assert like_asked(f"{tmp_path}/a@1,2@3,4").point == (3, 4)
    assert like_asked("b.jpg@3,4").photo.name == "b.jpg"
    for text in ("b.jpg@", "b.jpg@1", "b.jpg@-1,2", "b.jpg@x,y"):
        with pytest.raises(UsageError, match="--like takes PHOTO or PHOTO@X,Y"):
            like_asked(text)


def test_the_same_command_changes_nothing(indexed, monkeypatch):
    before = {path.name: path.read_bytes() for path in (indexed / "index").iterdir()}
    monkeypatch.setattr("hedgerow.gathering._gather_one", None)
    words = ["-o", str(indexed / "index"), "--segments", str(indexed / "labels"), *BACKBONE, "--quiet"]
    assert main(["index", str(indexed / "photos"), *words]) == 0
    assert {path.name: path.read_bytes() for path in (indexed / "index").iterdir()} == before


def test_photos_that_came_are_found_too(collection, capsys):  # noqa: F811
    """The one that came stands behind the others, whatever its name."""
    words = ["-o", str(collection / "index"), "--segments", str(collection / "labels"), *BACKBONE, "--quiet"]
    late, away = collection / "photos" / "3.png", collection / "3.png"
    late.rename(away)
    assert main(["index", str(collection / "photos"), *words]) == 0
    away.rename(late)
    assert main(["index", str(collection / "photos"), *words]) == 0
    assert SegmentIndex(collection / "index").photos["key"] == [*"012456783"]
    assert search(collection, "3.png@15,25", "--same-photo", "-n", "1", "--quiet") == 0
    assert [row["key"] for row in rows_of(capsys.readouterr().out)] == ["3"]


def test_mistakes_are_told_in_one_line(indexed, capsys):
    index, photos = indexed / "index", indexed / "photos"
    for words, status, told in [
        (["search"], 2, "a search needs an index and what is asked about"),
        (["search", str(index)], 2, "a search needs an index and what is asked about"),
        (["search", str(photos), "--like", f"{photos}/0.png"], 1, "is no index: it has no index.json"),
        (["search", str(index), "--like", f"{photos}/none.png"], 1, "there is no such file"),
        (["search", str(index), "--like", f"{photos}/0.png@80,2", *QUICK], 1, "80,2 lies outside of"),
        (["search", str(index), "--like", f"{photos}/0.png", "-n", "0", *QUICK], 2, "-n is at least 1, got 0"),
        (["index", str(photos)], 2, "an index needs a folder: -o INDEX"),
        (["index", "-o", str(index)], 2, "no photo was named"),
        (
            ["index", str(photos), "-o", str(index), "--backbone", "colour", "--segments", str(indexed / "labels")],
            1,
            "holds segments made with backbone.asked texture, not colour",
        ),
    ]:
        assert main(words) == status, words
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"version": "0.0.1"}, r"of another version \(0\.0\.1, format 1; this is "),
        ({"hedgerow": 9}, "of another version"),
        ({"kind": "categories"}, "is no card of an index"),
        ({"backbone": {}}, "is no card of an index"),
        ({"sha256": "0" * 64}, r"is not the file that index\.json beside it describes"),
    ],
)
def test_an_index_that_does_not_fit(indexed, changed, told):
    path = indexed / "index" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(CallerError, match=told):
        SegmentIndex(indexed / "index")


def test_weights_that_changed(indexed, capsys):
    path = indexed / "index" / "index.json"
    card = json.loads(path.read_text())
    card["backbone"]["weights_sha256"] = "0" * 64
    path.write_text(json.dumps(card))
    assert search(indexed, "0.png", "--quiet") == 1
    assert "whose weights_sha256 was 000" in capsys.readouterr().err


def test_an_index_of_other_segments(indexed):
    other = faiss.serialize_index(faiss.IndexFlatIP(4)).tobytes()
    path = indexed / "index" / "index.json"
    (indexed / "index" / "index.faiss").write_bytes(other)
    card = json.loads(path.read_text()) | {"sha256": hashlib.sha256(other).hexdigest()}
    path.write_text(json.dumps(card))
    with pytest.raises(CallerError, match="has 18 segments, its index 0: make it again"):
        SegmentIndex(indexed / "index")
