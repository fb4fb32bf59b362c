"""Photos that are streamed: tars, tables and folders, here and in buckets, read in place from any of them on."""

from __future__ import annotations

import io
import os
import tarfile

import fsspec
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from faulty import QUICK, command, encoded, run
from hedgerow.photos import PhotoError, find_photos, open_photo
from hedgerow.storage import absolute, spelled

COUNT = 9


@pytest.fixture(scope="module")
def files():
    return {f"{folder}/{number}.jpg": encoded("jpg", number) for number, folder in enumerate("aaabbbccc")}


def tarred(files):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return memory.getvalue()


def tabled(files, kind):
    """As HF datasets writes images, or as columns of bytes, with keys or without."""
    if kind == "records":
        columns = {"image": [{"bytes": content, "path": name} for name, content in files.items()]}
    else:
        columns = {"jpg": list(files.values())} | ({"__key__": list(files)} if kind == "keys" else {})
    memory = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), memory, row_group_size=4)
    return memory.getvalue()


@pytest.fixture
def bucket(files):
    place = fsspec.filesystem("memory")
    place.pipe({f"/b/folder/{name}": content for name, content in files.items()})
    place.pipe("/b/photos.tar", tarred(files))
    for kind in ("records", "keys", "plain"):
        place.pipe(f"/b/{kind}.parquet", tabled(files, kind))
    yield "memory://b"
    place.rm("/b", recursive=True)


@pytest.mark.parametrize("name", ["folder", "folder/*/*.jpg", "photos.tar", "records.parquet", "keys.parquet", "*.tar"])
def test_a_bucket_gives_what_a_folder_does(name, bucket, files):
    photos = find_photos([f"{bucket}/{name}"])
    assert [photo.key for photo in photos] == [key.removesuffix(".jpg") for key in files]
    for photo, content in zip(photos[::-1], list(files.values())[::-1], strict=True):  # from any of them on
        assert photo.read_bytes() == content
        assert np.array_equal(open_photo(photo).pixels, open_photo(content).pixels)


def test_rows_without_names_are_numbered(bucket):
    photos = find_photos([f"{bucket}/plain.parquet"])
    assert [photo.key for photo in photos] == [f"{number:08}" for number in range(COUNT)]
    assert len({photo.read_bytes() for photo in photos}) == COUNT


def test_what_is_where_in_a_tar_is_kept(bucket, monkeypatch, tmp_path):
    """A tar is read through once, by whichever process comes first."""
    from hedgerow.photos import tars

    monkeypatch.setenv("HEDGEROW_CACHE", str(tmp_path))
    tars._remote_index.cache_clear()
    first = find_photos([f"{bucket}/photos.tar"])
    tars._remote_index.cache_clear()
    monkeypatch.setattr(tars, "_spans", lambda file: pytest.fail("read again"))
    assert find_photos([f"{bucket}/photos.tar"]) == first
    tars._remote_index.cache_clear()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("memory://b/none", r"memory://b/none: no photo there \(looked for .+\): give another"),
        ("memory://b/none.tar", "memory://b/none.tar"),
        ("memory://b/cut.tar", "memory://b/cut.tar: "),
        ("memory://b/cut.parquet", r"memory://b/cut.parquet: the table is damaged .+: fetch it again"),
        ("memory://b/numbers.parquet", "memory://b/numbers.parquet: no column of photos in this table"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(place, told, bucket, files):
    there = fsspec.filesystem("memory")
    there.pipe("/b/cut.tar", tarred(files)[:700])
    there.pipe("/b/cut.parquet", tabled(files, "keys")[:-9])
    numbers = io.BytesIO()
    parquet.write_table(pyarrow.table({"image": [1, 2]}), numbers)
    there.pipe("/b/numbers.parquet", numbers.getvalue())
    with pytest.raises(PhotoError, match=told) as error:
        [photo.read_bytes() for photo in find_photos([place])]
    assert "\n" not in str(error.value)


def test_places_are_written_as_people_write_them():
    assert spelled("s3:/b/x") == absolute("s3:/b/x") == "s3://b/x"
    assert absolute("photos") == os.path.abspath("photos")


def test_a_table_is_explored_as_its_photos(files, tmp_path):
    """The same bytes, whichever way photos come, and by as many processes as there are."""
    for name, content in files.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)
    (tmp_path / "photos.parquet").write_bytes(tabled(files, "records"))
    for source, workers in (("photos", 1), ("photos.parquet", 2)):
        words = ("--workers", workers, "-o", tmp_path / f"of-{source}", *QUICK)
        assert run("explore", tmp_path / source, *words).returncode == 0
    shards = [
        (tmp_path / f"of-{source}" / "shard-00000.parquet").read_bytes() for source in ("photos", "photos.parquet")
    ]
    assert shards[0] == shards[1]


def test_photos_and_labels_in_s3(files, tmp_path, monkeypatch):
    """A server of S3's kind in another thread; whoever works finds it by what stands in the environment."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server")
    running = server.ThreadedMotoServer(port=0)
    running.start()
    try:
        host, port = running.get_host_and_port()
        known = {
            "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }
        settings = {"key": "x", "secret": "x", "client_kwargs": {"endpoint_url": known["FSSPEC_S3_ENDPOINT_URL"]}}
        there = fsspec.filesystem("s3", **settings)
        there.mkdir("photos")
        there.pipe("photos/shards/0.tar", tarred(files))
        words = ("s3://photos/shards/*.tar", "-o", "s3://photos/labels", "--workers", "2", *QUICK)
        for told in ("9 of 9", "9 of 9 photos labelled (9 of them before)"):
            done = run("explore", *[word for word in words if word != "--quiet"], env={**os.environ, **known})
            assert done.returncode == 0, done.stderr
            assert told in done.stdout
        assert there.exists("photos/labels/shard-00000.parquet")
        assert command("explore")
    finally:
        running.stop()
