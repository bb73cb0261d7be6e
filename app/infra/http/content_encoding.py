"""The compressed body of a response comes in, piece by piece; what it holds goes out."""

import zlib
from collections.abc import Iterator

CODINGS = ("identity", "gzip", "x-gzip", "deflate")
# Bytes that are given at once, however small they came.
INFLATED_LIMIT = 1 << 20


class BadResponse(Exception):
    """A response that cannot be taken; the message holds nothing that the server sent."""


class Inflater:
    """Opens a body that is compressed by gzip or deflate, which nobody asked for, piece by piece.

    `ended` once its own end has come; what follows is passed over.
    """

    def __init__(self) -> None:
        self._zlib: zlib._Decompress | None = None

    @property
    def ended(self) -> bool:
        """Whether the body has come to its own end, or nothing has come at all."""
        return self._zlib is None or self._zlib.eof

    def inflate(self, data: bytes) -> Iterator[bytes]:
        """Give what comes out, at most INFLATED_LIMIT at a time: the taker may have enough."""
        if self._zlib is None:
            # Gzip and zlib tell what they are; some send deflate without any header.
            named = data[0] == 0x1F or data[0] & 0x0F == 8
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32 if named else -zlib.MAX_WBITS)
        full = True
        while full and not self._zlib.eof:
            try:
                out = self._zlib.decompress(data, INFLATED_LIMIT)
            except zlib.error:
                raise BadResponse("its compressed body is broken") from None
            # At the limit zlib may hold more even when it has taken all that it was given.
            data, full = self._zlib.unconsumed_tail, len(out) == INFLATED_LIMIT
            if out:
                yield out
