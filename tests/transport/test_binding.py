"""Listening sockets: which address, which options, whose port."""

from __future__ import annotations

import os
import socket
import sys
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.routing.table import ListenerKey
from meshgate.transport import binding as binding_module
from meshgate.transport.binding import BindError, Binding, binding_for, ipv6_exists, open_sockets
from tests.support import Program, free_port

_LISTEN = """
import socket, sys, time
listening = socket.socket({family})
if "reuseport" in sys.argv:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listening.bind((sys.argv[1], int(sys.argv[2])))
listening.listen()
print("listening", flush=True)
time.sleep(60)
"""


async def foreign_listener(test: TestCase, host: str, port: int, *options: str) -> Program:
    """Another process that listens, with or without ``reuseport``."""
    family = "socket.AF_INET6" if ":" in host else "socket.AF_INET"
    program = Program(test, [sys.executable, "-c", _LISTEN.format(family=family), host, str(port), *options])
    await program.wait_for_output("listening")
    return program


class AddressTests(SynchronousTestCase):
    """From a listener's bind to the address the kernel gets."""

    def test_which_address(self) -> None:
        """An unset bind is both families where IPv6 exists; a written one is what it says."""
        unset = ListenerKey("0.0.0.0", 80)
        cases = [
            (unset, True, True, Binding("::", 80, both_families=True)),
            (unset, True, False, Binding("0.0.0.0", 80)),
            (unset, False, True, Binding("0.0.0.0", 80)),
            (ListenerKey("::", 80), False, True, Binding("::", 80)),
            (ListenerKey("192.0.2.1", 80), False, True, Binding("192.0.2.1", 80)),
            (ListenerKey("fe80::1%eth0", 80), False, True, Binding("fe80::1%eth0", 80)),
        ]
        for key, dual_stack, has_ipv6, expected in cases:
            self.assertEqual(binding_for(key, dual_stack, has_ipv6), expected)

    def test_what_is_no_address(self) -> None:
        """A name is refused in words."""
        error = self.assertRaises(BindError, binding_for, ListenerKey("localhost", 0), False, True)
        self.assertIn("'localhost' is not an IP", str(error))

    def test_which_addresses_overlap(self) -> None:
        """A wildcard overlaps what its family takes; unlike addresses do not."""
        dual, all4, all6 = Binding("::", 80, both_families=True), Binding("0.0.0.0", 80), Binding("::", 80)
        cases = [
            (dual, "127.0.0.1", True),
            (dual, "::1", True),
            (all4, "127.0.0.1", True),
            (all4, "::1", False),
            (all4, "::", True),  # it may take both families
            (all6, "::1", True),
            (all6, "127.0.0.1", False),
            (Binding("127.0.0.1", 80), "127.0.0.1", True),
            (Binding("127.0.0.1", 80), "::ffff:127.0.0.1", True),
            (Binding("127.0.0.1", 80), "127.0.0.2", False),
            (Binding("127.0.0.1", 80), "0.0.0.0", True),
            (Binding("::1", 80), "0.0.0.0", False),
            (Binding("fe80::1%eth0", 80), "fe80::1", True),
        ]
        for binding, host, expected in cases:
            self.assertEqual(binding.overlaps(host), expected, (binding, host))

    @settings(max_examples=200, deadline=None)
    @given(st.ip_addresses())
    def test_the_kernels_notation_is_read(self, address: object) -> None:
        """Any address written as /proc/net/tcp does is read back."""
        host = str(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        packed = socket.inet_pton(family, host)
        words = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)]
        text = "".join(f"{word:08X}" for word in words)
        self.assertEqual(socket.inet_pton(family, binding_module._kernel_address(text)), packed)


class OpenTests(TestCase):
    """Real sockets, and real processes that are in the way."""

    def open(self, host: str, port: int = 0, both: bool = False, ours: dict[int, int] | None = None) -> socket.socket:
        """A socket that listens until the end of the test."""
        (opened,) = open_sockets(Binding(host, port, both), 16, ours or {})
        self.addCleanup(opened.close)
        return opened

    def reason(self, host: str, port: int, ours: dict[int, int] | None = None) -> str:
        """Why an address cannot be listened on."""
        return str(self.assertRaises(BindError, self.open, host, port, False, ours))

    async def test_another_process_is_noticed(self) -> None:
        """A port that another process has is in use, even if that process would share it."""
        for options in ((), ("reuseport",)):
            for theirs, ours in [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")]:
                port = free_port()
                await foreign_listener(self, theirs, port, *options)
                self.assertEqual(self.reason(ours, port), "in use by another process")

    async def test_another_process_is_noticed_beside_our_own(self) -> None:
        """Another process's listener is found even if one of ours overlaps, too."""
        port = free_port()
        await foreign_listener(self, "127.0.0.2", port, "reuseport")
        mine = self.open("127.0.0.1", port)
        self.assertEqual(self.reason("0.0.0.0", port, inodes(mine)), "in use by another process")

    async def test_our_own_is_not_in_the_way(self) -> None:
        """Listeners of ours may overlap on one port, in every combination."""
        for first, second in [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::", "::1")]:
            port = free_port()
            mine = self.open(first, port)
            self.open(second, port, ours=inodes(mine))

    async def test_without_the_kernels_table_our_own_is_not_in_the_way_either(self) -> None:
        """Overlapping listeners of ours work without /proc."""
        port = free_port()
        mine = self.open("0.0.0.0", port)
        with mock.patch.object(binding_module, "_KERNEL_TABLES", ("/nonexistent",)):
            self.open("127.0.0.1", port, ours=inodes(mine))

    def test_an_address_of_another_machine(self) -> None:
        """An address that no interface has is said to be so."""
        self.assertEqual(self.reason("192.0.2.1", 0), "address not available on this machine")
        self.assertIn("it has no interface nowhere0", self.reason("fe80::1%nowhere0", 0))
        for host, missing in (("192.0.2.1", True), ("fe80::1%nowhere0", True), ("127.0.0.1", False)):
            with socket.create_server(("127.0.0.1", 0)) as taken:
                error = self.assertRaises(BindError, self.open, host, taken.getsockname()[1])
            self.assertEqual(error.is_missing, missing)

    def test_a_port_for_root_only(self) -> None:
        """Without the right to ports below 1024, the reason says what is needed."""
        with mock.patch.object(Binding, "bind", side_effect=PermissionError(13, "Permission denied")):
            self.assertIn("ports below 1024 need", self.reason("127.0.0.1", 80))

    def test_an_unforeseen_reason_is_shown(self) -> None:
        """An error without a text of ours has the system's."""
        with mock.patch.object(Binding, "bind", side_effect=OSError(105, "No buffer space available")):
            self.assertEqual(self.reason("127.0.0.1", 80), "No buffer space available")

    def test_a_failure_leaves_no_socket(self) -> None:
        """Neither the probe nor the socket itself stays open when it cannot be bound."""
        made: list[socket.socket] = []
        new_socket = Binding.new_socket

        def remembered(binding: Binding) -> socket.socket:
            made.append(new_socket(binding))
            return made[-1]

        with mock.patch.object(Binding, "new_socket", remembered):
            self.reason("192.0.2.1", 0)
            self.reason("192.0.2.1", 80)
        self.assertEqual([one.fileno() for one in made], [-1, -1])

    def test_explicit_ipv6_is_ipv6_only(self) -> None:
        """``::`` written out takes no IPv4 client, the socket for both families does."""
        for both in (False, True):
            port = self.open("::", 0, both).getsockname()[1]
            if both:
                socket.create_connection(("127.0.0.1", port)).close()
            else:
                self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port))
            socket.create_connection(("::1", port)).close()

    def test_time_wait_is_not_in_the_way(self) -> None:
        """A port can be opened again while its old connections linger in the kernel."""
        listening = self.open("127.0.0.1")
        port = listening.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        listening.setblocking(True)
        listening.accept()[0].close()  # the side that closes first keeps the connection in TIME_WAIT
        client.close()
        listening.close()
        self.open("127.0.0.1", port)

    if not ipv6_exists():
        test_explicit_ipv6_is_ipv6_only.skip = "this machine has no IPv6"  # type: ignore[attr-defined]


def inodes(*sockets: socket.socket) -> dict[int, int]:
    """Our listening sockets as :func:`open_sockets` wants to know them."""
    return {os.fstat(one.fileno()).st_ino: one.getsockname()[1] for one in sockets}
