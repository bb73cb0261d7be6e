"""`doctor` asks the language model a tiny question."""

import json
import logging
from typing import Literal

import pytest
from msgspec.structs import replace

from app.cli.doctor.model import check_model
from app.cli.doctor.report import Report
from app.config import Settings
from tests.cli.doctor.findings import FAILED, OK, SKIPPED, WARNING, new_report, row, statuses
from tests.cli.doctor.pacing import Pause, count
from tests.scripted_model import DIE, ScriptedModel, refuse, say, whole

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(model: ScriptedModel) -> Settings:
    return Settings(llm_base_url=model.base_url, llm_model="m", llm_api_key="secret")


async def check(settings: Settings) -> Report:
    report = new_report()
    await check_model(report, settings)
    assert "secret" not in str(report.rows)
    assert logging.getLogger("app").propagate
    return report


async def test_a_model_that_streams_has_no_findings(
    model: ScriptedModel, settings: Settings
) -> None:
    model.answers(count(0.05))
    report = await check(settings)
    checks = ("language model", "first token", "model streaming")
    assert statuses(report) == dict.fromkeys(checks, OK)
    assert len(model.requests) == 1


async def test_a_model_that_answers_in_one_piece_is_a_warning(
    model: ScriptedModel, settings: Settings
) -> None:
    model.answers(whole("1 2 3"))
    assert row(await check(settings), "model streaming").status is WARNING


async def test_thoughts_are_noticed_by_their_number(
    model: ScriptedModel, settings: Settings
) -> None:
    model.answers(say("1 ", "2", usage=(20, 900)))
    assert "900 tokens" in row(await check(settings), "first token").finding


async def test_a_slow_first_token_is_a_warning(model: ScriptedModel, settings: Settings) -> None:
    model.answers(say(Pause(0.6), "1 ", "2"))
    report = await check(replace(settings, llm_first_token_timeout=1.0))
    assert row(report, "first token").status is WARNING
    # The model may have shown signs of life.
    assert "the limit" not in row(report, "first token").finding
    assert "LLM_FIRST_TOKEN_TIMEOUT (1 s)" in row(report, "first token").advice
    assert "LLM_THINKING_TIMEOUT (240 s)" in row(report, "first token").advice


@pytest.mark.parametrize(("thinking", "status"), [(1.0, WARNING), (2.0, OK)])
async def test_a_model_with_signs_of_life_has_another_limit(
    model: ScriptedModel, settings: Settings, thinking: float, status: str
) -> None:
    sign = b": working\n\n"
    model.answers(say(sign, Pause(0.2), sign, Pause(0.2), sign, Pause(0.2), "1 ", "2"))
    settings = replace(settings, llm_first_token_timeout=0.3, llm_silence_timeout=0.4)
    report = await check(replace(settings, llm_thinking_timeout=thinking))
    found = row(report, "first token")
    assert found.status is status
    assert f"the limit is {thinking:g} s" in found.finding
    assert "LLM_FIRST_TOKEN_TIMEOUT" not in found.advice


async def test_thoughts_with_only_a_closing_mark_are_a_warning(
    model: ScriptedModel, settings: Settings
) -> None:
    model.answers(say("They want numbers.", "</think>", "1 ", "2"))
    report = await check(settings)
    assert row(report, "language model").status is OK
    assert row(report, "model thoughts").status is WARNING
    assert "Models that think" in row(report, "model thoughts").advice
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "Check LLM_API_KEY"), (404, "LLM_BASE_URL"), (400, "LLM_BASE_URL")],
)
async def test_a_refused_request_fails_with_its_reason(
    model: ScriptedModel, settings: Settings, status: int, advice: str
) -> None:
    model.answers(refuse(status))
    report = await check(settings)
    assert statuses(report) == {"language model": FAILED}
    # Without the words for visitors.
    assert row(report, "language model").finding.endswith(f": status {status}")
    assert advice in row(report, "language model").advice
    assert "refused by the script" not in str(report.rows)


async def test_an_empty_answer_fails(model: ScriptedModel, settings: Settings) -> None:
    model.answers(say())
    assert row(await check(settings), "language model").status is FAILED


async def test_a_server_that_cannot_be_reached_fails() -> None:
    settings = Settings(
        llm_base_url="http://127.0.0.1:1/v1", llm_model="m", llm_first_token_timeout=0.1
    )
    report = await check(settings)
    assert row(report, "language model").finding.startswith("m at 127.0.0.1:1: connection refused")


async def test_a_server_that_stays_busy_fails_with_the_number_of_attempts(
    model: ScriptedModel, settings: Settings
) -> None:
    model.answers(refuse(503))
    report = await check(replace(settings, llm_first_token_timeout=0.4))
    assert "status 503 (asked " in row(report, "language model").finding


async def test_retries_are_one_warning(model: ScriptedModel, settings: Settings) -> None:
    busy = refuse(503, headers={"Retry-After": "0"})
    model.answers(busy, busy, count(0.05))
    report = await check(settings)
    assert row(report, "language model").status is OK
    assert row(report, "model requests").finding == "asked 3 times: status 503"


async def test_a_refused_parameter_is_a_warning_that_says_how_to_avoid_it(
    model: ScriptedModel, settings: Settings
) -> None:
    refused = json.dumps({"error": {"message": "no", "param": "temperature"}})
    model.answers(refuse(400, refused), count(0.05))
    report = await check(replace(settings, llm_temperature=0.5))
    assert "refuses temperature" in row(report, "model requests").finding
    assert row(report, "model requests").advice.startswith("To avoid the refused request, ")


async def test_an_answer_that_breaks_off_fails(model: ScriptedModel, settings: Settings) -> None:
    model.answers(say("1 ", DIE))
    found = row(await check(settings), "language model")
    assert "failed in the middle of an answer: " in found.finding


async def test_the_fallback_model_is_asked_too(model: ScriptedModel, settings: Settings) -> None:
    model.answers(count(0.05), refuse(404))
    report = await check(replace(settings, llm_fallback_model="other"))
    assert row(report, "language model").status is OK
    assert row(report, "fallback model").status is FAILED
    assert [request.body["model"] for request in model.requests] == ["m", "other"]


async def test_the_model_that_rewrites_questions_is_checked(
    model: ScriptedModel, settings: Settings
) -> None:
    model.answers(count(0.05), refuse(404))
    report = await check(replace(settings, condense_model="tiny"))
    assert row(report, "language model").status is OK
    assert row(report, "condensing model").status is FAILED
    assert [request.body["model"] for request in model.requests] == ["m", "tiny"]


@pytest.mark.parametrize(("condense", "found"), [("model", True), ("off", False)])
async def test_a_model_too_slow_to_rewrite_questions_is_a_warning(
    model: ScriptedModel, settings: Settings, condense: Literal["model", "off"], found: bool
) -> None:
    model.answers(count(0.05))
    report = await check(replace(settings, condense=condense, condense_timeout=0.01))
    assert ("condensing" in statuses(report)) == found
    if found:
        assert row(report, "condensing").status is WARNING
        assert "CONDENSE_MODEL" in row(report, "condensing").advice


async def test_without_a_model_nothing_is_checked() -> None:
    assert statuses(await check(Settings())) == {"language model": SKIPPED}
