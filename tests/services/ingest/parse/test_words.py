"""Word counts in different scripts."""

import pytest

from app.services.ingest.parse.words import count_words


@pytest.mark.parametrize(
    ("text", "words"),
    [("Turn it down by 3.5 dB.", 6), ("", 0), ("大家好", 2), ("使用 Google 帐户", 3), ("ไทย", 2)],
)
def test_words_are_counted_in_every_script(text: str, words: int) -> None:
    assert count_words(text) == words
