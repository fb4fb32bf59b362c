"""Captions as numbers: a byte-pair vocabulary learned from them, and the words in them that mean something.

In: captions. Out: `Tokens`, which make rows of numbers of sentences, 0 where nothing stands; and content words, lower
case, plurals folded: what a caption says is to be seen.

The vocabulary is of bytes (as GPT-2's), lower-case, NFKC: any text can be said in it. The same captions give the same
vocabulary.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hedgerow.config import CallerError

PAD = "<pad>"
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
# words that say how others go together, or nothing that can be seen; our own list
FUNCTION_WORDS = """
a an the this that these those there here it its it's he him his she her hers they them their theirs we us our you
your i me my mine who whom whose which what where when while why how as if than then so too very not no nor or and but
yet both either neither each every all any some many much more most few several other another others such same own
only just also even still again once about above across after against along among around at away back before behind
below beneath beside besides between beyond by down during for from in inside into near next of off on onto out
outside over past through throughout to toward towards under underneath until up upon with within without via per like
be is are was were am been being do does did done doing has have having had can could will would shall should may
might must let lets get gets getting got goes go going gone come comes coming came make makes making made take takes
taking taken took seem seems appear appears look looks looking looked use uses using used try tries trying one two
three four five six seven eight nine ten first second third something someone somebody everyone anything nothing thing
things kind sort type part side front top bottom middle end left right lot group couple pair bunch set piece bit photo
picture image photograph view shot shown showing shows show seen various different together apart well d ll m re s t
ve don isn aren whilst
"""
FUNCTION = frozenset(FUNCTION_WORDS.split())
# what is said of things, not their names: adjectives, colours apart from them, and doings without -ing
QUALITIES_AND_DOINGS = """
red green blue yellow black white brown gray grey orange purple pink colored coloured colorful colourful bright dark
light tan blond blonde striped plaid large small big little tall short long huge tiny wide narrow high low old young
new open closed full empty wet dry dirty clean sunny cloudy snowy rainy grassy sandy rocky muddy wooden metal concrete
pretty beautiful nice happy busy crowded bare shirtless dressed covered filled lined parked painted decorated
surrounded ready alone outdoors indoors overhead close far distant nearby stand stands stood sit sits sat seated lie
lies laying run runs ran walk walks jump jumps ride rides play plays hold holds held wear wears worn watch watches
throw throws thrown catch catches eat eats fly flies climb climbs swim swims perform performs stretch stretches leap
leaps pose poses lean leans reach reaches carry carries pull pulls push pushes rest rests smile smiles talk talks
chase chases cross crosses american asian african middle-aged elderly male female
"""
SAID_OF = frozenset(QUALITIES_AND_DOINGS.split())
IN_ING = "building ring king wing string swing clothing ceiling railing painting ping wedding"
NAMES_IN_ING = frozenset(IN_ING.split())
IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "feet": "foot",
    "teeth": "tooth",
    "mice": "mouse",
    "geese": "goose",
    "leaves": "leaf",
    "knives": "knife",
    "wolves": "wolf",
    "shelves": "shelf",
    "loaves": "loaf",
    "calves": "calf",
    "scarves": "scarf",
    "buses": "bus",
    "glasses": "glasses",
    "sunglasses": "sunglasses",
    "clothes": "clothes",
    "jeans": "jeans",
    "pants": "pants",
    "shorts": "shorts",
    "tennis": "tennis",
    "canvas": "canvas",
    "christmas": "christmas",
    "movies": "movie",
    "cookies": "cookie",
    "shoes": "shoe",
    "horses": "horse",
    "houses": "house",
    "noses": "nose",
    "vases": "vase",
    "bases": "base",
    "roses": "rose",
    "purses": "purse",
    "axes": "axe",
}


def content_words(caption: str) -> list[str]:
    """The words of a caption that are no function words, in their order, each once; crude plurals are folded."""
    meant = (folded(word) for word in _said(caption) if word not in FUNCTION)
    return [word for word in dict.fromkeys(meant) if len(word) > 1 and word not in FUNCTION]


def _said(caption: str) -> list[str]:
    """All words, lower case."""
    return WORD.findall(unicodedata.normalize("NFKC", caption).lower())


def folded(word: str) -> str:
    """One form of a word for one and many: dogs, dog. What ends in s by nature (grass, bus, tennis) stays."""
    word = word.removesuffix("'s")
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("xes", "ches", "shes", "sses", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def vocabulary_of(captions: Iterable[Sequence[str]], most: int) -> dict[str, int]:
    """Of each photo's captions: the content words that most photos mention, and how many do; most frequent first, in
    the order of letters where they are even."""
    counts = Counter(word for some in captions for word in {word for one in some for word in content_words(one)})
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:most])


def met_in(captions: Iterable[Sequence[str]], least: int, most: int) -> dict[str, int]:
    """In how many photos' captions each word stands, little words as well, plurals folded; most frequent first."""
    counts = Counter(word for some in captions for word in {folded(word) for one in some for word in _said(one)})
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {word: count for word, count in ordered[:most] if count >= least}


def names_of_things(words: Iterable[str]) -> list[str]:
    """Those that may name a thing: crudely, by a list of what is not and by their ending."""
    return [w for w in words if w not in SAID_OF and (w in NAMES_IN_ING or not w.endswith(("ing", "ly")))]


class Tokens:
    """Sentences into numbers by a tokenizer of the `tokenizers` library; what is longer than `context` is cut."""

    def __init__(self, tokenizer: Any, context: int) -> None:
        self.tokenizer, self.context = tokenizer, context
        tokenizer.encode_special_tokens = True  # one that somebody typed is text as any other
        tokenizer.no_padding()
        tokenizer.enable_truncation(context)

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """(n, L) int64, L that of the longest, 0 behind the end."""
        rows = [one.ids for one in self.tokenizer.encode_batch(list(sentences))]
        found = torch.zeros(len(rows), max([1, *map(len, rows)]), dtype=torch.long)
        for place, row in enumerate(rows):
            found[place, : len(row)] = torch.tensor(row, dtype=torch.long)
        return found

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def pieces(self, word: str) -> list[int]:
        """The numbers of a word, without any mark of where a sentence begins or ends."""
        return self.tokenizer.encode(word, add_special_tokens=False).ids

    def written(self) -> bytes:
        """As tokenizer.json."""
        return (self.tokenizer.to_str(pretty=True) + "\n").encode()


def learn_tokens(captions: Iterable[str], pieces: int, context: int) -> Tokens:
    """A byte-pair vocabulary of at most so many pieces (Sennrich et al. 2016), of these captions."""
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.normalizer = library.normalizers.Sequence([library.normalizers.NFKC(), library.normalizers.Lowercase()])
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=pieces,
        min_frequency=2,
        special_tokens=[PAD],
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return Tokens(tokenizer, context)


def read_tokens(path: str | Path, context: int) -> Tokens:
    """A tokenizer.json, ours or of a folder that transformers wrote."""
    try:
        return Tokens(_library().Tokenizer.from_str(Path(path).read_text("utf-8")), context)
    except CallerError:
        raise
    except Exception as error:  # the library raises bare exceptions
        raise CallerError(f"{path} is no tokenizer.json ({str(error).splitlines()[0][:200]})") from None


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise CallerError("reading captions wants the tokenizers library: pip install 'hedgerow[train]'") from None
    return tokenizers
