"""Exit statuses of `ask`."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """The last two are what a shell reports for the signals SIGINT and SIGPIPE."""

    ANSWERED = 0
    FAILED = 1
    USAGE_ERROR = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


STATUSES = """\
exit status:
  0    answered
  1    the service or its model failed, another client stopped the answer, or the output cannot be
       written
  2    usage error: an invalid option, a question that is empty or too long, or a key that is
       missing or not accepted
  3    refused: the library has no answer, or the message was small talk
  4    the service cannot be reached, or accepts no questions for now (429, 503)
  130  interrupted by Ctrl-C (141: the output was closed); the service stops answering, too
"""


class AskFailed(Exception):
    """There is no complete answer; the message is one line for the user."""

    def __init__(self, message: str, status: ExitStatus = ExitStatus.FAILED) -> None:
        super().__init__(message)
        self.status = status
