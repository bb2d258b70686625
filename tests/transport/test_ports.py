"""The listening ports as the routes want them: opened, kept, closed, and tried again."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from meshgate.routing.connection_policy import Keepalive
from meshgate.routing.table import Listener, ListenerKey
from meshgate.transport import ports as ports_module
from meshgate.transport.binding import ipv6_exists
from meshgate.transport.dialing import dial
from meshgate.transport.network import TWISTED, Port, make_network
from meshgate.transport.ports import FIRST_RETRY, LAST_RETRY, PortFailure, Ports, accept_here
from tests.peers import LOOPBACK, Peer, end_all, on_every_transport
from tests.support import free_port, reactor, wait_for

IN_USE = "in use by another process"


class KeyedFactory(Factory):
    """Greets with the listener's key, so that a client knows where it came in."""

    noisy = False

    def __init__(self, key: ListenerKey, peers: list[Peer]) -> None:
        self._key = key
        self._peers = peers

    def buildProtocol(self, addr: IAddress | None) -> Peer:
        """One more client."""
        self._peers.append(Peer(str(self._key).encode()))
        return self._peers[-1]


def listener(bind: str, port: int, dual_stack: bool = False) -> Listener:
    """A listener of which only the address matters."""
    return Listener(ListenerKey(bind, port), dual_stack=dual_stack, sniffs=False)


@on_every_transport
class PortsTests(TestCase):
    """Ports on real sockets."""

    def setUp(self) -> None:
        """Ports that count what they report."""
        self.clock = Clock()
        self.changes = 0
        self.peers: list[Peer] = []
        self.made: list[ListenerKey] = []
        self.network = make_network(getattr(self, "transport", TWISTED), reactor)
        self.ports = Ports(self.clock, accept_here(self.network, self.factory), self.changed)
        self.addCleanup(self.end)

    async def end(self) -> None:
        """Close everything."""
        await self.ports.close()
        await end_all(self.peers)
        self.network.close()

    def factory(self, key: ListenerKey) -> KeyedFactory:
        """Make the factory of a listener."""
        self.made.append(key)
        return KeyedFactory(key, self.peers)

    def changed(self) -> None:
        """Count the change."""
        self.changes += 1

    async def greeting(self, host: str, port: int) -> str:
        """Return the greeting of a client of this address."""
        return bytes((await self.client(host, port)).received).decode()

    async def client(self, host: str, port: int) -> Peer:
        """A client that has been greeted."""
        client = await dial(reactor, host, port, Peer(), 10)
        self.peers.append(client)
        await wait_for(lambda: client.received, "a greeting")
        return client

    async def test_it_opens_what_is_wanted(self) -> None:
        """Every wanted listener is open and serves with its own key."""
        wanted = [listener(LOOPBACK, free_port()) for _ in range(3)]
        self.assertEqual(self.ports.reconcile(wanted), ())
        self.assertEqual(self.ports.listening, tuple(sorted(one.key for one in wanted)))
        for one in wanted:
            self.assertEqual(await self.greeting(LOOPBACK, one.key.port), str(one.key))

    async def test_a_port_that_stays_is_not_touched(self) -> None:
        """A second reconcile neither closes nor opens what is wanted again; a waiting client is served."""
        first = listener(LOOPBACK, free_port())
        self.ports.reconcile([first])
        waiting = socket.create_connection((LOOPBACK, first.key.port))
        self.addCleanup(waiting.close)
        self.ports.reconcile([first, listener(LOOPBACK, free_port())])
        await wait_for(lambda: self.peers, "the waiting client")
        self.assertEqual(self.made.count(first.key), 1)

    async def test_a_port_that_goes_closes_and_its_connections_stay(self) -> None:
        """New clients are refused at once, those who are there go on."""
        going = listener(LOOPBACK, free_port())
        self.ports.reconcile([going])
        client = await self.client(LOOPBACK, going.key.port)
        self.ports.reconcile([])
        self.assertEqual(self.ports.listening, ())
        await wait_for(lambda: not accepts(LOOPBACK, going.key.port), "the port's end")
        self.peers[0].send(b" goes on")
        await client.got(f"{going.key} goes on".encode())

    async def test_a_socket_that_others_hold_goes_on(self) -> None:
        """After stopping here, new connections wait for the other process that shares the socket."""
        listening = socket.create_server((LOOPBACK, 0))
        self.addCleanup(listening.close)
        listening.setblocking(False)
        key = ListenerKey(LOOPBACK, listening.getsockname()[1])
        port = accept_here(self.network, self.factory)(key, [listening.dup()])
        self.assertEqual(await self.greeting(LOOPBACK, key.port), str(key))
        await port.stop()
        waiting = socket.create_connection(listening.getsockname(), timeout=10)
        self.addCleanup(waiting.close)
        await deferLater(reactor, 0)
        await deferLater(reactor, 0)
        taken, _ = listening.accept()
        taken.close()

    async def test_who_waits_is_taken_in(self) -> None:
        """Clients that wait when a port goes are served, and those after them refused, whoever holds the socket."""
        going = listener(LOOPBACK, free_port())
        held: list[socket.socket] = []

        def serve(key: ListenerKey, sockets: Sequence[socket.socket]) -> Port:
            held.extend(one.dup() for one in sockets)
            return accept_here(self.network, self.factory)(key, sockets)

        ports = Ports(reactor, serve, self.changed)
        ports.reconcile([going])
        waiting = [socket.create_connection((LOOPBACK, going.key.port), 10) for _ in range(50)]
        ports.reconcile([])
        self.assertFalse(accepts(LOOPBACK, going.key.port))
        for each in (*waiting, *held):
            self.addCleanup(each.close)
        for client in waiting:
            greeting = await deferToThread(client.recv, 100)
            self.assertEqual(greeting.decode(), str(going.key))
        await ports.close()

    async def test_a_port_can_come_back(self) -> None:
        """A port that went can be opened again in the next breath."""
        coming = listener(LOOPBACK, free_port())
        for wanted in ([coming], [], [coming]):
            self.assertEqual(self.ports.reconcile(wanted), ())
        self.assertEqual(await self.greeting(LOOPBACK, coming.key.port), str(coming.key))

    async def test_two_binds_of_one_port(self) -> None:
        """The closest address serves, whichever was opened first."""
        for first, second in (("0.0.0.0", LOOPBACK), (LOOPBACK, "0.0.0.0")):
            port = free_port()
            self.ports.reconcile([listener(first, port)])
            self.assertEqual(self.ports.reconcile([listener(first, port), listener(second, port)]), ())
            self.assertEqual(await self.greeting(LOOPBACK, port), f"{LOOPBACK}:{port}")
            self.assertEqual(await self.greeting("127.0.0.2", port), f"0.0.0.0:{port}")

    async def test_an_unset_bind_takes_both_families(self) -> None:
        """Without a bind, IPv4 and IPv6 clients come in on one listener, also beside a closer address."""
        port = free_port()
        wanted = [listener("0.0.0.0", port, dual_stack=True), listener(LOOPBACK, port)]
        self.assertEqual(self.ports.reconcile(wanted), ())
        self.assertEqual(await self.greeting("::1", port), f"0.0.0.0:{port}")
        self.assertEqual(await self.greeting("127.0.0.2", port), f"0.0.0.0:{port}")
        self.assertEqual(await self.greeting(LOOPBACK, port), f"{LOOPBACK}:{port}")

    async def test_both_families_side_by_side(self) -> None:
        """0.0.0.0 and :: written out are two listeners of one port."""
        port = free_port()
        self.assertEqual(self.ports.reconcile([listener("0.0.0.0", port), listener("::", port)]), ())
        self.assertEqual(await self.greeting(LOOPBACK, port), f"0.0.0.0:{port}")
        self.assertEqual(await self.greeting("::1", port), f"[::]:{port}")

    async def test_unset_and_written_out_are_not_the_same(self) -> None:
        """IPv6 clients are refused once the bind is 0.0.0.0."""
        port = free_port()
        self.ports.reconcile([listener("0.0.0.0", port, dual_stack=True)])
        self.assertEqual(await self.greeting("::1", port), f"0.0.0.0:{port}")
        self.assertEqual(self.ports.reconcile([listener("0.0.0.0", port)]), ())
        self.assertFalse(accepts("::1", port))
        self.assertEqual(await self.greeting(LOOPBACK, port), f"0.0.0.0:{port}")
        await wait_for(lambda: not accepts("::1", port), "the end of the first socket")

    async def test_accepted_connections_inherit_their_options(self) -> None:
        """On accepted connections Nagle's algorithm is off and keep-alive is on."""
        wanted = listener(LOOPBACK, free_port())
        self.ports.reconcile([wanted])
        await self.client(LOOPBACK, wanted.key.port)
        self.assertTrue(self.peers[0].transport.getTcpNoDelay())
        self.assertTrue(self.peers[0].transport.getTcpKeepAlive())

    async def test_the_probes_of_accepted_connections(self) -> None:
        """They are those that were wanted when a connection came, also on a port that was open before."""
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        wanted = listener(LOOPBACK, free_port())
        for keepalive in (Keepalive(5, 60, 10), Keepalive(3, 30, 7), None):
            self.ports.keepalive = keepalive
            self.ports.reconcile([wanted])
            await self.client(LOOPBACK, wanted.key.port)
            accepted = [peer for peer in self.peers if peer.transport.getHost().port == wanted.key.port]
            transport = accepted[-1].transport
            self.assertEqual(transport.getTcpKeepAlive(), keepalive is not None)
            if keepalive is not None:
                values = [transport.getHandle().getsockopt(socket.IPPROTO_TCP, option) for option in options]
                self.assertEqual(values, [keepalive.time, keepalive.interval, keepalive.probes])
        self.assertEqual(self.made.count(wanted.key), 1)

    async def test_a_failing_port_does_not_stop_the_others(self) -> None:
        """One port that cannot be opened is reported; the others serve."""
        unix = listener("unix:///dev/null/meshgate", 0)
        good = listener(LOOPBACK, free_port())
        failures = self.ports.reconcile([unix, good])
        self.assertEqual(failures, (PortFailure(unix.key, "Not a directory"),))
        self.assertEqual(self.ports.listening, (good.key,))

    async def test_a_port_is_tried_until_it_is_free(self) -> None:
        """A port in use opens when it becomes free, and that is reported once."""
        blocker = socket.create_server((LOOPBACK, 0))
        wanted = listener(LOOPBACK, blocker.getsockname()[1])
        self.assertEqual(self.ports.reconcile([wanted]), (PortFailure(wanted.key, IN_USE),))
        self.clock.advance(FIRST_RETRY)
        self.assertEqual((self.ports.failures, self.changes), ((PortFailure(wanted.key, IN_USE),), 0))
        blocker.close()
        self.clock.advance(FIRST_RETRY * 2)
        self.assertEqual((self.ports.failures, self.changes), ((), 1))
        self.assertEqual(await self.greeting(LOOPBACK, wanted.key.port), str(wanted.key))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_pauses_grow(self) -> None:
        """The pauses between tries double up to the longest one."""
        self.ports.reconcile([listener("unix:///dev/null/meshgate", 0)])
        pauses = []
        for _ in range(7):
            (retry,) = self.clock.getDelayedCalls()
            pauses.append(retry.getTime() - self.clock.seconds())
            self.clock.advance(pauses[-1])
        self.assertEqual(pauses, [FIRST_RETRY, 2, 4, 8, 16, LAST_RETRY, LAST_RETRY])

    def test_a_missing_address_is_tried_each_second(self) -> None:
        """An address may come at any time, and then others wait for it: the pauses do not grow."""
        missing = listener("192.0.2.1", free_port())
        (failure,) = self.ports.reconcile([missing])
        self.assertTrue(failure.is_missing)
        for _ in range(3):
            (retry,) = self.clock.getDelayedCalls()
            self.assertEqual(retry.getTime() - self.clock.seconds(), FIRST_RETRY)
            self.clock.advance(FIRST_RETRY)

    def test_new_routes_try_at_once_and_keep_the_pause(self) -> None:
        """A reconcile tries a failing port without waiting, but does not make it be tried more often."""
        blocker = socket.create_server((LOOPBACK, 0))
        self.addCleanup(blocker.close)
        wanted = listener(LOOPBACK, blocker.getsockname()[1])
        self.ports.reconcile([wanted])
        self.clock.advance(FIRST_RETRY)
        self.ports.reconcile([wanted])
        (retry,) = self.clock.getDelayedCalls()
        self.assertEqual(retry.getTime() - self.clock.seconds(), FIRST_RETRY * 2)
        blocker.close()
        self.assertEqual(self.ports.reconcile([wanted]), ())
        self.assertEqual((self.clock.getDelayedCalls(), self.changes), ([], 0))

    def test_another_reason_is_a_change(self) -> None:
        """A port that fails for another reason than before is reported."""
        blocker = socket.create_server((LOOPBACK, 0))
        self.addCleanup(blocker.close)
        wanted = listener(LOOPBACK, blocker.getsockname()[1])
        self.ports.reconcile([wanted])
        self.patch(socket.socket, "bind", refuse_permission)
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.changes, 1)
        self.assertIn("permission denied", self.ports.failures[0].reason)

    def test_a_port_no_longer_wanted_is_not_tried(self) -> None:
        """The retry ends with the wish, and so do the failures."""
        self.ports.reconcile([listener("unix:///dev/null/meshgate", 0)])
        self.assertEqual(self.ports.reconcile([]), ())
        self.assertEqual((self.ports.failures, self.clock.getDelayedCalls()), ((), []))

    async def test_closing_frees_every_port(self) -> None:
        """After close, nothing listens and nothing is tried."""
        wanted = [listener(LOOPBACK, free_port()), listener("unix:///dev/null/meshgate", 0)]
        self.ports.reconcile(wanted)
        await self.ports.close()
        self.assertFalse(accepts(LOOPBACK, wanted[0].key.port))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    if not ipv6_exists():
        for needs_ipv6 in (
            test_an_unset_bind_takes_both_families,
            test_both_families_side_by_side,
            test_unset_and_written_out_are_not_the_same,
        ):
            needs_ipv6.skip = "this machine has no IPv6"  # type: ignore[attr-defined]


def refuse_permission(*_: object) -> None:
    """As the kernel does for a port below 1024."""
    raise PermissionError(13, "Permission denied")


def accepts(host: str, port: int) -> bool:
    """Return True if anybody listens."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except ConnectionError:
        return False
    return True


class AcceptingPort:
    """A port of several sockets on which the test accepts; each answers with its index."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = sockets
        self.open = True

    def accepted(self) -> list[int]:
        """Accept what waits; the number of connections of each socket."""
        counts = []
        for listening in self.sockets:
            count = 0
            while self.open:
                try:
                    listening.accept()[0].close()
                except BlockingIOError:
                    break
                count += 1
            counts.append(count)
        return counts

    def stop(self) -> Deferred[object]:
        """As Port."""
        self.open = False
        for listening in self.sockets:
            listening.close()
        return succeed(None)

    def finish(self) -> Deferred[object]:
        """As Port: in all processes that share the sockets."""
        for listening in self.sockets:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
        return self.stop()

    def defer_accept(self, wanted: bool) -> None:
        """As Port."""

    def keep_alive(self, keepalive: Keepalive | None) -> None:
        """As Port."""


class HandoverTests(TestCase):
    """Ports that go from one process to another, both played by this one."""

    def ports(self, copies: int) -> Ports:
        """Ports with so many sockets."""
        made = Ports(
            reactor,
            lambda key, sockets: self.opened.setdefault(len(self.opened), AcceptingPort(sockets)),
            lambda: None,
            copies,
        )
        self.addCleanup(made.close)
        return made

    def setUp(self) -> None:
        """No port yet."""
        self.opened: dict[int, Any] = {}

    def inherited(self, before: Ports, copies: int) -> Ports:
        """The ports of the next process."""
        after = self.ports(copies)
        after.inherit(
            {
                identity: [socket.socket(fileno=os.dup(each.fileno())) for each in sockets]
                for identity, sockets in before.shares().items()
            }
        )
        return after

    def connect(self, port: int, count: int) -> None:
        """Make connections, which wait to be accepted."""
        for _ in range(count):
            self.addCleanup(socket.create_connection((LOOPBACK, port), timeout=20).close)

    async def test_fewer_sockets(self) -> None:
        """
        No new connection goes to the sockets that are too many, those that wait there are accepted before they are
        closed, and none is lost.
        """
        self.patch(ports_module, "HANDSHAKES", 0.2)
        wanted = listener(LOOPBACK, free_port())
        before = self.ports(4)
        before.reconcile([wanted])
        after = self.inherited(before, 2)
        self.assertEqual(after.reconcile([wanted]), ())
        old, new = self.opened[0], self.opened[1]
        self.assertEqual(after.adopted(), [(wanted.key, False)])
        self.connect(wanted.key.port, 40)
        done = Deferred.fromCoroutine(before.hand_over([(wanted.key, False)], 2))
        self.assertFalse(done.called)
        early = old.accepted()
        self.assertEqual(sum(early), 40)
        self.connect(wanted.key.port, 60)
        late = old.accepted()
        self.assertEqual((sum(late), late[2:]), (60, [0, 0]))
        await done
        self.assertFalse(old.open)
        self.connect(wanted.key.port, 60)
        last = new.accepted()
        self.assertEqual(sum(last), 60)
        self.assertTrue(all(last))

    async def test_two_handovers(self) -> None:
        """The sockets of a process that has inherited them stay as they are, too, and block nobody."""
        self.patch(ports_module, "HANDSHAKES", 0.0)
        wanted = listener(LOOPBACK, free_port())
        before = self.ports(3)
        before.reconcile([wanted])
        for number, copies in enumerate((2, 1)):
            after = self.inherited(before, copies)
            after.reconcile([wanted])
            await before.hand_over(after.adopted(), copies)
            before = after
            new = self.opened[number + 1]
            self.assertEqual([os.get_blocking(each.fileno()) for each in new.sockets], [False] * copies)
            self.connect(wanted.key.port, 20)
            self.assertEqual(sum(new.accepted()), 20)

    async def test_more_sockets(self) -> None:
        """Further sockets join those that are inherited, and get their share."""
        wanted = listener(LOOPBACK, free_port())
        before = self.ports(1)
        before.reconcile([wanted])
        after = self.inherited(before, 3)
        self.assertEqual(after.reconcile([wanted]), ())
        await before.hand_over(after.adopted(), 3)
        self.connect(wanted.key.port, 90)
        counts = self.opened[1].accepted()
        self.assertEqual((len(counts), sum(counts)), (3, 90))
        self.assertTrue(all(counts))

    async def test_other_ports(self) -> None:
        """A port that the next process does not want is closed, also if it has another address of the same number."""
        number = free_port()
        kept, going = listener(LOOPBACK, free_port()), listener("127.0.0.2", number)
        coming = listener("0.0.0.0", number)
        before = self.ports(2)
        before.reconcile([kept, going])
        after = self.inherited(before, 2)
        self.assertEqual(after.reconcile([kept, coming]), ())
        self.assertEqual(after.adopted(), [(kept.key, False)])
        await before.hand_over([(kept.key, False)], 2)
        self.assertEqual((before.listening, after.listening), ((), tuple(sorted([kept.key, coming.key]))))
        self.assertEqual([self.opened[each].open for each in range(4)], [False, False, True, True])

    async def test_a_next_process_that_ends_early(self) -> None:
        """What it has inherited is left to the process before, a path too, until it is alone."""
        folder = tempfile.TemporaryDirectory(prefix="meshgate-")  # the length of a path of a socket is limited
        self.addCleanup(folder.cleanup)
        path = f"{folder.name}/s"
        wanted = [listener(LOOPBACK, free_port()), listener(f"unix://{path}", 0)]
        for alone in (False, True):
            before = self.ports(2)
            before.reconcile(wanted)
            after = self.inherited(before, 2)
            after.reconcile(wanted)
            if alone:
                after.alone()
            await after.close()
            self.assertEqual(accepts(LOOPBACK, wanted[0].key.port), not alone)
            self.assertEqual(Path(path).exists(), not alone)
            await before.close()
