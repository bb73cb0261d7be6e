"""Ask the language model a tiny question, as the service would."""

import asyncio
import re
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
from app.services.models.openai import OpenAIModel
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
# Log lines of the model client.
_RETRIED = re.compile(r"request to model .+? failed, retrying in [^:]+: (.+)")
_FAILED = re.compile(r"(?:request to model .+? failed: |model .+? (?=failed in ))(.+)")
_UNMARKED = "thoughts have no opening mark"


class _Answer(Struct):
    """When each piece of an answer arrived, in seconds, and what was logged meanwhile.

    `unmarked` is set if it is the second answer, because the first one was thoughts.
    """

    arrivals: list[float] = []
    log: list[str] = []
    tokens: int | None = None
    error: str = ""
    unmarked: bool = False

    @property
    def retries(self) -> list[str]:
        """The reasons of the failures that were followed by another attempt."""
        return [found[1] for line in self.log if (found := _RETRIED.match(line))]


async def check_model(report: Report, settings: Settings) -> None:
    """Check the configured model, its fallback, and the one that rewrites questions."""
    if not settings.llm_base_url:
        report.skip(
            "language model",
            "none: answers quote the sources",
            "For answers in a model's words set LLM_BASE_URL and LLM_MODEL.",
        )
        return
    config = model_config(settings)
    answers = [
        await _check(report, check, config.alone(server, name))
        for check, (server, name) in zip(CHECKS, config.models, strict=False)
    ]
    if settings.condense == "model":
        answer = answers[0]
        if settings.condense_model:
            alone = config.alone(config, settings.condense_model)
            answer = await _check(report, "condensing model", alone)
        if not answer.error:
            _check_condensing(report, answer.arrivals[-1], settings.condense_timeout)


def _check_condensing(report: Report, seconds: float, limit: float) -> None:
    if seconds > limit:
        report.warn(
            "condensing",
            f"a short answer takes {duration(seconds)}, the limit is {limit:g} s: follow-ups are"
            " rewritten by a rule",
            "Set CONDENSE_MODEL to a faster model, raise CONDENSE_TIMEOUT, or set CONDENSE=off.",
        )


async def _check(report: Report, check: str, config: ModelConfig) -> _Answer:
    answer = await _ask(config)
    where = f"{config.model} at {location(config.base_url)}"
    if answer.error:
        _report_failed(report, check, where, answer, config)
        return answer
    report.ok(check, f"{where} answered in {duration(answer.arrivals[-1])}")
    if check == "language model":
        _check_first_token(report, answer, config)
        _check_streaming(report, answer)
    if answer.unmarked:
        report.warn(
            "model thoughts",
            "they have no opening mark: the first answer after each start fails",
            "See docs/models.md, Models that think.",
        )
    _report_requests(report, answer)
    return answer


def _report_failed(
    report: Report, check: str, where: str, answer: _Answer, config: ModelConfig
) -> None:
    # The error itself is for visitors.
    found = _FAILED.match(answer.log[-1]) if answer.log else None
    # Most reasons say what to do.
    reason, _, advice = (found[1] if found else answer.error).partition("; ")
    if answer.retries:
        reason += f" (asked {len(answer.retries) + 1} times)"
    report.fail(
        check,
        f"{where}: {reason}",
        f"{advice[:1].upper()}{advice[1:]}."
        if advice
        else f"Check {config.settings}BASE_URL and the name of the model, and that the server is"
        " running; its log may say more.",
    )


def _report_requests(report: Report, answer: _Answer) -> None:
    check, came = "model requests", "The answer came all the same."
    if answer.retries:
        reasons = "; ".join(dict.fromkeys(answer.retries))
        report.warn(check, f"asked {len(answer.retries) + 1} times: {reasons}", came)
    for line in dict.fromkeys(line for line in answer.log if not _RETRIED.match(line)):
        finding, _, advice = line.partition(". ")
        report.warn(check, finding, f"{advice}." if advice else came)


def _check_first_token(report: Report, answer: _Answer, config: ModelConfig) -> None:
    first, limit = answer.arrivals[0], config.first_token_timeout
    finding = f"after {duration(first)}"
    if answer.tokens is not None and answer.tokens > EXPECTED_TOKENS:
        finding += f"; it thinks first ({answer.tokens} tokens for a short answer)"
    advice = (
        f"Long questions take longer: raise LLM_FIRST_TOKEN_TIMEOUT ({limit:g} s), or for a server"
        f" that sends comments or reasoning meanwhile LLM_THINKING_TIMEOUT"
        f" ({config.thinking_timeout:g} s)."
    )
    if first > limit:
        # Only signs of life keep a request waiting for so long.
        limit = config.thinking_timeout
        finding += f"; with comments or reasoning before it the limit is {limit:g} s"
        advice = "Long questions take longer: raise LLM_THINKING_TIMEOUT."
    if answer.retries:
        report.ok("first token", f"{finding}, with all attempts")
    elif first > limit / 2:
        report.warn("first token", finding, advice)
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


async def _ask(config: ModelConfig) -> _Answer:
    async with HTTPClient(getproxies_environment()) as http:
        model = build_model(http, config, Metrics())
        limit = max(config.first_token_timeout, config.thinking_timeout) + ANSWER_TIME
        answer = await _answer(model, limit)
        if answer.error and any(_UNMARKED in line for line in answer.log):
            # From now on the model client holds the thoughts back.
            answer = await _answer(model, limit)
            answer.unmarked = True
        return answer


async def _answer(model: OpenAIModel, limit: float) -> _Answer:
    answer = _Answer()
    started_at = perf_counter()

    def on_delta(delta: Delta) -> None:
        if delta.text:
            answer.arrivals.append(perf_counter() - started_at)
        if delta.usage:
            answer.tokens = delta.usage.completion_tokens

    with collect_warnings(answer.log):
        try:
            async with asyncio.timeout(limit):
                await model.stream(PROMPT, on_delta)
        except ModelFailed as error:
            answer.error = error.detail.rstrip(".")
        except TimeoutError:
            answer.error = f"no complete answer within {limit:g} s"
    if not answer.arrivals:
        answer.error = answer.error or "the answer is empty"
    return answer
