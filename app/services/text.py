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
    "et": "estonian",
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
    if name.isascii():
        return " ".join(name.lower().replace("`", "'").split())
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
_HAN = r"\u3005-\u3007\u3400-\u9fff\uf900-\ufaff"
_UNSPACED = re.compile(rf"([\u0e00-\u0eff\u1780-\u17ff\u3041-\u30fa\u30fc-\u30ff{_HAN}]+)")
_ONE_HAN = re.compile(f"[{_HAN}]")

# Other shapes of the same letters: full and half width, ligatures, Arabic in its printed forms,
# parts of Han letters. Elsewhere NFKC takes too much: it makes `6½` into `61⁄2`.
_SHAPES = re.compile(r"[\u2e80-\u2fdf\ufb00-\ufdff\ufe70-\uffef]+")
# What is not seen: soft hyphens, joiners, marks of direction or of a file's beginning.
_UNSEEN = dict.fromkeys([0xAD, 0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060])
_UNSEEN |= {0x200B: " ", 0xFEFF: " "}
# PostgreSQL takes `1998-2000` for 1998 and minus 2000, and `Node.js` for a host's name.
_GLUE = re.compile(r"[-\u2010-\u2015\u2212]|(?<!\d)\.|\.(?!\d)")


# `LarryPage` is found as it is written and by either of its words.
_CAMEL = re.compile(r"\b[A-Za-z]*[a-z]{2}[A-Z][a-z]{2}[A-Za-z]*\b")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def spaced(text: str) -> str:
    """Write a text so that PostgreSQL, which splits at spaces, finds each of its words.

    A run of a script without spaces becomes its pairs of letters, so that a word is found
    wherever it stands in it, and its single Han letters, each of which may be a word. Words that
    a hyphen or a point glues together come apart; letters have one shape and nothing unseen.
    """
    shaped = unicodedata.normalize("NFC", text.translate(_UNSEEN))
    shaped = _SHAPES.sub(lambda run: unicodedata.normalize("NFKC", run[0]), shaped)
    apart = _CAMEL.sub(lambda word: f"{word[0]} {_HUMP.sub(' ', word[0])}", _GLUE.sub(" ", shaped))
    return _UNSPACED.sub(lambda run: f" {' '.join(_letters(run[0]))} ", apart)


def unspaced(word: str) -> bool:
    """Tell whether all of a word is of a script that puts no spaces between words."""
    return _UNSPACED.fullmatch(word) is not None


def _letters(run: str) -> list[str]:
    return [*_pairs(run), *_ONE_HAN.findall(run)] if len(run) > 1 else [run]


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


def keys(text: str, configuration: str) -> list[str]:
    """Return what a text is about: stems of its words, in order, and pairs of unspaced letters.

    `configuration` is what `stemmer` returns. Words without a subject of their own are left out.
    """
    found: list[str] = []
    for word in _WORD.findall(fold(text)):
        for piece in filter(None, _UNSPACED.split(word)):
            if unspaced(piece):
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
