"""The documentation as a site: `make docs` writes it to site/. Pages are Markdown and read as well where they lie."""

import dataclasses
import inspect
import re
from typing import Any

import hedgerow

project, author, release = "Hedgerow", "Hedgerow", hedgerow.__version__
copyright = f"2026, {author}"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme, html_title = "furo", f"Hedgerow {release}"
myst_heading_anchors = 4  # pages point to each other's headings
highlight_language = "none"  # what a docstring has in columns is no Python
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
autodoc_class_signature = "separated"
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def as_restructured(*told_by_sphinx: Any) -> None:
    """Docstrings are written for readers of the source: `x` is code, and what is indented or stands in columns stays as
    it is typed. Settings get their fields, with what the comments behind these say."""
    *_, thing, _, lines = told_by_sphinx
    told: list[str] = []
    was = "words"
    for line in lines:
        kind = was if not line.strip() else _kind(line, was)
        if kind != was:
            told += ["", "::", ""] if kind == "typed" else [""]
            was = kind
        told.append(f"   {line}" if kind == "typed" else re.sub(CODE, r"``\1``", line.replace("*", r"\*")))
    lines[:] = told
    if dataclasses.is_dataclass(thing) and thing.__module__.startswith("hedgerow.config"):
        lines += ["", *settings(thing)]


def _kind(line: str, before: str) -> str:
    """Of a line of a docstring: words, a list, or what stays as it is typed."""
    if line.startswith("- ") or (before == "list" and line.startswith("  ")):
        return "list"
    columns = r"[\w, ]+\S {2,}\S" if before != "typed" else r"[\w, ]+\S {2,}\S|\w+ \("
    return "typed" if line.startswith("  ") or re.match(columns, line) else "words"


def settings(config: type) -> list[str]:
    """A list of the fields: name, default, and the comment beside or above it."""
    told, above = [], []
    fields = {field.name: field for field in dataclasses.fields(config)}
    for line in inspect.getsource(config).splitlines():
        if comment := re.fullmatch(r"    # (.+)", line):
            above.append(comment[1])
        elif (said := re.match(r"    (\w+): .*?(?:  # (.+))?$", line)) and said[1] in fields:
            default = fields[said[1]].default
            value = "" if default is dataclasses.MISSING else f" = {default!r}"
            words = " ".join([*above, *([said[2]] if said[2] else [])]).replace("`", "").replace("*", r"\*")
            told.append(f"- ``{said[1]}{value}``" + (f": {words}" if words else ""))
            above = []
        else:
            above = []
    return told


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_restructured)
