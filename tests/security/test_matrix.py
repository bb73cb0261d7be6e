"""Which status each caller gets from each operation, on both workers.

The turn and the conversation belong to the user `ann` of a secret key, and were made on the first
worker. A ticket is sent in the URL, by a caller without other credentials.
"""

import pytest

from tests.clients.programs import needs_page
from tests.security.callers import Headers, Made, ask, browser, requests
from tests.security.conftest import Site
from tests.service import Client

pytestmark = [pytest.mark.anyio, needs_page]

# Operations that need no credentials, and are not counted.
OPEN = ("alive", "ready", "metrics", "openapi", "reference")

GUARDED = """
                      | ask | resume | follow | stop | conversation | forget | creators | search |
own                   | 200 |  200   |  200   | 202  |     200      |  204   |   200    |  200   |
own, by token         | 200 |  200   |  200   | 202  |     200      |  204   |   200    |  200   |
same key, no user     | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
same key, other user  | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
other token           | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
other key, same user  | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
restricted key        | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
proxy's user          | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
publishable key       | 200 |  404   |  404   | 404  |     404      |  204   |   403    |  403   |
… on another origin   | 403 |  403   |  403   | 403  |     403      |  403   |   403    |  403   |
… without an origin   | 403 |  403   |  403   | 403  |     403      |  403   |   403    |  403   |
page                  | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  403   |
cross-site cookie     | 401 |  401   |  401   | 401  |     401      |  401   |   401    |  401   |
forged cookie         | 401 |  401   |  401   | 401  |     401      |  401   |   401    |  401   |
its ticket            | 401 |  401   |  200   | 401  |     401      |  401   |   401    |  401   |
another turn's ticket | 401 |  401   |  404   | 401  |     401      |  401   |   401    |  401   |
forged ticket         | 401 |  401   |  404   | 401  |     401      |  401   |   401    |  401   |
wrong key             | 401 |  401   |  401   | 401  |     401      |  401   |   401    |  401   |
revoked key           | 401 |  401   |  401   | 401  |     401      |  401   |   401    |  401   |
… and its token       | 401 |  401   |  401   | 401  |     401      |  401   |   401    |  401   |
expired key           | 401 |  401   |  401   | 401  |     401      |  401   |   401    |  401   |
expired token         | 401 |  401   |  401   | 401  |     401      |  401   |   401    |  401   |
nobody                | 401 |  401   |  401   | 401  |     401      |  401   |   401    |  401   |
"""

# With AUTH=off only the page's cookie identifies a caller; here, it is the page's turn.
UNGUARDED = """
                      | ask | resume | follow | stop | conversation | forget | creators | search |
page                  | 200 |  200   |  200   | 202  |     200      |  204   |   200    |  200   |
other page            | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
cross-site cookie     | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
forged cookie         | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
own                   | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
proxy's user          | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
wrong key             | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
nobody                | 200 |  404   |  404   | 404  |     404      |  204   |   200    |  200   |
"""

# Callers whose turns and conversations are tried by all others.
OWNERS = (
    *("own", "same key, no user", "same key, other user", "other key, same user"),
    *("restricted key", "proxy's user", "publishable key", "page", "other page"),
)


def parsed(table: str) -> dict[str, dict[str, int]]:
    """Return the statuses by caller and operation."""
    head, *rows = ([cell.strip() for cell in row.split("|")] for row in table.strip().splitlines())
    names = [name for name in head if name]
    return {
        caller: dict(zip(names, map(int, statuses[:-1]), strict=True)) for caller, *statuses in rows
    }


def credentials(site: Site, caller: str, made: Made, other: Made) -> tuple[Headers, str]:
    """Return the headers and the query of a caller."""
    tickets = {
        "its ticket": made.ticket,
        "another turn's ticket": other.ticket,
        "forged ticket": made.ticket[:-4] + "AAAA",
    }
    return ({}, tickets[caller]) if caller in tickets else (site.callers[caller], "")


async def check(
    worker: Client, made: Made, sent: tuple[Headers, str], expected: dict[str, int]
) -> None:
    """Send a request for each operation, and check the status and the headers of limits."""
    expected = expected | dict.fromkeys(OPEN, 200)
    headers, query = sent
    for operation, (method, path, more) in requests(made).items():
        url = f"{path}{'&' if '?' in path else '?'}{query}" if query else path
        body = {"query": "Hello!"} if method == "POST" else None
        got, _, reply = await worker.call(method, url, json=body, headers={**headers, **more})
        assert got == expected.pop(operation), operation
        # A request without any credentials is not counted.
        counted = operation not in OPEN and reply.get("WWW-Authenticate") != "Bearer"
        assert ("RateLimit" in reply) is ("RateLimit-Policy" in reply) is counted, operation
    assert not expected


async def test_every_operation_of_the_api_is_in_the_tables(guarded: Site) -> None:
    _, document, _ = await guarded.workers[0].call("GET", "/openapi.json")
    operations = {
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    }
    for table in (GUARDED, UNGUARDED):
        for row in parsed(table).values():
            assert {*row, *OPEN} == operations | {"resume"}


@pytest.mark.parametrize("caller", parsed(GUARDED))
async def test_with_access_control(guarded: Site, caller: str) -> None:
    owner, row = guarded.callers["own"], parsed(GUARDED)[caller]
    first, second = guarded.workers
    made, other = await ask(first, owner), await ask(first, owner)
    await check(second, made, credentials(guarded, caller, made, other), row)
    if row["conversation"] == 200:
        # The caller has deleted the conversation.
        made = await ask(first, owner)
    await check(first, made, credentials(guarded, caller, made, other), row)
    await check_kept(guarded, made, owner, row["conversation"] != 200)


@pytest.mark.parametrize("caller", parsed(UNGUARDED))
async def test_without_access_control(unguarded: Site, caller: str) -> None:
    owner, row = unguarded.callers["page"], parsed(UNGUARDED)[caller]
    for worker in unguarded.workers:
        made = await ask(unguarded.workers[0], owner)
        await check(worker, made, (unguarded.callers[caller], ""), row)
        await check_kept(unguarded, made, owner, row["conversation"] != 200)


async def check_kept(site: Site, made: Made, owner: Headers, kept: bool) -> None:
    """Check whether the owner's conversation is still there."""
    method, path, _ = requests(made)["conversation"]
    for worker in site.workers:
        assert (await worker.call(method, path, headers=owner))[0] == (200 if kept else 404)


@pytest.mark.parametrize("owner", OWNERS)
async def test_what_any_caller_makes_does_not_exist_for_any_other(
    guarded: Site, owner: str
) -> None:
    made = await ask(guarded.workers[0], guarded.callers[owner])
    for reader in sorted(OWNERS, key=lambda name: name == owner):
        for worker in guarded.workers:
            statuses = []
            for operation in ("resume", "follow", "stop", "conversation"):
                method, path, more = requests(made)[operation]
                headers = {**guarded.callers[reader], **more}
                statuses.append((await worker.call(method, path, headers=headers))[0])
            expected = [200, 200, 202, 200] if reader == owner else [404] * 4
            assert statuses == expected, reader


async def test_without_any_identity_a_turn_needs_its_id(unguarded: Site) -> None:
    made = await ask(unguarded.workers[0], {})
    page = await browser(unguarded.settings.database_url)
    assert len(made.turn) == len("t_") + 32
    for worker in unguarded.workers:
        for headers, expected in ({}, 200), (page, 404):
            for operation in ("follow", "conversation"):
                method, path, _ = requests(made)[operation]
                assert (await worker.call(method, path, headers=headers))[0] == expected
