"""Who makes a request, and what they may do."""

import hashlib
from functools import cached_property
from typing import Literal, TypeAlias

from msgspec import Struct

# How a caller identifies itself: not at all, by the page's cookie, by a key or token, by the link
# to one stream, or as the user that a trusted proxy names.
Identity: TypeAlias = Literal["none", "browser", "publishable", "secret", "token", "link", "proxy"]


class Quota(Struct, frozen=True):
    """Limits of a key or subject; None where the service's own settings apply."""

    per_minute: int | None = None
    per_day: int | None = None
    at_once: int | None = None
    tokens_per_day: int | None = None


class Caller(Struct, frozen=True, dict=True):
    """The sender of a request.

    `subject` owns conversations, turns and idempotency keys. Callers without identity share the
    subject "", so that only their ids protect them. `quota` is the key's, `subject_quota` the
    subject's own, from its token. `creators` are the slugs of the creators that the caller may
    read, None for all.
    """

    address: str = ""
    identity: Identity = "none"
    subject: str = ""
    key_id: str = ""
    quota: Quota = Quota()
    subject_quota: Quota = Quota()
    creators: tuple[str, ...] | None = None

    @cached_property
    def owner(self) -> str:
        """The subject's name in Redis: 32 hexadecimal digits, "" without a subject."""
        return hashlib.sha256(self.subject.encode()).hexdigest()[:32] if self.subject else ""
