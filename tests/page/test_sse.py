"""The page's SSE parser returns the same events however the stream is split."""

import pytest

from tests.page.reader import Reader

pytestmark = pytest.mark.anyio

STREAM = (
    ": ping{end}{end}"
    'id: t-0{end}event: token{end}data: "a\u2028b\u2029c\u0085d 𝄞"{end}{end}'
    "id:t-1{end}event:token{end}data:one{end}data: two{end}unknown: x{end}data{end}{end}"
    "event: empty{end}{end}"
    "data: last{end}{end}"
    "data: cut off"
)
EVENTS = [
    {"id": "t-0", "name": "token", "data": '"a\u2028b\u2029c\u0085d 𝄞"'},
    {"id": "t-1", "name": "token", "data": "one\ntwo\n"},
    {"id": "t-1", "name": "message", "data": "last"},
]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
async def test_every_split_of_a_stream_gives_the_same_events(reader: Reader, end: str) -> None:
    parsed = await reader.page.evaluate(
        """async ([from, stream]) => {
          const { eventsOf } = await import(from);
          const bytes = new TextEncoder().encode(stream);
          const all = new Set();
          for (const size of [1, 2, 3, 7, bytes.length]) {
            const body = new ReadableStream({
              start(controller) {
                for (let at = 0; at < bytes.length; at += size)
                  controller.enqueue(bytes.slice(at, at + size));
                controller.close();
              },
            });
            const events = [];
            for await (const event of eventsOf(new Response(body), () => {})) events.push(event);
            all.add(JSON.stringify(events));
          }
          return Array.from(all, JSON.parse);
        }""",
        [await reader.module("sse.js"), STREAM.replace("{end}", end)],
    )
    assert parsed == [EVENTS]
