"""What a caller does wrong."""

from __future__ import annotations


class CallerError(ValueError):
    """A mistake of the caller's, told in one line: what was expected, what came, what to do. Never a traceback at the
    command line."""


class UsageError(CallerError):
    """A command line that asks for what cannot be: exit status 2, as for an unknown option."""
