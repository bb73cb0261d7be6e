"""Who makes a request, and what they may do."""

import hashlib
import re
from functools import cached_property
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from app.limits import SUBJECT

_SUBJECT = re.compile(SUBJECT)

# How a caller identifies itself: not at all, by the page's cookie, by a key or token, by the link
# to one stream, or as the user that a trusted proxy names.
Identity: TypeAlias = Literal["none", "browser", "publishable", "secret", "token", "link", "proxy"]


Limit: TypeAlias = Annotated[int, Meta(ge=1, lt=1 << 31)]


class Quota(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a key or subject; None where the service's own settings apply."""

    per_minute: Limit | None = None
    per_day: Limit | None = None
    at_once: Limit | None = None
    tokens_per_day: Limit | None = None

    def within(self, other: "Quota") -> "Quota":
        """Return the lower of each two limits."""
        return Quota(
            *(_lower(getattr(self, it), getattr(other, it)) for it in self.__struct_fields__)
        )


class Caller(Struct, frozen=True, dict=True):
    """The sender of a request.

    `subject` owns conversations, turns and idempotency keys. Callers without identity share the
    subject "", and those of a publishable key its subject (`shared`). `quota` is the key's,
    `subject_quota` the subject's own, from its token. `creators` are the slugs of the creators that
    the caller may read, None for all.
    """

    address: str = ""
    identity: Identity = "none"
    subject: str = ""
    key_id: str = ""
    quota: Quota = Quota()
    subject_quota: Quota = Quota()
    creators: tuple[str, ...] | None = None

    @property
    def shared(self) -> bool:
        """Whether unrelated callers share this subject, so that only ids protect what is theirs."""
        return self.identity in ("none", "publishable")

    @cached_property
    def owner(self) -> str:
        """The subject's name in Redis: 32 hexadecimal digits, "" without a subject."""
        return hashlib.sha256(self.subject.encode()).hexdigest()[:32] if self.subject else ""


def is_subject(text: str) -> bool:
    """Return whether a text may name an end user."""
    return bool(_SUBJECT.fullmatch(text))


def _lower(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)
