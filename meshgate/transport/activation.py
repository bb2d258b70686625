"""
Activated sockets: listening sockets that a service manager has opened before the gateway, and passes on.

The problem: systemd keeps such a socket open whatever becomes of the gateway, so that no client is refused while it
restarts. Whoever closes or shuts down the socket here takes the port away from systemd as well; and if nobody accepts,
clients wait in a queue that nobody reads.

The approach: :func:`activated_sockets` checks what was passed on. A listener whose address is that of a socket gets it
in place of a new one, and all workers accept on this one socket; it is only ever closed here, never shut down
(:mod:`meshgate.transport.ports`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Final

from meshgate.processes.launch import StartError
from meshgate.processes.service_manager import PassedOn
from meshgate.routing.addresses import UNIX_PREFIX, host_port
from meshgate.routing.connection_policy import Keepalive
from meshgate.routing.table import ListenerKey
from meshgate.transport.binding import Binding, defer_accept
from meshgate.transport.dialing import unix_name
from meshgate.transport.keepalive import keep_alive

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class ActivatedSocket:
    """
    One activated socket.

    :param listening: the socket, which listens.
    :param name: its name: ``FileDescriptorName`` of the socket unit.
    :ivar key: its address, as a listener's.
    """

    def __init__(self, listening: socket.socket, name: str) -> None:
        self.listening = listening
        self.name = name
        self._both_families = listening.family == socket.AF_INET6 and not listening.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        )
        self.key = _key(listening)

    def __str__(self) -> str:
        return f"{self.key} ({self.name})"

    def is_for(self, binding: Binding | str) -> bool:
        """
        Return True if the socket is just what would be opened.

        :param binding: an address and port, or a Unix socket as ``unix:///path``.
        """
        listening = self.listening
        if isinstance(binding, str):
            return listening.family == socket.AF_UNIX and _name(listening) == os.fsencode(unix_name(binding))
        if listening.family != binding.family:
            return False
        try:
            same = listening.getsockname() == binding.address()
        except OSError:  # an IPv6 zone that does not exist
            return False
        # Only the unspecified address takes IPv4 connections.
        return same and (self._both_families == binding.both_families or listening.getsockname()[0] != "::")

    def conflict(self, binding: Binding) -> str:
        """Tell how the socket is in the way of what would be opened; "" if it is not."""
        if self.listening.family == socket.AF_UNIX:
            return ""
        host, port = self.listening.getsockname()[:2]
        if port != binding.port or not binding.overlaps(host):
            return ""
        wanted = f"ListenStream={host_port(binding.host, binding.port)}"
        if binding.host == "::":
            wanted += f" and BindIPv6Only={'both' if binding.both_families else 'ipv6-only'}"
        return f"the activated socket {self} is in the way; the listener needs one with {wanted}"

    def copies(self, number: int, keepalive: Keepalive | None) -> list[socket.socket]:
        """
        Return descriptors of the socket, whose connections will be accepted as they come.

        :param keepalive: the probes of the connections that will be accepted; None for none.
        """
        listening = self.listening
        listening.setblocking(False)
        if listening.family != socket.AF_UNIX:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(listening, keepalive)
            defer_accept(listening, False)
        return [listening.dup() for _ in range(number)]


def activated_sockets(passed_on: Iterable[PassedOn]) -> list[ActivatedSocket]:
    """
    Take the sockets that a service manager has passed on. No child inherits them.

    :raises StartError: if a descriptor is no socket that a listener could use.
    """
    activated: list[ActivatedSocket] = []
    for number, name in passed_on:
        each = ActivatedSocket(_checked(number, name), name)
        if any(each.key == other.key for other in activated):
            raise StartError(f"socket activation: {each.key} was passed on twice; ReusePort= must not be set")
        activated.append(each)
    return activated


def _checked(number: int, name: str) -> socket.socket:
    """The socket of a descriptor, if listeners can use it."""
    subject = f"socket activation: descriptor {number} ({name})"
    try:
        os.set_inheritable(number, False)
    except OSError:
        raise StartError(f"{subject} is not open, although LISTEN_FDS counts it") from None
    try:
        listening = socket.socket(fileno=number)
    except OSError:
        raise StartError(f"{subject} is no socket; only ListenStream= can be used") from None
    if listening.family not in _FAMILIES or listening.type != socket.SOCK_STREAM:
        raise StartError(f"{subject} is no TCP socket and no stream socket of Unix; only ListenStream= can be used")
    if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise StartError(f"{subject} does not listen; the socket unit has to say Accept=no")
    return listening


def _name(listening: socket.socket) -> bytes:
    return os.fsencode(listening.getsockname())


def _key(listening: socket.socket) -> ListenerKey:
    if listening.family == socket.AF_UNIX:
        name = os.fsdecode(_name(listening))
        return ListenerKey(UNIX_PREFIX + (f"@{name[1:]}" if name.startswith("\0") else name), 0)
    host, port, *scope = listening.getsockname()
    zone = f"%{socket.if_indextoname(scope[1])}" if len(scope) > 1 and scope[1] else ""
    return ListenerKey(host + zone, port)
