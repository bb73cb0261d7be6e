"""The key or token that `ask` sends."""

import os
import re
from pathlib import Path

from app.cli.ask.exit_status import AskFailed, ExitStatus

VARIABLE = "CHRYSOPEDIA_KEY"
# More than the service accepts.
MAX_LENGTH = 16_384

_VISIBLE = re.compile(r"[\x21-\x7e]+")


def read_key(file: Path | None) -> str:
    """Return the key in a file, else that in the environment, "" for none; raises AskFailed.

    It is not an option, since other users of the machine can see the options of processes.
    """
    if file is None:
        return _checked(os.environ.get(VARIABLE, ""), VARIABLE)
    try:
        with file.open(encoding="ascii", errors="replace") as opened:
            text = opened.read(MAX_LENGTH + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise AskFailed(f"--key-file: {file}: {reason}.", ExitStatus.USAGE_ERROR) from None
    if not text.strip():
        raise AskFailed(f"--key-file: {file} is empty.", ExitStatus.USAGE_ERROR)
    return _checked(text, "--key-file")


def _checked(text: str, name: str) -> str:
    key = text.strip()
    if key and (len(key) > MAX_LENGTH or not _VISIBLE.fullmatch(key)):
        raise AskFailed(f"{name}: must be one key or token.", ExitStatus.USAGE_ERROR)
    return key
