"""Tests of :mod:`meshgate.lab.banner`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.lab.banner import banner
from tests.configurations import compiled, gateway, tcp_rule, tcp_server, tls_rule, tls_server, virtual_service


class BannerTests(SynchronousTestCase):
    """The text that the lab prints when it is up."""

    def test_lines_to_try(self) -> None:
        """Every port is named with the command that reaches it; names that are refused are not offered."""
        table = compiled(
            gateway("gw", tcp_server(9000), tls_server(443, ["a.com"]), tls_server(443, ["b.com"], mode="SIMPLE")),
            virtual_service("v", tls=[tls_rule(["a.com"], "x")], tcp=[tcp_rule("x")]),
        ).table
        text = banner(table, "state/certificates", ["etc/routes"])
        self.assertIn("telnet 127.0.0.1 9000\n", text)
        command = (
            "curl --cacert state/certificates/ca-chain.cert.pem --resolve a.com:443:127.0.0.1 https://a.com:443/\n"
        )
        self.assertIn(command, text)
        self.assertNotIn("b.com", text)
        self.assertIn("Edit etc/routes", text)
