"""Last words: what a side has sent before its reset arrives, whatever else is under way. On real sockets."""

from __future__ import annotations

import os
import socket
import struct
import time

from twisted.internet import threads
from twisted.trial.unittest import TestCase

from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Limits
from meshgate.proxy.relay import GRACE, LAST_RECORD
from meshgate.routing.table import Endpoint
from meshgate.transport.lean.sockets import queued
from meshgate.transport.network import LEAN
from tests.peers import LOOPBACK, GatewayUnderTest, Origin, on_every_transport, tcp_listener
from tests.support import wait_for

MIB = 1024 * 1024
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\n".ljust(466, b"x")
ROUNDS = 6


class Stubborn:
    """An endpoint of blocking sockets, which reads nothing by itself."""

    def __init__(self, test: TestCase) -> None:
        self._listening = socket.create_server((LOOPBACK, 0))
        self._listening.settimeout(10)
        self.endpoint = Endpoint(LOOPBACK, self._listening.getsockname()[1])
        test.addCleanup(self._listening.close)

    async def accept(self) -> socket.socket:
        """The next connection."""
        accepted: tuple[socket.socket, object] = await threads.deferToThread(self._listening.accept)
        accepted[0].settimeout(10)
        return accepted[0]


def reset(sock: socket.socket) -> None:
    """Close by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock: socket.socket) -> tuple[int, bool]:
    """The number of bytes that arrive, and True if a reset ends them."""
    count = 0
    try:
        while data := sock.recv(MIB):
            count += len(data)
    except ConnectionResetError:
        return count, True
    return count, False


def send_until_reset(sock: socket.socket, data: bytes) -> bool:
    """Send as much as is taken, and tell whether a reset ended that; the kernel tells of a reset only once."""
    try:
        sock.sendall(data)
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


class LastWordsCase(TestCase):
    """An endpoint, a gateway in front of it, and blocking clients."""

    def setUp(self) -> None:
        """An endpoint and a gateway in front of it."""
        self.stubborn = Stubborn(self)
        self.gateway = GatewayUnderTest(self)
        self.listener = tcp_listener(self.stubborn.endpoint)
        self.gateway.serve(self.listener)

    async def stalled(self) -> None:
        """Wait until the gateway makes no progress."""
        seen: list[int] = []

        def no_more() -> bool:
            seen.append(sum(record.bytes_in + record.bytes_out for record in self.gateway.live_records()))
            return seen[-1] > 0 and len(seen) > 20 and seen[-20] == seen[-1]

        await wait_for(no_more, "a standstill")

    def raw_client(self) -> socket.socket:
        """A client that reads nothing by itself."""
        client = socket.create_connection(self.gateway.addresses[self.listener.key])
        client.settimeout(10)
        self.addCleanup(client.close)
        return client

    async def fill(self, sender: socket.socket) -> int:
        """Send until the kernel takes nothing more for a while, and return the number of bytes that it took."""
        sender.setblocking(False)
        sent = refusals = 0

        def is_full() -> bool:
            nonlocal sent, refusals
            try:
                sent += sender.send(bytes(MIB))
                refusals = 0
            except BlockingIOError:
                refusals += 1
            return refusals == 30

        await wait_for(is_full, "a full sender")
        return sent


@on_every_transport
class LastWordsTests(LastWordsCase):
    """A reset in every situation, with bytes on their way to whoever is left."""

    async def test_an_early_answer(self) -> None:
        """An endpoint that refuses an upload and closes with input unread: the client gets all of the answer."""
        for number in range(ROUNDS):
            client = await self.gateway.connect(self.listener)
            client.send(bytes(8 * MIB))
            upstream = await self.stubborn.accept()
            await self.stalled()
            upstream.sendall(REFUSAL)
            upstream.close()
            await client.got_reset()
            self.assertEqual(len(client.received), len(REFUSAL))
            record = await self.gateway.record(number)
            self.assertEqual((record.ending, record.bytes_out), (Ending.UPSTREAM_RESET, len(REFUSAL)))

    async def test_a_slow_reader(self) -> None:
        """A slow reader gets all bytes that the gateway and its kernel had when the endpoint reset."""
        for number, size in enumerate((MIB, 4 * MIB)):
            client = self.raw_client()
            upstream = await self.stubborn.accept()
            sending = threads.deferToThread(upstream.sendall, os.urandom(size))
            await self.stalled()
            if size == MIB:
                await sending
            reset(upstream)
            sending.addErrback(lambda _: None)
            await sending
            await self.still()
            (record,) = self.gateway.live_records()
            count, was_reset = await threads.deferToThread(read_all, client)
            self.assertTrue(was_reset)
            self.assertGreaterEqual(count, min(size, 2 * MIB))
            await self.gateway.record(number)
            self.assertEqual((record.ending, record.bytes_out), (Ending.UPSTREAM_RESET, count))

    async def still(self) -> None:
        """The connection is there, and its ending is not told, while bytes are on their way."""
        for _ in range(20):
            await wait_for(lambda: True, "a turn")
        self.assertEqual([record.ending for record in self.gateway.live_records()], [None])

    async def test_a_last_request(self) -> None:
        """A client that says something and resets: the endpoint gets it, and then the reset."""
        for number in range(ROUNDS):
            client = self.raw_client()
            upstream = await self.stubborn.accept()
            client.sendall(b"last words" * 30000)
            await wait_for(lambda client=client: not queued(client.fileno(), False), "the acknowledgement")  # type: ignore[misc]
            reset(client)
            self.assertEqual(await threads.deferToThread(read_all, upstream), (300000, True))
            upstream.close()
            record = await self.gateway.record(number)
            self.assertEqual((record.ending, record.bytes_in), (Ending.CLIENT_RESET, 300000))

    async def test_behind_what_waits(self) -> None:
        """A client that resets while the endpoint reads nothing: what the gateway and its kernel have all arrives."""
        client = self.raw_client()
        upstream = await self.stubborn.accept()
        sent = await self.fill(client)
        unsent = queued(client.fileno(), False)
        reset(client)
        self.assertEqual(await threads.deferToThread(read_all, upstream), (sent - unsent, True))
        upstream.close()
        self.assertEqual((await self.gateway.record()).ending, Ending.CLIENT_RESET)

    async def test_both_at_once(self) -> None:
        """Both reset, with bytes for each other: one record, and nothing is left."""
        for number in range(ROUNDS):
            client = self.raw_client()
            upstream = await self.stubborn.accept()
            await wait_for(lambda: all(one.relay for one in self.gateway.plane.connections), "the relay")
            client.sendall(b"x" * 100000)
            upstream.sendall(b"y" * 100000)
            reset(client)
            reset(upstream)
            record = await self.gateway.record(number)
            self.assertIn(record.ending, (Ending.CLIENT_RESET, Ending.UPSTREAM_RESET))
            self.assertEqual(record.bytes_out, 0)
        await wait_for(lambda: not self.gateway.plane.count, "the ends")

    async def test_a_client_that_resets_before_the_endpoint_is_there(self) -> None:
        """The endpoint gets the bytes that the client sent before, once it has answered."""
        origin = Origin(self)
        self.gateway.serve(
            listener := tcp_listener(Endpoint("later.test", origin.endpoint.port, dns=True), bind="127.0.0.2")
        )
        client = socket.create_connection(self.gateway.addresses[listener.key])
        await wait_for(lambda: self.gateway.resolver.asked, "the question")
        client.sendall(b"x" * 100000)
        await wait_for(lambda: any(one.early.size for one in self.gateway.plane.connections), "the first bytes")
        reset(client)
        self.gateway.resolver.answer("later.test", LOOPBACK)
        upstream = await origin.peer()
        await upstream.got_reset()
        self.assertEqual(upstream.received, b"x" * 100000)
        self.assertEqual((await self.gateway.record()).ending, Ending.CLIENT_RESET)

    async def answered(self) -> tuple[socket.socket, socket.socket]:
        """A client that has asked and got all that the endpoint has said so far, and the endpoint's side."""
        client = self.raw_client()
        client.sendall(b"question")
        upstream = await self.stubborn.accept()
        upstream.sendall(REFUSAL)
        self.assertEqual(await threads.deferToThread(client.recv, len(REFUSAL), socket.MSG_WAITALL), REFUSAL)
        self.assertEqual(await threads.deferToThread(upstream.recv, 100), b"question")
        await wait_for(lambda: not self.unacknowledged(), "the acknowledgement")
        return client, upstream

    def unacknowledged(self) -> int:
        """The bytes for the gateway's only client that it has not acknowledged."""
        (connection,) = self.gateway.plane.connections
        count: int = connection.transport.unacknowledged()
        return count

    async def test_a_client_that_closes_before_the_endpoint_does(self) -> None:
        """A client that resets after its answer, as by a close with a last record unread, has ended in order."""
        for number, record in enumerate((b"", b"close_notify".ljust(LAST_RECORD))):
            client, upstream = await self.answered()
            reset(client)
            await self.still()
            upstream.sendall(record)
            await self.still()
            upstream.close()
            found = await self.gateway.record(number)
            self.assertEqual((found.ending, found.bytes_in), (Ending.OK, 8))
            self.assertIn(found.bytes_out, (len(REFUSAL), len(REFUSAL) + len(record)))
            await wait_for(lambda: not self.gateway.plane.count, "the end")

    async def test_a_client_that_closes_while_the_endpoint_does(self) -> None:
        """The same where the endpoint's end is what cannot be sent any more."""
        for number in range(ROUNDS):
            client, upstream = await self.answered()
            reset(client)
            upstream.close()
            record = await self.gateway.record(number)
            self.assertEqual((record.ending, record.bytes_out), (Ending.OK, len(REFUSAL)))
            await wait_for(lambda: not self.gateway.plane.count, "the end")

    async def test_a_client_that_resets_before_its_answer_is_whole(self) -> None:
        """A client that resets while the endpoint has more to say, or says nothing more and stays, has reset."""
        for number, more in enumerate((bytes(LAST_RECORD + 1), bytes(MIB), b"")):
            client, upstream = await self.answered()
            reset(client)
            began = time.monotonic()
            was_reset = False
            if more:
                await self.still()
                was_reset = await threads.deferToThread(send_until_reset, upstream, more)
            count, read_reset = await threads.deferToThread(read_all, upstream)
            self.assertEqual((count, was_reset or read_reset), (0, True))
            self.assertLess(time.monotonic() - began, GRACE + 1)
            record = await self.gateway.record(number)
            self.assertEqual((record.ending, record.bytes_out), (Ending.CLIENT_RESET, len(REFUSAL)))
            await wait_for(lambda: not self.gateway.plane.count, "the end")

    async def test_a_client_that_resets_before_it_was_answered(self) -> None:
        """Nobody closes before a word was said: that is a reset, and passed on at once."""
        client = self.raw_client()
        client.sendall(b"question")
        upstream = await self.stubborn.accept()
        self.assertEqual(await threads.deferToThread(upstream.recv, 100), b"question")
        reset(client)
        began = time.monotonic()
        self.assertEqual(await threads.deferToThread(read_all, upstream), (0, True))
        self.assertLess(time.monotonic() - began, GRACE / 2)
        self.assertEqual((await self.gateway.record()).ending, Ending.CLIENT_RESET)

    async def test_draining_cuts_by_reset(self) -> None:
        """When the gateway stops, an unfinished download ends by a reset, behind all bytes that were read for it."""
        client = self.raw_client()
        upstream = await self.stubborn.accept()
        upstream.sendall(bytes(100000))
        await self.stalled()
        drained = self.gateway.plane.drain()
        self.assertEqual(await threads.deferToThread(read_all, client), (100000, True))
        self.assertEqual(await threads.deferToThread(read_all, upstream), (0, True))
        await drained
        record = await self.gateway.record()
        self.assertEqual((record.ending, record.bytes_out), (Ending.DRAINED, 100000))


@on_every_transport
class AtOnceTests(LastWordsCase):
    """A stop that waits for nobody."""

    async def test_ending_at_once(self) -> None:
        """A client that does not read delays the end neither before nor after the drain has begun; nor does a dial."""
        client = self.raw_client()
        upstream = await self.stubborn.accept()
        sending = threads.deferToThread(upstream.sendall, bytes(64 * MIB))
        sending.addErrback(lambda _: None)
        await self.stalled()
        drained = self.gateway.plane.drain()
        self.assertEqual(self.gateway.records, [])
        began = time.monotonic()
        self.gateway.plane.end_at_once()
        await drained
        self.assertLess(time.monotonic() - began, GRACE / 2)
        await sending
        (record,) = self.gateway.records
        count, was_reset = await threads.deferToThread(read_all, client)
        self.assertEqual((record.ending, was_reset), (Ending.DRAINED, True))
        self.assertLessEqual(record.bytes_out, count)


class ImpatienceTests(LastWordsCase):
    """
    How long last words are waited for. On lean transports: Twisted's notice no reset while they are neither read nor
    written.
    """

    transport = LEAN

    async def test_nobody_is_waited_for_for_ever(self) -> None:
        """A client that reads nothing is reset when it has made no progress for the time of half-closed connections."""
        self.gateway.plane.limits = Limits(half_close=0.5)
        client = self.raw_client()
        upstream = await self.stubborn.accept()
        await self.fill(upstream)
        reset(upstream)
        record = await self.gateway.record()
        # The record is complete when the reset is decided on; only once the socket is closed can nothing more arrive.
        await wait_for(lambda: not self.gateway.plane.count, "the end")
        count, was_reset = await threads.deferToThread(read_all, client)
        self.assertEqual((record.ending, record.bytes_out, was_reset), (Ending.UPSTREAM_RESET, count, True))
