"""Selection of passages: merged, without copies, and grouped by document."""

from collections.abc import Iterable

import pytest

from app.services.search.selection import RetrievedPassage, select_passages
from tests.services.search.passages import passage

TALK = (
    "So the first thing that I always do is cut the lows of the vocal at eighty hertz.",
    "Then a slow compressor with a ratio of three to one evens out the verse.",
    "And only in the chorus I add a second, faster one that catches the loudest words.",
)


def texts(passages: Iterable[RetrievedPassage]) -> list[str]:
    return [" ".join(s.text for s in one.sentences) for one in passages]


def documents(passages: Iterable[RetrievedPassage]) -> list[int]:
    return [one.document_id for one in passages]


def test_adjacent_passages_are_merged_without_repeating_their_overlap() -> None:
    found = [
        passage(1, 3, 5, "c", "d", "e", score=0.9),
        passage(2, 0, 0, "x", score=0.7),
        passage(1, 2, 3, "a", "b", "c", "d", score=0.4),
    ]
    assert texts(select_passages(found, 10, None)) == ["a b c d e", "x"]


def test_same_words_published_twice_are_one_source() -> None:
    again = [text.upper().replace(",", " --") for text in TALK]
    found = [passage(2, 0, 0, *again, score=0.4), passage(1, 4, 0, *TALK)]
    assert documents(select_passages(found, 9, None)) == [1]


def test_second_transcript_with_other_sentences_is_a_copy() -> None:
    again = (
        "The first thing that I always do is cut the lows of the vocal at eighty hertz then a slow",
        "compressor with the ratio of three to one evens out the first verse, and only in the",
        "chorus I add a second faster one.",
    )
    found = [passage(2, 0, 0, *again, score=0.4), passage(1, 4, 0, *TALK)]
    assert documents(select_passages(found, 9, None)) == [1]


@pytest.mark.parametrize(("creator", "kept"), [(None, 1), ("mara", 1), ("june", 2), ("tom", 1)])
def test_copy_of_the_named_creator_is_kept(creator: str | None, kept: int) -> None:
    found = [
        passage(1, 0, 0, *TALK, score=0.9),
        passage(2, 0, 0, *TALK, score=0.4, creator="june"),
        passage(3, 0, 0, "Something else about vocals.", score=0.6),
    ]
    selected = select_passages(found, 9, creator)
    assert documents(selected) == [kept, 3]
    assert selected[0].score == 0.9


def test_passages_that_share_a_part_or_a_pattern_are_kept() -> None:
    part = passage(2, 0, 0, TALK[0], "On drums the highs go first, and with them all the hiss.")
    assert len(select_passages([passage(1, 0, 0, *TALK), part], 9, None)) == 2
    pattern = "For {} the fader of the {} bus goes down by {} dB."
    found = [
        passage(1, n, 0, pattern.format(*words), score=0.5 - n / 10)
        for n, words in enumerate([("vocals", "reverb", 3), (), ("vocals", "reverb", 6)])
        if words
    ]
    assert len(select_passages(found, 9, None)) == 2


def test_passage_that_contains_an_earlier_one_is_kept() -> None:
    found = [passage(1, 0, 0, TALK[0], score=0.9), passage(2, 0, 0, *TALK, score=0.4)]
    assert documents(select_passages(found, 9, None)) == [1, 2]


def ranked(*documents: int) -> list[RetrievedPassage]:
    """Return passages of these documents, each with a lower score."""
    return [
        passage(document, 2 * n, 2 * n, f"word{n}", score=1 - n / 100)
        for n, document in enumerate(documents)
    ]


@pytest.mark.parametrize(
    ("found", "limit", "selected"),
    [
        # By the document's best passage.
        ((1, 2, 1, 3, 2), 5, ["word0", "word2", "word1", "word4", "word3"]),
        ((1, 2, 1, 3, 2), 2, ["word0", "word1"]),
        # A sixth passage of the first document would move the fifth back.
        ((1, 2, 3, 4, 5, 1, 6), 6, ["word0", "word1", "word2", "word3", "word4", "word6"]),
        ((1, 2, 3, 4, 5, 1), 6, ["word0", "word1", "word2", "word3", "word4"]),
        ((1, 2, 3, 4, 5, 5), 6, ["word0", "word1", "word2", "word3", "word4", "word5"]),
        ((1, 1, 1, 1, 1, 1, 1), 7, [f"word{n}" for n in range(7)]),
        ((1, 2, 3, 4, 5, 6, 7, 6), 8, [f"word{n}" for n in (0, 1, 2, 3, 4, 5, 7, 6)]),
    ],
)
def test_passages_of_a_document_are_together(
    found: tuple[int, ...], limit: int, selected: list[str]
) -> None:
    assert texts(select_passages(ranked(*found), limit, None)) == selected


def test_first_five_passages_stay_the_first_five() -> None:
    found = ranked(1, 2, 1, 3, 2, 1, 2, 3, 4)
    assert set(texts(select_passages(found, 8, None))[:5]) == set(texts(found[:5]))
