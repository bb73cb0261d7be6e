"""The bytes of the model's answers and of the clients' requests.

A token's text is its number and the time it was due, in microseconds of the monotonic clock, so
that a viewer can check order and lateness: ` 0017.000001234567890`.
"""

import hashlib
import re
from time import monotonic

import msgspec
from msgspec import Struct

from app.services.access.conversation_ids import ConversationIds

# Questions that the sample library answers.
QUESTIONS = (
    "How fast should the attack be when I side-chain the bass to the kick?",
    "How much headroom should a mix have before mastering?",
    "How far from the twelfth fret do I place a microphone for an acoustic guitar?",
    "Where does sibilance lie, and how is a de-esser set?",
    "How much swing should hip-hop drums have?",
    "How wide is a real double of a vocal?",
)
# The service's request to rewrite a follow-up; the model answers it with the question itself.
FOLLOW_UP = re.compile(rb'Rewrite the last question.*Last question: ([^"]*)"', re.DOTALL)
TOKEN = re.compile(rb' (\d{4})\.(\d{15})(?=[" ])')
# One chunk of a model's answer; all token chunks have the same length.
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
    """How the model sends the `tokens` of each answer.

    Without `rate` and `steps` it sends all of them at once. Otherwise it sends the first token at
    once. With `rate` alone the rest follow at `rate` tokens a second per stream, once `streams`
    requests have arrived. With `steps`, each STEP of the client sends one token: to the next
    stream, no faster than `rate` allows, or to all streams if there is no rate.
    """

    tokens: int
    rate: float = 0
    streams: int = 0
    steps: bool = False


def token_chunk(number: int, due: float) -> bytes:
    """Return the chunk of a token; `due` is in seconds of the monotonic clock."""
    return _CHUNK % (number, int(due * 1e6))


def whole_answer(text: bytes) -> bytes:
    """Return a complete answer of one text, which must be JSON-escaped."""
    event = _EVENT % (b'{"content":"%b"}' % text, b"null")
    return HEAD + b"%x\r\n%b\r\n" % (len(event), event) + end_chunk(1)


def end_chunk(tokens: int) -> bytes:
    """Return the end of an answer: finish reason, usage and `[DONE]`."""
    data = _EVENT % (b"{}", b'"stop"')
    data += (
        b'data: {"choices":[],"usage":{"prompt_tokens":900,"completion_tokens":%d}}\n\n' % tokens
    )
    data += b"data: [DONE]\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data) + END


def question(
    number: int,
    path: str,
    conversation: str = "",
    ids: ConversationIds | None = None,
    key: str = "",
) -> bytes:
    """Return the request that asks a question; its conversation id is unique by default.

    The service continues only conversations with ids of its own.
    """
    conversation = f"{conversation or int(monotonic() * 1e6)}-{number}"
    random = hashlib.sha256(conversation.encode()).hexdigest()[:32]
    body = msgspec.json.encode(
        {
            "query": QUESTIONS[number % len(QUESTIONS)],
            # An id makes the server look up the history even of a new conversation.
            "conversation_id": ids.of(random) if ids else random,
        }
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
