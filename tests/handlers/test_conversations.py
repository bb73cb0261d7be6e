"""Conversations: storing turns, follow-up questions, reading and deleting."""

import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import Answer, Request, ScriptedModel, refuse, say
from tests.service import Client, answer, running

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"


async def turns(service: Client, name: str) -> list[dict[str, object]]:
    conversation = await service.conversation(name)
    status, body, _ = await service.call("GET", f"/api/v1/conversations/{conversation}")
    assert status == 200
    assert body["conversation_id"] == conversation
    return list(body["turns"])


async def test_turn_is_stored_with_its_exact_answer(service: Client) -> None:
    events = await service.ask(QUESTION, conversation_id=await service.conversation("kept"))
    (turn,) = await turns(service, "kept")
    assert turn["question"] == QUESTION
    assert turn["answer"] == answer(events)
    assert turn["tier"] == events[-1].data["cascade_tier"]
    assert turn["at"]
    assert turn["finish_reason"] == "stop"
    cited = {mark["number"] for mark in events[-1].data["citations"]}
    assert turn["citations"] == [s for s in events[0].data if s["number"] in cited]


async def test_follow_up_is_searched_with_words_of_the_earlier_question(service: Client) -> None:
    conversation = await service.conversation("follow")
    await service.ask(QUESTION, conversation_id=conversation)
    events = await service.ask("And the release?", conversation_id=conversation)
    assert "side-chain" in events[-1].data["scope"]["query"]
    assert events[-1].data["cascade_tier"] == "global"
    assert events[0].data


async def test_model_rewrites_the_follow_up_and_gets_the_earlier_turns(
    chat: Client, model: ScriptedModel
) -> None:
    def script(request: Request) -> Answer:
        if "Last question:" in request.messages[-1]["content"]:
            return say("How long should the side-chain release be?")
        return say("As long as the groove [1].")

    model.answers(script)
    conversation = await chat.conversation("model")
    await chat.ask(QUESTION, conversation_id=conversation)
    events = await chat.ask("And the release?", conversation_id=conversation)
    assert events[-1].data["scope"]["query"] == "How long should the side-chain release be?"
    sent = [message["content"] for message in model.requests[-1].messages]
    assert sent[1:3] == [QUESTION, "As long as the groove."]
    assert sent[-1].endswith("Question: And the release?")


async def test_follow_up_is_rewritten_by_rule_if_the_model_fails(
    chat: Client, model: ScriptedModel
) -> None:
    def script(request: Request) -> Answer:
        condensing = "Last question:" in request.messages[-1]["content"]
        return refuse(500) if condensing else say("Yes [1].")

    model.answers(script)
    conversation = await chat.conversation("rule")
    await chat.ask(QUESTION, conversation_id=conversation)
    events = await chat.ask("And the release?", conversation_id=conversation)
    assert events[-1].data["scope"]["query"].startswith("And the release? (")


async def test_follow_up_is_rewritten_by_the_model_for_it_within_its_token_limit(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    settings = replace(
        chat_settings, condense_model="tiny", condense_max_tokens=99, llm_temperature=0.7
    )
    async with running(settings) as chat:
        for question in (QUESTION, "And the release?"):
            await chat.ask(question, conversation_id=await chat.conversation("tiny"))
    answered = ("first", None, 0.7)
    assert [
        (request.body["model"], request.body.get("max_tokens"), request.body["temperature"])
        for request in model.requests
    ] == [answered, ("tiny", 99, 0), answered]


async def test_follow_up_is_rewritten_by_rule_if_condensing_is_off(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    async with running(replace(chat_settings, condense="off")) as chat:
        conversation = await chat.conversation("off")
        await chat.ask(QUESTION, conversation_id=conversation)
        events = await chat.ask("And the release?", conversation_id=conversation)
    assert events[-1].data["scope"]["query"].startswith("And the release? (")
    assert len(model.requests) == 2


async def test_follow_up_without_sources_is_refused_without_the_model(
    chat: Client, model: ScriptedModel
) -> None:
    conversation = await chat.conversation("none")
    await chat.ask(QUESTION, conversation_id=conversation)
    question = "Who won the football world cup in Montevideo?"
    model.answers(say(question), say("From my own knowledge."))
    events = await chat.ask(question, conversation_id=conversation)
    assert events[-1].data["cascade_tier"] == "none"
    assert answer(events) == (
        "I found nothing about that in this library. It never mentions “Montevideo”."
    )


async def test_model_reworks_its_last_answer(chat: Client, model: ScriptedModel) -> None:
    model.answers(say("Set it to 1 ms [1]."), say("1 ms."))
    conversation = await chat.conversation("rework")
    await chat.ask(QUESTION, conversation_id=conversation)
    events = await chat.ask("Shorter, please.", conversation_id=conversation)
    assert answer(events) == "1 ms."
    assert (events[0].data, events[-1].data["finish_reason"]) == ([], "stop")
    assert [m["content"] for m in model.requests[-1].messages[1:]] == [
        QUESTION,
        "Set it to 1 ms.",
        "Shorter, please.",
    ]


async def test_thanks_are_not_stored_and_the_next_follow_up_keeps_its_subject(
    service: Client,
) -> None:
    conversation = await service.conversation("thanks")
    await service.ask(QUESTION, conversation_id=conversation)
    done = (await service.ask("Thanks a lot!", conversation_id=conversation))[-1].data
    assert (done["finish_reason"], done["memory"]) == ("refused", "kept")
    done = (await service.ask("And the release?", conversation_id=conversation))[-1].data
    assert done["scope"]["query"].startswith("And the release? (")
    assert len(await turns(service, "thanks")) == 2


async def test_conversation_of_small_talk_alone_is_not_stored(service: Client) -> None:
    conversation = await service.conversation("hello")
    await service.ask("Hello!", conversation_id=conversation)
    status, *_ = await service.call("GET", f"/api/v1/conversations/{conversation}")
    assert status == 404


async def test_only_the_latest_turns_are_stored(service_settings: Settings) -> None:
    async with running(replace(service_settings, memory_turns=2)) as service:
        for n in range(4):
            await service.ask(f"{QUESTION} {n}", conversation_id=await service.conversation("last"))
        assert [t["question"] for t in await turns(service, "last")] == [
            f"{QUESTION} 2",
            f"{QUESTION} 3",
        ]


async def test_deleted_conversation_is_gone(service: Client) -> None:
    conversation = await service.conversation("gone")
    await service.ask(QUESTION, conversation_id=conversation)
    path = f"/api/v1/conversations/{conversation}"
    assert [(await service.call("DELETE", path))[0] for _ in range(2)] == [204, 204]
    status, problem, _ = await service.call("GET", path)
    assert (status, problem["status"]) == (404, 404)
    assert (await service.call("GET", "/api/v1/conversations/a%20b"))[0] == 422


async def test_failed_turn_is_not_stored(chat: Client, model: ScriptedModel) -> None:
    model.answers(say())
    conversation = await chat.conversation("failed")
    await chat.ask(QUESTION, conversation_id=conversation)
    assert (await chat.call("GET", f"/api/v1/conversations/{conversation}"))[0] == 404
