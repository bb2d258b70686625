"""Tests of :mod:`meshgate.transport.activation`, and of ports that get activated sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.processes.launch import StartError
from meshgate.processes.service_manager import PassedOn
from meshgate.proxy.endings import Ending
from meshgate.routing.table import Listener, ListenerKey
from meshgate.transport.activation import ActivatedSocket, activated_sockets
from meshgate.transport.binding import Binding
from meshgate.transport.ports import PortFailure, Ports
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, on_every_transport, tcp_listener
from tests.support import free_port


def listening_at(test: SynchronousTestCase | TestCase, host: str, port: int = 0, both: bool = False) -> socket.socket:
    """A listening socket that the service manager has opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, port), family=family, dualstack_ipv6=both)
    test.addCleanup(made.close)
    return made


def connect_and_read(address: tuple[str, int] | str) -> bytes:
    """The first that a client gets: bytes, none at an end of stream, or ``reset``."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.settimeout(10)
        try:
            client.connect(address)
            return client.recv(100)
        except ConnectionResetError:
            return b"reset"


class TakingTests(SynchronousTestCase):
    """Descriptors that were passed on."""

    def passed(self, *sockets: socket.socket | int, names: str) -> list[PassedOn]:
        """Copies of descriptors, which a child would inherit."""
        copies = [os.dup(each if isinstance(each, int) else each.fileno()) for each in sockets]
        for each in copies:
            os.set_inheritable(each, True)
            self.addCleanup(_close, each)
        return list(map(PassedOn, copies, names.split(":")))

    def test_sockets_and_their_names(self) -> None:
        """Each socket has its name and its address, and no child inherits it."""
        first, second = listening_at(self, LOOPBACK), listening_at(self, "::", both=True)
        taken = activated_sockets(self.passed(first, second, names="web:api"))
        self.assertEqual(
            [str(each) for each in taken],
            [f"{LOOPBACK}:{first.getsockname()[1]} (web)", f"[::]:{second.getsockname()[1]} (api)"],
        )
        self.assertFalse(any(os.get_inheritable(each.listening.fileno()) for each in taken))

    def test_what_is_no_listening_socket(self) -> None:
        """A file, a datagram socket, one that does not listen, and a closed descriptor, each by its number and name."""
        datagrams = self.enterContext(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent = self.enterContext(socket.socket())
        file = self.enterContext(Path(os.devnull).open())
        for descriptor, why in (
            (file.fileno(), "is no socket; only ListenStream= can be used"),
            (datagrams, "is no TCP socket and no stream socket of Unix; only ListenStream= can be used"),
            (silent, "does not listen; the socket unit has to say Accept=no"),
        ):
            (passed,) = self.passed(descriptor, names="web")
            error = self.assertRaises(StartError, activated_sockets, [passed])
            self.assertEqual(str(error), f"socket activation: descriptor {passed.number} (web) {why}")
        _close(passed.number)
        error = self.assertRaises(StartError, activated_sockets, [passed])
        self.assertIn("(web) is not open, although LISTEN_FDS counts it", str(error))

    def test_one_address_twice(self) -> None:
        """The kernel would give some of the connections to either, and a listener takes one socket."""
        first = listening_at(self, LOOPBACK)
        error = self.assertRaises(StartError, activated_sockets, self.passed(first, first, names="a:b"))
        self.assertIn(f"{LOOPBACK}:{first.getsockname()[1]} was passed on twice", str(error))


def _close(number: int) -> None:
    try:
        os.close(number)
    except OSError:
        pass


class MatchTests(SynchronousTestCase):
    """Which socket is whose."""

    def test_addresses(self) -> None:
        """Family, address and port are the same, and at the unspecified address the families that are served."""
        port = free_port()
        for host, both, binding, same in (
            (LOOPBACK, False, Binding(LOOPBACK, port), True),
            (LOOPBACK, False, Binding(LOOPBACK, port + 1), False),
            (LOOPBACK, False, Binding("0.0.0.0", port), False),
            ("0.0.0.0", False, Binding("0.0.0.0", port), True),
            ("0.0.0.0", False, Binding("::", port, both_families=True), False),
            ("::", True, Binding("::", port, both_families=True), True),
            ("::", True, Binding("::", port), False),
            ("::", False, Binding("::", port), True),
            ("::", False, Binding("::", port, both_families=True), False),
            ("::1", True, Binding("::1", port), True),
            ("::1", False, Binding("0:0::1", port), True),
            ("::1", False, Binding("fe80::1%nowhere", port), False),
            (LOOPBACK, False, "unix:///run/x", False),
        ):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if ":" in host:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
                listening.bind((host, port))
                self.assertEqual(ActivatedSocket(listening, "x").is_for(binding), same, (host, both, binding))

    def test_unix_sockets(self) -> None:
        """Paths and abstract names, as settings write them."""
        path = f"{self.enterContext(TemporaryDirectory())}/gw.sock"
        for name, address in ((path, f"unix://{path}"), ("\0mg-activated", "unix://@mg-activated")):
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(name)
                activated = ActivatedSocket(listening, "x")
                self.assertTrue(activated.is_for(address))
                self.assertFalse(activated.is_for(f"{address}x"))
                self.assertFalse(activated.is_for(Binding(LOOPBACK, 80)))
                self.assertEqual(activated.key, ListenerKey(address, 0))


@on_every_transport
class PortsTests(TestCase):
    """A data plane whose ports have activated sockets."""

    def gateway(self, *sockets: socket.socket) -> GatewayUnderTest:
        """Make it, with copies of sockets, which the service manager keeps."""
        gateway = GatewayUnderTest(self)
        activated = [ActivatedSocket(each.dup(), "web") for each in sockets]
        for each in activated:
            self.addCleanup(each.listening.close)
        gateway.ports = Ports(gateway.plane.reactor, gateway._accept_and_note, lambda: None, activated=activated)
        return gateway

    async def answer(self, address: tuple[str, int] | str) -> bytes:
        """The first that one client gets."""
        return await deferToThread(connect_and_read, address)

    async def test_a_life(self) -> None:
        """
        A listener gets the socket of its address; when it is gone, connections are reset as no_route, and it comes
        back. Nobody is refused at any time, and the manager's socket listens to the last.
        """
        origin, managers = Origin(self, b"Welcome\n"), listening_at(self, LOOPBACK)
        gateway = self.gateway(managers)
        address = managers.getsockname()
        served = tcp_listener(origin.endpoint, port=address[1])
        for listeners, got in (([], b"reset"), ([served], b"Welcome\n"), ([], b"reset"), ([served], b"Welcome\n")):
            gateway.serve(*listeners)
            self.assertEqual(await self.answer(address), got)
            self.assertEqual([each.name for each in gateway.ports.unclaimed], [] if listeners else ["web"])
            self.assertEqual(gateway.ports.listening, tuple(each.key for each in listeners))
        self.assertEqual([each.ending for each in gateway.records].count(Ending.NO_ROUTE), 2)
        await gateway.ports.close()
        with socket.create_connection(address, timeout=10):
            managers.accept()[0].close()

    async def test_first_bytes_are_not_waited_for(self) -> None:
        """A listener that defers the accept leaves the socket as it was found, for clients that only connect."""
        managers = listening_at(self, LOOPBACK)
        gateway = self.gateway(managers)
        gateway.ports.deferring = True
        listener = tcp_listener(port=managers.getsockname()[1])
        for wanted, deferred in (
            ([Listener(listener.key, dual_stack=False, sniffs=True)], True),
            ([listener], False),
            ([Listener(listener.key, dual_stack=False, sniffs=True)], True),
            ([], False),
        ):
            gateway.serve(*wanted)
            self.assertEqual(bool(managers.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)), deferred)

    async def test_unix(self) -> None:
        """The path is the manager's: it stays when the listener goes, and when the gateway ends."""
        origin = Origin(self, b"Welcome\n")
        path = f"{self.enterContext(TemporaryDirectory())}/gw.sock"
        managers = self.enterContext(socket.socket(socket.AF_UNIX))
        managers.bind(path)
        managers.listen()
        gateway = self.gateway(managers)
        for listeners, got in (
            ([tcp_listener(origin.endpoint, bind=f"unix://{path}")], b"Welcome\n"),
            ([], b""),  # there are no resets
        ):
            gateway.serve(*listeners)
            self.assertEqual(await self.answer(path), got)
        await gateway.ports.close()
        self.assertTrue(Path(path).is_socket())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    def test_another_address(self) -> None:
        """A listener that cannot use the socket, and cannot have one of its own, is told what it needs."""
        managers = listening_at(self, "::", both=True)
        port = managers.getsockname()[1]
        gateway = self.gateway(managers)
        why = f"the activated socket [::]:{port} (web) is in the way; the listener needs one with ListenStream="
        for listener, needs in (
            (tcp_listener(bind="0.0.0.0", port=port), f"0.0.0.0:{port}"),
            (tcp_listener(bind="::", port=port), f"[::]:{port} and BindIPv6Only=ipv6-only"),
        ):
            failures = gateway.ports.reconcile([listener])
            self.assertEqual(failures, (PortFailure(listener.key, why + needs),))
            self.assertEqual(len(gateway.ports.unclaimed), 1)
        only_ipv4 = self.gateway(listening_at(self, "0.0.0.0"))
        (activated,) = only_ipv4.ports.unclaimed
        unset = Listener(ListenerKey("0.0.0.0", activated.key.port), dual_stack=True, sniffs=False)
        (failure,) = only_ipv4.ports.reconcile([unset])
        self.assertIn(f"with ListenStream=[::]:{activated.key.port} and BindIPv6Only=both", failure.reason)

    async def test_other_ports_are_opened_as_ever(self) -> None:
        """Beside an activated socket, a listener of another port has a socket of its own."""
        origin, managers = Origin(self, b"Welcome\n"), listening_at(self, LOOPBACK)
        gateway = self.gateway(managers)
        other = tcp_listener(origin.endpoint)
        gateway.serve(other)
        await (await gateway.connect(other)).got(b"Welcome\n")
        self.assertEqual(len(gateway.ports.unclaimed), 1)
