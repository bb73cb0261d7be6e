"""A file's bytes come in, and maybe its language; its text with plain line ends goes out."""

import codecs
import re

from app.services.ingest.errors import BrokenFile

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# What people's tools wrote before UTF-8, by language, likeliest first.
_LEGACY = {
    "bg": ("cp1251",),
    "cs": ("cp1250",),
    "el": ("cp1253",),
    "he": ("cp1255",),
    "hu": ("cp1250",),
    "ja": ("cp932", "euc_jp"),
    "ko": ("cp949",),
    "pl": ("cp1250",),
    "ru": ("cp1251",),
    "th": ("cp874",),
    "tr": ("cp1254",),
    "uk": ("cp1251",),
    "zh": ("gb18030",),
    "zh-hk": ("big5hkscs", "gb18030"),
    "zh-tw": ("big5", "gb18030"),
    **dict.fromkeys(("da", "de", "en", "es", "fr", "it", "nl", "no", "pt", "sv"), ("cp1252",)),
}

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def decode(data: bytes, language: str | None = None) -> str:
    """Turn a file's bytes into text whose lines end with a line feed.

    `language` is a BCP 47 tag, which tells what the bytes may be where they are no Unicode.
    Raises BrokenFile for bytes that are no text, and for nothing but white space.
    """
    text = _unicode(data)
    if text is None:
        text = _legacy(data, language)
    if "\0" in text:
        raise BrokenFile("there is a NUL in it: it is no text")
    text = _LINE_ENDS.sub("\n", text.replace("\ufeff", ""))
    if not text.strip():
        raise BrokenFile("there is no text in it")
    return text


def _unicode(data: bytes) -> str | None:
    if not data.strip():
        raise BrokenFile("there is no text in it")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _legacy(data: bytes, language: str | None) -> str:
    if b"\0" in data:
        raise BrokenFile("there is a NUL in it: it is no text")
    tag = (language or "").lower().replace("_", "-")
    for encoding in _LEGACY.get(tag) or _LEGACY.get(tag.split("-")[0], ()):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    from charset_normalizer import from_bytes

    guess = from_bytes(data).best()
    if guess is None:
        raise BrokenFile("its encoding cannot be told: save it as UTF-8")
    return str(guess)
