"""
The ports of the control process itself: those of its API, its metrics and the lab, which outlast it in an upgrade.

Twisted shuts a socket down when it stops to listen on it, in all processes that share it. So the sockets are made here,
and the reactor only gets copies.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.error import CannotListenError

from meshgate.transport.binding import Binding

Wanted = tuple[str, int]
"""An IP address and a port, 0 if the system chooses one, as the settings have them."""


class ServicePorts:
    """
    Opens ports, and hands them over.

    :param reactor: provides IReactorSocket.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._open: list[tuple[Wanted, Any]] = []
        self._inherited: dict[Wanted, list[socket.socket]] = {}

    def listen(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """
        Listen as IReactorTCP.listenTCP does, on an inherited socket if there is one for the address.

        :raises CannotListenError: if the address cannot be bound.
        """
        wanted = (interface, port)
        inherited = self._inherited.get(wanted)
        listening = inherited.pop(0) if inherited else _bound(interface, port, backlog)
        with listening:
            listening.setblocking(False)
            opened = self._reactor.adoptStreamPort(listening.fileno(), listening.family, factory)
        self._open = [(each, port) for each, port in self._open if port.connected]
        self._open.append((wanted, opened))
        return opened

    def shares(self) -> list[tuple[Wanted, int]]:
        """The addresses of the open ports, with their descriptors, for another process."""
        return [(wanted, port.fileno()) for wanted, port in self._open if port.connected]

    def inherit(self, sockets: Mapping[Wanted, list[socket.socket]]) -> None:
        """Use listening sockets of another process for the ports that will be opened."""
        self._inherited = dict(sockets)

    def close_unused(self) -> None:
        """Close the inherited sockets that no port uses."""
        unused, self._inherited = self._inherited, {}
        for listening in (each for sockets in unused.values() for each in sockets):
            listening.close()

    def leave(self) -> None:
        """Stop listening here; another process may go on with the sockets and their queues."""
        for _, port in self._open:
            if port.connected:
                port.stopListening()
        self._open = []


def _bound(interface: str, port: int, backlog: int) -> socket.socket:
    binding = Binding(interface or "0.0.0.0", port, both_families=True)  # noqa: S104 -- as IReactorTCP says
    listening = binding.new_socket()
    try:
        binding.bind(listening)
        listening.listen(backlog)
    except OSError as error:
        with suppress(OSError):
            listening.close()
        raise CannotListenError(interface, port, error) from error  # type: ignore[no-untyped-call]
    return listening
