"""Callers of a service with access control, and what they make."""

from collections.abc import Mapping
from datetime import timedelta

import asyncpg
from msgspec import Struct

from app.services.access.browsers import Browsers
from app.services.access.signing import load_secret
from tests.keys import SITE, bearer, make_key, revoke
from tests.service import CHAT, Client

CONVERSATIONS = "/api/v1/conversations"
USER_HEADER = "X-Remote-User"
# A question that the sample library answers, so that its turn is stored in the conversation.
QUESTION = {"query": "How fast should the attack be when I side-chain the bass to the kick?"}
RESTRICTED_TO = "tomas-okafor"

Headers = Mapping[str, str]


class Made(Struct, frozen=True):
    """A turn with its conversation; `ticket` is the query of its link, "" without one."""

    turn: str
    conversation: str
    ticket: str


async def ask(worker: Client, headers: Headers, **fields: str) -> Made:
    """Ask a question and read its stream to the end."""
    async with worker.stream(QUESTION | fields, headers) as stream:
        events = await stream.rest()
        found = stream.response.headers
    assert events[-1].name == "done"
    ticket = found["Location"].partition("?")[2]
    return Made(found["X-Turn-Id"], found["X-Conversation-Id"], ticket)


def requests(made: Made) -> dict[str, tuple[str, str, Headers]]:
    """Return a request for each operation of the OpenAPI document, and `resume`."""
    turn, conversation = f"{CHAT}/{made.turn}", f"{CONVERSATIONS}/{made.conversation}"
    return {
        "ask": ("POST", CHAT, {}),
        "resume": ("POST", CHAT, {"Last-Event-ID": f"{made.turn}-0"}),
        "follow": ("GET", turn, {}),
        "stop": ("DELETE", turn, {}),
        "conversation": ("GET", conversation, {}),
        "creators": ("GET", "/api/v1/creators", {}),
        "search": ("GET", f"/api/v1/search?q={QUESTION['query']}", {}),
        "alive": ("GET", "/healthz", {}),
        "ready": ("GET", "/readyz", {}),
        "metrics": ("GET", "/metrics", {}),
        "openapi": ("GET", "/openapi.json", {}),
        "reference": ("GET", "/docs", {}),
        # Last, since nothing is left after it.
        "forget": ("DELETE", conversation, {}),
    }


async def browser(database_url: str) -> dict[str, str]:
    """Return the headers of the page in a new browser."""
    connection = await asyncpg.connect(database_url)
    try:
        cookie = Browsers(await load_secret(connection)).renewed("")
    finally:
        await connection.close()
    return {"Cookie": f"chrysopedia={cookie}", "Sec-Fetch-Site": "same-origin"}


async def make_callers(database_url: str) -> dict[str, Headers]:
    """Make keys and browsers; return the headers that each caller sends."""
    key = await make_key(database_url, "own")
    other = await make_key(database_url, "other")
    restricted = await make_key(database_url, "restricted", creators=(RESTRICTED_TO,))
    public = await make_key(database_url, "public", kind="publishable", origins=(SITE,))
    revoked = await make_key(database_url, "revoked")
    await revoke(database_url, revoked)
    expired = await make_key(database_url, "expired", lifetime=timedelta(seconds=-1))
    ann = key.headers | {"X-Subject": "ann"}
    page = await browser(database_url)
    return {
        "own": ann,
        "own, by token": bearer(key.token("ann")),
        "same key, no user": key.headers,
        "same key, other user": key.headers | {"X-Subject": "bob"},
        "other token": bearer(key.token("bob")),
        "other key, same user": other.headers | {"X-Subject": "ann"},
        "restricted key": restricted.headers,
        "publishable key": public.headers | {"Origin": SITE},
        "… on another origin": public.headers | {"Origin": "https://other.example"},
        "… without an origin": public.headers,
        "proxy's user": {USER_HEADER: "ann"},
        "page": page,
        "other page": await browser(database_url),
        "cross-site cookie": page | {"Sec-Fetch-Site": "cross-site"},
        "forged cookie": {"Cookie": page["Cookie"] + "x", "Sec-Fetch-Site": "same-origin"},
        "wrong key": bearer(key.text[:-64] + "0" * 64),
        "revoked key": revoked.headers,
        "… and its token": bearer(revoked.token("ann")),
        "expired key": expired.headers,
        "expired token": bearer(key.token("ann", exp=1)),
        "nobody": {},
    }
