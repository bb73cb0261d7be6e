"""Why an attempt at a model failed: in words for the user, and in words for the log."""

from app.errors import ModelFailed
from app.infra.http.errors import BadResponse, ConnectTimeout
from app.infra.http.response import Response
from app.infra.http.retry import AttemptFailed, is_busy, is_temporary, parse_retry_after
from app.infra.http.sse import BadEvent

_HINTS = {401: "; check LLM_API_KEY", 403: "; check LLM_API_KEY", 404: "; check LLM_MODEL"}


class ModelAttemptFailed(AttemptFailed):
    """One attempt failed. `detail` is for the user, `reason` for the log."""

    def __init__(
        self,
        detail: str,
        reason: str,
        retry_after: float | None = None,
        *,
        busy: bool = False,
        use_fallback: bool = True,
    ) -> None:
        super().__init__(reason, retry_after, busy=busy)
        self.error = ModelFailed(f"The language model {detail}.")
        self.use_fallback = use_fallback


def to_failure(error: Exception, detail: str = "did not answer") -> ModelAttemptFailed:
    """Return the failure that an exception stands for; `detail` is for the user."""
    if isinstance(error, ConnectTimeout):
        return ModelAttemptFailed("cannot be reached", "connect timeout", retry_after=0, busy=True)
    if isinstance(error, TimeoutError):
        # The server has taken the request: a retry would be paid twice, and wait behind it.
        return ModelAttemptFailed("did not answer in time", "timeout")
    # The system's messages may contain the URL and thus a password; ours contain no secrets.
    is_ours = isinstance(error, (BadEvent, BadResponse))
    reason = str(error) if is_ours else type(error).__name__
    refused = isinstance(error, ConnectionRefusedError)
    return ModelAttemptFailed(detail, reason, retry_after=0, busy=refused)


def check_response(response: Response) -> None:
    """Raise ModelAttemptFailed unless the response can contain an answer."""
    status = response.status
    if status == 200 and response.content_type in ("text/event-stream", "application/json"):
        return
    reason = f"status {status}, content type {response.content_type}{_HINTS.get(status, '')}"
    if status == 200 or is_temporary(status):
        wait = parse_retry_after(response.headers)
        detail = "is overloaded" if status in (429, 503) else "sent an invalid response"
        raise ModelAttemptFailed(detail, reason, wait, busy=is_busy(status))
    # A server may have the fallback model and not this one; a wrong key stays wrong.
    use_fallback = status >= 400 and status not in (401, 403)
    raise ModelAttemptFailed("rejected the request", reason, use_fallback=use_fallback)
