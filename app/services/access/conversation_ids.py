"""Ids of conversations."""

import hashlib
import hmac
import secrets

_DIGITS = 32
_MARK_DIGITS = 30


class ConversationIds:
    """Makes ids, and recognizes them without a lookup by the mark at their end.

    Callers without identity share one namespace of conversations. They can use only ids that the
    service has made: 128 random bits and a mark of 120 bits, so that nobody can be led to use an id
    that someone else knows by its being easy to guess.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def new(self) -> str:
        """Return a new id."""
        return self.of(secrets.token_hex(_DIGITS // 2))

    def of(self, random: str) -> str:
        """Return the id that begins with 32 random hexadecimal digits."""
        return f"c_{random}{self._mark(random)}"

    def made(self, conversation_id: str) -> bool:
        """Return whether the service has made this id."""
        random, mark = conversation_id[2 : 2 + _DIGITS], conversation_id[2 + _DIGITS :]
        return conversation_id.startswith("c_") and hmac.compare_digest(mark, self._mark(random))

    def _mark(self, random: str) -> str:
        mark = hmac.digest(self._secret, b"conversation " + random.encode(), hashlib.sha256)
        return mark.hex()[:_MARK_DIGITS]
