"""Under fire: killed at any moment, full and read-only disks, photos that vanish, change or are damaged, two runs at
once, hostile files. A short form of each; `make test-faults` is the long one."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import resource
import shutil
import subprocess
import threading
import time
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from faulty import (
    FULL,
    KINDS,
    QUICK,
    children,
    command,
    contents,
    damaged,
    encoded,
    files,
    losses,
    nothing_is_half,
    paint,
    resources,
    run,
    scene,
    survives,
    told_in_one_line,
)
from hedgerow.config import CallerError, Explore, Labelling, Network, Pretrain, Zoom
from hedgerow.data.coco import image_ids_and_files
from hedgerow.data.labels import LabelStore
from hedgerow.filling import fill
from hedgerow.formats import read_forest
from hedgerow.labelling import plan_labels
from hedgerow.learn.networks.saving import save_network
from hedgerow.learn.pretrain import network_of
from hedgerow.learn.sittings import read_checkpoint
from hedgerow.learn.views import MEAN, STD
from hedgerow.parquet import open_parquet
from hedgerow.photos import PhotoError, find_photos, open_photo
from hedgerow.results import read_levels
from served import Served
from served import scene as served_scene

KILLS, PHOTOS = (50, 150) if FULL else (1, 70)  # photos: more than one shard of a store
RECORDS = ("hedgerow.json", "labels.json", "sheet.png")  # which name the folder they are in, or are drawn of it


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("fire") / "photos", PHOTOS)


@contextmanager
def disk(place: Path, size: str):
    """A file system of that size, where this process may make one."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("a small disk is made by mount, which is not allowed here")
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)
    finally:
        subprocess.run(["umount", "-l", place], check=True)


# ---------------------------------------------------------------------- killed


def same_files(out, whole):
    assert contents(out, RECORDS) == contents(whole, RECORDS)


def test_segment_is_killed(photos, tmp_path):
    some = paint(tmp_path / "photos", 24)
    words = ("--formats", "forest,overlay,levels,coco", "--workers", 2, *QUICK)
    survives(lambda out: command("segment", some, "-o", out, *words), tmp_path, KILLS, same_files)


def test_explore_is_killed(photos, tmp_path):
    def check(out, whole):
        same_files(out, whole)
        keys = [label.key for label in LabelStore(out)]
        assert keys == [f"{number:04}" for number in range(PHOTOS)]

    survives(lambda out: command("explore", photos, "-o", out, "--workers", 2, *QUICK), tmp_path, KILLS, check)


@pytest.mark.skipif(not FULL, reason="make test-faults: learning takes long to begin")
def test_learning_is_killed(photos, tmp_path):
    """What a run learns, and what its log says, does not hang on how often it was killed."""
    some = paint(tmp_path / "photos", 12)
    assert run("explore", some, "-o", tmp_path / "labels", "--workers", 1, *QUICK).returncode == 0
    form = Network(kind="pyramid", dim=32, widths=(16, 24, 32, 48), depths=(1, 1, 1, 1))
    network = network_of(Pretrain(network=form), torch.Generator().manual_seed(0)).eval()
    backbone = save_network(network, tmp_path / "backbone", MEAN, STD)

    def words(out):
        more = ["--resume"] if (out / "checkpoint.pt").exists() else []
        more += ["--backbone", str(backbone)]
        steps = ["--recipe", "tiny", "--steps", 8 if FULL else 4, "--save", 0, "--workers", 1, "--quiet"]
        return command("train", tmp_path / "labels", "-o", out, *steps, *more)

    def check(out, whole):
        assert losses(out) == losses(whole)
        one, other = (read_checkpoint(place / "checkpoint.pt") for place in (out, whole))
        for network in ("student", "teacher"):
            for name, value in other[network].items():
                assert torch.equal(one[network][name], value), name

    survives(words, tmp_path, KILLS, check)


def test_the_page_is_killed(tmp_path):
    """With it go the processes it has started; where it is started again it serves as before."""
    rng, image = random.Random(0), served_scene()
    memory = io.BytesIO()
    image.save(memory, "PNG")
    for _ in range(KILLS):
        app = Served()
        try:
            app.upload(memory.getvalue())
            time.sleep(rng.uniform(0, 1.5))
            family = app.family()
        finally:
            app.process.kill()
            app.process.communicate()
        end = time.monotonic() + 10
        while any(map(lives, family)):
            assert time.monotonic() < end, family
            time.sleep(0.05)
    with Served() as app:
        assert app.finished(app.upload(memory.getvalue()))["state"] == "ready"


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------------- disks


@pytest.mark.parametrize("work", ["explore", "segment", "train"] if FULL else ["explore"])
def test_a_full_disk(work, photos, tmp_path):
    """Told in one line; with more room the same command goes on to what it would have made."""
    some = paint(tmp_path / "photos", 70 if FULL and work == "explore" else 12)
    words = {
        "segment": ["segment", some, "--formats", "forest,overlay", "--workers", 1, *QUICK],
        "explore": ["explore", some, "--workers", 1, *QUICK],
        "train": ["train", tmp_path / "labels", "--recipe", "tiny", "--steps", 2, "--workers", 1, "--quiet"],
    }[work]
    if work == "train":
        assert run("explore", some, "-o", tmp_path / "labels", "--workers", 1, *QUICK).returncode == 0
    with disk(tmp_path / "disk", "40k") as change:
        out = tmp_path / "disk" / "out"
        assert "No space left on device" in told_in_one_line(run(*words, "-o", out))
        nothing_is_half(out)
        assert not [path for path in out.rglob("*") if path.suffix == ".tmp"]
        change("size=800M")
        assert run(*words, "-o", out).returncode == 0
        if work != "train":
            assert run(*words, "-o", tmp_path / "whole").returncode == 0
            same_files(out, tmp_path / "whole")


@pytest.mark.parametrize("work", ["segment", "explore"])
def test_a_read_only_folder(work, tmp_path):
    some = paint(tmp_path / "photos", 2)
    with disk(tmp_path / "disk", "1M") as change:
        change("ro")
        assert "Read-only file system" in told_in_one_line(run(work, some, "-o", tmp_path / "disk" / "out", *QUICK))


def test_a_path_that_vanishes(tmp_path):
    """As a network's does: photos are told of one by one, and are done when it is back."""
    some = paint(tmp_path / "photos", 70)
    words = ("explore", some, "-o", tmp_path / "labels", "--workers", 1, "--keep-going", *QUICK)
    process = subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True)
    time.sleep(3)
    some.rename(tmp_path / "away")
    said = process.communicate()[1]
    (tmp_path / "away").rename(some)
    assert process.returncode in (0, 1)  # 1 where it had not begun yet
    assert "Traceback" not in said
    if process.returncode == 0 and "could not be done" in said:
        assert "there is no such file or folder" in said
        assert any(label.error for label in LabelStore(tmp_path / "labels"))
    assert run(*words, "--retry").returncode == 0
    assert not any(label.error for label in LabelStore(tmp_path / "labels"))


def test_a_photo_that_changes_while_it_is_read(tmp_path):
    """What is said of it, its sum included, is of one or the other."""
    some, stop = paint(tmp_path / "photos", 1), threading.Event()
    path = some / "0000.png"
    versions = {}
    for seed in (0, 7):
        content = io.BytesIO()
        scene(seed).save(content, "PNG")
        path.write_bytes(content.getvalue())
        (label,) = fill(plan_labels([some], tmp_path / f"alone-{seed}", quick()))
        versions[label.sha256] = (content.getvalue(), label.forest.rles)

    def change():
        while not stop.is_set():
            for content, _ in versions.values():
                path.with_suffix(".new").write_bytes(content)
                path.with_suffix(".new").rename(path)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for turn in range(100 if FULL else 10):
            (label,) = fill(plan_labels([path], tmp_path / f"turn-{turn}", quick()))
            assert label.forest.rles == versions[label.sha256][1]
    finally:
        stop.set()
        writer.join()


def quick():
    return Labelling(explore=Explore(grains=60, zoom=Zoom(windows=0), max_masks=20))


# ---------------------------------------------------------------------- two runs at once


@pytest.mark.parametrize("work", ["explore", "segment"] if FULL else ["segment"])
def test_two_runs_in_one_folder(work, photos, tmp_path):
    """The second is refused, and the first none the worse."""
    words = (work, photos, "-o", tmp_path / "out", "--workers", 1, *QUICK)
    first = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL)
    while not list(tmp_path.glob("out/*")):
        time.sleep(0.05)
    time.sleep(0.5)
    assert "another run is at work in" in told_in_one_line(run(*words))
    assert first.wait() == 0
    assert run(*words).returncode == 0
    assert run(work, photos, "-o", tmp_path / "whole", "--workers", 2, *QUICK).returncode == 0
    same_files(tmp_path / "out", tmp_path / "whole")


# ---------------------------------------------------------------------- damaged photos


def test_damaged_photos_are_all_answered_for(tmp_path):
    """Opened or told of in one line; no other error, whatever is damaged."""
    rng, told = random.Random(1), []
    whole = {kind: [encoded(kind, seed) for seed in range(3)] for kind in KINDS}
    for _ in range(20_000 if FULL else 600):
        kind = rng.choice(list(KINDS))
        try:
            assert open_photo(damaged(rng.choice(whole[kind]), rng)).pixels.ndim == 3
        except PhotoError as error:
            told.append(str(error))
    assert len(told) > 100
    assert all(line.startswith("encoded photo: ") and "\n" not in line for line in told)


def test_a_folder_of_damaged_photos(tmp_path):
    """Wrong suffixes, text, empty files and bombs among them: as many are done and told of as there are."""
    rng, folder, count = random.Random(2), tmp_path / "photos", 1000 if FULL else 40
    folder.mkdir()
    kinds = list(KINDS)
    for number in range(count):
        kind = rng.choice(kinds)
        content = damaged(encoded(kind, number), rng)
        suffix = rng.choice(kinds) if rng.random() < 0.2 else kind
        match rng.randrange(12):
            case 0:
                content = rng.choice((b"", b"not a photo at all\n" * 9, os.urandom(500)))
            case 1:
                content, suffix = bomb(), "png"
        (folder / f"{number:04}.{suffix}").write_bytes(content)
    words = ("-o", tmp_path / "out", "--formats", "forest", "--keep-going", "--workers", 2, *QUICK)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of children of other tests
    done = run("segment", folder, *words)
    assert "Traceback" not in done.stderr
    errors = [json.loads(line) for line in (tmp_path / "out" / "errors.jsonl").read_text().splitlines()]
    forests = list((tmp_path / "out").glob("*.forest.json"))
    assert len(errors) + len(forests) == count
    assert {error["key"] for error in errors}.isdisjoint(path.name.removesuffix(".forest.json") for path in forests)
    assert all(error["reason"] and not error["details"] for error in errors)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert most <= max(before, 700_000), f"{most} kB"


def bomb():
    """A PNG of a kilobyte that claims to be of 40,000 x 40,000 pixels."""
    memory = io.BytesIO()
    Image.new("1", (8, 8)).save(memory, "PNG")
    data = bytearray(memory.getvalue())
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


# ---------------------------------------------------------------------- damaged and hostile files


@pytest.fixture(scope="module")
def made(photos, tmp_path_factory):
    """One file of each kind that is read again, whole."""
    home = tmp_path_factory.mktemp("made")
    some = paint(home / "photos", 3)
    assert run("segment", some, "-o", home / "out", "--formats", "forest,levels,coco", *QUICK).returncode == 0
    assert run("explore", some, "-o", home / "labels", *QUICK).returncode == 0
    images = [{"id": number, "file_name": f"{number}.png", "width": 48, "height": 40} for number in range(3)]
    (home / "coco.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    content = {"version": "0", "config": {}, "photos": 1, "step": 0, "steps": 1, "seconds": 0.0, "w": torch.ones(64)}
    torch.save(content, home / "checkpoint.pt")
    return home


READERS = {
    "out/0000.forest.json": read_forest,
    "out/0000.npz": read_levels,
    "coco.json": lambda path: list(image_ids_and_files(path)),
    "labels/shard-00000.parquet": lambda path: list(LabelStore(path.parent)),
    "labels/labels.keys.parquet": lambda path: LabelStore(path.parent)["0001"],
    "labels/labels.json": lambda path: list(LabelStore(path.parent)),
    "checkpoint.pt": read_checkpoint,
}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_told_of(name, made, tmp_path):
    rng, told, place = random.Random(3), [], tmp_path / "copy"
    shutil.copytree(made, place)
    content = (place / name).read_bytes()
    for _ in range(3000 if FULL else 80):
        (place / name).write_bytes(damaged(content, rng))
        try:
            READERS[name](place / name)
        except CallerError as error:
            told.append(str(error))
    assert told
    assert all("\n" not in line for line in told)


def test_what_fuzzing_found(made, tmp_path):
    """Each was an error of another kind."""
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(CallerError, match="is broken or no checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("levels", b"not an array")
    with pytest.raises(CallerError, match=r"expected (levels of shape|an \.npz)"):
        read_levels(tmp_path / "a.npz")
    shutil.copytree(made / "labels", tmp_path / "labels")
    shard = tmp_path / "labels" / "shard-00000.parquet"
    table = parquet.read_table(shard)
    column = pyarrow.array([b"\xa4"] * len(table)).view(pyarrow.string())
    too_many = "it claims 3 rows, and can have 2 at most"
    with pytest.raises(pyarrow.ArrowInvalid, match=too_many), shard.open("rb") as file:
        open_parquet(file, 2)
    place = table.schema.get_field_index("scores")
    for other in (
        table.set_column(0, "key", column),
        table.set_column(place, "scores", pyarrow.array([[{"of": 1.0}]] * len(table))),
    ):
        parquet.write_table(other, shard)
        with pytest.raises(CallerError, match="is broken"):
            list(LabelStore(tmp_path / "labels"))
    with pytest.raises(
        PhotoError, match=r"^nothing:.*cannot be reached .*: install hedgerow with its extra \[remote\]$"
    ):
        find_photos(["nothing://a/b"])


class _Hostile:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize("kind", ["checkpoint", "levels"])
def test_a_hostile_pickle_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if kind == "checkpoint":
        torch.save({"version": _Hostile()}, "file")
    else:
        np.savez("file", levels=np.array([_Hostile()], object))
        os.rename("file.npz", "file")
    with pytest.raises(CallerError):
        (read_checkpoint if kind == "checkpoint" else read_levels)(Path("file"))
    Path("plain").write_bytes(pickle.dumps(_Hostile()))
    with pytest.raises(CallerError):
        read_checkpoint(Path("plain"))
    assert not Path("owned").exists()


# ---------------------------------------------------------------------- for long


def test_memory_stays_flat(tmp_path):
    """Through tens of thousands of photos no process grows, nor has more files open or threads than at first."""
    count = 20_000 if FULL else 150
    folder = tmp_path / "photos"
    folder.mkdir()
    several = [encoded("png", seed) for seed in range(50)]
    for number in range(count):
        (folder / f"{number:05}.png").write_bytes(several[number % 50])
    words = ("segment", folder, "-o", tmp_path / "out", "--formats", "forest", "--workers", 2, *QUICK)
    process = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL)
    seen: dict[int, list[tuple[float, int, int]]] = {}
    while process.poll() is None:
        done = len(os.listdir(tmp_path / "out")) if (tmp_path / "out").exists() else 0
        if done > count // 5:  # all that is loaded late is there
            for pid in (process.pid, *children(process.pid)):
                try:
                    seen.setdefault(pid, []).append(resources(pid))
                except (FileNotFoundError, ProcessLookupError, KeyError):
                    continue  # it is ending
        time.sleep(2 if FULL else 0.1)
    assert process.returncode == 0
    assert len(list(files(tmp_path / "out"))) == count + 1
    told = {pid: some for pid, some in seen.items() if len(some) >= 5}
    assert told
    for some in told.values():
        memory, opened, threads = (np.array(column) for column in zip(*some, strict=True))
        third = max(len(memory) // 3, 1)
        assert np.median(memory[-third:]) < np.median(memory[:third]) * 1.05 + 4, memory.round().tolist()
        assert opened[:-1].max() <= opened[:third].max() + 1
        assert threads[:-1].max() <= threads[:third].max()
