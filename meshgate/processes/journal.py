"""
Entries of systemd's journal, by its native protocol: one datagram an entry, to the socket of journald.

The problem: a line of text on standard error reaches the journal without its level and its facts.

The approach: an entry is a list of fields. A value without a line end is written as ``NAME=value``; any other one has
its length before it, so that it may hold anything. An entry that is too large for a datagram goes as a sealed file in
memory, whose descriptor is sent instead.

The invariants: nothing is sent that blocks. Whatever the values are, the journal reads the same fields.

Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
from collections.abc import Mapping
from typing import Final

SOCKET: Final = "/run/systemd/journal/socket"
"""The socket of the journal."""

PRIORITIES: Final = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}
"""The priorities of syslog, for the names of :class:`twisted.logger.LogLevel`."""


def leads_to_journal(descriptor: int, stream: str) -> bool:
    """
    Tell if a descriptor is the stream that systemd has connected with its journal.

    :param stream: the content of the environment variable ``JOURNAL_STREAM``: device and inode, with a colon between.
    """
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def entry(fields: Mapping[str, object]) -> bytes:
    """
    Encode an entry.

    :param fields: by names of capital letters, digits and underscores, of which none begins with an underscore.
    """
    parts: list[bytes] = []
    for name, content in fields.items():
        value = str(content).encode("utf-8", "backslashreplace")
        if b"\n" in value:
            parts += (name.encode(), b"\n", len(value).to_bytes(8, "little"), value, b"\n")
        else:
            parts += (name.encode(), b"=", value, b"\n")
    return b"".join(parts)


class Journal:
    """
    The journal, as a place to send entries to.

    :param path: the path of its socket, which need not exist yet.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, encoded: bytes | memoryview) -> None:
        """
        Send an entry.

        :raises BlockingIOError: if the journal has no room for it now.
        :raises OSError: if nobody serves the socket.
        """
        try:
            self._socket.sendto(encoded, self._path)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_in_memory(encoded)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send_in_memory(self, encoded: bytes | memoryview) -> None:
        memory = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            rest = memoryview(encoded)
            while rest:
                rest = rest[os.write(memory, rest) :]
            # The journal reads the file only if nobody can change it any more.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
            passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memory]))
            self._socket.sendmsg([b""], [passed], 0, self._path)
        finally:
            os.close(memory)
