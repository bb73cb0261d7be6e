"""Tickets: short-lived values in a URL that let their bearer follow one turn's stream.

A browser's EventSource cannot send headers, so it cannot send a key or a token.
"""

from app.services.access.caller import Caller
from app.services.access.signing import Signer

MAX_LIFETIME = 900.0


class Tickets:
    """Issues tickets that are valid for `lifetime` seconds, at most 15 minutes."""

    def __init__(self, secret: bytes, lifetime: float) -> None:
        self._signer = Signer(secret, "link")
        self._lifetime = min(lifetime, MAX_LIFETIME)

    def issue(self, caller: Caller, turn_id: str) -> str:
        """Return a ticket for a turn of the caller, "" if its requests need none."""
        if caller.identity in ("none", "browser"):
            return ""
        claims = {"sub": caller.subject, "key": caller.key_id, "turn": turn_id}
        return self._signer.sign(claims, lifetime=self._lifetime)

    def bearer(self, ticket: str, turn_id: str, address: str) -> Caller | None:
        """Return the caller that a ticket for this turn stands for, None if it is not valid."""
        claims = self._signer.verify(ticket)
        if claims is None or claims["turn"] != turn_id:
            return None
        return Caller(address, "link", claims["sub"], claims["key"])
