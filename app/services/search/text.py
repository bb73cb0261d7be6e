"""Names, languages and sentences come in, the keys they are matched by go out. Pure."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import chain

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
# How many words of a language have their keys kept, and how long they may be.
_MOST_KEPT, _LONGEST_KEPT = 30_000, 30
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
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_UNSEEN))
        text = _SHAPES.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
    text = _GLUE.sub(" ", text)
    if _HUMP.search(text):
        text = _CAMEL.sub(lambda word: f"{word[0]} {_HUMP.sub(' ', word[0])}", text)
    if not text.isascii():
        text = _UNSPACED.sub(lambda run: f" {' '.join(_letters(run[0]))} ", text)
    return text


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
    return list(chain.from_iterable(map(_keyed(configuration).__getitem__, text.split())))


class _Keyed(dict[str, tuple[str, ...]]):
    """What stands between two spaces, punctuation and all, and its keys; filled as it is asked.

    The sources of one question have 600 words: looked up, they take a twelfth of the time.
    """

    def __init__(self, configuration: str) -> None:
        super().__init__()
        stemmer = None if configuration == "simple" else snowballstemmer.stemmer(configuration)
        self._stem: Callable[[str], str] = stemmer.stemWord if stemmer else str

    def __missing__(self, piece: str) -> tuple[str, ...]:
        found: list[str] = []
        for word in _WORD.findall(fold(piece)):
            for part in filter(None, _UNSPACED.split(word)):
                if unspaced(part):
                    found += _pairs(part)
                elif part not in STOP_WORDS:
                    found.append(self._stem(part))
        keyed = tuple(found)
        # Without spaces a whole sentence is one piece, and does not come again.
        if len(piece) <= _LONGEST_KEPT:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[piece] = keyed
        return keyed


@cache
def _keyed(configuration: str) -> _Keyed:
    return _Keyed(configuration)
