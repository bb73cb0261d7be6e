"""Errors that end a command."""


class CommandError(Exception):
    """A command failed; the message is one line that says why and what to do."""


class NotFullyEmbedded(CommandError):
    """The library is stored, but some passages have no embedding: only lexical search finds them."""
