"""Tests of :mod:`meshgate.routing.hosts`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing import hosts

LABELS = st.sampled_from(["a", "b", "com", "xcom"])
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
SERVER_HOSTS = st.one_of(NAMES, NAMES.map("*.{}".format), st.just("*"))
ROUTE_HOSTS = st.one_of(SERVER_HOSTS, NAMES.map("*{}".format))


class ComparisonTests(SynchronousTestCase):
    """Comparing hosts."""

    def test_specificity(self) -> None:
        """Full names come before wildcards, then the longer ones, then by the alphabet."""
        ordered = ["a.b.org", "a.org", "b.org", "*.b.org", "*.org", "*"]
        shuffled = ["*", "b.org", "*.b.org", "a.b.org", "*.org", "a.org"]
        self.assertEqual(sorted(shuffled, key=hosts.specificity), ordered)

    def test_most_specific(self) -> None:
        """The host itself, else the longest wildcard that covers it."""
        for known, needle, want in [
            (["a.org", "*.org"], "a.org", "a.org"),
            (["*.org", "*.b.org", "*"], "a.b.org", "*.b.org"),
            (["*.b.org"], "b.org", None),
            (["*b.org"], "b.org", "*b.org"),
            (["*.b.org"], "*b.org", None),
            (["a.b.org"], "*.b.org", None),
            ([], "*", None),
        ]:
            self.assertEqual(hosts.most_specific(needle, known), want, (known, needle))

    @given(st.lists(ROUTE_HOSTS), ROUTE_HOSTS)
    @settings(deadline=None, max_examples=200)
    def test_most_specific_equals_a_plain_search(self, known: list[str], needle: str) -> None:
        """Over random hosts, it is the most specific of all that cover the host."""
        wide = sorted((host for host in known if hosts.covers(host, needle)), key=hosts.specificity)
        self.assertEqual(hosts.most_specific(needle, known), wide[0] if wide else None)

    def test_names_for_namespace(self) -> None:
        """Hosts for another namespace are left out; hosts for all namespaces are not."""
        names = ["a/x.org", "b/y.org", "*/z.org", "w.org"]
        self.assertEqual(hosts.names_for_namespace(names, "a"), ["x.org", "z.org", "w.org"])

    def test_matches(self) -> None:
        """A table of pairs with and without a name in common; either order gives the same answer."""
        for first, second, want in [
            ("a.com", "a.com", True),
            ("a.com", "A.com", False),
            ("*.com", "a.com", True),
            ("*.com", "com", False),
            ("*.com", "a.b.com", True),
            ("*", "", True),
            ("*", "a", True),
            ("*.com", "*.a.com", True),
            ("*.a.com", "*.b.com", False),
            ("*.a.com", "a.com", False),
        ]:
            self.assertEqual(hosts.matches(first, second), want, (first, second))
            self.assertEqual(hosts.matches(second, first), want, (second, first))

    def test_covers(self) -> None:
        """A host covers another if it matches all of its names."""
        for wide, narrow, want in [
            ("*.com", "a.com", True),
            ("*.com", "*.a.com", True),
            ("*.a.com", "*.com", False),
            ("a.com", "*.com", False),
            ("a.com", "a.com", True),
            ("*", "*", True),
        ]:
            self.assertEqual(hosts.covers(wide, narrow), want, (wide, narrow))

    @given(st.lists(SERVER_HOSTS, max_size=5), ROUTE_HOSTS)
    @settings(deadline=None)
    def test_index_agrees_with_comparing_each(self, server: list[str], host: str) -> None:
        """The index answers what comparing the host with each of the server's hosts would."""
        index = hosts.HostIndex(server)
        self.assertEqual(index.meets(host, "ns"), any(hosts.matches(known, host) for known in server))
        self.assertEqual(index.covers(host), any(hosts.covers(known, host) for known in server))

    def test_index_of_many(self) -> None:
        """An index of thousands of hosts finds each of them."""
        many = [f"{where}h{number}.d{number % 7}.com" for number in range(3000) for where in ("", "one/")] + [
            "*.wild.org"
        ]
        index, known = hosts.HostIndex(many), [each.removeprefix("one/") for each in many]
        for host in ("h8.d1.com", "h8.d2.com", "*.d6.com", "*.d7.com", "a.wild.org", "*.org", "*"):
            self.assertEqual(index.covers(host), any(hosts.covers(each, host) for each in known), host)
            self.assertEqual(index.meets(host, "one"), any(hosts.matches(each, host) for each in known), host)
        self.assertTrue(index.meets("h2999.d3.com", "two"))

    def test_index_respects_namespaces(self) -> None:
        """A host with a namespace meets only VirtualServices of that namespace."""
        index = hosts.HostIndex(["one/a.com", "b.com"])
        self.assertTrue(index.meets("a.com", "one"))
        self.assertFalse(index.meets("a.com", "two"))
        self.assertTrue(index.meets("b.com", "two"))


class NameTests(SynchronousTestCase):
    """Completing names and references."""

    def test_full_name(self) -> None:
        """Short names get namespace and domain; everything else stays."""
        for host, want in [
            ("echo", "echo.shop.svc.cluster.local"),
            ("echo.other", "echo.other"),
            ("*", "*"),
            ("10.0.0.1", "10.0.0.1"),
            ("2a00::1", "2a00::1"),
        ]:
            self.assertEqual(hosts.full_name(host, "shop", "cluster.local"), want)

    def test_gateway_reference(self) -> None:
        """Every form of a reference to a Gateway."""
        for reference, want in [
            ("gw", "shop/gw"),
            ("./gw", "shop/gw"),
            ("infra/gw", "infra/gw"),
            ("gw.infra", "infra/gw"),
            ("gw.infra.svc.cluster.local", "infra/gw"),
            ("mesh", "mesh"),
        ]:
            self.assertEqual(hosts.gateway_reference(reference, "shop"), want)

    def test_server_hosts(self) -> None:
        """``./`` is the Gateway's namespace and ``*/`` is none; ``*/*`` replaces all other hosts."""
        self.assertEqual(hosts.server_hosts(["./a.com", "*/b.com", "c.com"], "ns"), ("ns/a.com", "b.com", "c.com"))
        self.assertEqual(hosts.server_hosts(["ns/a.com", "*/*"], "ns"), ("*",))
