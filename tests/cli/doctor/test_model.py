"""`doctor` asks the language model a tiny question."""

import logging

import pytest
from msgspec.structs import replace

from app.cli.doctor.model import check_model
from app.cli.doctor.report import Report
from app.config import Settings
from tests.cli.doctor.findings import FAILED, OK, SKIPPED, WARNING, new_report, row, statuses
from tests.cli.doctor.pacing import Pause, count
from tests.scripted_model import ScriptedModel, refuse, say, whole

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(model: ScriptedModel) -> Settings:
    return Settings(llm_base_url=model.base_url, llm_model="m", llm_api_key="secret")


async def check(settings: Settings) -> Report:
    report = new_report()
    await check_model(report, settings, limit=settings.llm_first_token_timeout)
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
    assert "LLM_FIRST_TOKEN_TIMEOUT" in row(report, "first token").advice


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "Check LLM_API_KEY."), (404, "LLM_BASE_URL"), (400, "LLM_BASE_URL")],
)
async def test_a_refused_request_fails_with_its_reason(
    model: ScriptedModel, settings: Settings, status: int, advice: str
) -> None:
    model.answers(refuse(status))
    report = await check(settings)
    assert statuses(report) == {"language model": FAILED}
    assert f"status {status}" in row(report, "language model").finding
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
    assert "127.0.0.1:1" in row(report, "language model").finding


async def test_a_retry_is_a_warning(model: ScriptedModel, settings: Settings) -> None:
    model.answers(refuse(503, headers={"Retry-After": "0"}), count(0.05))
    report = await check(settings)
    assert row(report, "language model").status is OK
    assert "503" in row(report, "model requests").finding


async def test_the_fallback_model_is_asked_too(model: ScriptedModel, settings: Settings) -> None:
    model.answers(count(0.05), refuse(404))
    report = await check(replace(settings, llm_fallback_model="other"))
    assert row(report, "language model").status is OK
    assert row(report, "fallback model").status is FAILED
    assert [request.body["model"] for request in model.requests] == ["m", "other"]


async def test_without_a_model_nothing_is_checked() -> None:
    assert statuses(await check(Settings())) == {"language model": SKIPPED}
