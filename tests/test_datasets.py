"""Every layout on a tiny copy of its official form, on real data where there are some, and whatever can be wrong."""

import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO
from scipy.io import savemat

from hedgerow.data import classes
from hedgerow.data.datasets import LAYOUTS, LayoutError, image_ids_and_files, open_dataset
from hedgerow.photos import find_photos, open_photo

SIZE = (12, 20)  # height, width of every made photo


# ---------------------------------------------------------------------- making tiny data sets


def photo(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], "teal").save(path)


def paint(path, labels, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(labels, np.uint8))
    if palette:  # indices stay, shown in colours, as VOC and DAVIS store them
        image.putpalette([k // 3 ^ 85 for k in range(768)])
    image.save(path)


def blank(value=0, channels=()):
    return np.full((*SIZE, *channels), value, np.uint8)


def annotation(number, segmentation, image_id=7, **more):
    return {"id": number, "image_id": image_id, "category_id": 3, "iscrowd": 0, "segmentation": segmentation, **more}


SQUARE = [[2, 2, 8, 2, 8, 8, 2, 8]]


def coco_json(annotations=(), **changes):
    data = {
        "images": [
            {"id": 7, "file_name": "b.jpg", "height": SIZE[0], "width": SIZE[1]},
            {"id": 2, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]},
        ],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "car"}, {"id": 90, "name": "toothbrush"}],
    }
    return {key: value for key, value in {**data, **changes}.items() if value is not None}


def make_coco(root, marked=(), split="val2017", photos="{split}", **changes):
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(coco_json(**{"annotations": marked, **changes})))
    for name in ("a.jpg", "b.jpg"):
        photo(root / photos.format(split=split) / name)
    return path


def make_lvis(root):
    data = coco_json([annotation(1, SQUARE)])
    for image, folder in zip(data["images"], ("val2017", "train2017"), strict=True):
        name = image.pop("file_name")
        image["coco_url"] = f"http://images.cocodataset.org/{folder}/{name}"
        photo(root / folder / name)
    for one in data["annotations"]:
        del one["iscrowd"]  # LVIS has none
    (root / "lvis_v1_val.json").write_text(json.dumps(data))


def make_bsds(root, split="val", people=2):
    for name in ("100007", "100039"):
        photo(root / "images" / split / f"{name}.jpg")
        (root / "groundTruth" / split).mkdir(parents=True, exist_ok=True)
        marked = np.empty((1, people), object)
        for k in range(people):
            segments = np.ones(SIZE, np.uint16)
            segments[:, 5 + k :] = 2
            marked[0, k] = {"Segmentation": segments, "Boundaries": (segments == 2).astype(np.uint8)}
        savemat(root / "groundTruth" / split / f"{name}.mat", {"groundTruth": marked})
    (root / "images" / split / "Thumbs.db").write_bytes(b"as it is shipped")


def make_voc(root, split="val"):
    labels, objects = blank(), blank()
    labels[2:8, 2:8], objects[2:8, 2:8] = 15, 1
    labels[2:8, 10:14], objects[2:8, 10:14] = 15, 2
    labels[2, 2:14] = objects[2, 2:14] = 255
    for name in ("2007_000033", "2007_000042"):
        photo(root / "JPEGImages" / f"{name}.jpg")
        paint(root / "SegmentationClass" / f"{name}.png", labels, palette=True)
        paint(root / "SegmentationObject" / f"{name}.png", objects, palette=True)
    photo(root / "JPEGImages" / "2008_000001.jpg")  # most of VOC's photos have no masks
    (root / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("2007_000042\n2007_000033 \n\n")


def make_context(root, split="val"):
    labels = blank()
    labels[2:8, 2:8], labels[0] = 59, 255
    for name in ("2008_000002", "2008_000003"):
        photo(root / "JPEGImages" / f"{name}.jpg")
        paint(root / "SegmentationClassContext" / f"{name}.png", labels)
    photo(root / "JPEGImages" / "2008_000001.jpg")
    (root / "ImageSets" / "SegmentationContext").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / "SegmentationContext" / f"{split}.txt").write_text("2008_000003\n2008_000002\n")


def make_coco_stuff(root, split="val2017", maps="annotations", *, published=False, values=(0, 170, 255)):
    labels = blank(values[0])
    labels[2:8, 2:8], labels[0] = values[1], values[2]
    for name in ("000000000139", "000000000285"):
        photo(root / "images" / split / f"{name}.jpg")
        paint(root / maps / split / (f"{name}.png" if published else f"{name}_labelTrainIds.png"), labels)


def make_camvid(root, split="train"):
    labels = blank(3)
    labels[0], labels[1] = 11, 0
    photo(root / split / "0016E5_00390.png")
    paint(root / f"{split}annot" / "0016E5_00390.png", labels)


def make_ade_challenge(root, split="validation"):
    labels, objects = blank(), blank(channels=(3,))
    labels[1:], labels[2:6, 2:6], labels[2:6, 8:12] = 3, 13, 13
    objects[2:6, 2:6], objects[2:6, 8:12] = (4, 1, 0), (4, 2, 0)
    photo(root / "images" / split / "ADE_val_00000001.jpg")
    paint(root / "annotations" / split / "ADE_val_00000001.png", labels)
    paint(root / "annotations_instance" / split / "ADE_val_00000001.png", objects)


def make_ade_full(root):
    folder = root / "images" / "ADE" / "validation" / "urban" / "street"
    whole, parts, smaller = blank(channels=(3,)), blank(channels=(3,)), blank(channels=(3,))
    whole[1:11, 1:9], whole[1:11, 11:19] = (10, 144, 1), (10, 144, 2)  # class 1 * 256 + 144
    parts[2:8, 2:18] = (0, 7, 1)  # one paint over both objects, and a strip of neither
    smaller[3:5, 3:5] = (20, 1, 1)
    photo(folder / "ADE_val_00000001.jpg")
    for name, painted in (("seg", whole), ("parts_1", parts), ("parts_2", smaller)):
        paint(folder / f"ADE_val_00000001_{name}.png", painted)
    paint(folder / "ADE_val_00000001" / "instance_000_ADE_val_00000001.png", blank(255))  # as of 2021
    names = np.empty((1, 600), object)
    names[0] = [f"thing {k}" for k in range(1, 601)]
    savemat(root / "index_ade20k.mat", {"index": {"objectnames": names}})


def make_sa1b(root):
    masks = [blank(), blank()]
    masks[0][2:8, 2:8], masks[1][3:6, 3:12] = 1, 1
    rles = [coco.encode(np.asfortranarray(mask)) for mask in masks]
    shapes = [{"size": list(SIZE), "counts": rle["counts"].decode()} for rle in rles]
    image = {"image_id": 223750, "height": SIZE[0], "width": SIZE[1], "file_name": "sa_223750.jpg"}
    marked = [{"id": k, "segmentation": shape, "predicted_iou": 0.9} for k, shape in enumerate(shapes)]
    photo(root / "sa_223750.jpg")
    (root / "sa_223750.json").write_text(json.dumps({"image": image, "annotations": marked}))


def make_davis(root, year=2017):
    two, one = blank(), blank()
    two[2:8, 2:8], two[2:8, 10:14], one[2:8, 2:8] = 1, 2, 255
    for sequence in ("bear", "dog"):
        for frame in ("00001", "00000"):
            photo(root / "JPEGImages" / "480p" / sequence / f"{frame}.jpg")
            paint(root / "Annotations" / "480p" / sequence / f"{frame}.png", two if year == 2017 else one, year == 2017)
    folder = root / "ImageSets" / ("2017" if year == 2017 else "480p")
    folder.mkdir(parents=True)
    frames = [f"/JPEGImages/480p/dog/{f}.jpg /Annotations/480p/dog/{f}.png" for f in ("00000", "00001")]
    (folder / "val.txt").write_text("dog\n" if year == 2017 else "\n".join(frames))
    (folder / "train.txt").write_text("bear\n")


def make_clothing(root):
    labels = np.zeros((60, 80), np.uint8)
    labels[5:25, 20:60] = 1  # a coat
    labels[30:45, 20:35], labels[30:45, 45:60], labels[50, 40] = 2, 2, 2  # shoes, and a slip of the brush
    photo(root / "images" / "0001.jpg", (60, 80))
    paint(root / "masks" / "0001.png", labels)
    photo(root / "images" / "0002.jpg")
    paint(root / "masks" / "0002.png", blank())
    (root / "classes.txt").write_text("0 null\n1 coat\n2 tennis shoes\n")


def make_folder(root):
    photo(root / "trip" / "2.png")
    photo(root / "trip" / "10.jpg")


def make_tar(root):
    make_folder(root / "photos")
    with tarfile.open(root / "photos.tar", "w") as tar:
        for path in sorted((root / "photos" / "trip").iterdir()):
            tar.add(path, path.name)


MAKE = {
    "coco": make_coco,
    "lvis": make_lvis,
    "coco-voc": make_coco,
    "bsds": make_bsds,
    "voc": make_voc,
    "context": make_context,
    "coco-stuff": make_coco_stuff,
    "camvid": make_camvid,
    "ade20k": make_ade_challenge,
    "sa1b": make_sa1b,
    "davis": make_davis,
    "clothing": make_clothing,
    "folder": make_folder,
    "tar": make_tar,
}


# ---------------------------------------------------------------------- all layouts


def test_every_layout_is_tested():
    assert list(MAKE) == list(LAYOUTS)


@pytest.mark.parametrize("layout", MAKE)
def test_a_layout_opens_with_the_usual_split_and_its_truths_fit_its_photos(tmp_path, layout):
    MAKE[layout](tmp_path)
    dataset = open_dataset(f"{layout}:{tmp_path}")
    assert dataset.name == layout
    assert len(dataset) > 0
    assert len({example.key for example in dataset}) == len(dataset)
    for example in dataset:
        truth, size = example.truth(), open_photo(example.photo).size
        assert example.size in (None, size)
        if truth.regions is not None:
            assert truth.regions.size == size
            assert truth.crowd.shape == (len(truth.regions),)
        for labels in (truth.semantic, *truth.partitions, *truth.boundaries):
            assert labels is None or labels.shape == size
        if truth.semantic is not None:
            assert truth.semantic.dtype == np.int32
            assert set(np.unique(truth.semantic)) <= {-1, *dataset.classes}


@pytest.mark.parametrize("layout", MAKE)
def test_examples_travel_to_worker_processes(tmp_path, layout):
    MAKE[layout](tmp_path)
    example = open_dataset(f"{layout}:{tmp_path}")[0]
    twin = pickle.loads(pickle.dumps(example))
    assert twin == example
    assert repr(twin.truth()) == repr(example.truth())


@pytest.mark.parametrize("layout", [layout for layout in MAKE if layout not in ("folder", "tar")])
def test_a_wrong_layout_is_one_line_that_says_what_was_looked_for_and_found(tmp_path, layout):
    photo(tmp_path / "holiday" / "1.jpg")
    with pytest.raises(LayoutError, match=r"looked for .+, found the folder holiday$") as told:
        open_dataset(f"{layout}:{tmp_path}")
    assert "\n" not in str(told.value)
    assert f"is not laid out as {layout}" in str(told.value)


@pytest.mark.parametrize("layout", [layout for layout in MAKE if layout != "tar"])
def test_a_split_that_is_not_there_is_told(tmp_path, layout):
    MAKE[layout](tmp_path)
    with pytest.raises(LayoutError, match=r"(has no split nowhere of .+: found |has no splits, got nowhere)"):
        open_dataset(f"{layout}:{tmp_path}:nowhere")


@pytest.mark.parametrize("layout", ["coco", "bsds", "voc", "context", "coco-stuff", "camvid", "ade20k"])
def test_photos_that_are_absent_end_the_run_or_are_left_out_aloud(tmp_path, layout, caplog):
    MAKE[layout](tmp_path)
    whole = open_dataset(f"{layout}:{tmp_path}")
    gone = whole[0].labels[0] if whole[0].labels else whole[0].photo.path
    gone.unlink()
    if len(whole) == 1:
        with pytest.raises(LayoutError):
            open_dataset(f"{layout}:{tmp_path}", missing="skip")
        return
    with pytest.raises(LayoutError, match=rf"1 of 2 photos lack .*{gone.name}"):
        open_dataset(f"{layout}:{tmp_path}")
    assert [e.key for e in open_dataset(f"{layout}:{tmp_path}", missing="skip")] == [whole[1].key]
    assert gone.name in caplog.text


def test_a_dataset_is_a_sequence(tmp_path):
    make_coco(tmp_path)
    dataset = open_dataset(f"coco:{tmp_path}")
    assert [example.key for example in dataset[1:]] == [dataset[1].key]
    assert dataset[:1].classes == dataset.classes
    assert dataset[-1] in dataset


# ---------------------------------------------------------------------- all of a photo labelled


def test_context_counts_background_and_59_classes(tmp_path):
    make_context(tmp_path / "VOCdevkit" / "VOC2010")
    dataset = open_dataset(f"context:{tmp_path}")
    assert [example.key for example in dataset] == ["2008_000003", "2008_000002"]
    assert (len(dataset.classes), dataset.classes[0], dataset.classes[59]) == (60, "background", "wood")
    labels = dataset[0].truth().semantic
    assert (labels[0] == -1).all()
    assert (labels[2:8, 2:8] == 59).all()
    assert labels[9, 9] == 0
    paint(tmp_path / "VOCdevkit/VOC2010/SegmentationClassContext/2008_000003.png", blank(60))
    with pytest.raises(LayoutError, match="has class 60, expected 0 to 59"):
        dataset[0].truth()


@pytest.mark.parametrize("maps", ["annotations", "stuffthingmaps"])
def test_coco_stuff_as_published_has_ids_less_one(tmp_path, maps):
    """The wall of bricks is id 171 and number 159 of the classes; 12 is one of the ids that were never used."""
    make_coco_stuff(tmp_path, maps=maps, published=True, values=(12, 170, 255))
    dataset = open_dataset(f"coco-stuff:{tmp_path}")
    assert dataset[0].image_id == 139
    labels = dataset[0].truth().semantic
    assert dataset.classes[labels[9, 9]] == "stop sign"
    assert dataset.classes[labels[3, 3]] == "wall-brick"
    assert (labels[0] == -1).all()
    for value in (11, 182):
        make_coco_stuff(tmp_path, maps=maps, published=True, values=(0, value, 255))
        with pytest.raises(LayoutError, match=f"has {value}, no class of COCO-Stuff"):
            dataset[0].truth()


def test_coco_stuff_takes_made_maps_before_published_ones(tmp_path):
    make_coco_stuff(tmp_path, published=True, values=(4, 4, 4))
    make_coco_stuff(tmp_path)
    labels = open_dataset(f"coco-stuff:{tmp_path}")[0].truth().semantic
    assert classes.COCO_STUFF[labels[3, 3]] == "wood"
    make_coco_stuff(tmp_path, values=(0, 171, 255))
    with pytest.raises(LayoutError, match="has class 171, expected 0 to 170"):
        open_dataset(f"coco-stuff:{tmp_path}")[0].truth()


def test_classes_that_others_learn_no_mask_of():
    """COCO-Stuff's are published as ids."""
    ids = [34, 41, 100, 57, 87, 33, 25, 21, 149, 172, 169, 124, 148, 106, 145]
    used = [number for number in range(1, 183) if number not in classes.COCO_STUFF_GAPS]
    assert tuple(classes.COCO_STUFF[used.index(number)] for number in ids) == classes.UNSEEN["coco-stuff"]
    assert classes.UNSEEN["voc"] == classes.VOC[16:]
    assert set(classes.UNSEEN["context"]) < set(classes.CONTEXT)
    assert (len(used), len(classes.COCO_STUFF), len(classes.CONTEXT), len(classes.ADE20K)) == (171, 171, 60, 150)
    assert all(name == " ".join(name.split()) for name in classes.ADE20K)


# ---------------------------------------------------------------------- the words of a data set


@pytest.mark.parametrize("spec", ["coco", "coco:", ":x", "", "imagenet:/data"])
def test_a_spec_that_is_none_is_told_the_form_and_the_layouts(spec):
    with pytest.raises(LayoutError, match="write LAYOUT:ROOT or LAYOUT:ROOT:SPLIT with one of coco, lvis"):
        open_dataset(spec)


@pytest.mark.parametrize(
    ("spec", "root"),
    [("coco:/no/where", "/no/where"), ("coco:/no/where:val", "/no/where"), (r"coco:C:\data", r"C:\data")],
)
def test_a_root_that_is_absent_is_named(spec, root):
    with pytest.raises(LayoutError) as told:
        open_dataset(spec)
    assert f"there is nothing at {root};" in str(told.value)


def test_a_file_is_not_taken_for_a_root(tmp_path):
    path = make_coco(tmp_path)
    with pytest.raises(LayoutError, match=r"is a file, expected the folder"):
        open_dataset(f"coco:{path}")


def test_folders_without_a_split_in_common_are_a_wrong_layout(tmp_path):
    photo(tmp_path / "images" / "train" / "1.jpg")
    (tmp_path / "groundTruth" / "val").mkdir(parents=True)
    with pytest.raises(LayoutError, match="looked for a split that has both photos and labels, found the folders"):
        open_dataset(f"bsds:{tmp_path}")


def test_a_root_may_hold_colons(tmp_path):
    make_coco(tmp_path / "C:odd:name")
    for split in ("", ":val2017", ":"):
        assert len(open_dataset(f"COCO:{tmp_path}/C:odd:name{split}")) == 2


def test_the_split_is_the_usual_one_or_the_only_one_or_asked_for(tmp_path):
    make_coco(tmp_path, split="train2017")
    assert open_dataset(f"coco:{tmp_path}")[0].photo.path.parent.name == "train2017"
    make_coco(tmp_path, split="mine")
    with pytest.raises(LayoutError, match=r"several splits: write coco:.*:SPLIT with one of mine, train2017"):
        open_dataset(f"coco:{tmp_path}")
    make_coco(tmp_path, split="val2017")
    assert open_dataset(f"coco:{tmp_path}")[0].photo.path.parent.name == "val2017"


# ---------------------------------------------------------------------- COCO


SHAPES = {
    "square": SQUARE,
    "two polygons": [*SQUARE, [10, 1, 18, 1, 14.5, 9.25]],
    "out of frame": [[-5, -5, 6, -5, 6, 6, -5, 6]],
    "beyond all edges": [[-9, -9, 99, -9, 99, 99, -9, 99]],
    "odd count": [[2, 2, 8, 2, 8, 8, 2]],
    "line beside a square": [*SQUARE, [10, 1, 18, 9]],
    "runs": {"size": list(SIZE), "counts": [30, 5, 7, 4, 194]},
    "compressed": {
        "size": list(SIZE),
        "counts": coco.encode(np.asfortranarray(np.eye(*SIZE, dtype=np.uint8)))["counts"].decode(),
    },
}


def test_masks_are_those_of_annToRLE(tmp_path, capsys):
    marked = [annotation(k, shape, iscrowd=int(isinstance(shape, dict))) for k, shape in enumerate(SHAPES.values())]
    path = make_coco(tmp_path, marked)
    truth = open_dataset(f"coco:{tmp_path}")[0].truth()
    assert truth.regions.rles == reference_rles(path)[7]
    assert truth.crowd.tolist() == [False] * 6 + [True] * 2
    assert (truth.regions.category == 3).all()
    assert (truth.regions.parent == -1).all()


def reference_rles(path):
    oracle = COCO(path)
    rles = {image: [oracle.annToRLE(a)["counts"] for a in oracle.imgToAnns[image]] for image in oracle.imgs}
    return {image: tuple(c if isinstance(c, bytes) else c.encode() for c in counts) for image, counts in rles.items()}


def test_coco_as_voc_paints_twenty_classes_and_void_where_two_of_them_overlap(tmp_path):
    """A car, a brush that VOC does not know, a sofa over part of the car, a second car, and a crowd of cars."""
    categories = [{"id": 3, "name": "car"}, {"id": 90, "name": "toothbrush"}, {"id": 5, "name": "couch"}]
    boxes = [(2, 2, 8, 8, 3, 0), (8, 2, 12, 8, 90, 0), (5, 5, 10, 10, 5, 0), (2, 0, 8, 4, 3, 0), (15, 0, 20, 5, 3, 1)]
    marked = []
    for number, (left, top, right, bottom, category, crowd) in enumerate(boxes):
        mask = blank()
        mask[top:bottom, left:right] = 1
        counts = coco.encode(np.asfortranarray(mask))["counts"].decode()
        shape = {"size": list(SIZE), "counts": counts}
        marked.append(annotation(number, shape, iscrowd=crowd) | {"category_id": category})
    make_coco(tmp_path, marked, categories=categories)
    dataset = open_dataset(f"coco-voc:{tmp_path}")
    assert dataset.classes == dict(enumerate(classes.VOC))
    car, sofa = classes.VOC.index("car"), classes.VOC.index("sofa")
    expected = np.zeros(SIZE, np.int32)
    expected[2:8, 2:8] = expected[0:4, 2:8] = expected[0:5, 15:20] = car
    expected[5:10, 5:10] = sofa
    expected[5:8, 5:8] = -1
    np.testing.assert_array_equal(dataset[0].truth().semantic, expected)
    assert dataset[0].truth().regions is None
    assert not dataset[1].truth().semantic.any()
    make_coco(tmp_path, categories=[{"id": 90, "name": "toothbrush"}])
    with pytest.raises(LayoutError, match="has none of VOC's classes, only toothbrush"):
        open_dataset(f"coco-voc:{tmp_path}")


def test_every_name_of_voc_is_one_of_cocos():
    others = set(classes.VOC_IN_COCO.values())
    assert others < set(classes.VOC)
    assert not set(classes.VOC_IN_COCO) & set(classes.VOC)


def test_coco_keeps_the_order_the_ids_the_sizes_and_the_classes_of_the_file(tmp_path):
    path = make_coco(tmp_path)
    dataset = open_dataset(f"coco:{tmp_path}:val2017")
    assert [(e.image_id, e.key, e.size) for e in dataset] == [(7, "b", SIZE), (2, "a", SIZE)]
    assert dataset.classes == {3: "car", 90: "toothbrush"}
    assert image_ids_and_files(path) == [(7, "b.jpg"), (2, "a.jpg")]
    assert len(dataset[0].truth().regions) == 0


@pytest.mark.parametrize("photos", ["images/{split}", "images", "."])
def test_coco_photos_may_lie_below_images_or_at_the_root(tmp_path, photos):
    make_coco(tmp_path, photos=photos)
    assert open_photo(open_dataset(f"coco:{tmp_path}")[0].photo).size == SIZE


def test_coco_file_names_may_have_folders(tmp_path):
    path = make_coco(tmp_path)
    data = json.loads(path.read_text())
    data["images"][0]["file_name"], data["images"][1]["file_name"] = "val2017/a.jpg", "val2017/b.jpg"
    path.write_text(json.dumps(data))
    assert [e.key for e in open_dataset(f"coco:{tmp_path}")] == ["val2017/a", "val2017/b"]


def test_keys_that_would_clash_keep_their_suffix(tmp_path):
    images = [{"id": k, "file_name": f"a{s}", "height": 12, "width": 20} for k, s in enumerate((".jpg", ".png"))]
    make_coco(tmp_path, images=images)
    photo(tmp_path / "val2017" / "a.png")
    assert [e.key for e in open_dataset(f"coco:{tmp_path}")] == ["a.jpg", "a.png"]


@pytest.mark.parametrize(
    "shape",
    [
        [],
        [[]],
        [[1, 1, 5, 5]],
        [[3, 3, 3, 3, 3, 3]],
        [[50, 50, 60, 50, 60, 60]],
        {"size": list(SIZE), "counts": [240]},
    ],
)
def test_annotations_without_a_pixel_are_left_out_aloud(tmp_path, shape, caplog):
    make_coco(tmp_path, [annotation(1, SQUARE), annotation(2, shape), annotation(3, SQUARE, category_id=90)])
    truth = open_dataset(f"coco:{tmp_path}")[0].truth()
    assert truth.regions.category.tolist() == [3, 90]
    assert truth.crowd.shape == (2,)
    assert "annotation 2 of image 7 covers no pixel (1 such in this photo)" in caplog.text


@pytest.mark.parametrize(
    "shape",
    [
        [2, 2, 8, 2, 8, 8],
        [[2, 2, float("nan"), 2, 8, 8]],
        [[2, 2, 1e12, 2, 8, 8]],
        [[2, 2, 10**400, 2, 8, 8]],
        [["a", 2, 8, 2, 8, 8]],
        "polygons",
        None,
        {"size": list(SIZE)},
        {"counts": [240]},
        {"size": [20, 12], "counts": [240]},
        {"size": list(SIZE), "counts": [30, 5]},
        {"size": list(SIZE), "counts": [300, -60]},
        {"size": list(SIZE), "counts": [10.5, 229.5]},
        {"size": list(SIZE), "counts": []},
        {"size": list(SIZE), "counts": ""},
        {"size": list(SIZE), "counts": "~~~~"},
        {"size": list(SIZE), "counts": "PPPP"},
        {"size": list(SIZE), "counts": "PPPPPPPPPPPPPPPP0"},
        {"size": list(SIZE), "counts": "T7é"},
    ],
)
def test_masks_that_cannot_be_read_are_one_line(tmp_path, shape):
    make_coco(tmp_path, [annotation(1, shape)])
    with pytest.raises(LayoutError, match=r"annotation 1 of image 7 has a mask that cannot be read: .+") as told:
        open_dataset(f"coco:{tmp_path}")[0].truth()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"images": None}, "expected a list of images, found the keys annotations, categories"),
        ({"annotations": None}, "expected a list of annotations, found the keys images, categories"),
        ({"categories": None}, "expected a list of categories"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "height": 12}]}, "number 0 of its images lacks width"),
        ({"images": ["a.jpg"]}, "number 0 of its images lacks id, height, width"),
        ({"images": [{"id": [1], "file_name": "a.jpg", "height": 12, "width": 9}]}, r"has the id \[1\]"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "height": 12, "width": 0}]}, "has height 12 and width 0"),
        ({"images": [{"id": 1, "height": 12, "width": 9}]}, "needs a file name"),
        ({"images": [{"id": 1, "file_name": "../a.jpg", "height": 12, "width": 9}]}, "below its folder"),
        ({"images": [{"id": 1, "file_name": "/etc/a.jpg", "height": 12, "width": 9}]}, "below its folder"),
        ({"images": coco_json()["images"] * 2}, "2 of its images have the id of another"),
        ({"images": []}, "has no photo"),
        ({"categories": [{"id": "3", "name": "car"}]}, "whole numbers"),
        ({"annotations": [{"image_id": 7, "category_id": 3}]}, "number 0 of its annotations lacks segmentation"),
        ({"annotations": [annotation(5, SQUARE, category_id=4)]}, "annotation 5 of image 7 has category 4, which"),
    ],
)
def test_a_json_that_lacks_something_is_told_where(tmp_path, changes, told):
    make_coco(tmp_path, **changes)
    with pytest.raises(LayoutError, match=told):
        open_dataset(f"coco:{tmp_path}")


@pytest.mark.parametrize("text", ["", '{"images": [{"id"', "[]", "3", "\xff", "[" * 100_000])
def test_a_damaged_json_is_one_line(tmp_path, text):
    path = make_coco(tmp_path)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LayoutError, match=r"instances_val2017.json: (damaged|expected)") as told:
        open_dataset(f"coco:{tmp_path}")
    assert "\n" not in str(told.value)


def test_annotations_of_photos_that_are_not_listed_are_told(tmp_path, caplog):
    make_coco(tmp_path, [annotation(1, SQUARE), annotation(2, SQUARE, image_id=99)])
    assert len(open_dataset(f"coco:{tmp_path}")[0].truth().regions) == 1
    assert "1 annotations are of images it does not list: 99" in caplog.text


def test_coco_without_any_photo_says_where_they_were_looked_for(tmp_path):
    make_coco(tmp_path, photos="elsewhere")
    with pytest.raises(LayoutError, match=r"such as b.jpg, in val2017/ or images/val2017/ .*found the folders annot"):
        open_dataset(f"coco:{tmp_path}")


# ---------------------------------------------------------------------- the others


def test_lvis_finds_photos_by_their_url(tmp_path):
    make_lvis(tmp_path)
    dataset = open_dataset(f"lvis:{tmp_path}:val")
    assert [e.photo.path.relative_to(tmp_path).as_posix() for e in dataset] == ["val2017/b.jpg", "train2017/a.jpg"]
    assert [e.key for e in dataset] == ["b", "a"]
    assert not dataset[0].truth().crowd.any()
    assert image_ids_and_files(tmp_path / "lvis_v1_val.json") == [(7, "val2017/b.jpg"), (2, "train2017/a.jpg")]


@pytest.mark.parametrize("inside", ["", "data", "BSR/BSDS500/data"])
def test_bsds_has_a_partition_a_person(tmp_path, inside):
    make_bsds(tmp_path / inside, "test", people=3)
    dataset = open_dataset(f"bsds:{tmp_path}")
    assert [e.image_id for e in dataset] == ["100007", "100039"]
    truth = dataset[0].truth()
    assert len(truth.partitions) == len(truth.boundaries) == 3
    assert truth.partitions[0].dtype == np.int32
    assert (truth.partitions[1] == (np.arange(20) >= 6)).all()
    assert truth.boundaries[1].dtype == bool
    assert (truth.boundaries[1] == (truth.partitions[1] == 1)).all()


def test_a_damaged_mat_is_one_line(tmp_path):
    make_bsds(tmp_path)
    path = tmp_path / "groundTruth" / "val" / "100007.mat"
    for damage in (b"", b"MATLAB 5.0", path.read_bytes()[:200]):
        path.write_bytes(damage)
        with pytest.raises(LayoutError, match=r"100007.mat: expected groundTruth"):
            open_dataset(f"bsds:{tmp_path}")[0].truth()


@pytest.mark.parametrize("inside", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_voc_void_is_in_no_region_and_in_no_class(tmp_path, inside):
    make_voc(tmp_path / inside)
    dataset = open_dataset(f"voc:{tmp_path}")
    assert [e.key for e in dataset] == ["2007_000042", "2007_000033"]  # the list's order
    assert dataset.classes[0] == "background"
    assert dataset.classes[20] == "tvmonitor"
    truth = dataset[0].truth()
    assert truth.regions.areas.tolist() == [30, 20]
    assert truth.regions.category.tolist() == [15, 15]
    assert (truth.semantic[2, 2:14] == -1).all()
    assert truth.semantic[3, 3] == 15
    assert truth.semantic[0, 0] == 0


def test_voc_lists_of_augmented_masks_have_classes_only(tmp_path):
    make_voc(tmp_path)
    (tmp_path / "SegmentationClass").rename(tmp_path / "SegmentationClassAug")
    sets = tmp_path / "ImageSets" / "Segmentation"
    sets.joinpath("trainaug.txt").write_text("/JPEGImages/2007_000033.jpg /SegmentationClassAug/2007_000033.png\n")
    truth = open_dataset(f"voc:{tmp_path}:trainaug")[0].truth()
    assert truth.regions is None
    assert (truth.semantic == 15).any()


def test_maps_of_another_kind_size_or_data_set_are_one_line(tmp_path):
    make_voc(tmp_path)
    path = tmp_path / "SegmentationClass" / "2007_000042.png"
    for told, image in {
        r"expected an index map of one channel, got an image of mode RGB": Image.new("RGB", (20, 12)),
        r"labels of \(20, 12\) for the photo .* of \(12, 20\)": Image.new("L", (12, 20)),
        r"has class 77, expected 0 to 20": Image.new("L", (20, 12), 77),
    }.items():
        image.save(path)
        with pytest.raises(LayoutError, match=told):
            open_dataset(f"voc:{tmp_path}")[0].truth()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(LayoutError, match="damaged or cut short"):
        open_dataset(f"voc:{tmp_path}")[0].truth()


def test_camvid_counts_eleven_classes(tmp_path):
    make_camvid(tmp_path)
    dataset = open_dataset(f"camvid:{tmp_path}")
    assert list(dataset.classes) == list(range(11))
    semantic = dataset[0].truth().semantic
    assert [dataset.classes.get(int(k)) for k in semantic[:3, 0]] == [None, "sky", "road"]


def test_labels_without_a_photo_are_told(tmp_path, caplog):
    make_camvid(tmp_path)
    paint(tmp_path / "trainannot" / "orphan.png", blank())
    assert len(open_dataset(f"camvid:{tmp_path}")) == 1
    assert "1 labels have no photo" in caplog.text


@pytest.mark.parametrize("inside", ["", "ADEChallengeData2016"])
def test_ade20k_challenge_counts_from_zero_and_has_things_and_stuff(tmp_path, inside):
    make_ade_challenge(tmp_path / inside)
    dataset = open_dataset(f"ade20k:{tmp_path}")
    truth = dataset[0].truth()
    assert (truth.semantic[0] == -1).all()
    assert [dataset.classes[int(c)] for c in truth.regions.category] == ["person", "person", "sky"]
    assert truth.regions.source == ("object", "object", "stuff")
    assert truth.regions.areas[:2].tolist() == [16, 16]
    assert len(dataset.classes) == len(set(classes.ADE20K)) == 150


def test_ade20k_challenge_of_2016_has_classes_only(tmp_path):
    make_ade_challenge(tmp_path)
    (tmp_path / "annotations_instance").rename(tmp_path / "kept_apart")
    assert open_dataset(f"ade20k:{tmp_path}:validation")[0].truth().regions is None


def test_full_ade20k_has_parts_of_objects_and_parts_of_parts(tmp_path):
    make_ade_full(tmp_path)
    dataset = open_dataset(f"ade20k:{tmp_path}:validation")
    assert dataset[0].key == "urban/street/ADE_val_00000001"
    regions = dataset[0].truth().regions
    assert regions.source == ("object", "object", "part 1", "part 1", "part 1", "part 2")
    assert regions.category.tolist() == [400, 400, 7, 7, 7, 513]
    assert dataset.classes[400] == "thing 400"
    of = {int(a): (int(p), s) for a, p, s in zip(regions.areas, regions.parent, regions.source, strict=True)}
    assert sorted(regions.parent.tolist()) == [-1, -1, -1, 0, 1, 3]  # the strip between the objects is part of none
    assert of[4][1] == "part 2"
    assert regions.ancestors(5) == [3, 0]


def test_full_ade20k_needs_no_index(tmp_path):
    make_ade_full(tmp_path)
    (tmp_path / "index_ade20k.mat").unlink()
    assert open_dataset(f"ade20k:{tmp_path}").classes == {}


def test_sa1b_masks_overlap_and_have_no_class(tmp_path):
    make_sa1b(tmp_path / "sa_000020")
    dataset = open_dataset(f"sa1b:{tmp_path}")
    assert dataset[0].image_id == 223750
    assert dataset[0].key == "sa_000020/sa_223750"
    regions = dataset[0].truth().regions
    assert regions.areas.tolist() == [36, 27]
    assert regions.category is None


def test_davis_2017_keeps_the_number_of_an_object_in_every_frame(tmp_path):
    make_davis(tmp_path)
    dataset = open_dataset(f"davis:{tmp_path}")
    assert [e.image_id for e in dataset] == ["dog/00000", "dog/00001"]  # 2017/val, in order
    assert [e.truth().regions.category.tolist() for e in dataset] == [[1, 2], [1, 2]]
    assert len(open_dataset(f"davis:{tmp_path}:bear")) == len(open_dataset(f"davis:{tmp_path}:2017/train")) == 2
    (tmp_path / "ImageSets").rename(tmp_path / "kept_apart")
    assert len(open_dataset(f"davis:{tmp_path}")) == 4


def test_davis_2016_has_one_white_object(tmp_path):
    make_davis(tmp_path, 2016)
    path = tmp_path / "Annotations" / "480p" / "dog" / "00001.png"
    Image.open(path).convert("RGBA").save(path)
    dataset = open_dataset(f"davis:{tmp_path}:480p/val")
    assert [e.key for e in dataset] == ["dog/00000", "dog/00001"]
    for example in dataset:
        assert example.truth().regions.category.tolist() == [1]
        assert example.truth().regions.areas.tolist() == [36]
    Image.new("RGB", (20, 12), "red").save(path)
    with pytest.raises(LayoutError, match="got colours"):
        dataset[1].truth()


def test_davis_255_beside_other_objects_is_void(tmp_path):
    make_davis(tmp_path)
    labels = blank(1)
    labels[0] = 255
    paint(tmp_path / "Annotations" / "480p" / "dog" / "00000.png", labels)
    assert open_dataset(f"davis:{tmp_path}")[0].truth().regions.areas.tolist() == [220]


def test_a_listed_sequence_that_is_absent_is_told(tmp_path):
    make_davis(tmp_path)
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("dog\ncat\n")
    with pytest.raises(LayoutError, match=r"1 of 3 photos lack .*cat"):
        open_dataset(f"davis:{tmp_path}")


def test_clothing_is_a_person_of_labels_of_pieces(tmp_path):
    make_clothing(tmp_path)
    dataset = open_dataset(f"clothing:{tmp_path}")
    assert dataset.classes == {0: "null", 1: "coat", 2: "tennis shoes"}
    truth = dataset[0].truth()
    assert truth.regions.source == ("person", "label", "label", "piece", "piece")
    assert truth.regions.name == ("person", "coat", "tennis shoes", "tennis shoes", "tennis shoes")
    assert truth.regions.category.tolist() == [-1, 1, 2, 2, 2]
    assert truth.regions.parent.tolist() == [-1, 0, 0, 2, 2]
    assert truth.regions.areas.tolist() == [1251, 800, 451, 225, 225]  # the slip of one pixel is no piece
    assert len(dataset[1].truth().regions) == 0


def test_a_list_of_classes_that_is_none_is_told(tmp_path):
    make_clothing(tmp_path)
    for text, told in (
        ("null\ncoat\n", "lines of an index and a name"),
        ("0 null\n2 coat\n", "every index from 0 to 2"),
    ):
        (tmp_path / "classes.txt").write_text(text)
        with pytest.raises(LayoutError, match=told):
            open_dataset(f"clothing:{tmp_path}")


def test_folders_and_tars_have_photos_and_no_truth(tmp_path):
    make_tar(tmp_path)
    found = open_dataset(f"folder:{tmp_path}/photos")
    assert [e.image_id for e in found] == ["trip/2", "trip/10"]
    assert found[0].truth().regions is None
    for where in ("photos.tar", "", "*.tar"):
        assert [e.key for e in open_dataset(f"tar:{tmp_path}/{where}")] == ["2", "10"]
    with pytest.raises(LayoutError, match="is a file, expected a folder; a tar of photos is written tar:"):
        open_dataset(f"folder:{tmp_path}/photos.tar")
    with pytest.raises(LayoutError, match=r"looked for \*.tar, found the folder trip"):
        open_dataset(f"tar:{tmp_path}/photos")


# ---------------------------------------------------------------------- real data


def test_real_coco_equals_pycocotools(development_data, capsys):
    root = development_data / "coco"
    dataset = open_dataset(f"coco:{root}")
    path = root / "annotations" / "instances_train2017.json"
    expected = reference_rles(path)
    assert [e.image_id for e in dataset] == [number for number, _ in image_ids_and_files(path)]
    for example in dataset:
        assert example.truth().regions.rles == expected[example.image_id]
        assert example.photo.path.is_file()
    assert len(dataset) == 166
    assert len(dataset.classes) == 80
    assert sum(int(e.truth().crowd.sum()) for e in dataset) == 15


def test_keys_are_those_of_find_photos(development_data):
    for spec, folder in (
        ("coco:coco", "coco/train2017"),
        ("bsds:bsds500", "bsds500/images/val"),
        ("davis:davis", "davis/JPEGImages/480p"),
        ("camvid:camvid", "camvid/train"),
        ("clothing:clothing", "clothing/images"),
    ):
        dataset = open_dataset(spec.replace(":", f":{development_data}/"))
        assert {e.key for e in dataset} == {ref.key for ref in find_photos([development_data / folder])}


@pytest.mark.parametrize("split", ["val", "train"])
def test_real_bsds_boundaries_lie_where_partitions_change(development_data, split):
    dataset = open_dataset(f"bsds:{development_data}/bsds500:{split}")
    assert len(dataset) == {"val": 100, "train": 60}[split]
    for example in dataset[::25]:
        truth = example.truth()
        assert 4 <= len(truth.partitions) <= 9
        for labels, boundary in zip(truth.partitions, truth.boundaries, strict=True):
            assert labels.min() == 0
            around = np.pad(labels, 1, mode="edge")
            windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3))
            near_change = windows.min((2, 3)) != windows.max((2, 3))
            assert near_change[boundary].mean() > 0.99


def test_real_camvid_classes(development_data):
    root = development_data / "camvid"
    dataset = open_dataset(f"camvid:{root}")
    listed = [line.split()[1] for line in (root / "classes.txt").read_text().splitlines()]
    assert [*dataset.classes.values()] == listed[:11]
    shares = np.mean([[np.mean(e.truth().semantic == k) for k in range(-1, 11)] for e in dataset[::5]], 0)
    assert shares.sum() == pytest.approx(1)
    assert shares[4] > 0.15  # a camera on a car sees road


def test_real_davis_is_one_dog(development_data):
    dataset = open_dataset(f"davis:{development_data}/davis:dog")
    assert [e.image_id for e in dataset] == [f"dog/{k:05d}" for k in range(60)]
    for example in dataset[::20]:
        regions = example.truth().regions
        assert regions.size == (480, 854)
        assert len(regions) == 1
        assert 0.02 < regions.areas[0] / (480 * 854) < 0.4


def test_real_clothing_forests_are_whole(development_data):
    dataset = open_dataset(f"clothing:{development_data}/clothing")
    assert len(dataset) == 80
    assert dataset.classes[41] == "skin"
    for example in dataset[::8]:
        truth = example.truth()
        labels = [k for k, source in enumerate(truth.regions.source) if source == "label"]
        assert truth.regions.roots.tolist() == [0]
        assert truth.regions.areas[labels].sum() == truth.regions.areas[0] == (truth.semantic > 0).sum()
        assert truth.regions.depth.max() <= 2
        for k in labels:
            assert truth.regions.areas[truth.regions.children(k)].sum() <= truth.regions.areas[k]
