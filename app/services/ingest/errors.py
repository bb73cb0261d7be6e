"""Errors of an ingestion: an `IngestError` ends the run, a `BrokenFile` is reported at its end."""


class IngestError(Exception):
    """The run cannot continue; the message is one sentence that says what to do."""


class MissingParsers(IngestError):
    """The packages of the extra `ingest` are not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the parsers for pages and transcripts are not installed;"
            " run: pip install 'chrysopedia-chat[ingest]'"
        )


class UnusableLibrary(IngestError):
    """The folder or its manifest is not a library."""


class EmbedderMismatch(IngestError):
    """The library is embedded with another embedder than the configured one."""

    def __init__(self, current: str, configured: str) -> None:
        super().__init__(
            f"the library is embedded with {current}, but the settings select {configured}:"
            " run `python -m app reindex` to embed it again (the current embeddings stay in use"
            f" until that is done), or change the settings back to the embedder {current}"
        )


class NotEmbedded(IngestError):
    """The passages are written, but not all of them are embedded."""

    def __init__(self, embedder: str, reason: str) -> None:
        super().__init__(
            f"the passages are stored, but {embedder} could not embed all of them:"
            f" {reason.rstrip('.')}; run the same command again to embed the rest"
        )


class NameTaken(IngestError, ValueError):
    """Another folder's library has this name."""


class AlreadyRunning(IngestError):
    """Another ingestion is using the database."""


class BrokenFile(Exception):
    """A file cannot be used; the message completes a sentence that begins with its path."""
