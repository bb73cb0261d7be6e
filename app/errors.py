"""Every failure that is reported to a client, each with a stable `kind`.

The tree::

    ChatError                   internal
    ├── BadRequest              bad-request             invalid JSON, a malformed id or header
    ├── Unauthenticated         unauthenticated         no credentials, or wrong ones
    ├── Forbidden               forbidden               not allowed for these credentials
    ├── NotFound                not-found
    ├── NotAcceptable           not-acceptable
    ├── BodyTooSlow             body-too-slow
    ├── TurnRunning             turn-running            the Idempotency-Key's turn is running
    ├── LengthRequired          length-required
    ├── BodyTooLarge            body-too-large
    ├── UnsupportedMediaType    unsupported-media-type
    ├── Misdirected             misdirected             the Host header names another site
    ├── Unprocessable           unprocessable           a field is invalid
    ├── TooManyRequests         too-many-requests
    ├── ModelFailed             model-failed            only in streams
    ├── Unavailable             unavailable
    │   ├── LibraryUnavailable  library-unavailable
    │   └── ShuttingDown        shutting-down
    └── TurnLost                turn-lost               an internal failure during a turn

`handlers/problems.py` maps kinds to HTTP. The `detail` is shown to users: it contains no secrets,
no tracebacks and no text from upstream servers.
"""

from typing import ClassVar

from app.schemas import Failed, FieldError


class ChatError(Exception):
    """A failure with a `detail` for users and, where fields are invalid, one error for each."""

    kind: ClassVar[str] = "internal"
    # Whether the same question may succeed later; some kinds decide it for each error.
    retryable: bool = False

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors

    def event(self) -> Failed:
        """Return the event that ends a stream with this error."""
        return Failed(self.kind, self.detail, self.retryable)


class BadRequest(ChatError):
    """The request is malformed."""

    kind = "bad-request"


class Unauthenticated(ChatError):
    """The request has no credentials, or (if `invalid`) wrong ones, for example of `key_id`."""

    kind = "unauthenticated"

    def __init__(self, detail: str, *, invalid: bool = True, key_id: str = "") -> None:
        super().__init__(detail)
        self.invalid = invalid
        self.key_id = key_id


class Forbidden(ChatError):
    """The caller may not do this."""

    kind = "forbidden"


class NotFound(ChatError):
    """The resource does not exist, or is not the caller's."""

    kind = "not-found"


class NotAcceptable(ChatError):
    """The client does not accept the resource's media type."""

    kind = "not-acceptable"


class TurnRunning(ChatError):
    """The turn `turn_id`, which was started with the same Idempotency-Key, is still running.

    `ticket` lets its owner follow the turn without other credentials.
    """

    kind = "turn-running"
    ticket = ""

    def __init__(self, turn_id: str) -> None:
        super().__init__("A turn with this Idempotency-Key is still running. Follow its stream.")
        self.turn_id = turn_id


class BodyTooSlow(ChatError):
    """The request body did not arrive in time."""

    kind = "body-too-slow"
    retryable = True


class LengthRequired(ChatError):
    """The request body has no length."""

    kind = "length-required"


class BodyTooLarge(ChatError):
    """The request body is over the limit."""

    kind = "body-too-large"


class UnsupportedMediaType(ChatError):
    """The request body is not JSON."""

    kind = "unsupported-media-type"


class Misdirected(ChatError):
    """The request is for a host name that is not the service's."""

    kind = "misdirected"

    def __init__(self) -> None:
        super().__init__(
            "The service is not known by this host name. Its operator can add the name to"
            " ALLOWED_HOSTS."
        )


class Unprocessable(ChatError):
    """A field is invalid; `errors` names it."""

    kind = "unprocessable"


class TooManyRequests(ChatError):
    """The caller is over the limit of this name; `retry_after` is in seconds."""

    kind = "too-many-requests"
    retryable = True

    def __init__(self, detail: str, *, limit: str, retry_after: int) -> None:
        super().__init__(detail)
        self.limit = limit
        self.retry_after = retry_after


class ModelFailed(ChatError):
    """The language model did not answer, or stopped in the middle."""

    kind = "model-failed"

    def __init__(self, detail: str, *, retryable: bool = True) -> None:
        super().__init__(detail)
        self.retryable = retryable


class Unavailable(ChatError):
    """The service cannot accept the request now; `retry_after` is in seconds."""

    kind = "unavailable"
    retryable = True

    def __init__(self, detail: str, *, retry_after: int = 2) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class LibraryUnavailable(Unavailable):
    """The library cannot be searched."""

    kind = "library-unavailable"


class ShuttingDown(Unavailable):
    """The worker is shutting down."""

    kind = "shutting-down"


class TurnLost(ChatError):
    """A turn failed because of an internal error, or its worker stopped."""

    kind = "turn-lost"
    retryable = True
