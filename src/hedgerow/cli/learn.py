"""hedgerow pretrain, hedgerow ship: what learns, and what brings out what was learned."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

from tyro.conf import Positional, arg

from hedgerow.cli.telling import NAMED, duration, needing, say, stopped, watched
from hedgerow.config import COURSES, RECIPES, CallerError, EvaluateFeatures, Pretrain, Ship, Train, UsageError


def pretrain(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="RUN")] = None,
    resume: bool = False,
    start: str | None = None,
    run: Annotated[Pretrain, arg(name="")] = RECIPES["laptop"],
) -> int:
    """Learn a backbone from raw photos.

    RUN gets log.jsonl, checkpoint.pt, report.png and backbone/, which hub:RUN/backbone names.

    Args:
        inputs: photos, folders, globs, or tars of photos; nothing but the photos is read
        output: the folder of the run
        resume: go on with the run that is there; give the same photos and options
        start: a network to go on from, of the recipe's form: a folder such as OTHER-RUN/backbone
    """
    if output is None:
        raise UsageError("a run needs a folder: -o RUN")
    with needing("learning"):
        from hedgerow.learn.runs import sit

    if run.probe:  # told now that it cannot be measured, not at the first checkpoint
        _measured("colour", run.probe, limit=4)
    told, began = Pace(run.quiet), perf_counter()
    bad: list[str] = []
    try:
        state = sit(
            inputs,
            output,
            run,
            resume=resume,
            start=start,
            bad=bad.append,
            watch=partial(watched, quiet=run.quiet, name="photos"),
            shown=lambda state, numbers: told(state.step, state.steps, numbers),
            probe=partial(_probed, run.probe) if run.probe else None,
        )
    except KeyboardInterrupt as stop:
        return stopped_run(stop, output)
    finally:
        told.close()
    for line in bad[:NAMED]:
        say(line)
    if not run.quiet and os.environ.get("RANK", "0") == "0":
        print(f"{state.steps} steps, in {output}; {duration(perf_counter() - began)}")
    return 0


def _probed(data: str, backbone: Path) -> dict[str, float]:
    """What a linear probe says of a checkpoint's backbone."""
    return _measured(f"hub:{backbone}?feature=output&supervision=none&device=cpu", data)


def _measured(backbone: str, data: str, limit: int | None = None) -> dict[str, float]:
    from hedgerow.evaluation import evaluate_features

    asked = EvaluateFeatures(backbone=backbone, probe=data, limit=limit, beside=False, seeds=1, workers=1)
    try:
        scores = evaluate_features(asked).rows[0].scores
    except CallerError as error:
        raise CallerError(f"--probe {data} cannot be measured: {error}") from None
    return {name: values[0] for name, values in scores.items()}


def stopped_run(stop: KeyboardInterrupt, output: Path) -> int:
    """The exit status of a run that was stopped, after a word on how to go on."""
    saved = (output / "checkpoint.pt").exists()
    return stopped(stop, f"stopped{f'; the same command with --resume goes on with {output}' if saved else ''}")


class Pace:
    """How far learning is: a bar where somebody is looking, else a line every twentieth of the way."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Any = None

    def __call__(self, step: int, steps: int, numbers: dict[str, float]) -> None:
        if self.quiet:
            return
        if not sys.stderr.isatty():
            if step % max(steps // 20, 1) == 0:
                print(f"step {step} of {steps}: {_told(numbers)}", flush=True)
            return
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(total=steps, initial=step - 1, unit=" steps", dynamic_ncols=True)
        self.bar.set_postfix_str(_told(numbers), refresh=False)
        self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _told(numbers: dict[str, float]) -> str:
    """What is worth watching of a step."""
    shown = {"loss": ".3f", "agree": ".3f", "rank": ".1f", "dice": ".2f", "taken": ".0f", "objects": ".0f"}
    return ", ".join(f"{name} {numbers[name]:{digits}}" for name, digits in shown.items() if name in numbers)


def train(
    labels: Annotated[Positional[Path | None], arg(metavar="LABELS")] = None,
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="RUN")] = None,
    photos: Annotated[tuple[Path, ...], arg(metavar="PHOTO...")] = (),
    resume: bool = False,
    run: Annotated[Train, arg(name="")] = COURSES["laptop"],
) -> int:
    """Learn a segmenter from labels that exploring found.

    RUN gets log.jsonl, checkpoint.pt, report.png and segmenter/; `hedgerow ship` makes a file of it.

    Args:
        labels: the folder that hedgerow explore has made
        output: the folder of the run
        photos: where the photos of the labels are now, if they have moved
        resume: go on with the run that is there; give the same labels and options
    """
    if labels is None or output is None:
        raise UsageError("give the folder of labels and one for the run: hedgerow train LABELS -o RUN")
    with needing("learning"):
        from hedgerow.learn.courses import sit_course

    if run.measure:  # told now that it cannot be measured, not after hours
        _check_measurable(run.measure)
    told, began = Pace(run.quiet), perf_counter()
    try:
        course = sit_course(
            labels,
            output,
            run,
            photos=photos,
            resume=resume,
            watch=partial(watched, quiet=run.quiet, name="photos"),
            shown=lambda course, numbers: told(course.step, course.steps, numbers),
        )
    except KeyboardInterrupt as stop:
        return stopped_run(stop, output)
    finally:
        told.close()
    if not run.quiet and os.environ.get("RANK", "0") == "0":
        print(f"{course.steps} steps, in {output}; {duration(perf_counter() - began)}")
    if run.measure and os.environ.get("RANK", "0") == "0":
        _tell_phases(labels, output, run)
    return 0


def _check_measurable(data: str) -> None:
    from hedgerow.data.datasets import open_dataset

    if next(iter(open_dataset(data))).truth().regions is None:
        raise CallerError(f"--measure {data} has no regions to be found: give photos with objects or parts")


def _tell_phases(labels: Path, output: Path, run: Train) -> None:
    """A table of what each phase brought, row by row as it is measured."""
    from hedgerow.evaluation.phases import COLUMNS, measure_phases

    print(f"{'':32}" + "".join(f"{name.removeprefix('AR@1000 '):>14}" for name in COLUMNS))
    for name, scores in measure_phases(labels, output, run, partial(watched, quiet=run.quiet, name="photos")):
        values = (scores[column] if column == COLUMNS[0] else 100 * scores[column] for column in COLUMNS)
        print(f"{name:32}" + "".join(f"{value:14.1f}" for value in values), flush=True)


def ship(
    place: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE.onnx")],
    run: Annotated[Ship, arg(name="")] = Ship(),  # noqa: B008
) -> int:
    """Write what a run has learned as an ONNX file with a card, which needs no torch.

    Args:
        place: the folder of the run
        output: the file; its card FILE.json is written beside it
    """
    with needing("learning"):
        from hedgerow.learn.ship import ship_run

    card = ship_run(place, output, run)
    size = output.stat().st_size / 2**20
    print(f"{output}: {size:.1f} MB, {run.precision}, differs from torch by {card['error']:.1e} of its largest value")
    return 0
