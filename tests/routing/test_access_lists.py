"""Tests of :mod:`meshgate.routing.access_lists`."""

from __future__ import annotations

import ipaddress
import pickle

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.access_lists import AccessEntries, AccessList, AddressSet
from meshgate.routing.addresses import address, network

# Few addresses, so that networks meet and overlap.
_FOUR = st.integers(0, 255).map(lambda low: str(ipaddress.IPv4Address(0x0A000000 + low)))
_SIX = st.integers(0, 255).map(lambda low: str(ipaddress.IPv6Address((0x20010DB8 << 96) + (low << 60))))
ADDRESSES = st.one_of(_FOUR, _SIX)
NETWORKS = st.one_of(
    st.tuples(_FOUR, st.integers(0, 32)),
    st.tuples(_SIX, st.integers(0, 128)),
).map(lambda each: str(ipaddress.ip_network(f"{each[0]}/{each[1]}", strict=False)))


def slowly_within(text: str, networks: list[str]) -> bool:
    """The reference: compare an address with each network."""
    parsed = ipaddress.ip_address(text)
    return any(parsed in ipaddress.ip_network(each) for each in networks)


class AccessListTests(SynchronousTestCase):
    """Who may connect."""

    @given(ADDRESSES, st.lists(NETWORKS, max_size=8), st.lists(NETWORKS, max_size=8))
    def test_it_judges_as_one_network_after_the_other_does(self, text: str, allow: list[str], deny: list[str]) -> None:
        """Denied ones are refused, and so is who is not among the allowed ones, if there are any."""
        entries = AccessEntries("a test", allow, deny)
        access = entries.access_list() or AccessList()
        wanted = not slowly_within(text, deny) and (not allow or slowly_within(text, allow))
        self.assertEqual(access.admits(address(text)), wanted)
        self.assertEqual(entries.verdict(address(text))[0], wanted)
        self.assertEqual(pickle.loads(pickle.dumps(access)), access)  # noqa: S301 - our own

    @given(st.lists(NETWORKS, max_size=8))
    def test_ranges_are_merged(self, networks: list[str]) -> None:
        """They are in order, and none touches the next, so that a binary search finds the only one."""
        merged = AddressSet.of(filter(None, map(network, networks)))
        self.assertTrue(all(first <= last for first, last in zip(merged.starts, merged.ends, strict=True)))
        following = zip(merged.ends, merged.starts[1:], strict=False)
        self.assertTrue(all(last + 1 < first for last, first in following))

    @given(st.lists(NETWORKS, max_size=8))
    def test_networks_are_the_fewest(self, networks: list[str]) -> None:
        """They are those to which the standard library collapses the networks."""
        found = AddressSet.of(filter(None, map(network, networks))).networks()
        parsed = [ipaddress.ip_network(each) for each in networks]
        six = ipaddress.collapse_addresses(each for each in parsed if isinstance(each, ipaddress.IPv6Network))
        four = ipaddress.collapse_addresses(each for each in parsed if isinstance(each, ipaddress.IPv4Network))
        self.assertEqual([str(each) for each in found], [*map(str, six), *map(str, four)])

    def test_families_are_told_apart(self) -> None:
        """A network of all addresses of one family has none of the other; an IPv4-mapped one is an IPv4 network."""
        for text, inside, outside in (
            ("0.0.0.0/0", "10.1.2.3", "2001:db8::1"),
            ("::/0", "2001:db8::1", "10.1.2.3"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
        ):
            access = AccessEntries("", allow=[text]).access_list() or AccessList()
            self.assertEqual([access.admits(address(each)) for each in (inside, outside)], [True, False], text)

    def test_an_unreadable_address_is_in_no_network(self) -> None:
        """It is refused only where somebody has to be allowed."""
        self.assertFalse((AccessEntries("", allow=["0.0.0.0/0", "::/0"]).access_list() or AccessList()).admits(None))
        self.assertTrue((AccessEntries("", deny=["0.0.0.0/0", "::/0"]).access_list() or AccessList()).admits(None))

    def test_reasons_name_the_nearest_network(self) -> None:
        """Of several networks with the address, the narrowest one is named."""
        entries = AccessEntries("the settings", ["10.0.0.0/8"], ["10.9.0.0/16", "10.9.9.0/24"])
        for text, admitted, why in (
            ("10.9.9.9", False, "10.9.9.0/24 in deny of the settings refuses it"),
            ("10.1.1.1", True, "10.0.0.0/8 in allow of the settings admits it"),
            ("192.0.2.1", False, "no network in allow of the settings has it"),
        ):
            self.assertEqual(entries.verdict(address(text)), (admitted, why))
        denying = AccessEntries("the settings", (), ["10.9.0.0/16"])
        self.assertEqual(denying.verdict(address("::1")), (True, "no network in deny of the settings has it"))
