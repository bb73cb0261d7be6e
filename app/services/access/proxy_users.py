"""Users that a trusted proxy has authenticated."""

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address

from app.errors import Unauthenticated
from app.services.access.caller import is_subject


class ProxyUsers:
    """Believes the names that proxies in these networks send, and ignores all others."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = trusted

    def identify(self, peer: str, names: Sequence[str]) -> str | None:
        """Return the user whom a proxy names, None without one; raises Unauthenticated."""
        if not any(names) or not self._trusts(peer):
            return None
        if len(names) > 1 or not is_subject(names[0]):
            raise Unauthenticated(
                "The proxy must name one user, in 1 to 200 visible ASCII characters."
            )
        return names[0]

    def _trusts(self, peer: str) -> bool:
        with suppress(ValueError):
            address = ip_address(peer)
            return any(address in network for network in self._trusted)
        return False
