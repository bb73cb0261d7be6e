"""Finds out who makes a request."""

from msgspec import Struct

from app.errors import NotFound
from app.services.access.browsers import Browsers
from app.services.access.caller import Caller
from app.services.access.tickets import Tickets


class Credentials(Struct, frozen=True):
    """What a request carries that may identify its sender, with the sender's address.

    `cookie` is that of the page, and only set if the page itself sent the request. `ticket` is for
    the turn `turn_id`.
    """

    address: str
    cookie: str = ""
    ticket: str = ""
    turn_id: str = ""


class Authenticator:
    """Identifies callers."""

    def __init__(self, browsers: Browsers, tickets: Tickets) -> None:
        self._browsers = browsers
        self._tickets = tickets

    async def identify(self, credentials: Credentials) -> Caller:
        """Return the caller; raises Unauthenticated, and NotFound for an invalid ticket."""
        address = credentials.address
        if credentials.ticket:
            bearer = self._tickets.bearer(credentials.ticket, credentials.turn_id, address)
            if bearer is None:
                raise NotFound("This link has expired, or is for another stream. Ask again.")
            return bearer
        if subject := self._browsers.subject(credentials.cookie):
            return Caller(address, "browser", subject)
        return Caller(address)
