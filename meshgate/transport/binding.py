"""
Listening sockets: one address made into one socket or several, and a port never shared with another program.

The problem: two listeners of one gateway may overlap (0.0.0.0 and 127.0.0.1 on one port), which Linux allows only if
all their sockets set SO_REUSEPORT. But then any process of the same user that sets it, too, would silently get a share
of the connections.

The approach: each address is first bound without SO_REUSEPORT, as a probe. If that fails although the port is ours, the
kernel's table of sockets tells if another program listens there.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

from meshgate.routing.connection_policy import Keepalive
from meshgate.routing.table import ListenerKey
from meshgate.transport.keepalive import keep_alive

_KERNEL_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTEN_STATE: Final = "0A"

# More connections than the queue of any socket holds (net.core.somaxconn, 4096 by default).
_MOST_WAITING: Final = 1 << 16

# Constants of <asm-generic/socket.h>, and the offset of the random number in <linux/filter.h>, as the kernel wants it.
_ATTACH_PROGRAM: Final = 51
_DETACH_PROGRAM: Final = 68
_RANDOM: Final = -0x1000 + 56 & 0xFFFFFFFF
_LOAD, _MODULO, _RETURN = 0x20, 0x94, 0x16

IN_USE: Final = "in use by another process"
_REASONS: Final = {
    errno.EADDRINUSE: IN_USE,
    errno.EACCES: "permission denied (ports below 1024 need root or the capability CAP_NET_BIND_SERVICE)",
    errno.EADDRNOTAVAIL: "address not available on this machine",
    errno.EAFNOSUPPORT: "address not available on this machine (it has no IPv6)",
}


class BindError(Exception):
    """
    An address cannot be listened on. The message is the reason in a few words, for people.

    :ivar is_missing: True if this machine does not have the address; it may get it later.
    """

    def __init__(self, reason: str, is_missing: bool = False) -> None:
        super().__init__(reason)
        self.is_missing = is_missing


@dataclass(frozen=True, slots=True)
class Binding:
    """
    An address and port to bind.

    :ivar host: an IP address; an IPv6 one may have a zone.
    :ivar both_families: True for an IPv6 socket that takes IPv4 connections as well.
    """

    host: str
    port: int
    both_families: bool = False

    @property
    def family(self) -> socket.AddressFamily:
        """The address family of the socket."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def new_socket(self) -> socket.socket:
        """Make a TCP socket of the right family, not bound yet."""
        made = socket.socket(self.family, socket.SOCK_STREAM)
        # Without SO_REUSEADDR, the port cannot be bound again while old connections are in TIME_WAIT.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.family == socket.AF_INET6:
            # Set in any case, since the default is the system's (net.ipv6.bindv6only).
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not self.both_families)
        return made

    def address(self) -> Any:
        """
        Return the address as sockets take and give it.

        :raises OSError: if its zone does not exist.
        """
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return socket.getaddrinfo(self.host, self.port, self.family, socket.SOCK_STREAM, 0, numeric)[0][4]

    def bind(self, unbound: socket.socket) -> None:
        """
        Bind a socket to this address.

        :raises OSError: when the kernel refuses.
        """
        unbound.bind(self.address())

    def overlaps(self, host: str) -> bool:
        """Return True if a socket that listens on another address would take connections to this one, or vice versa."""
        mine, other = _plain(self.host), _plain(host)
        if mine == other:
            return True
        # The kernel's table does not tell an IPv6-only socket from one for both families: assume the latter.
        return (mine.is_unspecified and (self.both_families or mine.version == other.version)) or (
            other.is_unspecified and (other.version == 6 or mine.version == other.version)
        )


def binding_for(key: ListenerKey, dual_stack: bool, has_ipv6: bool) -> Binding:
    """
    Return the address to bind for a listener: both families if its bind is unset and IPv6 exists, else its bind.
    An IPv6 address is bound without IPv4.

    :raises BindError: when the bind is no IP address.
    """
    if dual_stack and has_ipv6:
        return Binding("::", key.port, both_families=True)
    try:
        ip_address(key.bind)
    except ValueError:
        raise BindError(f"{key.bind!r} is not an IP address") from None
    return Binding(key.bind, key.port)


def ipv6_exists() -> bool:
    """Return True if this machine can bind an IPv6 socket, found out by binding one."""
    binding = Binding("::", 0, both_families=True)
    try:
        with binding.new_socket() as probe:
            binding.bind(probe)
    except OSError:
        return False
    return True


def open_sockets(
    binding: Binding, backlog: int, ours: Mapping[int, int], copies: int = 1, keepalive: Keepalive | None = None
) -> list[socket.socket]:
    """
    Open non-blocking sockets that listen on one address; the kernel spreads the connections over them.

    :param backlog: connections that may wait to be accepted on each socket.
    :param ours: the ports that this process listens on already, by the inodes of their sockets.
    :param copies: number of sockets, at least 1.
    :param keepalive: the probes of the connections that will be accepted; None for none.
    :raises BindError: when the address cannot be bound, or another process has the port.
    """
    opened: list[socket.socket] = []
    try:
        if binding.port:
            _refuse_foreign(binding, ours)
        while len(opened) < copies:
            listening = binding.new_socket()
            opened.append(listening)
            if hasattr(socket, "SO_REUSEPORT"):
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # Accepted sockets inherit these options, so that they are not set for each connection.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(listening, keepalive)
            listening.setblocking(False)
            binding.bind(listening)
            # If the port was 0, the kernel has chosen one, and the other sockets need the same.
            binding = replace(binding, port=listening.getsockname()[1])
        for listening in opened:
            listening.listen(backlog)
    except OSError as error:
        for listening in opened:
            listening.close()
        raise _bind_error(error, binding.host) from error
    return opened


def defer_accept(listening: socket.socket, wanted: bool) -> None:
    """
    Have the kernel hand over each connection only when its first bytes are there or a second has passed, which saves an
    event. Only for listeners whose clients speak first: a greeting of the server would come late. Without
    TCP_DEFER_ACCEPT nothing changes.
    """
    option = getattr(socket, "TCP_DEFER_ACCEPT", None)
    if option is not None and listening.family != socket.AF_UNIX:
        listening.setsockopt(socket.IPPROTO_TCP, option, 1 if wanted else 0)


def steer(listening: socket.socket, first: int) -> None:
    """
    Have new connections to an address go only to the first of the sockets that share it by SO_REUSEPORT, in the order
    in which they began to listen: the others can then be emptied, and closed without a loss. Needs no privilege.

    :param listening: one of the sockets.
    :param first: number of sockets.
    :raises OSError: if the kernel has no such programs (SO_ATTACH_REUSEPORT_CBPF, Linux 4.5).
    """
    program = ((_LOAD, 0, 0, _RANDOM), (_MODULO, 0, 0, first), (_RETURN, 0, 0, 0))
    code = array("B", b"".join(struct.pack("HBBI", *each) for each in program))
    address = struct.pack("HP", len(program), code.buffer_info()[0])  # struct sock_fprog
    listening.setsockopt(socket.SOL_SOCKET, _ATTACH_PROGRAM, address)


def steer_no_more(listening: socket.socket) -> None:
    """Have the kernel choose among all sockets again."""
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _DETACH_PROGRAM, 0)


def accept_waiting(listening: socket.socket, accept_some: Callable[[], bool]) -> None:
    """
    Accept the connections that wait on a socket, and stop listening, even if other processes share the socket: later
    connections are refused, or go to another socket that listens on the address.

    :param accept_some: accepts some of the connections; returns False if it cannot accept more.
    """
    poll = select.poll()
    poll.register(listening, select.POLLIN)
    for _ in range(_MOST_WAITING):
        if not poll.poll(0) or not accept_some():
            break
    with contextlib.suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)


def _bind_error(error: OSError, host: str) -> BindError:
    zone = host.partition("%")[2]
    if zone and isinstance(error, socket.gaierror):
        return BindError(f"address not available on this machine (it has no interface {zone})", is_missing=True)
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return BindError(reason, is_missing=error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV))


def _refuse_foreign(binding: Binding, ours: Mapping[int, int]) -> None:
    """Raise OSError if another process has the port, whether its socket could be shared or not."""
    try:
        with binding.new_socket() as probe:
            binding.bind(probe)
    except OSError as error:
        # The probe cannot tell our own sockets from those of other programs; the kernel's table can.
        ours_may_be_in_the_way = error.errno == errno.EADDRINUSE and binding.port in ours.values()
        if not ours_may_be_in_the_way or any(_foreign_listeners(binding, ours)):
            raise


def another_listens(host: str, port: int) -> bool:
    """
    Return True if a socket listens on just this address. It takes the connections to it, even if another socket listens
    on all addresses.

    :param host: an IP address.
    """
    wanted = _plain(host)
    return any(found == port and _plain(at) == wanted for at, found, _ in _listening_sockets())


def _foreign_listeners(binding: Binding, ours: Mapping[int, int]) -> Iterator[str]:
    for host, port, inode in _listening_sockets():
        if port == binding.port and inode not in ours and binding.overlaps(host):
            yield host


def _listening_sockets() -> Iterator[tuple[str, int, int]]:
    """The address, port and inode of every listening TCP socket; none without /proc."""
    for table in _KERNEL_TABLES:
        try:
            with Path(table).open(encoding="ascii") as lines:
                yield from _read_listening(lines)
        except OSError:
            continue


def _read_listening(lines: Iterator[str]) -> Iterator[tuple[str, int, int]]:
    next(lines)  # the headings
    for fields in map(str.split, lines):
        if fields[3] != _LISTEN_STATE:
            break  # the kernel lists listening sockets first; many thousands of others may follow
        host, port = fields[1].split(":")
        yield _kernel_address(host), int(port, 16), int(fields[9])


def _kernel_address(text: str) -> str:
    """Parse an address of the kernel's table, which has 32-bit words in the machine's byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = b"".join(socket.ntohl(word).to_bytes(4, "big") for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _plain(host: str) -> IPv4Address | IPv6Address:
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
