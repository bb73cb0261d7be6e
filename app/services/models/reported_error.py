"""Errors that a model server reports within a response."""

from app.infra.http.sse import BadEvent
from app.services.models.server_error import ServerError, read_error

# Fields that only errors have, if the event has neither choices nor usage.
_ERROR_FIELDS = ("code", "message", "error_code", "error_type", "error_message", "base_resp")
# Some servers describe success where others describe an error.
_BENIGN = ("0", "200", "ok", "success", "null", "none")


class ReportedError(BadEvent):
    """An error that the server reports; the message has only its identifiers."""

    def __init__(self, error: ServerError) -> None:
        details = str(error)
        super().__init__(f"the server reported an error{details and f' ({details})'}")
        self.error = error


def find_error(chunk: dict[str, object], event: str = "message") -> ReportedError | None:
    """Return the error that a decoded event reports, if any; `event` is its name."""
    choices = chunk.get("choices")
    for part in (chunk, *(choices if isinstance(choices, list) else ())):
        error = part.get("error") if isinstance(part, dict) else None
        if not _is_benign(error):
            return ReportedError(read_error(error))
    if event == "error" or chunk.get("object") == "error":
        return ReportedError(read_error(chunk))
    if event == "message" and not choices and not chunk.get("usage"):
        fields = {name: chunk[name] for name in _ERROR_FIELDS if name in chunk}
        # Other protocols have an object in the field `message`.
        if isinstance(fields.get("message"), dict):
            del fields["message"]
        if not _is_benign(fields):
            return ReportedError(read_error(fields))
    return None


def _is_benign(error: object) -> bool:
    """Return whether a value says that there is no error."""
    if isinstance(error, dict):
        return all(map(_is_benign, error.values()))
    if isinstance(error, list):
        return all(map(_is_benign, error))
    return not error or str(error).strip().lower() in _BENIGN
