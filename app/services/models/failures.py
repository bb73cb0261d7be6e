"""Why an attempt at a model failed: in words for the user, and in words for the log."""

from app.errors import ModelFailed
from app.infra.http.errors import BadResponse
from app.infra.http.response import Response
from app.infra.http.retry import AttemptFailed, is_temporary, parse_retry_after
from app.infra.http.sse import BadEvent
from app.services.models.completion import EmptyAnswer

# A server that asks for a longer wait (seconds) is not retried: the fallback model answers sooner.
MAX_RETRY_AFTER = 5.0
_HINTS = {401: "; check LLM_API_KEY", 403: "; check LLM_API_KEY", 404: "; check LLM_MODEL"}


class ModelAttemptFailed(AttemptFailed):
    """One attempt failed. `detail` is for the user, `reason` for the log."""

    def __init__(
        self, detail: str, reason: str, retry_after: float | None = None, use_fallback: bool = True
    ) -> None:
        super().__init__(reason, retry_after)
        self.error = ModelFailed(f"The language model {detail}.")
        self.use_fallback = use_fallback


def to_failure(error: Exception, detail: str = "did not answer") -> ModelAttemptFailed:
    """Return the failure that an exception stands for; `detail` is for the user."""
    if isinstance(error, TimeoutError):
        return ModelAttemptFailed("did not answer in time", "timeout", retry_after=0)
    if isinstance(error, EmptyAnswer):
        retry_after = 0.0 if error.retry else None
        return ModelAttemptFailed("gave an empty answer", str(error), retry_after)
    # The system's messages may contain the URL and thus a password; ours contain no secrets.
    is_ours = isinstance(error, (BadEvent, BadResponse))
    reason = str(error) if is_ours else type(error).__name__
    return ModelAttemptFailed(detail, reason, retry_after=0)


def check_response(response: Response) -> None:
    """Raise ModelAttemptFailed unless the response can contain an answer."""
    status = response.status
    if status == 200 and response.content_type in ("text/event-stream", "application/json"):
        return
    reason = f"status {status}, content type {response.content_type}{_HINTS.get(status, '')}"
    if status == 200 or is_temporary(status):
        wait = parse_retry_after(response.headers.get("retry-after", ""))
        detail = "is overloaded" if status in (429, 503) else "sent an invalid response"
        raise ModelAttemptFailed(detail, reason, wait if wait <= MAX_RETRY_AFTER else None)
    # A server may have the fallback model and not this one; a wrong key stays wrong.
    use_fallback = status >= 400 and status not in (401, 403)
    raise ModelAttemptFailed("rejected the request", reason, use_fallback=use_fallback)
