"""Invalid requests get a status and a problem document before any stream starts."""

import json
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.service import CHAT, Client, Stream, running

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


async def refused(service: Client, status: int, **request: Any) -> dict[str, Any]:
    """Send a POST to the chat and check that it is refused with that status."""
    given, problem, headers = await service.call("POST", CHAT, **request)
    assert given == status, problem
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Request-Id"]
    assert problem["status"] == status
    assert problem["type"]
    assert problem["title"]
    assert problem["detail"]
    return dict(problem)


@pytest.mark.parametrize("body", [b"{", b"nonsense", b'{"query": "\\ud80"}'])
async def test_body_that_is_not_json_is_a_400(service: Client, body: bytes) -> None:
    problem = await refused(service, 400, data=body, headers=JSON)
    assert "not valid JSON" in problem["detail"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-32-be"])
async def test_body_that_is_not_utf_8_is_a_400_that_says_so(service: Client, encoding: str) -> None:
    body = '{"query": "Wie groß?"}'.encode(encoding)
    problem = await refused(service, 400, data=body, headers=JSON)
    assert problem["detail"] == "Request body must be encoded as UTF-8."


@pytest.mark.parametrize(
    ("written", "query"),
    [
        (r"a \ud83d", "a \ufffd"),
        (r"\uDE00 a", "\ufffd a"),
        (r"\ud83d\ud83d\ude00", "\ufffd😀"),
        (r"\ud83d\u0041", "\ufffdA"),
        (r"\\ud83d \ud83d", r"\ud83d " + "\ufffd"),
    ],
)
async def test_lone_surrogates_are_replaced(service: Client, written: str, query: str) -> None:
    body = f'{{"query": "{written}"}}'.encode()
    async with service.http.post(service.url + CHAT, data=body, headers=JSON) as response:
        assert response.status == 200
        events = await Stream(response).rest()
    assert events[-1].data["scope"]["query"] == query


async def test_a_lone_surrogate_does_not_hide_an_invalid_field(service: Client) -> None:
    body = rb'{"query": "\ud83d", "model": "x"}'
    problem = await refused(service, 422, data=body, headers=JSON)
    assert [error["pointer"] for error in problem["errors"]] == ["/model"]


async def test_a_byte_order_mark_before_the_body_is_skipped(service: Client) -> None:
    body = b'\xef\xbb\xbf{"query": "a"}'
    async with service.http.post(service.url + CHAT, data=body, headers=JSON) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/query"),
        ([], ""),
        ({"query": 1}, "/query"),
        ({"query": ""}, "/query"),
        ({"query": " \n\u3000 "}, "/query"),
        ({"query": "x" * 1001}, "/query"),
        ({"query": "a\0b"}, "/query"),
        ({"query": "a", "creator": ""}, "/creator"),
        ({"query": "a", "creator": "x" * 201}, "/creator"),
        ({"query": "a", "creator": "a\0"}, "/creator"),
        ({"query": "a", "creator": 5}, "/creator"),
        ({"query": "a", "conversation_id": ""}, "/conversation_id"),
        ({"query": "a", "conversation_id": "c 1"}, "/conversation_id"),
        ({"query": "a", "conversation_id": "c" * 65}, "/conversation_id"),
        ({"query": "a", "conversation_id": "c\n"}, "/conversation_id"),
        ({"query": "a", "model": "x"}, "/model"),
    ],
)
async def test_invalid_field_is_a_422_that_names_it(
    service: Client, body: object, pointer: str
) -> None:
    problem = await refused(service, 422, data=json.dumps(body), headers=JSON)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_a_field_of_the_wrong_type_is_refused_in_terms_of_json(service: Client) -> None:
    problem = await refused(service, 422, json={"query": 1})
    (error,) = problem["errors"]
    assert error["detail"] == "must be a string, not a number"


async def test_all_invalid_fields_are_named_together(service: Client) -> None:
    problem = await refused(service, 422, json={"query": " ", "conversation_id": "?"})
    assert [error["pointer"] for error in problem["errors"]] == ["/query", "/conversation_id"]


async def test_question_length_is_in_code_points_after_trimming(
    service: Client,
) -> None:
    events = await service.ask("  " + "🎛" * 1000 + "\n")
    assert events[-1].name == "done"
    assert events[-1].data["scope"]["query"] == "🎛" * 1000


async def test_unsupported_content_type_and_accept_are_refused(service: Client) -> None:
    body = b'{"query": "a"}'
    await refused(service, 415, data=body, headers={"Content-Type": "text/plain"})
    await refused(service, 415, data=body, headers=JSON | {"Content-Encoding": "gzip"})
    await refused(service, 406, data=body, headers=JSON | {"Accept": "application/json"})
    await refused(service, 406, data=body, headers=JSON | {"Accept": "*/*;q=0, text/html"})
    several = [*JSON.items(), ("Accept", "application/json"), ("Accept", "text/event-stream")]
    async with service.http.post(service.url + CHAT, data=body, headers=several) as response:
        assert response.status == 200


async def test_body_over_16_kib_is_refused_before_it_is_complete(service: Client) -> None:
    async def endless() -> Any:
        while True:
            yield b" " * 4096

    await refused(service, 413, data=b" " * (16 * 1024 + 1), headers=JSON)
    await refused(service, 413, data=endless(), headers=JSON)


async def test_body_that_does_not_arrive_is_a_408(service_settings: Settings) -> None:
    async with running(replace(service_settings, body_timeout=0.05)) as service:
        address = service.url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(address[0], int(address[1])) as connection:
            await connection.send(
                b"POST /api/v1/chat HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            with anyio.fail_after(5):
                assert (await connection.receive()).startswith(b"HTTP/1.1 408 ")


async def test_body_without_a_length_is_a_411(service: Client) -> None:
    address = service.url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(address[0], int(address[1])) as connection:
        await connection.send(
            b"POST /api/v1/chat HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\n\r\n"
        )
        assert (await connection.receive()).startswith(b"HTTP/1.1 411 ")


async def test_unknown_path_or_method_is_a_problem_document(service: Client) -> None:
    for path in ("/api/v1/nothing", f"{CHAT}/"):
        status, problem, _ = await service.call("GET", path)
        assert (status, problem["status"]) == (404, 404)
    status, problem, headers = await service.call("PUT", CHAT)
    assert (status, problem["status"], headers["Allow"]) == (405, 405, "POST")
    status, _, headers = await service.call("PUT", f"{CHAT}/t_1")
    assert status == 405
    assert {"GET", "DELETE"} <= set(headers["Allow"].split(", "))


@pytest.mark.parametrize("cursor", ["$", "0", "t_1-0", "t_" + "0" * 32, "t_" + "0" * 32 + "-x"])
async def test_malformed_last_event_id_is_a_400(service: Client, cursor: str) -> None:
    await refused(service, 400, json={"query": "a"}, headers={"Last-Event-ID": cursor})


async def test_last_event_id_of_an_unknown_turn_is_a_404(service: Client) -> None:
    cursor = "t_" + "0" * 32 + "-0"
    await refused(service, 404, json={"query": "a"}, headers={"Last-Event-ID": cursor})


async def test_malformed_idempotency_key_is_a_400(service: Client) -> None:
    await refused(service, 400, json={"query": "a"}, headers={"Idempotency-Key": "a b"})


async def test_valid_request_id_is_kept_and_any_other_is_replaced(service: Client) -> None:
    _, _, headers = await service.call("GET", "/healthz", headers={"X-Request-Id": "abc-1"})
    assert headers["X-Request-Id"] == "abc-1"
    _, _, headers = await service.call("GET", "/healthz", headers={"X-Request-Id": "a b\t<"})
    assert len(headers["X-Request-Id"]) == 32
