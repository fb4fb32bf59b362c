"""What stands out in a photo: of its forest, by a cut, in masks made elsewhere; and a collection's prior."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import rankdata

from hedgerow.backbones import feature_map, open_backbone
from hedgerow.cli import main
from hedgerow.config import CallerError, Prior, Propose, UsageError
from hedgerow.data.labels import LabelStore
from hedgerow.draw import outlined
from hedgerow.filling import fill
from hedgerow.forest import MaskForest
from hedgerow.photos import open_photo
from hedgerow.prior import cut_out, given_masks, objects, pooled, salience, stand_out, standing, union
from hedgerow.proposing import plan_prior, propose, write_masks
from references import prior as slow

CONFIG = Prior(sure=0.0)
QUICK = ["--explore.grains", "60", "--explore.zoom.windows", "0", "--max-masks", "30", "--workers", "1"]


def box(size, top, left, bottom, right):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def painted(size, *boxes, dims=4):
    """Features (h, w, dims) of a ground and of boxes, each of a kind of its own."""
    values = np.zeros((*size, dims), np.float32)
    values[..., 0] = 1
    for kind, edges in enumerate(boxes, start=1):
        values[box(size, *edges)] = np.eye(dims, dtype=np.float32)[kind]
    return values


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


# ---------------------------------------------------------------------- masks into objects


def test_a_pixel_belongs_to_the_surer_and_crumbs_go():
    size = (20, 30)
    first, second = box(size, 2, 2, 12, 12), box(size, 5, 5, 18, 18)
    second[0, 29] = True  # a crumb of one pixel; 1 % of the photo is six
    found = objects(size, [first, second, first, box(size, 0, 25, 2, 27)], [0.9, 0.5, 0.4, 0.3], "forest", 0.01)
    assert len(found) == 2
    assert np.array_equal(found.mask(0), first)
    second[0, 29] = False
    assert np.array_equal(found.mask(1), second & ~first)
    assert found.score.tolist() == pytest.approx([0.9, 0.5])
    assert found.source == ("forest", "forest")
    assert np.array_equal(union(found), first | second)
    assert len(objects(size, [], [], "forest", 0.01)) == 0
    assert not union(objects(size, [box(size, 0, 0, 1, 1)], [1.0], "forest", 0.01)).any()


def test_corners_hold_an_object_together():
    size = (10, 10)
    mask = box(size, 0, 0, 2, 2) | box(size, 2, 2, 4, 4)  # 4 pixels each, 8 together
    assert union(objects(size, [mask], [1.0], "", 0.08)).sum() == 8
    assert union(objects(size, [mask], [1.0], "", 0.081)).sum() == 0


# ---------------------------------------------------------------------- a cut


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 9), (3, 2)])
def test_pooled_is_the_mean_of_squares(size):
    values = np.random.default_rng(0).random((*size, 3)).astype(np.float32)
    few = pooled(values, 6)
    assert few.shape[0] * few.shape[1] <= 6
    side = next(s for s in range(1, 99) if max(size[0] // s, 1) * max(size[1] // s, 1) <= 6)
    last = [max(n // side, 1) for n in size]
    for i, j in np.ndindex(*last):
        rows, columns = (
            slice(k * side, None if k == n - 1 else (k + 1) * side) for k, n in zip((i, j), last, strict=True)
        )
        assert few[i, j] == pytest.approx(values[rows, columns].reshape(-1, 3).mean(0), rel=1e-5)
    assert np.array_equal(pooled(values, 1000), values)


@pytest.mark.parametrize("size", [(5, 6), (3, 4), (1, 5), (1, 1)])
def test_salience_is_how_long_a_walk_takes_to_the_frame(size):
    values = np.random.default_rng(1).random((*size, 3)).astype(np.float32)
    time = slow.walking_times(values.astype(float), 0.5, 0.3, 0.01)
    found = salience(values, Prior(softness=0.5, near=0.3))
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.array_equal(rankdata(found.ravel().round(6)), rankdata(slow.ranks(time).ravel().round(6)))


def test_a_cut_finds_what_does_not_hang_on_the_frame():
    size, edges = (20, 30), (5, 16, 14, 26)
    values = painted(size, edges) + np.random.default_rng(0).normal(0, 0.05, (*size, 4)).astype(np.float32)
    found = salience(values, CONFIG)
    masks, scores = cut_out(values, found, CONFIG)
    assert overlap(masks[0], box(size, *edges)) > 0.9
    assert 0.5 < scores[0] <= 1
    two = np.where(painted(size, (4, 3, 12, 10), (8, 18, 16, 25)) > 0, 1, 0).astype(np.float32)
    two[..., 1:] = two[..., 1:].sum(-1, keepdims=True)  # two things of one kind
    masks, scores = cut_out(two, salience(two, CONFIG), CONFIG)
    assert len(masks) == 2
    assert scores == sorted(scores, reverse=True)
    for edges in ((4, 3, 12, 10), (8, 18, 16, 25)):
        assert max(overlap(mask, box(size, *edges)) for mask in masks) > 0.9


def test_in_a_plain_photo_a_cut_finds_nothing():
    plain = painted((12, 16))
    assert cut_out(plain, salience(plain, Prior()), Prior()) == ([], [])
    one = painted((1, 1))
    assert cut_out(one, salience(one, Prior()), Prior()) == ([], [])
    nothing = np.zeros((6, 6, 3), np.float32)  # features of no length
    assert cut_out(nothing, salience(nothing, Prior()), CONFIG) == ([], [])


# ---------------------------------------------------------------------- regions of a forest


@pytest.mark.parametrize("with_salience", [False, True])
def test_standing_is_the_mean_of_its_cues(with_salience):
    rng = np.random.default_rng(2)
    size = (24, 31)  # small enough to be looked at as it is
    masks = [box(size, 0, 0, 9, 31), box(size, 5, 8, 17, 20), box(size, 20, 28, 24, 31), np.ones(size, bool)]
    masks.append(rng.random(size) < 0.3)
    forest = MaskForest.from_masks(masks, score=[0.9, 0.5, 0.7, 0.2, 0.6])
    values = rng.random((*size, 5)).astype(np.float32) ** 3
    found = rng.random(size).astype(np.float32) if with_salience else None
    score = standing.standing(standing._Seen(forest), forest, values, found)
    for row, mask in enumerate(masks):
        if not mask.all() or not with_salience:
            expected = slow.standing(mask, float(forest.score[row]), values.astype(float), found)
            assert score[row] == pytest.approx(expected, rel=1e-3)
    assert (score > 0).all()
    assert (score <= 1).all()


def test_of_the_regions_of_a_thing_one_is_taken_and_of_things_several():
    size = (60, 80)
    thing, part, other = box(size, 15, 10, 45, 35), box(size, 20, 12, 40, 33), box(size, 20, 48, 44, 70)
    ground = ~(thing | other)
    forest = MaskForest.from_masks([ground, thing, part, other], score=[0.9, 0.8, 0.5, 0.8])
    values = painted(size, (15, 10, 45, 35), (20, 48, 44, 70))
    found = stand_out(forest, values, None, 5, Prior())
    assert [np.array_equal(found.mask(row), mask) for row, mask in enumerate((thing, other))] == [True, True]
    assert len(found) == 2
    assert found.score[0] >= found.score[1] > 0.5
    assert found.parent.tolist() == [-1, -1]
    assert len(stand_out(forest, values, None, 1, Prior())) == 1
    assert len(stand_out(forest, values, None, 5, Prior(sure=0.99))) == 0
    assert len(stand_out(MaskForest(size), values, None, 5, Prior())) == 0
    assert len(stand_out(forest, painted(size), None, 5, Prior())) == 0  # all of it looks alike


def test_what_hangs_on_the_frame_does_not_stand_out():
    size = (60, 80)
    forest = MaskForest.from_masks([box(size, 0, 0, 30, 80), box(size, 20, 30, 40, 50)], score=[0.9, 0.6])
    values = painted(size, (0, 0, 30, 80), (20, 30, 40, 50))
    assert np.array_equal(stand_out(forest, values, None, 5, Prior()).mask(0), box(size, 20, 30, 40, 50))


def test_a_salience_has_its_say():
    size = (60, 80)
    left, right = box(size, 20, 8, 40, 32), box(size, 20, 48, 40, 72)
    forest = MaskForest.from_masks([left, right])
    values = painted(size, (20, 8, 40, 32), (20, 48, 40, 72))
    for mask, edges in ((left, (20, 8, 40, 32)), (right, (20, 48, 40, 72))):
        found = box(size, *edges).astype(np.float32)
        assert np.array_equal(stand_out(forest, values, found, 1, Prior()).mask(0), mask)


# ---------------------------------------------------------------------- masks made elsewhere


@pytest.mark.parametrize(
    ("values", "palette", "expected"),
    [
        ([0, 0, 1, 1], False, [[0, 0, 1, 1]]),
        ([0, 0, 255, 255], False, [[0, 0, 1, 1]]),
        ([0, 0, 255, 255], True, [[0, 0, 1, 1]]),
        ([255, 255, 255, 255], False, [[1, 1, 1, 1]]),
        ([0, 0, 0, 0], False, []),
        ([0, 127, 128, 255], False, [[0, 0, 1, 1]]),  # grey: above half
        ([0, 1, 2, 2], False, [[0, 0, 1, 1], [0, 1, 0, 0]]),  # one value an object, the largest first
        ([7, 7, 255, 9], True, [[1, 1, 0, 0], [0, 0, 0, 1]]),  # as VOC and DAVIS paint, with void
        ([0, 0, 7, 7], False, [[0, 0, 1, 1]]),
    ],
)
def test_what_a_mask_means(values, palette, expected):
    found = given_masks(np.array([values], np.uint8), palette)
    assert [mask[0].astype(int).tolist() for mask in found] == expected


def test_connected_parts_are_objects_if_asked():
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    assert [part.sum() for part in given_masks(mask, components=True)] == [2, 1, 1]
    assert len(given_masks(mask)) == 1
    with pytest.raises(ValueError, match="8 bits, got uint16"):
        given_masks(mask.astype(np.uint16))


# ---------------------------------------------------------------------- a collection


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("hedgerow.data.shards.SHARD", 3)
    monkeypatch.setattr("hedgerow.pipeline._crew", lambda photos, config: 0)


THING = (18, 22, 44, 52)


@pytest.fixture
def photos(tmp_path):
    """Four grounds with a thing on each, and a plain one."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(5):
        pixels = np.full((60, 80, 3), (60, 90, 60 + 20 * number), float)
        if number < 4:
            pixels[box((60, 80), *THING)] = (220, 60 + 40 * number, 40)
        pixels += rng.normal(0, 3 if number < 4 else 0, pixels.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def run(*words):
    return main(["prior", *QUICK, *map(str, words)])


def shards(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.parquet"))}


@pytest.mark.parametrize("by", ["forest", "spectral", "both"])
def test_every_way_finds_the_thing(photos, tmp_path, capsys, by):
    out = tmp_path / "prior"
    assert run(photos, "-o", out, "--by", by, "--png") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("5 of 5 photos looked at, ")
    assert "none in 1" in told[0]
    assert told[1] == f"some of them: {out}/sheet.png; 4 masks in {out}/masks"
    thing = box((60, 80), *THING)
    for label in LabelStore(out):
        if label.key == "4":
            assert len(label.forest) == 0
            assert not (out / "masks" / "4.png").exists()
            continue
        assert overlap(label.forest.mask(0), thing) > 0.8
        assert set(label.forest.source) == {{"spectral": "cut"}.get(by, by)}
        with Image.open(out / "masks" / f"{label.key}.png") as picture:
            assert (picture.mode, picture.size) == ("L", (80, 60))
            assert set(np.unique(picture)) == {0, 255}
            assert np.array_equal(np.asarray(picture) > 0, union(label.forest))
    record = json.loads((out / "labels.json").read_text())["settings"]
    assert (record["by"], record["supervision"]) == (by, "none")
    assert ("forests" in record) == (by != "spectral")


def test_stopped_and_gone_on_with(photos, tmp_path):
    config = Propose(by="spectral")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert len(list(fill(plan_prior([photos], whole, config)))) == 5
    stopped = fill(plan_prior([photos], broken, config))
    for _ in range(4):
        next(stopped)
    stopped.close()
    assert list(shards(broken)) == ["shard-00000.parquet"]
    assert len(list(fill(plan_prior([photos], broken, config)))) == 2
    assert shards(broken) == shards(whole)
    with pytest.raises(CallerError, match=r"made with max_objects .+, not 1: give another folder, or --overwrite"):
        plan_prior([photos], whole, Propose(by="spectral", max_objects=1))


def test_from_labels_and_its_own_exploring_agree(photos, tmp_path, capsys):
    labels, ours, theirs = tmp_path / "labels", tmp_path / "ours", tmp_path / "theirs"
    assert main(["explore", *QUICK, str(photos), "-o", str(labels)]) == 0
    assert run(photos, "-o", ours) == 0
    assert run(photos, "-o", theirs, "--from", labels) == 0
    assert shards(ours) == shards(theirs)
    settings = [LabelStore(folder).record["settings"] for folder in (ours, theirs)]
    assert settings[0] == settings[1]
    capsys.readouterr()
    Image.new("RGB", (20, 20)).save(photos / "new.png")
    assert run(photos, "-o", tmp_path / "more", "--from", labels) == 1
    assert f"{labels} has no labels of 1 of 6 photos, as new: explore them all" in capsys.readouterr().err
    (photos / "new.png").unlink()
    Image.new("RGB", (20, 20)).save(photos / "2.png")
    assert run(photos, "-o", tmp_path / "other", "--from", labels) == 1
    assert "a forest of (60, 80) for the photo" in capsys.readouterr().err
    # a prior is a label store, so one may come of another
    (photos / "2.png").unlink()
    assert run(photos / "0.png", "-o", tmp_path / "again", "--from", ours) == 0
    assert len(LabelStore(tmp_path / "again")["0"].forest) == 1


def test_masks_made_elsewhere(photos, tmp_path, capsys):
    masks, out = tmp_path / "masks", tmp_path / "prior"
    masks.mkdir()
    thing, other = box((60, 80), *THING), box((60, 80), 2, 60, 20, 78)
    for number in range(5):
        mask = (thing | other) * (1 if number % 2 else 255)
        Image.fromarray(mask.astype(np.uint8)).save(masks / f"{number}.png")
    assert run(photos, "-o", out, "--masks", masks, "--components", "--supervision", "none") == 0
    assert "2.0 objects each, none in 0" in capsys.readouterr().out
    for label in LabelStore(out):
        assert [np.array_equal(label.forest.mask(row), mask) for row, mask in enumerate((thing, other))] == [True] * 2
    assert LabelStore(out).record["settings"]["supervision"] == "none"
    assert run(photos, "-o", tmp_path / "joined", "--masks", masks) == 0
    assert len(LabelStore(tmp_path / "joined")["0"].forest) == 1
    assert LabelStore(tmp_path / "joined").record["settings"]["supervision"] == "unknown"


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (np.zeros((60, 81), np.uint8), "a mask of (60, 81) for the photo"),
        (np.zeros((60, 80), np.uint16), "expected a mask of one channel of 8 bits, got an image of mode I;16: convert"),
        (np.zeros((60, 80, 3), np.uint8), "got an image of mode RGB: convert it"),
        (b"\x89PNG\r\n", "damaged or cut short"),
        (None, "1 of 5 photos have no mask, as "),
    ],
)
def test_bad_masks_are_told_in_one_line(photos, tmp_path, capsys, bad, told):
    masks, out = tmp_path / "masks", tmp_path / "prior"
    masks.mkdir()
    for number in range(5):
        Image.fromarray(np.full((60, 80), 255, np.uint8)).save(masks / f"{number}.png")
    (masks / "3.png").unlink()
    if isinstance(bad, bytes):
        (masks / "3.png").write_bytes(bad)
    elif bad is not None:
        Image.fromarray(bad).save(masks / "3.png")
    assert run(photos, "-o", out, "--masks", masks) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert run(photos, "-o", out, "--masks", masks, "--keep-going") == 0
    assert "1 of 5 photos could not be done:" in capsys.readouterr().err
    assert LabelStore(out)["3"].forest is None
    assert len(LabelStore(out)["2"].forest) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "a prior needs a folder: -o PRIOR"),
        (["-o", "x"], "no photo was named"),
        (["p.png", "-o", "x", "--max-objects", "0"], "--max-objects is at least 1, got 0"),
        (["p.png", "-o", "x", "--components"], "--components and --supervision go with --masks"),
        (
            ["p.png", "-o", "x", "--masks", ".", "--supervision", "me"],
            "--supervision is unknown, none, captions, labels",
        ),
        (["p.png", "-o", "x", "--from", "y", "--by", "spectral"], "--from gives forests, which --by spectral does not"),
        (["p.png", "-o", "x", "--prior.least", "2"], "--prior.least lies in 0 ... 1, got 2.0"),
        (["p.png", "-o", "x", "--prior.near", "0"], "--prior.near is above 0, got 0.0"),
        (["p.png", "-o", "x", "--prior.patches", "0"], "--prior.patches lies in 1 ... inf, got 0"),
    ],
)
def test_what_cannot_be_asked(capsys, words, told):
    assert main(["prior", *words]) == 2
    assert told in capsys.readouterr().err


def test_masks_that_are_no_longer_so_go(photos, tmp_path):
    out = tmp_path / "prior"
    assert run(photos, "-o", out, "--by", "spectral", "--png") == 0
    assert run(photos, "-o", out, "--by", "spectral", "--prior.sure", "1", "--overwrite") == 0
    assert write_masks(LabelStore(out)) == 0
    assert list((out / "masks").iterdir()) == []
    with pytest.raises(UsageError, match="no photo was named"):
        plan_prior([], out, Propose())


def test_objects_are_shown_as_they_are_and_the_rest_pale():
    pixels = np.full((40, 50, 3), 100, np.uint8)
    forest = MaskForest.from_masks([box((40, 50), 10, 10, 30, 40)])
    shown = outlined(pixels, forest)
    assert (shown[20, 25] == 100).all()
    assert (shown[2, 2] > 180).all()
    assert shown[20, 10, 0] > shown[20, 10, 1]  # a red line
    assert (outlined(pixels, MaskForest((40, 50))) > 180).all()


def test_it_works_on_what_backbones_give():
    pixels = np.full((60, 80, 3), (60, 90, 80), np.uint8)
    pixels[box((60, 80), *THING)] = (220, 60, 40)
    values = pooled(feature_map(open_backbone("texture"), pixels).values, 300)
    masks, _ = cut_out(values, salience(values, Prior()), Prior())
    rows, columns = (np.arange(n) * m // n for n, m in zip((60, 80), values.shape, strict=False))
    assert overlap(masks[0][rows[:, None], columns], box((60, 80), *THING)) > 0.7


def test_a_backbone_that_has_learned_what_stands_out_is_asked():
    """Its word counts, though its features and the frame say another thing."""

    class Learned:
        name, supervision, weights_sha256 = "learned", "none", None

        def features(self, pixels):
            return self.look(pixels)[0]

        def look(self, pixels):
            sides = np.zeros((1, 8, 8, 2), np.float32)
            sides[:, :, :4, 0], sides[:, :, 4:, 1] = 1, 1
            salience = np.zeros((1, 8, 8), np.float32)
            salience[:, :, :4] = 0.9
            return sides, salience

    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 32:] = 255
    left = np.zeros((64, 64), bool)
    left[:, :32] = True
    config = Propose(by="spectral", prior=Prior(most=0.6))
    found = propose(open_photo(pixels), Learned(), None, config)
    assert len(found) == 1
    assert found.iou(MaskForest.from_masks([left]))[0, 0] > 0.9
    both = propose(open_photo(pixels), Learned(), MaskForest.from_masks([left, ~left]), Propose(prior=Prior(sure=0.0)))
    assert both.mask(0)[:, :32].all()
