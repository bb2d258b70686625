"""A connected socket's addresses and options, by Twisted's names; its bytes are the transport's."""

from __future__ import annotations

from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address

from meshgate.transport.lean.sockets import Socket


class LeanSocket:
    """
    The half of a transport that is used only now and then.

    :ivar nagle: the kernel may delay small writes (Nagle's algorithm, RFC 896).
    """

    __slots__ = ("_peer", "nagle", "socket")

    def __init__(self, sock: Socket, peer: tuple[Any, ...] | None) -> None:
        self.socket = sock
        self.nagle = False
        self._peer = peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """Our own address."""
        return _address(self.socket.getsockname())

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The peer's address."""
        if self._peer is None:
            self._peer = self.socket.getpeername()
        return _address(self._peer)

    def getTcpNoDelay(self) -> bool:
        """Return True if the kernel sends small writes at once."""
        return bool(self.socket.getsockopt(IPPROTO_TCP, TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Have the kernel send small writes at once, or not."""
        self.nagle = not enabled
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return True if the kernel probes a silent peer."""
        return bool(self.socket.getsockopt(SOL_SOCKET, SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Have the kernel probe a silent peer, or not."""
        self.socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, enabled)

    def getHandle(self) -> Socket:
        """The socket."""
        return self.socket


def _address(name: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    return IPv6Address("TCP", *name) if len(name) > 2 else IPv4Address("TCP", *name)
