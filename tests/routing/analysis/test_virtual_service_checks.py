"""Tests of :mod:`meshgate.routing.analysis.virtual_service_checks`."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.shared_fields import EVERYBODY
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.resource import Resource
from meshgate.routing.analysis.analysis_input import AnalysisInput, listed
from meshgate.routing.analysis.virtual_service_checks import mesh_conflicts
from meshgate.routing.compile.catalog import Catalog
from meshgate.routing.compile.selection import scopes
from meshgate.routing.hosts import matches, wildcards_over
from tests.configurations import PROXY, read, tcp_rule, virtual_service

HOSTS = ("a.x.org", "b.x.org", "x.org", "*.x.org", "*.org", "a.y.com")
MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(("one", "two", "three")),
        st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True),
        st.sampled_from(([], ["*"], ["."], ["one"], ["two"], ["one", "two"], ["two", "three"])),
    ),
    max_size=12,
)


def members(given: Iterable[tuple[str, list[str], list[str]]]) -> list[VirtualService]:
    """VirtualServices of the mesh, by namespace, hosts and ``exportTo``; none has two hosts that overlap."""
    documents = [
        virtual_service(f"v{number}", hosts, [], namespace, tcp=[tcp_rule("x.other.svc")], export_to=export_to)
        for number, (namespace, hosts, export_to) in enumerate(given)
        if len(hosts) == 1 or not matches(*hosts)
    ]
    return sorted(read(*documents), key=Resource.order)


def conflicts(found: list[VirtualService]) -> list[tuple[str, str, str]]:
    """Name, path and message of each problem."""
    problems = mesh_conflicts(AnalysisInput((), PROXY, Catalog((), "")).narrow(virtual_services=found))
    return sorted((each.name, each.path, each.message) for each in problems)


def slow_conflicts(found: list[VirtualService]) -> list[tuple[str, str, str]]:
    """The same, by comparing every VirtualService with all others."""
    rivals: dict[tuple[str, str], dict[str, VirtualService]] = {}
    by_name = {each.name: each for each in found}

    def note(one: VirtualService, host: str, rival: VirtualService) -> None:
        if one is not rival:
            rivals.setdefault((one.name, host), {})[rival.name] = rival
            rivals.setdefault((rival.name, host), {})[one.name] = one

    for one in found:
        for host in one.spec.hosts:
            for scope in sorted(scopes(one)):
                for other in found:
                    if scope in scopes(other) and host in other.spec.hosts:
                        note(one, host, other)
                for public in overlapping(host, found) if scope != EVERYBODY else ():
                    for other in found:
                        if EVERYBODY in scopes(other) and public in other.spec.hosts:
                            note(one, host, other)
    return sorted(
        (name, path(by_name[name], host), message(host, others.values())) for (name, host), others in rivals.items()
    )


def overlapping(host: str, found: list[VirtualService]) -> list[str]:
    """The public hosts that have a name in common with a host: wildcards over it from the longest on."""
    public = list(dict.fromkeys(host for each in found if EVERYBODY in scopes(each) for host in each.spec.hosts))
    if host.startswith("*"):
        return [each for each in public if matches(host, each)]
    return [each for each in (host, *wildcards_over(host)) if each in public]


def path(one: VirtualService, host: str) -> str:
    """The path of a host; of all hosts if it is not among them."""
    return f"spec.hosts[{one.spec.hosts.index(host)}]" if host in one.spec.hosts else "spec.hosts"


def message(host: str, others: Iterable[VirtualService]) -> str:
    """The message of a problem."""
    rivals = listed((other, path(other, host)) for other in others)
    return f"in the mesh, {host} is also a host of VirtualService {rivals}, and only one of them counts"


class MeshConflictTests(SynchronousTestCase):
    """VirtualServices of the mesh that share a host."""

    @given(MEMBERS)
    @settings(max_examples=300, deadline=None)
    def test_as_if_each_was_compared_with_all(self, chosen: list[tuple[str, list[str], list[str]]]) -> None:
        """The rivals that a problem counts, and those that it names, are those of comparing every pair."""
        found = members(chosen)
        self.assertEqual(conflicts(found), slow_conflicts(found))

    def test_many_share_a_host(self) -> None:
        """Of many rivals a problem names the first three, and counts the others."""
        found = members([("one", ["a.x.org"], [])] * 6)
        of_first, *_, of_last = (message for _, _, message in conflicts(found))
        for text, names in ((of_first, ("v1", "v2", "v3")), (of_last, ("v0", "v1", "v2"))):
            self.assertIn("and 2 more, and only one", text)
            for name in names:
                self.assertIn(f"one/{name} (", text)
