"""Lists of names: those that are built in hold the classes of their data sets, and whatever a caller may get wrong."""

from __future__ import annotations

from importlib import resources

import pytest

from hedgerow.config import CallerError
from hedgerow.data import classes
from hedgerow.naming.vocabulary import BUILT_IN, Vocabulary, read_vocabulary, read_vocabulary_file

CLASSES = {
    "voc": classes.VOC[1:],
    "context": classes.CONTEXT[1:],
    "coco-stuff": classes.COCO_STUFF,
    "coco": classes.COCO_STUFF[:80],
    "camvid": classes.CAMVID,
    "ade20k": classes.ADE20K,
}


@pytest.mark.parametrize("name", CLASSES)
def test_built_in_lists_have_the_classes_of_their_data_sets_in_order(name):
    vocabulary = read_vocabulary(f" {name.upper()} ")
    assert [vocabulary.index_of(own) for own in CLASSES[name]] == list(range(len(vocabulary)))
    assert vocabulary.source == name
    assert vocabulary.index_of("background") == -1


def test_lists_are_as_long_as_published():
    counts = {"voc": 20, "coco": 80, "ade20k": 150, "lvis": 1203, "camvid": 11, "context": 59, "coco-stuff": 171}
    assert {name: len(read_vocabulary(name)) for name in BUILT_IN} == counts
    files = {entry.name for entry in (resources.files("hedgerow.naming") / "vocabularies").iterdir()}
    assert files == {f"{name}.txt" for name in BUILT_IN}


@pytest.mark.parametrize("name", BUILT_IN)
def test_names_are_words_that_people_write(name):
    vocabulary = read_vocabulary(name)
    for row, words in enumerate(vocabulary.words):
        assert words[0] == vocabulary.names[row]
        for word in words:
            assert word == " ".join(word.split())
            assert not set(word) & set("_/=,#|"), word


def test_lvis_keeps_its_ids_and_knows_its_own_spelling():
    vocabulary = read_vocabulary("lvis")
    for number, own in ((0, "aerosol_can"), (2, "airplane"), (206, "car_(automobile)"), (792, "person")):
        assert vocabulary.index_of(own) == number
    assert vocabulary.index_of("monitor_(computer_equipment) computer_monitor") == vocabulary.index_of("monitor")
    assert vocabulary.names[1202] == "zucchini"
    assert "octopus" not in {word for words in vocabulary.words for word in words}, "two names could be meant"


def test_a_class_of_one_data_set_is_found_in_the_list_of_another():
    coco = read_vocabulary("coco")
    theirs = {name: coco.names[coco.index_of(name)] for name in classes.VOC[1:]}
    assert theirs == {name: next((k for k, v in classes.VOC_IN_COCO.items() if v == name), name) for name in theirs}
    assert read_vocabulary("coco-stuff").index_of("table") != read_vocabulary("coco-stuff").index_of("dining table")
    assert read_vocabulary("voc").index_of("toothbrush") == -1


def test_people_and_vehicles_have_synonyms():
    voc = read_vocabulary("voc")
    assert {"man", "woman", "girl", "people"} < set(voc.words[voc.index_of("person")])
    assert "automobile" in voc.words[voc.index_of("car")]


def test_a_list_that_is_asked_for():
    vocabulary = read_vocabulary("dog, tall  grass,Person/man / woman")
    assert vocabulary == Vocabulary(
        ("dog", "tall grass", "Person"), (("dog",), ("tall grass",), ("Person", "man", "woman")), "asked for"
    )
    assert vocabulary.index_of("WOMAN") == 2
    assert read_vocabulary("dog").names == ("dog",)
    assert read_vocabulary("犬, 草").index_of("草") == 1


def test_a_name_goes_before_another_ones_synonym():
    vocabulary = Vocabulary(("sofa", "couch"), (("sofa", "settee"), ("couch",)), "made", ("", "sofa-bed"))
    assert [vocabulary.index_of(word) for word in ("couch", "settee", "sofa bed", "")] == [1, 0, 1, -1]
    assert vocabulary.select([1]).index_of("sofa_bed") == 0
    assert vocabulary.select([1, 0]).names == ("couch", "sofa")


def test_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeff# mine\n\ndog/hound  # of any kind\nhot air balloon\n", "utf-8")
    vocabulary = read_vocabulary_file(path)
    assert vocabulary.words == (("dog", "hound"), ("hot air balloon",))
    assert vocabulary.source == str(path)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("", "no name was given: give one of voc, coco"),
        ("dog,,cat", '--names: name 2 is empty or has an empty synonym, got ""'),
        ("dog, cat,", "name 3 is empty"),
        ("dog/, cat", 'name 1 is empty or has an empty synonym, got "dog/"'),
        ("dog, cat, Dog", 'name 3 has "Dog" a second time'),
        ("person/man, man", '"man" is said for both person and man'),
        ("person/child, kid/Child", '"child" is said for both person and kid'),
        ("!", "name 1 is empty"),
    ],
)
def test_wrong_lists_are_one_line(asked, told):
    with pytest.raises(CallerError) as error:
        read_vocabulary(asked)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "cannot be read (No such file"),
        (b"# nothing\n", "has no name: expected one a line"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"dog\n\ncat/\n", "line 3 is empty or has an empty synonym"),
        (b"dog\ncat\ndog\n", 'line 3 has "dog" a second time'),
    ],
)
def test_wrong_files_are_one_line(tmp_path, data, told):
    path = tmp_path / "names.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CallerError) as error:
        read_vocabulary_file(path)
    assert str(error.value).startswith(str(path))
    assert told in str(error.value)
