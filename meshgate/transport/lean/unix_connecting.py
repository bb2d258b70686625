"""Connections to Unix sockets for lean transports, which are there at once or not at all."""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from meshgate.transport.dialing import unix_name
from meshgate.transport.lean.sockets import Socket

_AT_ONCE: Final = socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0)


def connect_unix(address: str, first: bytes) -> tuple[Socket, int, int]:
    """
    Connect to a Unix socket, and send the first bytes. The arguments and the result are those of
    :func:`meshgate.transport.lean.sockets.connect`, but the connection is established if there is no error.

    :raises OSError: when the kernel gives no socket, or the name is too long.
    """
    made: Any = socket.socket(socket.AF_UNIX, _AT_ONCE)
    try:
        number = made.connect_ex(unix_name(address))
    except BaseException:
        made.close()
        raise
    sent = 0
    if not number and first:
        try:
            sent = made.send(first)
        except BlockingIOError:
            pass
        except OSError as error:
            number = error.errno or errno.EIO
    return Socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, made.detach()), number, sent
