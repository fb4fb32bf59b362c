"""Work shared out over items, by processes of this machine or by a Ray cluster. The work is the same function.

In: a picklable `make`, called once in each process to load what the work needs, and the items. Out: each item's place
and result as they are done, or the error it met: all are answered for, whatever became of the process that had one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Literal, TypeVar

from hedgerow.config import CallerError
from hedgerow.engines.processes import (
    THREADS,
    WorkerError,
    deaf_to_ctrl_c,
    epitaph,
    one_thread,
    outcome_of,
    share_out_here,
    usable_cores,
)

__all__ = [
    "THREADS",
    "Engine",
    "WorkerError",
    "deaf_to_ctrl_c",
    "epitaph",
    "in_order",
    "one_thread",
    "share_out",
    "usable_cores",
]

T = TypeVar("T")
R = TypeVar("R")

Engine = Literal["local", "ray"]


def share_out(
    make: Callable[[], Callable[[T], R]], items: Sequence[T], workers: int | None = None, engine: Engine = "local"
) -> Generator[tuple[int, R | CallerError]]:
    """(place, result or error) of every item, in the order in which they are done.

    `workers` processes, by default one a core of all that the engine has; with 0 the work is done in this process.
    Close the iterator to end early: what is under way is dropped.
    """
    if workers is not None and workers < 1:
        work = make()
        yield from ((place, outcome_of(work, item)) for place, item in enumerate(items))
    elif engine == "local":
        yield from share_out_here(make, items, workers or usable_cores())
    else:
        from hedgerow.engines.cluster import share_out_there  # ray takes seconds to import

        yield from share_out_there(make, items, workers)


def in_order(outcomes: Iterator[tuple[int, R]]) -> Iterator[R]:
    """The results in the order of their items; those that are early wait."""
    early: dict[int, R] = {}
    following = 0
    for place, result in outcomes:
        early[place] = result
        while following in early:
            yield early.pop(following)
            following += 1
