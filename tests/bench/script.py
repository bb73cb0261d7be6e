"""What the model is to say and what the clients are to ask come in; their bytes go out. Pure.

A token's text is its place in the answer and the moment it was due, so that its viewer can tell
both order and lateness: ` 0017.000001234567890`, in microseconds of the machine's own clock.
"""

import re
from time import monotonic

import msgspec
from msgspec import Struct

# What the sample library has something to say on.
QUESTIONS = (
    "How fast should the attack be when I side-chain the bass to the kick?",
    "How much headroom should a mix have before mastering?",
    "How far from the twelfth fret do I place a microphone for an acoustic guitar?",
    "Where does sibilance lie, and how is a de-esser set?",
    "How much swing should hip-hop drums have?",
    "How wide is a real double of a vocal?",
)
# What a service asks that wants a follow-up written out: the question is a good answer.
FOLLOW_UP = re.compile(rb'Rewrite the last question.*Last question: ([^"]*)"', re.DOTALL)
TOKEN = re.compile(rb' (\d{4})\.(\d{15})(?=[" ])')
# A reply of the model has a token's text here, and its length is always the same.
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
    """What the model says to each who asks: `tokens`, and how.

    With neither `rate` nor `steps` all at once. Else the first token is said at once, and the
    others `rate` a second to each, from when `streams` have asked. With `steps` they wait for the
    clients to say so each time: then the next stream has its next token, no sooner than at that
    rate; without a rate all streams have theirs.
    """

    tokens: int
    rate: float = 0
    streams: int = 0
    steps: bool = False


def token(place: int, due: float) -> bytes:
    """Make the chunk of a token that is due then, in seconds."""
    return _CHUNK % (place, int(due * 1e6))


def written(text: bytes) -> bytes:
    """Make a whole answer of any one text, which is escaped as in JSON."""
    event = _EVENT % (b'{"content":"%b"}' % text, b"null")
    return HEAD + b"%x\r\n%b\r\n" % (len(event), event) + last(1)


def last(tokens: int) -> bytes:
    """Make the chunks that end an answer: the reason, the count, and that this is all."""
    data = _EVENT % (b"{}", b'"stop"')
    data += (
        b'data: {"choices":[],"usage":{"prompt_tokens":900,"completion_tokens":%d}}\n\n' % tokens
    )
    data += b"data: [DONE]\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data) + END


def question(number: int, path: str, conversation: str = "") -> bytes:
    """Make the request that asks the question of this number, the next in that conversation."""
    conversation = conversation or f"bench-{int(monotonic() * 1e6)}"
    body = msgspec.json.encode(
        {
            "query": QUESTIONS[number % len(QUESTIONS)],
            # Named, so that there is a conversation to look up, though nothing was said in it.
            "conversation_id": f"{conversation}-{number}",
        }
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
