"""Receivers of logs on this machine, for tests: systemd's journal, and syslog by RFC 5424."""

from __future__ import annotations

import array
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase


def socket_folder(test: SynchronousTestCase) -> Path:
    """A folder whose path is short enough for sockets in it."""
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    return Path(folder.name)


def parse_entry(data: bytes) -> dict[str, str]:
    """An entry of the journal's native protocol, as journald takes it apart."""
    fields: dict[str, str] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, end, data = data[8 : 8 + size], data[8 + size : 9 + size], data[9 + size :]
            if end != b"\n":
                raise AssertionError(f"no line end after {name!r}")
        if not re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name):
            raise AssertionError(f"{name!r} is no name of a field")
        fields[name.decode()] = value.decode()
    return fields


class FakeJournal:
    """A socket that takes entries as journald does."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.path = socket_folder(test) / "socket"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        test.addCleanup(self._socket.close)
        self.entries: list[dict[str, str]] = []

    def received(self) -> list[dict[str, str]]:
        """All entries so far."""
        while True:
            try:
                data, passed, _, _ = self._socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return self.entries
            for _, _, content in passed:
                (descriptor,) = array.array("i", content)
                with os.fdopen(descriptor, "rb") as file:
                    file.seek(0)
                    data = file.read()
            self.entries.append(parse_entry(data))


class SyslogMessage(NamedTuple):
    """A message of RFC 5424."""

    priority: int
    time: str
    host: str
    application: str
    process: str
    id: str
    data: str
    text: str


def parse_syslog(message: bytes) -> SyslogMessage:
    """Take a message apart by the grammar of RFC 5424, section 6."""
    match = re.fullmatch(
        rb"<(0|[1-9][0-9]{0,2})>1 (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d))"
        rb" ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) (-)(?: (.*))?",
        message,
        re.DOTALL,
    )
    if match is None:
        raise AssertionError(f"{message!r} is no message of RFC 5424")
    return SyslogMessage(int(match[1]), *((group or b"").decode() for group in match.groups()[1:]))


def parse_counted(stream: bytes) -> tuple[list[SyslogMessage], bytes]:
    """Take a stream with octet counting (RFC 6587, 3.4.1) apart: its whole messages, and what follows them."""
    found = []
    while match := re.match(rb"([1-9][0-9]*) ", stream):
        end = match.end() + int(match[1])
        if len(stream) < end:
            break
        found.append(parse_syslog(stream[match.end() : end]))
        stream = stream[end:]
    return found, stream
