"""Text normalization: folded names, slugs, word segmentation and stems."""

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import chain
from typing import Literal

import snowballstemmer

# ISO 639-1 code → name of the stemmer, the same in PostgreSQL text search and Snowball.
STEMMERS = dict(
    pair.split("=")
    for pair in """
    ar=arabic ca=catalan da=danish de=german el=greek en=english es=spanish et=estonian eu=basque
    fi=finnish fr=french ga=irish hi=hindi hu=hungarian hy=armenian id=indonesian it=italian
    lt=lithuanian ne=nepali nl=dutch nb=norwegian nn=norwegian no=norwegian pt=portuguese
    ro=romanian ru=russian sr=serbian sv=swedish ta=tamil tr=turkish yi=yiddish
    """.split()
)


def stemmer(language: str) -> str:
    """Return the text search configuration for a BCP 47 tag, `simple` if there is no stemmer."""
    return STEMMERS.get(re.split(r"[-_]", language.lower(), maxsplit=1)[0], "simple")


# Longer texts are normalized in pieces, if possible of this length and from an ASCII character to
# another: the time that a run of combining marks takes grows with the square of its length.
_MAX_PIECE = 250
_PIECE = re.compile(rf".{{1,{_MAX_PIECE}}}(?=[\x00-\x7f]|\Z)|.{{1,{_MAX_PIECE}}}", re.DOTALL)


def _normalize(form: Literal["NFC", "NFKD"], text: str) -> str:
    if len(text) <= _MAX_PIECE:
        return unicodedata.normalize(form, text)
    return "".join(unicodedata.normalize(form, piece) for piece in _PIECE.findall(text))


# Letters without a Unicode decomposition, and variants of the apostrophe.
_EQUIVALENTS = str.maketrans("øłđŧħ’‘ʼ`´", "oldth'''''")


def fold(name: str) -> str:
    """Normalize a name: ignore case, accents and repeated white space."""
    if name.isascii():
        return " ".join(name.lower().replace("`", "'").split())
    decomposed = _normalize("NFKD", name.casefold().translate(_EQUIVALENTS))
    base = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(unicodedata.normalize("NFKC", base).split())


def slugify(name: str) -> str:
    """Return a slug: the folded words joined by `-`, with letters of any script."""
    return re.sub(r"[\W_]+", "-", fold(name)).strip("-")


# English function words and words that only phrase a question.
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
# The stem cache of each language: entries, and characters of the longest token that is cached.
_CACHE_SIZE, _MAX_CACHED_LENGTH = 30_000, 30
# The cache of sentences' stems: entries of about a kilobyte, and characters of the longest one.
_SENTENCE_CACHE_SIZE, _MAX_CACHED_SENTENCE = 4_000, 250
# Scripts written without spaces between words: Thai, Lao, Khmer, kana, Han.
_HAN = r"\u3005-\u3007\u3400-\u9fff\uf900-\ufaff"
_UNSPACED = re.compile(rf"([\u0e00-\u0eff\u1780-\u17ff\u3041-\u30fa\u30fc-\u30ff{_HAN}]+)")
_HAN_CHARACTER = re.compile(f"[{_HAN}]")

# Compatibility forms: full and half width, ligatures, Arabic presentation forms, Han radicals.
# Applied to all text, NFKC would also turn `6½` into `61⁄2`.
_COMPATIBILITY = re.compile(r"[\u2e80-\u2fdf\ufb00-\ufdff\ufe70-\uffef]+")
# Soft hyphens, joiners, direction marks, zero-width spaces and byte order marks.
_INVISIBLE = dict.fromkeys([0xAD, 0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060])
_INVISIBLE |= {0x200B: " ", 0xFEFF: " "}
# PostgreSQL parses `1998-2000` as 1998 and minus 2000, and `Node.js` as a host name.
_JOINER = re.compile(r"[-\u2010-\u2015\u2212]|(?<!\d)\.|\.(?!\d)")
# `LarryPage` is indexed as written and as its two words.
_CAMEL_CASE = re.compile(r"\b(?=[A-Za-z]++\b)[A-Za-z]*[a-z]{2}[A-Z][a-z]{2}[A-Za-z]*")
_CASE_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z])")


def segment(text: str) -> str:
    """Separate words with spaces, as PostgreSQL's text search parser needs them.

    Runs of an unspaced script become character bigrams, plus single Han characters, which may be
    words. Words joined by a hyphen or a full stop are separated. Character forms are normalized.
    """
    if not text.isascii():
        text = _normalize("NFC", text.translate(_INVISIBLE))
        text = _COMPATIBILITY.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
    text = _JOINER.sub(" ", text)
    if _CASE_CHANGE.search(text):
        text = _CAMEL_CASE.sub(lambda word: f"{word[0]} {_CASE_CHANGE.sub(' ', word[0])}", text)
    if not text.isascii():
        text = _UNSPACED.sub(lambda run: f" {' '.join(_unspaced_terms(run[0]))} ", text)
    return text


def is_unspaced(word: str) -> bool:
    """Return whether a word is entirely in a script written without spaces between words."""
    return _UNSPACED.fullmatch(word) is not None


def _unspaced_terms(run: str) -> list[str]:
    return [*_bigrams(run), *_HAN_CHARACTER.findall(run)] if len(run) > 1 else [run]


def _bigrams(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


def stems(text: str, configuration: str) -> list[str]:
    """Return the stems of a text's content words, in order; bigrams for unspaced scripts.

    `configuration` is a result of `stemmer`.
    """
    return list(chain.from_iterable(map(_stem_cache(configuration).__getitem__, text.split())))


def stem_set(sentence: str, configuration: str) -> frozenset[str]:
    """Return the set of a sentence's stems, from a cache unless it is long."""
    cached = len(sentence) <= _MAX_CACHED_SENTENCE
    return (_cached_stem_set if cached else _cached_stem_set.__wrapped__)(sentence, configuration)


# Stemming the 45 sentences found for a question took a sixth of the time to the first token, and
# the same sentences are found for other questions. Interning stores each stem once.
@lru_cache(_SENTENCE_CACHE_SIZE)
def _cached_stem_set(sentence: str, configuration: str) -> frozenset[str]:
    return frozenset(map(sys.intern, stems(sentence, configuration)))


def has_content_words(question: str) -> bool:
    """Return whether a question has any word that is not a stop word."""
    return bool(stems(question, "simple"))


class _StemCache(dict[str, tuple[str, ...]]):
    """Maps a white-space separated token, punctuation included, to its stems.

    The sources of one question have about 600 tokens, which the cache makes twelve times as fast.
    """

    def __init__(self, configuration: str) -> None:
        super().__init__()
        stemmer = None if configuration == "simple" else snowballstemmer.stemmer(configuration)
        self._stem: Callable[[str], str] = stemmer.stemWord if stemmer else str

    def __missing__(self, token: str) -> tuple[str, ...]:
        found: list[str] = []
        for word in _WORD.findall(fold(token)):
            for part in filter(None, _UNSPACED.split(word)):
                if is_unspaced(part):
                    found += _bigrams(part)
                elif part not in STOP_WORDS:
                    found.append(self._stem(part))
        result = tuple(found)
        # In an unspaced script a token is a whole sentence, which is unlikely to recur.
        if len(token) <= _MAX_CACHED_LENGTH:
            if len(self) >= _CACHE_SIZE:
                self.clear()
            self[token] = result
        return result


@cache
def _stem_cache(configuration: str) -> _StemCache:
    return _StemCache(configuration)
