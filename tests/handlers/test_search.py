"""The `scope` of a search: matching, and confidence and verdict of each tier."""

from itertools import groupby
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import Answer, ScriptedModel
from tests.service import Client, running

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"
SEARCH = "/api/v1/search"


async def search(service: Client, question: str, creator: str | None = None) -> Any:
    parameters = {"q": question} | ({"creator": creator} if creator else {})
    status, found, _ = await service.call("GET", SEARCH, params=parameters)
    assert status == 200, found
    return found


def verdicts(found: Any) -> list[tuple[str, str]]:
    return [(tier["tier"], tier["verdict"]) for tier in found["scope"]["tiers"]]


async def test_scope_reports_hybrid_matching(service: Client) -> None:
    found = await search(service, QUESTION)
    assert found["scope"]["matching"] == "hybrid"
    done = (await service.ask(QUESTION))[-1].data
    assert done["scope"] == found["scope"]


async def test_each_tier_reports_confidence_and_verdict(service: Client) -> None:
    found = await search(service, QUESTION, "mara-voss")
    assert verdicts(found) == [
        ("creator", "answers"),
        ("domain", "not needed"),
        ("global", "not needed"),
    ]
    for tier in found["scope"]["tiers"]:
        assert set(tier) == {"tier", "hits", "confidence", "verdict"}
        assert 0.5 <= tier["confidence"] <= 1
        assert tier["hits"] > 0


async def test_creator_with_few_hits_yields_to_the_next_tier(
    service: Client,
) -> None:
    found = await search(service, "What modulator ratio makes an FM bell?", "mara-voss")
    (first, why), *_, (last, answers) = verdicts(found)
    assert (first, last, answers) == ("creator", "global", "answers")
    assert why in ("too little", "others say more")
    assert found["cascade_tier"] == "global"
    assert found["citations"][0]["creator"]["slug"] == "zoe-tanaka"


async def test_every_tier_of_an_off_topic_question_has_the_verdict_too_little(
    service: Client,
) -> None:
    found = await search(service, "Which visa do I need for a year in Mongolia?", "mara-voss")
    assert (found["cascade_tier"], found["citations"]) == ("none", [])
    for tier in found["scope"]["tiers"]:
        assert (tier["verdict"], tier["hits"]) == ("too little", 0)
        assert tier["confidence"] < 0.5


@pytest.mark.parametrize("question", [QUESTION, "How much swing should I use for hip-hop?"])
async def test_scores_are_between_0_and_1(service: Client, question: str) -> None:
    scores = [one["score"] for one in (await search(service, question))["citations"]]
    assert scores
    assert scores[0] == max(scores)
    assert all(0 < score <= 1 for score in scores)


async def test_citations_of_a_document_are_adjacent(service: Client) -> None:
    found = (await search(service, QUESTION))["citations"]
    titles = [one["title"] for one in found]
    assert len(titles) > len(set(titles)) > 1
    assert [title for title, _ in groupby(titles)] == list(dict.fromkeys(titles))
    best = [max(one["score"] for one in found if one["title"] == title) for title in titles]
    assert best == sorted(best, reverse=True)


async def test_matching_is_lexical_without_an_embedder(service_settings: Settings) -> None:
    async with running(replace(service_settings, embedding_model="none")) as service:
        found = await search(service, QUESTION, "mara-voss")
    assert found["scope"]["matching"] == "lexical"
    assert verdicts(found)[0] == ("creator", "answers")


async def test_slow_embedder_does_not_delay_the_search(service_settings: Settings) -> None:
    async with ScriptedModel() as server:
        server.answers(Answer((anyio.Event(),)))
        settings = replace(
            service_settings,
            embedding_base_url=server.base_url,
            # The name of the library's own embeddings, so that the service uses this server.
            embedding_model="use-multilingual-v3",
            embedding_timeout=0.05,
        )
        async with running(settings) as service:
            with anyio.fail_after(5):
                events = await service.ask(QUESTION, creator="mara-voss")
        assert len(server.requests) > 0
    done = events[-1].data
    assert (events[-1].name, done["finish_reason"]) == ("done", "stop")
    assert (done["cascade_tier"], done["scope"]["matching"]) == ("creator", "lexical")
