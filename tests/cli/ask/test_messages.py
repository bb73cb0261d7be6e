"""Wording of an answer's scope and sources."""

import pytest

from app.cli.ask.messages import scope_line, source_lines, timestamp
from app.schemas import Citation, CreatorRef, Done, Scope, Tier, TierHits, Timings, Verdict

ANNA = CreatorRef("anna", "Anna")


def done(tier: Tier, creator: CreatorRef | None, verdict: Verdict = "too little") -> Done:
    """Return a Done event whose creator tier has this verdict."""
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
    ("event", "requested", "expected"),
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
            'No creator is called "bela"; from the whole library',
        ),
        (done("none", None), "anna", "From the conversation so far"),
    ],
)
def test_the_scope_line_says_whose_material_answered_and_why(
    event: Done, requested: str | None, expected: str
) -> None:
    assert scope_line(event, requested) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "0:00"), (59.9, "0:59"), (215.8, "3:35"), (3_599, "59:59"), (3_723, "1:02:03")],
)
def test_a_timestamp_is_formatted_like_in_a_player(seconds: float, expected: str) -> None:
    assert timestamp(seconds) == expected


def test_a_source_has_its_title_on_one_line_and_may_have_no_url() -> None:
    page = Citation(1, "page", "Delay\n and  echo", ANNA, None, None, None, None, "…", 0.5)
    assert source_lines(page) == ("Delay and echo, by Anna", "")
