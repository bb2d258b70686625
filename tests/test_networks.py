"""Tests of :mod:`tests.networks`: what other tests rely on."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.networks import enter_own_network, set_kernel


class OwnNetworkTests(TestCase):
    """A test that has a network of its own."""

    def test_its_ports_are_its_own(self) -> None:
        """A port that is taken outside is free inside."""
        with socket.create_server(("127.0.0.1", 0)) as outside:
            enter_own_network(self)
            with socket.create_server(outside.getsockname()) as inside:
                self.assertEqual(inside.getsockname(), outside.getsockname())

    def test_processes_are_inside(self) -> None:
        """A process that is started inside sees the addresses that were added there."""
        enter_own_network(self, "ip address add 10.9.8.7/32 dev lo")
        shown = subprocess.run(["ip", "-br", "address"], check=True, capture_output=True, text=True).stdout
        self.assertIn("10.9.8.7/32", shown)

    def test_kernel_settings_are_its_own(self) -> None:
        """A setting that is changed inside stays as it is outside."""
        path = Path("/proc/sys/net/ipv4/ip_local_port_range")
        outside = path.read_text()
        self.addCleanup(lambda: self.assertEqual(path.read_text(), outside))
        enter_own_network(self)
        set_kernel("ipv4.ip_local_port_range", "40000 40009")
        self.assertEqual(path.read_text().split(), ["40000", "40009"])

    def test_it_is_left_at_the_end(self) -> None:
        """After the test, the process is in the network where it was before."""
        before = os.readlink("/proc/self/ns/net")
        self.addCleanup(lambda: self.assertEqual(os.readlink("/proc/self/ns/net"), before))
        enter_own_network(self)
        self.assertNotEqual(os.readlink("/proc/self/ns/net"), before)
