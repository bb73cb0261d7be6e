"""Records the OpenAPI document's examples from the running service.

    python -m tests.examples            # writes app/handlers/openapi/examples.json

`record` returns the examples; `normalized` removes the values that differ in each recording.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPMessage, parse_headers
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import msgspec
from msgspec.structs import replace

from app.config import Settings
from app.handlers.openapi.api_docs import EXAMPLES
from app.handlers.openapi.document import Example
from app.handlers.openapi.operations import OPERATIONS
from app.handlers.openapi.parameters import HEADERS
from app.infra.embedded import postgres
from tests.keys import make_key, revoke
from tests.scripted_model import DIE, ScriptedModel, say
from tests.servers import ingest_sample, own_server, shared_servers
from tests.service import Client, running

FILE = Path(str(files("app.handlers.openapi"))) / EXAMPLES
QUESTION = {"query": "How thick must absorber panels be?", "creator": "tomas okafor"}
FOLLOW_UP = {"query": "And how far from the wall?", "creator": "tomas okafor"}
ANSWER = ("Panels", " of", " mineral", " wool,", " 10 cm", " thick", " [1]", ".")
HEAD = b"POST /api/v1/chat HTTP/1.1\r\nHost: chat\r\nContent-Type: application/json\r\n"
INCOMPLETE_REQUEST = HEAD + b"Content-Length: 99\r\n\r\n{"
KEY = "0b1f7a1c-6d0e-4a53-9d2e-5f0f1c3b7a11"
UNKNOWN_TURN = "t_" + "0" * 32
# Values that differ in each recording: ids, seconds, times.
VOLATILE = re.compile(r"\b[0-9a-f]{32}\b|(?<=[tc]_)[0-9a-f]{32,62}|\d+\.\d+|20\d\d-[-+:\dT]+")
SECONDS = re.compile(r"(?<=in )\d+(?= seconds)|(?<=r=0;t=)\d+")


class Recorder:
    """Sends requests to a service and appends each exchange to `examples`."""

    def __init__(self, service: Client, examples: list[Example]) -> None:
        self._service = service
        self._examples = examples

    async def __call__(
        self,
        name: str,
        operation: str,
        summary: str,
        parameters: dict[str, str] | None = None,
        body: Any = None,
        **options: Any,
    ) -> Example:
        """Call an operation; `options` are passed to the HTTP client."""
        called = next(it for it in OPERATIONS if it.name == operation)
        values = parameters or {}
        places = {each.name: each.location for each in called.parameters}
        path = called.path.format_map(values)
        query = {key: value for key, value in values.items() if places[key] == "query"}
        headers = {key: value for key, value in values.items() if places[key] == "header"}
        if body is not None:
            options["json"] = body
        async with self._service.http.request(
            called.method,
            self._service.url + path,
            params=query,
            headers=headers | options.pop("headers", {}),
            **options,
        ) as response:
            content = await response.text()
            kind = response.content_type if content else None
            response_headers = {
                it: response.headers[it] for it in HEADERS if it in response.headers
            }
            return self._keep(
                Example(
                    name=name,
                    operation=operation,
                    summary=summary,
                    parameters=values,
                    body=body,
                    status=response.status,
                    headers=response_headers,
                    media_type=kind,
                    reply=json.loads(content) if kind and kind.endswith("json") else content,
                )
            )

    async def raw(self, name: str, operation: str, summary: str, request: bytes) -> Example:
        """Send bytes that no HTTP client would send."""
        host, _, port = self._service.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        start, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        headers: HTTPMessage = parse_headers(BytesIO(rest))
        content = await reader.readexactly(int(headers["Content-Length"]))
        writer.close()
        return self._keep(
            Example(
                name=name,
                operation=operation,
                summary=summary,
                parameters={},
                body=None,
                status=int(start.split()[1]),
                headers={it: headers[it] for it in HEADERS if it in headers},
                media_type=headers.get_content_type(),
                reply=json.loads(content),
            )
        )

    def _keep(self, example: Example) -> Example:
        self._examples.append(example)
        return example


def recorded() -> list[Example]:
    """Read the recorded examples."""
    return msgspec.json.decode(FILE.read_bytes(), type=list[Example])


async def record(settings: Settings, model: ScriptedModel) -> list[Example]:
    """Record a service with these settings, the sample library and the scripted model."""
    examples: list[Example] = []
    chosen = replace(settings, llm_base_url=model.base_url, llm_model="scripted", max_sources=2)
    async with running(chosen) as service:
        recorder = Recorder(service, examples)
        await _answers(recorder, model)
        await _lookups(recorder)
        await _refusals(recorder)
        again = {"Idempotency-Key": KEY}
        async with _held(service, model, again):
            await recorder("turn-running", "ask", "The turn is still running", again, QUESTION)
    async with running(replace(chosen, max_turns=1)) as service, _held(service, model, {}):
        recorder = Recorder(service, examples)
        await recorder("unavailable", "ask", "The worker is full", None, QUESTION)
        await recorder("not-ready", "ready", "The worker is full")
    async with running(replace(chosen, rate_limit=1, body_timeout=0.05)) as service:
        recorder = Recorder(service, examples)
        await recorder.raw("body-too-slow", "ask", "Incomplete body", INCOMPLETE_REQUEST)
        await recorder("too-many-requests", "ask", "Rate limit exceeded", None, QUESTION)
    async with running(replace(chosen, auth="on")) as service:
        await _refused_callers(Recorder(service, examples), chosen.database_url)
    async with _without_library(chosen) as service:
        recorder = Recorder(service, examples)
        parameters = {"q": QUESTION["query"]}
        await recorder("library-unavailable", "search", "PostgreSQL is down", parameters)
    return examples


async def _answers(ask: Recorder, model: ScriptedModel) -> None:
    model.answers(say(*ANSWER, usage=(812, 9)))
    first = await ask("answer", "ask", "An answer", None, QUESTION)
    conversation = {"conversation_id": first.headers["X-Conversation-Id"]}
    turn = {"turn_id": first.headers["X-Turn-Id"]}
    # The model is called twice: to rewrite the question, and to answer it.
    model.answers(say("How far from the wall must absorber panels be?"))
    model.answers(say("Leave", " 5 to 10 cm", " [1]", ".", usage=(871, 5)))
    await ask("follow-up", "ask", "A follow-up", None, FOLLOW_UP | conversation)
    after = {"Last-Event-ID": f"{turn['turn_id']}-7"}
    await ask("rest", "follow", "Resume a stream", turn | after)
    after = {"lastEventId": f"{turn['turn_id']}-9"}
    await ask("rest-by-query", "follow", "Resume a stream by a query parameter", turn | after)
    await ask("stop", "stop", "Stop a turn", turn)
    await ask("conversation", "conversation", "A conversation", conversation)
    await ask("forget", "forget", "Delete a conversation", conversation)
    off_topic = {"query": "Who won the football world cup in 1954?"}
    await ask("nothing", "ask", "The library has no answer", None, off_topic)
    model.answers(say("Panels", " of", DIE))
    await ask("model-failed", "ask", "The model fails during the answer", None, QUESTION)


async def _lookups(ask: Recorder) -> None:
    await ask("creators", "creators", "Creators by prefix", {"prefix": "to"})
    question = {"q": QUESTION["query"], "creator": QUESTION["creator"]}
    await ask("search", "search", "A search", question)
    await ask("alive", "alive", "The process is alive")
    await ask("ready", "ready", "The worker is ready")


async def _refusals(ask: Recorder) -> None:
    typed = {"Content-Type": "application/json"}
    await ask("bad-request", "ask", "Body is not JSON", data=b'{"query": "How', headers=typed)
    two = {"query": " ", "conversation_id": "a b"}
    await ask("unprocessable", "ask", "Two invalid fields", None, two)
    missing = {"turn_id": UNKNOWN_TURN}
    await ask("not-found", "follow", "Unknown turn", missing)
    await ask("no-conversation", "conversation", "Unknown conversation", {"conversation_id": "x"})
    await ask("no-id", "forget", "Malformed conversation id", {"conversation_id": "a b"})
    cursor = {"turn_id": UNKNOWN_TURN, "Last-Event-ID": "7"}
    await ask("bad-cursor", "follow", "Malformed Last-Event-ID", cursor)
    accept = {"Accept": "application/json"}
    await ask("not-acceptable", "ask", "Accept excludes the stream", None, QUESTION, headers=accept)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    await ask(
        "unsupported-media-type", "ask", "Wrong Content-Type", data=b"query=How", headers=form
    )
    await ask("body-too-large", "ask", "Body over 16 KiB", data=b" " * 16_385, headers=typed)
    await ask.raw("length-required", "ask", "Body without a length", HEAD + b"\r\n")
    await ask("no-prefix", "creators", "Prefix is too long", {"prefix": "x" * 201})
    await ask("no-question", "search", "Missing question", {"q": ""})


async def _refused_callers(ask: Recorder, database_url: str) -> None:
    await ask("unauthenticated", "ask", "No key", None, QUESTION)
    site = "https://site.example"
    name = f"example {uuid4().hex}"
    key = await make_key(database_url, name, kind="publishable", origins=(site,))
    sent = {"Origin": site, **key.headers}
    await ask("forbidden", "search", "A publishable key", {"q": "a"}, headers=sent)
    # Other tests use the same database.
    await revoke(database_url, key)


@asynccontextmanager
async def _held(
    service: Client, model: ScriptedModel, headers: dict[str, str]
) -> AsyncIterator[None]:
    """Keep a turn running for the length of the block."""
    held = anyio.Event()
    model.answers(say("Panels", held))
    async with service.stream(QUESTION, headers) as stream:
        await stream.until("token")
        yield
        held.set()
        await stream.rest()


@asynccontextmanager
async def _without_library(settings: Settings) -> AsyncIterator[Client]:
    with tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder:
        async with (
            own_server(postgres, Path(folder)) as server,
            running(replace(settings, database_url=server.url)) as service,
        ):
            await server.stop()
            yield service


def normalized(example: Example) -> str:
    """Serialize an example without the values that differ in each recording."""
    kept = replace(example, headers={name: "" for name in example.headers if name != "Location"})
    written = json.dumps(msgspec.to_builtins(kept), ensure_ascii=False, indent=1)
    return SECONDS.sub("…", VOLATILE.sub("…", written))


async def _main() -> None:
    with shared_servers() as shared:
        url = shared.create_database()
        await ingest_sample(url)
        async with ScriptedModel() as model:
            examples = await record(Settings(database_url=url, redis_url=shared.redis_url), model)
    written = json.dumps(msgspec.to_builtins(examples), ensure_ascii=False, indent=1)
    FILE.write_text(written + "\n")
    for example in examples:
        print(f"{example.status} {example.name}")


if __name__ == "__main__":
    anyio.run(_main, backend_options={"use_uvloop": True})
