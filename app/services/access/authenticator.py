"""Finds out who makes a request."""

from msgspec import Struct

from app.errors import NotFound, Unauthenticated
from app.services.access.bearer import Bearer
from app.services.access.browsers import Browsers
from app.services.access.caller import Caller
from app.services.access.proxy_users import ProxyUsers
from app.services.access.tickets import Tickets

SIGN_IN = (
    "This needs a key or a token, sent as `Authorization: Bearer …`. Whoever runs the service can"
    " give you one."
)
INVALID_TICKET = "This link has expired, or it is for another stream. Ask again."


class Credentials(Struct, frozen=True):
    """What a request carries that may identify its sender, with the sender's address.

    `bearer` is a key or token, `end_user` whom a secret key acts for, `origin` the web page's.
    `proxy_users` are the users named by `peer`, the other end of the connection. `cookie` is that
    of the page, only set if the page itself sent the request. `ticket` is for the turn `turn_id`.
    """

    address: str
    bearer: str | None = None
    end_user: str | None = None
    origin: str | None = None
    peer: str = ""
    proxy_users: tuple[str, ...] = ()
    cookie: str = ""
    ticket: str = ""
    turn_id: str = ""


class Authenticator:
    """Identifies callers. Without `bearer` there is no access control: all are admitted.

    With it, callers without other credentials need the cookie of `browsers`.
    """

    def __init__(
        self,
        tickets: Tickets,
        browsers: Browsers | None,
        bearer: Bearer | None = None,
        proxy_users: ProxyUsers | None = None,
    ) -> None:
        self._tickets = tickets
        self._browsers = browsers
        self._bearer = bearer
        self._proxy_users = proxy_users

    async def identify(self, credentials: Credentials) -> Caller:
        """Return the caller.

        Raises Unauthenticated, Forbidden, Unavailable, and NotFound if a ticket is not valid.
        """
        address = credentials.address
        if credentials.ticket and (self._bearer is None or credentials.bearer is None):
            return await self._ticket_bearer(credentials)
        if self._bearer is not None and credentials.bearer is not None:
            return await self._bearer.identify(
                credentials.bearer,
                address=address,
                end_user=credentials.end_user,
                origin=credentials.origin,
            )
        if self._proxy_users is not None:
            user = self._proxy_users.identify(credentials.peer, credentials.proxy_users)
            if user is not None:
                return Caller(address=address, identity="proxy", subject=f"proxy:{user}")
        if self._browsers and (subject := self._browsers.subject(credentials.cookie)):
            return Caller(address=address, identity="browser", subject=subject)
        if self._bearer is not None:
            raise Unauthenticated(SIGN_IN, invalid=False)
        return Caller(address=address)

    async def _ticket_bearer(self, credentials: Credentials) -> Caller:
        caller = self._tickets.bearer(credentials.ticket, credentials.turn_id, credentials.address)
        # The ticket of a revoked key is not valid either.
        if (
            caller
            and caller.key_id
            and self._bearer
            and not await self._bearer.knows(caller.key_id)
        ):
            caller = None
        if caller is None:
            raise NotFound(INVALID_TICKET)
        return caller
