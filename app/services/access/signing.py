"""Values that the service signs for itself, as JSON Web Tokens (RFC 7519)."""

import time
from collections.abc import Mapping
from typing import Any

import asyncpg
import jwt

from app.infra.database import Connection

ALGORITHM = "HS256"

# All workers share the secret.
LOAD_SIGNING = "SELECT value FROM secrets WHERE name = 'signing'"


async def load_secret(connection: "Connection | asyncpg.Pool[asyncpg.Record]") -> bytes:
    """Return the database's secret of 32 bytes, which its migration has made."""
    secret = await connection.fetchval(LOAD_SIGNING)
    assert isinstance(secret, bytes)  # noqa: S101 - the column's type
    return secret


class Signer:
    """Signs claims for one purpose, so that a value signed for another is not accepted."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._secret = secret
        self._purpose = purpose

    def sign(self, claims: Mapping[str, Any], *, lifetime: float) -> str:
        """Return a token of claims that is valid for `lifetime` seconds."""
        payload = {**claims, "aud": self._purpose, "exp": int(time.time() + lifetime)}
        return jwt.encode(payload, self._secret, ALGORITHM)

    def verify(self, token: str) -> Mapping[str, Any] | None:
        """Return the claims of a valid token, None for any other text."""
        try:
            return jwt.decode(
                token,
                self._secret,
                [ALGORITHM],
                audience=self._purpose,
                options={"require": ["exp", "aud"]},
            )
        except (jwt.InvalidTokenError, RecursionError):
            return None
