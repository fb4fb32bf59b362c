"""The command `hedgerow`: one subcommand a capability, its options generated from the dataclasses in config/.

Data goes to stdout and files; progress, notices and errors to stderr, each error one line that opens with "hedgerow:".
Exit status: 0 done; 1 the run failed; 2 a command that asks for what cannot be; 130 stopped by Ctrl-C, 143 by SIGTERM.

To add a subcommand: a function whose parameters are its options and whose docstring is its help, returning the exit
status, and a line in COMMANDS. Nothing heavy is imported before a command runs, so help comes at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence

from hedgerow.cli.caption import caption
from hedgerow.cli.categories import cluster, index, search
from hedgerow.cli.contrast import contrast
from hedgerow.cli.draw import draw
from hedgerow.cli.evaluate import (
    evaluate_features,
    evaluate_hierarchy,
    evaluate_masks,
    evaluate_names,
    evaluate_regions,
    evaluate_semantic,
    evaluate_video,
)
from hedgerow.cli.exchange import bring, export
from hedgerow.cli.label import explore
from hedgerow.cli.learn import pretrain, ship, train
from hedgerow.cli.outline import outline
from hedgerow.cli.parsing import command_of
from hedgerow.cli.prior import prior
from hedgerow.cli.segment import segment
from hedgerow.cli.serve import serve
from hedgerow.cli.telling import heeding_sigterm, notices, say, stopped
from hedgerow.config import CallerError, UsageError
from hedgerow.engines import one_thread

COMMANDS: dict[str, Callable[..., int]] = {
    "segment": segment,
    "serve": serve,
    "draw": draw,
    "export": export,
    "import": bring,
    "explore": explore,
    "prior": prior,
    "pretrain": pretrain,
    "outline": outline,
    "train": train,
    "contrast": contrast,
    "caption": caption,
    "ship": ship,
    "cluster": cluster,
    "index": index,
    "search": search,
    "evaluate masks": evaluate_masks,
    "evaluate regions": evaluate_regions,
    "evaluate hierarchy": evaluate_hierarchy,
    "evaluate features": evaluate_features,
    "evaluate semantic": evaluate_semantic,
    "evaluate names": evaluate_names,
    "evaluate video": evaluate_video,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold what a terminal cannot show
    try:
        with one_thread(), heeding_sigterm(), notices():
            return command_of(list(sys.argv[1:] if argv is None else argv), COMMANDS)()
    except KeyboardInterrupt as stop:
        return stopped(stop, "stopped")
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CallerError, OSError, MemoryError) as error:
        say(str(error) or "out of memory")
        return 2 if isinstance(error, UsageError) else 1
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported for this
            raise
        smaller = "a smaller --batch, --size or --views.large, more --accumulate, or --device cpu"
        smaller = f"give {smaller} (of a backbone: hub:...?device=cpu)"
        say(f"the device's memory is too small: {smaller}")
        return 1
