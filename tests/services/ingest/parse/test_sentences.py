"""Joining of cues into whole sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.schemas import Sentence
from app.services.ingest.parse.cues import Cue, fill_times
from app.services.ingest.parse.sentences import MAX_PIECE_WORDS, MAX_SENTENCE_WORDS, build_sections
from app.services.ingest.parse.words import count_words


def sentences(*cues: Cue) -> list[Sentence]:
    return [one for section in build_sections(cues) for one in section.sentences]


def texts(text: str) -> list[str]:
    return [one.text for one in sentences(Cue(text))]


@pytest.mark.parametrize(
    "expected",
    [
        ["One.", "Two!", "Three?", "Four…", "Five"],
        [
            "It takes 10 ms.",
            "Take 3.5 dB off, e.g. at 5 kHz.",
            "Dr. Lee vs. Mr. Ray, i.e. J. S. Ray.",
            "Yes.",
        ],
        ["See No. 5 on p. 12.", "I said no.", "Then it was 5."],
        ["He lives in the U.S. now.", "That is in the U.S.", "So do I.", "Fine."],
        ['"Sweet."', 'He said "What?" and left.', "(Really.)", "And then... nothing."],
        ["Node.js is at example.com/x.y now.", "Right?!", "Yes."],
        ["Das ist z.B. gut, d.h. besser.", "Ende."],
        ["ما هذا؟", "هذا كتاب."],
    ],
)
def test_sentences_end_at_their_punctuation(expected: list[str]) -> None:
    assert texts(" ".join(expected)) == expected


def test_punctuation_of_scripts_without_spaces_ends_sentences() -> None:
    expected = ["大家好！", "这是“Google。”", "サイトです。", "はい"]

    assert texts("".join(expected)) == expected


def test_sentence_across_cues_has_an_interpolated_time() -> None:
    cues = fill_times(
        [Cue("Turn it", 1.0, 2.0), Cue("down. Now up", 2.0, 4.0), Cue("again.", 4.0, 5.0)]
    )

    assert sentences(*cues) == [
        Sentence("Turn it down.", 1.0, 2.8),
        Sentence("Now up again.", 3.0, 5.0),
    ]


def test_cues_in_a_script_without_spaces_are_joined_without_a_space() -> None:
    found = sentences(
        Cue("認識させ", 0.0, 1.0), Cue("る方法 Google", 1.0, 2.0), Cue("です。", 2.0, 3.0)
    )

    assert [one.text for one in found] == ["認識させる方法 Google です。"]


def test_paragraph_end_new_speaker_and_new_heading_end_a_sentence() -> None:
    found = build_sections(
        [
            Cue("an item", closes=True),
            Cue("another", closes=True),
            Cue("so I", speaker="Ann"),
            Cue("said", speaker="Bob"),
            Cue("and", speaker="Bob", heading="Two"),
        ]
    )

    assert [(one.heading, [s.text for s in one.sentences]) for one in found] == [
        ("", ["an item", "another", "so I", "said"]),
        ("Two", ["and"]),
    ]


def test_speech_without_punctuation_is_cut_between_cues() -> None:
    cues = [Cue(f"these are seven words of cue {n}", float(n), n + 1.0) for n in range(20)]

    found = sentences(*cues)

    assert [count_words(one.text) for one in found] == [35, 35, 35, 35]
    assert [one.start for one in found] == [0.0, 5.0, 10.0, 15.0]


def test_sentence_of_60_words_is_not_cut() -> None:
    assert len(sentences(*[Cue("ten words are in this one cue as you see")] * 6)) == 1


@pytest.mark.parametrize(
    "text", ["a word " * 500, "it goes on, and on, " * 100, "さいとを" * 200, "x" * 5000]
)
def test_endless_cue_is_cut(text: str) -> None:
    found = texts(text)

    assert all(count_words(one) <= MAX_PIECE_WORDS for one in found)
    assert "".join("".join(found).split()) == "".join(text.split())


WORDS = st.sampled_from(
    [
        *"a I.",
        "Dr.",
        "e.g.",
        "3.5",
        "dB.",
        "So,",
        "what?",
        "...",
        "“Yes.”",
        "认识。",
        "大家",
        "ไทย",
        "x\ny",
    ]
)
CUES = st.lists(
    st.builds(
        Cue,
        st.lists(WORDS, min_size=1, max_size=80).map(" ".join),
        st.none() | st.floats(0, 9999),
        speaker=st.sampled_from([None, "Ann"]),
        heading=st.sampled_from(["", "Two"]),
        closes=st.booleans(),
    )
)


@given(CUES)
def test_no_word_is_lost_or_repeated(cues: list[Cue]) -> None:
    found = sentences(*fill_times(cues))

    before = "".join("".join(cue.text.split()) for cue in cues)
    assert "".join("".join(one.text.split()) for one in found) == before
    assert all(count_words(one.text) <= MAX_SENTENCE_WORDS for one in found)


@given(CUES)
def test_sentence_times_ascend(cues: list[Cue]) -> None:
    found = sentences(*fill_times(cues))

    starts = [one.start for one in found if one.start is not None]
    assert starts == sorted(starts)
    assert all(one.end is not None and one.end >= (one.start or 0.0) for one in found if one.end)
