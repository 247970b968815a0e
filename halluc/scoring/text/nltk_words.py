"""English words the way NLTK 3.8.1 sees them: tokens, tags and lemmas.

NLTK finds sentences and tags words. Its data is searched where NLTK searches (NLTK_DATA included)
and is not downloaded. What later versions of NLTK changed is done here as in 3.8.1, because CHAIR's
numbers depend on it: splitting words, and lemmas, whose rules are now applied only once. Data files
of both generations (pickles, then tables and JSON) are read under any version.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.scoring.text import treebank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTS = {"J": "adj", "V": "verb", "N": "noun", "R": "adv"}
"""WordNet's part of speech by the first letter of a Penn tag; other tags count as nouns."""

_ENDINGS = {
    "noun": ("s:", "ses:s", "ves:f", "xes:x", "zes:z", "ches:ch", "shes:sh", "men:man", "ies:y"),
    "verb": ("s:", "ies:y", "es:e", "es:", "ed:e", "ed:", "ing:e", "ing:"),
    "adj": ("er:", "est:", "er:e", "est:e"),
    "adv": (),
}
_CONTAINERS = {"int", "set", "defaultdict"}
_RULES = {part: [tuple(rule.split(":")) for rule in rules] for part, rules in _ENDINGS.items()}


def tokenize(text: str) -> list[str]:
    """Split a text as `nltk.word_tokenize` does: Punkt sentences, then Treebank words.

    Raises:
        UserError: If NLTK or its data is missing, as for the functions below.
    """
    sentences: list[str] = _punkt().tokenize(text)
    return [word for sentence in sentences for word in treebank.tokenize(sentence)]


def tag(tokens: list[str]) -> list[tuple[str, str]]:
    """Return a Penn tag for every token, as `nltk.pos_tag` does."""
    pairs: list[tuple[str, str]] = _tagger().tag(tokens)
    return pairs


@lru_cache(maxsize=65536)
def lemmatize(word: str, part: str = "noun") -> str:
    """Return the shortest candidate in WordNet, as `WordNetLemmatizer` of NLTK 3.8.1 does.

    Args:
        word: One token.
        part: "noun", "verb", "adj" or "adv".
    """
    exceptions, known = _wordnet(part)
    if word in exceptions:
        candidates = [form for form in (word, *exceptions[word]) if form in known]
        return min(candidates, key=len, default=word)
    forms = [word]
    candidates = [word] if word in known else []
    while forms:  # rules are applied until a form is known or no ending is left
        forms = [
            form.removesuffix(ending) + end
            for form in forms
            for ending, end in _RULES[part]
            if form.endswith(ending)
        ]
        candidates += [form for form in forms if form in known]
        if candidates:
            break
    return min(candidates, key=len, default=word)


def _find(*names: str) -> Path:
    """Return the first of these data files that NLTK finds; zips are not searched."""
    try:
        import nltk.data
    except ImportError as error:
        raise UserError("this needs NLTK: pip install nltk") from error
    from pathlib import Path

    for name in names:
        try:
            return Path(str(nltk.data.find(name)))
        except LookupError:
            continue
    package = names[-1].split("/")[1].removesuffix(".zip")
    raise UserError(
        f"NLTK data {package!r} is missing: set NLTK_DATA to a folder that has it, "
        f"or run `python -m nltk.downloader {package}`"
    )


@cache
def _punkt() -> Any:
    path = _find("tokenizers/punkt/PY3/english.pickle", "tokenizers/punkt_tab/english")
    if path.suffix == ".pickle":
        return _unpickle(path, "nltk.tokenize.punkt")
    from nltk.tokenize.punkt import PunktTokenizer

    return PunktTokenizer("english")


@cache
def _tagger() -> Any:
    name = "taggers/averaged_perceptron_tagger"
    path = _find(f"{name}/averaged_perceptron_tagger.pickle", f"{name}_eng")
    from nltk.tag.perceptron import PerceptronTagger

    tagger = PerceptronTagger(load=False)
    if path.suffix == ".pickle":
        weights, tagdict, classes = _unpickle(path, "nltk.tag.perceptron")
    else:
        parts = ("weights", "tagdict", "classes")
        weights, tagdict, classes = (
            json.loads((path / f"averaged_perceptron_tagger_eng.{part}.json").read_text())
            for part in parts
        )
    tagger.model.weights, tagger.tagdict = weights, tagdict
    tagger.classes = tagger.model.classes = set(classes)
    return tagger


def _unpickle(path: Path, module: str) -> Any:
    """Load a pickle that uses only classes of one module and plain containers."""
    import pickle

    class Loader(pickle.Unpickler):
        def find_class(self, where: str, name: str) -> Any:
            plain = where in {"builtins", "__builtin__", "collections"} and name in _CONTAINERS
            if plain or where == module:
                return super().find_class(where, name)
            raise pickle.UnpicklingError(f"{path} names {where}.{name}")

    with path.open("rb") as file:
        return Loader(file).load()


@cache
def _wordnet(part: str) -> tuple[dict[str, list[str]], frozenset[str]]:
    """Return a part of speech's irregular forms and all its lemmas in WordNet."""
    exceptions = {words[0]: words[1:] for words in map(str.split, _lines(f"{part}.exc")) if words}
    lemmas = (line.split(" ", 1)[0] for line in _lines(f"index.{part}"))
    return exceptions, frozenset(lemma for lemma in lemmas if lemma)  # the licence is indented


def _lines(name: str) -> Iterator[str]:
    """Yield the lines of a WordNet file, from the zip that NLTK downloads or from the folder."""
    import zipfile

    path = _find("corpora/wordnet.zip", "corpora/wordnet")
    if path.is_dir():
        yield from (path / name).read_text().splitlines()
        return
    with zipfile.ZipFile(path) as archive:
        yield from archive.read(f"wordnet/{name}").decode().splitlines()
