"""Keys for tests, made directly in a database."""

import time
from typing import Any

import asyncpg
import jwt
from msgspec import Struct

from app.services.access.audit import AuditLog
from app.services.access.key_admin import KeySpec, create_key, revoke_key
from app.services.access.keys import signing_secret
from app.services.access.signing import load_secret

AUDIENCE = "chrysopedia-chat"
SITE = "https://site.example"


class MadeKey(Struct, frozen=True):
    """A key and its signing secret."""

    id: str
    text: str
    signing_secret: str

    @property
    def headers(self) -> dict[str, str]:
        """The header that sends the key."""
        return bearer(self.text)

    def token(self, sub: str = "ann", **claims: Any) -> str:
        """Sign a token; None leaves out a claim."""
        return jwt.encode(
            self.claims(sub, **claims), self.signing_secret, "HS256", headers={"kid": self.id}
        )

    def claims(self, sub: str = "ann", **claims: Any) -> dict[str, Any]:
        """Return the claims of a token that is valid for a minute."""
        default = {"sub": sub, "iss": self.id, "aud": AUDIENCE, "exp": int(time.time()) + 60}
        return {name: value for name, value in (default | claims).items() if value is not None}


def bearer(text: str) -> dict[str, str]:
    """Return the header that sends a key or token."""
    return {"Authorization": f"Bearer {text}"}


async def make_key(database_url: str, name: str = "site", **fields: Any) -> MadeKey:
    """Make a key, by default a secret one without limits."""
    spec = KeySpec(**({"name": name, "kind": "secret"} | fields))
    connection = await asyncpg.connect(database_url)
    try:
        new = await create_key(connection, spec, AuditLog())
        return MadeKey(new.id, new.text, signing_secret(await load_secret(connection), new.id))
    finally:
        await connection.close()


async def revoke(database_url: str, key: MadeKey) -> None:
    """Revoke a key."""
    connection = await asyncpg.connect(database_url)
    try:
        assert await revoke_key(connection, key.id, AuditLog())
    finally:
        await connection.close()
