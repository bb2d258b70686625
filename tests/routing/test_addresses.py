"""Tests of :mod:`meshgate.routing.addresses`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.addresses import host_port


class HostPortTests(SynchronousTestCase):
    """Formatting a host and a port."""

    def test_ipv6_addresses_stand_in_brackets(self) -> None:
        """IPv6 addresses are in brackets, names and IPv4 addresses are not."""
        self.assertEqual(host_port("192.0.2.1", 53), "192.0.2.1:53")
        self.assertEqual(host_port("a.example.com", 443), "a.example.com:443")
        self.assertEqual(host_port("2001:db8::1", 5353), "[2001:db8::1]:5353")
