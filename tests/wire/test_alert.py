"""The alerts that the gateway sends."""

from __future__ import annotations

import ssl

from twisted.trial.unittest import SynchronousTestCase

from meshgate.wire.alert import UNRECOGNIZED_NAME


class AlertTests(SynchronousTestCase):
    """The bytes as a client takes them."""

    def test_a_client_understands_unrecognized_name(self) -> None:
        """OpenSSL, answered with the alert, ends its handshake with that alert as the reason."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="unknown.example")
        self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
        incoming.write(UNRECOGNIZED_NAME)
        error = self.assertRaises(ssl.SSLError, client.do_handshake)
        self.assertEqual(error.reason, "TLSV1_UNRECOGNIZED_NAME")

    def test_the_bytes_are_exact(self) -> None:
        """One record, fatal, description 112, in seven bytes."""
        self.assertEqual(UNRECOGNIZED_NAME, b"\x15\x03\x03\x00\x02\x02\x70")
