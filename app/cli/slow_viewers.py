"""A listening socket comes in; connections to it are cut once their peer has long read nothing.

A send that takes too long is given up by the reply itself. But a connection that is then closed
stays, with all that is unsent, for as long as the peer's window is shut; and a peer that vanished
without a word counts as a viewer for a quarter of an hour. Only the kernel can end both.
"""

import socket


def cut_off_after(listener: socket.socket, seconds: float) -> None:
    """Have the kernel drop a connection whose peer takes nothing of what it is sent for so long.

    Connections inherit it from the socket that listens. Where the kernel cannot (other systems
    than Linux, other sockets than TCP) they stay until the peer closes.
    """
    if listener.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = max(1, round(seconds * 1_000))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
