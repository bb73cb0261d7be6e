"""Lists of host names, addresses and networks, such as ALLOWED_HOSTS and PLAINTEXT_HOSTS."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

_AUTHORITY = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]*))(?::\d*)?")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class HostList(Struct, frozen=True):
    """Names, domains (`.example.org`, for their subdomains) and networks."""

    names: frozenset[str]
    domains: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def of(cls, text: str) -> "HostList":
        """Parse a list separated by commas. Raises ValueError, which quotes the wrong entry."""
        names, domains, networks = set(), [], []
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ip_network(entry.strip("[]"), strict=False))
                continue
            except ValueError:
                name = entry.removeprefix("*.").removesuffix(".")
            if not _NAME.fullmatch(name) or name.replace(".", "").isdecimal():
                raise ValueError(f"{entry!r} is not a host name, an address or a network")
            if entry.startswith("*."):
                domains.append(f".{name}")
            else:
                names.add(name)
        return cls(frozenset(names), tuple(domains), tuple(networks))

    def __contains__(self, host: str) -> bool:
        host = host.lower().removesuffix(".")
        if host in self.names or host.endswith(self.domains):
            return True
        address = _address(host)
        return address is not None and any(address in network for network in self.networks)


def host_of(authority: str) -> str:
    """Return the host of `host:port`, without brackets; the whole text if it is malformed."""
    parts = _AUTHORITY.fullmatch(authority)
    return (parts[1] or parts[2]) if parts else authority


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost` or a loopback address."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
