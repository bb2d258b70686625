"""
Listening Unix sockets: who may connect, and what a gateway that has died has left.

A path stays when the process that bound it is gone. Whoever connects to such a path is refused, which tells it from the
path of a process that lives; so it is removed, and bound anew. Anything else at the path is left alone.

The kernel spreads no connections over several Unix sockets of one path: all workers accept on one socket, of which each
gets a descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from typing import Final, NamedTuple

from meshgate.transport.binding import IN_USE, BindError
from meshgate.transport.dialing import unix_name

ABSTRACT: Final = "\0"
"""The first character of a name that is no path."""


class UnixAccess(NamedTuple):
    """
    Who may connect to a Unix socket that has a path.

    :ivar mode: its permissions: whoever may write may connect.
    :ivar group: its group, by name or number; empty for that of the process.
    """

    mode: int = 0o660
    group: str = ""


def open_unix_sockets(address: str, backlog: int, copies: int, access: UnixAccess) -> list[socket.socket]:
    """
    Open a non-blocking socket that listens at a path, or at an abstract name.

    :param address: as ``unix:///path``.
    :param copies: number of descriptors of the socket.
    :raises BindError: if another process listens there, the path cannot be bound, or its group cannot be set.
    """
    name = unix_name(address)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not name.startswith(ABSTRACT):
            _remove_stale(name)
        # Nobody can connect before the socket listens, and by then the path has its permissions.
        listening.bind(name)
        if not name.startswith(ABSTRACT):
            _give(name, access)
        listening.setblocking(False)
        listening.listen(backlog)
        return [listening, *(listening.dup() for _ in range(copies - 1))]
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise BindError(reason, is_missing=error.errno == errno.ENOENT) from error


def _give(path: str, access: UnixAccess) -> None:
    """
    Set the group and the permissions of a path; if that fails, the path is removed.

    :raises OSError: if the group does not exist, or the process may not give it.
    """
    try:
        if access.group:
            os.chown(path, -1, _group_number(access.group))
        os.chmod(path, access.mode)
    except OSError as error:
        os.unlink(path)
        reason = f"its group {access.group} cannot be set: {error.strerror}" if access.group else error.strerror
        raise OSError(error.errno, reason) from error


def _group_number(group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(errno.EINVAL, "there is no such group") from None


def remove_path(listening: socket.socket) -> None:
    """Remove the path of a listening Unix socket, unless another socket has it by now; nothing else is touched."""
    if listening.family != socket.AF_UNIX:
        return
    name = listening.getsockname()
    if isinstance(name, str) and name and not _answers(name):
        with contextlib.suppress(OSError):
            os.unlink(name)


def _remove_stale(path: str) -> None:
    """
    Remove a socket at which nobody listens.

    :raises OSError: with EADDRINUSE, if anything else is there.
    """
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EADDRINUSE, "there is a file of that name")
    if _answers(path):
        raise OSError(errno.EADDRINUSE, IN_USE)
    os.unlink(path)


def _answers(path: str) -> bool:
    """Return True unless connections to a path are refused."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) != errno.ECONNREFUSED
