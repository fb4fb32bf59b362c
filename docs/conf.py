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
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
autodoc_class_signature = "separated"


def as_restructured(*told_by_sphinx: Any) -> None:
    """Docstrings are written for readers of the source: `x` is code, and what is indented or stands in columns stays as
    it is typed. Settings get their fields, with what the comments behind these say."""
    *_, thing, _, lines = told_by_sphinx
    told: list[str] = []
    literal = False
    for line in lines:
        typed = line.startswith("  ") or bool(re.match(r"[\w, ]+\S {2,}\S", line))
        if line.strip() and typed != literal:
            told += ["", "::", ""] if typed else [""]
            literal = typed
        told.append(f"   {line}" if literal else re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line.replace("*", r"\*")))
    lines[:] = told
    if dataclasses.is_dataclass(thing) and thing.__module__.startswith("hedgerow.config"):
        lines += ["", *settings(thing)]


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
