"""
Probes on idle connections, with times of their own.

Knows socket options; knows nothing of whose wish they are.
"""

from __future__ import annotations

import socket
from typing import Final

from meshgate.routing.connection_policy import Keepalive

_OPTIONS: Final = (("TCP_KEEPCNT", "probes"), ("TCP_KEEPIDLE", "time"), ("TCP_KEEPINTVL", "interval"))


def keep_alive(connection: socket.socket, keepalive: Keepalive) -> None:
    """
    Have a connection probed. What a system cannot set stays the system's own.

    :param connection: a TCP connection; one that is already lost is left alone.
    """
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, field in _OPTIONS:
            value = getattr(keepalive, field)
            if value and hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    except OSError:
        return
