"""The Ray engine against the local one. One cluster of two workers serves all tests here: it takes seconds to begin."""

from __future__ import annotations

import os
import signal
import socket
import time
import warnings
from pathlib import Path

import pytest

from faulty import FULL, contents, paint
from hedgerow.config import CallerError, Explore, Gather, Labelling, Segment, Zoom
from hedgerow.engines import WorkerError, in_order, share_out
from hedgerow.filling import fill
from hedgerow.gathering import plan_segments
from hedgerow.labelling import plan_labels
from hedgerow.pipeline import Failed, plan, segment_photos
from test_engines import make_doubler, make_nothing, make_teller

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
QUICK = Explore(grains=60, zoom=Zoom(windows=0), max_masks=20)
pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's own
at_length = pytest.mark.skipif(not FULL, reason="make test-faults")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = str(Path(__file__).parent)  # where workers find what they unpickle
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()


def test_a_cluster_that_is_not_there_is_told_of_at_once(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # where nobody listens
        for name in (address, f"ray://{address}"):
            monkeypatch.setenv("RAY_ADDRESS", name)
            with pytest.raises(CallerError, match=f"no Ray cluster answers at RAY_ADDRESS, {name} "):
                list(share_out(make_doubler, [1, 2], 2, "ray"))


@at_length
def test_every_item_is_answered_for_as_by_local_processes():
    items = [1, "mistake", 3, "fault", "memory", "killed", 7, "exit", *range(30)]
    here, there = (list(in_order(share_out(make_doubler, items, 2, engine))) for engine in ("local", "ray"))
    assert [(type(one), str(one)) for one in here] == [(type(one), str(one)) for one in there]
    assert "doubler" in there[3].details
    assert isinstance(there[5], WorkerError)


@at_length
def test_what_fails_in_every_process_is_raised():
    with pytest.raises(CallerError, match="no weights"):
        list(share_out(make_nothing, [1, 2], 2, "ray"))


@at_length
def test_workers_compute_with_one_thread():
    ((_, told),) = share_out(make_teller, ["item"], 1, "ray")
    assert set(told.values()) == {"1"}


def test_labels_are_the_same_bytes_in_the_order_of_keys(tmp_path):
    """Those of a photo that cannot be opened, too."""
    photos = paint(tmp_path / "photos", 70 if FULL else 12)
    (photos / "0005.png").write_bytes(b"not a photo")
    for engine in ("local", "ray"):
        config = Labelling(workers=2, engine=engine, explore=QUICK, keep_going=True)
        told = list(fill(plan_labels([photos], tmp_path / engine, config)))
        keys = [one.photo.key if isinstance(one, Failed) else one.key for one in told]
        assert keys == sorted(keys)
        assert [one.photo.key for one in told if isinstance(one, Failed)] == ["0005"]
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")


@at_length
def test_results_are_the_same_bytes(tmp_path):
    photos = paint(tmp_path / "photos", 70)
    for engine in ("local", "ray"):
        config = Segment(workers=2, engine=engine, explore=QUICK, formats="forest,overlay,levels")
        assert len(list(segment_photos(plan([photos], tmp_path / engine, config)))) == 70
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")


@at_length
def test_segments_are_the_same_bytes(tmp_path):
    photos = paint(tmp_path / "photos", 70)
    for engine in ("local", "ray"):
        config = Gather(workers=2, engine=engine, backbone="texture", explore=QUICK)
        assert len(list(fill(plan_segments([photos], tmp_path / engine, config)))) == 70
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")


@at_length
def test_workers_are_killed(tmp_path):
    """In the middle: what they had is done again elsewhere, and nothing is lost or there twice."""
    photos = paint(tmp_path / "photos", 300)
    list(fill(plan_labels([photos], tmp_path / "local", Labelling(workers=2, explore=QUICK))))
    killed, keys = 0, []
    for label in fill(plan_labels([photos], tmp_path / "ray", Labelling(workers=2, engine="ray", explore=QUICK))):
        keys.append(label.key)
        if len(keys) % 60 == 0:
            for actor in actors()[: 1 if killed else 2]:
                os.kill(actor, signal.SIGKILL)
                killed += 1
            time.sleep(0.5)
    assert killed >= 3
    assert len(keys) == len(set(keys)) == 300
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")


def actors():
    """The processes of Ray's that work on blocks."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::MapWorker" in place.read_bytes():
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found
