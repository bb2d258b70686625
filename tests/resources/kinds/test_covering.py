"""Hosts that cover others, and rules that are never reached."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.covering import HostCover, overlapping
from meshgate.routing.hosts import covers, matches
from tests.reading import problems_of

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


ROUTE = [{"destination": {"host": "app"}}]


def found(kind: str, *matches: list[dict[str, Any]] | None) -> list[str]:
    """The warnings for a rule per list of match blocks."""
    rules = [{"route": ROUTE, **({} if match is None else {"match": match})} for match in matches]
    spec = {"hosts": ["*.example.com"], "gateways": ["gw"], kind: rules}
    return [f"{problem.code} {problem.path.removeprefix('spec.')}" for problem in problems_of("VirtualService", spec)]


def names(*sni_hosts: str, **fields: Any) -> dict[str, Any]:
    """A match block of a tls rule."""
    return {"sniHosts": list(sni_hosts), **fields}


def under(prefix: str, **fields: Any) -> dict[str, Any]:
    """A match block of an http rule."""
    return {"uri": {"prefix": prefix}, **fields}


GET, POST = ({"method": {"exact": method}} for method in ("GET", "POST"))


class HttpTests(SynchronousTestCase):
    """Rules for HTTP, which nobody serves here and sidecars do."""

    def found(self, *matches: list[dict[str, Any]] | None) -> list[str]:
        """The warnings beside the one that there are rules for HTTP."""
        return [each for each in found("http", *matches) if not each.startswith("MG1010")]

    def test_repeated_blocks(self) -> None:
        """The name of a block makes no difference."""
        self.assertEqual(
            self.found([under("/a", name="one")], [under("/a", name="two"), under("/b")]), ["MG1052 http[1].match[0]"]
        )
        self.assertEqual(self.found([under("/a")], [under("/a")]), ["MG1052 http[1].match[0]", "MG1051 http[1]"])
        self.assertEqual(self.found(None, None), ["MG1051 http[1]"])

    def test_shorter_prefixes_cover_longer_ones(self) -> None:
        """A shorter prefix covers a longer one unless it has a condition that the other lacks."""
        for first, second, covered in [
            (under("/a"), under("/ab"), True),
            (under("/ab"), under("/a"), False),
            (under("/a"), under("/a", **GET), False),
            (under("/a"), {"uri": {"exact": "/ab"}}, False),
            ({"uri": {"exact": "/a"}}, under("/ab"), False),
            (under("/a"), under("/ab", **GET), True),
            (under("/a", **GET), under("/ab", **GET), True),
            (under("/a", **GET), under("/ab", **POST), False),
            (under("/a", **GET), under("/ab"), False),
            (under("/a", port=80), under("/ab", port=81), False),
            (under("/a", headers={"x": {"prefix": "v"}}), under("/ab", headers={"x": {"exact": "v1"}}), True),
            (under("/a", headers={"x": {"exact": "v1"}}), under("/ab", headers={"x": {"prefix": "v"}}), False),
            (under("/a", headers={"x": {}}), under("/ab", headers={"y": {"exact": "v"}}), False),
            (under("/a", statPrefix="s"), under("/ab"), True),
        ]:
            problems = self.found([first], [second])
            self.assertEqual(problems, ["MG1053 http[1].match[0]"] if covered else [], (first, second))
            self.assertEqual(bool(self.found([first, second])), covered)

    def test_malformed_rules_for_http(self) -> None:
        """A rule that is not well-formed is no catch-all, and raises no exception."""
        for rules in ([3, 4], [{"match": 3}], [{"match": [None, 3, {"uri": 4}, {"uri": {"prefix": 5}}, under("")]}]):
            spec = {"hosts": ["a.example.com"], "gateways": ["gw"], "http": rules}
            self.assertEqual([each.code for each in problems_of("VirtualService", spec)], ["MG1010"])


class ReachTests(SynchronousTestCase):
    """Rules in order."""

    def test_only_the_last_rule_may_take_everything(self) -> None:
        """No rule behind one without match is ever reached."""
        self.assertEqual(found("tcp", [{"port": 1}], None), [])
        self.assertEqual(found("tcp", None, [{"port": 1}], None), ["MG1051 tcp[1]", "MG1051 tcp[2]"])

    def test_repeated_blocks(self) -> None:
        """A block that is in an earlier rule, or earlier in its own, has no effect."""
        self.assertEqual(found("tcp", [{"port": 1}], [{"port": 1}, {"port": 2}]), ["MG1052 tcp[1].match[0]"])
        self.assertEqual(
            found("tls", [names("a.example.com"), names("a.example.com")]),
            ["MG1052 tls[0].match[1]"],
        )

    def test_rules_with_repeated_blocks_alone(self) -> None:
        """A rule of which every block is a repetition is never reached."""
        self.assertEqual(
            found("tls", [names("a.example.com")], [names("a.example.com")]),
            ["MG1052 tls[1].match[0]", "MG1051 tls[1]"],
        )

    def test_blocks_are_the_same_if_all_their_fields_are(self) -> None:
        """The order of names counts; so do labels and ports. Wildcards are not looked into."""
        for first, second in (
            (names("a.example.com", "b.example.com"), names("b.example.com", "a.example.com")),
            (names("a.example.com"), names("a.example.com", port=443)),
            (names("a.example.com", sourceLabels={"a": "b"}), names("a.example.com", sourceLabels={"a": "c"})),
            (names("*.example.com"), names("a.example.com")),
        ):
            self.assertEqual(found("tls", [first], [second]), [])

    def test_what_is_written_out_is_the_same_as_what_is_left_out(self) -> None:
        """Port 0 is no port, and a number may be in quotes."""
        self.assertEqual(found("tcp", [{"port": 0}], [{}, {"port": 5}]), ["MG1052 tcp[1].match[0]"])
        self.assertEqual(found("tcp", [{"port": "5"}], [{"port": 5}, {"port": 6}]), ["MG1052 tcp[1].match[0]"])
