"""Limits of what callers use, and who they are counted for."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

from app.services.access.caller import Caller, Quota
from app.services.access.network import network

HolderKind: TypeAlias = Literal["address", "subject", "key", "service"]


class Limits(Struct, frozen=True, array_like=True):
    """Questions a minute and a day, turns at once, model tokens a day; 0 is unlimited."""

    per_minute: int = 0
    per_day: int = 0
    at_once: int = 0
    tokens_per_day: int = 0


UNLIMITED = Limits()


class Holder(Struct, frozen=True):
    """Whom use is counted for: an address, a subject, a key, or the whole service."""

    kind: HolderKind
    name: str
    limits: Limits

    @property
    def key(self) -> str:
        """The name of its counts in Redis."""
        return f"limit:{{{self.kind}:{self.name}}}"


class Holders(Struct, frozen=True):
    """Finds the holders of a caller: `caller` limits each address and subject."""

    caller: Limits = UNLIMITED
    service: Limits = UNLIMITED

    def of(self, caller: Caller) -> tuple[Holder, ...]:
        """Return the holders that have limits."""
        return tuple(it for it in self._all(caller) if it.limits != UNLIMITED)

    def _all(self, caller: Caller) -> Iterator[Holder]:
        # A secret key is used by a server, whose users share its address.
        if caller.identity != "secret":
            yield Holder("address", network(caller.address), self.caller)
        own_key = caller.subject == f"key:{caller.key_id}"
        # All visitors of a site may follow by tickets of one key.
        if caller.key_id and caller.identity != "link":
            # The users of a publishable key have limits of their own, by address.
            limits = self.caller if own_key and not caller.shared else UNLIMITED
            yield Holder("key", caller.key_id, _with_quota(limits, caller.quota))
        if caller.subject and not own_key:
            yield Holder("subject", caller.owner, _with_quota(self.caller, caller.subject_quota))
        yield Holder("service", "all", self.service)


def _with_quota(limits: Limits, quota: Quota) -> Limits:
    """Return the quota's limits, and the given ones where it has none."""
    given = (quota.per_minute, quota.per_day, quota.at_once, quota.tokens_per_day)
    defaults = (limits.per_minute, limits.per_day, limits.at_once, limits.tokens_per_day)
    return Limits(
        *(default if own is None else own for own, default in zip(given, defaults, strict=True))
    )
