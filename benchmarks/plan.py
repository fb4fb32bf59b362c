"""What exploring 1, 10 and 1,000 million photos takes: hours, disk, machines, where the limit is (docs/planning.md).

    python benchmarks/plan.py --data DATA         measure what a photo costs here, then plan: two minutes
    python benchmarks/plan.py                     plan with what is written below, as measured when this was written

The plan is a simulation of how the Ray engine hands out blocks: workers of one core, of which some are slow, are lost
and come back; what a lost one had is done again; one process takes all results and writes the shards.
"""

import argparse
import heapq
import itertools
import pickle
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory

import numpy as np

from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.data.shards import SHARD
from hedgerow.engines.cluster import BLOCK
from hedgerow.photos import find_photos, open_photo
from hedgerow.pipeline import segment


@dataclass(frozen=True)
class Costs:
    """Of one photo: seconds of a worker, their spread, seconds of the process that takes results, bytes of its row."""

    seconds: float = 3.21
    spread: float = 0.25
    taking: float = 0.007
    bytes: float = 113_000


@dataclass(frozen=True)
class Fleet:
    """Workers of a core each. Some are slow all along; each is lost so often an hour, and away so many seconds."""

    workers: int
    slow: float = 0.05
    slowness: float = 3.0
    losses: float = 0.05
    away: float = 120.0


@dataclass(frozen=True)
class Outcome:
    hours: float
    busy: float  # share of the workers' time that is spent on photos that count
    lost: int  # blocks that were done again
    tail: float  # minutes at the end in which not all workers had something to do
    behind: float  # share of the time, at the end, in which all was done and results were still being taken


PLANS = {
    "1 million, one machine of 16 cores": (1_000_000, 1, Fleet(16, slow=0, losses=0)),
    "1 million, 100 cores": (1_000_000, 1, Fleet(100)),
    "10 million, 200 cores": (10_000_000, 1, Fleet(200)),
    "10 million, 1,000 cores": (10_000_000, 1, Fleet(1000)),
    "1,000 million, 100 runs of 500 cores": (1_000_000_000, 100, Fleet(500)),
}
SAMPLE = 1_000_000  # photos of a run that are simulated; a longer run is as many times as long, but for its end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="photos to measure what one costs (default: as it was measured)")
    parser.add_argument("--count", type=int, default=40, help="of them")
    given = parser.parse_args()
    costs = Costs() if given.data is None else measure(given.data, given.count)
    print(f"a photo: {costs.seconds:.2f} s (+- {costs.spread:.2f}) of a core, {costs.bytes / 1e3:.0f} kB of a store,")
    print(f"{1e3 * costs.taking:.1f} ms of whoever takes results, who keeps up with {workers_kept(costs):.0f} workers")
    print(f"\n{'':38}{'hours':>8}{'busy':>7}{'again':>8}{'tail min':>10}{'behind':>9}{'TB':>7}")
    for name, (photos, runs, fleet) in PLANS.items():
        found = planned(photos // runs, costs, fleet)
        disk = photos * costs.bytes / 1e12
        print(
            f"{name:38}{found.hours:8.1f}{found.busy:7.0%}{found.lost:8}{found.tail:10.1f}{found.behind:9.0%}{disk:7.2f}"
        )


def workers_kept(costs: Costs) -> float:
    return costs.seconds / costs.taking


def planned(photos: int, costs: Costs, fleet: Fleet, seed: int = 0) -> Outcome:
    """A run of so many photos."""
    some = min(photos, SAMPLE)
    found = simulate(some, costs, fleet, seed)
    body = found.hours - found.tail / 60
    return replace(found, hours=body * photos / some + found.tail / 60, lost=found.lost * photos // some)


def simulate(photos: int, costs: Costs, fleet: Fleet, seed: int = 0) -> Outcome:
    """Every block of a run: who does it, when it is done, and when its result is taken."""
    rng = np.random.default_rng(seed)
    blocks = -(-photos // BLOCK)
    shape = BLOCK * (costs.seconds / costs.spread) ** 2
    work = rng.gamma(shape, BLOCK * costs.seconds / shape, blocks)
    pace = np.where(rng.random(fleet.workers) < fleet.slow, fleet.slowness, 1.0)
    left = [hours_left(rng, fleet) for _ in range(fleet.workers)]
    free = [(0.0, worker) for worker in range(fleet.workers)]  # when each is free, the next first
    waiting = list(range(blocks))[::-1]  # the next last
    done_at, again = np.zeros(blocks), 0
    while waiting:
        now, worker = heapq.heappop(free)
        block = waiting.pop()
        end = now + work[block] * pace[worker]
        if end < left[worker]:
            done_at[block] = end
        else:  # what it had is given out again, and it comes back
            waiting.append(block)
            again += 1
            end = left[worker] + fleet.away
            left[worker] = end + hours_left(rng, fleet)
        heapq.heappush(free, (end, worker))
    taken = 0.0
    for end in np.sort(done_at):
        taken = max(taken, end) + BLOCK * costs.taking
    last, useful = done_at.max(), work.sum()
    tail = (taken - min(at for at, _ in free)) / 60
    return Outcome(taken / 3600, useful / (taken * fleet.workers), again, tail, 1 - last / taken)


def hours_left(rng: np.random.Generator, fleet: Fleet) -> float:
    """Seconds until a worker is lost."""
    return float(rng.exponential(3600 / fleet.losses)) if fleet.losses else np.inf


# ---------------------------------------------------------------------- what a photo costs


def measure(data: Path, count: int) -> Costs:
    """By exploring some photos here, with one core."""
    refs = find_photos([data])
    chosen = refs[:: max(len(refs) // count, 1)][:count]
    seconds, forests = [], []
    for ref in chosen:
        start = time.process_time()  # of the processor: a busy machine costs no more
        forests.append(segment(open_photo(ref).pixels))
        seconds.append(time.process_time() - start)
    labels = [Label(ref.key, ref.name, "0" * 64, forest) for ref, forest in zip(chosen, forests, strict=True)]
    keys = tuple(str(number) for number in range(SHARD))
    rows = list(itertools.islice(itertools.cycle(labels), SHARD))
    with TemporaryDirectory() as scratch:
        store = LabelStore(scratch)
        store.claim(Collection(keys, (), {}))
        sent = [pickle.dumps(row) for row in rows]
        start = time.process_time()
        store.write(0, [pickle.loads(row) for row in sent])
        taking = (time.process_time() - start) / SHARD
        size = (Path(scratch) / store.name_of(0)).stat().st_size / SHARD
    return Costs(mean(seconds), stdev(seconds), taking, size)


if __name__ == "__main__":
    main()
