"""Tests of :mod:`meshgate.routing.tell.traffic_diff`."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.access_lists import AccessList
from meshgate.routing.connection_policy import ConnectionPolicy, UpstreamPolicy
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.routing.tell.traffic_diff import (
    AccessChange,
    EndpointsChange,
    NameChange,
    Outcome,
    PolicyChange,
    PortChange,
    TrafficDiff,
    diff_traffic,
)
from tests import examples
from tests.configurations import (
    Document,
    compiled,
    destination_rule,
    gateway,
    service,
    target,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)

HERE, THERE = Endpoint("127.0.0.1", 1), Endpoint("127.0.0.2", 2)
X, Y = Destination("x", 80, "", 1, (HERE,)), Destination("y", 80, "v1", 3, (HERE, THERE))
# Drawn from a few, so that equal ones, and ones that differ in one thing, meet often.
DESTINATIONS = [
    (),
    (X,),
    (Y,),
    (X, Y),
    (replace(X, weight=2), replace(Y, weight=6)),
    (replace(X, weight=2), Y),
    (replace(X, weight=0), Y),
    (replace(X, endpoints=(THERE,)),),
    (X, replace(Y, endpoints=(THERE, HERE))),
    (replace(X, endpoints=(), missing="nobody is there"), Y),
    (replace(X, policy=UpstreamPolicy(max_connections=1, origin="here")),),
    (replace(X, policy=UpstreamPolicy(max_connections=1, origin="there")), Y),
]
CHAINS = st.sampled_from(
    [
        Chain((), "ns/gw", "tls", virtual_service, "spec.tls[0]", destinations, refusal=refusal, policy=policy)
        for virtual_service, policy in (("ns/v", ConnectionPolicy()), ("ns/w", ConnectionPolicy(idle=5)))
        for destinations in DESTINATIONS
        for refusal in ("", "", "no")
    ]
)
NAMES = st.lists(st.sampled_from(["a", "b", "com"]), min_size=1, max_size=3).map(".".join)
ROUTES = st.dictionaries(NAMES, CHAINS, max_size=3)
LISTENERS = st.builds(
    Listener,
    key=st.just(ListenerKey("0.0.0.0", 1)),
    dual_stack=st.booleans(),
    sniffs=st.just(True),
    exact=ROUTES,
    suffixes=ROUTES,
    catch_all=st.one_of(st.none(), CHAINS),
)
KEYS = st.builds(ListenerKey, st.sampled_from(["0.0.0.0", "::1"]), st.integers(1, 2))
TABLES = st.dictionaries(KEYS, LISTENERS, max_size=3).map(
    lambda listeners: RoutingTable(
        1,
        {
            key: replace(one, key=key, dual_stack=one.dual_stack and key.bind == "0.0.0.0")
            for key, one in listeners.items()
        },
    )
)


def mirrored(changes: TrafficDiff) -> TrafficDiff:
    """Mirror a diff: what was before is after."""
    return TrafficDiff(
        tuple(PortChange(one.listener, one.after, one.before) for one in changes.ports),
        tuple(NameChange(one.listener, one.name, one.after, one.before) for one in changes.names),
        tuple(EndpointsChange(one.destination, one.after, one.before, one.names) for one in changes.endpoints),
        tuple(PolicyChange(one.destination, one.after, one.before, one.names) for one in changes.policies),
        tuple(AccessChange(one.after, one.before, one.names) for one in changes.access),
    )


def shuffled(table: RoutingTable, rng: random.Random) -> RoutingTable:
    """Shuffle a table: everything of which the order does not matter."""

    def mixed(items: list[tuple[ListenerKey, Listener]]) -> list[tuple[ListenerKey, Listener]]:
        rng.shuffle(items)
        return items

    def chains(routes: list[tuple[str, Chain]]) -> dict[str, Chain]:
        rng.shuffle(routes)
        return dict(routes)

    return RoutingTable(
        2,
        {
            key: replace(one, exact=chains([*one.exact.items()]), suffixes=chains([*one.suffixes.items()]))
            for key, one in mixed([*table.listeners.items()])
        },
    )


def lookup_outcome(table: RoutingTable, key: ListenerKey, sni: str | None) -> object:
    """The outcome of a connection by looking it up: None, or a refusal with shares and policies of destinations."""
    listener = table.listeners.get(key)
    chain = listener.lookup(sni) if listener is not None else None
    if chain is None:
        return None
    total = sum(each.weight for each in chain.destinations)
    parts: dict[tuple[str, frozenset[Endpoint], UpstreamPolicy | None], Fraction] = {}
    for each in chain.destinations:
        share = Fraction(1) if len(chain.destinations) == 1 else Fraction(each.weight, total or 1)
        policy = None if chain.refusal else replace(each.policy, origin="")
        place = str(each), frozenset() if chain.refusal else frozenset(each.endpoints), policy
        if share:
            parts[place] = parts.get(place, Fraction(0)) + share
    return chain.refusal, parts, chain.policy if not chain.refusal else None


class RandomTableTests(SynchronousTestCase):
    """Properties over random tables."""

    @given(TABLES, st.randoms(use_true_random=False))
    @settings(deadline=None, max_examples=examples(200))
    def test_equal_tables_do_not_differ(self, table: RoutingTable, rng: random.Random) -> None:
        """A table differs neither from itself nor from a copy with another generation and order."""
        self.assertFalse(diff_traffic(table, table))
        self.assertFalse(diff_traffic(table, shuffled(table, rng)))

    @given(TABLES, TABLES, st.randoms(use_true_random=False))
    @settings(deadline=None, max_examples=examples(200))
    def test_order_does_not_matter(self, old: RoutingTable, new: RoutingTable, rng: random.Random) -> None:
        """The diff is the same in whatever order listeners and names came into the tables."""
        self.assertEqual(diff_traffic(old, new), diff_traffic(shuffled(old, rng), shuffled(new, rng)))

    @given(TABLES, TABLES)
    @settings(deadline=None, max_examples=examples(200))
    def test_the_way_back_is_the_mirror(self, old: RoutingTable, new: RoutingTable) -> None:
        """The diff from new to old is the mirrored diff from old to new."""
        self.assertEqual(diff_traffic(new, old), mirrored(diff_traffic(old, new)))

    @given(TABLES, TABLES, KEYS, st.one_of(st.none(), NAMES, NAMES.map("other.".__add__)))
    @settings(deadline=None, max_examples=examples(500))
    def test_every_connection_that_fares_differently_is_covered(
        self, old: RoutingTable, new: RoutingTable, key: ListenerKey, sni: str | None
    ) -> None:
        """A name is among the changes exactly if looking it up has different outcomes in the two tables."""
        listeners = [table.listeners[key] for table in (old, new) if key in table.listeners]
        known = {name for one in listeners for name in (*one.exact, *(f"*.{suffix}" for suffix in one.suffixes))}
        wildcards = sorted((f"*.{tail}" for tail in tails(sni or "")), key=len, reverse=True)
        best = next((name for name in [sni or "", *wildcards] if name in known), "*")
        changes = diff_traffic(old, new)
        # One of both families is told by the address of both, where no other listener has that.
        shown = ListenerKey("::", key.port) if any(one.dual_stack for one in listeners) else key
        changed = {change.name for change in changes.names if change.listener == shown}
        used = [use for moved in changes.endpoints for use in moved.names]
        used += [use for treated in changes.policies for use in treated.names]
        changed |= {use.partition(" ")[2] for use in used if use.startswith(f"{shown} ")}
        self.assertEqual(best in changed, lookup_outcome(old, key, sni) != lookup_outcome(new, key, sni))

    @given(TABLES)
    @settings(deadline=None, max_examples=100)
    def test_json(self, table: RoutingTable) -> None:
        """The JSON form is made of plain values, and says whether anything changed."""
        changes = diff_traffic(RoutingTable(), table)
        self.assertEqual(json.loads(json.dumps(changes.as_json()))["changed"], bool(table.listeners))


def tails(name: str) -> list[str]:
    """The parts of a name after each dot."""
    labels = name.split(".")
    return [".".join(labels[number:]) for number in range(1, len(labels))]


SERVICES = (
    service("x", {"port": 80}, selector={"app": "x"}),
    service("y", {"port": 80}, selector={"app": "y"}),
    workload("x1", "127.0.0.1", {"app": "x"}),
    workload("y1", "127.0.0.2", {"app": "y"}),
)


def table(*documents: Document) -> RoutingTable:
    """Compile documents and two Services to a table."""
    return compiled(*SERVICES, *documents).table


def shop(rule: Document, name: str = "shop") -> RoutingTable:
    """One TLS port with one rule."""
    return table(gateway("gw", tls_server(443)), virtual_service(name, tls=[rule]))


def split(*routes: Document) -> RoutingTable:
    """One TLS port whose one name goes to several destinations."""
    return shop({"match": [{"sniHosts": ["a.com"]}], "route": list(routes)})


def kinds(changes: TrafficDiff) -> list[tuple[str, str]]:
    """The names with the kinds of their changes."""
    return [(change.name, change.kind) for change in changes.names]


def outcome(host: str) -> Outcome:
    """The outcome that all connections go to port 80 of one of the Services."""
    return Outcome(((f"{host}.default.svc.cluster.local:80", Fraction(1)),))


class DifferenceTests(SynchronousTestCase):
    """Edits of users, one at a time."""

    def test_port_opens(self) -> None:
        """A new port is opened, and its name appears."""
        changes = diff_traffic(table(), shop(tls_rule(["a.com"], "x")))
        self.assertEqual([(change.listener.port, change.kind) for change in changes.ports], [(443, "opened")])
        self.assertEqual(kinds(changes), [("a.com", "appears")])

    def test_port_turns_from_tcp_to_tls(self) -> None:
        """A port that waits for the first bytes from now on is changed: clients that wait for a greeting would hang."""
        plain = table(gateway("gw", tcp_server(443)), virtual_service("v", tcp=[tcp_rule("x")]))
        changes = diff_traffic(plain, shop(tls_rule(["*"], "x")))
        self.assertEqual([change.kind for change in changes.ports], ["changed"])
        self.assertEqual(changes.names, ())

    def test_name_moves(self) -> None:
        """A name that goes elsewhere is shown with its destinations before and after."""
        changes = diff_traffic(shop(tls_rule(["a.com"], "x")), shop(tls_rule(["a.com"], "y")))
        self.assertEqual(
            changes.names, (NameChange(ListenerKey("::", 443), "a.com", before=outcome("x"), after=outcome("y")),)
        )
        self.assertEqual(changes.names[0].kind, "moves")

    def test_name_falls_to_a_wildcard(self) -> None:
        """A name without a rule of its own any more moves to where its wildcard goes, and does not disappear."""
        both = [tls_rule(["a.example.com"], "x"), tls_rule(["*.example.com"], "y")]
        old = table(gateway("gw", tls_server(443)), virtual_service("v", tls=both))
        new = table(gateway("gw", tls_server(443)), virtual_service("v", tls=both[1:]))
        self.assertEqual(kinds(diff_traffic(old, new)), [("a.example.com", "moves")])

    def test_a_renamed_virtual_service_changes_nothing(self) -> None:
        """A new name of a route, or a rule that is written twice, is no change for traffic."""
        self.assertFalse(diff_traffic(shop(tls_rule(["a.com"], "x")), shop(tls_rule(["a.com"], "x"), "renamed")))

    def test_a_rule_that_a_wildcard_makes_superfluous(self) -> None:
        """Dropping a name whose wildcard goes to the same destination changes nothing."""
        both = shop(tls_rule(["*.example.com", "a.example.com"], "x"))
        self.assertFalse(diff_traffic(both, shop(tls_rule(["*.example.com"], "x"))))

    def test_weights(self) -> None:
        """Shares count, not the numbers they are written with."""
        old = split(target("x", weight=1), target("y", weight=1))
        self.assertFalse(diff_traffic(old, split(target("x", weight=50), target("y", weight=50))))
        changes = diff_traffic(old, split(target("x", weight=3), target("y", weight=1)))
        self.assertEqual(kinds(changes), [("a.com", "weights")])

    def test_a_destination_with_weight_0_gets_nothing(self) -> None:
        """Adding a destination that gets no connection changes nothing."""
        old = split(target("x"))
        self.assertFalse(diff_traffic(old, split(target("x", weight=1), target("y", weight=0))))

    def test_endpoints(self) -> None:
        """Endpoints that come and go are shown once for each destination, with the names that use it."""
        rule = tls_rule(["a.com", "b.com"], "x")
        old = shop(rule)
        moved = compiled(
            SERVICES[0],
            workload("x1", "127.0.0.9", {"app": "x"}),
            gateway("gw", tls_server(443)),
            virtual_service("shop", tls=[rule]),
        ).table
        (change,) = diff_traffic(old, moved).endpoints
        self.assertEqual([str(one) for one in change.added], ["127.0.0.9:80"])
        self.assertEqual([str(one) for one in change.removed], ["127.0.0.1:80"])
        self.assertEqual(change.names, ("[::]:443 a.com", "[::]:443 b.com"))

    def test_policies(self) -> None:
        """Changes of a DestinationRule are shown as text, for the connections of a chain and for each destination."""

        def under(**tcp: Any) -> RoutingTable:
            rule = destination_rule("d", "x", trafficPolicy={"connectionPool": {"tcp": tcp}})
            route = tls_rule(["a.com", "b.com"], "x")
            return table(gateway("gw", tls_server(443)), virtual_service("v", tls=[route]), rule)

        changes = diff_traffic(under(maxConnections=5), under(maxConnections=9, idleTimeout="5s"))
        names = ("[::]:443 a.com", "[::]:443 b.com")
        by = "endpoints by LEAST_REQUEST, the one of two with fewer connections; "
        x = "x.default.svc.cluster.local:80"
        self.assertEqual(
            changes,
            TrafficDiff(
                policies=(
                    PolicyChange("", "", "closed after 5s of silence", names),
                    PolicyChange(x, f"{by}5 connections at the most", f"{by}9 connections at the most", names),
                )
            ),
        )

    def test_access_lists(self) -> None:
        """Clients that may connect from now on, or not; other words, or a Gateway without routes, are no change."""

        def under(name: str = "gw", **annotations: str) -> RoutingTable:
            found = gateway(name, tls_server(443))
            found["metadata"]["annotations"] = {f"meshgate.io/{key}": value for key, value in annotations.items()}
            return table(gateway("gw", tls_server(443)), found, virtual_service("v", tls=[tls_rule(["a.com"], "x")]))

        old = under(allow="10.0.0.0/8", deny="10.9.0.0/16")
        self.assertFalse(diff_traffic(old, under(allow="10.128.0.0/9, 10.0.0.0/9", deny="10.9.0.0/16 10.9.1.1")))
        self.assertFalse(diff_traffic(under("other"), under("other", allow="10.0.0.0/8")))
        (change,) = diff_traffic(old, under(allow="10.0.0.0/8 2001:db8::/32", deny="10.9.0.0/17")).access
        self.assertEqual(
            [(mark, word, str(network)) for mark, word, network in change.differences()],
            [("+", "allow", "2001:db8::/32"), ("-", "deny", "10.9.0.0/16"), ("+", "deny", "10.9.0.0/17")],
        )
        self.assertEqual(change.names, ("[::]:443 a.com",))
        self.assertEqual(
            change.as_json()["before"], {"allow": ["10.0.0.0/8"], "deny": ["10.9.0.0/16"], "dry_run": False}
        )
        (change,) = diff_traffic(table(), old).access
        self.assertEqual((change.before, change.names), (AccessList(), ("[::]:443 a.com",)))

    def test_refusals(self) -> None:
        """A name that is closed from now on is refused, and one that is routed again is served."""
        served = shop(tls_rule(["a.com"], "x"))
        key = ListenerKey("0.0.0.0", 443)
        listener = served.listeners[key]
        refused = replace(listener, exact={"a.com": replace(listener.exact["a.com"], refusal="because")})
        other = RoutingTable(1, {key: refused})
        self.assertEqual(kinds(diff_traffic(served, other)), [("a.com", "refused")])
        self.assertEqual(kinds(diff_traffic(other, served)), [("a.com", "served")])

    def test_termination(self) -> None:
        """A name whose TLS is terminated from now on has changed, though it goes to the same destination."""
        passed = shop(tls_rule(["a.com"], "x"))
        key = ListenerKey("0.0.0.0", 443)
        listener = passed.listeners[key]
        ended = replace(listener, exact={"a.com": replace(listener.exact["a.com"], terminate=True)})
        self.assertEqual(kinds(diff_traffic(passed, RoutingTable(1, {key: ended}))), [("a.com", "termination")])
