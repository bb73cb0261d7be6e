"""The ways in which asking can end, as exit statuses; all but a whole answer are told in words."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses; the last two are what shells make of the signals SIGINT and SIGPIPE."""

    ANSWERED = 0
    FAILED = 1
    MISUSED = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


STATUSES = """\
exit status:
  0    answered
  1    the service or its model failed, or the answer was stopped elsewhere or cannot be written
  2    wrong use: an option, or a question that is empty or too long
  3    refused: the library has nothing on the question
  4    the service cannot be reached, or takes no question for now (429, 503)
  130  stopped by Ctrl-C (141: whoever read the answer went away); it ends on the service too
"""


class AskFailed(Exception):
    """There is no whole answer; the message is one line for the person who asked."""

    def __init__(self, message: str, ending: ExitStatus = ExitStatus.FAILED) -> None:
        super().__init__(message)
        self.ending = ending
