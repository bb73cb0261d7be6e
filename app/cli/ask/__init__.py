"""Ask a running service a question, and print the answer as it arrives."""

import os
import shlex
import sys
from pathlib import Path

import msgspec

from app.cli.ask.client import TurnClient
from app.cli.ask.exit_status import AskFailed, ExitStatus
from app.cli.ask.key import read_key
from app.cli.ask.output import JSONOutput, Output, TextOutput, discard
from app.cli.ask.retry import reason
from app.config import Settings
from app.infra.http.sse import SSEEvent
from app.schemas import ChatRequest, Done, ErrorEvent

# Bytes read from standard input: more than the service accepts, so that the service rejects a
# question that is too long, but not an endless input.
MAX_READ = 1 << 16


def ask(
    question: str,
    service: str,
    *,
    creator: str | None = None,
    conversation: str | None = None,
    key_file: Path | None = None,
    lines: bool = False,
) -> int:
    """Ask the service at a URL and print its answer; returns the exit status, an ExitStatus.

    The question `-` is read from standard input. With `lines` each event is a line of JSON. A key
    is read from `key_file` or the environment.
    """
    _open_closed_streams()
    if lines:
        output: Output = JSONOutput(sys.stdout)
    else:
        follow_up = _follow_up(service, creator, key_file)
        output = TextOutput(sys.stdout, requested_creator=creator, follow_up=follow_up)
    try:
        try:
            text = _read_question() if question == "-" else question
            request = ChatRequest(text, creator, conversation)
            key = read_key(key_file)
            return _answer(TurnClient(service, request, output.print_note, key=key), output)
        except AskFailed as failed:
            output.print_error(f"chrysopedia-chat: {failed}")
            return failed.status
    except OSError as error:
        discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            return ExitStatus.PIPE_CLOSED
        output.print_error(f"chrysopedia-chat: The answer cannot be written: {reason(error)}.")
        return ExitStatus.FAILED
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that the caller has closed (`2>&-`).

    Otherwise `print` would use another stream, and the next connection would get the number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the end


def _read_question() -> str:
    data = sys.stdin.buffer.read(MAX_READ)
    try:
        # At the limit the input may be cut in the middle of a character.
        return data.decode(errors="strict" if len(data) < MAX_READ else "ignore")
    except UnicodeDecodeError:
        raise AskFailed("The question must be UTF-8 text.", ExitStatus.USAGE_ERROR) from None


def _answer(turn: TurnClient, output: Output) -> ExitStatus:
    try:
        return _print_events(turn, output)
    except OSError:
        # The output cannot be written, or its reader has closed it.
        turn.stop()
        raise
    except KeyboardInterrupt:
        turn.stop()
    try:
        # The rest of the answer that was already sent, and the sources.
        _print_events(turn, output)
    except AskFailed as failed:
        raise AskFailed(str(failed), ExitStatus.INTERRUPTED) from None
    return ExitStatus.INTERRUPTED


def _print_events(turn: TurnClient, output: Output) -> ExitStatus:
    """Print the events as they arrive; raises AskFailed if the answer is not complete."""
    status = ExitStatus.ANSWERED
    try:
        for event in turn.events():
            output.print_event(event)
            if event.event in ("done", "error"):
                status = _status(event)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AskFailed(
            f"The service sent an event that this version cannot read: {error}."
        ) from None
    return status


def _status(last: SSEEvent) -> ExitStatus:
    if last.event == "error":
        failed = msgspec.json.decode(last.data, type=ErrorEvent)
        title = f"{failed.title}."
        # The detail often begins with the title.
        raise AskFailed(f"{title} {failed.detail.removeprefix(title).lstrip()}".rstrip())
    match msgspec.json.decode(last.data, type=Done).finish_reason:
        case "refused":
            return ExitStatus.REFUSED
        case "stopped":
            raise AskFailed("The answer was stopped.")
        case "abandoned":
            raise AskFailed("The answer was stopped because it had no viewer for too long.")
    return ExitStatus.ANSWERED


def _follow_up(service: str, creator: str | None, key_file: Path | None) -> str:
    """Return a command for follow-ups that does not depend on environment variables."""
    argv = sys.orig_argv
    command = argv[: argv.index("-m") + 2] if "-m" in argv else sys.argv[:1]
    options = ["--url", service] if service != Settings().url else []
    options += ["--creator", creator] if creator else []
    options += ["--key-file", str(key_file)] if key_file else []
    return shlex.join([*command, "ask", *options])
