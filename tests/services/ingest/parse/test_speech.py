"""Speakers and markup in captions."""

import pytest

from app.services.ingest.parse.captions import Caption
from app.services.ingest.parse.cues import Cue
from app.services.ingest.parse.speech import caption_cues


def spoken(*lines: str, speakers: tuple[str, ...] = ()) -> list[tuple[str | None, str]]:
    shown = [Caption(float(n), n + 1.0, tuple(line.split("|"))) for n, line in enumerate(lines)]
    return [(cue.speaker, cue.text) for cue in caption_cues(shown, speakers) if cue.text]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("<i>Turn</i> <b>it</b> <font color='red'>down</font>", "Turn it down"),
        (r"{\an8}Turn it down", "Turn it down"),
        ("rock &amp; roll", "rock & roll"),
        ("Turn it<br/>down", "Turn it down"),
        ("all these <bold> </bold> and <Require feature='tabs'/>",) * 2,
        ("x < y and y > z",) * 2,
    ],
)
def test_markup_is_removed(line: str, text: str) -> None:
    assert spoken(line) == [(None, text)]


def test_voice_tag_names_the_speaker() -> None:
    line = "<v.loud Ann Lee>Is it on?</v>|<v Bob>It is."

    assert spoken(line, "Who knows.") == [
        ("Ann Lee", "Is it on?"),
        ("Bob", "It is."),
        (None, "Who knows."),
    ]


def test_speakers_in_one_caption_share_its_time() -> None:
    cues = caption_cues([Caption(2.0, 6.0, ("<v Ann>Hi.", "<v Bob>Hello."))])

    assert cues == [Cue("Hi.", 2.0, None, "Ann"), Cue("Hello.", None, 6.0, "Bob")]


def test_chevrons_change_the_speaker_and_may_give_a_name() -> None:
    assert spoken(">> Weininger:|Hi there.", "I am Nick.", "&gt;&gt; Who is next?") == [
        ("Weininger", "Hi there."),
        ("Weininger", "I am Nick."),
        (None, "Who is next?"),
    ]


def test_known_speaker_gets_the_full_name() -> None:
    assert spoken("Lee: Is it on?", "- Bob: It is.", speakers=("Ann Lee", "Bob Ray")) == [
        ("Ann Lee", "Is it on?"),
        ("Bob Ray", "It is."),
    ]


def test_first_name_shared_by_two_speakers_is_kept() -> None:
    assert spoken("Ann: Hello.", speakers=("Ann Lee", "Ann Ray")) == [("Ann", "Hello.")]


def test_recurring_label_is_a_speaker() -> None:
    lines = ["Rasmussen: One.", "Two.", "man #2: Three.", "Rasmussen: Four.", "Rasmussen: Five."]

    assert [speaker for speaker, _ in spoken(*lines)] == [
        "Rasmussen",
        "Rasmussen",
        "man #2",
        "Rasmussen",
        "Rasmussen",
    ]


@pytest.mark.parametrize("label", ["Note:", "So:", "The trick:", "Q:", "Remember this once:"])
def test_other_words_before_a_colon_stay_in_the_text(label: str) -> None:
    assert spoken(f"{label} turn it down.") == [(None, f"{label} turn it down.")]
