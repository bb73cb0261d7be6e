"""A question comes in; a running service answers it, and what it says is printed as it comes."""

import os
import shlex
import sys

import msgspec

from app.cli.ask.client import AskedTurn
from app.cli.ask.exit_status import AskFailed, ExitStatus
from app.cli.ask.output import Lines, Printer, Text, discard
from app.cli.ask.retry import reason
from app.config import Settings
from app.infra.http.sse import SSEEvent
from app.schemas import ChatRequest, Done, Failed

# Bytes of a question from standard input: more than the service takes, so that it is the one to
# refuse them, and few enough for an input that never ends.
MAX_READ = 1 << 16


def ask(
    question: str,
    service: str,
    *,
    creator: str | None = None,
    conversation: str | None = None,
    lines: bool = False,
) -> int:
    """Ask the service at an address and print its answer; returns the exit status, an ExitStatus.

    The question `-` is standard input's. With `lines` each event is a line of JSON.
    """
    _open_what_is_closed()
    if lines:
        printer: Printer = Lines(sys.stdout)
    else:
        printer = Text(sys.stdout, asked=creator, again=_again(service, creator))
    try:
        try:
            request = ChatRequest(_read() if question == "-" else question, creator, conversation)
            return _answer(AskedTurn(service, request, printer.aside), printer)
        except AskFailed as failed:
            printer.aside(f"chrysopedia-chat: {failed}")
            return failed.ending
    except OSError as error:
        discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            return ExitStatus.PIPE_CLOSED
        printer.aside(f"chrysopedia-chat: The answer cannot be written: {reason(error)}.")
        return ExitStatus.FAILED
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED


def _open_what_is_closed() -> None:
    """Have a standard stream that whoever called us closed (`2>&-`) be an empty one.

    Else `print` takes another for it, and the next connection its number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - until the end


def _read() -> str:
    given = sys.stdin.buffer.read(MAX_READ)
    try:
        # Where it is cut off, that may be in the middle of a character.
        return given.decode(errors="strict" if len(given) < MAX_READ else "ignore")
    except UnicodeDecodeError:
        raise AskFailed("The question must be text in UTF-8.", ExitStatus.MISUSED) from None


def _answer(turn: AskedTurn, printer: Printer) -> ExitStatus:
    try:
        return _print_all(turn, printer)
    except OSError:
        # Nobody reads it, or it cannot be kept.
        turn.stop()
        raise
    except KeyboardInterrupt:
        turn.stop()
    try:
        # What had been said by then, and its sources.
        _print_all(turn, printer)
    except AskFailed as failed:
        raise AskFailed(str(failed), ExitStatus.INTERRUPTED) from None
    return ExitStatus.INTERRUPTED


def _print_all(turn: AskedTurn, printer: Printer) -> ExitStatus:
    """Print the events as they come; raises AskFailed where they are not a whole answer."""
    ending = ExitStatus.ANSWERED
    try:
        for event in turn.events():
            printer.take(event)
            if event.event in ("done", "error"):
                ending = _ending(event)
    except msgspec.DecodeError as error:
        raise AskFailed(f"The service says what this program does not know: {error}.") from None
    return ending


def _ending(last: SSEEvent) -> ExitStatus:
    if last.event == "error":
        failed = msgspec.json.decode(last.data, type=Failed)
        raise AskFailed(f"{failed.title}. {failed.detail}")
    match msgspec.json.decode(last.data, type=Done).finish_reason:
        case "refused":
            return ExitStatus.REFUSED
        case "stopped":
            raise AskFailed("The answer was stopped.")
        case "abandoned":
            raise AskFailed("Nobody followed the answer for too long, so it was given up.")
    return ExitStatus.ANSWERED


def _again(service: str, creator: str | None) -> str:
    """Write the command that asks there again, also where the environment is another."""
    called = sys.orig_argv
    command = called[: called.index("-m") + 2] if "-m" in called else sys.argv[:1]
    named = ["--url", service] if service != Settings().url else []
    named += ["--creator", creator] if creator else []
    return shlex.join([*command, "ask", *named])
