"""The command `keys`: make, list and revoke keys."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import msgspec

from app.bootstrap.search import open_database
from app.cli.embedded_servers import embedded_servers
from app.cli.errors import CommandError
from app.cli.library import opening_library
from app.config import Settings
from app.infra.database import Connection
from app.services.access.audit import AuditLog
from app.services.access.key_admin import (
    KeyEntry,
    KeySpec,
    NameTaken,
    create_key,
    list_keys,
    revoke_key,
    unknown_creators,
)
from app.services.access.keys import signing_secret
from app.services.access.signing import load_secret

HEADINGS = ("id", "name", "kind", "state", "last used", "today", "total")


async def create(settings: Settings, spec: KeySpec, *, as_json: bool) -> int:
    """Make a key and print it. Raises CommandError."""
    async with _database(settings) as connection:
        try:
            new = await create_key(connection, spec, AuditLog(settings.audit_log))
        except NameTaken:
            raise CommandError(
                f"an active key is called {spec.name}; choose another name, or revoke that key"
            ) from None
        unknown = await unknown_creators(connection, spec.creators or ())
        secret = await load_secret(connection)
    signing = signing_secret(secret, new.id) if spec.kind == "secret" else None
    if as_json:
        made = {"id": new.id, "key": new.text, "signing_secret": signing}
        print(msgspec.json.encode(made).decode())
    else:
        print(f"Key {spec.name} ({spec.kind}, id {new.id}):\n\n  {new.text}\n")
        if signing:
            print(f"Signing secret for its tokens (HS256, kid {new.id}):\n\n  {signing}\n")
        print("Keep it now: it is not shown again.")
    for slug in unknown:
        print(f"The library has no creator {slug} yet.", file=sys.stderr)
    return 0


async def show(settings: Settings, *, as_json: bool) -> int:
    """Print all keys with their usage. Raises CommandError."""
    async with _database(settings) as connection:
        keys = await list_keys(connection)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(keys)).decode())
    elif keys:
        _print_table([HEADINGS, *(_row(key) for key in keys)])
    else:
        print("There are no keys. Make one with `keys create NAME`.")
    return 0


async def revoke(settings: Settings, given: str) -> int:
    """Revoke a key by its id or name. Raises CommandError."""
    async with _database(settings) as connection:
        key_id = await revoke_key(connection, given, AuditLog(settings.audit_log))
    if key_id is None:
        raise CommandError("no active key has this id or name; see `keys list`")
    print(f"Revoked {key_id}. Workers refuse it within seconds.")
    return 0


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Connection]:
    async with AsyncExitStack() as stack:
        complete = await stack.enter_async_context(embedded_servers(settings, memory=False))
        with opening_library():
            pool, _ = await stack.enter_async_context(open_database(complete))
            connection = await stack.enter_async_context(pool.acquire())
        yield connection


def _row(key: KeyEntry) -> Sequence[str]:
    now = datetime.now().astimezone()
    if key.revoked_at:
        state = f"revoked {key.revoked_at:%Y-%m-%d}"
    elif key.expires_at:
        state = f"{'expires' if key.expires_at > now else 'expired'} {key.expires_at:%Y-%m-%d}"
    else:
        state = "active"
    used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
    return key.id, key.name, key.kind, state, used, f"{key.questions_today}", f"{key.questions}"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
