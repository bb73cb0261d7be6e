"""Every way an ingestion can fail.

The tree::

    IngestError             the run stops; the message is one sentence that says what to do
    ├── MissingParsers      the optional packages of the extra `ingest` are not installed
    ├── UnusableLibrary     the folder, or its manifest, is no library
    ├── OtherEmbedder       the library's embeddings are another embedder's
    ├── NotEmbedded         the passages are written, their embeddings are not
    ├── NameTaken           another folder's library has the name
    └── AlreadyRunning      another ingestion holds the database
    BrokenFile              one file cannot be used; the run goes on without it
"""


class IngestError(Exception):
    """The run stops; the message is one sentence for whoever started it."""


class MissingParsers(IngestError):
    """The packages that read the files are not installed."""

    def __init__(self) -> None:
        super().__init__(
            "reading pages and transcripts needs parsers that are not installed:"
            " pip install 'chrysopedia-chat[ingest]'"
        )


class UnusableLibrary(IngestError):
    """The folder, or its manifest, is no library."""


class OtherEmbedder(IngestError):
    """The library's embeddings are another embedder's."""

    def __init__(self, known: str, asked: str) -> None:
        super().__init__(
            f"the library's embeddings are by {known}, and EMBEDDING_MODEL asks for {asked}:"
            " run `python -m app reindex` to embed it anew (the old ones serve until then),"
            f" or set EMBEDDING_MODEL={known}"
        )


class NotEmbedded(IngestError):
    """The passages are written, their embeddings are not, or not all."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"the passages are kept, but {name} could not embed all of them: {reason.rstrip('.')};"
            " run the same command again to go on with the rest"
        )


class NameTaken(IngestError, ValueError):
    """Another folder's library has the name."""


class AlreadyRunning(IngestError):
    """Another ingestion holds the database for too long."""


class BrokenFile(Exception):
    """One file cannot be used; the message says why, without its name."""
