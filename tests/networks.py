"""
A network of a test's own: its ports, addresses and kernel settings are its alone, and gone with it.

The main thread enters a new network namespace for the length of a test. Sockets that it makes and processes that it
starts meanwhile belong to it; those that were there before, the reactor's own among them, stay where they are. Threads
do not follow: what makes sockets in a thread makes them outside.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def enter_own_network(test: TestCase, *commands: str) -> None:
    """
    Move to a new network until the end of a test. It has the loopback interface, up, and nothing else.

    :param commands: run in it, as ``ip address add 127.0.0.9/8 dev lo``; by Debian's iproute2.
    :raises SkipTest: where that takes rights that this process does not have; in CI it is a failure.
    """
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if _libc.unshare(CLONE_NEWNET):
        os.close(before)
        why = f"a network namespace cannot be made: {os.strerror(ctypes.get_errno())}"
        if os.environ.get("CI"):
            raise AssertionError(why)
        raise SkipTest(why)

    def leave() -> None:
        try:
            _enter(before)
        finally:
            os.close(before)

    test.addCleanup(leave)
    _run("ip link set lo up", *commands)


def set_kernel(name: str, value: str) -> None:
    """
    Change a setting of the network that the test is in.

    :param name: as sysctl has it, without ``net.``: ``ipv4.ip_local_port_range``.
    """
    Path("/proc/sys/net", *name.split(".")).write_text(value)


NEAR, FAR = "10.77.0.1", "10.77.0.2"
"""The addresses at both ends of the cable of a :class:`FarNetwork`."""


class FarNetwork:
    """
    A network of a test's own, :data:`NEAR`, with a cable to a second one, :data:`FAR`, whose host can vanish.

    :raises SkipTest: as :func:`enter_own_network`.
    """

    def __init__(self, test: TestCase) -> None:
        enter_own_network(test)
        self._far = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        test.addCleanup(os.close, self._far)
        enter_own_network(test, f"ip link add near type veth peer name far netns /proc/{os.getpid()}/fd/{self._far}")
        self._near = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        test.addCleanup(os.close, self._near)
        _run(f"ip address add {NEAR}/24 dev near", "ip link set near up")
        with self.inside():
            _run(f"ip address add {FAR}/24 dev far", "ip link set far up")
            shown = subprocess.run(["ip", "-br", "link", "show", "far"], check=True, capture_output=True, text=True)
        self._hardware_address = shown.stdout.split()[2]
        # Should the cable not be ready at first, connections would be slow to notice what is lost on it, for good.
        with socket.create_server((NEAR, 0)) as near, self.inside():
            socket.create_connection(near.getsockname(), timeout=10).close()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be in the far network: sockets that are made meanwhile belong to it."""
        _enter(self._far)
        try:
            yield
        finally:
            _enter(self._near)

    def vanish(self, unreachable: bool = False) -> None:
        """
        Let the far host be gone without a word: whatever is sent there is lost.

        :param unreachable: the network notices: nobody answers for the host's address any more.
        """
        if not unreachable:
            _run(f"ip neighbour replace {FAR} lladdr {self._hardware_address} dev near nud permanent")
        with self.inside():
            _run(f"ip address del {FAR}/24 dev far")
        if unreachable:
            _run("ip neighbour flush dev near")


def _enter(network: int) -> None:
    if _libc.setns(network, CLONE_NEWNET):
        raise AssertionError(f"a network cannot be entered: {os.strerror(ctypes.get_errno())}")


def _run(*commands: str) -> None:
    for command in commands:
        subprocess.run(command.split(), check=True, capture_output=True)
