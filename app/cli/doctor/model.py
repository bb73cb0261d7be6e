"""Ask the language model a tiny question, as the service would."""

import asyncio
from time import perf_counter
from urllib.request import getproxies_environment

from msgspec import Struct

from app.bootstrap.models import build_model, model_config
from app.cli.doctor.log_lines import collect_warnings
from app.cli.doctor.report import Report, duration
from app.cli.doctor.servers import location
from app.config import Settings
from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.services.metrics.registry import Metrics
from app.services.models.completion import Delta
from app.services.models.prompt import Message, Prompt
from app.services.models.request import ModelConfig

# The answer has several tokens, so that streaming shows.
PROMPT = Prompt(
    (
        Message("system", "Answer without any other words."),
        Message("user", "Count from 1 to 20 in digits, with a space between two numbers."),
    )
)
CHECKS = ("language model", "fallback model")
# Tokens of an answer without thoughts, at most.
EXPECTED_TOKENS = 80
# Seconds for the answer after its first token.
ANSWER_TIME = 10.0
# Pieces within so many seconds arrived together.
TOGETHER = 0.005


class _Answer(Struct):
    """When each piece of an answer arrived, in seconds, and what was logged meanwhile."""

    arrivals: list[float]
    log: list[str]
    tokens: int | None = None
    error: str = ""


async def check_model(report: Report, settings: Settings, limit: float) -> None:
    """Check the configured model and the fallback model; each has `limit` seconds to begin."""
    if not settings.llm_base_url:
        report.skip(
            "language model",
            "none: answers quote the sources",
            "For answers in a model's words set LLM_BASE_URL and LLM_MODEL.",
        )
        return
    config = model_config(settings)
    for check, (server, name) in zip(CHECKS, config.models, strict=False):
        await _check(report, check, config.alone(server, name), limit)


async def _check(report: Report, check: str, config: ModelConfig, limit: float) -> None:
    answer = await _ask(config, limit)
    where = f"{config.model} at {location(config.base_url)}"
    if answer.error:
        line = answer.log[-1].rpartition("failed: ")[2] if answer.log else ""
        # Most reasons say what to do.
        reason, _, advice = line.partition("; ")
        finding = f"{where}: {answer.error}" + (f" ({reason})" if reason else "")
        report.fail(
            check, finding, f"{advice[:1].upper()}{advice[1:]}." if advice else _advice(config)
        )
        return
    report.ok(check, f"{where} answered in {duration(answer.arrivals[-1])}")
    if check == "language model":
        _check_first_token(report, answer, config)
        _check_streaming(report, answer)
    for line in dict.fromkeys(answer.log):
        report.warn("model requests", line, "The answer came all the same.")


def _advice(config: ModelConfig) -> str:
    return (
        f"Check {config.settings}BASE_URL and the name of the model, and that the server is"
        " running; its log may say more."
    )


def _check_first_token(report: Report, answer: _Answer, config: ModelConfig) -> None:
    first, limit = answer.arrivals[0], config.first_token_timeout
    thinks = answer.tokens is not None and answer.tokens > EXPECTED_TOKENS
    finding = f"after {duration(first)}"
    if thinks:
        finding += f"; it thinks first ({answer.tokens} tokens for a short answer)"
    if first > limit / 2:
        report.warn(
            "first token",
            f"{finding}; the limit is {limit:g} s",
            "Long questions take longer: raise LLM_FIRST_TOKEN_TIMEOUT.",
        )
    else:
        report.ok("first token", finding)


def _check_streaming(report: Report, answer: _Answer) -> None:
    first, last = answer.arrivals[0], answer.arrivals[-1]
    pieces = len(answer.arrivals)
    if pieces > 1 and last - first > TOGETHER:
        report.ok("model streaming", f"{pieces} pieces within {duration(last - first)}")
    elif pieces > 1:
        report.skip("model streaming", f"{pieces} pieces, too quick to tell whether they stream")
    else:
        report.warn(
            "model streaming",
            "the answer arrived in one piece",
            "Readers wait for the whole answer: let the server stream, and turn off buffering in"
            " the proxy before it.",
        )


async def _ask(config: ModelConfig, limit: float) -> _Answer:
    answer = _Answer([], [])
    started_at = perf_counter()

    def on_delta(delta: Delta) -> None:
        if delta.text:
            answer.arrivals.append(perf_counter() - started_at)
        if delta.usage:
            answer.tokens = delta.usage.completion_tokens

    async with HTTPClient(getproxies_environment()) as http:
        with collect_warnings(answer.log):
            model = build_model(http, config, Metrics())
            try:
                async with asyncio.timeout(limit + ANSWER_TIME):
                    await model.stream(PROMPT, on_delta)
            except ModelFailed as error:
                answer.error = error.detail.rstrip(".")
            except TimeoutError:
                answer.error = f"no complete answer within {limit + ANSWER_TIME:g} s"
    if not answer.arrivals:
        answer.error = answer.error or "the answer is empty"
    return answer
