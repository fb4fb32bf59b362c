"""The command `hedgerow`: one subcommand a capability, its options generated from the dataclasses in config.py.

Data goes to stdout and files; progress, notices and errors to stderr, each error one line that opens with "hedgerow:".
Exit status: 0 done; 1 the run failed; 2 a command that asks for what cannot be; 130 stopped by Ctrl-C, 143 by SIGTERM.

To add a subcommand: a function whose parameters are its options and whose docstring is its help, and a line in COMMANDS.
It returns the exit status. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from functools import partial, wraps
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional, arg

from hedgerow.config import VERSION, CallerError, Evaluate, EvaluateRegions, Segment, UsageError
from hedgerow.workers import one_thread

if TYPE_CHECKING:
    from hedgerow.evaluation import Protocol, Report
    from hedgerow.pipeline import Done, Failed, Plan

SHOWN = 20  # bad photos named at the end of a run; the rest are in errors.jsonl


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of numerical libraries: no news to whoever runs a command
    logging.basicConfig(format="hedgerow: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold what the terminal cannot show
    try:
        with one_thread(), _heeding_sigterm():
            return _parsed(list(sys.argv[1:] if argv is None else argv))()
    except Stopped as stop:
        return _said(str(stop) or "stopped", stop.status)
    except KeyboardInterrupt:
        return _said("stopped", Stopped.status)
    except CallerError as error:
        return _said(str(error), 2 if isinstance(error, UsageError) else 1)
    except MemoryError:
        return _said("out of memory", 1)
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _said(str(error), 1)


# ---------------------------------------------------------------------- commands


def segment(
    inputs: Positional[tuple[Path, ...]] = (),
    /,
    output: Annotated[Path | None, arg(aliases=("-o",), metavar="DIR")] = None,
    run: Annotated[Segment, arg(name="")] = Segment(),  # noqa: B008
) -> int:
    """Segment photos into forests of regions.

    Each photo KEY gets KEY.forest.json and KEY.overlay.png, beside it or below DIR, where sub-folders are kept.
    A run that was stopped goes on where it was when the same command is given again.

    Args:
        inputs: Photos, folders, globs, or tars of photos.
        output: Where results go (default: beside each photo; folders, tars and coco need a DIR).
    """
    from hedgerow.pipeline import Done, plan, segment_photos, workers_of

    start = perf_counter()
    planned = plan(inputs, output, run)
    bad: list[Failed] = []
    done = len(planned.photos) - len(planned.todo)
    if not run.quiet:
        _tell_finished(planned)
    try:
        many = len(planned.photos) > 1
        with closing(segment_photos(planned)) as outcomes, _bar(planned, run.quiet or not many) as bar:
            for outcome in outcomes:
                bar.update()
                if isinstance(outcome, Done):
                    done += 1
                    _tell_done(outcome, silent=run.quiet or not bar.disable)
                    continue
                bad.append(outcome)
                bar.set_postfix_str(f"{len(bad)} bad")
                if not run.keep_going:
                    break
        if planned.collects and (run.keep_going or not bad) and done:
            photos = [(planned.image_ids[p.key], p) for p in planned.photos if p not in {b.photo for b in bad}]
            planned.results.collect(photos, 1000, workers_of(run))
    except KeyboardInterrupt as stop:
        ...
    return 0
