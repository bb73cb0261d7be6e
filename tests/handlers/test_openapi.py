"""The OpenAPI document matches the service: routes, validation and recorded responses."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openapi_spec_validator import validate
from starlette.routing import Route

from app import errors
from app.asgi import create_app
from app.config import Settings
from app.errors import ChatError, Unprocessable
from app.handlers import codec
from app.handlers.openapi.document import PROBLEM, Example, build_document
from app.handlers.openapi.parameters import HEADERS, LIMIT_HEADERS
from app.handlers.problems import PROBLEM_TYPES, urn
from app.limits import CREATOR_LIMIT, QUERY_LIMIT, full_match, trimmed_text
from app.schemas import ChatRequest
from tests.examples import FILE, normalized, record, recorded
from tests.scripted_model import ScriptedModel
from tests.servers import OwnServer
from tests.service import Client, parse

pytestmark = pytest.mark.anyio

EXAMPLES = recorded()
DOCUMENT = build_document(EXAMPLES)
OPERATIONS = {
    (method, path): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}
BY_NAME = {operation["operationId"]: operation for operation in OPERATIONS.values()}
QUESTIONS = jsonschema_rs.validator_for(
    {"$ref": "#/components/schemas/ChatRequest", "components": DOCUMENT["components"]}
)
# Never raised before a stream starts.
ONLY_IN_STREAMS = {errors.ModelFailed}


def check(schema: dict[str, Any], value: Any) -> None:
    """Validate a value by a schema of the document."""
    jsonschema_rs.validate(schema | {"components": DOCUMENT["components"]}, value)


def response_spec(example: Example) -> dict[str, Any]:
    """Return the document's entry for an example's response."""
    spec: dict[str, Any] = BY_NAME[example.operation]["responses"][str(example.status)]
    return spec


def test_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_document_lists_exactly_the_routes_served() -> None:
    served = set()
    for route in create_app(Settings()).routes:
        if isinstance(route, Route) and route.include_in_schema:
            methods = route.methods or {
                method.upper()
                for method in ("get", "post", "delete")
                if hasattr(route.endpoint, method)
            }
            served |= {(method.lower(), route.path) for method in methods - {"HEAD"}}
    assert served == set(OPERATIONS)


async def test_document_is_not_sent_again_to_a_client_that_has_it(service: Client) -> None:
    status, body, headers = await service.call("GET", "/openapi.json")
    assert (status, headers["Cache-Control"]) == (200, "no-cache")
    assert headers["Content-Type"] == "application/json"
    assert body == DOCUMENT
    tag = headers["ETag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = {"If-None-Match": known}
        status, nothing, headers = await service.call("GET", "/openapi.json", headers=again)
        assert (status, nothing, headers["ETag"]) == (304, None, tag)
    other = {"If-None-Match": '"other"'}
    status, _, _ = await service.call("GET", "/openapi.json", headers=other)
    assert status == 200


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_recorded_response_matches_the_document(example: Example) -> None:
    spec = response_spec(example)
    # The examples were recorded without limits, except for one.
    optional = set(LIMIT_HEADERS)
    assert set(spec["headers"]) - optional == set(example.headers) - optional
    assert set(example.headers) <= set(spec["headers"])
    for name, value in example.headers.items():
        check(DOCUMENT["components"]["headers"][name]["schema"], value)
    if example.media_type is None:
        assert "content" not in spec
        return
    schema = spec["content"][example.media_type]["schema"]
    if example.media_type == "text/event-stream":
        frames = example.reply.encode().removesuffix(b"\n\n").split(b"\n\n")
        kinds = {event["title"]: event for event in schema["oneOf"]}
        for event in map(parse, frames):
            kind = kinds[event.name]
            check(kind, {"id": event.id, "event": event.name, "data": json.dumps(event.data)})
            check(kind["properties"]["data"]["contentSchema"], event.data)
    else:
        check(schema, example.reply)


@pytest.mark.parametrize(
    "example", [it for it in EXAMPLES if it.status < 300], ids=lambda example: example.name
)
def test_accepted_request_matches_the_document(example: Example) -> None:
    operation = BY_NAME[example.operation]
    parameters = {it["name"]: it["schema"] for it in operation.get("parameters", ())}
    for name, value in example.parameters.items():
        check(parameters[name], value)
    if example.body is not None:
        content = operation["requestBody"]["content"]
        assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/ChatRequest"}
        assert QUESTIONS.is_valid(example.body)


@pytest.mark.parametrize(
    "example",
    [it for it in EXAMPLES if it.body is not None and it.status == 422],
    ids=lambda example: example.name,
)
def test_rejected_body_does_not_match_the_document(example: Example) -> None:
    assert not QUESTIONS.is_valid(example.body)


async def test_recorded_examples_are_up_to_date(
    service_settings: Settings, own_valkey: OwnServer, model: ScriptedModel
) -> None:
    # Its own Redis, because it uses up the rate limit.
    now = await record(replace(service_settings, redis_url=own_valkey.url), model)
    hint = f"record them again: python -m tests.examples writes {FILE.name}"
    assert [it.name for it in now] == [it.name for it in EXAMPLES], hint
    for is_now, was in zip(now, EXAMPLES, strict=True):
        assert normalized(is_now) == normalized(was), hint


def test_document_lists_every_problem_type() -> None:
    documented = {
        (type_, status)
        for operation in OPERATIONS.values()
        for status, reply in operation["responses"].items()
        if PROBLEM in reply.get("content", {})
        for type_ in reply["content"][PROBLEM]["schema"]["allOf"][1]["properties"]["type"]["enum"]
    }
    raised = {
        it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, ChatError)
    }
    assert documented == {
        (urn(it.kind), str(PROBLEM_TYPES[it.kind].status)) for it in raised - ONLY_IN_STREAMS
    }
    assert set(PROBLEM_TYPES) == {it.kind for it in raised}


def test_every_documented_header_was_recorded() -> None:
    seen = {name for example in EXAMPLES for name in example.headers}
    assert set(HEADERS) - seen == {"ETag"}


LENGTHS = [1, 2, *(limit + by for limit in (CREATOR_LIMIT, QUERY_LIMIT) for by in (-1, 0, 1))]
SPACES = "".join(map(chr, filter(lambda code: chr(code).isspace(), range(0x110000))))


@given(
    st.text(st.sampled_from(SPACES + "\0a\ufeff"), max_size=8)
    | st.builds(
        lambda before, length, after: before + "é" * length + after,
        st.text(st.sampled_from(SPACES), max_size=3),
        st.sampled_from(LENGTHS),
        st.text(st.sampled_from(SPACES + "\0"), max_size=3),
    )
)
def test_document_and_service_accept_the_same_questions(text: str) -> None:
    for body in ({"query": text}, {"query": "a", "creator": text}):
        try:
            codec.validated(ChatRequest(**body))
        except Unprocessable:
            accepted = False
        else:
            accepted = True
        assert QUESTIONS.is_valid(body) == accepted
    # Python and the validator, which uses Rust's syntax, agree on the expression.
    assert bool(re.search(full_match(trimmed_text(QUERY_LIMIT)), text)) == QUESTIONS.is_valid(
        {"query": text}
    )
