"""Speakers and times in written transcripts."""

import pytest

from app.services.ingest.parse.cues import Cue
from app.services.ingest.parse.dialogue import is_transcript, transcript_cues
from app.services.ingest.parse.markdown import parse_blocks


def spoken(text: str, *speakers: str) -> list[tuple[str | None, float | None, str]]:
    return [
        (cue.speaker, cue.start, cue.text) for cue in transcript_cues(parse_blocks(text), speakers)
    ]


@pytest.mark.parametrize(
    "header",
    [
        "Ann Lee: 00:01:23",
        "Ann Lee : 0:01:23",
        "Ann Lee:00:01:23",
        "Ann Lee – 00:01:23:",
        "Ann Lee- 00:01:23:",
        "Ann Lee 00:01:23",
        "Ann Lee: 0: 00:01:23",
        "Ann Lee: 00.01:23",
        "Ann Lee: 01:23",
        "Ann Lee (01:23):",
        "Ann Lee [00:01:23]",
        "[Ann Lee]: 00:01:23",
        "**Ann Lee:** 00:01:23",
        "**Ann Lee** 00:01:23",
        "**Ann Lee**: [01:23](https://example.com/v?t=83)",
    ],
)
def test_line_with_a_name_and_a_time_opens_a_turn(header: str) -> None:
    assert spoken(f"{header}\n\nHello.\nGood morning.\n") == [
        ("Ann Lee", 83.0, ""),
        ("Ann Lee", None, "Hello. Good morning."),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "**Ann Lee:** \\[01:23\\] Hello.",
        "**Ann Lee**: [00:01:23](https://example.com/v?t=83) Hello.",
        "Ann Lee: 00:01:23 Hello.",
        "Ann Lee (01:23): Hello.",
        "[01:23] Ann Lee: Hello.",
        "Ann Lee: 00:01:23\nHello.",
    ],
)
def test_words_may_follow_a_name_on_the_same_line(line: str) -> None:
    cues = [cue for cue in spoken(f"{line}\n\nAnn Lee: Yes.", "Ann Lee") if cue[2]]

    assert cues[0] in [("Ann Lee", 83.0, "Hello."), ("Ann Lee", None, "Hello.")]
    assert cues[1] == ("Ann Lee", None, "Yes.")


def test_words_directly_after_a_time_are_kept() -> None:
    assert spoken("Ann: 00:02:06 Matt\n\nNice.") == [
        ("Ann", 126.0, "Matt"),
        ("Ann", None, "Nice."),
    ]


def test_time_in_the_middle_of_a_sentence_starts_a_cue() -> None:
    assert transcript_cues(parse_blocks("It is \\[43:59\\] pretty loud.")) == [
        Cue("It is"),
        Cue("pretty loud.", 2639.0, closes=True),
    ]


@pytest.mark.parametrize("name", ["**Break:** ", "**Break**: ", ""])
def test_break_has_times_and_no_words(name: str) -> None:
    cues = spoken(f"{name}\\[01:33\\] to \\[01:03:00.15\\]")

    assert [(start, text) for _, start, text in cues] == [(93.0, ""), (3780.15, "")]


def test_time_of_an_unintelligible_word_is_removed() -> None:
    assert spoken("We used \\[unintelligible 00:44:13.15\\] for it.") == [
        (None, None, "We used [unintelligible] for it.")
    ]


@pytest.mark.parametrize(
    "line",
    [
        "The time is now 9:23. Let us begin.",
        "So this was sent at 2:24",
        "August 1, 2017 around 6:12 UTC, it did something.",
        "I work from 5:30 AM till 2 PM.",
    ],
)
def test_time_of_day_is_not_a_timestamp(line: str) -> None:
    assert spoken(line) == [(None, None, line)]
    assert not is_transcript(parse_blocks(f"{line}\n\n{line}\n"))


def test_ratio_is_not_a_time() -> None:
    assert spoken("Ratio: 4:1") == [(None, None, "Ratio: 4:1")]


@pytest.mark.parametrize(
    "lines",
    [
        "- Ratio: 4:1\n- Attack: 10 ms\n- Ratio: 8:1",
        "Doors: 19:00\nShow: 20:30",
        "**Doors:** 19:00\n\n**Show:** 20:30",
        "- Verse: 0:15\n- Chorus: 0:30\n- Verse: 1:00\n- Chorus: 1:15",
        "- Lap: 1:23.456\n- Lap: 1:22.981",
        "- Monday: 19:00 doors\n- Tuesday: 18:00 doors\n- Monday: 20:00 doors",
        "Take samples[0:10] and samples[10:20].\n\nThen samples[1:15].",
        "See [1:30](https://a.example/1) for the kick.\n\nSee [2:30](https://a.example/2) too.",
        "```\n[00:10] a log\n[00:20] a log\n```",
    ],
)
def test_page_with_ratios_hours_or_links_is_not_a_transcript(lines: str) -> None:
    assert not is_transcript(parse_blocks(lines))


@pytest.mark.parametrize(
    ("lines", "speakers"),
    [
        ("\\[00:05\\] Hello.\n\nSo it is \\[00:15\\] loud.", ()),
        ("Ann: 00:00:05\n\nHello.\n\nBob: 00:00:09\n\nHi.", ()),
        ("0:05\n\nHello.\n\n0:09\n\nHi.", ()),
        ("Ann: 0:05\n\nHello.\n\nBob: 0:09\n\nHi.\n\nAnn: 0:12\n\nBye.", ()),
        ("Ann: 0:05 Hello.\n\nBob: 0:09 Hi.\n\nCy: 0:12 Bye.", ("Cy Lee",)),
    ],
)
def test_lines_with_times_make_a_transcript(lines: str, speakers: tuple[str, ...]) -> None:
    assert is_transcript(parse_blocks(lines), speakers)


def test_name_on_a_line_of_its_own_is_the_next_speaker() -> None:
    text = "Ann Lee: 0:05\n\nHello.\n\nTom Fox:\n\nThank you.\n\nYes.\n\nAnn Lee:\n\nWell.\n"

    assert [(who, words) for who, _, words in spoken(text, "Ann Lee", "Tom Fox") if words] == [
        ("Ann Lee", "Hello."),
        ("Tom Fox", "Thank you."),
        ("Tom Fox", "Yes."),
        ("Ann Lee", "Well."),
    ]


@pytest.mark.parametrize("line", ["**Break:** \\[00:43\\]", "Break: \\[00:43\\]"])
def test_break_is_not_a_speaker(line: str) -> None:
    assert spoken(f"**Ann:** Hello.\n\n{line}\n\nAnd on we go.\n", "Ann") == [
        ("Ann", None, "Hello."),
        ("Ann", 43.0, ""),
        ("Ann", None, "And on we go."),
    ]


def test_speaker_continues_after_a_heading() -> None:
    cues = transcript_cues(parse_blocks("## One\n\nAnn: 00:10\n\nHello.\n\n## Two\n\nMore.\n"))

    assert [(cue.heading, cue.speaker, cue.text) for cue in cues] == [
        ("One", "Ann", ""),
        ("One", "Ann", "Hello."),
        ("Two", "Ann", "More."),
    ]


def test_bold_terms_of_a_list_are_not_speakers() -> None:
    text = "Some prose.\n\n" * 8 + "- **Trust:** we have it.\n- **Note:** no more.\n"

    assert spoken(text)[-2:] == [
        (None, None, "Trust: we have it."),
        (None, None, "Note: no more."),
    ]
