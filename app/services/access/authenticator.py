"""Finds out who makes a request."""

from msgspec import Struct

from app.services.access.caller import Caller


class Credentials(Struct, frozen=True):
    """What a request carries that may identify its sender, with the sender's address."""

    address: str


class Authenticator:
    """Identifies callers."""

    async def identify(self, credentials: Credentials) -> Caller:
        """Return the caller; raises Unauthenticated for wrong credentials."""
        return Caller(address=credentials.address)
