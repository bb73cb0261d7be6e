"""Decompress the body of a response piece by piece."""

import zlib
from collections.abc import Iterator

from app.infra.http.errors import BadResponse

# The largest piece in bytes that `decompress` yields, so that its caller can stop early.
MAX_PIECE = 1 << 20
_UNSUPPORTED = {"br", "zstd", "compress", "x-compress", "dcb", "dcz"}
# The first byte of gzip; no text begins with it.
_GZIP_MAGIC = b"\x1f"


def decompressor_for(content_encoding: str) -> "Decompressor | None":
    """Return the decompressor for a Content-Encoding header, None if it is empty.

    Raises BadResponse for an encoding that is known but not supported.
    """
    names = {name.strip().lower() for name in content_encoding.split(",")}
    if names & _UNSUPPORTED or {"gzip", "deflate"} <= names:
        raise BadResponse("the content encoding is not supported")
    return Decompressor(deflate="deflate" in names) if names != {""} else None


class Decompressor:
    """Decompress one body. Servers send gzip or deflate even if asked for neither.

    Some proxies invent names ("none", "utf-8"), or keep the name after decompressing: except for
    deflate, which has no magic number, the first byte decides whether the body is compressed.
    """

    def __init__(self, *, deflate: bool = False) -> None:
        self._deflate = deflate
        self._plain = False
        self._zlib: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        """Whether the compressed data is complete, or there is none."""
        return self._zlib is None or self._zlib.eof

    def decompress(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes decompress to; data after the end is ignored.

        Raises BadResponse if the data is corrupt.
        """
        if self._zlib is None and not self._plain:
            self._start(data)
        if self._zlib is None:
            yield data
            return
        while True:
            if self._zlib.eof:
                # A gzip file may consist of several members (RFC 1952, 2.2).
                if data[:1] != _GZIP_MAGIC:
                    return
                self._zlib = _gunzip()
            try:
                piece = self._zlib.decompress(data, MAX_PIECE)
            except zlib.error:
                raise BadResponse("the compressed body is corrupt") from None
            if piece:
                yield piece
            data = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            # After a full piece zlib may hold more output even if it has consumed all input.
            if not data and (len(piece) < MAX_PIECE or self._zlib.eof):
                return

    def _start(self, data: bytes) -> None:
        if data[:1] == _GZIP_MAGIC:
            self._zlib = _gunzip()
        elif self._deflate:
            # Some servers send deflate without the zlib header.
            has_header = data[0] & 0x0F == 8
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        else:
            self._plain = True


def _gunzip() -> "zlib._Decompress":
    return zlib.decompressobj(zlib.MAX_WBITS | 16)
