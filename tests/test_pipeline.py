"""Runs over photos: what is written, going on where a run was stopped, and that no two runs mix."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hedgerow
from hedgerow.cli import main
from hedgerow.config import CallerError, Explore, Merge, Segment, UsageError, Zoom
from hedgerow.formats import read_coco, read_forest
from hedgerow.photos import PhotoError
from hedgerow.pipeline import Done, Failed, plan, segment_photos

# a fortieth of a second a photo
QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "30"]
EXPLORE = Explore(grains=60, zoom=Zoom(windows=0), max_masks=30)
# long enough to be stopped in the middle
SLOW = ["--explore.grains", "600", "--explore.zoom.windows", "0", "--max-masks", "50"]


def picture(seed: int, height: int = 48, width: int = 64) -> Image.Image:
    """Some rectangles, different for every seed."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(4):
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        pixels[top : top + rng.integers(8, 30), left : left + rng.integers(8, 30)] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


def run(*words: object) -> int:
    return main(["segment", *QUICK, *map(str, words)])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def results(folder: Path) -> dict[str, bytes]:
    """The same without the record, which tells where the photos came from."""
    return {name: data for name, data in contents(folder).items() if name != "hedgerow.json"}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    for number, name in enumerate(["a.png", "b.jpg", "sub/a.png", "sub/d e.png"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / name)
    return folder


@pytest.fixture
def photos(folder, monkeypatch):
    """The folder, for tests that are not about processes: all work is done in this one, which starts at once."""
    monkeypatch.setattr("hedgerow.pipeline._crew", lambda photos, config: 0)
    return folder


# ---------------------------------------------------------------------- what is written


def test_one_photo_beside_itself(tmp_path, capsys):
    picture(1).save(tmp_path / "my photo.jpg")
    assert run(tmp_path / "my photo.jpg") == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{tmp_path}/my photo.jpg: ")
    assert "regions" in told.out
    assert told.err == ""
    assert sorted(contents(tmp_path)) == ["my photo.forest.json", "my photo.jpg", "my photo.overlay.png"]
    forest, header = read_forest(tmp_path / "my photo.forest.json")
    same = hedgerow.segment(tmp_path / "my photo.jpg", config=EXPLORE)
    assert forest.rles == same.rles
    assert header["image"] == {"file": "my photo.jpg", "width": 64, "height": 48}
    assert header["model"]["supervision"] == "none"
    assert header["model"]["explore"]["grains"] == 60
    with Image.open(tmp_path / "my photo.overlay.png") as shown:
        assert shown.size == (64, 48)


def test_in_python(photos, tmp_path):
    forest = hedgerow.segment(str(photos / "a.png"), config=EXPLORE)
    assert isinstance(forest, hedgerow.MaskForest)
    assert forest.masks().shape == (len(forest), 48, 64)
    assert forest.levels(8).shape == (8, 48, 64)
    assert len(forest.to_coco()) == len(forest) <= 30
    assert hedgerow.segment(photos / "a.png", config=EXPLORE, seed=0).rles == forest.rles
    planned = plan([str(photos)], str(tmp_path / "out"), Segment(explore=EXPLORE))
    outcomes = list(segment_photos(planned))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert [outcome.photo for outcome in outcomes] == list(planned.photos)


def test_a_folder_with_every_format(photos, tmp_path):
    out = tmp_path / "out"
    assert run(photos, "-o", out, "--formats", "forest,overlay,coco,levels") == 0
    keys = ["a", "b", "sub/a", "sub/d e"]
    suffixes = (".forest.json", ".npz", ".overlay.png")
    assert set(contents(out)) == {key + s for key in keys for s in suffixes} | {"hedgerow.json", "predictions.json"}
    levels = np.load(out / "sub/d e.npz")["levels"]
    forest, _ = read_forest(out / "sub/d e.forest.json")
    assert (levels.shape, levels.dtype) == ((12, 48, 64), np.int32)
    np.testing.assert_array_equal(levels, forest.levels(12))
    found = read_coco(out / "predictions.json")
    assert list(found) == keys
    assert sorted(found["sub/d e"].rles) == sorted(forest.rles)


def test_any_number_of_workers_gives_the_same_bytes(folder, tmp_path):
    options = ("--formats", "forest,overlay,coco,levels", "--quiet")
    for workers in (1, 3):
        assert run(folder, "-o", tmp_path / str(workers), *options, "--workers", workers) == 0
    assert contents(tmp_path / "1") == contents(tmp_path / "3")
    assert run(folder / "b.jpg", "-o", tmp_path / "0", *options) == 0  # a single photo is done in this very process
    assert (tmp_path / "0/b.forest.json").read_bytes() == (tmp_path / "3/b.forest.json").read_bytes()


def test_coco_ids(photos, tmp_path):
    """The list's photos, under the list's ids, in the list's order; other photos of the folder are not looked at."""
    images = [{"id": 7, "file_name": "sub/a.png"}, {"id": 3, "file_name": "b.jpg"}]
    listed = [image | {"width": 64, "height": 48} for image in images]
    (tmp_path / "list.json").write_text(json.dumps({"images": listed, "annotations": [], "categories": []}))
    words = (photos, "-o", tmp_path / "out", "--coco-ids", tmp_path / "list.json", "--formats", "coco")
    assert run(*words, "--max-masks", 5) == 0
    rows = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [row["image_id"] for row in rows] == [7] * 5 + [3] * 5
    assert len({row["id"] for row in rows}) == 10
    assert set(results(tmp_path / "out")) == {"predictions.json", "sub/a.forest.json", "b.forest.json"}
    listed.append({"id": 9, "file_name": "gone.png", "width": 64, "height": 48})
    (tmp_path / "list.json").write_text(json.dumps({"images": listed, "annotations": [], "categories": []}))
    with pytest.raises(PhotoError, match=r"list\.json lists 1 photos that are not in .*photos, as gone\.png: give the"):
        plan([photos], tmp_path / "new", Segment(coco_ids=tmp_path / "list.json"))
    assert run(*words[:2], tmp_path / "new", *words[3:], "--keep-going", "--max-masks", 5) == 0
    listed[1]["id"] = 7
    (tmp_path / "list.json").write_text(json.dumps({"images": listed, "annotations": [], "categories": []}))
    with pytest.raises(CallerError, match="image 7 has the id or the file name of another"):
        plan([photos], tmp_path / "new", Segment(coco_ids=tmp_path / "list.json"))


@pytest.mark.usefixtures("photos")
def test_photos_in_a_tar_and_two_of_one_name(tmp_path, capsys):
    for number, name in enumerate(["x.png", "x.jpg", "deep/x.png"]):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(tmp_path / "in" / name)
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "in", "in")
    out = tmp_path / "out"
    assert run(tmp_path / "photos.tar", "-o", out, "--formats", "forest") == 0
    assert set(results(out)) == {"in/x.png.forest.json", "in/x.jpg.forest.json", "in/deep/x.forest.json"}
    assert f"{tmp_path}/photos.tar/in/x.png: " in capsys.readouterr().out
    assert read_forest(out / "in/x.jpg.forest.json")[1]["image"]["file"] == "x.jpg"
    assert run(tmp_path / "photos.tar") == 2
    assert "give a folder for them, -o DIR" in capsys.readouterr().err


@pytest.mark.usefixtures("photos")
def test_any_name(tmp_path, capsys):
    names = ["two\nlines.png", "räksmörgås 🥪.png", "-dash.png", "%s {x}.png", " .png"]
    (tmp_path / "in").mkdir()
    for number, name in enumerate(names):
        picture(number).save(tmp_path / "in" / name)
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--formats", "forest,coco") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(names) + 1
    assert set(results(tmp_path / "out")) == {f"{n[:-4]}.forest.json" for n in names} | {"predictions.json"}


def test_pictures_of_a_run_before_are_no_photos(photos, tmp_path, capsys):
    assert run(photos, "-o", photos) == 0
    before = contents(photos)
    assert run(photos, "-o", photos) == 0
    told = capsys.readouterr()
    assert "pictures of earlier runs (*.overlay.png) are passed over: 4" in told.err
    assert "4 of 4 photos done (4 of them before)" in told.out
    assert contents(photos) == before
    assert run(photos / "a.overlay.png", "-o", tmp_path / "out", "--formats", "forest") == 0  # if asked for by name


def test_max_masks_and_min_area(photos):
    assert main(["segment", str(photos / "a.png"), *QUICK, "--min-area", "200", "--max-masks", "9"]) == 0
    forest, header = read_forest(photos / "a.forest.json")
    assert forest.areas.min() >= 200
    assert 1 <= len(forest) <= 9
    assert header["model"]["explore"]["min_area"] == 200


# ---------------------------------------------------------------------- going on, and not mixing


def test_finished_photos_are_left_alone(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(photos, "-o", out) == 0
    (out / "sub/a.overlay.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.name != "hedgerow.json"}
    capsys.readouterr()
    assert run(photos, "-o", out) == 0
    told = capsys.readouterr().out
    assert "sub/a.png: " in told
    assert "4 of 4 photos done (3 of them before)" in told
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before
    assert (out / "sub/a.overlay.png").exists()
    assert run(photos / "b.jpg", "-o", out) == 0
    assert "b.jpg: finished before; --overwrite does it again" in capsys.readouterr().out


def test_formats_made_later_are_those_made_at_once(photos, tmp_path):
    """They come from the forests that are there, not from exploring again, and are the same to the byte."""
    late, once = tmp_path / "late", tmp_path / "once"
    assert run(photos, "-o", late, "--formats", "forest") == 0
    stamps = [path.stat().st_mtime_ns for path in late.rglob("*.forest.json")]
    assert run(photos, "-o", late, "--formats", "coco,levels,overlay") == 0
    assert stamps == [path.stat().st_mtime_ns for path in late.rglob("*.forest.json")]
    assert run(photos, "-o", once, "--formats", "forest,overlay,coco,levels") == 0
    assert contents(late) == contents(once)


def test_other_settings_are_refused_and_overwritten_when_asked(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(photos, "-o", out, "--formats", "coco,levels") == 0
    before = contents(out)
    for option, told in [
        (("--seed", 1), "made with seed 0, not 1"),
        (("--explore.borders.spectral", 1), "made with explore.borders.spectral 2.0, not 1.0"),
        (("--explore.handicap", "inf"), "made with explore.handicap 0.8, not inf"),
    ]:
        assert run(photos, "-o", out, *option) == 1
        assert capsys.readouterr().err == (f"hedgerow: {out} was {told}: use --overwrite, or give another folder, -o\n")
    assert contents(out) == before
    assert run(photos / "a.png", "-o", out, "--explore.handicap", "inf", "--overwrite", "--formats", "forest") == 0
    assert not (out / "a.npz").exists(), "levels of the old forest would be taken for the new one's"
    assert not (out / "predictions.json").exists()
    assert read_forest(out / "a.forest.json")[1]["model"]["explore"]["handicap"] == "inf"
    # what is left of the old run belongs to none that goes on
    assert run(photos, "-o", out, "--explore.handicap", "inf", "--formats", "forest") == 1
    assert "of another photo than" in capsys.readouterr().err


def test_stopped_while_overwriting(photos, tmp_path):
    """What is not done again yet is gone, so the same command without --overwrite goes on and mixes nothing."""
    out = tmp_path / "out"
    assert run(photos, "-o", out) == 0
    config = Segment(explore=EXPLORE, seed=5, overwrite=True)
    outcomes = segment_photos(plan([photos], out, config))
    next(outcomes)
    outcomes.close()
    assert len(list(out.rglob("*.forest.json"))) in (1, 2)
    assert len(plan([photos], out, replace(config, overwrite=False)).todo) in (2, 3)


def test_photos_of_the_same_name_from_elsewhere_are_refused(photos, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    assert run(photos, "-o", out, "--formats", "forest") == 0
    picture(9).save(other / "new.png")
    assert run(other, "-o", out, "--formats", "forest") == 0  # another name: welcome
    picture(9).save(other / "a.png")
    picture(9).save(tmp_path / "a.png")
    before = contents(out)
    assert run(tmp_path / "a.png", "-o", out, "--formats", "forest") == 1
    assert f"{out} holds results named a of another photo than {tmp_path / 'a.png'}" in capsys.readouterr().err
    assert contents(out) == before


def test_results_without_a_record_are_refused(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(photos / "a.png", "-o", out) == 0
    (out / "hedgerow.json").write_text("[")
    assert run(photos / "a.png", "-o", out) == 1
    assert "is no record of a run" in capsys.readouterr().err
    (out / "hedgerow.json").unlink()
    assert run(photos / "a.png", "-o", out) == 1
    assert "holds results, but no hedgerow.json that says how they were made" in capsys.readouterr().err
    assert run(photos / "a.png", "-o", out, "--overwrite") == 0


@pytest.mark.usefixtures("photos")
def test_beside_a_photo_the_forest_is_the_record(tmp_path, capsys):
    picture(1).save(tmp_path / "a.png")
    picture(2).save(tmp_path / "a.jpg")
    assert run(tmp_path / "a.png") == 0
    before = results(tmp_path)
    assert run(tmp_path / "a.png") == 0
    assert "finished before" in capsys.readouterr().out
    assert run(tmp_path / "a.jpg") == 1
    assert "a.forest.json is of a.png, not of a.jpg" in capsys.readouterr().err
    assert run(tmp_path / "a.png", "--seed", 3) == 1
    assert "was made with seed 0, not 3" in capsys.readouterr().err
    assert results(tmp_path) == before
    assert run(tmp_path / "a.png", "--seed", 3, "--overwrite") == 0
    assert run(tmp_path / "a.png", tmp_path / "a.jpg", "--formats", "forest") == 0
    assert {"a.png.forest.json", "a.jpg.forest.json"} < set(contents(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (([], None, {}), "no photo was named"),
        ((["photos"], None, {}), "give a folder for them, -o DIR"),
        ((["photos/a.png"], None, {"formats": "coco"}), "give a folder for them, -o DIR"),
        ((["photos/a.png"], "out", {"formats": "forest,png"}), "--formats takes forest,overlay,coco,levels"),
        ((["photos/a.png"], "out", {"min_area": -1}), "--min-area is at least 0, got -1"),
        ((["photos/a.png"], "out", {"coco_ids": "list.json"}), "needs the one folder"),
        ((["photos/a.png"], "out", {"workers": 0}), "--workers is at least 1, got 0"),
        ((["photos/a.png"], "out", {"max_masks": 0}), "--max-masks is at least 1, got 0"),
        ((["photos/a.png"], "out", {"seed": -1}), "--seed is at least 0, got -1"),
        (
            (["photos/a.png"], "out", {"explore": Explore(zoom=Zoom(most=-3))}),
            "--explore.zoom.most is at least 0, got -3",
        ),
        ((["photos/a.png"], "out", {"explore": Explore(zoom=Zoom(side=0))}), "--explore.zoom.side is above 0, got 0"),
        ((["photos/a.png"], "out", {"explore": Explore(grains=0)}), "--explore.grains is above 0, got 0"),
        ((["photos/a.png"], "out", {"explore": Explore(overlap=90)}), "--explore.overlap lies in 0 ... 1, got 90"),
        ((["photos/a.png"], "out", {"explore": Explore(cover=np.nan)}), "--explore.cover lies in 0 ... 1, got nan"),
        ((["photos/a.png"], "out", {"explore": Explore(merge=Merge(size=np.inf))}), "--explore.merge.size is at least"),
    ],
)
def test_what_cannot_be_asked_for(arguments, told, photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    inputs, output, config = arguments
    with pytest.raises(UsageError, match=told):
        plan([Path(given) for given in inputs], output and Path(output), Segment(**config))
    assert not Path("out").exists()


# ---------------------------------------------------------------------- photos that cannot be done


def test_the_first_bad_photo_ends_a_run_and_loses_nothing(photos, tmp_path, capsys):
    (photos / "c.jpg").write_bytes(b"")
    out = tmp_path / "out"
    assert run(photos, "-o", out, "--formats", "coco") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"hedgerow: {photos}/c.jpg: the file is empty: fetch or export it again "
        "(2 of 5 photos done; --keep-going passes over such)"
    )
    assert set(results(out)) == {"a.forest.json", "b.forest.json", "errors.jsonl"}
    (photos / "c.jpg").unlink()
    assert run(photos, "-o", out, "--formats", "coco") == 0
    assert "predictions.json" in contents(out)
    assert "errors.jsonl" not in contents(out)


def test_keep_going(photos, tmp_path, capsys):
    (photos / "c.jpg").write_bytes(b"")
    (photos / "e.jpg").write_text("no photo")
    out = tmp_path / "out"
    assert run(photos, "-o", out, "--formats", "coco", "--keep-going") == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1].startswith(f"4 of 6 photos done, in {out}; ")
    first, *named = told.err.splitlines()
    assert first == f"hedgerow: 2 of 6 photos could not be done, listed in {out}/errors.jsonl:"
    assert [line.split(":")[1].strip() for line in named] == [f"{photos}/c.jpg", f"{photos}/e.jpg"]
    listed = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert [row["key"] for row in listed] == ["c", "e"]
    assert listed[0]["reason"].endswith("the file is empty: fetch or export it again")
    assert list(read_coco(out / "predictions.json")) == ["a", "b", "sub/a", "sub/d e"]
    assert run(photos / "c.jpg", "-o", tmp_path / "new", "--keep-going") == 1  # not a single photo was done


def test_a_fault_of_ours_names_the_photo(photos, tmp_path, capsys, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("hedgerow.pipeline.explore", fails)
    assert run(photos / "a.png", "-o", tmp_path / "out") == 1
    told = capsys.readouterr().err
    assert told.startswith(f"hedgerow: {photos}/a.png: a fault of Hedgerow's, ZeroDivisionError: oh\n")
    assert "in fails" in told, "the traceback helps to mend it"
    (failed,) = segment_photos(plan([photos / "a.png"], tmp_path / "out", Segment(explore=EXPLORE)))
    assert isinstance(failed, Failed)


# ---------------------------------------------------------------------- being stopped


def started(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hedgerow", "segment", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def computed(pid: str) -> int:
    """Ticks of the processor, hundredths of a second, that a process has had."""
    after_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_the_name[11]) + int(after_the_name[12])


@pytest.fixture
def several(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        picture(number, 160, 160).save(folder / f"{number}.png")
    return folder


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_good_order(sent, status, several, tmp_path):
    out = tmp_path / "out"
    process = started(several, "-o", out, "--workers", 1, *SLOW)
    wait_for(out / "0.forest.json", process)
    os.killpg(process.pid, sent)  # as a terminal does: to all processes of the run
    _, told = process.communicate(timeout=20)
    assert process.returncode == status
    (line,) = told.splitlines()
    assert line.startswith("hedgerow: stopped: ")
    assert line.endswith(" of 6 photos done; the same command goes on from there")
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_killed_in_the_middle_and_run_again(several, tmp_path):
    """Nothing is lost or half-written, and the result is that of a run that nobody killed."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    options = ["--formats", "forest,overlay,coco", "--workers", "1", *SLOW]
    process = started(several, "-o", out, *options)
    wait_for(out / "1.forest.json", process)
    process.kill()
    process.communicate()
    left = contents(out)
    forests = [name for name in left if name.endswith(".forest.json")]
    assert 2 <= len(forests) < 6
    for name in forests:
        read_forest(out / name)
    for path in out.glob(".*.tmp"):
        os.utime(path, (1, 1))  # long ago
    assert main(["segment", str(several), "-o", str(out), *options]) == 0
    assert main(["segment", str(several), "-o", str(whole), *options]) == 0
    assert contents(out) == contents(whole)
    assert all(contents(out)[name] == data for name, data in left.items() if not name.startswith("."))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_worker_that_is_killed_is_told_of(several, tmp_path):
    """In the middle of the second photo: one that has written its files may not have answered for them yet."""
    out = tmp_path / "out"
    process = started(several, "-o", out, "--workers", 1, "--keep-going", *SLOW)
    wait_for(out / "0.overlay.png", process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (worker,) = [pid for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    before = computed(worker)
    while computed(worker) < before + 5:  # to answer takes less than one, a photo takes twenty or more
        time.sleep(0.001)
    os.kill(int(worker), signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "1 of 6 photos could not be done" in told
    assert "its process was ended by SIGKILL, as when memory runs out: give fewer --workers" in told
    assert len(list(out.glob("*.forest.json"))) == 5


@pytest.mark.skipif(os.name == "nt", reason="resource")
def test_a_full_disk_ends_the_run_in_one_line(several, tmp_path):
    """A file may not grow beyond a few kB here, which fails as a full disk does; what was whole before stays."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000));"
        "from hedgerow.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["segment", str(several / "0.png"), "-o", str(tmp_path / "out"), *QUICK]
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line == f"hedgerow: cannot write {tmp_path}/out/0.forest.json: File too large"
    assert set(contents(tmp_path / "out")) == {"hedgerow.json"}
