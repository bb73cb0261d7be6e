"""The rules of what clients send: the code checks by them, and the OpenAPI document tells them."""

QUERY_LIMIT = 1_000
CREATOR_LIMIT = 200
# Bytes of a body.
BODY_LIMIT = 16 * 1024

# Regular expressions, for the whole of a text; JavaScript, Rust and Python read them alike.
# What `str.strip` takes away: by `\s` each language has its own.
SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CONVERSATION_ID = "[A-Za-z0-9_-]{1,64}"
TURN_ID = "t_[0-9a-f]{32}"
EVENT_ID = f"{TURN_ID}-[0-9]{{1,9}}"
REQUEST_ID = "[A-Za-z0-9._:/+=-]{1,128}"
IDEMPOTENCY_KEY = r"[\x21-\x7e]{1,200}"


def whole(expression: str) -> str:
    """Write an expression for the whole of a text as JSON Schema wants it, which searches."""
    return f"^{expression}$"


def trimmed(limit: int) -> str:
    """Write an expression for a text without NUL of 1 to `limit` characters, and space around."""
    inner = rf"[^{SPACE}\x00]"
    return rf"[{SPACE}]*{inner}(?:[^\x00]{{0,{limit - 2}}}{inner})?[{SPACE}]*"
