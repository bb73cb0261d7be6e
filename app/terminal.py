"""Make text from elsewhere safe to print on a terminal or in a log."""

# Control characters could send commands to a terminal. Line feeds and tabs are text; carriage
# returns are dropped.
_UNSAFE: dict[int, str | None] = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)}, "\ufffd")
_UNSAFE |= {0x09: "\t", 0x0A: "\n", 0x0D: None, 0x2028: "\n", 0x2029: "\n"}
# Embeddings, overrides and isolates of a direction can disguise a URL or what follows them.
# Right-to-left scripts do not need them. Marks of a direction are dropped; joiners stay.
_UNSAFE |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")
_UNSAFE |= dict.fromkeys((0x061C, 0x200E, 0x200F))


def printable(text: str) -> str:
    """Replace or drop characters that a terminal could take for commands."""
    return text.translate(_UNSAFE)


def in_one_line(text: str, limit: int = 1_000) -> str:
    """Return text as one line that is safe to print, with at most `limit` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
