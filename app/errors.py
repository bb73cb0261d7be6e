"""Every way the service can fail, each with its HTTP status and its problem type.

The tree::

    ChatError                       500  internal
    ├── BadRequest                  400  bad-request          the body is no JSON, a cursor no id
    ├── NotFound                    404  not-found
    ├── NotAcceptable               406  not-acceptable
    ├── BodyTooSlow                 408  body-too-slow
    ├── TurnRunning                 409  turn-running         the Idempotency-Key's turn still runs
    ├── LengthRequired              411  length-required
    ├── BodyTooLarge                413  body-too-large
    ├── UnsupportedMediaType        415  unsupported-media-type
    ├── Unprocessable               422  unprocessable        a field breaks its rule
    ├── TooManyRequests             429  too-many-requests
    ├── ModelFailed                 502  model-failed         only ever inside a stream
    ├── Unavailable                 503  unavailable
    │   ├── LibraryUnavailable      503  library-unavailable
    │   └── ShuttingDown            503  shutting-down
    └── TurnLost                    500  turn-lost            a stream whose turn broke

Before a stream starts an error is an HTTP status with a problem document; after that it is the
stream's `error` event. The `detail` is for the person who asks: it holds no secret, no traceback
and nothing that an upstream server said.
"""

from typing import ClassVar

from app.schemas import Failed, FieldError, Problem


class ChatError(Exception):
    """A failure that a client is told about; subclasses set the class variables."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def problem(self) -> Problem:
        """Return the RFC 9457 document that tells of this error."""
        return Problem(
            type=f"urn:chrysopedia:problem:{self.slug}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            errors=self.errors,
        )

    def event(self) -> Failed:
        """Return the event that tells of this error within a stream."""
        return Failed(
            type=f"urn:chrysopedia:problem:{self.slug}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            retryable=self.retryable,
        )


class BadRequest(ChatError):
    """The request cannot be understood."""

    status, slug, title = 400, "bad-request", "The request cannot be understood"


class NotFound(ChatError):
    """There is no such thing, or it is not the caller's."""

    status, slug, title = 404, "not-found", "There is nothing here"


class NotAcceptable(ChatError):
    """The client does not take what the resource gives."""

    status, slug, title = 406, "not-acceptable", "Not available in that form"


class TurnRunning(ChatError):
    """The turn that an Idempotency-Key names is still running."""

    status, slug, title = 409, "turn-running", "That question is being answered"


class BodyTooSlow(ChatError):
    """A body that does not come."""

    status, slug, title = 408, "body-too-slow", "The body did not come in time"
    retryable = True


class LengthRequired(ChatError):
    """A body without a length."""

    status, slug, title = 411, "length-required", "The body needs a length"


class BodyTooLarge(ChatError):
    """A body over the limit."""

    status, slug, title = 413, "body-too-large", "The body is too large"


class UnsupportedMediaType(ChatError):
    """A body that is not JSON."""

    status, slug, title = 415, "unsupported-media-type", "The body must be JSON"


class Unprocessable(ChatError):
    """A field breaks its rule; `errors` says which."""

    status, slug, title = 422, "unprocessable", "A field breaks its rule"


class TooManyRequests(ChatError):
    """The caller is over a limit."""

    status, slug, title = 429, "too-many-requests", "Too many questions at once"
    retryable = True


class ModelFailed(ChatError):
    """The language model did not answer, or stopped in the middle."""

    status, slug, title = 502, "model-failed", "The language model failed"
    retryable = True


class Unavailable(ChatError):
    """The service cannot take this now."""

    status, slug, title = 503, "unavailable", "Not available at the moment"
    retryable = True

    def __init__(self, detail: str, *, retry_after: int = 2) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class LibraryUnavailable(Unavailable):
    """The library cannot be searched."""

    slug, title = "library-unavailable", "The library cannot be searched"


class ShuttingDown(Unavailable):
    """The worker is going away."""

    slug, title = "shutting-down", "The service is restarting"


class TurnLost(ChatError):
    """A turn broke for a reason that is ours."""

    slug, title = "turn-lost", "The answer was lost"
    retryable = True
