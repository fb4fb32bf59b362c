"""The Ray engine: items as a Ray data set, worked on by an actor a core, of this machine or of a cluster.

Ray gives what a cluster needs: blocks of items go to whoever is free, results that nobody has fetched yet hold the work
back or spill to disk, and what a lost machine had is done again elsewhere. Blocks come back in the items' order. The
work itself is done by a process beside each actor, as in the local engine, so that an item which kills its process is
told of and not tried for ever.

The cluster is found as Ray finds it: the one that this process has joined, that of RAY_ADDRESS, or one made of this
machine for as long as the work takes. Each of its machines has Hedgerow, and the photos and results at the same places.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from hedgerow.config import CallerError
from hedgerow.engines.processes import Companion, deaf_to_ctrl_c, one_thread

BLOCK = 16  # items at most that are given out, fetched, and lost with a machine at once
PATIENCE = 5.0  # seconds in which a cluster answers
TURNS = 8  # blocks a worker has at least, so that all of them end at about the same time

T = TypeVar("T")
R = TypeVar("R")


def share_out_there(
    make: Callable[[], Callable[[T], R]], items: Sequence[T], workers: int | None
) -> Generator[tuple[int, R | CallerError]]:
    """`share_out` (hedgerow.engines) by so many actors, by default one a core of the cluster."""
    ray = _ray()
    import pyarrow
    from ray import data

    with _joined(ray, workers):
        crew = max(1, min(workers or int(ray.cluster_resources().get("CPU", 1)), len(items)))
        block = max(1, min(BLOCK, len(items) // (crew * TURNS)))
        blocks = [
            pyarrow.table({"item": [pickle.dumps(item) for item in items[start : start + block]]})
            for start in range(0, len(items), block)
        ]
        context = data.DataContext.get_current().copy()
        context.enable_progress_bars = False  # ours counts photos
        context.execution_options.preserve_order = True
        with data.DataContext.current(context):
            done = data.from_arrow(blocks).map_batches(
                _Actor,
                fn_constructor_args=(pickle.dumps(make),),
                batch_size=None,
                batch_format="pyarrow",
                compute=data.ActorPoolStrategy(size=crew),
                num_cpus=1,
            )
            place = 0
            rows: Any
            for rows in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for outcome in map(pickle.loads, rows["outcome"].to_pylist()):
                    if isinstance(outcome, _Unmade):
                        raise outcome.error
                    yield place, outcome
                    place += 1


class _Actor:
    """Loads what the work needs once, then answers blocks of items."""

    def __init__(self, make: bytes) -> None:
        self._answer: Callable[[Any], Any]
        try:
            self._answer = Companion(pickle.loads(make))
        except CallerError as error:
            unmade = _Unmade(error)
            self._answer = lambda _: unmade

    def __call__(self, rows: Any) -> Any:
        import pyarrow

        outcomes = [pickle.dumps(self._answer(pickle.loads(item))) for item in rows["item"].to_pylist()]
        return pyarrow.table({"outcome": pyarrow.array(outcomes, pyarrow.large_binary())})


class _Unmade:
    """In place of a result: what the work needs could not be loaded, as it cannot in any other process."""

    def __init__(self, error: CallerError) -> None:
        self.error = error


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise CallerError(f"--engine ray needs Ray ({error}): install hedgerow with its extra [scale]") from None
    return ray


def _knock(address: str) -> None:
    """That somebody is there: Ray itself would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
        except (OSError, OverflowError) as error:
            told = f"no Ray cluster answers at RAY_ADDRESS, {address} ({error})"
            raise CallerError(f"{told}: `ray start --head` starts one, and tells its address") from None


@contextmanager
def _joined(ray: Any, workers: int | None) -> Iterator[None]:
    """Inside, this process is part of a cluster."""
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.data"):  # Ray keeps its own logs in its folder
        logging.getLogger(name).setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS")
    here = {} if address else {"num_cpus": workers, "include_dashboard": False}
    _knock(address or "")
    try:
        with one_thread(), deaf_to_ctrl_c():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **here)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CallerError(f"no Ray cluster can be joined or started ({reason}): see `ray status`") from None
    try:
        yield
    finally:
        ray.shutdown()
