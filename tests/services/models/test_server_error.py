"""Errors are read in every form that servers send them in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.models.server_error import ServerError, parse_error


def parsed(document: Any) -> ServerError:
    return parse_error(json.dumps(document).encode())


OPENAI = {
    "message": "Too long.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "c1",
}
AZURE = {"code": "content_filter", "innererror": {"code": "Policy"}, "status": 400, "message": "No"}


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"error": OPENAI}, "code c1, param messages, type invalid_request_error"),
        ([{"error": {"code": 400, "status": "INVALID_ARGUMENT"}}], "code INVALID_ARGUMENT"),
        ({"error": AZURE}, "code content_filter"),
        (
            {"object": "error", "message": "No", "type": "BadRequestError", "code": 400},
            "code 400, type BadRequestError",
        ),
        ({"type": "error", "error": {"type": "overloaded_error"}}, "type overloaded_error"),
        ({"error": {"code": "1113", "message": "余额不足"}}, "code 1113"),
        (
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 0, "role"]}]},
            "param body.messages.0.role, type extra_forbidden",
        ),
        ({"message": {"detail": [{"loc": ["body", "n"]}]}}, "param body.n"),
        *(({}, ""), ([], ""), (None, ""), (1, ""), ("No", ""), ({"error": "No"}, "")),
        ({"error": None}, ""),
    ],
)
def test_code_param_and_type_are_found(document: Any, shown: str) -> None:
    assert str(parsed(document)) == shown


@pytest.mark.parametrize(
    "document",
    [
        *("words", {"error": "words"}, {"detail": "words"}, {"error": {"message": "words"}}),
        *({"errors": ["words"]}, {"detail": [{"msg": "words"}]}, {"error_message": "words"}),
        {"error": {"message": "Provider returned error", "metadata": {"raw": "words"}}},
        {"error": {"message": "x", "details": [{"message": "words"}]}},
        {"error": {"code": "words"}},
    ],
)
def test_messages_and_identifiers_can_be_searched(document: Any) -> None:
    assert "words" in parsed(document).text


@pytest.mark.parametrize(
    "value", ["Why is the sky blue?", "x" * 65, "a\nb", "ключ", {"a": 1}, True]
)
def test_only_short_identifiers_are_shown(value: Any) -> None:
    error = parsed({"error": {"code": value, "param": value, "type": value}})
    assert str(error) in ("", "code True, param True, type True")


def test_the_rejected_prompt_is_not_searched() -> None:
    assert "secret" not in parsed({"detail": [{"msg": "No", "input": {"content": "secret"}}]}).text


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", ""), (b" <html>busy</html>", ""), (b"error code: 520\n", "error code: 520")],
)
def test_text_is_searched_but_not_a_web_page(body: bytes, text: str) -> None:
    assert parse_error(body) == ServerError(text=text)


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "code", "x"]), inner),
)


@given(JSON.map(lambda document: json.dumps(document).encode()) | st.binary())
def test_any_body_is_parsed(body: bytes) -> None:
    error = parse_error(body)
    assert str(error).isascii()


def test_deep_documents_are_parsed() -> None:
    for body in (b"[" * 100_000, b'{"error":' * 500 + b"1" + b"}" * 500):
        assert parse_error(body).code == ""
