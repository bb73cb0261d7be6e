"""Written transcripts give speakers and times in all the ways that people write them."""

import pytest

from app.services.ingest.parse.cues import Cue
from app.services.ingest.parse.dialogue import has_times, page, turns
from app.services.ingest.parse.markdown import blocks


def said(text: str, *speakers: str) -> list[tuple[str | None, float | None, str]]:
    return [(cue.speaker, cue.start, cue.text) for cue in turns(blocks(text), speakers)]


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
def test_a_line_opens_a_turn(header: str) -> None:
    assert said(f"{header}\n\nHello.\nGood morning.\n") == [
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
def test_a_turn_and_its_words_may_stand_on_one_line(line: str) -> None:
    told = [cue for cue in said(f"{line}\n\nAnn Lee: Yes.", "Ann Lee") if cue[2]]

    assert told[0] in [("Ann Lee", 83.0, "Hello."), ("Ann Lee", None, "Hello.")]
    assert told[1] == ("Ann Lee", None, "Yes.")


def test_words_glued_to_a_time_are_kept() -> None:
    assert said("Ann: 00:02:06 Matt\n\nNice.") == [
        ("Ann", 126.0, "Matt"),
        ("Ann", None, "Nice."),
    ]


def test_a_time_may_stand_in_the_middle_of_a_sentence() -> None:
    assert turns(blocks("It is \\[43:59\\] pretty loud.")) == [
        Cue("It is"),
        Cue("pretty loud.", 2639.0, closes=True),
    ]


@pytest.mark.parametrize("name", ["**Break:** ", "**Break**: ", ""])
def test_a_break_has_times_and_no_words(name: str) -> None:
    cues = said(f"{name}\\[01:33\\] to \\[01:03:00.15\\]")

    assert [(start, text) for _, start, text in cues] == [(93.0, ""), (3780.15, "")]


def test_a_time_of_something_unclear_is_no_stamp() -> None:
    assert said("We used \\[unintelligible 00:44:13.15\\] for it.") == [
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
def test_the_time_of_day_is_no_stamp(line: str) -> None:
    assert said(line) == [(None, None, line)]
    assert not has_times(blocks(f"{line}\n\n{line}\n"))


def test_a_ratio_is_no_time() -> None:
    assert said("Ratio: 4:1") == [(None, None, "Ratio: 4:1")]


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
def test_lines_of_a_page_that_look_like_times_are_none(lines: str) -> None:
    assert not has_times(blocks(lines))


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
def test_times_make_a_transcript(lines: str, speakers: tuple[str, ...]) -> None:
    assert has_times(blocks(lines), speakers)


def test_a_name_alone_on_its_line_says_who_speaks_next() -> None:
    text = "Ann Lee: 0:05\n\nHello.\n\nTom Fox:\n\nThank you.\n\nYes.\n\nAnn Lee:\n\nWell.\n"

    assert [(who, words) for who, _, words in said(text, "Ann Lee", "Tom Fox") if words] == [
        ("Ann Lee", "Hello."),
        ("Tom Fox", "Thank you."),
        ("Tom Fox", "Yes."),
        ("Ann Lee", "Well."),
    ]


@pytest.mark.parametrize("line", ["**Break:** \\[00:43\\]", "Break: \\[00:43\\]"])
def test_a_break_is_no_speaker(line: str) -> None:
    assert said(f"**Ann:** Hello.\n\n{line}\n\nAnd on we go.\n", "Ann") == [
        ("Ann", None, "Hello."),
        ("Ann", 43.0, ""),
        ("Ann", None, "And on we go."),
    ]


def test_a_heading_is_kept_and_a_speaker_goes_on() -> None:
    cues = turns(blocks("## One\n\nAnn: 00:10\n\nHello.\n\n## Two\n\nMore.\n"))

    assert [(cue.heading, cue.speaker, cue.text) for cue in cues] == [
        ("One", "Ann", ""),
        ("One", "Ann", "Hello."),
        ("Two", "Ann", "More."),
    ]


def test_bold_terms_of_a_list_are_no_speakers() -> None:
    text = "Some prose.\n\n" * 8 + "- **Trust:** we have it.\n- **Note:** no more.\n"

    assert said(text)[-2:] == [
        (None, None, "Trust: we have it."),
        (None, None, "Note: no more."),
    ]


def test_a_page_keeps_its_bold_words_and_has_no_times() -> None:
    cues = page(blocks("## Gain\n\n**Rule:** at 12:30 take 3 dB off.\n"))

    assert cues == [Cue("Rule: at 12:30 take 3 dB off.", heading="Gain", closes=True)]
