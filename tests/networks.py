"""
A network of a test's own: its ports, addresses and kernel settings are its alone, and gone with it.

The main thread enters a new network namespace for the length of a test. Sockets that it makes and processes that it
starts meanwhile belong to it; those that were there before, the reactor's own among them, stay where they are. Threads
do not follow: what makes sockets in a thread makes them outside.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
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
        failed = _libc.setns(before, CLONE_NEWNET)
        os.close(before)
        if failed:
            raise AssertionError(f"the network cannot be left: {os.strerror(ctypes.get_errno())}")

    test.addCleanup(leave)
    for command in ("ip link set lo up", *commands):
        subprocess.run(command.split(), check=True, capture_output=True)


def set_kernel(name: str, value: str) -> None:
    """
    Change a setting of the network that the test is in.

    :param name: as sysctl has it, without ``net.``: ``ipv4.ip_local_port_range``.
    """
    Path("/proc/sys/net", *name.split(".")).write_text(value)
