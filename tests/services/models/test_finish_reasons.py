"""Finish reasons of all servers are mapped to three; any other is a failure."""

import pytest

from app.infra.http.sse import BadEvent
from app.services.models.finish_reasons import Finish, is_refusal, parse_finish


@pytest.mark.parametrize(
    ("finish", "reasons"),
    [
        ("stop", "stop STOP end_turn eos eos_token stop_sequence COMPLETE function_call"),
        ("stop", "FINISH_REASON_STOP FinishReason.STOP stop-sequence"),
        ("length", "length max_tokens MAX_TOKENS model_length repetition_truncation"),
        ("refused", "content_filter SAFETY sensitive guardrail_intervened refusal RECITATION"),
    ],
)
def test_known_reasons_are_mapped(finish: Finish, reasons: str) -> None:
    assert [parse_finish(reason) for reason in reasons.split()] == [finish] * len(reasons.split())


@pytest.mark.parametrize("reason", [None, "", False, "null", "None", "FINISH_REASON_UNSPECIFIED"])
def test_no_reason_is_no_finish(reason: object) -> None:
    assert parse_finish(reason) is None


@pytest.mark.parametrize(
    "reason", ["abort", "error", "network_error", "unheard-of", True, {"a": 1}]
)
def test_any_other_reason_fails_the_answer(reason: object) -> None:
    with pytest.raises(BadEvent):
        parse_finish(reason)


def test_a_reason_is_named_only_if_it_is_an_identifier() -> None:
    for reason, named in (("abort", True), ("said the sky is blue", False)):
        with pytest.raises(BadEvent) as failed:
            parse_finish(reason)
        assert (reason in str(failed.value)) is named


def test_codes_of_content_filters_are_refusals() -> None:
    codes = ("content_filter", "DataInspectionFailed", "data_inspection_failed", "server_error", "")
    assert [is_refusal(code) for code in codes] == [True, True, True, False, False]
