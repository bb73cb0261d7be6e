"""The bytes of the model's answers and of the clients' questions. Pure.

A token's text is its position in the answer and the time it was due, so that its viewer can check
order and lateness: ` 0017.000001234567890`, in microseconds of the machine's monotonic clock.
"""

import re
from time import monotonic

import msgspec
from msgspec import Struct

# Topics of the sample library.
QUESTIONS = (
    "How fast should the attack be when I side-chain the bass to the kick?",
    "How much headroom should a mix have before mastering?",
    "How far from the twelfth fret do I place a microphone for an acoustic guitar?",
    "Where does sibilance lie, and how is a de-esser set?",
    "How much swing should hip-hop drums have?",
    "How wide is a real double of a vocal?",
)
# How the service asks the model to rewrite a follow-up: the question itself is a good answer.
FOLLOW_UP = re.compile(rb'Rewrite the last question.*Last question: ([^"]*)"', re.DOTALL)
TOKEN = re.compile(rb' (\d{4})\.(\d{15})(?=[" ])')
# The position of a token's text in a chunk; its length is always the same.
_EVENT = (
    b'data: {"id":"chatcmpl-9fb2c1d47a","object":"chat.completion.chunk","created":1750000000,'
    b'"model":"scripted","system_fingerprint":"fp_44709d6fcb",'
    b'"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}\n\n'
)
_TOKEN_SIZE = len(_EVENT % (b'{"content":" 0000.000000000000000"}', b"null"))
_CHUNK = b"%x\r\n%b\r\n" % (_TOKEN_SIZE, _EVENT % (b'{"content":" %04d.%015d"}', b"null"))
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"


class Script(Struct, frozen=True):
    """The model's answer: the number of `tokens`, and their timing.

    Without `rate` and `steps`, all tokens are sent at once. Otherwise the first token is sent at
    once, and the others at `rate` per second, as soon as `streams` clients have asked. With
    `steps`, each step of the clients sends the next token to the next stream, not faster than the
    rate; without a rate it sends one to all streams.
    """

    tokens: int
    rate: float = 0
    streams: int = 0
    steps: bool = False


def token(place: int, due: float) -> bytes:
    """Return the chunk of a token that is due at this time, in seconds."""
    return _CHUNK % (place, int(due * 1e6))


def written(text: bytes) -> bytes:
    """Return a complete answer with this text, which is escaped as in JSON."""
    event = _EVENT % (b'{"content":"%b"}' % text, b"null")
    return HEAD + b"%x\r\n%b\r\n" % (len(event), event) + last(1)


def last(tokens: int) -> bytes:
    """Return the chunks that end an answer: finish reason, usage and [DONE]."""
    data = _EVENT % (b"{}", b'"stop"')
    data += (
        b'data: {"choices":[],"usage":{"prompt_tokens":900,"completion_tokens":%d}}\n\n' % tokens
    )
    data += b"data: [DONE]\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data) + END


def question(number: int, path: str, conversation: str = "") -> bytes:
    """Return the request with the question of this number, in this conversation."""
    conversation = conversation or f"bench-{int(monotonic() * 1e6)}"
    body = msgspec.json.encode(
        {
            "query": QUESTIONS[number % len(QUESTIONS)],
            # With a name, so that the service looks up a conversation, although it is empty.
            "conversation_id": f"{conversation}-{number}",
        }
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
