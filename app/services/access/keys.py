"""Keys: how they are written, and what they allow."""

import hashlib
import hmac
import re
import secrets
from math import inf
from typing import Literal, TypeAlias

from msgspec import Struct

from app.services.access.caller import Quota

KeyKind: TypeAlias = Literal["secret", "publishable"]

KEY_ID = re.compile(r"[0-9a-f]{12}")
# `chp_secret_ID_SECRET`: scanners for leaked secrets can find it.
KEY_TEXT = re.compile(r"chp_(secret|publishable)_([0-9a-f]{12})_([0-9a-f]{64})")


class Key(Struct, frozen=True):
    """An active key. `expires_at` is in seconds since 1970."""

    id: str
    name: str
    kind: KeyKind
    digest: bytes
    origins: frozenset[str] = frozenset()
    creators: tuple[str, ...] | None = None
    quota: Quota = Quota()
    expires_at: float = inf

    def matches(self, kind: str, secret: str) -> bool:
        """Return whether these are the parts of this key's text."""
        return kind == self.kind and hmac.compare_digest(secret_digest(secret), self.digest)


class NewKeyText(Struct, frozen=True):
    """The text of a new key, with its parts."""

    id: str
    secret: str
    text: str


def new_key_text(kind: KeyKind) -> NewKeyText:
    """Return a new random key."""
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    return NewKeyText(key_id, secret, f"chp_{kind}_{key_id}_{secret}")


def secret_digest(secret: str) -> bytes:
    """Return what is stored of a key's secret part, which is random and needs no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def signing_secret(database_secret: bytes, key_id: str) -> str:
    """Return the text that tokens of a key are signed with (HS256)."""
    derived = hmac.digest(database_secret, b"tokens of key " + key_id.encode(), hashlib.sha256)
    return f"chp_signing_{key_id}_{derived.hex()}"
