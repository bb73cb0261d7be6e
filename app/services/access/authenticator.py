"""Finds out who makes a request."""

from msgspec import Struct

from app.errors import Unauthenticated
from app.services.access.bearer import Bearer
from app.services.access.caller import Caller
from app.services.access.proxy_users import ProxyUsers

SIGN_IN = (
    "This needs a key or a token, sent as `Authorization: Bearer …`. Whoever runs the service can"
    " give you one."
)


class Credentials(Struct, frozen=True):
    """What a request carries that may identify its sender, with the sender's address.

    `bearer` is a key or token, `end_user` whom a secret key acts for, `origin` the web page's.
    `proxy_users` are the users named by `peer`, the other end of the connection.
    """

    address: str
    bearer: str | None = None
    end_user: str | None = None
    origin: str | None = None
    peer: str = ""
    proxy_users: tuple[str, ...] = ()


class Authenticator:
    """Identifies callers. Without `bearer` there is no access control: all are admitted."""

    def __init__(self, bearer: Bearer | None = None, proxy_users: ProxyUsers | None = None) -> None:
        self._bearer = bearer
        self._proxy_users = proxy_users

    async def identify(self, credentials: Credentials) -> Caller:
        """Return the caller; raises Unauthenticated, Forbidden and Unavailable."""
        address = credentials.address
        if self._bearer is None:
            return Caller(address=address)
        if credentials.bearer is not None:
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
        raise Unauthenticated(SIGN_IN, invalid=False)
