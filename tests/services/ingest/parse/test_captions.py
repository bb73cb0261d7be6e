"""Parsing of caption files in every format, valid or not."""

import pytest

from app.services.ingest.parse.captions import Caption, parse_captions

SUBRIP = """1
00:00:01,000 --> 00:00:02,500
Hello and welcome.

2
00:00:03,000 --> 00:00:04,000
Turn it down
by 3 dB.
"""
WEBVTT = """WEBVTT - a talk
Kind: captions

STYLE
::cue { color: lime }

NOTE a comment
on two lines

first
00:01.000 --> 00:02.500 align:start position:0%
Hello and welcome.

00:00:03.000 --> 00:00:04.000
Turn it down
by 3 dB.
"""
SUBVIEWER = """[INFORMATION]
[TITLE] a talk
00:00:01.000,00:00:02.500
Hello and welcome.

00:00:03.000,00:00:04.000
Turn it down
by 3 dB.
"""
SBV = SUBVIEWER.replace("00:00:0", "0:00:0")
WHISPER = """[00:00:01.000 --> 00:00:02.500]  Hello and welcome.
[00:00:03.000 --> 00:00:04.000]  Turn it down
by 3 dB.
"""
MICRODVD = "{1}{1}10.0\n{10}{25}Hello and {y:i}welcome.\n{30}{40}Turn it down|by 3 dB.\n"
REALTEXT = """<window bgcolor="black"><font size="4">
<time begin="00:00:01.000" end="00:00:02.500"/>
Hello and welcome.
<time begin="3" end="4.0">
Turn it down<br/>by 3 dB.
"""


@pytest.mark.parametrize("text", [SUBRIP, WEBVTT, SUBVIEWER, SBV, WHISPER, MICRODVD, REALTEXT])
def test_every_format_gives_the_same_lines_and_times(text: str) -> None:
    first, second = parse_captions(text)

    assert (first.start, first.end) == (1.0, 2.5)
    assert (second.start, second.end) == (3.0, 4.0)
    assert [line.strip() for line in first.lines if line.strip()] == ["Hello and welcome."]
    assert [line.strip() for line in second.lines if line.strip()] == ["Turn it down", "by 3 dB."]


def test_stc_has_frame_numbers_and_no_ends() -> None:
    text = "*TC 00:00:01;15\nHello\n\n]*TC 00:00:03:00 \nworld.\n*TC 00:00:04;00again\n"

    assert parse_captions(text) == [
        Caption(1.5, None, ("Hello",)),
        Caption(3.0, None, ("world.",)),
        Caption(4.0, None, ("again",)),
    ]


def test_lines_with_only_a_time_begin_captions() -> None:
    text = "00:00:02.867\nAlright, this\nis about maps\n\n00:06\nwith the API.\n"

    assert [(one.start, one.lines) for one in parse_captions(text)] == [
        (2.867, ("Alright, this", "is about maps")),
        (6.0, ("with the API.",)),
    ]


def test_microdvd_without_a_rate_has_25_frames_per_second() -> None:
    assert [(one.start, one.end) for one in parse_captions("{0}{25}One.\n{50}{100}Two.")] == [
        (0.0, 1.0),
        (2.0, 4.0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        # No blank lines.
        "1\n00:00:01,000 --> 00:00:02,000\nOne.\n2\n00:00:02,000 --> 00:00:03,000\nin 2009\n",
        # Wrong numbers, and blank lines inside captions.
        "7\n00:00:01,000 --> 00:00:02,000\n\nOne.\n\n7\n\n00:00:02,0 --> 00:00:03,0\nin\n\n2009",
        # No numbers, full stops instead of commas, and other arrows.
        "00:00:01.000-->00:00:02.000\nOne.\n\n00:00:02.000 -> 00:00:03.000\nin\n2009\n",
    ],
)
def test_messy_subrip_keeps_its_words_and_drops_its_numbers(text: str) -> None:
    words = [" ".join(one.lines).split() for one in parse_captions(text)]

    assert words == [["One."], ["in", "2009"]]


def test_invalid_webvtt_is_parsed() -> None:
    text = "WEBVTT\n\n00:00:01,000 --> 00:00:02,000\nOne.\n\n00:00:02,000 --> 00:00:03,000\nTwo.\n"

    assert [one.lines for one in parse_captions(text)] == [("One.",), ("Two.",)]


def test_prose_with_times_is_not_captions() -> None:
    assert parse_captions("We meet at 12:30.\n\n" * 9 + "Then, at\n14:00\nor so, we part.\n") == []


# A full stop stands for a line with only a space, which YouTube writes for an empty line.
ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.000 --> 00:00:02.000 align:start position:0%
.
hello<00:00:00.500><c> and</c><00:00:01.000><c> welcome</c>

00:00:02.000 --> 00:00:02.010 align:start position:0%
hello and welcome
.

00:00:02.010 --> 00:00:04.000 align:start position:0%
hello and welcome
to<00:00:02.500><c> the</c><00:00:03.000><c> show</c>

00:00:04.000 --> 00:00:04.010 align:start position:0%
to the show
.

00:00:04.010 --> 00:00:06.000 align:start position:0%
to the show
to<00:00:04.500><c> the</c><00:00:05.000><c> show</c>
""".replace("\n.\n", "\n \n")


def test_rolling_captions_are_returned_once() -> None:
    assert [(one.start, one.lines) for one in parse_captions(ROLLING)] == [
        (0.0, ("hello and welcome",)),
        (2.01, ("to the show",)),
        (4.01, ("to the show",)),
    ]


def test_rolling_captions_are_detected_without_inline_times() -> None:
    lines = ["", *(f"line {number} of the talk" for number in range(9))]
    text = "\n\n".join(
        f"{n}\n00:00:{n:02},000 --> 00:00:{n + 1:02},000\n{lines[n - 1]}\n{lines[n]}"
        for n in range(1, 10)
    )

    assert [one.lines for one in parse_captions(text)] == [(line,) for line in lines[1:]]


def test_repeated_words_are_kept_in_captions_that_do_not_roll() -> None:
    lines = ["Yes.", "Yes.", "No.", "Maybe.", "Well.", "Good.", "Fine."]
    text = "\n\n".join(
        f"{n}\n00:00:{n:02},000 --> 00:00:{n + 1:02},000\n{line}" for n, line in enumerate(lines, 1)
    )

    assert [one.lines for one in parse_captions(text)] == [(line,) for line in lines]
