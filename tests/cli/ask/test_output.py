"""What `ask` prints after an answer."""

import io

import msgspec

from app.cli.ask.output import TextOutput
from app.infra.http.sse import SSEEvent
from app.schemas import CitationSpan, Done, Scope, Timings
from tests.services.samples import source


def test_closest_moments_of_a_refusal_are_listed() -> None:
    closest = [source(number, "A.", title=f"Talk {number}").citation for number in (1, 2)]
    done = Done(
        cascade_tier="none",
        conversation_id="c",
        turn_id="t",
        finish_reason="refused",
        citations=(CitationSpan(1, 9, 12), CitationSpan(2, 22, 25)),
        scope=Scope(None, "Why?", (), "hybrid"),
        usage=None,
        timings_ms=Timings(0, None, 0),
        memory="kept",
    )
    out = io.StringIO()
    output = TextOutput(out, requested_creator=None, follow_up="ask")
    for name, data in (
        ("sources", closest),
        ("token", "- Talk 1 [1]\n- Talk 2 [2]"),
        ("done", done),
    ):
        output.print_event(SSEEvent(msgspec.json.encode(data).decode(), name))
    assert out.getvalue().splitlines() == [
        "- Talk 1 [1]",
        "- Talk 2 [2]",
        "",
        "[1] Talk 1, by Mara, 0:00",
        "[2] Talk 2, by Mara, 0:00",
    ]
