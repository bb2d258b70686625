"""The kinds of connections of a soak: the client's actions, the answers that it expects, and the expected ending."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from tests.hello_builder import build_hello, padding_extension

MESSAGE = 64
LOOPBACK = "127.0.0.1"
NAME = "n000000.example.com"
FAILING_NAME = "failing.example.com"
"""The server name of the route with two endpoints: one that fails and heals, and the backend."""
ROUND_NAME = "round.example.com"
"""The server name of the route that leads back to the gateway."""

BULK = 512 * 1024
"""Bytes of a long download or upload: enough to be spliced."""

PATIENCE = 60.0
"""Seconds that a connection may take."""

_NO_LINGER = struct.pack("ii", 1, 0)


class WrongAnswerError(Exception):
    """The answer is not the expected one."""


@dataclass(slots=True)
class Client:
    """
    One client.

    :ivar number: the number of its connection, which is unique.
    :ivar pattern: :data:`BULK` bytes as the backend sends them.
    """

    socket: socket.socket
    number: int
    pattern: bytes

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, size: int) -> bytes:
        """Receive so many bytes, or fewer if the stream ends before."""
        loop, received = asyncio.get_running_loop(), bytearray()
        while len(received) < size and (data := await loop.sock_recv(self.socket, size - len(received))):
            received += data
        return bytes(received)

    async def expect(self, data: bytes) -> None:
        """Expect exactly these bytes."""
        if (received := await self.receive(len(data))) != data:
            raise WrongAnswerError(f"{len(received)} bytes, and not the {len(data)} that were expected")

    async def expect_end(self) -> None:
        """Expect the end of the stream, and nothing before it."""
        if received := await self.receive(1):
            raise WrongAnswerError(f"{received!r} instead of the end of the stream")

    async def greet(self, name: str = NAME) -> None:
        """Send a hello and expect its answer."""
        await self.send(self.hello(name))
        await self.expect_answer()

    async def expect_answer(self) -> None:
        """Expect the answer to the hello."""
        if not (answer := await self.receive(MESSAGE)).startswith(b"A") or len(answer) != MESSAGE:
            raise WrongAnswerError(f"{answer!r} instead of an answer")

    def hello(self, name: str | None = NAME) -> bytes:
        """A hello with a session id of its own."""
        return build_hello(name, session_id=self.number.to_bytes(32, "big"))

    def message(self, kind: bytes, count: int = 0) -> bytes:
        """A message to the backend."""
        return struct.pack("=8sQ48x", kind, count)

    def reset(self) -> None:
        """Have the connection reset when it is closed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


async def _short(client: Client) -> None:
    await client.greet()


async def _trips(client: Client) -> None:
    await client.greet()
    for trip in range(10):
        message = struct.pack("=8sQQ40x", b"E", client.number, trip)
        await client.send(message)
        await client.expect(message)


async def _download(client: Client) -> None:
    await client.greet()
    await client.send(client.message(b"D", BULK))
    await client.expect(client.pattern)


async def _upload(client: Client) -> None:
    await client.greet()
    await client.send(client.message(b"U", BULK) + client.pattern)
    report = await client.receive(MESSAGE)
    if report[8:16] != struct.pack("=Q", BULK):
        raise WrongAnswerError("the endpoint did not get what was sent")


async def _half_closed(client: Client) -> None:
    await client.send(client.hello() + client.message(b"D", BULK // 8))
    client.socket.shutdown(socket.SHUT_WR)
    await client.expect_answer()
    await client.expect(client.pattern[: BULK // 8])
    await client.expect_end()


async def _dribbled(client: Client) -> None:
    hello = client.hello()
    for start in range(0, len(hello), 40):
        await client.send(hello[start : start + 40])
        await asyncio.sleep(0.01)
    await client.expect_answer()


async def _reset(client: Client) -> None:
    await client.greet()
    await client.send(client.message(b"D", 1 << 30))
    await client.receive(MESSAGE)
    client.reset()


async def _reset_by_endpoint(client: Client) -> None:
    await client.greet()
    try:
        await client.send(client.message(b"X") + client.pattern[: BULK // 8])
        await client.receive(BULK)
    except ConnectionError:
        return
    raise WrongAnswerError("no reset")


async def _refused(client: Client, first: bytes) -> None:
    await client.send(first)
    await client.expect_end()


async def _early(client: Client) -> None:
    await client.send(client.hello()[:100])


async def _silent(client: Client) -> None:
    await _refused(client, client.hello()[:100])


async def _garbage(client: Client) -> None:
    await _refused(client, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")


async def _boastful(client: Client) -> None:
    await _refused(client, bytes.fromhex("1603010020 01ffffff") + bytes(29))


async def _mangled(client: Client) -> None:
    hello = bytearray(client.hello())
    hello[43] = 0xFF  # the length of the session id
    await _refused(client, bytes(hello))


async def _oversized(client: Client) -> None:
    await _refused(client, build_hello(NAME, extensions=[padding_extension(20_000)]))


async def _nameless(client: Client) -> None:
    await _refused(client, client.hello(None))


async def _failing(client: Client) -> None:
    await client.greet(FAILING_NAME)


async def _round(client: Client) -> None:
    await _refused(client, client.hello(ROUND_NAME))


async def _stray(client: Client) -> None:
    await _refused(client, client.hello(f"n{client.number:06}.example.net"))


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of connections.

    :ivar share: the number of them in a hundred connections.
    :ivar ending: the ending that the access log must have.
    """

    name: str
    share: int
    ending: str
    act: Callable[[Client], Awaitable[None]]


FAILING = Kind("failing endpoint", 2, "ok", _failing)

KINDS = (
    Kind("short", 40, "ok", _short),
    Kind("round trips", 10, "ok", _trips),
    Kind("download", 5, "ok", _download),
    Kind("upload", 3, "ok", _upload),
    Kind("half-closed", 8, "ok", _half_closed),
    Kind("dribbled hello", 2, "ok", _dribbled),
    Kind("reset", 6, "client_reset", _reset),
    Kind("reset by the endpoint", 3, "upstream_reset", _reset_by_endpoint),
    Kind("left early", 3, "client_closed_early", _early),
    Kind("unfinished hello", 1, "hello_timeout", _silent),
    Kind("garbage", 3, "not_tls", _garbage),
    Kind("hello said to be of 16 MiB", 2, "hello_too_large", _boastful),
    Kind("mangled hello", 2, "bad_hello", _mangled),
    Kind("oversized hello", 2, "hello_too_large", _oversized),
    Kind("hello without a name", 3, "no_sni", _nameless),
    Kind("unknown name", 3, "no_route", _stray),
    Kind("back to the gateway", 2, "loop", _round),
    FAILING,
)


def mixed(count: int, chance: random.Random) -> Iterator[Kind]:
    """So many connections by their shares, each hundred of them shuffled."""
    hundred = [kind for kind in KINDS for _ in range(kind.share)]
    for start in range(0, count, len(hundred)):
        chance.shuffle(hundred)
        yield from hundred[: count - start]


async def connected(kind: Kind, port: int, number: int, pattern: bytes) -> None:
    """
    Make a connection of a kind, from its beginning to its end.

    :raises Exception: if the client sees anything unexpected.
    """
    with socket.socket() as sock:
        sock.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, port))
            await kind.act(Client(sock, number, pattern))


def pattern_of(backend: int) -> bytes:
    """The bytes of a long download, fetched from the backend itself."""
    with socket.create_connection((LOOPBACK, backend), timeout=PATIENCE) as sock, sock.makefile("rb") as stream:
        sock.sendall(build_hello(NAME) + struct.pack("=8sQ48x", b"D", BULK))
        return stream.read(MESSAGE + BULK)[MESSAGE:]
