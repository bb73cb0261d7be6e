"""Requests to one model: headers, body, and the role of the rules."""

from typing import Any

import pytest

from app import __version__
from tests.scripted_model import JSON, Answer, say
from tests.services.models.asking import EARLIER, QUESTION, RULES, Asking

pytestmark = pytest.mark.anyio


async def test_the_request_says_who_asks_and_what_is_accepted(asking: Asking) -> None:
    await asking.ask(asking.served(api_key="k"))
    headers = {
        name: asking.last.headers[name] for name in ("user-agent", "accept", "authorization")
    }
    assert headers == {
        "user-agent": f"chrysopedia-chat/{__version__}",
        "accept": "text/event-stream, application/json",
        "authorization": "Bearer k",
    }


@pytest.mark.parametrize("key", ["Bearer k", "bearer  k"])
async def test_a_key_with_its_scheme_is_not_doubled(asking: Asking, key: str) -> None:
    await asking.ask(asking.served(api_key=key))
    assert asking.last.headers["authorization"] == "Bearer k"


async def test_headers_are_added_replaced_and_removed(asking: Asking) -> None:
    headers = {"api-key": "k2", "USER-AGENT": "me", "authorization": None}
    await asking.ask(asking.served(api_key="k", headers=headers))
    sent = asking.last.headers
    assert (sent["api-key"], sent["user-agent"], "authorization" in sent) == ("k2", "me", False)


async def test_members_of_the_body_are_added_replaced_and_removed(asking: Asking) -> None:
    extra = {"stream_options": None, "max_tokens": None, "max_completion_tokens": 7, "top_k": 1}
    await asking.ask(asking.served(max_tokens=9, extra_body=extra))
    del asking.last.body["messages"]
    assert asking.last.body == {
        "model": "small",
        "stream": True,
        "max_completion_tokens": 7,
        "top_k": 1,
    }


@pytest.mark.parametrize("stream", [None, False])
async def test_without_a_stream_there_are_no_options_for_one(asking: Asking, stream: Any) -> None:
    await asking.ask(asking.served(extra_body={"stream": stream}))
    assert "stream_options" not in asking.last.body
    assert not asking.last.body.get("stream")


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_the_rules_have_the_configured_role(asking: Asking, role: str) -> None:
    await asking.ask(asking.served(rules_role=role), RULES, *EARLIER, QUESTION)
    assert [m["role"] for m in asking.last.messages] == [role, "user", "assistant", "user"]


async def test_the_rules_can_be_part_of_the_users_first_message(asking: Asking) -> None:
    await asking.ask(asking.served(rules_role="user"), RULES, *EARLIER, QUESTION)
    assert [m["role"] for m in asking.last.messages] == ["user", "assistant", "user"]
    assert asking.last.messages[0]["content"] == "Be brief.\n\nHi"


LABELS: list[tuple[int, JSON]] = [
    *(
        (200, {"Content-Type": t})
        for t in ("text/plain", "application/octet-stream", "text/html", "", "a, b")
    ),
    *((200, {}), (201, {"Content-Type": "text/event-stream"})),
]


@pytest.mark.parametrize(("status", "headers"), LABELS)
async def test_an_answer_may_have_any_media_type(asking: Asking, status: int, headers: Any) -> None:
    asking.model.answers(Answer(say("Yes").steps, status, headers))
    assert await asking.ask(asking.served()) == status
