"""Operations and recorded examples come in; the OpenAPI 3.1 document that tells of them goes out.

Schemas are made by msgspec from the types that the code itself reads and writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from app import __version__
from app.errors import ChatError
from app.handlers.openapi.operations import EVENT_STREAM, EVENTS, OPERATIONS, Operation, Reply
from app.handlers.openapi.parameters import EVERYWHERE, HEADERS, PROBLEM_HEADERS, Parameter
from app.limits import EVENT_ID, whole
from app.schemas import Problem

JSON: TypeAlias = dict[str, Any]
PROBLEM = "application/problem+json"

ABOUT = (
    "Ask a creators' library in plain words, and read the answer as it streams, drawn from the "
    "creators' own videos and pages, with its sources.\n\n"
    "A question is answered by a stream of server-sent events. An answer belongs to no connection: "
    "a client whose stream was cut goes on with `Last-Event-ID`, on any worker, and an "
    "`Idempotency-Key` makes a retry harmless.\n\n"
    "What fails before a stream begins is told by an HTTP status and a problem document (RFC "
    "9457), whose `type` says which problem it is. A request that is refused for a while (429, "
    "503) names in `Retry-After` when to come back."
)
TAGS = {
    "chat": "Questions, and the streams that answer them.",
    "conversations": "What was asked and answered before.",
    "library": "What there is to ask about.",
    "operations": "For whoever runs or explores the service.",
}
HOW_STREAMS_LOOK = (
    "Server-sent events. Each has an `id`, the `event`'s name, and one `data` line with one JSON "
    "value. `sources` comes first, `done` or `error` last, exactly one of them; comments "
    "(`: ping`) keep the connection alive. An id is opaque, and for resuming only. "
    "The schema is that of each event, as OpenAPI 3.2 has it in `itemSchema`."
)


class Example(Struct, frozen=True):
    """A request to an operation and its reply, as they were recorded from the running service."""

    name: str
    operation: str
    summary: str
    parameters: Mapping[str, str]
    body: Any
    status: int
    headers: Mapping[str, str]
    media_type: str | None
    reply: Any


def document(examples: Sequence[Example]) -> JSON:
    """Describe all operations."""
    schemas = _Schemas()
    paths: dict[str, JSON] = {}
    for operation in OPERATIONS:
        path = paths.setdefault(
            operation.path,
            {"parameters": [_parameter(each, (), schemas) for each in EVERYWHERE]},
        )
        own = [example for example in examples if example.operation == operation.name]
        path[operation.method] = _operation(operation, own, examples, schemas)
    told = {
        "openapi": "3.1.1",
        "info": {
            "title": "Chrysopedia Chat",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": what} for name, what in TAGS.items()],
        "security": [],
        "paths": paths,
        "components": {
            "headers": {name: _header(name, examples, schemas) for name in HEADERS},
            "schemas": schemas.components,
        },
    }
    # As JSON has it, which knows no tuples.
    plain: JSON = msgspec.json.decode(msgspec.json.encode(told))
    return plain


class _Schemas:
    """Makes schemas of types; those of Structs become `components`, which the others name."""

    def __init__(self) -> None:
        self.components: JSON = {}

    def of(self, kind: Any) -> JSON:
        (schema,), found = msgspec.json.schema_components(
            (kind,), ref_template="#/components/schemas/{name}"
        )
        self.components |= found
        return schema


def _operation(
    operation: Operation, own: Sequence[Example], every: Sequence[Example], schemas: _Schemas
) -> JSON:
    told: JSON = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.what,
    }
    if operation.parameters:
        told["parameters"] = [_parameter(each, own, schemas) for each in operation.parameters]
    if operation.body:
        asked = [it for it in own if it.body is not None and it.status < 300]
        told["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schemas.of(operation.body),
                    "examples": {
                        it.name: {"summary": it.summary, "value": it.body} for it in asked
                    },
                }
            },
        }
    replies = {str(each.status): _reply(each, own, schemas) for each in operation.replies}
    told["responses"] = replies | _problems(operation.problems, own, every, schemas)
    return told


def _parameter(parameter: Parameter, own: Iterable[Example], schemas: _Schemas) -> JSON:
    told: JSON = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.what,
        "required": parameter.required,
        "schema": schemas.of(parameter.kind),
    }
    examples = {
        it.name: {"summary": it.summary, "value": it.parameters[parameter.name]}
        for it in own
        if it.status < 300 and parameter.name in it.parameters
    }
    return told | ({"examples": examples} if examples else {})


def _header(name: str, examples: Sequence[Example], schemas: _Schemas) -> JSON:
    schema = schemas.of(HEADERS[name])
    told = {"description": schema.pop("description"), "schema": schema}
    seen = [example.headers[name] for example in examples if name in example.headers]
    return told | ({"example": seen[0]} if seen else {})


def _reply(reply: Reply, own: Sequence[Example], schemas: _Schemas) -> JSON:
    told: JSON = {"description": reply.what, "headers": _headers(reply.headers)}
    if reply.content:
        told["content"] = {
            media_type: _body(media_type, kind, schemas)
            | _examples(
                it for it in own if (it.status, it.media_type) == (reply.status, media_type)
            )
            for media_type, kind in reply.content.items()
        }
    if reply.status == 200 and "X-Turn-Id" in reply.headers:
        told["links"] = _LINKS
    return told


def _body(media_type: str, kind: Any, schemas: _Schemas) -> JSON:
    if media_type != EVENT_STREAM:
        return {"schema": schemas.of(kind)}
    events = [_event(name, schemas.of(data)) for name, data in EVENTS.items()]
    return {"schema": {"description": HOW_STREAMS_LOOK, "oneOf": events}}


def _event(name: str, data: JSON) -> JSON:
    written = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {
        "title": name,
        "description": data.pop("description"),
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": whole(EVENT_ID)},
            "event": {"const": name},
            "data": written,
        },
        "required": ["id", "event", "data"],
        "additionalProperties": False,
    }


def _problems(
    problems: Sequence[type[ChatError]],
    own: Sequence[Example],
    every: Sequence[Example],
    schemas: _Schemas,
) -> dict[str, JSON]:
    by_status: dict[int, list[type[ChatError]]] = {}
    all_of_them: list[type[ChatError]] = [*problems, ChatError]
    for problem in sorted(all_of_them, key=lambda problem: problem.status):
        by_status.setdefault(problem.status, []).append(problem)
    told = {}
    for status, kinds in by_status.items():
        types = [f"urn:chrysopedia:problem:{kind.slug}" for kind in kinds]
        # Not `const`: some generators of clients cannot join that with the type of a field.
        exact = {"properties": {"type": {"enum": types}, "status": {"enum": [status]}}}
        # The operation's own, or else another's: they have the same form.
        fitting = [it for it in every if it.status == status and it.reply.get("type") in types]
        content = {"schema": {"allOf": [schemas.of(Problem), exact]}} | _examples(
            [it for it in fitting if it in own] or fitting
        )
        told[str(status)] = {
            "description": " ".join(f"{kind.title}." for kind in kinds),
            "headers": _headers(PROBLEM_HEADERS.get(status, ())),
            "content": {PROBLEM: content},
        }
    return told


def _headers(names: Iterable[str]) -> JSON:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def _examples(examples: Iterable[Example]) -> JSON:
    told = {it.name: {"summary": it.summary, "value": it.reply} for it in examples}
    return {"examples": told} if told else {}


_TURN = {"turn_id": "$response.header.X-Turn-Id"}
_CONVERSATION = {"conversation_id": "$response.header.X-Conversation-Id"}
_LINKS = {
    "follow": {"operationId": "follow", "parameters": _TURN},
    "stop": {"operationId": "stop", "parameters": _TURN},
    "conversation": {"operationId": "conversation", "parameters": _CONVERSATION},
    "forget": {"operationId": "forget", "parameters": _CONVERSATION},
}
