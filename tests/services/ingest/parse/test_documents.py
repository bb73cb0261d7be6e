"""A file and what is said of it become a document."""

import datetime
from pathlib import Path

import pytest

from app.services.ingest.discover.entries import LARGEST, Entry, content_hash, load
from app.services.ingest.discover.folders import read_folders
from app.services.ingest.errors import BrokenFile
from app.services.ingest.parse.documents import Document, read_document
from tests.services.ingest.libraries import ATTACK, TALK, VTT, plain_library


def read(path: str, text: str | bytes, entry: Entry | None = None) -> Document:
    data = text.encode() if isinstance(text, str) else text
    return read_document(entry or Entry(key=path, path=path, creator="ann"), data)


def test_a_page_is_described_by_its_front_matter() -> None:
    page = read("attack.md", ATTACK)

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
    talk = read("modes.md", TALK)

    assert (talk.kind, talk.topic, talk.speakers) == ("video", "acoustics", ("Ann Lee",))
    assert talk.url == "https://www.youtube.com/watch?v=abcdefghijk"
    (passage,) = talk.passages
    assert [(one.speaker, one.start) for one in passage.sentences] == [
        ("Ann Lee", 5.0),
        ("Ann Lee", 12.7),
        ("Bob", 20.0),
    ]
    assert talk.words == 17


def test_the_library_knows_better_than_the_file() -> None:
    entry = Entry(
        key="x",
        path="x.md",
        creator="ann",
        kind="video",
        title="A talk",
        language="en-GB",
        published=datetime.date(2020, 1, 1),
    )

    talk = read("x.md", ATTACK, entry)

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
def test_a_title_is_found_without_being_told(path: str, text: str, title: str) -> None:
    assert read(path, text).title == title


def test_front_matter_says_that_a_page_is_a_video() -> None:
    assert read("x.md", "---\nkind: video\n---\nHello.").kind == "video"
    assert read("x.md", "---\nkind: page\n---\n\\[00:01\\] A\n\n\\[00:02\\] B").kind == "page"


def test_a_language_that_is_none_is_english() -> None:
    assert read("x.md", "---\nlang: pt_BR\n---\nOlá.").language == "pt-BR"
    assert read("x.md", "---\nlang: what they speak\n---\nHello.").language == "en"
    assert read("x.md", "Hello.").language == "en"


def test_a_language_that_nothing_tells_is_that_of_the_text() -> None:
    text = "Der Bass liegt unter der Trommel, und beide teilen sich die tiefen Töne des Raums."
    captions = f"WEBVTT\n\n00:01.000 --> 00:05.000\n<v Ann Lee>{text}\n"

    assert read("x.md", f"# Mixing\n\n{text}").language == "de"
    assert read("x.vtt", captions).language == "de"


def test_a_language_that_the_text_contradicts_yields() -> None:
    text = "低音を上げる前に、部屋の響きを確かめてください。それから耳で決めます。" * 3
    entry = Entry(key="x", path="x.md", creator="ann", language="en")

    assert read("x.md", text, entry).language == "ja"


@pytest.mark.parametrize(
    ("told", "tag"),
    [("German", "de"), ("eng", "en"), ("zh_Hans", "zh-Hans"), ("EN", "en"), ("Klingon", "en")],
)
def test_a_language_is_read_as_people_tell_it(told: str, tag: str) -> None:
    assert read("x.md", f"---\nlanguage: {told}\n---\nHello.").language == tag


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
def test_what_is_no_address_of_the_web_is_no_url(url: str) -> None:
    assert read("x.md", f"---\nurl: {url}\n---\nHello.").url is None
    other = read("x.md", f"---\nurl: {url}\nlink: https://example.com/a\n---\nHello.")
    assert other.url == "https://example.com/a"


def test_speakers_may_stand_in_one_line() -> None:
    talk = read("x.md", "---\nspeakers: Ann Lee, Tom Fox\n---\nHello.")

    assert talk.speakers == ("Ann Lee", "Tom Fox")


def test_settings_on_a_page_are_kept() -> None:
    page = read("x.md", "# Vocals\n\n- Ratio: 4:1\n- Attack: 10 ms\n- Ratio: 8:1\n")

    said = " ".join(one.text for passage in page.passages for one in passage.sentences)
    assert (page.kind, said) == ("page", "Ratio: 4:1 Attack: 10 ms Ratio: 8:1")


def test_plain_text_is_a_transcript_or_a_page_by_its_times() -> None:
    talk = read("x.txt", "Ann: 0:05\nHello there.\n\nBob: 0:09\nHello.\n\nAnn: 0:11\nWell.\n")

    assert [(one.speaker, one.start) for one in talk.passages[0].sentences] == [
        ("Ann", 5.0),
        ("Bob", 9.0),
        ("Ann", 11.0),
    ]
    assert talk.kind == "video"
    assert read("x.txt", "Hello there.\n\nGoodbye.\n").kind == "page"


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("x.md", "", "no text"),
        ("x.md", "---\ntitle: nothing else\n---\n", "no text"),
        ("x.md", "![a picture](x.png)", "no text"),
        ("x.vtt", "WEBVTT\n", "no captions"),
        ("x.srt", "Only words.", "no captions"),
        ("x.srt", "1\n00:00:01,000 --> 00:00:02,000\n<i></i>\n", "no text"),
    ],
)
def test_a_file_without_words_is_refused(path: str, text: str, why: str) -> None:
    with pytest.raises(BrokenFile, match=why):
        read(path, text)


def test_a_file_that_is_too_large_or_gone_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(LARGEST + 1)

    with pytest.raises(BrokenFile, match="larger than 20 MB"):
        load(tmp_path, Entry(key="x", path="large.txt", creator="ann"))
    with pytest.raises(BrokenFile, match="No such file"):
        load(tmp_path, Entry(key="x", path="gone.txt", creator="ann"))


def test_the_hash_changes_with_the_bytes_and_with_what_is_said_of_them(tmp_path: Path) -> None:
    entries = read_folders(plain_library(tmp_path)).entries
    one, other = entries[:2]

    hashes = {content_hash(one, b"a"), content_hash(one, b"b"), content_hash(other, b"a")}

    assert len(hashes) == 3
    assert content_hash(one, b"a") in hashes
