"""Tests of :mod:`meshgate.processes.handover`: messages, and the socket that carries them."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.handover import (
    LONGEST,
    VERSION,
    HandoverError,
    HandoverSocket,
    Kind,
    ListeningAddress,
    Message,
    decode,
    encode,
)

ADDRESSES = st.builds(
    ListeningAddress,
    service=st.booleans(),
    bind=st.text(max_size=50),
    port=st.integers(0, 65535),
    dual_stack=st.booleans(),
)
MESSAGES = st.builds(
    Message,
    kind=st.sampled_from(Kind),
    address=st.none() | ADDRESSES,
    locks=st.lists(st.text(max_size=10), max_size=3).map(tuple),
    workers=st.integers(0, 1000),
    endpoint=st.text(max_size=50),
    reason=st.text(max_size=100),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["version", "kind", "address", "locks", "workers", "reason", "bind", "port", "other"])


class MessageTests(SynchronousTestCase):
    """The form of messages."""

    @given(MESSAGES)
    def test_what_is_written_is_read(self, message: Message) -> None:
        """Every message comes back as it was."""
        self.assertEqual(decode(encode(message)), message)

    @given(st.binary(max_size=300))
    def test_any_bytes(self, packet: bytes) -> None:
        """Whatever comes is a message or an error."""
        self._decodes(packet)

    @given(st.dictionaries(FIELDS, JSON | st.sampled_from([kind.value for kind in Kind])))
    def test_any_json(self, content: dict[str, Any]) -> None:
        """So is any JSON of this version."""
        self._decodes(json.dumps({**content, "version": VERSION}).encode())

    @given(MESSAGES, JSON)
    def test_other_versions(self, message: Message, version: Any) -> None:
        """A message of another version is refused by its version, whatever else it has."""
        content = {**json.loads(encode(message)), "version": version, "from_the_future": 1}
        expected = "malformed" if version == VERSION else "by version"
        error = self.assertRaises(HandoverError, decode, json.dumps(content).encode())
        self.assertIn(expected, str(error))

    def test_nested_without_end(self) -> None:
        """A packet that nests too deep for the parser is an error."""
        self.assertRaises(HandoverError, decode, b"[" * LONGEST)

    def _decodes(self, packet: bytes) -> None:
        try:
            self.assertIsInstance(decode(packet), Message)
        except HandoverError as error:
            self.assertTrue(str(error))


class SocketTests(SynchronousTestCase):
    """The socket."""

    def setUp(self) -> None:
        """Two ends."""
        self.raw, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = HandoverSocket(other)
        self.addCleanup(self.socket.close)
        self.addCleanup(self.raw.close)

    def open_descriptors(self) -> int:
        """The number of descriptors of this process."""
        return len(os.listdir("/proc/self/fd"))

    def test_descriptors_come_with_their_message(self) -> None:
        """A message arrives with copies of its descriptors, which children do not inherit."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            message = Message(kind=Kind.SOCKET, address=ListeningAddress(service=True, bind="127.0.0.1", port=0))
            HandoverSocket(self.raw.dup()).send(message, [listening.fileno()])
            received, (descriptor,) = self.socket.receive()
            self.assertEqual(received, message)
            self.assertFalse(os.get_inheritable(descriptor))
            with socket.socket(fileno=descriptor) as copy:
                self.assertEqual(copy.getsockname(), listening.getsockname())

    def test_the_end(self) -> None:
        """A closed end is an error, and not an empty message."""
        self.raw.close()
        self.assertIn("gone", str(self.assertRaises(HandoverError, self.socket.receive)))

    def test_silence(self) -> None:
        """Nobody waits for longer than said."""
        self.socket.blocks_for(0.01)
        self.assertIn("does not answer", str(self.assertRaises(HandoverError, self.socket.receive)))

    def test_descriptors_of_what_is_refused_are_closed(self) -> None:
        """A message that is malformed, too long or of another version leaves no descriptor open."""
        before = self.open_descriptors()
        for packet in (b"{}", b"nothing", b" " * (LONGEST + 1)):
            socket.send_fds(self.raw, [packet], [0, 1, 2])
            self.assertRaises(HandoverError, self.socket.receive)
        self.assertEqual(self.open_descriptors(), before)
