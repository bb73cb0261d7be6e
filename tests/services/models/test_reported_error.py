"""Errors within a response are found in each form, and described without their message."""

from typing import Any

import pytest

from app.services.models.reported_error import find_error

TEXT = {"choices": [{"delta": {"content": "a"}}]}


@pytest.mark.parametrize(
    ("chunk", "code", "param"),
    [
        ({"error": "boom"}, "", ""),
        ({"error": {"message": "quotes the prompt"}}, "", ""),
        ({"error": {"code": "a b", "type": "server_error", "message": "x"}}, "server_error", ""),
        ({"error": {"code": 429, "param": "model"}}, "429", "model"),
        ({"error": {"code": "x" * 65, "param": ["messages"]}}, "", "messages"),
        ({"error": [{"error": {"code": 503}}]}, "503", ""),
        ({"error": {"error": {"code": "deep"}}}, "deep", ""),
        ({"error": {"code": 0, "message": "engine died"}}, "0", ""),
        ({"choices": [{"delta": {}, "error": {"code": 502}}]}, "502", ""),
        (
            {"object": "error", "message": "x", "type": "InternalServerError"},
            "InternalServerError",
            "",
        ),
        ({"object": "error", **TEXT}, "", ""),
        ({"message": "engine died"}, "", ""),
        ({"text": "NETWORK ERROR", "error_code": 50004}, "50004", ""),
        ({"choices": None, "base_resp": {"status_code": 1008}}, "1008", ""),
        ({"choices": None, "error_type": "BadRequestError"}, "BadRequestError", ""),
    ],
)
def test_every_form_of_error_is_found(chunk: dict[str, Any], code: str, param: str) -> None:
    error = find_error(chunk)

    assert error is not None
    assert (error.error.code or error.error.type, error.error.param) == (code, param)
    assert "quotes" not in str(error)
    assert code in str(error)


def test_an_event_named_error_is_an_error() -> None:
    error = find_error({"message": "out of memory", "code": 500}, "error")

    assert str(error) == "the server reported an error (code 500)"
    assert find_error({}, "error") is not None


@pytest.mark.parametrize("error", [None, "", {}, [], False, 0, {"code": 0, "message": ""}, [{}]])
def test_an_empty_error_is_none(error: object) -> None:
    assert find_error({"error": error}) is None
    assert find_error({"choices": [{"error": error}]}) is None


@pytest.mark.parametrize(
    ("chunk", "event"),
    [
        ({}, "message"),
        (TEXT | {"message": "a note", "code": "x"}, "message"),
        ({"usage": {"prompt_tokens": 1}, "message": "a note"}, "message"),
        ({"code": 200, "message": "success"}, "message"),
        ({"base_resp": {"status_code": 0, "status_msg": "success"}}, "message"),
        ({"type": "ping", "message": "alive"}, "ping"),
        ({"type": "message_start", "message": {"id": "1"}}, "message"),
    ],
)
def test_other_events_are_not_errors(chunk: dict[str, Any], event: str) -> None:
    assert find_error(chunk, event) is None
