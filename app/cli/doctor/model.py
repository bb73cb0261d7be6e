"""Ask the language model a tiny question, as the service would."""

import asyncio
from time import perf_counter
from urllib.request import getproxies_environment

from msgspec import Struct
from msgspec.structs import replace

from app.bootstrap import build_model
from app.cli.doctor.log_lines import collect_warnings
from app.cli.doctor.report import Report, duration
from app.cli.doctor.servers import location
from app.config import Settings
from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.services.metrics.registry import Metrics
from app.services.models.completion import Delta
from app.services.models.prompt import Message, Prompt

# The answer has several tokens, so that streaming shows.
PROMPT = Prompt(
    (
        Message("system", "Answer without any other words."),
        Message("user", "Count from 1 to 20 in digits, with a space between two numbers."),
    )
)
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
    await _check(report, "language model", replace(settings, llm_fallback_model=""), limit)
    if settings.llm_fallback_model:
        await _check(report, "fallback model", _fallback_as_model(settings), limit)


def _fallback_as_model(settings: Settings) -> Settings:
    """Return settings whose model is the fallback model."""
    changes = {
        name.replace("llm_fallback_", "llm_"): value
        for name in settings.__struct_fields__
        if name.startswith("llm_fallback_") and (value := getattr(settings, name))
    }
    return replace(settings, **(changes | {"llm_fallback_model": ""}))


async def _check(report: Report, check: str, settings: Settings, limit: float) -> None:
    answer = await _ask(settings, limit)
    where = f"{settings.llm_model} at {location(settings.llm_base_url)}"
    if answer.error:
        reason = answer.log[-1].rpartition("failed: ")[2] if answer.log else ""
        finding = f"{where}: {answer.error}" + (f" ({reason})" if reason else "")
        report.fail(check, finding, _advice(check, answer))
        return
    report.ok(check, f"{where} answered in {duration(answer.arrivals[-1])}")
    if check == "language model":
        _check_first_token(report, answer, settings)
        _check_streaming(report, answer)
    for line in dict.fromkeys(answer.log):
        report.warn("model requests", line, "The answer came all the same.")


def _advice(check: str, answer: _Answer) -> str:
    reasons = " ".join(answer.log)
    prefix = "LLM_FALLBACK_" if check == "fallback model" else "LLM_"
    if "API_KEY" in reasons:
        return "The server refuses the key: correct LLM_API_KEY."
    if "status 404" in reasons:
        return f"Correct {prefix}MODEL and LLM_BASE_URL: the server has no such model or path."
    return (
        f"Check LLM_BASE_URL and {prefix}MODEL, and that the server is running;"
        " its log may say more."
    )


def _check_first_token(report: Report, answer: _Answer, settings: Settings) -> None:
    first, limit = answer.arrivals[0], settings.llm_first_token_timeout
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


async def _ask(settings: Settings, limit: float) -> _Answer:
    answer = _Answer([], [])
    started_at = perf_counter()

    def on_delta(delta: Delta) -> None:
        if delta.text:
            answer.arrivals.append(perf_counter() - started_at)
        if delta.usage:
            answer.tokens = delta.usage.completion_tokens

    async with HTTPClient(getproxies_environment()) as http:
        with collect_warnings(answer.log):
            model = build_model(http, settings, Metrics())
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
