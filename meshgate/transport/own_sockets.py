"""
Our own listening sockets, so that a dial that would reach one of them is refused before it is made.

The problem: a gateway that dials itself accepts its own connection, dials again, and runs out of descriptors within a
second.

The approach: the kernel gives a connection to the socket whose bound address covers the dialed one. That is the same
address, or, for a socket bound to the unspecified address, any address of this machine. So a dial is a loop if one of
our sockets has its port and covers its address. Most dials go to a port on which we do not listen, and cost one look
into a dictionary. Otherwise the kernel is asked if the address is this machine's, and its answer is kept for
:data:`REMEMBERED_FOR` seconds.

The invariant: each process registers its own sockets. Every worker has a socket for each open port, so each finds loops
through any port.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from meshgate.transport.binding import another_listens

REMEMBERED_FOR: Final = 5.0
"""Seconds for which an answer of the kernel is kept: addresses come and go."""

_REMEMBERED: Final = 1024
"""Number of answers that are kept."""

# Constants of <linux/rtnetlink.h>.
_GET_ROUTE: Final = 26
_NEW_ROUTE: Final = 24
_REQUEST: Final = 1
_DESTINATION: Final = 1
_OUTGOING_INTERFACE: Final = 4
_LOCAL: Final = 2


class _Target(NamedTuple):
    """An address that is dialed or bound, with its zone where it has one."""

    address: IPv4Address | IPv6Address
    zone: str


class _Bound(NamedTuple):
    """
    One listening socket.

    :ivar families: the versions of IP whose connections it takes if it is bound to the unspecified address.
    """

    target: _Target
    families: tuple[int, ...]


class OwnSockets:
    """
    The listening sockets of this process.

    :param seconds: returns the clock's seconds.
    :param is_local: returns True if an address and its zone, or "", are this machine's.
    :ivar names: the names of Unix sockets, as the kernel has them.
    :ivar ports: the sockets by port; checked before :meth:`would_accept` is called.
    """

    def __init__(
        self, seconds: Callable[[], float], is_local: Callable[[IPv4Address | IPv6Address, str], bool] | None = None
    ) -> None:
        self.ports: dict[int, list[_Bound]] = {}
        self.names: list[bytes] = []
        self._seconds = seconds
        self._is_local = is_local or is_local_address
        self._answers: dict[tuple[_Target, int], tuple[float, bool]] = {}

    def add(self, listening: socket.socket) -> Callable[[], None]:
        """
        Register a bound socket.

        :return: a function that forgets the socket.
        """
        if listening.family == socket.AF_UNIX:
            return self._add_unix(os.fsencode(listening.getsockname()))
        name = listening.getsockname()
        port: int = name[1]
        bound = _Bound(_target(_with_zone(name)), _families(listening))
        self.ports.setdefault(port, []).append(bound)
        self._answers.clear()

        def forget() -> None:
            rest = [each for each in self.ports.pop(port, ()) if each is not bound]
            if rest:
                self.ports[port] = rest
            self._answers.clear()

        return forget

    def _add_unix(self, name: bytes) -> Callable[[], None]:
        self.names.append(name)
        return lambda: self.names.remove(name)

    def would_accept(self, address: str, port: int) -> bool:
        """Return True if a connection to an address would reach one of the sockets."""
        sockets = self.ports.get(port)
        if not sockets:
            return False
        try:
            target = _dialed(address)
        except (ValueError, OSError):  # no address, or a zone that does not exist: the dial will fail with that reason
            return False
        for bound in sockets:
            if bound.target == target:
                return True
        version = target.address.version
        if not any(bound.target.address.is_unspecified and version in bound.families for bound in sockets):
            return False
        return self._is_own(target, port)

    def _is_own(self, target: _Target, port: int) -> bool:
        """Return True if an address is this machine's, and no other socket listens on just it and this port."""
        now = self._seconds()
        answer = self._answers.get((target, port))
        if answer is not None and answer[0] > now:
            return answer[1]
        here = self._is_local(*target) and not another_listens(str(target.address), port)
        if len(self._answers) >= _REMEMBERED:
            self._answers.clear()
        self._answers[target, port] = (now + REMEMBERED_FOR, here)
        return here


def is_local_address(address: IPv4Address | IPv6Address, zone: str = "") -> bool:
    """Return True if this machine's routing tables keep packets to an address on it. Nothing is sent."""
    if address.is_loopback:
        return True
    try:
        return _route_type(address, zone) == _LOCAL
    except (OSError, AttributeError, struct.error):
        return _is_own_source(address, zone)  # no netlink sockets, as in the service unit or without Linux


def _route_type(address: IPv4Address | IPv6Address, zone: str) -> int:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed
    attributes = struct.pack("=HH", 4 + len(packed), _DESTINATION) + packed
    if zone:
        attributes += struct.pack("=HHI", 8, _OUTGOING_INTERFACE, _interface(zone))
    route = struct.pack("=BBBBBBBBI", family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    header = struct.pack("=IHHII", 16 + len(route) + len(attributes), _GET_ROUTE, _REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.send(header + route + attributes)
        answer = asking.recv(4096)
    (kind,) = struct.unpack_from("=H", answer, 4)
    (route_type,) = struct.unpack_from("=B", answer, 16 + 7)
    return int(route_type) if kind == _NEW_ROUTE else 0


def _is_own_source(address: IPv4Address | IPv6Address, zone: str) -> bool:
    """Return True if packets to an address would come from it: from where else, if it is this machine's."""
    try:
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as asking:
            target: tuple[str | int, ...] = (str(address), 9)
            asking.connect(target if address.version == 4 else (*target, 0, _interface(zone) if zone else 0))
            return ip_address(asking.getsockname()[0].partition("%")[0]) == address
    except OSError:
        return False  # there is no way to the address


def _interface(zone: str) -> int:
    return int(zone) if zone.isdigit() else socket.if_nametoindex(zone)


@lru_cache(4096)
def _target(text: str) -> _Target:
    """
    Parse an address as the kernel takes it: an IPv4-mapped IPv6 address becomes the IPv4 address.

    :raises ValueError: when the text is no address.
    :raises OSError: when there is no such zone.
    """
    host, _, zone = text.partition("%")
    address = ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    # Only a link-local address needs its zone to be complete.
    return _Target(address, str(_interface(zone)) if zone and address.is_link_local else "")


@lru_cache(4096)
def _dialed(text: str) -> _Target:
    """Parse the address that a dial reaches: the kernel dials loopback for the unspecified address."""
    target = _target(text)
    if not target.address.is_unspecified:
        return target
    return _Target(ip_address("127.0.0.1" if target.address.version == 4 else "::1"), "")


def _with_zone(name: tuple[str | int, ...]) -> str:
    host = str(name[0]).partition("%")[0]
    return f"{host}%{name[3]}" if len(name) > 3 and name[3] else host


def _families(listening: socket.socket) -> tuple[int, ...]:
    if listening.family == socket.AF_INET:
        return (4,)
    return (6,) if listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) else (4, 6)
