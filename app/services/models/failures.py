"""Why an attempt at a model failed: in words for the user, and in words for the log."""

import re
from typing import Literal, TypeAlias

from msgspec.structs import replace

from app.errors import ModelFailed
from app.infra.connection_errors import describe
from app.infra.http.errors import BadResponse, ConnectTimeout
from app.infra.http.response import Response
from app.infra.http.retry import AttemptFailed, is_busy, is_temporary, parse_retry_after
from app.infra.http.sse import BadEvent
from app.services.models.completion import EmptyAnswer
from app.services.models.reported_error import ReportedError
from app.services.models.server_error import ServerError

# What a failure means: the provider's content filter stopped the prompt; the prompt is longer than
# the model's context; all tokens were spent before any text; the model failed for another reason.
Kind: TypeAlias = Literal["filtered", "too long", "cut", "other"]

_FILTERED = re.compile(
    r"content[ _]?(filter|policy)|content management policy|responsible_?ai_?policy|\bflagged\b"
    r"|data_?inspection_?failed|prohibited[ _]content",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context[ _]?(length|size|window|limit)|\btoo long\b|too many (input |prompt )?tokens"
    r"|\b(tokens|prompt|input|request)\b.{0,60}\b(exceeds?|too large|longer than)\b"
    r"|request_too_large|max_new_tokens",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(
    r"insufficient_?(quota|balance|credits?|funds)|exceeded_current_quota|billing|arrearage"
    r"|credit balance|payment_required",
    re.IGNORECASE,
)
_NAMES_A_MODEL = re.compile(r"model|deployment|endpoints found", re.IGNORECASE)
# A gateway that has timed out has passed the request on, and the server may still work on it.
_TIMED_OUT = {504, 524}
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,40}", re.ASCII)

_FOR_OPERATOR = "cannot be used. Tell whoever runs this service; its log says why"
_TOO_SLOW = "did not answer in time"
_REJECTED = "rejected this question. If it happens again, tell whoever runs this service"


class ModelAttemptFailed(AttemptFailed):
    """One attempt failed. `detail` is for the user, `reason` for the log.

    `use_fallback` is false if another model of the same server would fail in the same way.
    """

    def __init__(
        self,
        detail: str,
        reason: str,
        retry_after: float | None = None,
        *,
        busy: bool = False,
        use_fallback: bool = True,
        retryable: bool = True,
        kind: Kind = "other",
    ) -> None:
        super().__init__(reason, retry_after, busy=busy)
        self.error = ModelFailed(f"The language model {detail}.", retryable=retryable)
        self.use_fallback = use_fallback
        self.kind = kind


def to_failure(error: Exception, detail: str = "did not answer") -> ModelAttemptFailed:
    """Return the failure that an exception stands for; `detail` is for the user."""
    if isinstance(error, ConnectTimeout):
        return ModelAttemptFailed("cannot be reached", "connect timeout", retry_after=0)
    if isinstance(error, TimeoutError):
        # The server has taken the request: a retry would be paid twice, and wait behind it.
        return ModelAttemptFailed(_TOO_SLOW, f"timeout: {error}")
    if isinstance(error, EmptyAnswer):
        if error.retry:
            return ModelAttemptFailed("gave an empty answer", str(error), retry_after=0)
        return ModelAttemptFailed("gave an empty answer", str(error), kind="cut")
    if isinstance(error, ReportedError) and (failure := _final(400, error.error, str(error))):
        return failure
    is_ours = isinstance(error, (BadEvent, BadResponse))
    reason = str(error) if is_ours else describe(error)
    return ModelAttemptFailed(detail, reason, retry_after=0)


def rejection(response: Response, error: ServerError, settings: str) -> ModelAttemptFailed:
    """Return the failure that a response without an answer stands for.

    `settings` is the start of the names of the server's settings, such as "LLM_".
    """
    status, reason = response.status, _describe(response, error)
    if failure := _final(status, error, reason):
        return failure
    if status in _TIMED_OUT:
        return ModelAttemptFailed(_TOO_SLOW, reason)
    if status < 300 or is_temporary(status):
        wait = parse_retry_after(response.headers)
        return ModelAttemptFailed(_temporary_detail(status), reason, wait, busy=is_busy(status))
    if hint := _hint(status, error, settings):
        # The server may have the fallback model even if it lacks this one, but it would refuse the
        # key again.
        accepts_key = status in (404, 405)
        return ModelAttemptFailed(
            _FOR_OPERATOR, f"{reason}; {hint}", use_fallback=accepts_key, retryable=False
        )
    return ModelAttemptFailed(_REJECTED, reason, retryable=False)


def _final(status: int, error: ServerError, reason: str) -> ModelAttemptFailed | None:
    """Return the failure if the error says that the same prompt would fail again."""
    if kind := _kind(status, error):
        if kind == "too long":
            reason += "; the prompt and LLM_MAX_TOKENS together exceed the model's context"
        return ModelAttemptFailed(_REJECTED, reason, retryable=False, kind=kind)
    if status == 402 or _NO_CREDIT.search(error.text):
        reason += "; the account has no credit"
        return ModelAttemptFailed(_FOR_OPERATOR, reason, retryable=False)
    return None


def _describe(response: Response, error: ServerError) -> str:
    media_type = response.content_type
    if media_type == "text/html":
        return f"status {response.status}, a web page"
    known = _MEDIA_TYPE.fullmatch(media_type) and media_type != "application/json"
    if error.code == str(response.status):
        error = replace(error, code="")
    parts = (f"status {response.status}", media_type if known else "", str(error))
    return ", ".join(part for part in parts if part)


def _kind(status: int, error: ServerError) -> Kind | None:
    if status in (400, 403, 422, 451) and _FILTERED.search(error.text):
        return "filtered"
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(error.text)):
        return "too long"
    return None


def _temporary_detail(status: int) -> str:
    if status in (429, 503, 529):
        return "is overloaded. Ask again in a minute"
    return "sent an invalid response" if status < 300 else "did not answer. Ask again in a minute"


def _hint(status: int, error: ServerError, settings: str) -> str:
    if status in (401, 403):
        return f"check {settings}API_KEY, or {settings}HEADERS if the key is in another header"
    if status < 400:
        return f"it redirects to another address; set {settings}BASE_URL to that"
    if status == 404 and _NAMES_A_MODEL.search(error.text):
        return "check the name of the model"
    if status in (404, 405):
        return f"check the path of {settings}BASE_URL, which usually ends with /v1"
    return ""
