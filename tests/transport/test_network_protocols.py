"""Twisted's own protocols and producers on either network: they see no difference."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from meshgate.transport.network import TWISTED, make_network
from tests.peers import LOOPBACK, Peer, end_all, on_every_transport
from tests.support import new_folder, reactor, wait_for
from tests.transport.test_network import Outcome

MIB = 1024 * 1024


class Plain(Protocol):
    """A protocol without half-close."""

    lost: Failure | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.lost = reason


class Lines(LineReceiver):
    """Closes at its first line."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        """Note it."""
        self.lines.append(line)
        self.transport.loseConnection()  # type: ignore[union-attr]


class NotingProducer:
    """A push producer that notes its calls and passes them on."""

    def __init__(self, real: Any) -> None:
        self.calls: list[str] = []
        self._real = real

    def pauseProducing(self) -> None:
        """As IPushProducer."""
        self.calls.append("pause")
        self._real.pauseProducing()

    def resumeProducing(self) -> None:
        """As IPushProducer."""
        self.calls.append("resume")
        self._real.resumeProducing()

    def stopProducing(self) -> None:
        """As IPushProducer."""
        self.calls.append("stop")


@on_every_transport
class ProtocolTests(TestCase):
    """Real connections, both sides on networks of the same kind: none dials itself."""

    transport = TWISTED

    def setUp(self) -> None:
        """Nothing listens yet."""
        self.network, self.far = (make_network(self.transport, reactor) for _ in range(2))
        self.peers: list[Peer] = []
        self.ports: list[Any] = []
        self.addCleanup(self._end)

    async def _end(self) -> None:
        for port in self.ports:
            await port.stop()
        await end_all(self.peers)
        self.network.close()
        self.far.close()

    async def pair(self, made: Callable[[], Any] = Peer) -> tuple[Peer, Any]:
        """A client, and the protocol that serves it."""
        servers: list[Any] = []

        def make() -> Any:
            servers.append(made())
            return servers[-1]

        factory = Factory.forProtocol(make)
        factory.noisy = False
        listening = socket.create_server((LOOPBACK, 0))
        listening.setblocking(False)
        host, port = listening.getsockname()
        self.ports.append(self.far.listen(listening, factory))
        client, outcome = Peer(), Outcome()
        self.network.dial(host, port, client, 10, b"", outcome)
        await wait_for(lambda: outcome.told and servers and servers[0].transport, "the connection")
        self.assertEqual(outcome.told, [client])
        self.peers += [peer for peer in (client, *servers) if isinstance(peer, Peer)]
        return client, servers[0]

    async def test_each_reason_for_an_end(self) -> None:
        """Closed and aborted: both sides hear of it in the same terms."""
        for end, here, there in (
            ("loseConnection", ConnectionDone, ConnectionDone),
            ("abortConnection", ConnectionAborted, ConnectionLost),
        ):
            client, server = await self.pair(Plain)
            getattr(server.transport, end)()
            if end == "loseConnection":
                await client.got_finish()
                client.transport.loseConnection()
            await wait_for(lambda client=client, server=server: client.lost and server.lost, "both ends")  # type: ignore[misc]
            assert client.lost is not None
            self.assertEqual((server.lost.type, client.lost.type), (here, there))

    async def test_a_plain_protocol_is_closed_by_an_end_of_stream(self) -> None:
        """A protocol without half-close is closed when the other side has finished."""
        client, server = await self.pair(Plain)
        client.finish()
        await client.got_finish()
        await wait_for(lambda: server.lost, "the end")
        self.assertEqual(server.lost.type, ConnectionDone)

    async def test_a_sender_of_files(self) -> None:
        """Twisted's own pull producer, and a close that waits for it."""
        client, server = await self.pair()
        path = new_folder(self) / "file"
        path.write_bytes(bytes(3 * MIB))
        with path.open("rb") as file:
            sent = FileSender().beginFileTransfer(file, server.transport)
            server.transport.loseConnection()
            await sent
        await client.got_finish()
        self.assertEqual(client.finished, 3 * MIB)

    async def test_a_connection_as_anothers_producer(self) -> None:
        """Bytes read from one connection are written to the other, and all arrive, although the reader pauses."""
        sender, inward = await self.pair()
        reader, outward = await self.pair()
        producer = NotingProducer(inward.transport)
        outward.transport.registerProducer(producer, True)
        inward.dataReceived = outward.transport.write
        reader.transport.pauseProducing()
        sender.send(bytes(16 * MIB))
        await wait_for(lambda: producer.calls, "the pause")
        reader.transport.resumeProducing()
        await reader.got(bytes(16 * MIB))
        await wait_for(lambda: producer.calls[-1] == "resume", "to go on")
        outward.transport.unregisterProducer()
        self.assertEqual(producer.calls[:2], ["pause", "resume"])

    async def test_lines_behind_a_close(self) -> None:
        """A line receiver that closes is given none of the lines that came with the last one."""
        client, server = await self.pair(Lines)
        client.send(b"one\ntwo\nthree\n")
        await client.got_finish()
        self.assertEqual(server.lines, [b"one"])
