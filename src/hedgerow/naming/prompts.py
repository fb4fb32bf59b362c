"""Words into sentences: templates, and the words of a background that nobody asked for.

In: a word or a phrase. Out: the sentences that are compared with regions. CLIP (Radford et al. 2021, section 3.1.4)
found that "a photo of a dog" says more to such a model than "dog", and several ways of saying it more than one.

Both lists serve languages that bring none of their own: ours say theirs in their cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hedgerow.config import CallerError

TEMPLATES = (
    "{}",
    "a photo of a {}",
    "a photo of the {}",
    "a picture with a {} in it",
    "a part of a {}",
    "a close look at the {}",
    "many {} outside",
)
# what fills most photos beside the things in them; a word that is asked for is left out of it
BACKGROUND = (
    "background",
    "sky",
    "cloud",
    "wall",
    "ceiling",
    "floor",
    "ground",
    "road",
    "pavement",
    "grass",
    "bush",
    "tree",
    "leaves",
    "water",
    "sea",
    "river",
    "sand",
    "snow",
    "rock",
    "mountain",
    "building",
    "window",
    "fence",
    "shadow",
)
ARTICLES = ("a", "an", "the")


def sentences(words: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Each word in each template: all sentences of the first word, then those of the next."""
    return [template.replace("{}", _bare(word)) for word in words for template in templates]


def _bare(word: str) -> str:
    """Without the article, which templates have: "the red car" would be a photo of a the red car."""
    first, _, rest = word.partition(" ")
    return rest if rest and first.lower() in ARTICLES else word


def read_templates(path: str | Path) -> tuple[str, ...]:
    """A template a line, {} where the word goes; what follows # is a comment."""
    try:
        lines = Path(path).expanduser().read_text("utf-8").splitlines()
    except OSError as error:
        raise CallerError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise CallerError(f"{path} is no text in UTF-8: give a file with a template a line") from None
    templates = [line.partition("#")[0].strip() for line in lines]
    return checked_templates([line for line in templates if line], str(path))


def checked_templates(templates: Sequence[str], where: str) -> tuple[str, ...]:
    if not templates:
        raise CallerError(f"{where} holds no template: give at least one, as a photo of a {{}}")
    for template in templates:
        if template.count("{}") != 1:
            raise CallerError(f"{where}: a template has one {{}}, where the word goes, got {template!r}")
    return tuple(dict.fromkeys(templates))


def read_background(asked: str) -> tuple[str, ...]:
    """Words separated by commas; `none` is no word."""
    words = [" ".join(word.split()) for word in asked.split(",")]
    if asked.strip().lower() == "none":
        return ()
    if not all(words):
        raise CallerError(f"a background is words separated by commas, or none, got {asked!r}")
    return tuple(dict.fromkeys(words))
