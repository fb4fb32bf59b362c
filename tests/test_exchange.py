"""Files of other tools: what goes out comes back, others' readers open it, and what is damaged is told in one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

from hedgerow import exchange
from hedgerow.config import CallerError
from hedgerow.exchange import Affine, Cut, Entry, partition
from hedgerow.exchange.labelstudio import brush
from hedgerow.exchange.voc import palette
from hedgerow.forest import MaskForest

MODEL = {"name": "felt by hand", "supervision": "none", "weights_sha256": None}
SIZE = (24, 30)


def square(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def a_forest():
    """A cat with an ear and a hole, its ear in two pieces, grass around; nothing overlaps but parts and wholes."""
    cat = square(4, 4, 20, 20)
    cat[10:14, 10:14] = False
    ear = square(4, 4, 7, 7) | square(4, 16, 7, 19)
    grass = square(0, 22, 24, 30)
    dot = square(4, 4, 5, 5)
    return MaskForest.from_masks(
        [cat, grass, ear, dot],
        parent=[-1, -1, 0, 2],
        score=[0.9, 0.25, 0.5, 0.125],
        source=["global", "local", "zoom", ""],
        name=["cat", 'tall "grass" & <weeds>', "ear", ""],
        category=[-1, -1, -1, 7],
    )


@pytest.fixture
def entries():
    other = MaskForest.from_masks([square(0, 0, 24, 15), square(0, 15, 24, 30)], score=[0.75, 0.5])
    return [
        Entry("june/1.jpg", a_forest(), MODEL),
        Entry("b.png", other, MODEL),
        Entry("c.jpg", MaskForest(SIZE), MODEL),
    ]


def same(found: MaskForest, wanted: MaskForest, *, parents=True, scores=True):
    place = {text: row for row, text in enumerate(found.rles)}
    assert sorted(found.rles) == sorted(wanted.rles)
    for row, text in enumerate(wanted.rles):
        at = place[text]
        assert exchange.entries.called(found, at) == exchange.entries.called(wanted, row)
        if scores:
            assert found.score[at] == pytest.approx(wanted.score[row], abs=1e-6)
        if parents:
            above, theirs = int(wanted.parent[row]), int(found.parent[at])
            assert (found.rles[theirs] if theirs >= 0 else None) == (wanted.rles[above] if above >= 0 else None)


def sized(key):
    return f"{key}.jpg", SIZE


# ---------------------------------------------------------------------- round trips


@pytest.mark.parametrize("outlines", [False, True])
def test_coco_instances_come_back_and_pycocotools_reads_them(tmp_path, entries, outlines, capsys):
    path = tmp_path / "deep" / "instances.json"
    assert exchange.write_coco_instances(path, iter(entries), outlines=outlines) == 6
    again = list(exchange.read_coco_instances(path))
    assert [entry.file for entry in again] == ["june/1.jpg", "b.png", "c.jpg"]
    for entry, wanted in zip(again, entries, strict=True):
        same(entry.forest, wanted.forest)
        assert entry.model == MODEL
    theirs = COCO(str(path))
    rows = theirs.loadAnns(theirs.getAnnIds(imgIds=[1]))
    assert [theirs.loadCats(row["category_id"])[0]["name"] for row in rows] == [
        "cat",
        entries[0].forest.name[1],
        "ear",
        "category 7",
    ]
    for row, text, parent in zip(rows, entries[0].forest.rles, [None, None, 1, 3], strict=True):
        assert theirs.annToMask(row).sum() == row["area"] == coco.area({"size": list(SIZE), "counts": text})
        assert row["parent_id"] == parent
        assert row["iscrowd"] == 0
    results = [{"image_id": 1, "category_id": 1, "segmentation": theirs.annToRLE(rows[0]), "score": rows[0]["score"]}]
    assert len(theirs.loadRes(results).anns) == 1
    capsys.readouterr()


def test_simplified_polygons_stay_near(tmp_path):
    ys, xs = np.mgrid[:200, :220]
    masks = [np.hypot(ys - 100, xs - 110) < 80, np.hypot(ys - 90, xs - 100) < 30]
    forest = MaskForest.from_masks(masks, parent=[-1, 0])
    path = tmp_path / "a.json"
    exchange.write_coco_instances(path, [Entry("a.jpg", forest)], outlines=True, tolerance=1.0)
    (entry,) = exchange.read_coco_instances(path)
    assert np.diag(entry.forest.iou(forest)).min() > 0.97
    assert entry.forest.parent.tolist() == [-1, 0]
    sides = sum(len(row["segmentation"][0]) for row in json.loads(path.read_text())["annotations"]) / 2
    assert sides < 100


def test_parts_point_to_their_objects(tmp_path, entries):
    path = tmp_path / "parts.json"
    assert exchange.write_parts(path, entries) == 6
    document = json.loads(path.read_text())
    names = {row["id"]: row["name"] for row in document["categories"]}
    told = [(names[row["category_id"]], row["obj_ann_id"]) for row in document["annotations"] if row["image_id"] == 1]
    assert told == [("cat", 1), (entries[0].forest.name[1], 2), ("cat:ear", 1), ("cat:category 7", 1)]
    assert {names[row["category_id"]] for row in document["annotations"] if row["image_id"] == 2} == {"region"}
    (first, *_) = exchange.read_coco_instances(path)
    same(first.forest, entries[0].forest)


def test_parts_of_what_has_no_name_are_told_of(tmp_path, caplog):
    forest = replace(a_forest(), name=("", "grass", "ear", ""), category=None)
    assert exchange.write_parts(tmp_path / "p.json", [Entry("a.jpg", forest)]) == 3
    assert "nothing that has a name are left out of parts: 1" in caplog.text
    names = [row["name"] for row in json.loads((tmp_path / "p.json").read_text())["categories"]]
    assert names == ["grass", "ear", "ear:part"]


def test_panoptic_maps_hold_the_partition(tmp_path, entries):
    assert exchange.write_panoptic(tmp_path / "out", entries) == 6
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    for annotation, entry in zip(document["annotations"], entries, strict=True):
        colours = np.asarray(Image.open(tmp_path / "out" / "panoptic" / annotation["file_name"])).astype(int)
        ids = colours @ (1, 256, 65536)  # as panopticapi's rgb2id has it
        for segment in annotation["segments_info"]:
            assert (ids == segment["id"]).sum() == segment["area"] > 0
        assert set(np.unique(ids)) - {0} == {segment["id"] for segment in annotation["segments_info"]}
        assert np.array_equal(ids > 0, entry.forest.cut(count=50) >= 0)
    for again, entry in zip(exchange.read_panoptic(tmp_path / "out"), entries, strict=True):
        same(again.forest, partition(entry.forest, Cut())[1], parents=False)
        assert (again.file, again.model) == (entry.file, MODEL)


def test_ids_beyond_a_byte_are_kept(tmp_path):
    labels = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)
    exchange.write_panoptic(tmp_path, [Entry("a.jpg", MaskForest.from_labels(labels))], cut=Cut(count=10**6))
    (entry,) = exchange.read_panoptic(tmp_path / "panoptic.json")
    assert len(entry.forest) == labels.size
    assert (entry.forest.areas == 1).all()


def test_voc_maps_come_back(tmp_path, entries):
    assert exchange.write_voc(tmp_path, entries) == 6
    with Image.open(tmp_path / "SegmentationObject" / "june" / "1.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]  # VOC's
    assert (tmp_path / "labels.txt").read_text().splitlines()[:2] == ["background", "cat"]
    assert (tmp_path / "ImageSets" / "Segmentation" / "all.txt").read_text() == "june/1\nb\nc\n"
    again = {entry.key: entry for entry in exchange.read_voc(tmp_path)}
    assert set(again) == {"june/1", "b", "c"}
    for entry in entries:
        same(again[entry.key].forest, partition(entry.forest, Cut())[1], parents=False, scores=False)
        assert again[entry.key].model == MODEL


def test_voc_has_room_for_254_and_says_what_it_leaves_out(tmp_path, caplog):
    forest = MaskForest.from_labels(np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) // 2)
    assert exchange.write_voc(tmp_path, [Entry("a.jpg", forest)], cut=Cut(count=1000)) == 254
    assert "106 regions are more than the 254" in caplog.text
    (entry,) = exchange.read_voc(tmp_path)
    assert len(entry.forest) == 254


def test_the_palette_is_by_bits():
    """The loop of VOC's own development kit."""
    wanted = []
    for number in range(256):
        r = g = b = 0
        c = number
        for j in range(8):
            r |= (c >> 0 & 1) << 7 - j
            g |= (c >> 1 & 1) << 7 - j
            b |= (c >> 2 & 1) << 7 - j
            c >>= 3
        wanted += [r, g, b]
    assert list(palette()) == wanted


def test_yolo_comes_back_with_parents_from_the_masks(tmp_path, entries):
    assert exchange.write_yolo(tmp_path, entries) == 6
    first = (tmp_path / "labels" / "b.txt").read_text().splitlines()[0].split()
    assert (tmp_path / "classes.txt").read_text().splitlines()[int(first[0])] == "region"
    assert [float(word) for word in first[1:]] == [0, 0, 0.5, 0, 0.5, 1, 0, 1]
    again = {entry.key: entry for entry in exchange.read_yolo(tmp_path, sized)}
    for entry in entries:
        same(again[entry.key].forest, entry.forest, scores=False)  # pieces and holes too; nested as it was


def test_labelme_comes_back(tmp_path, entries):
    assert exchange.write_labelme(tmp_path, entries) == 6
    document = json.loads((tmp_path / "june" / "1.json").read_text())
    assert (document["imagePath"], document["imageData"]) == ("1.jpg", None)
    assert [shape["group_id"] for shape in document["shapes"]] == [0, 1, 2, 2, 3]  # an ear in two pieces
    again = {entry.key: entry for entry in exchange.read_labelme(tmp_path)}
    for entry in entries:
        same(again[entry.key].forest, entry.forest)
        assert again[entry.key].model == MODEL


def test_labelme_of_others_is_read(tmp_path, caplog):
    shapes = [
        {"label": "dog", "points": [[2, 2], [12, 2], [12, 12], [2, 12]], "group_id": None, "shape_type": "polygon"},
        {"label": "nose", "points": [[4, 4], [6, 4], [6, 6], [4, 6]], "group_id": None, "shape_type": "polygon"},
        {"label": "box", "points": [[2, 2], [12, 12]], "group_id": None, "shape_type": "rectangle"},
    ]
    document = {"shapes": shapes, "imagePath": "..\\photos\\dog.jpg", "imageHeight": 24, "imageWidth": 30}
    (tmp_path / "dog.json").write_text(json.dumps(document))
    (entry,) = exchange.read_labelme(tmp_path / "dog.json")
    assert entry.file == "dog.jpg"
    assert (entry.forest.name, entry.forest.areas.tolist()) == (("dog", "nose"), [100, 4])
    assert entry.forest.parent.tolist() == [-1, 0]
    assert "1 shapes are no polygons" in caplog.text


@pytest.mark.parametrize(
    "transform", [Affine(), Affine(0.5, 0, 500000, 0, -0.5, 4100000), Affine(1, 0.25, 3, -0.5, 2, 7)]
)
def test_geojson_comes_back_through_any_transform(tmp_path, entries, transform):
    assert exchange.write_geojson(tmp_path, entries, transform_of=lambda file: transform) == 6
    document = json.loads((tmp_path / "june" / "1.geojson").read_text())
    kinds = [feature["geometry"]["type"] for feature in document["features"]]
    assert kinds == ["Polygon", "Polygon", "MultiPolygon", "Polygon"]
    outer, hole = document["features"][0]["geometry"]["coordinates"]
    assert outer[0] == outer[-1]
    assert shoelace(outer) > 0 > shoelace(hole)  # RFC 7946: right-hand rule
    corners = transform(np.array([[4, 4], [20, 4], [20, 20], [4, 20.0]]))
    assert set(map(tuple, outer)) == set(map(tuple, corners.tolist()))
    again = {entry.key: entry for entry in exchange.read_geojson(tmp_path, transform_of=lambda file: transform)}
    for entry in entries:
        same(again[entry.key].forest, entry.forest)


def shoelace(ring):
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))


def test_a_world_file_says_where_middles_lie(tmp_path):
    (tmp_path / "a.jgw").write_text("2.0\n0.0\n0.0\n-2.0\n101.0\n199.0\n")
    found = exchange.read_world_file(exchange.world_file_of(tmp_path / "a.jpg"))
    assert found(np.array([[0.5, 0.5], [0, 0]])).tolist() == [[101, 199], [100, 200]]
    (tmp_path / "a.jgw").write_text("2.0\n0.0\n")
    with pytest.raises(CallerError, match=r"a\.jgw is no world file"):
        exchange.read_world_file(tmp_path / "a.jgw")
    with pytest.raises(CallerError, match="onto a line"):
        _ = Affine(1, 2, 0, 2, 4, 0).inverse


# ---------------------------------------------------------------------- one way


@pytest.mark.parametrize("seed", range(4))
def test_a_brush_is_unpacked_as_rle_pack_does(seed):
    rng = np.random.default_rng(seed)
    mask = np.repeat(rng.random((7, 400)) < 0.3, rng.integers(1, 90), axis=1)
    assert np.array_equal(unpacked(brush(mask), mask.shape), mask)


def unpacked(packed, size):
    """By the layout that @thi.ng/rle-pack documents, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in packed)
    place = 0

    def take(count):
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < count:
        repeated = take(1)
        times = take(sizes[take(2)]) + 1
        values += [take(word)] * times if repeated else [take(word) for _ in range(times)]
    assert len(bits) - place < 8
    return np.array(values).reshape(*size, 4)[..., 3] > 0


@pytest.mark.parametrize("outlines", [False, True])
def test_label_studio_gets_predictions(tmp_path, entries, outlines):
    path = tmp_path / "tasks.json"
    assert exchange.write_label_studio(path, entries, outlines=outlines, prefix="/d=") == 6
    tasks = json.loads(path.read_text())
    assert [task["data"]["image"] for task in tasks] == ["/d=june/1.jpg", "/d=b.png", "/d=c.jpg"]
    (prediction,) = tasks[0]["predictions"]
    assert prediction["model_version"] == "felt by hand"
    results = prediction["result"]
    ids = {result["id"] for result in results}
    assert len(ids) == len(results) == (5 if outlines else 4)
    assert [result.get("parentID") for result in results if "-0-" not in result["id"]][:3] == [None, None, "region-0"]
    assert all(result.get("parentID", result["id"]) in ids for result in results)
    if outlines:
        assert results[1]["value"]["polygonlabels"] == [entries[0].forest.name[1]]
        xs, ys = np.array(results[1]["value"]["points"]).T
        assert (xs.min(), xs.max(), ys.max()) == (pytest.approx(100 * 22 / 30, abs=1e-4), 100, 100)
    else:
        for row, result in enumerate(results):
            assert np.array_equal(unpacked(result["value"]["rle"], SIZE), entries[0].forest.mask(row))


def test_cvat_gets_masks_row_by_row(tmp_path, entries):
    path = tmp_path / "cvat.xml"
    assert exchange.write_cvat(path, entries) == 6
    root = ElementTree.parse(path).getroot()
    assert root.findtext("version") == "1.1"
    assert [label.findtext("name") for label in root.iter("label")][:2] == ["cat", entries[0].forest.name[1]]
    images = root.findall("image")
    assert [image.get("name") for image in images] == ["june/1.jpg", "b.png", "c.jpg"]
    for image, entry in zip(images, entries, strict=True):
        for row, mask in enumerate(image.findall("mask")):
            assert np.array_equal(from_cvat(mask), entry.forest.mask(row))
            told = {attribute.get("name"): attribute.text or "" for attribute in mask.findall("attribute")}
            above = int(entry.forest.parent[row])
            assert (told["id"], told["parent"]) == (str(row), str(above) if above >= 0 else "")
    exchange.write_cvat(path, entries, outlines=True)
    shapes = ElementTree.parse(path).getroot().find("image").findall("polygon")
    assert [shape.get("group_id") for shape in shapes] == [None, None, "3", "3", None]


def from_cvat(mask):
    left, top, width, height = (int(mask.get(side)) for side in ("left", "top", "width", "height"))
    found, value = [], False
    for run in map(int, mask.get("rle").split(",")):
        found += [value] * run
        value = not value
    whole = np.zeros(SIZE, bool)
    whole[top : top + height, left : left + width] = np.reshape(found, (height, width))
    return whole


def test_svg_nests_parts_in_their_wholes(tmp_path, entries):
    exchange.write_svg(tmp_path, entries)
    root = ElementTree.parse(tmp_path / "june" / "1.svg").getroot()
    ns = {"s": "http://www.w3.org/2000/svg"}
    assert root.get("viewBox") == "0 0 30 24"
    assert root.find("s:image", ns).get("href") == "1.jpg"
    cat = root.find(".//s:g[@id='region-0']", ns)
    assert cat.find("s:title", ns).text == "cat, score 0.90"
    assert cat.find(".//s:g[@id='region-3']", ns) in list(cat.find("s:g[@id='region-2']", ns))
    assert cat.find("s:path", ns).get("d") == "M4 4h16v16h-16zM10 10v4h4v-4z"
    fills = {row.get("id"): row.find("s:path", ns).get("fill") for row in root.iter(f"{{{ns['s']}}}g") if row.get("id")}
    fewer = a_forest().select([0, 2])
    exchange.write_svg(tmp_path, [Entry("few.jpg", fewer)])
    few = ElementTree.parse(tmp_path / "few.svg").getroot()
    assert few.find(".//s:g[@id='region-1']/s:path", ns).get("fill") == fills["region-2"]  # steady


# ---------------------------------------------------------------------- partitions, names, bad files


def test_regions_that_compete_are_cut_by_votes():
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(30):
        top, bottom = np.sort(rng.choice(25, 2, replace=False))
        left, right = np.sort(rng.choice(31, 2, replace=False))
        masks.append(square(top, left, bottom, right))
    named = MaskForest.from_masks(masks, name=[f"n{row}" for row in range(30)], score=rng.uniform(0.1, 1, 30))
    for cut in (Cut(count=8), Cut(level=3)):
        labels, flat = partition(named, cut)
        assert np.array_equal(labels >= 0, np.any(masks, axis=0)) or cut.level is not None
        assert sorted(np.unique(labels[labels >= 0])) == list(range(len(flat)))
        for row in range(len(flat)):
            assert np.array_equal(flat.mask(row), labels == row)
            best = max(range(30), key=lambda other: iou(labels == row, masks[other]))
            assert iou(labels == row, masks[int(flat.name[row][1:])]) == pytest.approx(iou(labels == row, masks[best]))
    with pytest.raises(CallerError, match="from 1 to 12, got 13"):
        Cut(level=13)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_regions_outside_their_parents_are_given_the_next_above(tmp_path, caplog):
    rows = [
        {"id": 1, "parent_id": None, "m": square(0, 0, 20, 20)},
        {"id": 2, "parent_id": 1, "m": square(0, 0, 5, 5)},
        {"id": 3, "parent_id": 2, "m": square(0, 0, 10, 10)},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(coco_document(rows)))
    (entry,) = exchange.read_coco_instances(path)
    assert entry.forest.depth.tolist() == [0, 1, 1]
    assert "1 regions lie less than 90 % inside their parent" in caplog.text


def coco_document(rows, **changed):
    annotations = []
    for row in rows:
        shape = coco.encode(np.asfortranarray(row["m"], np.uint8))
        shape = {"size": shape["size"], "counts": shape["counts"].decode()}
        annotations.append(
            {"image_id": 1, "category_id": 1, "segmentation": shape} | {k: row[k] for k in row if k != "m"}
        )
    image = {"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
    return {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]} | changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("categories"), "lacks 'categories'"),
        (lambda d: d["annotations"][0].pop("segmentation"), "lacks 'segmentation'"),
        (lambda d: d["annotations"][0].update(category_id=5), "category 5 is not listed"),
        (lambda d: d["annotations"][0].update(parent_id=77), "no region has the id 77"),
        (
            lambda d: d["annotations"][0].update(segmentation={"size": [1, 1], "counts": "01"}),
            "of \\[1, 1\\], its photo",
        ),
        (lambda d: d["annotations"][0].update(segmentation={"size": list(SIZE), "counts": "zzz"}), "run length"),
        (lambda d: d["annotations"][0].update(segmentation=[[0, 0, 1e9, 0, 1, 1]]), "no number below"),
        (lambda d: d["images"][0].update(height="24"), "whole numbers"),
        (lambda d: d["images"][0].update(file_name="../../etc/x"), "below its folder"),
        (lambda d: d.update(annotations=3), "not iterable"),
    ],
)
def test_damaged_coco_is_told_in_one_line(tmp_path, change, says):
    document = coco_document([{"id": 1, "m": square(0, 0, 2, 2)}])
    change(document)
    path = tmp_path / "made.json"
    path.write_text(json.dumps(document))
    with pytest.raises(CallerError, match=says) as caught:
        list(exchange.read_coco_instances(path))
    assert "\n" not in str(caught.value)
    assert "made.json" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "0 0.1 0.2 0.3\n", "line 1 has 4 numbers"),
        ("a.txt", "0 a b c d e f\n", "could not convert"),
        ("a.txt", "0 nan 0 1 0 1 1\n", "shares of the photo"),
        ("a.json", "{", "no LabelMe file"),
        ("a.json", '{"shapes": [], "imagePath": "a.jpg", "imageHeight": 0, "imageWidth": 3}', "from 1 up"),
        ("a.geojson", '{"features": [{"geometry": {"type": "Point", "coordinates": [1, 2]}}]}', "got 'Point'"),
        ("a.geojson", '{"features": 3}', "not iterable"),
    ],
)
def test_damaged_files_are_told_in_one_line(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    readers = {".txt": exchange.read_yolo, ".json": lambda folder, _: exchange.read_labelme(folder)}
    reader = readers.get(name[name.index(".") :], exchange.read_geojson)
    with pytest.raises(CallerError, match=says) as caught:
        list(reader(tmp_path, sized))
    assert "\n" not in str(caught.value)
    (tmp_path / name).unlink()
    (tmp_path / "hedgerow.export.json").write_text('{"models": []}')  # of an export, and no tool's file
    with pytest.raises(CallerError, match=r"holds no \*\.\w+ \(.+\): give another folder"):
        list(reader(tmp_path, sized))


def test_photos_stream(tmp_path):
    """Each photo is written before the next is asked for."""

    def asked():
        for number in range(3):
            assert not number or (tmp_path / "out" / f"{number - 1}.svg").is_file()
            yield Entry(f"{number}.jpg", a_forest())

    assert exchange.write_svg(tmp_path / "out", asked()) == 12


def test_a_stopped_export_leaves_nothing(tmp_path):
    def asked():
        yield Entry("a.jpg", a_forest())
        raise KeyboardInterrupt

    for write in (exchange.write_coco_instances, exchange.write_cvat, exchange.write_label_studio):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "a.json", asked())
    assert list(tmp_path.iterdir()) == []


def test_supervision_takes_a_forest_as_it_is_told_in_the_docs():
    pytest.importorskip("supervision")
    page = (Path(__file__).parents[1] / "docs" / "files.md").read_text("utf-8")
    told = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "supervision as sv" in block)
    names = {"forest": (forest := a_forest())}
    exec(told, names)
    detections = names["detections"]
    assert sorted(detections.area.tolist()) == sorted(forest.areas.tolist())
    assert sorted(detections.confidence) == sorted(forest.score)
