"""The reasons that model servers give for the end of an answer."""

import re
from typing import Literal, TypeAlias

from app.infra.http.sse import BadEvent
from app.services.models.server_error import identifier

Finish: TypeAlias = Literal["stop", "length", "refused"]

_STOP = """stop stopped stop_sequence stop_token eos eos_token endoftext end_turn end_of_turn end
complete completed done finished success"""
# No tools are offered: a model that believes it has called one has said all that it will.
_TOOLS = "tool_calls tool_call tool_use function_call"
_LENGTH = """length max_length max_tokens max_new_tokens max_output_tokens max_completion_tokens
model_length context_length model_context_window_exceeded token_limit repetition_truncation"""
_REFUSED = """content_filter content_filtered content_policy_violation safety image_safety refusal
refused sensitive moderation blocked blocklist prohibited_content spii recitation model_armor
guardrail_intervened error_toxic data_inspection_failed datainspectionfailed
responsibleaipolicyviolation"""
# Some servers send these until the end.
_NONE = "null none finish_reason_unspecified"

_FINISHES: dict[str, Finish | None] = {
    **dict.fromkeys((_STOP + " " + _TOOLS).split(), "stop"),
    **dict.fromkeys(_LENGTH.split(), "length"),
    **dict.fromkeys(_REFUSED.split(), "refused"),
    **dict.fromkeys(_NONE.split()),
}
_PREFIX = re.compile(r"^finish_?reason[_.](?!unspecified)")


def parse_finish(reason: object) -> Finish | None:
    """Return how an answer ended, None if it has not.

    Raises BadEvent for any unknown reason, for it may stand for half an answer.
    """
    if not reason:
        return None
    name = normalize(reason)
    if name not in _FINISHES:
        shown = identifier(reason)
        raise BadEvent(f"the answer was ended early{shown and f' (finish reason {shown})'}")
    return _FINISHES[name]


def is_refusal(code: str) -> bool:
    """Return whether the code of an error stands for a refusal to answer."""
    return _FINISHES.get(normalize(code)) == "refused"


def normalize(reason: object) -> str:
    """Return a reason in lower case and with underscores, without the name of its type."""
    return _PREFIX.sub("", str(reason).strip().lower().replace("-", "_"))
