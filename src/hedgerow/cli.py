"""The command `hedgerow`: one subcommand a capability, its options generated from the dataclasses in config.py.

Data goes to stdout and files; progress, notices and errors to stderr, each error one line that opens with "hedgerow:".
Exit status: 0 done; 1 the run failed; 2 a command that asks for what cannot be; 130 stopped by Ctrl-C, 143 by SIGTERM.

To add a subcommand: a function whose parameters are its options and whose docstring is its help, returning the exit
status, and a line in COMMANDS. Nothing heavy is imported before a command runs, so help comes at once.
"""

from __future__ import annotations

import io
import logging
import math
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from statistics import fmean, stdev
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, Positional, arg

from hedgerow.config import (
    RECIPES,
    VERSION,
    CallerError,
    Evaluate,
    EvaluateFeatures,
    EvaluateRegions,
    Pretrain,
    Segment,
    Ship,
    UsageError,
)
from hedgerow.workers import one_thread

if TYPE_CHECKING:
    from hedgerow.evaluation import FeatureReport, Protocol, Report
    from hedgerow.pipeline import Failed, Plan

NAMED = 20  # bad photos told of at the end of a run


class Terminated(KeyboardInterrupt):
    """SIGTERM: the same orderly end as Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold what a terminal cannot show
    try:
        with one_thread(), _heeding_sigterm(), _notices():
            return _command(list(sys.argv[1:] if argv is None else argv))()
    except KeyboardInterrupt as stop:
        return _stopped(stop, "stopped")
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CallerError, OSError, MemoryError) as error:
        _say(str(error) or "out of memory")
        return 2 if isinstance(error, UsageError) else 1


# ---------------------------------------------------------------------- segment


def segment(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None,
    run: Annotated[Segment, arg(name="")] = Segment(),  # noqa: B008
) -> int:
    """Segment photos into forests of regions.

    Each photo NAME gets NAME.forest.json and NAME.overlay.png, beside it or below DIR.

    A run that was stopped goes on where it was when the same command is given again.

    Args:
        inputs: photos, folders, globs, or tars of photos
        output: where results go (default: beside each photo; folders, tars and coco need a DIR)
    """
    from hedgerow.pipeline import collect, plan

    start, planned = perf_counter(), plan(inputs, output, run)
    tally = _Tally(len(planned.photos), len(planned.photos) - len(planned.todo))
    try:
        _carry_out(planned, tally)
        if tally.done and (run.keep_going or not tally.bad):
            collect(planned, tally.bad, partial(_watched, quiet=run.quiet, name="predictions.json"))
    except KeyboardInterrupt as stop:
        again = "the same command without --overwrite" if run.overwrite else "the same command"
        return _stopped(stop, f"stopped: {tally}; {again} goes on from there")
    finally:
        planned.results.write_errors(tally.bad)
    if tally.bad and not run.keep_going:
        return _given_up(tally)
    if not run.quiet:
        _sum_up(planned, tally, perf_counter() - start)
    _name(tally.bad, tally.total, planned.results.errors)
    return 0 if tally.done else 1


@dataclass
class _Tally:
    """How far a run is."""

    total: int
    done: int
    bad: list[Failed] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.done} of {_count(self.total)} done"


def _carry_out(planned: Plan, tally: _Tally) -> None:
    """Do what is to be done; without --keep-going, up to the first bad photo."""
    from hedgerow.pipeline import Failed, segment_photos

    quiet = planned.config.quiet
    with closing(segment_photos(planned)) as outcomes:
        for outcome in _watched(outcomes, tally.total, tally.done, quiet=quiet or tally.total == 1):
            if isinstance(outcome, Failed):
                tally.bad.append(outcome)
                if not planned.config.keep_going:
                    return
                continue
            tally.done += 1
            if not quiet and (tally.total == 1 or not sys.stderr.isatty()):  # else there is a bar
                told = f"{outcome.regions} regions, {outcome.depth} deep, {outcome.seconds:.1f} s"
                print(_one_line(f"{outcome.place}: {told}"), flush=True)


def _given_up(tally: _Tally) -> int:
    """The first bad photo ends a run."""
    failed = tally.bad[0]
    _say(failed.reason + (f" ({tally}; --keep-going passes over such)" if tally.total > 1 else ""))
    sys.stderr.write(failed.details)
    return 1


def _sum_up(planned: Plan, tally: _Tally, seconds: float) -> None:
    before = tally.total - len(planned.todo)
    if tally.total == 1 and before:
        print(_one_line(f"{planned.photos[0].path}: finished before; --overwrite does it again"))
    elif tally.total > 1:
        earlier = f" ({before} of them before)" if before else ""
        place = f", in {planned.results.folder}" if planned.results.folder else ""
        print(f"{tally}{earlier}{place}; {_duration(seconds)}")


# ---------------------------------------------------------------------- pretrain


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
    with _needing_torch():
        from hedgerow.learn.runs import sit

    told, began = _Pace(run.quiet), perf_counter()
    bad: list[str] = []
    try:
        state = sit(
            inputs,
            output,
            run,
            resume=resume,
            start=start,
            bad=bad.append,
            watch=partial(_watched, quiet=run.quiet, name="photos"),
            shown=lambda state, numbers: told(state.step, state.steps, numbers),
        )
    except KeyboardInterrupt as stop:
        return _stopped(stop, f"stopped; the same command with --resume goes on from the last checkpoint in {output}")
    finally:
        told.close()
    for line in bad[:NAMED]:
        _say(line)
    if not run.quiet:
        print(f"{state.steps} steps, in {output}; {_duration(perf_counter() - began)}")
    return 0


class _Pace:
    """How far learning is: a bar where somebody is looking, else a line every twentieth of the way."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Any = None

    def __call__(self, step: int, steps: int, numbers: dict[str, float]) -> None:
        if self.quiet:
            return
        if not sys.stderr.isatty():
            if step % max(steps // 20, 1) == 0:
                print(f"step {step} of {steps}: loss {numbers['loss']:.3f}, rank {numbers['rank']:.1f}", flush=True)
            return
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(total=steps, initial=step - 1, unit=" steps", dynamic_ncols=True)
        self.bar.set_postfix_str(f"loss {numbers['loss']:.3f}, rank {numbers['rank']:.1f}", refresh=False)
        self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


@contextmanager
def _needing_torch() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("hedgerow"):
            raise
        raise CallerError(f"learning needs {error.name}: pip install 'hedgerow[train]'") from None


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
    with _needing_torch():
        from hedgerow.learn.ship import ship_run

    card = ship_run(place, output, run)
    size = output.stat().st_size / 2**20
    print(f"{output}: {size:.1f} MB, {run.precision}, differs from torch by {card['error']:.1e} of its largest value")
    return 0


# ---------------------------------------------------------------------- evaluate


def evaluate_masks(run: Annotated[Evaluate, arg(name="")]) -> int:
    """Measure masks: how many of the labelled regions are found (AR), how many masks are right (AP)."""
    return _evaluate("masks", run)


def evaluate_regions(run: Annotated[EvaluateRegions, arg(name="")]) -> int:
    """Measure partitions and their boundaries against those that several people drew."""
    return _evaluate("regions", run)


def evaluate_hierarchy(run: Annotated[Evaluate, arg(name="")]) -> int:
    """Measure who is part of whom against nested labels."""
    return _evaluate("hierarchy", run)


def evaluate_features(run: Annotated[EvaluateFeatures, arg(name="")]) -> int:
    """Measure a backbone's features: linear probe, part matching, and what exploring makes of them.

    Each measure is taken where its data set is given: --probe, --parts, --coco, --bsds.
    """
    from hedgerow.evaluation import evaluate_features, write_feature_report

    start = perf_counter()
    report = evaluate_features(run, partial(_watched, quiet=run.quiet))
    if run.json is not None:
        write_feature_report(run.json, report)
    _print_table({"protocol": "features of patches, frozen", **report.data, "time": _duration(perf_counter() - start)})
    print()
    for line in _columns(report):
        print(line)
    for note in report.notes:
        _say(note)
    return 0


def _columns(report: FeatureReport) -> list[str]:
    """A line a backbone, a column a measure, with the standard deviation over seeds."""
    measures = list(report.rows[0].scores)
    table = [["", *measures, "s a photo"]]
    for row in report.rows:
        table.append([row.name, *(_spread(row.scores[name]) for name in measures), _number(row.seconds)])
    if report.chance:
        table.append(["chance", *(_spread(report.chance.get(name, ())) for name in measures), "-"])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=True)) for row in table]
    return [_one_line(line.rstrip()) for line in lines]


def _spread(values: Sequence[float]) -> str:
    told = _number(fmean(values)) if values else "-"
    return f"{told} ±{stdev(values):.4f}" if len(values) > 1 and told != "-" else told


def _evaluate(protocol: Protocol, run: Evaluate) -> int:
    from hedgerow.evaluation import evaluate, write_report

    start = perf_counter()
    report = evaluate(protocol, run, partial(_watched, quiet=run.quiet))
    if run.json is not None:
        write_report(run.json, report)
    _print_table(_heading(report, perf_counter() - start))
    print()
    _print_table({name: _number(value) for name, value in report.scores.items()})
    if run.worst:
        print(f"\nworst by {report.by}")
        _print_table({name: _number(value) for name, value in report.photos[: run.worst]})
    if report.unpredicted:
        _say(f"{_count(report.unpredicted)} without a prediction: nothing counts as found there")
    _name(report.failed, report.total, None)
    return 0


def _heading(report: Report, seconds: float) -> dict[str, str]:
    made = report.forests
    if "read from" not in made:
        options = f"?{made['options']}" if made["options"] else ""
        made = {"read from": f"{made['name']}{options}, seed {made['seed']}, hedgerow {made['version']}"}
    segmenting, measuring = report.seconds
    each = f"{segmenting:.2f} s a photo to segment or read, {measuring:.2f} s to measure"
    return {
        "protocol": f"{report.protocol}: {report.title}",
        "data": report.data,
        "forests": made["read from"],
        "time": f"{_duration(seconds)} with {report.workers} workers: {each}",
    }


def _print_table(rows: dict[str, str]) -> None:
    width = max(map(len, rows), default=0)
    numeric = all(re.fullmatch(r"-|[0-9.]+", value) for value in rows.values())
    for name, value in rows.items():
        print(f"{name:{width}}  {value:>8}" if numeric else f"{name:{width}}  {value}")


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


# ---------------------------------------------------------------------- parsing


COMMANDS: dict[str, Callable[..., int]] = {
    "segment": segment,
    "pretrain": pretrain,
    "ship": ship,
    "evaluate masks": evaluate_masks,
    "evaluate regions": evaluate_regions,
    "evaluate hierarchy": evaluate_hierarchy,
    "evaluate features": evaluate_features,
}
HELP = ("-h", "--help")
OVERVIEW = """usage: hedgerow COMMAND [OPTIONS]

Photos into nested forests of regions, without labels.

{}

hedgerow COMMAND --help tells the options of a command, hedgerow --version the version."""


def _command(argv: list[str]) -> Callable[[], int]:
    """What a command line asks for, ready to be called."""
    if argv[:1] == ["--version"]:
        return partial(_print, f"hedgerow {VERSION}")
    for name, command in COMMANDS.items():
        if argv[: len(words := name.split())] == words:
            return _parsed(name, command, argv[len(words) :])
    group = [name for name in COMMANDS if argv and name.startswith(f"{argv[0]} ")]
    rest = argv[1:] if group else argv
    if rest and rest[0] in HELP:
        return partial(_print, _overview(group or list(COMMANDS)))
    asked = f"no command {' '.join(argv[:2] if group else argv[:1])!r}" if rest else "give a command"
    raise UsageError(f"{asked}: {', '.join(group or COMMANDS)}; see hedgerow --help")


def _overview(names: Iterable[str]) -> str:
    commands = "\n".join(f"  {name:20} {(COMMANDS[name].__doc__ or '').splitlines()[0]}" for name in names)
    return OVERVIEW.format(commands)


def _parsed(name: str, command: Callable[..., int], argv: list[str]) -> Callable[[], int]:
    full = "--help-all" in argv
    told, complained = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(told), redirect_stderr(complained):
            return tyro.cli(
                _later(command, _recipe(argv)),
                prog=f"hedgerow {name}",
                args=["--help" if word == "--help-all" else word for word in argv],
                config=(FlagCreatePairsOff, DisallowNone),
            )
    except SystemExit as stop:
        if stop.code:
            raise UsageError(f"{_complaint(complained.getvalue())}; see hedgerow {name} --help") from None
        return partial(_print, _help(told.getvalue(), name, full))


def _later(command: Callable[..., int], recipe: Pretrain | None) -> Callable[..., Callable[[], int]]:
    """The command with its arguments, not yet called: only its parsing is to be caught above. Where it has recipes,
    that of the command line gives the defaults."""

    @wraps(command)
    def parsed(*values: Any, **options: Any) -> Callable[[], int]:
        return partial(command, *values, **options)

    if recipe is not None:
        known = signature(command)
        parameters = [
            p.replace(default=recipe) if isinstance(p.default, type(recipe)) else p for p in known.parameters.values()
        ]
        parsed.__signature__ = known.replace(parameters=parameters)  # type: ignore[attr-defined]
    return parsed


def _recipe(argv: list[str]) -> Pretrain | None:
    words = [word.partition("=") for word in argv]
    named = [
        value or (argv[place + 1 :] or [""])[0] for place, (word, _, value) in enumerate(words) if word == "--recipe"
    ]
    return RECIPES.get(named[-1]) if named else None


def _help(text: str, name: str, full: bool) -> str:
    """tyro's help without the defaults that say nothing and, unless all is asked for, without the method's own knobs,
    which come last and would drown the rest."""
    text = re.sub(r"\s*\(default:\s*(None)?\s*\)| +$", "", text, flags=re.MULTILINE)
    knobs = re.search(r"^\W*(explore|network) options\W*$", text, re.MULTILINE)
    if full or knobs is None:
        return text.rstrip()
    which = "--explore.*" if knobs[1] == "explore" else "--network.*, --views.*, --pull.*"
    return f"{text[: knobs.start()].rstrip()}\n\nThe method's own knobs ({which}): hedgerow {name} --help-all"


def _complaint(text: str) -> str:
    """What is wrong, in one line out of the box that tyro draws around it: what stands between title and first rule."""
    rows = [row.strip(" |│") for row in text.strip().splitlines()[1:]]
    rows = [row for row in rows if row]
    ruled = [re.fullmatch(r"[-─╰╯]{4,}", row) is not None for row in rows] + [True]
    start = 1 if ruled[0] else 0
    told = " ".join(rows[start : ruled.index(True, start)]).rstrip(".")
    wrong, offered = re.findall(r"--[\w.-]+", told), re.findall(r"--[\w.-]+", text.partition("Perhaps you meant")[2])
    meant = get_close_matches(wrong[0], offered, n=1) if wrong else []
    return (told or "the command line cannot be read") + (f"; perhaps {meant[0]}" if meant else "")


# ---------------------------------------------------------------------- telling


def _watched(items: Iterable[Any], total: int, done: int = 0, *, quiet: bool, name: str | None = None) -> Iterable[Any]:
    """The items, with a progress bar where somebody is looking."""
    if quiet or not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    return tqdm(items, desc=name, total=total, initial=done, unit=" photos", dynamic_ncols=True, smoothing=0.05)


def _name(bad: Sequence[Failed], total: int, listed: Path | None) -> None:
    """The photos that were passed over, at the end, where they are seen."""
    if not bad:
        return
    _say(f"{len(bad)} of {_count(total)} could not be done{f', listed in {listed}' if listed else ''}:")
    for failed in bad[:NAMED]:
        _say(failed.reason)
    if len(bad) > NAMED:
        _say(f"and {len(bad) - NAMED} more")


def _count(photos: int) -> str:
    return "1 photo" if photos == 1 else f"{photos} photos"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _print(text: str) -> int:
    print(text)
    return 0


def _say(text: str) -> None:
    print(_one_line(f"hedgerow: {text}"), file=sys.stderr, flush=True)


def _one_line(text: str) -> str:
    """Names of files may hold anything, line breaks and what moves a terminal's cursor included."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _say(self.format(record))


@contextmanager
def _notices() -> Iterator[None]:
    """What our rooms log is told in our way; warnings of numerical libraries are no news to whoever runs a command."""
    room, handler = logging.getLogger("hedgerow"), _Notices()
    room.addHandler(handler)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        room.removeHandler(handler)


# ---------------------------------------------------------------------- being stopped


def _stopped(stop: KeyboardInterrupt, told: str) -> int:
    _say(told)
    return 143 if isinstance(stop, Terminated) else 130


@contextmanager
def _heeding_sigterm() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield
        return

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
