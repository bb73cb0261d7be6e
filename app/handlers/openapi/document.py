"""Builds the OpenAPI 3.1 document from the operations and the recorded examples.

msgspec makes the schemas from the types that the service itself decodes and encodes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from app import __version__
from app.errors import ChatError, Unauthenticated
from app.handlers.codec import EVENT_STREAM
from app.handlers.openapi.operations import EVENTS, OPERATIONS, Operation, ResponseSpec
from app.handlers.openapi.parameters import COMMON, HEADERS, PROBLEM_HEADERS, Parameter
from app.handlers.problems import PROBLEM_TYPES, urn
from app.limits import EVENT_ID, full_match
from app.schemas import Problem

JSON: TypeAlias = dict[str, Any]
PROBLEM = "application/problem+json"

DESCRIPTION = (
    "Ask a question in plain language and stream an answer drawn from creators' own videos and "
    "pages, with its sources.\n\n"
    "Answers are streams of server-sent events that outlive a connection: a client that was "
    "disconnected resumes with `Last-Event-ID`, on any worker, and an `Idempotency-Key` makes "
    "retries safe.\n\n"
    "Failures before the stream starts are HTTP errors with a problem document (RFC 9457) whose "
    "`type` identifies the problem. `Retry-After` says when to retry a 429 or 503."
)
TAGS = {
    "chat": "Questions and the streams that answer them.",
    "conversations": "Earlier questions and answers.",
    "library": "The library's creators, and search.",
    "operations": "Health, metrics and API documentation.",
}
STREAM_DESCRIPTION = (
    "Server-sent events. Each has an `id`, an `event` name, and one `data` line with one JSON "
    "value. `sources` is first; exactly one `done` or `error` is last. Comments (`: ping`) are "
    "heartbeats. Ids are opaque and only for resuming. This is the schema of each event, like "
    "`itemSchema` in OpenAPI 3.2."
)
# Without AUTH=on no credentials are needed.
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A secret key (`chp_secret_…`), a publishable key (`chp_publishable_…`, only in "
    "browsers on its own sites, and not for creators and search), or a token (JWT). Needed if the "
    "service runs with `AUTH=on`.",
}


class Example(Struct, frozen=True):
    """A request to an operation and its response, recorded from the running service."""

    name: str
    operation: str
    summary: str
    parameters: Mapping[str, str]
    body: Any
    status: int
    headers: Mapping[str, str]
    media_type: str | None
    reply: Any


def build_document(examples: Sequence[Example], root_path: str = "") -> JSON:
    """Build the document of a service whose paths begin with `root_path`."""
    schemas = _Schemas()
    paths: dict[str, JSON] = {}
    for operation in OPERATIONS:
        # Inlined, because Swagger UI renders a path before it has resolved references in it.
        common = [_parameter(each, (), schemas) for each in COMMON]
        path = paths.setdefault(operation.path, {"parameters": common})
        own = [example for example in examples if example.operation == operation.name]
        path[operation.method] = _operation(operation, own, examples, schemas)
    document = {
        "openapi": "3.1.1",
        "info": {
            "title": "Chrysopedia Chat",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": root_path or "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [],
        "paths": paths,
        "components": {
            "headers": {name: _header(name, examples, schemas) for name in HEADERS},
            "schemas": schemas.components,
            "securitySchemes": {"bearer": BEARER},
        },
    }
    # Turns tuples into lists.
    plain: JSON = msgspec.json.decode(msgspec.json.encode(document))
    return plain


class _Schemas:
    """Makes JSON Schemas; those of Structs are collected in `components` and referenced."""

    def __init__(self) -> None:
        self.components: JSON = {}

    def of(self, type_: Any) -> JSON:
        (schema,), components = msgspec.json.schema_components(
            (type_,), ref_template="#/components/schemas/{name}"
        )
        self.components |= components
        return schema


def _operation(
    operation: Operation, own: Sequence[Example], every: Sequence[Example], schemas: _Schemas
) -> JSON:
    spec: JSON = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
    }
    if Unauthenticated in operation.problems:
        spec["security"] = [{"bearer": []}, {}]
    if operation.parameters:
        spec["parameters"] = [_parameter(each, own, schemas) for each in operation.parameters]
    if operation.body:
        accepted = [one for one in own if one.body is not None and one.status < 300]
        spec["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schemas.of(operation.body),
                    "examples": {
                        one.name: {"summary": one.summary, "value": one.body} for one in accepted
                    },
                }
            },
        }
    responses = {str(each.status): _response(each, own, schemas) for each in operation.responses}
    # Any operation may fail with an internal error.
    problems = _problems((*operation.problems, ChatError), own, every, schemas)
    spec["responses"] = responses | problems
    return spec


def _parameter(parameter: Parameter, own: Iterable[Example], schemas: _Schemas) -> JSON:
    spec: JSON = {
        "name": parameter.name,
        "in": parameter.location,
        "description": parameter.description,
        "required": parameter.required,
        "schema": schemas.of(parameter.type),
    }
    examples = {
        one.name: {"summary": one.summary, "value": one.parameters[parameter.name]}
        for one in own
        if one.status < 300 and parameter.name in one.parameters
    }
    return spec | ({"examples": examples} if examples else {})


def _header(name: str, examples: Sequence[Example], schemas: _Schemas) -> JSON:
    schema = schemas.of(HEADERS[name])
    spec = {"description": schema.pop("description"), "schema": schema}
    recorded = [example.headers[name] for example in examples if name in example.headers]
    return spec | ({"example": recorded[0]} if recorded else {})


def _response(response: ResponseSpec, own: Sequence[Example], schemas: _Schemas) -> JSON:
    spec: JSON = {"description": response.description, "headers": _headers(response.headers)}
    if response.content:
        spec["content"] = {
            media_type: _body(media_type, type_, schemas)
            | _examples(
                one for one in own if (one.status, one.media_type) == (response.status, media_type)
            )
            for media_type, type_ in response.content.items()
        }
    if response.status == 200 and "X-Turn-Id" in response.headers:
        spec["links"] = _LINKS
    return spec


def _body(media_type: str, type_: Any, schemas: _Schemas) -> JSON:
    if media_type != EVENT_STREAM:
        return {"schema": schemas.of(type_)}
    events = [_event(name, schemas.of(data)) for name, data in EVENTS.items()]
    return {"schema": {"description": STREAM_DESCRIPTION, "oneOf": events}}


def _event(name: str, data: JSON) -> JSON:
    encoded = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {
        "title": name,
        "description": data.pop("description"),
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": full_match(EVENT_ID)},
            "event": {"const": name},
            "data": encoded,
        },
        "required": ["id", "event", "data"],
        "additionalProperties": False,
    }


def _problems(
    errors: Iterable[type[ChatError]],
    own: Sequence[Example],
    every: Sequence[Example],
    schemas: _Schemas,
) -> dict[str, JSON]:
    kinds_by_status: dict[int, list[str]] = {}
    for error in sorted(errors, key=lambda error: PROBLEM_TYPES[error.kind].status):
        kinds_by_status.setdefault(PROBLEM_TYPES[error.kind].status, []).append(error.kind)
    responses = {}
    for status, kinds in kinds_by_status.items():
        types = [urn(kind) for kind in kinds]
        # Not `const`: some client generators cannot combine it with the type of the field.
        exact = {"properties": {"type": {"enum": types}, "status": {"enum": [status]}}}
        # Examples of the operation itself, or else of others, since all have the same form.
        matching = [one for one in every if one.status == status and one.reply.get("type") in types]
        content = {"schema": {"allOf": [schemas.of(Problem), exact]}} | _examples(
            [one for one in matching if one in own] or matching
        )
        responses[str(status)] = {
            "description": " ".join(f"{PROBLEM_TYPES[kind].title}." for kind in kinds),
            "headers": _headers(PROBLEM_HEADERS.get(status, ())),
            "content": {PROBLEM: content},
        }
    return responses


def _headers(names: Iterable[str]) -> JSON:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def _examples(examples: Iterable[Example]) -> JSON:
    named = {one.name: {"summary": one.summary, "value": one.reply} for one in examples}
    return {"examples": named} if named else {}


_TURN = {"turn_id": "$response.header.X-Turn-Id"}
_CONVERSATION = {"conversation_id": "$response.header.X-Conversation-Id"}
_LINKS = {
    "follow": {"operationId": "follow", "parameters": _TURN},
    "stop": {"operationId": "stop", "parameters": _TURN},
    "conversation": {"operationId": "conversation", "parameters": _CONVERSATION},
    "forget": {"operationId": "forget", "parameters": _CONVERSATION},
}
