"""The error of an evaluation."""


class EvaluationError(Exception):
    """A dataset cannot be evaluated; the message says why and what is expected."""
