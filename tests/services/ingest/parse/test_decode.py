"""Decoding of files in different encodings."""

import codecs

import pytest

from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.decode import decode


@pytest.mark.parametrize(
    "data",
    [
        "größer".encode(),
        "größer".encode("utf-8-sig"),
        "größer".encode("utf-16"),
        codecs.BOM_UTF16_BE + "größer".encode("utf-16-be"),
        "größer".encode("utf-32"),
    ],
)
def test_unicode_is_decoded_with_and_without_a_byte_order_mark(data: bytes) -> None:
    assert decode(data) == "größer"


@pytest.mark.parametrize(
    ("text", "encoding", "language"),
    [
        ("サイトを認識させる方法", "cp932", "ja"),
        ("サイトを認識させる方法", "euc_jp", "ja-JP"),
        ("您可以轻松地为网站添加功能", "gb18030", "zh-CN"),
        ("您可以輕鬆地為網站新增功能", "big5", "zh_TW"),
        ("Сначала создадим приложение", "cp1251", "ru"),
        ("Überblick über die Länge", "cp1252", "de"),
    ],
)
def test_legacy_encoding_is_chosen_by_language(text: str, encoding: str, language: str) -> None:
    assert decode(text.encode(encoding), language) == text


def test_legacy_encoding_is_detected_without_a_language() -> None:
    text = "Сегодня мы поговорим о том, как записывать голос дома. " * 20

    assert decode(text.encode("cp1251")) == text


def test_line_ends_become_line_feeds() -> None:
    assert decode("a\r\nb\rc\nd\u2028e".encode()) == "a\nb\nc\nd\ne"


@pytest.mark.parametrize("data", [b"", b" \r\n\t ", codecs.BOM_UTF8])
def test_file_without_text_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenFile, match="no text"):
        decode(data)


@pytest.mark.parametrize("data", [b"a\0b", b"\xff\x00\x80\x00"])
def test_file_with_a_nul_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenFile, match="NUL"):
        decode(data)
