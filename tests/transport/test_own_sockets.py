"""Our own listening sockets: which addresses they cover, and which are a neighbour's."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from unittest import mock

from twisted.trial.unittest import TestCase

from meshgate.transport import own_sockets
from meshgate.transport.binding import Binding
from meshgate.transport.own_sockets import REMEMBERED_FOR, OwnSockets, is_local_address
from tests.networks import enter_own_network, set_kernel

INTERFACES = (
    "ip link add d0 type veth peer name d1",
    "ip link set d0 up",
    "ip link set d1 up",
    "ip address add 10.1.0.5/24 dev d0",
    "ip -6 address add 2001:db8::5/64 dev d0 nodad",
    "ip -6 address add fe80::5/64 dev d0 nodad",
    "ip -6 address add fe80::6/64 dev d1 nodad",
    "ip route add local 192.0.2.0/24 dev lo",
)


class CoverTests(TestCase):
    """Dials that a bound socket would accept."""

    def setUp(self) -> None:
        """A network with addresses of both families, and no socket in it."""
        enter_own_network(self, *INTERFACES)
        self.now = 0.0
        self.own = OwnSockets(lambda: self.now)

    def listen(self, host: str, both_families: bool = False, port: int = 31400) -> socket.socket:
        """Listen on an address."""
        binding = Binding(host, port, both_families)
        listening = binding.new_socket()
        self.addCleanup(listening.close)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        binding.bind(listening)
        listening.listen()
        return listening

    def covered(self, *addresses: str, port: int = 31400) -> list[str]:
        """Dials that would come back to us."""
        return [address for address in addresses if self.own.would_accept(address, port)]

    def test_one_address(self) -> None:
        """A socket on one address covers just this one, however it is written; and its port only."""
        self.own.add(self.listen("127.0.0.1"))
        ours = ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"]
        self.assertEqual(self.covered(*ours, "127.0.0.2", "10.1.0.5", "::1", "::", "10.1.0.9"), ours)
        self.assertEqual(self.covered(*ours, port=31401), [])

    def test_all_addresses_of_one_family(self) -> None:
        """Every address of the machine is covered, and no other, nor the other family."""
        self.own.add(self.listen("0.0.0.0"))
        ours = ["127.0.0.1", "127.0.0.9", "10.1.0.5", "192.0.2.77", "::ffff:10.1.0.5", "0.0.0.0"]
        self.assertEqual(self.covered(*ours, "10.1.0.6", "10.9.9.9", "::1", "2001:db8::5"), ours)

    def test_all_addresses_of_ipv6_alone(self) -> None:
        """IPv4 is not covered by a socket for IPv6 only."""
        self.own.add(self.listen("::"))
        ours = ["::1", "2001:db8::5", "fe80::5%d0", "::"]
        self.assertEqual(self.covered(*ours, "127.0.0.1", "::ffff:127.0.0.1", "2001:db8::6", "fe80::5%d1"), ours)

    def test_both_families(self) -> None:
        """A socket for both covers both."""
        self.own.add(self.listen("::", both_families=True))
        ours = ["::1", "127.0.0.1", "::ffff:127.0.0.1", "10.1.0.5", "2001:db8::5"]
        self.assertEqual(self.covered(*ours, "10.1.0.6", "2001:db8::6", "fe80::77%d0"), ours)

    def test_an_address_with_a_zone(self) -> None:
        """The same address on another interface is another machine's."""
        self.own.add(self.listen("fe80::5%d0"))
        self.assertEqual(self.covered("fe80::5%d0", "fe80::5%d1", "fe80::6%d0"), ["fe80::5%d0"])

    def test_a_neighbour_with_the_same_port(self) -> None:
        """A foreign socket on just the dialed address gets the connection, not ours on all addresses: it is no loop."""
        self.own.add(self.listen("0.0.0.0"))
        self.listen("127.0.0.2")
        self.assertEqual(self.covered("127.0.0.2", "127.0.0.3"), ["127.0.0.3"])

    def test_sockets_come_and_go(self) -> None:
        """Of two sockets on one address each has to go before it is dialed again."""
        forget = [self.own.add(self.listen("127.0.0.1")) for _ in range(2)]
        for each in forget:
            self.assertEqual(self.covered("127.0.0.1"), ["127.0.0.1"])
            each()
            each()
        self.assertEqual((self.covered("127.0.0.1"), self.own.ports), ([], {}))

    def test_what_is_no_address(self) -> None:
        """Names and unknown zones are left to the dial."""
        self.own.add(self.listen("::", both_families=True))
        self.assertEqual(self.covered("localhost", "", "fe80::1%nowhere"), [])

    def test_the_kernel_is_asked_seldom(self) -> None:
        """Its answer holds for some seconds; an exact address takes none."""
        asked: list[str] = []

        def is_local(address: object, zone: str) -> bool:
            asked.append(str(address))
            return len(asked) == 1

        self.own = OwnSockets(lambda: self.now, is_local)
        self.own.add(self.listen("0.0.0.0"))
        self.assertEqual(self.covered(*["10.1.0.5"] * 3), ["10.1.0.5"] * 3)
        self.now += REMEMBERED_FOR
        self.assertEqual((self.covered("10.1.0.5"), asked), ([], ["10.1.0.5"] * 2))

    def test_addresses_of_the_machine(self) -> None:
        """The kernel's routing says what stays here; an address that may be bound without being there does not."""
        set_kernel("ipv4.ip_nonlocal_bind", "1")
        here = ["127.0.0.1", "127.1.2.3", "10.1.0.5", "192.0.2.1", "::1", "2001:db8::5", "fe80::5"]
        elsewhere = ["10.1.0.6", "10.1.0.255", "203.0.113.1", "2001:db8::6", "255.255.255.255"]
        found = [address for address in here + elsewhere if is_local_address(ip_address(address))]
        self.assertEqual(found, here)

    def test_without_netlink(self) -> None:
        """Where the service unit forbids to ask for routes, the source address of packets to an address tells."""
        refused = OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        self.patch(own_sockets, "_route_type", mock.Mock(side_effect=refused))
        self.own.add(self.listen("::", both_families=True))
        ours = ["127.0.0.9", "10.1.0.5", "192.0.2.77", "2001:db8::5", "fe80::5%d0"]
        elsewhere = ["10.1.0.6", "10.1.0.255", "203.0.113.1", "2001:db8::6", "fe80::5%d1", "fe80::77%d0"]
        self.assertEqual(self.covered(*ours, *elsewhere), ours)
