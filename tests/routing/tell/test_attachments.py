"""Tests of :mod:`meshgate.routing.tell.attachments`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.table import Chain, Listener, ListenerKey, RoutingTable
from meshgate.routing.tell.attachments import Attachments, GatewayAttachment, ServerAttachments


def table(*chains: tuple[int, str, str, str]) -> RoutingTable:
    """A table with chains: port, Gateway, VirtualService and refusal of each."""
    listeners = {}
    for port in {each[0] for each in chains}:
        key = ListenerKey("0.0.0.0", port)
        exact = {
            f"h{number}": Chain((f"h{number}",), gateway, "tls", virtual_service, "", (), refusal=refusal)
            for number, (of_port, gateway, virtual_service, refusal) in enumerate(chains)
            if of_port == port
        }
        listeners[key] = Listener(key, False, True, exact)
    return RoutingTable(1, listeners)


CHAINS = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from(["n/a", "n/b"]), st.sampled_from(["n/v", "n/w"]), st.just("")),
    max_size=6,
)


class AttachmentsTests(SynchronousTestCase):
    """The attachments in tables."""

    def test_of_a_table(self) -> None:
        """A Gateway's server counts VirtualServices; a VirtualService has its Gateways with their listeners."""
        found = Attachments()
        changed = found.update(table((1, "n/a", "n/v", ""), (2, "n/a", "n/v", ""), (1, "n/a", "n/w", "")))
        first, second = ListenerKey("0.0.0.0", 1), ListenerKey("0.0.0.0", 2)
        self.assertEqual(found.gateways, {"n/a": (ServerAttachments("tls", (first, second), 2),)})
        self.assertEqual(found.virtual_services["n/v"], (GatewayAttachment("n/a", (first, second)),))
        self.assertEqual(changed, ({"n/a"}, {"n/v", "n/w"}))

    def test_a_refusal(self) -> None:
        """A server of which every chain is refused says why."""
        found = Attachments()
        found.update(table((1, "n/a", "", "it terminates TLS")))
        self.assertEqual(found.gateways["n/a"][0][2:], (0, "it terminates TLS"))
        self.assertEqual(found.virtual_services, {})

    @given(CHAINS, CHAINS)
    def test_from_table_to_table(
        self, before: list[tuple[int, str, str, str]], after: list[tuple[int, str, str, str]]
    ) -> None:
        """After a change, they are those of the table alone, and what has changed is named."""
        found, fresh = Attachments(), Attachments()
        found.update(table(*before))
        old = dict(found.gateways), dict(found.virtual_services)
        gateways, virtual_services = found.update(table(*after))
        fresh.update(table(*after))
        self.assertEqual((found.gateways, found.virtual_services), (fresh.gateways, fresh.virtual_services))
        for name in "n/a", "n/b":
            if old[0].get(name) != found.gateways.get(name):
                self.assertIn(name, gateways)
        for name in "n/v", "n/w":
            if old[1].get(name) != found.virtual_services.get(name):
                self.assertIn(name, virtual_services)
