"""The network that a client's address belongs to."""

from functools import lru_cache
from ipaddress import ip_address, ip_network


@lru_cache(1_000)
def network(address: str) -> str:
    """Return what identifies a client: an IPv4 address, or an IPv6 /64 network."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if known.version == 4 or known.ipv4_mapped:
        return address
    return str(ip_network((known, 64), strict=False))
