"""Decode files of any encoding to text with plain line ends."""

import codecs
import re

from app.services.ingest.errors import BrokenFile

# UTF-32 comes first: its byte order mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Encodings in use before UTF-8, by language, the most likely first.
_LEGACY_ENCODINGS = {
    "el": ("cp1253",),
    "he": ("cp1255",),
    "ja": ("cp932", "euc_jp"),
    "ko": ("cp949",),
    "th": ("cp874",),
    "tr": ("cp1254",),
    "zh": ("gb18030",),
    "zh-hk": ("big5hkscs", "gb18030"),
    "zh-tw": ("big5", "gb18030"),
    **dict.fromkeys(("bg", "ru", "uk"), ("cp1251",)),
    **dict.fromkeys(("cs", "hu", "pl"), ("cp1250",)),
    **dict.fromkeys(("da", "de", "en", "es", "fr", "it", "nl", "no", "pt", "sv"), ("cp1252",)),
}

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def decode(data: bytes, language: str | None = None) -> str:
    """Decode a file's bytes, and end its lines with a line feed.

    `language` is a BCP 47 tag; it helps to find the encoding of a file that is not Unicode.
    Raises BrokenFile for bytes that are not text, and for an empty file.
    """
    if not data.strip():
        raise BrokenFile("contains no text")
    text = _decode_unicode(data)
    if text is None:
        text = _decode_legacy(data, language)
    if "\0" in text:
        raise BrokenFile("contains a NUL character, so it is not text")
    text = _LINE_ENDS.sub("\n", text.replace("\ufeff", ""))
    if not text.strip():
        raise BrokenFile("contains no text")
    return text


def _decode_unicode(data: bytes) -> str | None:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _decode_legacy(data: bytes, language: str | None) -> str:
    if b"\0" in data:
        raise BrokenFile("contains a NUL character, so it is not text")
    tag = (language or "").lower().replace("_", "-")
    for encoding in _LEGACY_ENCODINGS.get(tag) or _LEGACY_ENCODINGS.get(tag.split("-")[0], ()):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    from charset_normalizer import from_bytes

    guess = from_bytes(data).best()
    if guess is None:
        raise BrokenFile("has an unknown encoding; save it as UTF-8")
    return str(guess)
