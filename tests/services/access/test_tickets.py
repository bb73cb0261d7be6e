"""Tickets, which let their bearer follow one turn."""

import pytest

from app.services.access.caller import Caller
from app.services.access.signing import Signer
from app.services.access.tickets import Tickets

SECRET = b"0123456789abcdef0123456789abcdef"
TICKETS = Tickets(SECRET, lifetime=600)
CALLER = Caller("192.0.2.1", "secret", "key:1:user", "1")
TURN, OTHER_TURN = "t_1", "t_2"


def test_the_bearer_of_a_ticket_owns_what_its_issuer_owns() -> None:
    bearer = TICKETS.bearer(TICKETS.issue(CALLER, TURN), TURN, "192.0.2.2")
    assert bearer == Caller("192.0.2.2", "link", "key:1:user", "1")
    assert bearer.owner == CALLER.owner


@pytest.mark.parametrize("identity", ["none", "browser"])
def test_callers_that_need_no_header_get_no_ticket(identity: str) -> None:
    assert TICKETS.issue(Caller(identity=identity), TURN) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ticket", "turn"),
    [
        pytest.param(TICKETS.issue(CALLER, TURN), OTHER_TURN, id="another turn"),
        pytest.param(Tickets(SECRET, lifetime=-1).issue(CALLER, TURN), TURN, id="expired"),
        pytest.param(Tickets(SECRET[::-1], 600).issue(CALLER, TURN), TURN, id="another secret"),
        pytest.param(
            Signer(SECRET, "browser").sign({"sub": "key:1", "turn": TURN}, lifetime=600),
            TURN,
            id="another purpose",
        ),
        pytest.param("x", TURN, id="malformed"),
    ],
)
def test_an_invalid_ticket_identifies_nobody(ticket: str, turn: str) -> None:
    assert TICKETS.bearer(ticket, turn, "192.0.2.1") is None


def test_a_ticket_is_valid_for_15_minutes_at_most() -> None:
    ticket = Tickets(SECRET, lifetime=1e6).issue(CALLER, TURN)
    longest = Tickets(SECRET, lifetime=900).issue(CALLER, TURN)
    verify = Signer(SECRET, "link").verify
    claims, expected = verify(ticket), verify(longest)
    assert claims
    assert expected
    assert claims["exp"] <= expected["exp"]
