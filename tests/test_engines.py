"""Work shared out: every item is answered for, whatever becomes of the process that had it."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from multiprocessing import active_children

import pytest

from hedgerow.config import CallerError
from hedgerow.engines import THREADS, WorkerError, in_order, one_thread, share_out


class OutOfMemoryError(RuntimeError):
    """As torch calls it, which is not here."""


def doubler(item: int | str) -> int:
    """What a worker does with an item; some are made to go wrong."""
    if item == "mistake":
        raise CallerError("a mistake of the caller's")
    if item == "fault":
        raise ZeroDivisionError("a fault\nof two lines")
    if item == "memory":
        raise MemoryError
    if item == "graphics memory":
        raise OutOfMemoryError
    if item == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "exit":
        os._exit(3)
    return 2 * int(item)


def make_doubler():
    return doubler


def make_teller():
    return lambda _: {name: os.environ.get(name) for name in THREADS}


def make_sleeper(path, leaving):
    def sleep(_):
        try:
            path.touch()
            time.sleep(60)
        finally:
            path.with_suffix(".leaving").touch()
            time.sleep(leaving)
            path.unlink()

    return sleep


def make_nothing():
    raise CallerError("there are no weights")


def killed_at_once():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_item_is_answered_for(workers):
    outcomes = share_out(make_doubler, [1, "mistake", 3, "fault", "memory", 6, "graphics memory"], workers)
    one, mistake, three, fault, memory, six, graphics = in_order(outcomes)
    assert (one, three, six) == (2, 6, 12)
    assert type(mistake) is CallerError
    assert str(mistake) == "a mistake of the caller's"
    assert isinstance(fault, WorkerError)
    assert str(fault) == "a fault of Hedgerow's, ZeroDivisionError: a fault of two lines"
    assert "doubler" in fault.details  # the traceback, which must survive the way between processes
    assert "does not fit in memory" in str(memory)
    assert str(graphics) == str(memory)


def test_a_process_that_dies_takes_one_item_with_it():
    outcomes = list(in_order(share_out(make_doubler, [1, "killed", 3, "exit", 5], 1)))
    assert [outcomes[i] for i in (0, 2, 4)] == [2, 6, 10]
    assert "SIGKILL, as when memory runs out" in str(outcomes[1])
    assert "status 3" in str(outcomes[3])


def test_what_fails_in_every_process_is_raised():
    with pytest.raises(CallerError, match="no weights"):
        list(share_out(make_nothing, [1, 2], 2))
    with pytest.raises(WorkerError, match=r"no worker can start.*SIGKILL"):
        list(share_out(killed_at_once, [1, 2], 1))


def test_workers_compute_with_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    ((_, told),) = share_out(make_teller, ["item"], 1)
    assert set(told.values()) == {"1"}
    with one_thread():
        assert os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_closing_drops_what_is_under_way_in_good_order(tmp_path):
    """The worker leaves by way of its `finally`, so nothing half-written stays."""
    busy = tmp_path / "busy"
    outcomes = share_out(partial(make_first_then_sleeper, busy), ["first", "second"], 1)
    assert next(outcomes) == (0, "done")
    while not busy.exists():
        time.sleep(0.01)
    start = time.perf_counter()
    outcomes.close()
    assert time.perf_counter() - start < 5
    assert not busy.exists()


def test_a_terminal_and_the_run_may_both_tell_a_worker_to_leave(tmp_path, capfd):
    """The second signal does not break into what the first one set going."""
    busy = tmp_path / "busy"
    outcomes = share_out(partial(make_first_then_sleeper, busy, leaving=0.5), ["first", "second"], 1)
    next(outcomes)
    while not busy.exists():
        time.sleep(0.01)
    (worker,) = active_children()
    os.kill(worker.pid, signal.SIGTERM)
    while not busy.with_suffix(".leaving").exists():
        time.sleep(0.01)
    outcomes.close()  # sends its own
    assert worker.exitcode == 0
    assert not busy.exists()
    assert capfd.readouterr().err == ""


def make_first_then_sleeper(path, leaving=0.0):
    sleep = make_sleeper(path, leaving)
    return lambda item: "done" if item == "first" else sleep(item)


def test_order():
    assert list(in_order(iter([(1, "b"), (2, "c"), (0, "a"), (3, "d")]))) == ["a", "b", "c", "d"]
