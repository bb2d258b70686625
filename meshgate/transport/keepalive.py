"""
Keepalive: probes that the kernel sends on an idle connection.

On Linux, a client's connection inherits the probes of its listening socket. A connection to an endpoint gets its probes
once it has lived some seconds. So a short connection pays nothing for them.
"""

from __future__ import annotations

import socket
import sys
from typing import Any, Final

from meshgate.routing.connection_policy import Keepalive

INHERITED: Final = sys.platform == "linux"
"""True if accepted connections inherit the probes of the listening socket."""

_TCP_KEEPIDLE: Final = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))  # the latter on macOS
_TCP_KEEPINTVL: Final = getattr(socket, "TCP_KEEPINTVL", None)
_TCP_KEEPCNT: Final = getattr(socket, "TCP_KEEPCNT", None)
_OPTIONS: Final = ((_TCP_KEEPIDLE, "time"), (_TCP_KEEPINTVL, "interval"), (_TCP_KEEPCNT, "probes"))


def keep_alive(connection: Any, keepalive: Keepalive | None) -> None:
    """
    Set the probes of a connection, or of those that a listening socket will accept. Values that the system cannot set
    stay the system's.

    :param connection: a TCP socket; nothing is done if its connection is lost already.
    :param keepalive: None for no probes.
    """
    try:
        for option, field in _OPTIONS if keepalive is not None else ():
            value = getattr(keepalive, field)
            if value and option is not None:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
        # Last: probes that begin earlier wait for the system's interval first.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keepalive is not None)
    except OSError:
        return


def patience(connection: Any, keepalive: Keepalive) -> float:
    """
    Return the seconds of silence after which probes give a connection up.

    :param connection: a socket with these probes; it tells the values that they leave to the system.
    """
    time, interval, probes = (
        getattr(keepalive, field) or (connection.getsockopt(socket.IPPROTO_TCP, option) if option is not None else 0)
        for option, field in _OPTIONS
    )
    return float(time + interval * probes)
