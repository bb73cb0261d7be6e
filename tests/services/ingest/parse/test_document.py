"""Parsing of a file and its metadata into a document."""

import datetime
from pathlib import Path

import pytest

from app.schemas import Sentence
from app.services.ingest.bounds import MAX_FILE_BYTES
from app.services.ingest.discover.folders import read_folders
from app.services.ingest.entry import LibraryEntry, read_file
from app.services.ingest.errors import BrokenFile
from app.services.ingest.files import LibraryFolder
from app.services.ingest.parse.document import Document, content_hash, parse_document
from tests.services.ingest.libraries import ATTACK, TALK, VTT, plain_library


def parse(path: str, text: str | bytes, entry: LibraryEntry | None = None) -> Document:
    data = text.encode() if isinstance(text, str) else text
    return parse_document(entry or LibraryEntry(key=path, path=path, creator="ann"), data)


def test_front_matter_describes_a_page() -> None:
    page = parse("attack.md", ATTACK)

    assert (page.kind, page.title, page.topic) == (
        "page",
        "Side-chain the bass",
        "Side-chain compression",
    )
    assert (page.url, page.language) == ("https://example.com/attack", "en")
    assert page.published == datetime.date(2024, 5, 31)
    assert [one.heading for one in page.passages] == ["Attack", "Release"]
    assert page.passages[0].sentences[0].text == "Set the attack of the compressor to 10 ms."
    assert page.passages[0].sentences[0].start is None


def test_markdown_with_times_is_a_video() -> None:
    talk = parse("modes.md", TALK)

    assert (talk.kind, talk.topic, talk.speakers) == ("video", "acoustics", ("Ann Lee",))
    assert talk.url == "https://www.youtube.com/watch?v=abcdefghijk"
    (passage,) = talk.passages
    assert [(one.speaker, one.start) for one in passage.sentences] == [
        ("Ann Lee", 5.0),
        ("Ann Lee", 12.7),
        ("Bob", 20.0),
    ]
    assert talk.words == 17


def test_library_metadata_takes_precedence_over_front_matter() -> None:
    entry = LibraryEntry(
        key="x",
        path="x.md",
        creator="ann",
        kind="video",
        title="A talk",
        language="en-GB",
        published=datetime.date(2020, 1, 1),
    )

    talk = parse("x.md", ATTACK, entry)

    assert (talk.kind, talk.title, talk.language) == ("video", "A talk", "en-GB")
    assert talk.published == datetime.date(2020, 1, 1)
    assert talk.topic == "Side-chain compression"


@pytest.mark.parametrize(
    ("path", "text", "title"),
    [
        ("my_first-page.md", "# On *gain*\n\nHello.", "On gain"),
        ("my_first-page.md", "Hello.", "My first page"),
        ("my_first-page.txt", "Hello.", "My first page"),
        ("Bass talk [dQw4w9WgXcQ].en.vtt", VTT, "Bass talk"),
    ],
)
def test_title_is_derived_from_the_heading_or_file_name(path: str, text: str, title: str) -> None:
    assert parse(path, text).title == title


def test_front_matter_can_state_the_kind() -> None:
    assert parse("x.md", "---\nkind: video\n---\nHello.").kind == "video"
    assert parse("x.md", "---\nkind: page\n---\n\\[00:01\\] A\n\n\\[00:02\\] B").kind == "page"


def test_unknown_language_counts_as_english() -> None:
    assert parse("x.md", "---\nlang: pt_BR\n---\nOlá.").language == "pt-BR"
    assert parse("x.md", "---\nlang: the usual one\n---\nHello.").language == "en"
    assert parse("x.md", "Hello.").language == "en"


def test_language_is_detected_if_it_is_not_stated() -> None:
    text = "Der Bass liegt unter der Trommel, und beide teilen sich die tiefen Töne des Raums."
    captions = f"WEBVTT\n\n00:01.000 --> 00:05.000\n<v Ann Lee>{text}\n"

    assert parse("x.md", f"# Mixing\n\n{text}").language == "de"
    assert parse("x.vtt", captions).language == "de"


def test_stated_language_that_the_text_contradicts_is_replaced() -> None:
    text = "低音を上げる前に、部屋の響きを確かめてください。それから耳で決めます。" * 3
    entry = LibraryEntry(key="x", path="x.md", creator="ann", language="en")

    assert parse("x.md", text, entry).language == "ja"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "'[watch](https://example.com/talk)'",
        "https://[your-site]/talk",
        "https://",
        "example.com/talk",
        "ftp://example.com/talk",
    ],
)
def test_only_web_addresses_are_urls(url: str) -> None:
    assert parse("x.md", f"---\nurl: {url}\n---\nHello.").url is None
    other = parse("x.md", f"---\nurl: {url}\nlink: https://example.com/a\n---\nHello.")
    assert other.url == "https://example.com/a"


def test_speakers_may_be_separated_by_commas() -> None:
    talk = parse("x.md", "---\nspeakers: Ann Lee, Tom Fox\n---\nHello.")

    assert talk.speakers == ("Ann Lee", "Tom Fox")


def test_ratios_on_a_page_are_not_times() -> None:
    page = parse("x.md", "# Vocals\n\n- Ratio: 4:1\n- Attack: 10 ms\n- Ratio: 8:1\n")

    text = " ".join(one.text for passage in page.passages for one in passage.sentences)
    assert (page.kind, text) == ("page", "Ratio: 4:1 Attack: 10 ms Ratio: 8:1")


def test_page_keeps_its_bold_words_and_has_no_times() -> None:
    page = parse("x.md", "## Gain\n\n**Rule:** at 12:30 take 3 dB off.\n")

    (passage,) = page.passages
    assert (page.kind, passage.heading) == ("page", "Gain")
    assert passage.sentences == (Sentence("Rule: at 12:30 take 3 dB off."),)


def test_plain_text_with_times_is_a_transcript() -> None:
    talk = parse("x.txt", "Ann: 0:05\nHello there.\n\nBob: 0:09\nHello.\n\nAnn: 0:11\nWell.\n")

    assert [(one.speaker, one.start) for one in talk.passages[0].sentences] == [
        ("Ann", 5.0),
        ("Bob", 9.0),
        ("Ann", 11.0),
    ]
    assert talk.kind == "video"
    assert parse("x.txt", "Hello there.\n\nGoodbye.\n").kind == "page"


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("x.md", "", "no text"),
        ("x.md", "---\ntitle: nothing else\n---\n", "no text"),
        ("x.md", "![a picture](x.png)", "no text"),
        ("x.vtt", "WEBVTT\n", "no captions"),
        ("x.srt", "Only words.", "no captions"),
        ("x.srt", "1\n00:00:01,000 --> 00:00:02,000\n<i></i>\n", "no text"),
    ],
)
def test_file_without_words_is_broken(path: str, text: str, reason: str) -> None:
    with pytest.raises(BrokenFile, match=reason):
        parse(path, text)


def test_large_or_missing_file_is_broken(tmp_path: Path) -> None:
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)

    with pytest.raises(BrokenFile, match="larger than 20 MB"):
        read_file(LibraryFolder(tmp_path), LibraryEntry(key="x", path="large.txt", creator="ann"))
    with pytest.raises(BrokenFile, match="No such file"):
        read_file(LibraryFolder(tmp_path), LibraryEntry(key="x", path="gone.txt", creator="ann"))


def test_content_hash_depends_on_the_bytes_and_the_entry(tmp_path: Path) -> None:
    entries = read_folders(LibraryFolder(plain_library(tmp_path))).entries
    one, other = entries[:2]

    hashes = {content_hash(one, b"a"), content_hash(one, b"b"), content_hash(other, b"a")}

    assert len(hashes) == 3
    assert content_hash(one, b"a") in hashes
