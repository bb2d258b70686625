"""Hosts that cover others."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.host_cover import HostCover, overlapping
from meshgate.routing.hosts import covers, matches

HOSTS = st.lists(st.text("ab.", max_size=4).flatmap(lambda text: st.sampled_from([text, f"*{text}"])), max_size=6)


class HostCoverTests(SynchronousTestCase):
    """The index of hosts against the comparison of two."""

    def test_wildcards_take_in_what_ends_like_them(self) -> None:
        """A wildcard covers names of any depth, but not the bare domain."""
        cover = HostCover(enumerate(["*.example.com", "b.org"]))
        for name in ("a.example.com", "a.b.example.com", "*.a.example.com", "*.example.com", "b.org"):
            self.assertTrue(cover.includes(name), name)
        for name in ("example.com", "*.com", "*", "*.b.org", "a.b.org", "A.example.org"):
            self.assertFalse(cover.includes(name), name)

    @settings(deadline=None, max_examples=300)
    @given(HOSTS, HOSTS)
    def test_taking_in_is_that_of_any_host(self, hosts: list[str], names: list[str]) -> None:
        """The index finds what comparing with each host finds."""
        cover = HostCover(enumerate(hosts))
        for name in names:
            self.assertEqual(cover.includes(name), any(covers(host, name) for host in hosts), (hosts, name))

    @settings(deadline=None, max_examples=300)
    @given(HOSTS)
    def test_overlaps_are_those_of_pairs(self, hosts: list[str]) -> None:
        """Each host that overlaps with an earlier one is found once, together with an earlier one."""
        found = list(overlapping(list(enumerate(hosts))))
        late = [n for n, host in enumerate(hosts) if any(matches(other, host) for other in hosts[:n])]
        self.assertEqual([later for later, _ in found], late, hosts)
        for later, earlier in found:
            self.assertTrue(earlier < later and matches(hosts[earlier], hosts[later]), (hosts, later, earlier))

    def test_indexes_are_those_given(self) -> None:
        """Hosts that are left out leave a gap."""
        self.assertEqual(list(overlapping([(1, "a"), (4, "a")])), [(4, 1)])
