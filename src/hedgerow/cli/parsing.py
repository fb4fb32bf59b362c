"""A command line into the command it asks for, ready to be called; help and complaints in our words.

In: words, and the commands by name. Out: a function of no arguments, or a `UsageError` of one line.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from difflib import get_close_matches
from functools import partial, wraps
from inspect import signature
from typing import Any

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff

from hedgerow.config import CAPTIONS, CONTRASTS, COURSES, OUTLINES, RECIPES, VERSION, UsageError

HELP = ("-h", "--help")
OVERVIEW = """usage: hedgerow COMMAND [OPTIONS]

Photos into nested forests of regions, without labels.

{}

hedgerow COMMAND --help tells the options of a command, hedgerow --version the version."""


Commands = Mapping[str, Callable[..., int]]


def command_of(argv: list[str], commands: Commands) -> Callable[[], int]:
    """What a command line asks for, ready to be called."""
    if argv[:1] == ["--version"]:
        return partial(_print, f"hedgerow {VERSION}")
    for name, command in commands.items():
        if argv[: len(words := name.split())] == words:
            return _parsed(name, command, argv[len(words) :])
    group = [name for name in commands if argv and name.startswith(f"{argv[0]} ")]
    rest = argv[1:] if group else argv
    if rest and rest[0] in HELP:
        return partial(_print, _overview(commands, group or commands))
    asked = f"no command {' '.join(argv[:2] if group else argv[:1])!r}" if rest else "give a command"
    raise UsageError(f"{asked}: {', '.join(group or commands)}; see hedgerow --help")


def _overview(commands: Commands, names: Iterable[str]) -> str:
    rows = "\n".join(f"  {name:20} {(commands[name].__doc__ or '').splitlines()[0]}" for name in names)
    return OVERVIEW.format(rows)


def _print(text: str) -> int:
    print(text)
    return 0


def _parsed(name: str, command: Callable[..., int], argv: list[str]) -> Callable[[], int]:
    full = "--help-all" in argv
    told, complained = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(told), redirect_stderr(complained):
            return tyro.cli(
                _later(command, _recipe(name, argv)),
                prog=f"hedgerow {name}",
                args=["--help" if word == "--help-all" else word for word in argv],
                config=(FlagCreatePairsOff, DisallowNone),
            )
    except SystemExit as stop:
        if stop.code:
            raise UsageError(f"{_complaint(complained.getvalue())}; see hedgerow {name} --help") from None
        return partial(_print, _help(told.getvalue(), name, full))


def _later(command: Callable[..., int], recipe: Any) -> Callable[..., Callable[[], int]]:
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


def _recipe(name: str, argv: list[str]) -> Any:
    """Where the defaults of a command that learns come from, if a recipe is named."""
    words = [word.partition("=") for word in argv]
    named = [
        value or (argv[place + 1 :] or [""])[0] for place, (word, _, value) in enumerate(words) if word == "--recipe"
    ]
    recipes: dict[str, Any] = {
        "pretrain": RECIPES,
        "outline": OUTLINES,
        "train": COURSES,
        "contrast": CONTRASTS,
        "caption": CAPTIONS,
    }
    return recipes[name].get(named[-1]) if named and name in recipes else None


def _help(text: str, name: str, full: bool) -> str:
    """tyro's help without the defaults that say nothing and, unless all is asked for, without the method's own knobs,
    which come last and would drown the rest."""
    text = re.sub(r"\s*\(default:\s*(None)?\s*\)| +$", "", text, flags=re.MULTILINE)
    named = "predict|explore|prior|network|views|vision|text|pull|tuning|follow"
    groups = re.findall(rf"^\W*({named}) options\W*$", text, re.MULTILINE)
    if full or not groups:
        return text.rstrip()
    knobs = re.search(rf"^\W*{groups[0]} options\W*$", text, re.MULTILINE)
    assert knobs is not None
    which = ", ".join(f"--{group}.*" for group in groups)
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
