"""Unhandled errors: the response, the log and the metrics."""

import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.middleware import RequestContext
from app.services.metrics.registry import Metrics

pytestmark = pytest.mark.anyio


async def _broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("a secret")


async def test_unhandled_error_is_a_500_without_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[Message] = []
    metrics = Metrics()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/x",
        "headers": [],
        "state": {"metrics": metrics},
    }
    with caplog.at_level(logging.INFO):
        await RequestContext(_broken)(scope, receive, send)
    start, body = sent
    assert start["status"] == 500
    assert b"urn:chrysopedia:problem:internal" in body["body"]
    assert b"secret" not in body["body"]
    refused = "chrysopedia_requests_refused_total"
    assert metrics.registry.get_sample_value(refused, {"reason": "internal"}) == 1
    assert "ValueError: a secret" in caplog.text
    assert "GET /x 500" in caplog.text
