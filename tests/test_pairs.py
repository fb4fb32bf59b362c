"""Photos with captions: every layout on a made copy of its published form, and what people and scripts do to tables."""

from __future__ import annotations

import io
import json
import pickle
import tarfile

import pytest
from PIL import Image

from hedgerow.config import CallerError
from hedgerow.data.pairs import Pair, clean, held_back, read_pairs
from hedgerow.photos import PhotoRef, open_photo

DOG, CAT = "a dog runs over grass", "two cats sleep on a sofa"


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), "teal").save(path)


def table(folder, text, name="captions.csv", photos=("a.jpg", "b.jpg"), *, below="images", encoding="utf-8"):
    for one in photos:
        photo(folder / below / one)
    (folder / name).write_bytes(text.encode(encoding))
    return folder


def found(*places):
    return {pair.photo.key: pair.captions for pair in read_pairs(places)}


# ---------------------------------------------------------------------- tables


@pytest.mark.parametrize("header", ["", "image,caption\n", "\ufeffimage,caption\r\n", "filename, Caption\n"])
@pytest.mark.parametrize("below", ["", "images", "Images"])
def test_a_table_with_and_without_a_header(tmp_path, header, below):
    folder = table(tmp_path, f'{header}a.jpg,{DOG}\nb.jpg,"{CAT}, both grey"\na.jpg,the dog is fast\n', below=below)
    assert found(folder) == {"a": (DOG, "the dog is fast"), "b": (f"{CAT}, both grey",)}
    assert found(folder / "captions.csv") == found(folder)
    for pair in read_pairs([folder]):
        assert open_photo(pair.photo).size == (6, 8)
        assert pickle.loads(pickle.dumps(pair)) == pair


def test_captions_txt_and_other_folders(tmp_path):
    folder = table(tmp_path, f"image,caption\nx/a.jpg,{DOG}\n", "captions.txt", ["x/a.jpg"])
    assert found(folder) == {"x/a": (DOG,)}


def test_flickr30k_with_the_row_that_lacks_a_mark(tmp_path):
    rows = ["image_name| comment_number| comment", f"a.jpg| 0| {DOG}", f"a.jpg| 4   {CAT} .", f'b.jpg| 0| "{CAT}"']
    folder = table(tmp_path, "\n".join(rows), "results.csv", below="flickr30k_images")
    assert found(folder) == {"a": (DOG, f"{CAT} ."), "b": (CAT,)}


def test_flickr8k_as_it_was_first_published(tmp_path):
    folder = table(tmp_path, f"a.jpg#0\t{DOG}\na.jpg#1\t{CAT}\n", "Flickr8k.token.txt", below="Flicker8k_Dataset")
    assert found(folder / "Flickr8k.token.txt") == {"a": (DOG, CAT)}


def test_columns_are_found_by_their_names(tmp_path):
    folder = table(tmp_path, f'image,split,caption,url\na.jpg,train,"{DOG}, fast",http://x\n')
    assert found(folder) == {"a": (f"{DOG}, fast",)}
    folder = table(tmp_path, f"image,split,words\na.jpg,train,{DOG}\n")
    with pytest.raises(CallerError, match=r'expected columns image and caption, got "image,split,words"'):
        read_pairs([folder])


def test_quotes_that_nobody_closes_spoil_no_other_row(tmp_path):
    rows = [
        f'a.jpg,"{DOG}',
        'b.jpg,a sign that says ""stop"" and "go"\n  by a road',
        f'a.jpg,{CAT}"',
        '"b.jpg","6"" of snow"',
    ]
    captions = found(table(tmp_path, "\n".join(rows)))
    assert captions["a"] == (DOG, CAT)
    assert captions["b"] == ('a sign that says "stop" and "go" by a road', '6" of snow')


def test_captions_without_quotes_may_have_commas(tmp_path):
    assert found(table(tmp_path, "a.jpg,a dog, a cat, and grass\n")) == {"a": ("a dog, a cat, and grass",)}


def test_other_encodings_are_told_of(tmp_path, caplog):
    assert found(table(tmp_path, "a.jpg,a café by the sea\n", encoding="cp1252")) == {"a": ("a café by the sea",)}
    assert "not UTF-8" in caplog.text


def test_what_is_left_out_is_counted_in_one_warning(tmp_path, caplog):
    rows = [f"a.jpg,{DOG}", f"a.jpg,{DOG}", "a.jpg,dog .", "b.jpg,", f"c.jpg,{CAT}", f"d.jpg,{'word ' * 61}", "a.jpg,"]
    folder = table(tmp_path, "\n".join(rows), photos=("a.jpg", "b.jpg", "d.jpg"))
    assert found(folder) == {"a": (DOG,)}
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{folder}: 4 captions are of fewer than 2 words or more than 60; 2 photos have no caption that is left; "
        "1 photos are not there, as c.jpg: left out"
    )


def test_a_place_longer_than_any_can_be_is_left_out(tmp_path):
    assert found(table(tmp_path, f"a.jpg,{DOG}\n{'q' * 300}/a.jpg,{CAT}\n")) == {"a": (DOG,)}


def test_names_alike_but_for_their_suffix_keep_it(tmp_path):
    assert list(found(table(tmp_path, f"a.jpg,{DOG}\na.png,{CAT}\n", photos=("a.jpg", "a.png")))) == ["a.jpg", "a.png"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no line opens with a photo's name: expected lines of image,caption"),
        ("image,caption\n", "no line opens with a photo's name"),
        ("image,caption\nnonsense\na.jpg,x y\n", 'line 2 should open with a photo\'s name, got "nonsense"'),
        (f"../a.jpg,{DOG}\n", "line 1 names ../a.jpg, expected a photo below the folder"),
        ("image,split,caption\na.jpg,train\n", "line 2 has 2 columns, the header 3"),
        (f"gone.jpg,{DOG}\n", "has no photo with a caption: 1 photos are not there, as gone.jpg"),
        ("a.jpg,dog\n", "has no photo with a caption: 1 captions are of fewer than 2 words or more than 60"),
    ],
)
def test_a_table_that_is_none_is_one_line(tmp_path, text, told):
    with pytest.raises(CallerError) as error:
        read_pairs([table(tmp_path, text)])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------- cleaning


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("  A dog\t runs \n away ", "A dog runs away"),
        ("salt &amp; pepper &amp;quot;pots&amp;quot;", 'salt & pepper "pots"'),
        ("a <b>red</b> car<br/>at night <!-- x -->", "a red car at night"),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
        ("ﬁne ｗｏｒｄｓ\u00a0…", "fine words ..."),
        ("caf\u0065\u0301", "café"),
    ],
)
def test_cleaning(written, read):
    assert clean(written) == read
    assert clean(read) == read


# ---------------------------------------------------------------------- COCO


def make_coco(root, split="val2017", numbers=(7, 2), captions=((7, DOG), (2, CAT), (7, CAT)), photos="{split}"):
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in numbers]
    rows = [{"id": k, "image_id": number, "caption": text} for k, (number, text) in enumerate(captions)]
    path = root / "annotations" / f"captions_{split}.json"
    path.write_text(json.dumps({"images": images, "annotations": rows}))
    for image in images:
        photo(root / photos.format(split=split) / image["file_name"])
    return path


@pytest.mark.parametrize("photos", ["{split}", "images/{split}", "images", "."])
def test_coco(tmp_path, photos):
    path = make_coco(tmp_path, photos=photos)
    assert found(tmp_path) == found(path) == {"000000000007": (DOG, CAT), "000000000002": (CAT,)}


def test_all_splits_of_a_folder_of_coco(tmp_path):
    make_coco(tmp_path)
    make_coco(tmp_path, "train2017", (9,), ((9, "a red bus waits"),))
    assert list(found(tmp_path)) == ["000000000009", "000000000007", "000000000002"]


def test_photos_of_coco_without_a_caption_or_a_file_are_counted(tmp_path, caplog):
    make_coco(tmp_path, numbers=(7, 2, 5))
    (tmp_path / "val2017" / "000000000002.jpg").unlink()
    assert list(found(tmp_path)) == ["000000000007"]
    assert "1 photos have no caption that is left; 1 photos are not there, as 000000000002" in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "damaged or cut short"),
        ("[]", "expected an object with images and annotations, got a list"),
        ('{"images": [], "annotations": []}', "has no photo with a caption: it lists none"),
        ('{"images": [{"id": 1, "file_name": "../x.jpg"}], "annotations": []}', "needs a file name below its folder"),
        ('{"images": [], "annotations": [{"image_id": 1}]}', "number 0 of its annotations lacks caption"),
    ],
)
def test_a_damaged_json_is_one_line(tmp_path, text, told):
    path = make_coco(tmp_path)
    path.write_text(text)
    with pytest.raises(CallerError) as error:
        read_pairs([path])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------- tars


def make_tar(path, members):
    memory = io.BytesIO()
    Image.new("RGB", (8, 6), "teal").save(memory, "JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, text in members.items():
            data = memory.getvalue() if text is None else text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_tars(tmp_path, caplog):
    first = make_tar(
        tmp_path / "0.tar",
        {
            "0001.jpg": None,
            "0001.txt": DOG,
            "0001.json": '{"caption": "not looked at"}',
            "0002.jpg": None,
            "0002.json": json.dumps({"caption": CAT, "url": "x"}),
            "x/0003.small.jpg": None,
            "x/0003.json": json.dumps({"caption": [DOG, CAT]}),
            "0004.jpg": None,
            "0005.txt": "of no photo at all",
        },
    )
    captions = {"0001": (DOG,), "0002": (CAT,), "x/0003.small": (DOG, CAT)}
    assert found(first) == found(tmp_path) == found(tmp_path / "*.tar") == captions
    assert "1 photos have no caption that is left" in caplog.text
    assert open_photo(read_pairs([first])[0].photo).size == (6, 8)
    make_tar(tmp_path / "1.tar", {"0001.jpg": None, "0001.txt": CAT})
    assert list(found(tmp_path)) == ["0/0001", "0002", "x/0003.small", "1/0001"]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"a.txt": DOG}, "no photo in this tar"),
        ({"a.jpg": None}, "has no photo with a caption: 1 photos have no caption that is left"),
        ({"a.jpg": None, "a.json": "{"}, "a.json: damaged or cut short"),
    ],
)
def test_a_tar_of_no_use_is_one_line(tmp_path, members, told):
    with pytest.raises(CallerError) as error:
        read_pairs([make_tar(tmp_path / "0.tar", members)])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("gone", "there is nothing at"),
        ("*.tar", "nothing matches"),
        ("photos", "holds no captions: looked for captions.csv, captions.txt, results.csv, annotations/captions_"),
        ("photos/a.jpg", "expected a tar, a table"),
    ],
)
def test_places_that_are_none(tmp_path, place, told):
    photo(tmp_path / "photos" / "a.jpg")
    with pytest.raises(CallerError) as error:
        read_pairs([tmp_path / place])
    assert told in str(error.value)


def test_no_place():
    with pytest.raises(CallerError, match="no captions were named"):
        read_pairs([])


# ---------------------------------------------------------------------- several places


def test_several_places_are_one_sequence(tmp_path):
    one = table(tmp_path / "one", f"a.jpg,{DOG}\n", photos=("a.jpg",))
    two = table(tmp_path / "two", f"A.jpg,{CAT}\nb.jpg,{DOG}\n", photos=("A.jpg", "b.jpg"), below="")
    three = table(tmp_path / "three" / "two", f"a.jpg,{CAT}\n", photos=("a.jpg",), below="")
    assert found(one, two, three) == {"images/a": (DOG,), "two/A": (CAT,), "b": (DOG,), "two/a-2": (CAT,)}
    (one / "more.csv").write_text(f"a.jpg,{CAT}\na.jpg,{DOG}\n")
    assert found(one, one / "more.csv") == {"a": (DOG, CAT)}, "one photo, with the captions of both"


def test_what_is_held_back_hangs_on_keys_alone(tmp_path):
    pairs = [Pair(PhotoRef(f"{number}", tmp_path / f"{number}.jpg"), (DOG,)) for number in range(40)]
    learning, held = held_back(pairs, 10, seed=3)
    assert len(held) == 10
    assert not {pair.photo.key for pair in learning} & {pair.photo.key for pair in held}
    assert sorted(learning + held, key=pairs.index) == pairs
    assert learning == sorted(learning, key=pairs.index)
    _, backwards = held_back(pairs[::-1], 10, seed=3)
    assert {pair.photo.key for pair in backwards} == {pair.photo.key for pair in held}
    assert held_back(pairs, 10, seed=4)[1] != held
    assert held_back(pairs, 9, seed=3)[1] == [pair for pair in held if pair in held_back(pairs, 9, seed=3)[1]]
    assert held_back(pairs, 0) == (pairs, [])
    for count in (40, -1):
        with pytest.raises(CallerError, match=f"{count} photos cannot be held back of 40"):
            held_back(pairs, count)


def test_real_captions(development_data):
    pairs = read_pairs([development_data / "flickr8k", development_data / "coco"])
    assert len(pairs) > 1000
    assert len({pair.photo.key.casefold() for pair in pairs}) == len(pairs)
    assert all(clean(caption) == caption for pair in pairs for caption in pair.captions)
    assert open_photo(pairs[-1].photo).size[0] > 0
