"""What is at a point of a photo, and what fits a box: questions that a photo's forest answers.

In: --points X,Y and --box LEFT,TOP,RIGHT,BOTTOM of one photo, and its forest. Out: the regions, printed and drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hedgerow.cli.telling import count
from hedgerow.config import CallerError, UsageError

if TYPE_CHECKING:
    from hedgerow.forest import MaskForest
    from hedgerow.pipeline import Plan

PICTURE = ".asked.overlay.png"  # its end is that of overlays, which later runs over the folder pass over


@dataclass(frozen=True)
class Questions:
    points: tuple[tuple[int, ...], ...]
    boxes: tuple[tuple[int, ...], ...]

    def __bool__(self) -> bool:
        return bool(self.points or self.boxes)


def questions(points: Sequence[str], boxes: Sequence[str]) -> Questions:
    asked = Questions(
        tuple(_numbers("--points", "X,Y", given) for given in points),
        tuple(_numbers("--box", "LEFT,TOP,RIGHT,BOTTOM", given) for given in boxes),
    )
    for box in asked.boxes:
        if not (box[0] < box[2] and box[1] < box[3]):
            raise UsageError(f"--box is LEFT,TOP,RIGHT,BOTTOM with something in between, got {_text(box)}")
    return asked


def _numbers(name: str, form: str, given: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in given.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != form.count(",") + 1 or min(numbers) < 0:
        raise UsageError(f"{name} takes {form}, pixels of the photo, got {given!r}")
    return numbers


def check_answerable(planned: Plan) -> None:
    """Before any work is done."""
    if len(planned.photos) != 1:
        raise UsageError(f"--points and --box ask about one photo, got {len(planned.photos)}")
    if "forest" not in planned.results.kinds:
        raise UsageError("--points and --box are answered from the forest: leave forest in --formats")


def answer(planned: Plan, asked: Questions) -> Iterator[str]:
    """Lines to print; the regions they tell of are drawn beside the photo's other results."""
    from hedgerow.formats import read_forest

    photo = planned.photos[0]
    forest = read_forest(planned.results.path(photo, "forest"))[0]
    height, width = forest.size
    rows: set[int] = set()
    for place in (*asked.points, *asked.boxes):
        if place[0] >= width or place[1] >= height:
            raise CallerError(f"{_text(place)} lies outside of {photo.name}, which has {width}x{height} pixels")
    for point in asked.points:
        path = _path(forest, point)
        yield f"at {_text(point)}: {count(len(path), 'region')}, each part of the next"
        yield from (_told(forest, row) for row in path)
        rows |= set(path)
    for box in asked.boxes:
        fit = forest.fit(*box)
        best = max(range(len(forest)), key=lambda row: (fit[row], forest.score[row]))
        if fit[best] <= 0:
            yield f"in {_text(box)}: no region"
            continue
        yield f"in {_text(box)}: the region whose own box fits best (IoU {fit[best]:.2f}), and what it is part of"
        path = [best, *forest.ancestors(best)]
        yield from (_told(forest, row) for row in path)
        rows |= set(path)
    if rows:
        yield f"drawn in {_draw(planned, forest, sorted(rows))}"


def _path(forest: MaskForest, point: tuple[int, ...]) -> list[int]:
    """The smallest region that holds the point, and of what that is part those that hold it, too."""
    here = forest.at(*point).tolist()
    return [here[0], *(row for row in forest.ancestors(here[0]) if row in here)] if here else []


def _told(forest: MaskForest, row: int) -> str:
    share, above = forest.areas[row] / (forest.size[0] * forest.size[1]), int(forest.parent[row])
    part = f", part of {above}" if above >= 0 else ""
    return f"  region {row}: {share:.1%} of the photo, score {forest.score[row]:.2f}{part}"


def _draw(planned: Plan, forest: MaskForest, rows: list[int]) -> Path:
    from hedgerow.draw import overlay
    from hedgerow.photos import open_photo
    from hedgerow.pipeline import DECODED
    from hedgerow.results import SUFFIXES, full_size, png
    from hedgerow.writing import write_atomically

    photo = planned.photos[0]
    there = planned.results.path(photo, "forest")
    path = there.with_name(there.name.removesuffix(SUFFIXES["forest"]) + PICTURE)
    write_atomically(path, png(overlay(full_size(open_photo(photo, DECODED)), forest.select(rows))))
    return path


def _text(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
