"""Tests of :mod:`meshgate.resources.networks`."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.networks import UnusableNetworkError, overlaps, read_network, split_networks

NETWORKS = st.tuples(st.integers(0, 15), st.integers(26, 32)).map(
    lambda each: str(ipaddress.ip_network(f"10.0.0.{each[0]}/{each[1]}", strict=False))
)


class NetworkTests(SynchronousTestCase):
    """Networks are read one by one."""

    def test_usual_forms(self) -> None:
        """A network, or an address alone; of both families."""
        for text, wanted in (
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ):
            self.assertEqual(str(read_network(text)), wanted)

    def test_what_is_no_network(self) -> None:
        """The message quotes it, and the hint has the network that was meant, where one was."""
        for text, hint in (
            ("10.0.0.1/8", "did you mean 10.0.0.0/8, or 10.0.0.1 alone?"),
            ("2001:db8::1/32", "did you mean 2001:db8::/32, or 2001:db8::1 alone?"),
            ("10.0.0.0/33", "write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7"),
            ("example.com", "write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7"),
            ("010.0.0.1", "write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7"),
            ("", "write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7"),
        ):
            error = self.assertRaises(UnusableNetworkError, read_network, text)
            self.assertEqual(error.hint, hint)
            self.assertIn(f'"{text}"', error.message)

    def test_lists_are_split_at_commas_and_white_space(self) -> None:
        """As people write them on one line or on several."""
        self.assertEqual(split_networks(" 10.0.0.0/8,192.0.2.7\n ::1,,"), ("10.0.0.0/8", "192.0.2.7", "::1"))
        self.assertEqual(split_networks(" "), ())

    @given(st.lists(NETWORKS, max_size=6), st.lists(NETWORKS, max_size=6))
    def test_networks_without_effect(self, allow: list[str], deny: list[str]) -> None:
        """Those that are reported are those that another one covers, and without them the list says the same."""
        found = list(overlaps(allow, deny))
        for in_allow, index, listed, other in found:
            inner = ipaddress.ip_network((allow if in_allow else deny)[index])
            self.assertTrue(inner.subnet_of(ipaddress.ip_network(other)))  # type: ignore[arg-type]
            self.assertIn(other, {"allow": allow, "deny": deny}[listed])
        kept_allow = [each for index, each in enumerate(allow) if (True, index) not in {one[:2] for one in found}]
        kept_deny = [each for index, each in enumerate(deny) if (False, index) not in {one[:2] for one in found}]
        for low in range(64):
            address = ipaddress.ip_address(f"10.0.0.{low}")
            within = [
                any(address in ipaddress.ip_network(each) for each in networks)
                for networks in (allow, deny, kept_allow, kept_deny)
            ]
            self.assertEqual(within[1], within[3])
            self.assertEqual(within[0] and not within[1], within[2] and not within[3])
        self.assertEqual(len(list(overlaps(kept_allow, kept_deny))), 0)
