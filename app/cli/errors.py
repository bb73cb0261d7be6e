"""Errors that end a command."""


class CommandError(Exception):
    """A command failed; the message is one line that says why and what to do."""


class NotFullyEmbedded(CommandError):
    """The library is stored, but passages without an embedding are found by lexical search only."""
