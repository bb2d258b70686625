"""
Keepalive: probes that the kernel sends on a connection on which nothing is said.

Clients' connections inherit the probes of the socket that accepted them, where the system is Linux; an endpoint's get
theirs once they have lived some seconds. So a short connection pays nothing for them.
"""

from __future__ import annotations

import socket
import sys
from typing import Any, Final

from meshgate.routing.connection_policy import Keepalive

INHERITED: Final = sys.platform == "linux"
"""Accepted connections have the probes of the socket that accepted them."""

_TCP_KEEPIDLE: Final = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))  # the latter on macOS
_TCP_KEEPINTVL: Final = getattr(socket, "TCP_KEEPINTVL", None)
_TCP_KEEPCNT: Final = getattr(socket, "TCP_KEEPCNT", None)
_OPTIONS: Final = ((_TCP_KEEPIDLE, "time"), (_TCP_KEEPINTVL, "interval"), (_TCP_KEEPCNT, "probes"))


def keep_alive(connection: Any, keepalive: Keepalive | None) -> None:
    """
    Have a connection probed, or those that a listening socket will accept. What a system cannot set stays its own.

    :param connection: a TCP socket; one that is already lost is left alone.
    :param keepalive: None for no probes.
    """
    try:
        for option, field in _OPTIONS if keepalive is not None else ():
            value = getattr(keepalive, field)
            if value and option is not None:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
        # Last: probes that begin before would wait for each other as long as the system has it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keepalive is not None)
    except OSError:
        return


def patience(connection: Any, keepalive: Keepalive) -> float:
    """
    Count the seconds of silence after which probes give a connection up.

    :param connection: a socket with these probes, which is asked for what they leave to the system.
    """
    time, interval, probes = (
        getattr(keepalive, field) or (connection.getsockopt(socket.IPPROTO_TCP, option) if option is not None else 0)
        for option, field in _OPTIONS
    )
    return float(time + interval * probes)
