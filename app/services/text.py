"""Names, languages and sentences come in, the keys they are matched by go out. Pure."""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

import snowballstemmer

# ISO 639-1 → the name that PostgreSQL's text search and Snowball both give its stemmer.
STEMMERS = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "nb": "norwegian",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}


def stemmer(language: str) -> str:
    """Name the text search configuration for a BCP 47 tag; `simple` where there is none."""
    return STEMMERS.get(re.split(r"[-_]", language.lower(), maxsplit=1)[0], "simple")


# Letters that no decomposition takes apart, and the ways to write an apostrophe.
_PLAIN = str.maketrans("øłđŧħ’‘ʼ`´", "oldth'''''")


def fold(name: str) -> str:
    """Fold a name so that case, accents and runs of white space do not matter."""
    decomposed = unicodedata.normalize("NFKD", name.casefold().translate(_PLAIN))
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(unicodedata.normalize("NFKC", bare).split())


def slugify(name: str) -> str:
    """Make a slug: folded, words joined by `-`; letters of every script are kept."""
    return re.sub(r"[\W_]+", "-", fold(name)).strip("-")


# Words that carry no subject of their own: those of grammar, and those of asking.
STOP_WORDS = frozenset(
    """
    a about after again all also am an and any are as at be because been before being but by
    can could did do does doing don down for from further get give had has have having he
    her here hers him his how i if in into is it its itself just know let like me more most
    my need no nor not of off on once only or other our out over own please s said same say
    says she should so some such t tell than thank thanks that the their them then there
    these they thing things think this those through to too under until up us very want was
    way we were what when where which while who whom why will with would you your
    """.split()
)

_WORD = re.compile(r"[^\W_]+")
# Scripts that put no spaces between words: Thai, Lao, Khmer, kana, Han.
_UNSPACED = re.compile(r"([\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)")


def spaced(text: str) -> str:
    """Put spaces into scripts that have none: each run becomes its pairs of letters.

    So PostgreSQL, which splits at spaces, finds a word wherever it stands in a run; but a single
    letter only where it stands alone.
    """
    return _UNSPACED.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", text)


def _pairs(letters: str) -> list[str]:
    return [letters[i : i + 2] for i in range(max(1, len(letters) - 1))]


def keys(text: str, configuration: str) -> list[str]:
    """Return what a text is about: stems of its words, in order, and pairs of unspaced letters.

    `configuration` is what `stemmer` returns. Words without a subject of their own are left out.
    """
    found: list[str] = []
    for word in _WORD.findall(fold(text)):
        for piece in filter(None, _UNSPACED.split(word)):
            if _UNSPACED.fullmatch(piece):
                found += _pairs(piece)
            elif piece not in STOP_WORDS:
                found.append(_stem(piece, configuration))
    return found


@lru_cache(maxsize=50_000)
def _stem(word: str, configuration: str) -> str:
    if configuration == "simple":
        return word
    stem: str = _stemmer_of(configuration).stemWord(word)
    return stem


@cache
def _stemmer_of(configuration: str) -> Any:
    return snowballstemmer.stemmer(configuration)
