"""Decompress the body of a response piece by piece."""

import zlib
from collections.abc import Iterator

from app.infra.http.errors import BadResponse

CONTENT_ENCODINGS = ("identity", "gzip", "x-gzip", "deflate")
# The largest piece in bytes that `decompress` yields, so that its caller can stop early.
MAX_PIECE = 1 << 20


class Decompressor:
    """Decompress one body. Servers send gzip or deflate even if asked for neither."""

    def __init__(self) -> None:
        self._zlib: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        """Whether the compressed data is complete, or empty."""
        return self._zlib is None or self._zlib.eof

    def decompress(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes decompress to; data after the end is ignored.

        Raises BadResponse if the data is corrupt.
        """
        if self._zlib is None:
            # Some servers send deflate without the zlib header.
            has_header = data[0] == 0x1F or data[0] & 0x0F == 8
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32 if has_header else -zlib.MAX_WBITS)
        full = True
        while full and not self._zlib.eof:
            try:
                piece = self._zlib.decompress(data, MAX_PIECE)
            except zlib.error:
                raise BadResponse("the compressed body is corrupt") from None
            # After a full piece zlib may hold more output even if it has consumed all input.
            data, full = self._zlib.unconsumed_tail, len(piece) == MAX_PIECE
            if piece:
                yield piece
