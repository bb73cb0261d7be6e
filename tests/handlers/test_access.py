"""Requests with AUTH=on: keys, tokens, users named by a proxy, and what belongs to whom."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.keys import SITE, MadeKey, bearer, make_key, revoke
from tests.servers import OwnServer
from tests.service import CHAT, Client, running
from tests.workers import PROJECT

pytestmark = pytest.mark.anyio

QUESTION = {"query": "Hello!"}
CONVERSATIONS = "/api/v1/conversations"
UNKNOWN_TURN = "t_" + "0" * 32
DOCUMENTATION = PROJECT / "docs/access.md"
# Seconds for a worker to see a change, on a busy machine.
SOON = 20


@pytest.fixture
async def public_key(database_url: str) -> MadeKey:
    """A publishable key of SITE."""
    return await make_key(
        database_url, "public", kind="publishable", origins=(SITE, "http://localhost:3000")
    )


async def ask(service: Client, headers: dict[str, str]) -> tuple[int, str, str]:
    """Ask, read to the end, and return the status and the ids of the turn and conversation."""
    async with service.http.post(service.url + CHAT, json=QUESTION, headers=headers) as response:
        await response.read()
        given = response.headers
        return response.status, given.get("X-Turn-Id", ""), given.get("X-Conversation-Id", "")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", CHAT),
        ("GET", f"{CHAT}/{UNKNOWN_TURN}"),
        ("DELETE", f"{CHAT}/{UNKNOWN_TURN}"),
        ("GET", f"{CONVERSATIONS}/c"),
        ("DELETE", f"{CONVERSATIONS}/c"),
        ("GET", "/api/v1/creators"),
        ("GET", "/api/v1/search?q=a"),
    ],
)
async def test_a_request_without_credentials_is_refused(
    guarded: Client, method: str, path: str
) -> None:
    status, problem, headers = await guarded.call(method, path)
    assert (status, problem["type"]) == (401, "urn:chrysopedia:problem:unauthenticated")
    assert headers["WWW-Authenticate"] == "Bearer"
    assert "Authorization: Bearer" in problem["detail"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json"])
async def test_operations_need_no_key(guarded: Client, path: str) -> None:
    assert (await guarded.call("GET", path))[0] == 200


async def test_wrong_keys_are_refused_and_not_repeated(guarded: Client, key: MadeKey) -> None:
    head, secret = key.text[:-64], key.text[-64:]
    for wrong in (
        head + secret[::-1],
        key.text.replace("chp_secret", "chp_publishable"),
        f"chp_secret_{'0' * 12}_{secret}",
        key.text + "0",
        key.signing_secret,
        "a.b.c",
        "",
        "x",
        "é",
    ):
        status, problem, headers = await guarded.call("POST", CHAT, headers=bearer(wrong))
        assert status == 401, wrong
        assert headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert len(wrong) < 6 or wrong not in problem["detail"]
    assert (await ask(guarded, key.headers))[0] == 200


async def test_what_one_caller_makes_does_not_exist_for_others(
    guarded: Client, key: MadeKey, database_url: str
) -> None:
    other = await make_key(database_url, "other")
    owners = [
        key.headers,
        key.headers | {"X-Subject": "ann"},
        key.headers | {"X-Subject": "bob"},
        bearer(key.token("cleo")),
        other.headers,
        other.headers | {"X-Subject": "ann"},
    ]
    made = [await ask(guarded, headers) for headers in owners]
    assert [status for status, _, _ in made] == [200] * len(owners)
    for owner, (_, turn, conversation) in zip(owners, made, strict=True):
        for reader in owners:
            own = reader is owner
            status, _, _ = await guarded.call("GET", f"{CHAT}/{turn}", headers=reader)
            assert status == (200 if own else 404)
            status, _, _ = await guarded.call("DELETE", f"{CHAT}/{turn}", headers=reader)
            assert status == (202 if own else 404)
            path = f"{CONVERSATIONS}/{conversation}"
            # Small talk is not stored, so that the owner finds nothing either.
            assert (await guarded.call("GET", path, headers=reader))[0] == 404


async def test_a_token_and_its_keys_end_user_are_the_same_subject(
    guarded: Client, key: MadeKey
) -> None:
    _, turn, _ = await ask(guarded, bearer(key.token("ann")))
    named = key.headers | {"X-Subject": "ann"}
    assert (await guarded.call("GET", f"{CHAT}/{turn}", headers=named))[0] == 200


async def test_a_conversation_shows_only_what_its_reader_may_read(
    guarded_settings: Settings, library_url: str
) -> None:
    key = await make_key(library_url, "readers")
    asked = {"query": "How fast should the attack be when I side-chain the bass to the kick?"}
    async with running(replace(guarded_settings, database_url=library_url)) as service:
        both = ["mara-voss", "tomas-okafor"]
        async with service.stream(asked, bearer(key.token("ann", creators=both))) as stream:
            await stream.rest()
            path = f"{CONVERSATIONS}/{stream.response.headers['X-Conversation-Id']}"
        for creators, status in ((None, 200), (both[::-1], 200), (both[:1], 404), ([], 404)):
            token = key.token("ann", creators=creators)
            assert (await service.call("GET", path, headers=bearer(token)))[0] == status, creators


async def test_an_end_user_needs_a_short_visible_name(guarded: Client, key: MadeKey) -> None:
    for name in ("", "x" * 201, "a\tb", "ü"):
        status, problem, _ = await guarded.call(
            "POST", CHAT, json=QUESTION, headers=key.headers | {"X-Subject": name}
        )
        assert status == 403, name
        assert "X-Subject" in problem["detail"]


async def test_a_publishable_key_works_on_its_origins_only(
    guarded: Client, public_key: MadeKey
) -> None:
    for origin in (SITE, "http://localhost:3000"):
        assert (await ask(guarded, public_key.headers | {"Origin": origin}))[0] == 200
    for origin in ("https://other.example", "http://site.example", f"{SITE}:444", "null", ""):
        assert (await ask(guarded, public_key.headers | {"Origin": origin}))[0] == 403
    assert (await ask(guarded, public_key.headers))[0] == 403


async def test_a_publishable_key_may_only_ask_and_read_its_own(
    guarded: Client, public_key: MadeKey
) -> None:
    sent = public_key.headers | {"Origin": SITE}
    for path in ("/api/v1/search?q=a", "/api/v1/creators"):
        status, problem, _ = await guarded.call("GET", path, headers=sent)
        assert (status, problem["type"]) == (403, "urn:chrysopedia:problem:forbidden")
    _, turn, _ = await ask(guarded, sent)
    assert (await guarded.call("GET", f"{CHAT}/{turn}", headers=sent))[0] == 200
    assert (await ask(guarded, sent | {"X-Subject": "ann"}))[0] == 403


async def test_ids_that_can_be_guessed_are_not_shared_by_visitors_of_a_site(
    guarded: Client, key: MadeKey, public_key: MadeKey
) -> None:
    visitor = public_key.headers | {"Origin": SITE}
    for sender, kept in ((visitor, False), (key.headers, True)):
        asked = {"json": QUESTION | {"conversation_id": "1"}, "headers": sender}
        _, _, headers = await guarded.call("POST", CHAT, **asked)
        assert (headers["X-Conversation-Id"] == "1") is kept
        short = {"json": QUESTION, "headers": sender | {"Idempotency-Key": "1"}}
        assert (await guarded.call("POST", CHAT, **short))[0] == (200 if kept else 400)


async def test_a_revoked_key_and_its_tokens_are_refused_within_seconds(
    guarded: Client, key: MadeKey, database_url: str
) -> None:
    token = key.token()
    for headers in (key.headers, bearer(token)):
        assert (await ask(guarded, headers))[0] == 200
    await revoke(database_url, key)
    with anyio.fail_after(SOON):
        while (await ask(guarded, key.headers))[0] != 401:
            pass
    assert (await ask(guarded, bearer(token)))[0] == 401


async def test_a_new_key_works_within_seconds(guarded: Client, database_url: str) -> None:
    assert (await ask(guarded, bearer(f"chp_secret_{'0' * 12}_{'0' * 64}")))[0] == 401
    new = await make_key(database_url, "new")
    with anyio.fail_after(SOON):
        while (await ask(guarded, new.headers))[0] != 200:
            pass


async def test_an_expired_key_is_refused(guarded: Client, database_url: str) -> None:
    expired = await make_key(database_url, "old", lifetime=timedelta(seconds=-1))
    lasting = await make_key(database_url, "lasting", lifetime=timedelta(days=1))
    assert (await ask(guarded, expired.headers))[0] == 401
    assert (await ask(guarded, lasting.headers))[0] == 200


async def test_known_keys_still_work_while_postgresql_is_away(
    guarded_settings: Settings, own_postgres: OwnServer
) -> None:
    async with running(replace(guarded_settings, database_url=own_postgres.url)) as service:
        key = await make_key(own_postgres.url)
        _, turn, _ = await ask(service, key.headers)
        await own_postgres.stop()
        assert (await service.call("GET", f"{CHAT}/{turn}", headers=key.headers))[0] == 200
        wrong = bearer(key.text[:-1])
        assert (await service.call("GET", f"{CHAT}/{turn}", headers=wrong))[0] == 401


async def test_no_key_is_accepted_before_the_keys_were_read(
    guarded_settings: Settings, own_postgres: OwnServer
) -> None:
    async with running(replace(guarded_settings, database_url=own_postgres.url)) as service:
        key = await make_key(own_postgres.url)
        await own_postgres.stop()
        status, problem, headers = await service.call(
            "GET", f"{CHAT}/{UNKNOWN_TURN}", headers=key.headers
        )
        assert (status, problem["type"]) == (503, "urn:chrysopedia:problem:unavailable")
        assert int(headers["Retry-After"]) > 0


async def test_a_users_name_is_believed_from_trusted_proxies_only(
    guarded_settings: Settings,
) -> None:
    named = {"X-Remote-User": "ann"}
    with_header = replace(guarded_settings, auth_subject_header="X-Remote-User")
    async with running(replace(with_header, trusted_proxies="::1, 127.0.0.0/8")) as service:
        _, turn, _ = await ask(service, named)
        path = f"{CHAT}/{turn}"
        assert (await service.call("GET", path, headers=named))[0] == 200
        assert (await service.call("GET", path, headers={"X-Remote-User": "bob"}))[0] == 404
        assert (await service.call("GET", path))[0] == 401
        # A proxy's own password is not a key.
        basic = named | {"Authorization": "Basic YTpi"}
        assert (await service.call("GET", path, headers=basic))[0] == 200
        for names in (["ann", "bob"], ["ü"], ["x" * 201]):
            twice = [("X-Remote-User", name) for name in names]
            assert (await service.call("GET", path, headers=twice))[0] == 401
    async with running(replace(with_header, trusted_proxies="10.0.0.0/8")) as service:
        # A header that says where the request came from does not make its sender a proxy.
        for claimed in ({}, {"X-Forwarded-For": "10.0.0.1"}):
            assert (await ask(service, named | claimed))[0] == 401
    async with running(replace(guarded_settings, trusted_proxies="127.0.0.1")) as service:
        assert (await ask(service, named))[0] == 401


async def test_without_access_control_credentials_are_ignored(
    guarded_settings: Settings,
) -> None:
    async with running(replace(guarded_settings, auth="off")) as service:
        assert (await ask(service, bearer("x")))[0] == 200
        _, _, headers = await service.call("OPTIONS", CHAT, headers={"Origin": SITE})
        assert "Vary" not in headers


async def test_usage_is_written_in_batches(
    guarded_settings: Settings, key: MadeKey, public_key: MadeKey, database: asyncpg.Connection
) -> None:
    async with running(guarded_settings) as service:
        turns = [(await ask(service, key.headers))[1] for _ in range(3)]
        await service.call("GET", f"{CHAT}/{turns[0]}", headers=key.headers)
    # The rest is written at the end.
    rows = await database.fetch("SELECT key_id, questions FROM key_usage")
    assert [tuple(row) for row in rows] == [(key.id, 3)]
    used = "SELECT id FROM keys WHERE first_used_at IS NOT NULL AND last_used_at IS NOT NULL"
    assert [row["id"] for row in await database.fetch(used)] == [key.id]


async def test_the_audit_log_names_keys_and_refusals_but_no_secrets(
    guarded_settings: Settings, key: MadeKey, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    wrong = key.text[:-1] + "x"
    async with running(replace(guarded_settings, audit_log=str(log))) as service:
        _, _, conversation = await ask(service, key.headers)
        for _ in range(10):
            await ask(service, bearer(wrong))
        await ask(service, bearer(f"{key.text[:-64]}{'0' * 64}"))
        deleted = f"{CONVERSATIONS}/{conversation}"
        assert (await service.call("DELETE", deleted, headers=key.headers))[0] == 204
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    events = [line["event"] for line in lines]
    # Only a few refusals an address and minute are recorded; the minute may change during the test.
    assert 3 <= events.count("refused") <= 6
    [deletion] = [line for line in lines if line["event"] == "conversation_deleted"]
    assert (deletion["key"], len(deletion["owner"])) == (key.id, 32)
    assert (lines[-1]["event"], lines[-1]["key"]) == ("key_first_used", key.id)
    assert all(line["time"] for line in lines)
    for secret in (key.text[-60:], conversation):
        assert secret not in text
    assert log.stat().st_mode & 0o077 == 0


async def test_the_documented_program_makes_tokens(guarded: Client, key: MadeKey) -> None:
    [program] = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102
    names |= {"KEY_ID": key.id, "SIGNING_SECRET": key.signing_secret}
    assert (await ask(guarded, bearer(names["chat_token"]("user-17"))))[0] == 200
