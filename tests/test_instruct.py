"""Lessons, made scenes, corrections, and one photo learned by heart."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from company import two_processes
from hedgerow.config import COURSES, CallerError, Predict, Pretrain, UsageError
from hedgerow.config import Network as Form
from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.forest import MaskForest
from hedgerow.learn.correct import corrections, height_of, scores, threshold, weights_at
from hedgerow.learn.courses import sit_course
from hedgerow.learn.forests import PIECES, ROOM, ancestors_of
from hedgerow.learn.instruct import _shown, asked_losses, begin, follow, train
from hedgerow.learn.labelled import labelled_shelves
from hedgerow.learn.lessons import CELL, Asked, Lesson, lesson
from hedgerow.learn.matching import match
from hedgerow.learn.networks.saving import load_segmenter, save_network, save_ours
from hedgerow.learn.networks.segmenter import Seen
from hedgerow.learn.pretrain import network_of
from hedgerow.learn.scenes import _things, made_scenes
from hedgerow.learn.sittings import read_checkpoint
from hedgerow.learn.views import MEAN, STD, View, draw, middles
from hedgerow.measure import measure_masks
from hedgerow.photos import find_photos, open_photo
from hedgerow.predict import predict
from references.in_torch import InTorch

CPU = torch.device("cpu")
SMALL = Pretrain(network=Form(kind="pyramid", dim=32, widths=(16, 24, 32, 48), depths=(1, 1, 1, 1)))
TINY = replace(COURSES["tiny"], workers=1, quiet=True, save=1e9)
NESTED = ((4, 4, 40, 28, -1), (8, 8, 14, 18, 0), (24, 10, 16, 14, 0), (36, 38, 24, 24, -1), (40, 42, 12, 12, 3))


def nested():
    """Two things with parts, plain colours on grey."""
    pixels, masks = np.full((64, 64, 3), 120, np.uint8), []
    colours = np.random.default_rng(0).integers(0, 256, (len(NESTED), 3))
    for (top, left, height, width, _), colour in zip(NESTED, colours, strict=True):
        mask = np.zeros((64, 64), bool)
        mask[top : top + height, left : left + width] = True
        pixels[mask] = colour
        masks.append(mask)
    return pixels, MaskForest.from_nested((64, 64), MaskForest.from_masks(masks).rles, [row[4] for row in NESTED])


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trunk") / "backbone"
    return str(save_network(network_of(SMALL, torch.Generator().manual_seed(0)).eval(), folder, MEAN, STD))


def stored(folder, labels):
    store = LabelStore(folder)
    store.claim(Collection(tuple(label.key for label in labels), (str(folder.parent / "photos"),), {}))
    store.write(0, labels)
    return store


def shelves_of(folder, labels, batch=3, memory=1.0):
    config = replace(TINY, side=64, memory=memory, batch=batch)
    return labelled_shelves(find_photos([folder]), stored(folder / "labels", labels), config, device=CPU, workers=0)


@pytest.fixture
def shelves(tmp_path):
    pixels, forest = nested()
    labels = [Label("bad", "bad.png", "", None, "broken"), Label("gone", "gone.png", "", forest)]
    for number in range(3):
        Image.fromarray(np.roll(pixels, number, 2)).save(tmp_path / f"{number}.png")
        labels.append(Label(str(number), f"{number}.png", "", forest))
    return shelves_of(tmp_path, labels)


def looked(shelves, rows, seed=1, **how):
    generator = torch.Generator().manual_seed(seed)
    seeds = torch.randint(2**62, (len(rows),), generator=generator)
    return lesson(shelves.at(0).shelf, torch.tensor(rows), draw(len(rows), generator), seeds, size=64, **how)


# ---------------------------------------------------------------------- lessons


def test_ancestors_are_the_transitive_closure():
    """C in B in A, and D alone: exactly three pairs."""
    inside = ancestors_of(np.array([-1, 0, 1, -1]))
    assert inside.nonzero()[0].tolist() == [1, 2, 2]
    assert inside.nonzero()[1].tolist() == [0, 0, 1]


def test_ancestors_among_some_by_walking_up():
    generator = np.random.default_rng(0)
    parent = np.array([-1, *(generator.integers(-1, row) for row in range(1, 40))])
    for count in (0, 1, 12, 40):
        rows = generator.permutation(40)[:count]
        for some, row in zip(ancestors_of(parent, rows), rows, strict=True):
            above, line = parent[row], []
            while above >= 0:
                line.append(above)
                above = parent[above]
            assert some.tolist() == [one in line for one in rows]


def test_labels_of_other_photos_teach_nothing(tmp_path):
    pixels, forest = nested()
    Image.fromarray(pixels).save(tmp_path / "here.png")
    with pytest.raises(CallerError, match="no label is of any of the 1 photos: give the photos"):
        shelves_of(tmp_path, [Label("gone", "gone.png", "", forest)])


def test_photos_may_have_moved_since(tmp_path):
    """Their keys were begun below another folder: the last part tells, unless it is that of two."""
    pixels, forest = nested()
    (tmp_path / "now").mkdir()
    for name in "ab":
        Image.fromarray(pixels).save(tmp_path / "now" / f"{name}.png")
    labels = [Label(f"then/{name}", f"then/{name}.png", "", forest) for name in "bca"]
    shelves = shelves_of(tmp_path, labels)
    assert len(shelves) == 2
    assert [(photo.key, row.label().key) for photo, row in shelves.items] == [("now/b", "then/b"), ("now/a", "then/a")]
    with pytest.raises(CallerError, match="no label is of any"):
        shelves_of(tmp_path / "now", [*labels, Label("other/a", "other/a.png", "", forest)])


def test_a_store_larger_than_memory_comes_in_parts(tmp_path):
    """Each photo with its own regions, though a shard holds some of several parts."""
    _, forest = nested()
    labels = []
    for number in range(12):
        Image.fromarray(np.full((64, 64, 3), 10 * number, np.uint8)).save(tmp_path / f"{number:02}.png")
        labels.append(Label(f"{number:02}", f"{number:02}.png", "", forest.select(range(1 + number % 5))))
    shelves = shelves_of(tmp_path, labels, batch=2, memory=6 * (3 * 64**2 + ROOM) / 2**30)
    met = []
    for step in range(6):
        taken = shelves.at(step)
        assert len(taken.shelf) == 3
        for row, number in zip(taken.rows.tolist(), taken.numbers.tolist(), strict=True):
            assert taken.shelf.photos[row].unique().tolist() == [10 * number]
            assert len(taken.shelf.forests.parent[row]) == 1 + number % 5
            met.append(number)
    assert len(set(met[:8])) == 8, "none twice before all shelves were there"


def test_banks_hold_photos_and_regions(shelves):
    pixels, forest = nested()
    assert len(shelves) == 3
    bank = shelves.at(0).shelf
    assert np.array_equal(bank.photos[0].numpy(), pixels.transpose(2, 0, 1))
    masks = bank.forests.held[0].T[:, bank.forests.pieces[0].long()]
    at = ((np.arange(PIECES) + 0.5) * 64 / PIECES).astype(int)
    for mask, region in zip(masks.numpy(), forest.masks(), strict=True):
        assert np.array_equal(mask, region[at[:, None], at])
    assert bank.forests.parent[0].tolist() == forest.parent.tolist()
    places = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    held = bank.forests.at(0, places)
    assert torch.equal(bank.forests.areas(0, places), held.sum(1))
    assert torch.equal(bank.forests.at(0, places, torch.tensor([2, 0])), held[[2, 0]])


def test_a_view_shows_the_regions_where_they_are(shelves):
    """What is asked of a view is the regions looked up at its cells, one by one."""
    _, forest = nested()
    shown = looked(shelves, [0, 1], share=(0.4, 0.9), most=3)
    assert shown.view.pixels.shape == (2, 3, 64, 64)
    places = middles(shown.view, 64 // CELL)
    for number, asked in enumerate(shown.asked):
        assert asked.regions.shape[0] <= 3
        at = (places[number] * 64).long().clamp(0, 63).numpy()
        whole = torch.cat([asked.regions, asked.others]).numpy() > 0
        truth = np.stack([mask[at[:, 0], at[:, 1]] for mask in forest.masks()])
        for region in whole:
            same = (truth == region).mean(1)
            assert same.max() > 0.95
        found = [int((truth == region).mean(1).argmax()) for region in asked.regions.numpy() > 0]
        for i, one in enumerate(found):
            for j, other in enumerate(found):
                assert bool(asked.ancestors[i, j]) == (other in forest.ancestors(one))


def test_a_scene_is_exact(shelves):
    shown = looked(shelves, [0, 1, 2], share=(0.8, 1.0), most=8)
    beside = looked(shelves, [1, 0], seed=2, share=(0.8, 1.0), most=8)
    scenes = made_scenes(shown, torch.tensor([0, 2]), [beside], torch.tensor([3, 4]))
    assert torch.equal(scenes.view.pixels[1], shown.view.pixels[1])
    assert scenes.asked[1] is shown.asked[1]
    for number in (0, 2):
        asked = scenes.asked[number]
        assert len(asked.regions) >= 1
        changed = (scenes.view.pixels[number] - shown.view.pixels[number]).abs().sum(0) > 1e-3
        cells = torch.nn.functional.max_pool2d(changed[None].float(), CELL)[0].flatten() > 0
        assert (asked.regions.amax(0) <= cells.float()).all(), "only what was pasted is asked for"
        both = asked.regions @ asked.regions.T
        share = both / asked.regions.sum(1, keepdim=True)
        for i, j in asked.ancestors.nonzero().tolist():
            assert share[i, j] > 0.8, "a part lies in its whole"
        apart = ~(asked.ancestors | asked.ancestors.T | torch.eye(len(both), dtype=torch.bool))
        assert not both[apart].any(), "what lies on top takes its place"
        assert len(asked.others) == len(shown.asked[number].regions) + len(shown.asked[number].others)


def test_what_is_worth_pasting():
    """Of a view of 16 x 16 cells: too small, a square, a frame, most of the view."""
    cells = torch.zeros(4, 16, 16)
    cells[0, 3, 3:5] = 1
    cells[1, 2:8, 5:9] = 1
    cells[2, 2:14, 2:14] = 1
    cells[2, 3:13, 3:13] = 0
    cells[3, :14] = 1
    side = 16 * CELL
    view = View(
        torch.arange(float(side * side)).view(1, 1, side, side).expand(1, 3, -1, -1), torch.zeros(0), torch.zeros(0)
    )
    nothing = torch.zeros(0)
    (thing,) = _things(Lesson(view, [Asked(cells.flatten(1), nothing, nothing)]), 0)
    colours, share = thing.cut()
    assert torch.equal(colours, view.pixels[0, :, 2 * CELL : 8 * CELL, 5 * CELL : 9 * CELL])
    assert torch.equal(share, torch.ones(1, 6 * CELL, 4 * CELL))


# ---------------------------------------------------------------------- corrections


def test_the_threshold_rises_with_size():
    area = torch.tensor([0.0, 0.001, 0.01, 0.03, 0.5])
    assert threshold(area, 0.7).tolist() == pytest.approx([0.3, 0.373, 0.646, 0.699, 0.7], abs=2e-3)
    assert height_of(torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.5, 0.5, 0.001])) == pytest.approx(0.1 + 0.65 * 0.4)


def test_whose_labels_count():
    assert weights_at(0.25, 0.5) == (1.0, 0.0)
    assert weights_at(0.25, 0.75) == (1.0, 2.0)
    assert weights_at(0.25, 1.0) == pytest.approx((0.0, 3.0))
    assert weights_at(0.0, 1.0) == (1.0, 0.0)


def test_a_teacher_is_sure_of_some():
    """Of two nearly the same masks the surer stays; who is inside whom follows from the masks."""
    masks = torch.full((1, 4, 8, 8), -6.0)
    masks[0, 0, :6, :6] = masks[0, 1, :6, :6] = masks[0, 2, 1:4, 1:4] = masks[0, 3, 7, 6:] = 6.0
    found = torch.tensor([[2.0, 1.0, 1.5, 3.0]])

    def teacher(pixels):
        return Seen(found, masks, torch.zeros(1, 4, 4))

    (asked,), taken = corrections(teacher, torch.zeros(1, 3, 32, 32), fixed=0.5)
    assert taken == 2
    assert asked.regions.sum(1).tolist() == [36, 9]  # the last is too small to be asked for
    assert asked.ancestors.tolist() == [[False, False], [True, False]]
    assert scores(found[0], masks[0].flatten(1))[0] == pytest.approx(float(torch.tensor(2.0).sigmoid()), abs=0.01)
    (asked,), _ = corrections(teacher, torch.zeros(1, 3, 32, 32), fixed=0.99)
    assert len(asked.regions) == 0


# ---------------------------------------------------------------------- learning


def test_gradients_go_to_all_of_the_student_and_none_of_the_teacher(shelves, trunk):
    course = begin(TINY, CPU, trunk)
    course.student.train()
    shown = looked(shelves, [0, 1], share=(0.9, 1.0), most=8)
    losses = asked_losses(*course.student.every(shown.view.pixels), shown.asked)
    sum(losses.values()).backward()
    used = {name for name, p in course.student.named_parameters() if p.grad is not None and p.grad.any()}
    unused = {name for name, _ in course.student.named_parameters()} - used
    assert all(name.startswith("trunk.neck.") for name in unused), unused  # the segmenter has maps of its own
    assert all(p.grad is None for p in course.teacher.parameters())
    nothing = [Asked(one.regions[:0], one.ancestors[:0, :0], one.others[:0]) for one in shown.asked]
    losses = asked_losses(*course.student.every(shown.view.pixels), nothing)
    assert all(value.item() == 0 for value in losses.values())


def test_made_scenes_alone_come_first_where_asked_for(shelves, trunk):
    """A share of 0.5 of two steps is the first of them."""
    config = replace(TINY, steps=2, batch=3, correct=0.0, scenes=0.0, scenes_first=0.5)
    course = begin(config, CPU, trunk)
    course.steps = 2
    plain = replace(config, scenes_first=0.0)
    for step, differ in ((0, True), (1, False)):
        course.step = step
        one, other = (_shown(each, course, shelves, correcting=False).view.pixels for each in (config, plain))
        assert torch.equal(one, other) is not differ


@pytest.mark.parametrize(("share", "places"), [(0.0, []), (0.1, []), (0.25, [1]), (0.5, [0, 2]), (1.0, [0, 1, 2])])
def test_scenes_are_a_share_of_the_views(shelves, trunk, share, places):
    """Of few views it may be none."""
    config = replace(TINY, steps=2, batch=3, scenes=0.0)
    course = begin(config, CPU, trunk)
    one, other = (
        _shown(each, course, shelves, correcting=False).view.pixels for each in (config, replace(config, scenes=share))
    )
    assert [place for place in range(3) if not torch.equal(one[place], other[place])] == places


def test_the_teacher_follows(trunk):
    course = begin(TINY, CPU, trunk)
    before = {name: value.clone() for name, value in course.teacher.state_dict().items()}
    for p in course.student.parameters():
        p.data += 1
    course.step = 10_000
    follow(course, 0.9)
    for name, value in course.teacher.named_parameters():
        assert torch.allclose(value, before[name] + 0.1, atol=1e-5)


def test_one_photo_learned_by_heart(trunk, tmp_path):
    """Masks, and who is inside whom."""
    pixels, forest = nested()
    config = replace(TINY, steps=260, batch=2, share=(1.0, 1.0), scenes=0.0, correct=0.0, momentum=0.9)
    course = begin(config, CPU, trunk)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    one = shelves_of(tmp_path, [Label("one", "one.png", "", forest)], batch=2)
    train(config, course, one, CPU, lambda *_: None)
    model = InTorch(save_ours(course.student, tmp_path / "student", MEAN, STD), 64)
    found = predict(open_photo(pixels), model, Predict(grains=200))
    assert measure_masks(found, forest).recall > 0.9
    seen, masks, contains = map(torch.from_numpy, model.look(pixels))
    truth = torch.nn.functional.avg_pool2d(torch.from_numpy(forest.masks()).float()[None], CELL)[0].flatten(1)
    pairs = match(seen, masks.permute(2, 0, 1).flatten(1), truth)
    best = pairs.q[pairs.t.argsort()]
    inside = (contains[best][:, best] > 0).numpy() & ~np.eye(len(best), dtype=bool)
    assert np.array_equal(inside, ancestors_of(forest.parent))


@pytest.fixture
def labels(tmp_path):
    """A store of three photos, beside them."""
    return labels_of(tmp_path, [nested()[1]] * 3)


def labels_of(folder, forests):
    pixels, _ = nested()
    (folder / "photos").mkdir()
    for number in range(len(forests)):
        Image.fromarray(np.roll(pixels, number, 2)).save(folder / "photos" / f"{number}.png")
    stored(folder / "labels", [Label(f"{n}", f"{n}.png", "", forest) for n, forest in enumerate(forests)])
    return folder / "labels"


def said(run):
    """Losses of its steps, by name."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name not in ("seconds", "time", "photos/s")} for line in lines]


def test_pieces_and_processes_learn_as_one(labels, trunk, tmp_path):
    """A step's views looked at in three pieces, or by two processes of torchrun: the losses are the same numbers."""
    config = replace(TINY, steps=4, batch=6, correct=0.5, backbone=trunk)
    sit_course(labels, tmp_path / "one", config)
    sit_course(labels, tmp_path / "pieces", replace(config, accumulate=3))
    code = f"""
import sys
from pathlib import Path
from test_instruct import TINY, replace, sit_course
if __name__ == "__main__":
    config = replace(TINY, steps=4, batch=6, correct=0.5, backbone={trunk!r})
    sit_course(Path({str(labels)!r}), Path(sys.argv[1]), config)
"""
    two_processes(tmp_path, code, tmp_path / "two")
    whole = said(tmp_path / "one")
    assert [line["step"] for line in whole] == [1, 2, 3, 4]
    for way in ("pieces", "two"):
        for line, other in zip(whole, said(tmp_path / way), strict=True):
            assert line == pytest.approx(other, rel=2e-3, abs=1e-4), way


@pytest.fixture
def transformer(tmp_path):
    form = Form(kind="transformer", patch=16, dim=32, depth=2, heads=2)
    network = network_of(Pretrain(network=form), torch.Generator().manual_seed(0))
    return str(save_network(network.eval(), tmp_path / "transformer", MEAN, STD))


class Stopped(Exception):
    pass


def stop(*_):
    raise Stopped


def stop_at_three(course, _):
    if course.step == 3:
        stop()


def test_shares_of_a_network_learn_as_the_whole(transformer, tmp_path):
    """Two processes, each with half of every tensor, in pieces of a view: the losses, checkpoints and networks of one.
    One goes on where two were, and two where one was. Narrow views of one of the photos mostly show nothing, so that a
    process has nothing to ask where the other has; in the last step the teacher corrects."""
    found = nested()[1]
    labels = labels_of(tmp_path, [found, found.select([4]), found])
    config = replace(TINY, steps=4, batch=6, correct=0.25, share=(0.1, 0.3), backbone=transformer)
    sit_course(labels, tmp_path / "whole", config)
    sit_course(labels, tmp_path / "alone", replace(config, sharded=True))
    with pytest.raises(Stopped):
        sit_course(labels, tmp_path / "to two", replace(config, save=0.0), shown=stop_at_three)
    code = f"""
import os, signal, sys
from pathlib import Path
from company import share_kept
from hedgerow.learn.networks.devices import in_company
from test_instruct import CPU, TINY, Stopped, replace, sit_course, stop

def told(course, _):
    if course.step == 2:
        os.kill(os.getpid(), signal.SIGTERM)

if __name__ == "__main__":
    labels, folder = Path({str(labels)!r}), Path(sys.argv[1])
    config = replace(TINY, steps=4, batch=6, correct=0.25, share=(0.1, 0.3), backbone={transformer!r})
    config = replace(config, accumulate=3, sharded=True)
    with in_company(CPU):
        course = sit_course(labels, folder / "shares", config)
        assert 0.45 < share_kept(course.optimizer, course.student, course.teacher) < 0.55
        sit_course(labels, folder / "to two", config, resume=True)
        signal.signal(signal.SIGTERM, stop)  # the first process is told; both save, and stop
        try:
            sit_course(labels, folder / "to one", config, shown=told)
        except Stopped:
            sys.exit(0)
        sys.exit("it was not stopped")
"""
    two_processes(tmp_path, code, tmp_path)
    assert read_checkpoint(tmp_path / "to one" / "checkpoint.pt")["step"] == 2
    sit_course(labels, tmp_path / "to one", config, resume=True)
    for run in ("alone", "shares", "to two", "to one"):
        for line, other in zip(said(tmp_path / "whole"), said(tmp_path / run), strict=True):
            assert line == pytest.approx(other, rel=2e-3), run
        one, other = (load_segmenter(tmp_path / name / "segmenter" / "instructed")[0] for name in ("whole", run))
        for name, value in one.state_dict().items():
            assert torch.allclose(value, other.state_dict()[name], atol=2e-4), f"{run}: {name}"
    one, *others = (read_checkpoint(tmp_path / run / "checkpoint.pt") for run in ("whole", "alone", "to one"))
    for other in others:
        for part in ("student", "teacher"):
            for name, value in one[part].items():
                assert torch.allclose(value, other[part][name], atol=2e-4), f"{part}: {name}"
        for number, moments in one["optimizer"]["state"].items():
            for name, value in moments.items():
                apart = (value - other["optimizer"]["state"][number][name]).abs().max()
                assert apart <= 1e-4 * value.abs().max() + 1e-8, f"{number}: {name}"


def test_files_in_which_numbers_stood_alone_are_read(transformer, tmp_path):
    network = begin(replace(TINY, backbone=transformer), CPU, transformer).teacher
    file = save_ours(network, tmp_path / "segmenter", MEAN, STD) / "model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"bias": tensors["bias"].reshape(())}, file)
    assert torch.equal(load_segmenter(tmp_path / "segmenter")[0].bias, network.bias)


def test_stopped_and_gone_on_with_is_as_if_never_stopped(labels, tmp_path, trunk):
    """Across the step at which the teacher begins to correct."""
    config = replace(TINY, steps=6, batch=2, correct=0.5, backbone=trunk)
    whole = sit_course(tmp_path / "labels", tmp_path / "whole", config)

    class Killed(Exception):
        pass

    def kill(course, _):
        if course.step == 3:
            raise Killed

    with pytest.raises(Killed):
        sit_course(tmp_path / "labels", tmp_path / "broken", replace(config, save=0.0), shown=kill)
    broken = sit_course(tmp_path / "labels", tmp_path / "broken", config, resume=True)
    for part in ("student", "teacher"):
        one, other = (getattr(course, part).state_dict() for course in (whole, broken))
        assert all(torch.equal(one[name], other[name]) for name in one)
    timed = sit_course(tmp_path / "labels", tmp_path / "timed", replace(config, steps=0, minutes=0.02))
    assert timed.step == timed.steps
    assert 2 <= timed.steps <= 200
    with pytest.raises(CallerError, match=r"begun with other settings \(rate\)"):
        sit_course(tmp_path / "labels", tmp_path / "broken", replace(config, rate=1.0), resume=True)
    with pytest.raises(CallerError, match="holds a run: --resume"):
        sit_course(tmp_path / "labels", tmp_path / "broken", config)
    for change, told in (
        ({"size": 40}, "--size is a multiple of 32"),
        ({"share": (0.9, 0.1)}, "--share is two shares"),
        ({"minutes": -1.0}, "--minutes is at least 0"),
        ({"scenes_first": 2.0}, r"--scenes-first lies in 0 \.\.\. 1"),
    ):
        with pytest.raises(UsageError, match=told):
            sit_course(tmp_path / "labels", tmp_path / "new", replace(config, **change))
