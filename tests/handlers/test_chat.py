"""`POST /api/v1/chat`: the events of a stream, and the tier that answers."""

import pytest

from tests.service import Client, answer

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"


async def test_stream_is_sources_then_tokens_then_done(service: Client) -> None:
    async with service.stream({"query": QUESTION}) as stream:
        headers = stream.response.headers
        events = await stream.rest()
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert [e.name for e in events] == ["sources", *["token"] * (len(events) - 2), "done"]
    assert [e.id for e in events] == [f"{headers['X-Turn-Id']}-{n}" for n in range(len(events))]
    done = events[-1].data
    assert done["turn_id"] == headers["X-Turn-Id"]
    assert done["conversation_id"] == headers["X-Conversation-Id"]
    assert len(done["conversation_id"]) >= 24
    assert done["finish_reason"] == "stop"
    assert done["memory"] == "kept"
    assert done["scope"]["query"] == QUESTION
    assert 0 <= done["timings_ms"]["retrieval"] <= done["timings_ms"]["total"]


async def test_done_gives_the_position_of_each_citation_marker(
    service: Client,
) -> None:
    events = await service.ask(QUESTION)
    sources, said, done = events[0].data, answer(events), events[-1].data
    assert [s["number"] for s in sources] == list(range(1, len(sources) + 1))
    for source in sources:
        assert set(source) == {
            *("number", "kind", "title", "creator", "topic", "url"),
            *("start_seconds", "end_seconds", "snippet", "score"),
        }
        assert (source["kind"] == "moment") == (source["start_seconds"] is not None)
    assert done["citations"]
    for mark in done["citations"]:
        assert said[mark["start"] : mark["end"]] == f"[{mark['number']}]"
        assert 1 <= mark["number"] <= len(sources)


async def test_question_without_creator_searches_the_whole_library_only(service: Client) -> None:
    done = (await service.ask(QUESTION))[-1].data
    assert done["cascade_tier"] == "global"
    assert done["scope"]["creator"] is None
    assert [tier["tier"] for tier in done["scope"]["tiers"]] == ["global"]


async def test_question_without_sources_is_refused_in_one_sentence(
    service: Client,
) -> None:
    events = await service.ask("Who won the football world cup in Montevideo?")
    assert [e.name for e in events] == ["sources", "token", "done"]
    assert events[0].data == []
    assert events[-1].data["finish_reason"] == "refused"
    assert events[-1].data["cascade_tier"] == "none"
    assert events[-1].data["usage"] is None


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ("hi", "Hello! Ask me about anything"),
        ("Merci bien !", "Je vous en prie."),
        ("Who programmed you?", "I answer questions from the videos and pages"),
    ],
)
async def test_small_talk_gets_one_friendly_line(service: Client, message: str, reply: str) -> None:
    events = await service.ask(message)
    text = answer(events)
    assert text.startswith(reply)
    assert "\n" not in text
    assert events[0].data == []
    done = events[-1].data
    assert (done["finish_reason"], done["cascade_tier"], done["usage"]) == ("refused", "none", None)
    assert done["scope"]["tiers"] == []


async def test_refusal_in_another_language_names_the_librarys(service: Client) -> None:
    text = answer(await service.ask("Wer gewann die Fußballweltmeisterschaft in Montevideo?"))
    assert text == (
        "Dazu habe ich in dieser Sammlung nichts gefunden. Diese Sammlung spricht Englisch."
    )


async def test_unknown_creator_starts_one_tier_lower(service: Client) -> None:
    done = (await service.ask(QUESTION, creator="Nobody At All"))[-1].data
    assert done["cascade_tier"] == "global"
    assert done["scope"]["creator"] is None
    assert [tier["tier"] for tier in done["scope"]["tiers"]] == ["domain", "global"]


@pytest.mark.parametrize("creator", ["mara-voss", "Mara Voss", "  mARA   vOSS "])
async def test_creator_is_found_by_slug_or_name(service: Client, creator: str) -> None:
    events = await service.ask(QUESTION, creator=creator)
    assert events[-1].data["cascade_tier"] == "creator"
    assert {source["creator"]["slug"] for source in events[0].data} == {"mara-voss"}
    assert events[-1].data["scope"]["creator"] == {"slug": "mara-voss", "name": "Mara Voss"}


@pytest.mark.parametrize(
    ("question", "creator", "tier", "answered_by"),
    [
        (QUESTION, "Mara Voss", "creator", "mara-voss"),
        ("What modulator ratio makes an FM bell?", "ZOE tanaka", "creator", "zoe-tanaka"),
        ("How do I set up a ghost trigger?", "Mara Voss", "domain", "june-halloran"),
        ("When should I add dither?", "Mara Voss", "domain", "tomas-okafor"),
        ("How much swing should I use for hip-hop?", "Mara Voss", "global", "june-halloran"),
        ("What grain size for a granular pad?", "Tomás Okafor", "global", "zoe-tanaka"),
        ("How long should I boil an egg?", "Mara Voss", "none", None),
    ],
)
async def test_first_tier_with_sources_answers(
    service: Client, question: str, creator: str, tier: str, answered_by: str | None
) -> None:
    events = await service.ask(question, creator=creator)
    done = events[-1].data
    assert done["cascade_tier"] == tier
    assert [t["tier"] for t in done["scope"]["tiers"]] == ["creator", "domain", "global"]
    if answered_by:
        assert events[0].data[0]["creator"]["slug"] == answered_by
        hits = {t["tier"]: t["hits"] for t in done["scope"]["tiers"]}
        assert hits[tier] > 0


@pytest.mark.parametrize(
    "question",
    [
        "a:b & c | !d <-> (e)",
        "it's 'quoted' \\ back\\slash \"double\"",
        "side-chain/bass_kick@mix=now",
        "%s $1 {x} '; DROP TABLE passages; --",
        "!!! ???",
        "the of and",
        "音楽の低音はどう作りますか",
    ],
)
async def test_any_question_can_be_searched(service: Client, question: str) -> None:
    assert (await service.ask(question))[-1].name == "done"
