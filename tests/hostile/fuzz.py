"""Random HTTP requests: some valid, most not."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from urllib.parse import quote

from tests.service import CHAT

METHODS = ("GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS", "TRACE", "get", "G\0T", "CONNECT", "")
TURN = f"t_{'0' * 32}"
PATHS = (
    *("/", CHAT, f"{CHAT}/{TURN}", f"{CHAT}/{TURN}?ticket=x", "/api/v1/conversations/1", "/docs"),
    *(
        "/api/v1/creators?prefix=",
        "/api/v1/search?q=",
        "/healthz",
        "/openapi.json",
        "*",
        "http://a/",
    ),
    *("/static/x/page.js", "/static/../../etc/passwd", "/%00", "/%ff", "//", "/api/v1/chat/%2e%2e"),
)
HEADERS: Mapping[str, Sequence[str]] = {
    "Host": ("localhost", "localhost", "evil.example", "", "a b"),
    "Accept": ("*/*", "text/event-stream;q=0", ";;,"),
    "Authorization": ("Bearer x", "Bearer a.b.c", "Basic YTpi", "Bearer "),
    "Connection": ("close", "keep-alive", "upgrade"),
    "Content-Encoding": ("gzip", "br"),
    "Content-Type": ("application/json", "application/json", "text/plain", ""),
    "Cookie": ("chrysopedia=x", "chrysopedia=" + "a" * 4_000, ";;=;"),
    "Expect": ("100-continue", "x"),
    "Idempotency-Key": ("k", "", "\xe9", "a" * 300),
    "Last-Event-ID": (f"{TURN}-0", f"{TURN}-00", f"{TURN}-999999999", "x", "\xff"),
    "Transfer-Encoding": ("chunked", "gzip, chunked", "x"),
    "Upgrade": ("websocket", "h2c"),
    "X-Forwarded-For": ("127.0.0.1", "::1", ",,,"),
    "traceparent": ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "x"),
}
CHARACTERS = "aé漢\u202e\U0001f600\u0301'\"\\&|!:*<>()%\x01\x7f\u2028ﷺİß\ufeff-./@1½٣\u200d{}$\0 "


def malformed(random: Random) -> bytes:
    """Return a request."""
    body = _body(random)
    lines = [f"{random.choice(METHODS[:4] if random.random() < 0.7 else METHODS)} {_path(random)}"]
    lines[0] += random.choice((" HTTP/1.1",) * 8 + (" HTTP/1.0", " HTTP/9.9", "", " http/1.1"))
    for name, values in HEADERS.items():
        if random.random() < (0.9 if name == "Host" else 0.2):
            lines.append(f"{name}: {random.choice(values)}")
    if body or random.random() < 0.1:
        lines.append(f"Content-Length: {len(body) + random.choice((0,) * 8 + (5, -1, 1 << 40))}")
    data = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body
    if random.random() < 0.1:
        changed = bytearray(data)
        for _ in range(3):
            changed[random.randrange(len(changed))] = random.randrange(256)
        data = bytes(changed)
    return data * random.choice((1,) * 9 + (5,))


def _text(random: Random, length: int) -> str:
    return "".join(random.choices(CHARACTERS, k=random.randint(0, length)))


def _path(random: Random) -> str:
    path = random.choice(PATHS)
    return path + quote(_text(random, 40)) if path.endswith("=") else path


def _body(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.4:
        return b""
    if kind < 0.6:
        return random.randbytes(random.randint(1, 300))
    if kind < 0.7:
        return b"[" * random.choice((10, 10_000, 100_000))
    fields = {"query": _text(random, 60), "creator": _text(random, 9), "conversation_id": "1"}
    return json.dumps(fields, ensure_ascii=random.random() < 0.5).encode()
