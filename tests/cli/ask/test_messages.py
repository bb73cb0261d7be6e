"""What is said of an answer: whose it is, and why; where in a video a source is."""

import pytest

from app.cli.ask.messages import moment, scope, source
from app.schemas import Citation, CreatorRef, Done, Scope, Tier, TierHits, Timings, Verdict

ANNA = CreatorRef("anna", "Anna")


def done(tier: Tier, creator: CreatorRef | None, verdict: Verdict = "too little") -> Done:
    """The end of an answer whose creator's tier got that verdict."""
    tiers = (TierHits("creator", hits=0, confidence=0, verdict=verdict),) if creator else ()
    return Done(
        cascade_tier=tier,
        conversation_id="c",
        turn_id="t",
        finish_reason="stop",
        citations=(),
        scope=Scope(creator, "Why?", tiers, "hybrid"),
        usage=None,
        timings_ms=Timings(0, None, 0),
        memory="kept",
    )


@pytest.mark.parametrize(
    ("end", "asked", "words"),
    [
        (done("creator", ANNA, "answers"), "anna", "From Anna's own videos and pages"),
        (done("domain", ANNA), "anna", "Nothing by Anna on this; from others on the same topics"),
        (done("global", ANNA), "anna", "Nothing by Anna on this; from the whole library"),
        (
            done("domain", ANNA, "others say more"),
            "anna",
            "Others say more on this than Anna; from others on the same topics",
        ),
        (done("global", None), None, "From the whole library"),
        (
            done("global", None),
            "bela",
            'No creator here is called "bela"; from the whole library',
        ),
        (
            done("none", ANNA),
            "anna",
            "The library has nothing on this; from what was said before",
        ),
    ],
)
def test_it_is_said_whose_material_answered_and_why(
    end: Done, asked: str | None, words: str
) -> None:
    assert scope(end, asked) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0:00"), (59.9, "0:59"), (215.8, "3:35"), (3_599, "59:59"), (3_723, "1:02:03")],
)
def test_a_moment_is_written_as_a_player_does(seconds: float, words: str) -> None:
    assert moment(seconds) == words


def test_a_source_has_its_title_in_one_line_and_maybe_no_address() -> None:
    page = Citation(1, "page", "Delay\n and  echo", ANNA, None, None, None, None, "…", 0.5)
    assert source(page) == ("Delay and echo, by Anna", "")
