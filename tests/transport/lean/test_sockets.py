"""The sockets of lean transports, in the form that is there, on real connections: they answer as Python's own."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from meshgate.transport.lean import sockets
from meshgate.transport.lean.sockets import READ_SIZE, Socket, accept, connect, forward
from tests.lean_loop import DEADLINE, MIB, SMALL, descriptors, socket_pair
from tests.peers import LOOPBACK

IN_C = sockets.Socket is not socket.SocketType
AT_ONCE = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
DONTWAIT = socket.MSG_DONTWAIT


def has_ipv6() -> bool:
    """Return True if there is the address ::1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


FAMILIES = [socket.AF_INET, socket.AF_INET6] if has_ipv6() else [socket.AF_INET]


def link_local() -> tuple[str, int] | None:
    """A link-local address of this machine, and the number of its interface."""
    known = Path("/proc/net/if_inet6")
    for line in known.read_text().splitlines() if known.exists() else ():
        digits, number, *_ = line.split()
        if digits.startswith("fe80"):
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), int(number, 16)
    return None


class SocketCase(SynchronousTestCase):
    """Connected sockets, one end of each in the form that is tested."""

    def ours(self, sock: socket.socket) -> Socket:
        """The form that is tested, in place of a socket of the standard library's."""
        made = Socket(sock.family, socket.SOCK_STREAM, 0, sock.detach())
        self.addCleanup(made.close)
        return made

    def standard(self, sock: Socket) -> socket.socket:
        """A second handle of a socket, by the standard library."""
        made = socket.socket(fileno=os.dup(sock.fileno()))
        self.addCleanup(made.close)
        return made

    def pair(self, buffer: int = 0, family: int = socket.AF_INET) -> tuple[Socket, socket.socket]:
        """Our end of a connection, and the other one."""
        one, other = socket_pair(buffer, family)
        self.addCleanup(other.close)
        other.settimeout(DEADLINE)
        return self.ours(one), other

    def listening(self, host: str = LOOPBACK, scope: int = 0) -> socket.socket:
        """A socket that listens and does not block."""
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.addCleanup(made.close)
        made.bind((host, 0, 0, scope) if ":" in host else (host, 0))
        made.listen()
        made.setblocking(False)
        return made

    def client(self, listening: socket.socket) -> socket.socket:
        """A connection that waits to be accepted."""
        made = socket.socket(listening.family)
        self.addCleanup(made.close)
        made.settimeout(DEADLINE)
        made.connect(listening.getsockname())
        self.wait(listening)
        return made

    def wait(self, sock: Any) -> None:
        """Until something can be read, be it an end or an error."""
        self.assertTrue(select.select([sock], [], [], DEADLINE)[0])

    def wait_to_write(self, sock: Any) -> None:
        """Until something can be sent, or nothing any more."""
        self.assertTrue(select.select([], [sock], [], DEADLINE)[1])

    def error_of(self, call: Callable[[], object]) -> int | None:
        """The number of the error that a call ends with."""
        error: OSError = self.assertRaises(OSError, call)
        return error.errno

    def fill(self, sock: Socket) -> int:
        """Send until the kernel takes no more; gives how many bytes it has taken."""
        taken = 0
        while True:
            try:
                taken += sock.send(bytes(SMALL), DONTWAIT)
            except BlockingIOError:
                return taken


def reset(sock: socket.socket) -> None:
    """Reset a connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def receive(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer at an end of stream; the socket has a timeout."""
    received = bytearray()
    while len(received) < size and (data := sock.recv(size - len(received))):
        received += data
    return bytes(received)


class AcceptTests(SocketCase):
    """Connections taken from a queue."""

    def accepted(self, listening: socket.socket) -> tuple[Socket, tuple[Any, ...]]:
        """The next one."""
        taken = accept(listening)
        assert taken is not None
        self.addCleanup(taken[0].close)
        return taken

    def check_names(self, listening: socket.socket) -> None:
        """Check that a connection is the one that was made, and that its names are those of its two ends."""
        client = self.client(listening)
        sock, peer = self.accepted(listening)
        self.assertIsInstance(sock, Socket)
        self.assertEqual((peer, sock.getpeername()), (client.getsockname(),) * 2)
        self.assertEqual(sock.getsockname(), client.getpeername())
        client.sendall(b"there")
        self.wait(sock)
        self.assertEqual(sock.recv(10, DONTWAIT), b"there")

    def test_nobody_waits(self) -> None:
        """An empty queue gives None, before the first connection and after the last."""
        listening = self.listening()
        self.assertIsNone(accept(listening))
        self.client(listening)
        self.accepted(listening)
        self.assertIsNone(accept(listening))

    def test_a_connection_of_ipv4(self) -> None:
        """The peer's name is its address and port."""
        self.check_names(self.listening())

    def test_a_connection_of_ipv6(self) -> None:
        """The peer's name has four parts."""
        if socket.AF_INET6 not in FAMILIES:
            raise SkipTest("there is no ::1")
        self.check_names(self.listening("::1"))

    def test_a_connection_of_one_link(self) -> None:
        """The zone of a link-local address stands where the standard library has it."""
        found = link_local()
        if found is None:
            raise SkipTest("there is no link-local address")
        self.check_names(self.listening(*found))

    def test_a_connection_of_ipv4_to_both(self) -> None:
        """A socket for both families names a peer of IPv4 as one of IPv6."""
        if not socket.has_dualstack_ipv6():
            raise SkipTest("no socket is for both families")
        listening = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.addCleanup(listening.close)
        client = socket.create_connection((LOOPBACK, listening.getsockname()[1]), timeout=DEADLINE)
        self.addCleanup(client.close)
        sock, peer = self.accepted(listening)
        wanted = (f"::ffff:{LOOPBACK}", client.getsockname()[1], 0, 0)
        self.assertEqual((peer, sock.getpeername()), (wanted, wanted))

    def test_first_come_first_served(self) -> None:
        """Waiting connections are accepted in order, each with a descriptor of its own."""
        listening = self.listening()
        clients = [self.client(listening) for _ in range(5)]
        taken = [self.accepted(listening) for _ in clients]
        self.assertEqual([peer for _, peer in taken], [client.getsockname() for client in clients])
        self.assertEqual(len({sock.fileno() for sock, _ in taken}), 5)

    def test_what_was_accepted_is_not_inherited(self) -> None:
        """A program that is started gets none of the connections."""
        listening = self.listening()
        self.client(listening)
        self.assertFalse(os.get_inheritable(self.accepted(listening)[0].fileno()))

    def test_a_closed_socket(self) -> None:
        """There is nothing to be had from a socket that was closed, or that never listened."""
        listening = self.listening()
        listening.close()
        self.assertEqual(self.error_of(lambda: accept(listening)), errno.EBADF)
        mute = socket.socket()
        self.addCleanup(mute.close)
        self.assertEqual(self.error_of(lambda: accept(mute)), errno.EINVAL)


class SocketTests(SocketCase):
    """The calls of a socket."""

    def test_bytes_both_ways(self) -> None:
        """Bytes that are sent arrive, and are read in chunks of the size asked for."""
        ours, theirs = self.pair()
        self.assertEqual(ours.send(b"question"), 8)
        self.assertEqual(ours.send(memoryview(b"-questions-")[1:4], DONTWAIT), 3)
        self.assertEqual(receive(theirs, 11), b"questionque")
        theirs.sendall(b"answer")
        self.wait(ours)
        self.assertEqual([ours.recv(4), ours.recv(100, DONTWAIT)], [b"answ", b"er"])

    def test_bytes_into_a_buffer(self) -> None:
        """As many bytes come as are asked for, or as the buffer has room for; the rest of it stays as it was."""
        ours, theirs = self.pair()
        theirs.sendall(b"abcdefgh")
        self.wait(ours)
        buffer = bytearray(b"......")
        self.assertEqual((ours.recv_into(buffer, 2), bytes(buffer)), (2, b"ab...."))
        self.assertEqual((ours.recv_into(memoryview(buffer)[4:], 0, DONTWAIT), bytes(buffer)), (2, b"ab..cd"))
        self.assertEqual((ours.recv_into(buffer), bytes(buffer)), (4, b"efghcd"))

    def test_nothing_is_there(self) -> None:
        """A call that may not wait raises if nothing has come, or nothing more can be sent."""
        ours, _ = self.pair(SMALL)
        self.assertRaises(BlockingIOError, ours.recv, 1, DONTWAIT)
        self.assertRaises(BlockingIOError, ours.recv_into, bytearray(1), 1, DONTWAIT)
        self.fill(ours)
        self.assertRaises(BlockingIOError, ours.send, b"x", DONTWAIT)

    def test_an_end_of_stream(self) -> None:
        """After the peer's last byte nothing comes, as often as it is asked for, and it can still be answered."""
        ours, theirs = self.pair()
        theirs.shutdown(socket.SHUT_WR)
        self.wait(ours)
        self.assertEqual([ours.recv(1), ours.recv(1), ours.recv_into(bytearray(1))], [b"", b"", 0])
        ours.send(b"x")
        self.assertEqual(receive(theirs, 1), b"x")

    def test_a_reset(self) -> None:
        """A reset is told when something is to be read."""
        for read in (lambda sock: sock.recv(1, DONTWAIT), lambda sock: sock.recv_into(bytearray(1), 1, DONTWAIT)):
            ours, theirs = self.pair()
            reset(theirs)
            self.wait(ours)
            self.assertRaises(ConnectionResetError, read, ours)

    def test_shutting_down(self) -> None:
        """The peer reads an end of stream, and sending more is an error instead of a signal."""
        ours, theirs = self.pair()
        ours.shutdown(socket.SHUT_WR)
        self.assertEqual(theirs.recv(1), b"")
        self.assertRaises(BrokenPipeError, ours.send, b"x")
        self.assertRaises(BrokenPipeError, ours.send, b"x", DONTWAIT)
        theirs.sendall(b"y")
        self.assertEqual(ours.recv(1), b"y")
        reset(theirs)
        self.wait(ours)
        self.assertRaises(ConnectionResetError, ours.recv, 1)
        self.assertEqual(self.error_of(lambda: ours.shutdown(socket.SHUT_RD)), errno.ENOTCONN)

    def test_closing(self) -> None:
        """A closed socket has no descriptor, raises errors, and may be closed again."""
        ours, theirs = self.pair()
        descriptor, before = ours.fileno(), descriptors()
        self.assertGreaterEqual(descriptor, 0)
        ours.close()
        self.assertEqual((ours.fileno(), descriptors()), (-1, before - 1))
        self.assertEqual(theirs.recv(1), b"")
        with socket.socket() as another:
            ours.close()
            self.assertGreaterEqual(another.fileno(), 0)
            self.assertEqual(another.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
        calls: list[Callable[[], object]] = [
            lambda: ours.send(b"x"),
            lambda: ours.recv(1),
            lambda: ours.recv_into(bytearray(1)),
            lambda: ours.shutdown(socket.SHUT_WR),
            ours.getsockname,
            ours.getpeername,
            lambda: ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
            lambda: ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        ]
        self.assertEqual([self.error_of(call) for call in calls], [errno.EBADF] * len(calls))

    def test_what_nobody_has_any_more_is_closed(self) -> None:
        """A socket's descriptor goes with it."""
        one, theirs = socket_pair()
        self.addCleanup(theirs.close)
        theirs.settimeout(DEADLINE)
        before = descriptors()
        ours = Socket(socket.AF_INET, socket.SOCK_STREAM, 0, one.detach())
        self.assertEqual(descriptors(), before)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del ours
        self.assertEqual((descriptors(), theirs.recv(1)), (before - 1, b""))

    def test_names(self) -> None:
        """Both names are those that the other end has for them, in either family."""
        for family in FAMILIES:
            ours, theirs = self.pair(family=family)
            self.assertEqual(ours.getsockname(), theirs.getpeername())
            self.assertEqual(ours.getpeername(), theirs.getsockname())

    def test_a_socket_without_a_peer(self) -> None:
        """A socket without a connection has no peer and cannot be read, as with the standard library."""
        ours = Socket(socket.AF_INET, AT_ONCE)
        self.addCleanup(ours.close)
        self.assertEqual(ours.getsockname(), ("0.0.0.0", 0))
        self.assertEqual(self.error_of(ours.getpeername), errno.ENOTCONN)
        self.assertEqual(self.error_of(lambda: ours.recv(1)), errno.ENOTCONN)
        self.assertFalse(os.get_blocking(ours.fileno()) or os.get_inheritable(ours.fileno()))

    def test_options(self) -> None:
        """The standard library sees options that are set here, and vice versa."""
        ours, theirs = self.pair()
        standard = self.standard(ours)
        for level, option, value in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, True),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 12345),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.SOL_SOCKET, socket.SO_SNDBUF, 30000),
        ):
            ours.setsockopt(level, option, value)
            after = standard.getsockopt(level, option)
            self.assertEqual(ours.getsockopt(level, option), after)
            standard.setsockopt(level, option, value + 1)
            self.assertEqual(ours.getsockopt(level, option), standard.getsockopt(level, option))
        linger = struct.pack("ii", 1, 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.assertEqual(standard.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(linger)), linger)
        self.assertEqual(ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(linger)), linger)
        self.assertEqual(ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 64), linger)  # no longer than it is
        for size in (-1, 1025):
            self.assertRaises(OSError, ours.getsockopt, socket.SOL_SOCKET, socket.SO_LINGER, size)
        standard.close()
        ours.close()
        self.assertRaises(ConnectionResetError, theirs.recv, 1)

    def test_an_option_that_does_not_exist(self) -> None:
        """The kernel's refusal is an error."""
        ours, _ = self.pair()
        self.assertEqual(self.error_of(lambda: ours.getsockopt(socket.IPPROTO_TCP, 9999)), errno.ENOPROTOOPT)
        self.assertEqual(self.error_of(lambda: ours.setsockopt(socket.IPPROTO_TCP, 9999, 1)), errno.ENOPROTOOPT)


class ConnectTests(SocketCase):
    """Connections that are begun here."""

    def number(self, family: int, name: tuple[Any, ...]) -> tuple[int, int]:
        """Beginning connections."""
        ours = Socket(family, AT_ONCE)
        self.addCleanup(ours.close)
        number = ours.connect_ex(name)
        if number == errno.EINPROGRESS:
            self.wait_to_write(ours)
        return number, ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def unused(self) -> tuple[str, int]:
        """An address on which nobody listens, nor will."""
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind((LOOPBACK, 0))
        name: tuple[str, int] = taken.getsockname()
        return name

    def test_it_is_under_way(self) -> None:
        """A number instead of an exception says that the connection is there, or will be."""
        for family in FAMILIES:
            listening = self.listening("::1" if family == socket.AF_INET6 else LOOPBACK)
            number, error = self.number(listening.family, listening.getsockname())
            self.assertIn(number, (0, errno.EINPROGRESS))
            self.assertEqual(error, 0)
            self.wait(listening)

    def test_nobody_listens(self) -> None:
        """The refusal is told at once or later."""
        number, error = self.number(socket.AF_INET, self.unused())
        self.assertEqual({number, error} - {0, errno.EINPROGRESS}, {errno.ECONNREFUSED})

    def test_what_the_kernel_refuses_at_once(self) -> None:
        """An address that no connection leads to gives the number that the standard library gives."""
        name = ("255.255.255.255", 1)
        with socket.socket(type=AT_ONCE) as standard:
            wanted = standard.connect_ex(name)
        self.assertNotIn(wanted, (0, errno.EINPROGRESS))
        self.assertEqual(self.number(socket.AF_INET, name), (wanted, 0))
        made, number, taken = connect(socket.AF_INET, name, b"first")
        self.addCleanup(made.close)
        self.assertEqual((number, taken), (wanted, 0))

    def test_the_first_bytes(self) -> None:
        """The first bytes arrive once, sent by the call itself or later."""
        for first in (b"first", b""):
            listening = self.listening()
            made, number, taken = connect(socket.AF_INET, listening.getsockname(), first)
            self.addCleanup(made.close)
            self.assertIsInstance(made, Socket)
            self.assertFalse(os.get_blocking(made.fileno()) or os.get_inheritable(made.fileno()))
            self.assertEqual(number, 0)
            self.assertIn(taken, (0, len(first)))
            self.wait_to_write(made)
            self.assertEqual(made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
            if taken < len(first):
                self.assertEqual(made.send(first), len(first))
            made.shutdown(socket.SHUT_WR)
            self.wait(listening)
            peer, _ = listening.accept()
            self.addCleanup(peer.close)
            peer.settimeout(DEADLINE)
            self.assertEqual(receive(peer, 10), first)

    def test_from_an_address_of_ours(self) -> None:
        """The connection comes from it, with a port that the kernel chooses; one that is not ours is an error."""
        listening = self.listening()
        made, number, _ = connect(socket.AF_INET, listening.getsockname(), b"first", ("127.0.0.7", 0))
        self.addCleanup(made.close)
        self.wait_to_write(made)
        self.assertEqual((number, made.getsockname()[0]), (0, "127.0.0.7"))
        made, number, taken = connect(socket.AF_INET, listening.getsockname(), b"first", ("192.0.2.1", 0))
        self.addCleanup(made.close)
        self.assertEqual((number, taken), (errno.EADDRNOTAVAIL, 0))

    def test_from_an_address_of_ours_of_ipv6(self) -> None:
        """As IPv4."""
        listening = self.listening("::1")
        made, number, _ = connect(socket.AF_INET6, listening.getsockname(), b"", ("::1", 0))
        self.addCleanup(made.close)
        self.wait_to_write(made)
        self.assertEqual((number, made.getsockname()[0]), (0, "::1"))

    def test_nobody_takes_the_first_bytes(self) -> None:
        """If nobody listens, no byte is taken, and the call or the socket has the error."""
        made, number, taken = connect(socket.AF_INET, self.unused(), b"first")
        self.addCleanup(made.close)
        self.wait_to_write(made)
        late = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.assertEqual(taken, 0)
        self.assertEqual({number, late} - {0}, {errno.ECONNREFUSED})


class ForwardTests(SocketCase):
    """Bytes that go from one socket to another."""

    def setUp(self) -> None:
        """Two connections; what comes by one of them is to leave by the other."""
        self.source, self.sender = self.pair()
        self.sink, self.receiver = self.pair(SMALL)

    def test_bytes_are_moved(self) -> None:
        """Bytes that have come are sent on and counted; then nothing is left."""
        for data in (b"x", b"hello" * 100):
            self.sender.sendall(data)
            self.wait(self.source)
            self.assertEqual(forward(self.source, self.sink), len(data))
            self.assertEqual(receive(self.receiver, len(data)), data)
        self.assertEqual(forward(self.source, self.sink), -1)

    def test_more_than_one_read(self) -> None:
        """Bytes that do not fit in one read are left for the next."""
        self.sender.sendall(bytes(READ_SIZE + 10))
        counts: list[Any] = []
        while sum(counts) < READ_SIZE + 10:
            self.wait(self.source)
            counts.append(forward(self.source, None))
        self.assertLessEqual(max(counts), READ_SIZE)
        self.assertEqual((sum(counts), forward(self.source, None)), (READ_SIZE + 10, -1))

    def test_an_end_of_stream(self) -> None:
        """The end is told as no bytes, as often as asked, and is not sent on."""
        self.sender.shutdown(socket.SHUT_WR)
        self.wait(self.source)
        self.assertEqual([forward(self.source, self.sink), forward(self.source, None)], [0, 0])
        self.receiver.setblocking(False)
        self.assertRaises(BlockingIOError, self.receiver.recv, 1)

    def test_without_a_sink(self) -> None:
        """Bytes that are read without a sink are dropped."""
        self.sender.sendall(b"gone")
        self.wait(self.source)
        self.assertEqual([forward(self.source, None), forward(self.source, None)], [4, -1])

    def test_a_full_sink(self) -> None:
        """All bytes that a full sink does not take are returned, without an error."""
        self.fill(self.sink)
        data = random.Random(1).randbytes(1000)
        self.sender.sendall(data)
        self.wait(self.source)
        self.assertEqual(forward(self.source, self.sink), (len(data), data, 0))
        self.assertEqual(forward(self.source, self.sink), -1)

    def test_nothing_is_lost_or_doubled(self) -> None:
        """Over many moves, whole ones, partial ones and refused ones, every byte arrives once and in its place."""
        data = random.Random(2).randbytes(2 * MIB)
        sizes = random.Random(3)
        received, rest = bytearray(), b""
        sent = moved = partial = 0
        self.sender.setblocking(False)
        self.receiver.setblocking(False)
        deadline = time.monotonic() + DEADLINE
        while len(received) < len(data):
            self.assertLess(time.monotonic(), deadline)
            if sent < len(data):
                try:
                    sent += self.sender.send(data[sent : sent + sizes.randrange(1, 2 * READ_SIZE)])
                except BlockingIOError:
                    pass
            if rest:
                try:
                    rest = rest[self.sink.send(rest, DONTWAIT) :]
                except BlockingIOError:
                    pass
            else:
                result = forward(self.source, self.sink)
                if isinstance(result, tuple):
                    count, rest, number = result
                    self.assertEqual(number, 0)
                    self.assertTrue(0 < len(rest) <= count)
                    partial += len(rest) < count
                    moved += count
                else:
                    moved += max(result, 0)
            if select.select([self.receiver], [], [], 0.01)[0]:
                received += self.receiver.recv(sizes.randrange(1, 2 * SMALL))
        self.assertEqual((moved, rest, bytes(received) == data), (len(data), b"", True))
        self.assertGreater(partial, 0)

    def test_a_sink_that_was_reset(self) -> None:
        """The error's number is told with what came, nothing is handed back, and the next one is an error too."""
        reset(self.receiver)
        self.wait(self.sink)
        for number in (errno.ECONNRESET, errno.EPIPE):
            self.sender.sendall(b"lost")
            self.wait(self.source)
            self.assertEqual(forward(self.source, self.sink), (4, b"", number))

    def test_a_sink_that_was_shut_down_or_closed(self) -> None:
        """Whatever the reason, it is a number and neither an exception nor a signal."""
        self.sink.shutdown(socket.SHUT_WR)
        for number in (errno.EPIPE, errno.EBADF):
            self.sender.sendall(b"lost")
            self.wait(self.source)
            self.assertEqual(forward(self.source, self.sink), (4, b"", number))
            self.sink.close()

    def test_a_source_that_cannot_be_read(self) -> None:
        """A reset of the source is an exception, and so is its having been closed."""
        reset(self.sender)
        self.wait(self.source)
        self.assertRaises(ConnectionResetError, forward, self.source, self.sink)
        self.source.close()
        self.assertEqual(self.error_of(lambda: forward(self.source, self.sink)), errno.EBADF)


class ArgumentTests(SocketCase):
    """Wrong arguments of the C form, which no type checker sees."""

    skip = None if IN_C else "only where it is compiled: make test-compiled"

    def test_wrong_arguments(self) -> None:
        """Too few, too many, and those of another type are refused, and the socket is as it was."""
        ours, theirs = self.pair()
        any_socket: Any = Socket
        sock: Any = ours
        functions: list[Any] = [accept, connect, forward]
        take, begin, move = functions
        name = (LOOPBACK, 1)
        before = descriptors()
        for call in (
            lambda: any_socket(),
            lambda: any_socket(socket.AF_INET),
            lambda: any_socket("2", 1),
            lambda: any_socket(socket.AF_INET, socket.SOCK_STREAM, 0, "1"),
            lambda: any_socket(family=socket.AF_INET, type=socket.SOCK_STREAM),
            lambda: sock.recv(),
            lambda: sock.recv("1"),
            lambda: sock.recv(1, None),
            lambda: sock.recv(1, 0, 0),
            lambda: sock.recv_into(),
            lambda: sock.recv_into(1),
            lambda: sock.recv_into(bytearray(1), "1"),
            lambda: sock.recv_into(bytearray(1), 1, 1.5),
            lambda: sock.send(),
            lambda: sock.send("text"),
            lambda: sock.send(b"x", "0"),
            lambda: sock.send(b"x", 0, 0),
            lambda: sock.shutdown("1"),
            lambda: sock.shutdown(),
            lambda: sock.close(1),
            lambda: sock.connect_ex(LOOPBACK),
            lambda: sock.connect_ex((LOOPBACK,)),
            lambda: sock.connect_ex((1, LOOPBACK)),
            lambda: sock.connect_ex((*name, 0, 0)),
            lambda: sock.getsockopt(socket.SOL_SOCKET),
            lambda: sock.getsockopt("1", socket.SO_ERROR),
            lambda: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            lambda: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, "1"),
            lambda: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, None),
            lambda: take(),
            lambda: take(None),
            lambda: take("1"),
            lambda: begin(socket.AF_INET, name),
            lambda: begin("2", name, b""),
            lambda: begin(socket.AF_INET, list(name), b""),
            lambda: begin(socket.AF_INET, name, "text"),
            lambda: move(sock),
            lambda: move(None, sock),
            lambda: move(theirs, sock),
            lambda: move(sock, theirs),
            lambda: move(sock, None, None),
        ):
            self.assertRaises(TypeError, call)
        self.assertEqual(descriptors(), before)
        theirs.sendall(b"x")
        self.assertEqual(ours.recv(1), b"x")

    def test_numbers_that_are_too_large(self) -> None:
        """No number is cut to fit."""
        ours, _ = self.pair()
        self.assertRaises(OverflowError, ours.shutdown, 1 << 40)
        self.assertRaises(OverflowError, ours.send, b"x", 1 << 32)
        self.assertRaises(OverflowError, ours.getsockopt, 1 << 32, socket.SO_ERROR)
        self.assertRaises(OverflowError, ours.setsockopt, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1 << 32)
        self.assertRaises(ValueError, ours.recv, -1)

    def test_a_name_instead_of_an_address(self) -> None:
        """Nothing is looked up."""
        before = descriptors()
        for family, host in ((socket.AF_INET, "localhost"), (socket.AF_INET, "::1"), (socket.AF_INET6, LOOPBACK)):
            self.assertRaises(OSError, connect, family, (host, 1), b"")
        self.assertEqual(descriptors(), before)
