"""The command line: quick to answer, readable, its mistakes one line; and measuring through it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from scipy.io import savemat

import hedgerow
from hedgerow.cli import COMMANDS, main
from hedgerow.config import Explore
from hedgerow.formats import read_coco

QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "30"]
HEAVY = "{'numpy', 'scipy', 'PIL', 'pycocotools', 'onnxruntime', 'torch', 'tqdm'}"


def hedgerow_command(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hedgerow", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


# ---------------------------------------------------------------------- help, version, mistakes


def test_help_comes_at_once():
    """No heavy room is imported for it; 0.4 s of a processor's time is what people take for at once. The help of a
    command with a hundred knobs may take a little longer."""
    code = (
        f"import sys, time; from hedgerow.cli import main; main(sys.argv[1:]); heavy = {HEAVY} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 3 * (time.process_time() > (0.9 if sys.argv[2:] else 0.4)))"
    )
    for words in (["--help"], ["segment", "--help"], ["evaluate", "masks", "--help"]):
        for _ in range(4):  # a core that others use, too, is slower by the clock of the processor as well
            ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
            if ended.returncode != 3:
                break
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("usage: hedgerow ")
        assert ended.stderr == ""


def test_importing_is_quick_and_every_name_is_there():
    code = (
        f"import sys, hedgerow; heavy = {HEAVY} & set(sys.modules); assert not heavy, heavy;"
        "[getattr(hedgerow, name) for name in dir(hedgerow)]; assert not {'torch', 'onnxruntime'} & set(sys.modules);"
        "assert callable(hedgerow.segment) and callable(hedgerow.evaluate)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hedgerow.nonsense


def test_version(capsys):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    ended = hedgerow_command("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"hedgerow {project['version']}\n", "")
    assert hedgerow.__version__ == project["version"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    assert main([*name.split(), "--help"]) == 0
    told = capsys.readouterr().out
    told = told.replace(".*", "")
    assert not re.search(r"--(predict|explore|network|views|pull)\.", told), "the method's knobs would drown the rest"
    assert "None" not in told
    for line in told.splitlines():
        assert len(line) <= 110
    assert main([*name.split(), "--help-all"]) == 0
    told = capsys.readouterr().out
    knobs = {
        "pretrain": "--network.dim INT",
        "train": "--network.dim INT",
        "outline": "--trunk-rate FLOAT",
        "contrast": "--nested",
        "ship": "--precision",
        "caption": "--pull.words FLOAT",
        "draw": "--columns INT",
        "export": "--tolerance FLOAT",
        "import": "--made-by STR",
    }
    knob = knobs.get(name, "--explore.candidates.min-area INT")
    assert knob in told
    assert main(["--help"]) == 0
    assert f"  {name} " in capsys.readouterr().out


def test_help_of_segment(capsys):
    assert main(["segment", "-h"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for said in (
        "usage: hedgerow segment [-h] [OPTIONS] PHOTO...",
        "-o DIR, --output DIR where results go",
        "--formats STR what is written, of forest,overlay,coco,levels,labels; coco implies forest",
        "--keep-going pass over photos that cannot be opened",
        "The method's own knobs (--predict.*, --explore.*): hedgerow segment --help-all",
    ):
        assert said in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            [],
            "give a command: segment, serve, draw, export, import, explore, prior, pretrain, outline, train, ",
        ),
        (["sgment", "a.jpg"], "no command 'sgment': segment, serve, draw, export, import, explore, "),
        (["evaluate"], "give a command: evaluate masks, evaluate regions, evaluate hierarchy, evaluate features, "),
        (["evaluate", "mask"], "no command 'evaluate mask': evaluate masks, "),
        (["segment"], "no photo was named: give files, folders, globs or tars"),
        (["segment", "a.jpg", "--frob"], "Unrecognized options: --frob; see hedgerow segment --help"),
        (["segment", "a.jpg", "--max-mask", "3"], "Unrecognized options: --max-mask, 3; perhaps --max-masks; see"),
        (["segment", "a.jpg", "--seed", "x"], "Error parsing --seed: invalid literal for int() with base 10: 'x'; see"),
        (["segment", "a.jpg", "--seed"], "Missing value for argument '--seed'. Expected 1 values; see"),
        (["segment", "a.jpg", "--explore.grain", "wheat"], "invalid choice 'wheat' for argument '--explore.grain'."),
        (["segment", "a.jpg", "--formats", "png"], "--formats takes forest,overlay,coco,levels,labels or some of them"),
        (["evaluate", "masks"], "Missing from hedgerow evaluate masks: --data STR"),
        (["evaluate", "masks", "--data", "folder:.", "--every", "0"], "--every is at least 1, got 0"),
    ],
)
def test_a_wrong_command_is_told_of_in_one_line(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").touch()
    assert main(words) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"hedgerow: {told}")
    assert out == ""


def test_the_program_itself(tmp_path):
    """Exit statuses and streams of real processes; output that nobody reads; a terminal that shows ASCII only."""
    assert hedgerow_command("segment").returncode == 2
    ended = hedgerow_command("segment", tmp_path / "none.jpg")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"hedgerow: {tmp_path}/none.jpg: there is no such file or folder: check the path\n"
    Image.new("RGB", (30, 20), "red").save(tmp_path / "röd.png")
    ended = hedgerow_command("segment", tmp_path / "röd.png", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert ended.returncode == 0, ended.stderr
    assert "r\\xf6d.png: " in ended.stdout


@pytest.mark.skipif(os.name == "nt", reason="pipes")
def test_a_reader_that_leaves(tmp_path):
    command = [sys.executable, "-m", "hedgerow", "segment", "--help"]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_progress_is_for_terminals(tmp_path, monkeypatch, capsys):
    """There the bar replaces a line a photo; elsewhere the lines are a log; --quiet has neither."""
    for number in range(3):
        Image.new("RGB", (30, 20), (number, 99, 0)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr("hedgerow.pipeline._crew", lambda photos, config: 0)
    words = ["segment", str(tmp_path), *QUICK, "--formats", "coco"]
    assert main([*words, "-o", str(tmp_path / "log")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert err == ""
    assert main([*words, "-o", str(tmp_path / "quiet"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main([*words, "-o", str(tmp_path / "seen")]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"3 of 3 photos done, in \S+; \S+ s\n", out)
    assert "3/3" in err
    assert "predictions.json: 100%" in err


# ---------------------------------------------------------------------- measuring


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """Four photos of a red and a blue square on grey, in the layouts of three data sets, measured in this process."""
    monkeypatch.setattr("hedgerow.evaluation.forests.workers_of", lambda config: 0)
    monkeypatch.setattr("hedgerow.pipeline._crew", lambda photos, config: 0)
    places = ["coco/annotations", "coco/val2017", "bsds/images/val", "bsds/groundTruth/val"]
    for place in [*places, "clothing/images", "clothing/masks"]:
        (tmp_path / place).mkdir(parents=True)
    images, annotations = [], []
    for number in range(4):
        labels = np.zeros((60, 80), np.uint8)
        labels[10:40, 5:35], labels[20 + number : 50, 45:75], labels[15:25, 10:20] = 1, 2, 3
        photo = Image.fromarray(np.array([(128, 128, 128), (200, 0, 0), (0, 0, 200), (255, 200, 0)], np.uint8)[labels])
        for place in ("coco/val2017", "bsds/images/val", "clothing/images"):
            photo.save(tmp_path / place / f"{number}.png")
        Image.fromarray(labels).save(tmp_path / f"clothing/masks/{number}.png")
        images.append({"id": 10 + number, "file_name": f"{number}.png", "width": 80, "height": 60})
        for value in (1, 2):
            rle = coco.encode(np.asfortranarray(labels == value).astype(np.uint8))
            counts = {"size": [60, 80], "counts": rle["counts"].decode()}
            annotations.append({"id": len(annotations), "image_id": 10 + number, "category_id": 1,
                                "segmentation": counts, "area": int(coco.area(rle)), "iscrowd": 0})  # fmt: skip
        person = np.empty((1, 1), dtype=[("Segmentation", "O"), ("Boundaries", "O")])
        person[0, 0] = (labels.astype(np.uint16) + 1, np.diff(labels.astype(int), axis=0, append=0) != 0)
        truth = np.empty((1, 1), object)
        truth[0, 0] = person
        savemat(tmp_path / f"bsds/groundTruth/val/{number}.mat", {"groundTruth": truth})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (tmp_path / "coco/annotations/instances_val2017.json").write_text(json.dumps(document))
    (tmp_path / "clothing/classes.txt").write_text("0 null\n1 coat\n2 bag\n3 button\n")
    return tmp_path


def test_evaluate_masks(shapes, capsys):
    words = ["evaluate", "masks", "--data", f"coco:{shapes}/coco", *QUICK]
    assert main([*words, "--worst", "2", "--json", str(shapes / "numbers.json")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    table = dict(re.findall(r"^(\S.*?)  +(\S+)$", out, re.MULTILINE))
    assert table["photos"] == "4"
    assert table["regions"] == "8"
    assert float(table["AR@1000"]) > 0.8, "squares of one colour are found"
    assert "masks: COCO's average recall and precision" in out
    assert "texture, seed 0" in out
    assert out.splitlines()[-3] == "worst by AR@1000"
    numbers = json.loads((shapes / "numbers.json").read_text())
    assert numbers["scores"]["AR@1000"] == pytest.approx(float(table["AR@1000"]), abs=1e-4)
    assert len(numbers["photos"]["worst first"]) == 4
    assert numbers["forests"]["explore"]["grains"] == 60
    assert main([*words, "--every", "2", "--limit", "1"]) == 0
    assert re.search(r"^photos +1$", capsys.readouterr().out, re.MULTILINE)


def test_a_page_shows_the_worst_first(shapes, capsys):
    """What was found is outlined in green, what was missed in red: of the photo that nothing is predicted of, all."""
    data, page = ["--data", f"coco:{shapes}/coco"], shapes / "worst.html"
    document = json.loads((shapes / "coco/annotations/instances_val2017.json").read_text())
    found = [mask | {"score": 1.0} for mask in document["annotations"] if mask["image_id"] != 11]
    (shapes / "found.json").write_text(json.dumps(found))
    words = ["--predictions", str(shapes / "found.json"), "--page", str(page), "--quiet"]
    assert main(["evaluate", "masks", *data, *words]) == 0
    text = page.read_text()
    assert "http" not in text, "it stands for itself"
    assert re.search(r"<td>AR@1000<td>0.7500", text)
    assert re.findall(r"<figcaption>(\S+) <span class=soft>(\S+),", text)[0] == ("1", "0.000")
    left = [Image.open(BytesIO(b64decode(data))) for data in re.findall(r"base64,([^\"]+)", text)[::2]]
    green, red = zip(*(near(image) for image in left), strict=True)
    assert len(left) == 4
    assert green[0] == 0 < red[0]
    assert all(one > 0 for one in green[1:])
    assert not any(red[1:])
    assert main(["evaluate", "masks", *data, "--page", str(shapes / "nowhere" / "a.html")]) == 1
    assert "there is no folder" in capsys.readouterr().err


def near(image):
    """How many pixels are green, and how many red, as lines are; the shapes' own red is darker and without grey."""
    pixels = np.asarray(image.convert("RGB"), int)
    return [int((np.abs(pixels - colour).sum(2) < 90).sum()) for colour in ((38, 166, 91), (222, 53, 53))]


def test_predictions_measure_as_what_made_them(shapes, capsys):
    """Segmented now, a folder of forests, COCO results: one number."""
    data, out = ["--data", f"coco:{shapes}/coco"], shapes / "out"
    ids = shapes / "coco/annotations/instances_val2017.json"
    folder = str(shapes / "coco/val2017")
    assert main(["segment", folder, "-o", str(out), "--coco-ids", str(ids), "--formats", "coco", *QUICK]) == 0
    capsys.readouterr()
    scores = []
    for words in ([], ["--predictions", str(out)], ["--predictions", str(out / "predictions.json")]):
        assert main(["evaluate", "masks", *data, *words, *QUICK, "--json", str(shapes / "n.json")]) == 0
        scores.append(json.loads((shapes / "n.json").read_text())["scores"])
    assert scores[0] == scores[1] == scores[2]
    assert len(read_coco(out / "predictions.json")) == 4
    capsys.readouterr()
    assert main(["evaluate", "masks", *data, "--predictions", str(out), "--max-masks", "1"]) == 0
    assert "read" in capsys.readouterr().out

    rows = json.loads((out / "predictions.json").read_text())
    (shapes / "fewer.json").write_text(json.dumps([row for row in rows if row["image_id"] != 11]))
    assert main(["evaluate", "masks", *data, "--predictions", str(shapes / "fewer.json")]) == 0
    out_, err = capsys.readouterr()
    assert err == "hedgerow: 1 photo without a prediction: nothing counts as found there\n"
    assert re.search(r"^photos +4$", out_, re.MULTILINE)


def test_evaluate_regions(shapes, capsys):
    words = ["evaluate", "regions", "--data", f"bsds:{shapes}/bsds", *QUICK]
    assert main(words) == 0
    table = dict(re.findall(r"^(\S.*?)  +(\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert float(table["covering ODS"]) > 0.8
    assert "boundary F ODS" in table
    out = shapes / "out"
    assert main(["segment", str(shapes / "bsds/images/val"), "-o", str(out), "--formats", "levels", *QUICK]) == 0
    capsys.readouterr()
    assert main([*words, "--no-boundaries", "--levels", str(out)]) == 0
    again = dict(re.findall(r"^(\S.*?)  +(\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert again["covering ODS"] == table["covering ODS"]
    assert "boundary F ODS" not in again
    assert main([*words, "--no-boundaries", "--count", "3"]) == 0
    np.savez(out / "1.npz", levels=np.zeros((3, 60, 80), np.int32))
    capsys.readouterr()
    assert main([*words, "--no-boundaries", "--levels", str(out)]) == 1
    assert "all photos need the same number of levels, got [3, 12]" in capsys.readouterr().err


def test_evaluate_hierarchy(shapes, capsys):
    assert main(["evaluate", "hierarchy", "--data", f"clothing:{shapes}/clothing", *QUICK]) == 0
    table = dict(re.findall(r"^(\S.*?)  +(\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert table["pairs"] == "12"
    assert main(["evaluate", "hierarchy", "--data", f"coco:{shapes}/coco", *QUICK]) == 1
    assert "nothing there is marked as part of anything" in capsys.readouterr().err


def test_photos_that_cannot_be_measured(shapes, capsys):
    (shapes / "coco/val2017/2.png").write_bytes(b"")
    words = ["evaluate", "masks", "--data", f"coco:{shapes}/coco", *QUICK]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"hedgerow: {shapes}/coco/val2017/2.png: the file is empty: fetch or export it again"
    assert main([*words, "--keep-going"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^photos +3$", out, re.MULTILINE)
    assert err.splitlines()[0] == "hedgerow: 1 of 4 photos could not be done:"


def test_what_cannot_be_measured_is_told_in_one_line(shapes, capsys):
    coco_set, empty = f"coco:{shapes}/coco", shapes / "empty"
    empty.mkdir()
    (shapes / "strange.json").write_text(json.dumps([]))
    np.savez(empty / "0.npz", levels=np.zeros((3, 9, 9), np.int32))
    for words, told in [
        (["masks", "--data", "coco"], '"coco" is no data set: write LAYOUT:ROOT'),
        (["masks", "--data", f"coco:{shapes}/nowhere"], "coco: there is nothing at"),
        (["masks", "--data", f"coco:{shapes}/bsds"], f"{shapes}/bsds is not laid out as coco: looked for"),
        (["masks", "--data", f"bsds:{shapes}/bsds"], "is of no use here: 0 has no regions, as coco has"),
        (["regions", "--data", coco_set], "is of no use here: 0 has no several people's partitions, as bsds has"),
        (["masks", "--data", coco_set, "--predictions", f"{shapes}/none.json"], f"cannot read {shapes}/none.json"),
        (["masks", "--data", coco_set, "--predictions", f"{shapes}/strange.json"], "not one of its image ids is of"),
        (["masks", "--data", coco_set, "--predictions", str(empty)], "lacks 4 of 4 photos, such as 0.forest.json"),
        (["masks", "--data", coco_set, "--json", str(empty / "no/n.json"), "--limit", "1", *QUICK], "cannot write"),
        (
            ["regions", "--data", f"bsds:{shapes}/bsds", "--levels", str(empty), "--limit", "1"],
            "its labels are of size",
        ),
    ]:
        assert main(["evaluate", *words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line


@pytest.mark.parametrize(
    ("backbone", "status", "told"),
    [
        ("clay", 2, "no backbone 'clay'; there are texture"),
        ("texture?colour=1", 2, "texture knows no option colour"),
        ("texture?size=tall", 2, "size should be int, got 'tall'"),
        ("none.onnx", 1, "no such file: none.onnx"),
    ],
)
def test_a_backbone_that_cannot_be_is_another_mistake_than_a_missing_file(backbone, status, told, shapes, capsys):
    assert main(["evaluate", "masks", "--data", f"coco:{shapes}/coco", "--backbone", backbone]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_device_without_memory_is_told_in_one_line(capsys, monkeypatch):
    class OutOfMemoryError(RuntimeError):
        """As torch's is called."""

    errors = [OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), RuntimeError("of ours")]

    def fail(argv, commands):
        raise errors.pop(0)

    monkeypatch.setattr("hedgerow.cli.command_of", fail)
    assert main(["pretrain"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the device's memory is too small: give a smaller --batch, --size or --views.large, more" in line
    with pytest.raises(RuntimeError, match="of ours"):
        main(["pretrain"])


def test_the_shortcuts_have_defaults_as_told():
    """Help texts say them, since the fields themselves are None."""
    assert (Explore().max_masks, Explore().min_area) == (1000, 0)


def test_where_numbers_go_is_checked_before_measuring(tmp_path, capsys):
    for words in (["evaluate", "masks", "--data", "coco:none"], ["evaluate", "features", "--probe", "camvid:none"]):
        assert main([*words, "--json", str(tmp_path / "none" / "n.json")]) == 1
        assert capsys.readouterr().err.endswith("n.json: there is no folder " + f"{tmp_path}/none: make it first\n")
    assert main(["evaluate", "masks", "--data", "coco:none", "--json", str(tmp_path)]) == 1
    assert "choose a file" in capsys.readouterr().err
