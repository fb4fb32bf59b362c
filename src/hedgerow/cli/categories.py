"""hedgerow cluster, index and search: the segments of a collection, sorted, and found by what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from hedgerow.cli.filling import filling
from hedgerow.cli.telling import count, duration, name_bad, one_line, say, stopped, watched
from hedgerow.config import CallerError, Cluster, Index, Search, UsageError

if TYPE_CHECKING:
    from hedgerow.config import Gather
    from hedgerow.gathering import Gathering
    from hedgerow.searching import Asked
    from hedgerow.sorting import Sorted


def cluster(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")] = (),
    /,
    k: Annotated[str | None, arg(aliases=("-k",), metavar="K|auto")] = None,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None,
    run: Annotated[Cluster, arg(name="")] = Cluster(),  # noqa: B008
) -> int:
    """Sort the segments of photos into categories that nobody named.

    OUT gets label maps, a table of all segments, a sheet a category for a person to name.

    New photos are sorted the same way by hedgerow segment --categories OUT.

    The same command with another -k looks at no photo again; one that was stopped goes on.

    Args:
        inputs: photos, folders, globs, or tars of photos
        k: how many categories; auto takes the most on which halves of the segments agree
        output: the folder of the categories
    """
    if output is None or k is None:
        raise UsageError("categories need a folder and how many they are: -k K -o OUT")
    _check_packages()
    from hedgerow.sorting import categories_asked, sort_segments

    asked = categories_asked(k)
    for name, least in (("dims", 1), ("shown", 0)):
        if getattr(run, name) < least:
            raise UsageError(f"--{name} is at least {least}, got {getattr(run, name)}")
    start = perf_counter()
    planned = _gathered(inputs, output, run)
    if isinstance(planned, int):
        return planned
    try:
        found = sort_segments(planned, asked, run, partial(watched, quiet=run.quiet, name="categories"))
    except KeyboardInterrupt as stop:
        return stopped(stop, "stopped: all segments are gathered; the same command sorts them")
    if not run.quiet:
        _sum_up(found, output, perf_counter() - start)
    return 0


def index(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="INDEX")] = None,
    run: Annotated[Index, arg(name="")] = Index(),  # noqa: B008
) -> int:
    """Make the segments of photos searchable by what they look like.

    INDEX gets the segments with their vectors, boxes and thumbnails, and an index of them: hedgerow search INDEX.

    A run that was stopped goes on where it was when the same command is given again.

    Args:
        inputs: photos, folders, globs, or tars of photos
        output: the folder of the index
    """
    if output is None:
        raise UsageError("an index needs a folder: -o INDEX")
    _check_packages()
    from hedgerow.searching import write_index

    start = perf_counter()
    planned = _gathered(inputs, output, run)
    if isinstance(planned, int):
        return planned
    made = write_index(planned)
    if not run.quiet:
        told = f"{count(len(made), 'segment')} of {count(len(planned.photos))} in {output}"
        print(one_line(f"{told}; {duration(perf_counter() - start)}"))
    return 0


def search(
    folder: Annotated[Positional[Path | None], arg(metavar="INDEX")] = None,
    /,
    like: Annotated[str | None, arg(metavar="PHOTO[@X,Y]")] = None,
    number: Annotated[int, arg(aliases=("-n",), metavar="N")] = 40,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None,
    run: Annotated[Search, arg(name="")] = Search(),  # noqa: B008
) -> int:
    """Find segments that look like one of a photo.

    What is found is printed as CSV; OUT gets it as found.csv and, as a sheet to look at, found.png.

    Args:
        folder: what hedgerow index made
        like: the photo, and the pixel its region is at (default: the region that stands out most)
        number: segments that are found at most
        output: a folder for the table and the sheet
    """
    if folder is None or like is None:
        raise UsageError("a search needs an index and what is asked about: hedgerow search INDEX --like PHOTO@X,Y")
    _check_packages()
    from hedgerow.searching import SegmentIndex, like_asked, table_of, write_found

    asked_about = like_asked(like)
    opened = SegmentIndex(folder)
    asked = opened.ask(asked_about, run)
    hits = opened.search(asked, number, run)
    if not run.quiet:
        for line in _levels(asked):
            say(line)
    print(_printable(table_of(hits)), end="")
    if output is not None:
        table, sheet = write_found(output, asked, hits, opened.store)
        if not run.quiet:
            say(f"written to {table} and {sheet}")
    if not hits:
        say(f"nothing there is as much alike as --min-score {run.min_score:g}")
    return 0


def _check_packages() -> None:
    """Before any photo is looked at."""
    for name in ("faiss", "pyarrow"):
        try:
            __import__(name)
        except ModuleNotFoundError:
            raise CallerError(f"categories need {name}: install hedgerow with its extra [categories]") from None


def _gathered(inputs: Sequence[Path], output: Path, run: Gather) -> Gathering | int:
    """The segments of all photos, or the exit status of a run that ended before."""
    from hedgerow.gathering import plan_segments

    planned = plan_segments(inputs, output, run)
    filled = filling(planned)
    if isinstance(filled, int):
        return filled
    name_bad(filled.bad, filled.total, None)
    if filled.bare:
        say(f"{count(filled.bare)} without a segment: no label is there of what stands out")
    return planned if filled.done else 1


def _sum_up(found: Sorted, output: Path, seconds: float) -> None:
    for k, score in found.tried.items():
        print(f"{k:6} categories: halves agree to {score:.3f}")
    told = f"{count(len(found.of), 'segment')} in {len(found.categories)} categories"
    print(one_line(f"{told}, in {output}; {duration(seconds)}"))
    print(one_line(f"what they are: {output / 'overview.png'}, and a sheet each"))


def _levels(asked: Asked) -> list[str]:
    """The regions that may be meant, and which one is."""
    regions, lines = asked.regions, []
    for level in range(len(regions)):
        share = regions.areas[level] / (regions.size[0] * regions.size[1])
        chosen = " <- asked about" if level == asked.level else ""
        lines.append(f"--level {level}: {share:.1%} of the photo, score {regions.score[level]:.2f}{chosen}")
    return lines


def _printable(text: str) -> str:
    return "".join(one_line(line) + "\n" for line in text.splitlines())
