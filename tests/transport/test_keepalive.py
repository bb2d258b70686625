"""Probes on idle connections: what is set, and what is left to the system."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.connection_policy import Keepalive
from meshgate.transport.keepalive import keep_alive
from tests.lean_loop import socket_pair

OPTIONS = (socket.TCP_KEEPCNT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)


class KeepAliveTests(SynchronousTestCase):
    """Options of a real connection."""

    def setUp(self) -> None:
        """Two ends, and the system's own values."""
        self.ours, self.theirs = socket_pair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.own = self.values()

    def values(self) -> list[int]:
        """Probes, time and interval as the kernel has them."""
        return [self.ours.getsockopt(socket.IPPROTO_TCP, option) for option in OPTIONS]

    def test_all_of_them(self) -> None:
        """Each number goes where it belongs, and probes are on."""
        keep_alive(self.ours, Keepalive(probes=4, time=90, interval=5))
        self.assertEqual(self.values(), [4, 90, 5])
        self.assertTrue(self.ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_what_is_not_given(self) -> None:
        """It stays the system's own, but probes are on."""
        keep_alive(self.ours, Keepalive(probes=0, time=90, interval=0))
        self.assertEqual(self.values(), [self.own[0], 90, self.own[2]])
        self.assertTrue(self.ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_a_lost_connection(self) -> None:
        """It is left alone, without a failure."""
        self.ours.close()
        keep_alive(self.ours, Keepalive(probes=4, time=90, interval=5))
        self.assertEqual(self.ours.fileno(), -1)
