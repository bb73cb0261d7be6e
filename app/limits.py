"""Limits and formats of request data, shared by validation and the OpenAPI document."""

# In characters (code points).
QUERY_LIMIT = 1_000
CREATOR_LIMIT = 200
# Of an Idempotency-Key from a caller without identity.
MIN_SHARED_KEY = 16
# In bytes.
BODY_LIMIT = 16 * 1024

# Regular expressions for a whole string, in the syntax that Python, JavaScript and Rust share.
# The characters that `str.strip` removes; `\s` differs between the three.
WHITE_SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CONVERSATION_ID = "[A-Za-z0-9_-]{1,64}"
TURN_ID = "t_[0-9a-f]{32}"
EVENT_ID = f"{TURN_ID}-[0-9]{{1,9}}"
REQUEST_ID = "[A-Za-z0-9._:/+=-]{1,128}"
IDEMPOTENCY_KEY = r"[\x21-\x7e]{1,200}"
# An end user, or a user named by a proxy: visible ASCII characters, with spaces between them.
SUBJECT = r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?"


def full_match(expression: str) -> str:
    """Anchor an expression at both ends, for JSON Schema's `pattern`."""
    return f"^{expression}$"


def trimmed_text(limit: int) -> str:
    """Return an expression for 1 to `limit` characters but NUL, within optional white space."""
    inner = rf"[^{WHITE_SPACE}\x00]"
    return rf"[{WHITE_SPACE}]*{inner}(?:[^\x00]{{0,{limit - 2}}}{inner})?[{WHITE_SPACE}]*"
