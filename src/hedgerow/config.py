"""Every knob, as frozen dataclasses; standard library only. The command line is generated from these."""

from __future__ import annotations


class CallerError(ValueError):
    """A mistake of the caller's, told in one line: what was expected, what came, what to do. Never a traceback at the
    command line."""
