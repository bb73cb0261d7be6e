"""Parsing of a large real library, if it is available."""

from pathlib import Path

import anyio
import msgspec
import pytest

from app.services.ingest.discover.manifest import VIDEOS, VideoLine, read_manifest
from app.services.ingest.files import LibraryFolder
from app.services.ingest.parse.document import Document
from app.services.ingest.parse.parallel import parse_files
from app.services.ingest.parse.words import count_words

LIBRARY = Path(__file__).parents[4] / "shared" / "data" / "library"

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (LIBRARY / VIDEOS).is_file(), reason="the real library is not available"
    ),
]


class Line(VideoLine, frozen=True):
    """A line of the manifest with its counts."""

    words: int = 0
    timestamps: int = 0


@pytest.fixture(scope="module")
async def documents(anyio_backend: object) -> dict[str, Document | str]:
    with anyio.fail_after(60):
        entries = read_manifest(LibraryFolder(LIBRARY)).entries
        return {
            entry.key: found async for entry, found in parse_files(LibraryFolder(LIBRARY), entries)
        }


def manifest() -> list[Line]:
    decoder = msgspec.json.Decoder(Line)
    return [decoder.decode(line) for line in (LIBRARY / VIDEOS).read_bytes().splitlines()]


async def test_every_transcript_has_passages(documents: dict[str, Document | str]) -> None:
    broken = {key: found for key, found in documents.items() if isinstance(found, str)}

    assert broken == {}
    assert len(documents) == len(manifest())


async def test_word_counts_are_close_to_those_in_the_manifest(
    documents: dict[str, Document | str],
) -> None:
    # The manifest counts words between spaces, which these languages do not use.
    lines = [one for one in manifest() if (one.lang or "en")[:2] not in ("ja", "zh")]
    near = 0
    for line in lines:
        found = documents[line.video]
        assert isinstance(found, Document)
        near += abs(found.words - line.words) <= 0.15 * line.words

    assert near >= 0.98 * len(lines)


async def test_times_are_present_and_ascend(documents: dict[str, Document | str]) -> None:
    without = 0
    for line in manifest():
        found = documents[line.video]
        assert isinstance(found, Document)
        starts = [one.sentences[0].start for one in found.passages]
        known = [start for start in starts if start is not None]
        assert known == sorted(known)
        assert len(known) in (0, len(starts))
        without += not known and line.timestamps > 0

    # One has only times of unintelligible passages.
    assert without <= 1


async def test_captions_in_older_encodings_are_decoded(
    documents: dict[str, Document | str],
) -> None:
    for key in ("gvc-ja-accessibility-gfw-ja", "gvc-ja-discoverability-gfw-ja"):
        found = documents[key]
        assert isinstance(found, Document)
        text = "".join(one.text for passage in found.passages for one in passage.sentences)
        assert "Google" in text
        assert "サイト" in text
        assert "\ufffd" not in text


async def test_passages_have_about_150_words(documents: dict[str, Document | str]) -> None:
    sizes = sorted(
        sum(count_words(one.text) for one in passage.sentences)
        for found in documents.values()
        if isinstance(found, Document)
        for passage in found.passages
    )

    assert 140 <= sizes[len(sizes) // 2] <= 160
    assert sizes[-1] <= 260
