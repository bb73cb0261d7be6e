"""What hostile clients do: each attack is one round, which is repeated until the run ends."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import TypeAlias
from urllib.parse import quote

from msgspec import Struct

from tests.hostile.fuzz import malformed
from tests.hostile.model import KINDS
from tests.service import CHAT
from tests.soak import script

# Seconds that an attacker waits for a reply, or keeps a connection open.
PATIENCE = 5.0
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Attacker(Struct, frozen=True):
    """Sends from one address to all workers, and counts the replies by status."""

    address: str
    ports: tuple[int, ...]
    random: Random
    replies: Counter[str]

    async def connect(self) -> Streams:
        """Open a connection to a random worker."""
        port = self.random.choice(self.ports)
        return await asyncio.open_connection("127.0.0.1", port, local_addr=(self.address, 0))

    async def send(self, data: bytes, *, whole: bool = False) -> None:
        """Send data and read the first part of the reply, or all of it."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
                line = await reader.readline()
                while whole and await reader.read(1 << 16):
                    pass
            self.replies[line[9:12].decode("latin-1") or "closed"] += 1
        except TimeoutError:
            self.replies["no reply"] += 1
        finally:
            writer.transport.abort()

    async def trickle(self, start: bytes, more: bytes, pause: float) -> None:
        """Send data slowly until the worker closes the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(start)
            for _ in range(int(4 * PATIENCE / pause)):
                await asyncio.sleep(pause)
                if reader.at_eof() or writer.is_closing():
                    break
                writer.write(more)
                await writer.drain()
            line = await asyncio.wait_for(reader.readline(), PATIENCE)
            self.replies[line[9:12].decode("latin-1") or "closed"] += 1
        except TimeoutError:
            self.replies["no reply"] += 1
        finally:
            writer.transport.abort()


Attack: TypeAlias = Callable[[Attacker], Awaitable[None]]


def post(query: str) -> bytes:
    """Return a request that asks a question."""
    body = json.dumps({"query": query}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


async def fuzz(attacker: Attacker) -> None:
    """Send a malformed or unusual request."""
    await attacker.send(malformed(attacker.random))


async def slow_clients(attacker: Attacker) -> None:
    """Send a head, a body or nothing, byte by byte."""
    start = attacker.random.choice((b"", b"GET / HTTP/1.1\r\nX: ", post("?" * 900)[:-800]))
    await attacker.trickle(start, b"a", 0.5)


async def header_flood(attacker: Attacker) -> None:
    """Send headers without end."""
    more = attacker.random.choice((b"a" * 16_000, b"X-A: b\r\n" * 1_000, b"\r\n\r\n" * 1_000))
    await attacker.trickle(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", more, 0.02)


async def hung_up_posts(attacker: Attacker) -> None:
    """Ask a question that starts a turn, and leave at once."""
    _, writer = await attacker.connect()
    writer.write(post(script.QUESTIONS[attacker.random.randrange(len(script.QUESTIONS))]))
    await writer.drain()
    writer.transport.close()
    attacker.replies["not read"] += 1


async def hostile_answers(attacker: Attacker) -> None:
    """Ask a question that the model gives a hostile answer to, and read the stream."""
    kind = attacker.random.choice(KINDS)
    await attacker.send(post(f"{script.QUESTIONS[0]} (kind {kind})"), whole=True)


async def searches(attacker: Attacker) -> None:
    """Search for long questions: CJK, rare words, common words, operators."""
    random = attacker.random
    query = random.choice(
        (
            "".join(chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(1_000)),
            " ".join("".join(random.choices("abcdefghij", k=4)) for _ in range(200)),
            ("compression vocal mix bass drum room reverb mastering kick attack " * 16)[:1_000],
            ("a&b|!c:*<->\\'(" * 70)[:1_000],
        )
    )
    path = random.choice(("/api/v1/search?q=", "/api/v1/creators?prefix="))
    await attacker.send(get(path + quote(query if "search" in path else query[:200])))


# Attacks with the number of clients that repeat each, and their pause in seconds.
ATTACKS: Mapping[str, tuple[Attack, int, float]] = {
    "fuzz": (fuzz, 3, 0.05),
    "slow clients": (slow_clients, 150, 1.0),
    "header flood": (header_flood, 3, 0.2),
    "hung-up questions": (hung_up_posts, 3, 0.1),
    "hostile answers": (hostile_answers, 6, 0.1),
    "searches": (searches, 3, 0.1),
}


async def repeat(attack: Attack, attacker: Attacker, pause: float) -> None:
    """Attack until cancelled; a refused or cut connection is a success of the service."""
    while True:
        try:
            await attack(attacker)
        except (OSError, asyncio.LimitOverrunError, ValueError) as error:
            attacker.replies[type(error).__name__] += 1
        await asyncio.sleep(pause)
