"""Names for regions, from any vocabulary, learned from captions.

In: a forest, its photo, and words. Out: a name and its score a region; a map of names.

The rooms: language.py (what joins pixels and words, by name), own.py (ours, in onnxruntime), hub.py (CLIP and SigLIP in
torch), vocabulary.py (which names there are, and how else they are said), prompts.py (words into sentences), cache.py
(what was read before), matching.py (regions and words compared), calling.py (all of it for a run).
"""

from hedgerow.naming.calling import Naming, naming_of, open_naming, vocabulary_of
from hedgerow.naming.language import Language, open_language
from hedgerow.naming.matching import Names, name_map, name_regions, named_rows, say_names, say_words
from hedgerow.naming.vocabulary import BUILT_IN, Vocabulary, read_vocabulary, read_vocabulary_file

__all__ = [
    "BUILT_IN",
    "Language",
    "Names",
    "Naming",
    "Vocabulary",
    "name_map",
    "name_regions",
    "named_rows",
    "naming_of",
    "open_language",
    "open_naming",
    "read_vocabulary",
    "read_vocabulary_file",
    "say_names",
    "say_words",
    "vocabulary_of",
]
