"""Tests of :mod:`meshgate.routing.compile.traffic_policies` and its notes, by what compiling does."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.latest import ResourceChange
from meshgate.resources.phases import at_once
from meshgate.routing.compile.compiler import Compilation, Compiler, compile_change
from meshgate.routing.connection_policy import (
    NO_CONNECTION_POLICY,
    NO_UPSTREAM_POLICY,
    Algorithm,
    Balancing,
    ConnectionPolicy,
    Keepalive,
    Outliers,
    UpstreamPolicy,
)
from meshgate.routing.hashing import LARGEST_RING, LARGEST_TABLE
from meshgate.routing.table import Chain, ListenerKey
from meshgate.routing.tell.policy_texts import upstream_text
from tests.configurations import (
    PROXY,
    Document,
    codes,
    compiled,
    destination_rule,
    document,
    gateway,
    read,
    service,
    target,
    tcp_server,
    virtual_service,
    workload,
)

SERVICES = [
    document
    for name in ("db", "other")
    for document in (
        service(name, {"port": 80, "name": "tcp"}, {"port": 81, "name": "tcp-81"}, selector={"app": name}),
        workload(name, "10.0.0.1", {"app": name}),
    )
]


def routed(*rules: Document, route: Any = None) -> Compilation:
    """Compile a rule with this route, to ``db`` unless given."""
    rule = {"route": route or [target("db")]}
    return compiled(gateway("gw", tcp_server(9000)), virtual_service("v", tcp=[rule]), *SERVICES, *rules)


def chain(compilation: Compilation) -> Chain:
    """The one chain."""
    found = compilation.table.listeners[ListenerKey("0.0.0.0", 9000)].catch_all
    assert found is not None
    return found


def upstream(policy: Document | None, subset_policy: Document | None = None, **route: Any) -> UpstreamPolicy:
    """The policy of connections to ``db``, or to its subset if that has a policy."""
    subsets = [] if subset_policy is None else [{"name": "v1", "trafficPolicy": subset_policy}]
    whole: dict[str, Any] = {} if policy is None else {"trafficPolicy": policy}
    rule = destination_rule("d", "db", *subsets, **whole)
    found = routed(rule, route=[target("db", subset="v1" if subsets else "", **route)])
    return chain(found).destinations[0].policy


def tcp(**fields: Any) -> Document:
    """A policy with a pool of connections."""
    return {"connectionPool": {"tcp": fields}}


def simple(name: str) -> Document:
    """A policy with a way of choosing."""
    return {"loadBalancer": {"simple": name}}


def hashing(**fields: Any) -> Document:
    """A policy that chooses by hash."""
    return {"loadBalancer": {"consistentHash": fields}}


class UpstreamTests(SynchronousTestCase):
    """Policies of connections to a destination."""

    def test_no_policy(self) -> None:
        """Without a policy, or with one that says nothing of this, endpoints are chosen as Istio does by default."""
        self.assertIs(chain(routed()).destinations[0].policy, NO_UPSTREAM_POLICY)
        self.assertIs(upstream({"tls": {"mode": "DISABLE"}}), NO_UPSTREAM_POLICY)
        self.assertEqual(NO_UPSTREAM_POLICY.balancing, Balancing(Algorithm.LEAST_REQUEST))

    def test_every_field(self) -> None:
        """Each field of the pool comes out, and where it is from."""
        keepalive = {"probes": 4, "time": "90s", "interval": "5s"}
        policy = {**tcp(connectTimeout="500ms", maxConnections=7, tcpKeepalive=keepalive), **simple("RANDOM")}
        self.assertEqual(
            upstream(policy),
            UpstreamPolicy(
                connect_timeout=0.5,
                keepalive=Keepalive(4, 90, 5),
                max_connections=7,
                balancing=Balancing(Algorithm.RANDOM),
                origin="DestinationRule default/d (routes.yaml:13:160) spec.trafficPolicy",
            ),
        )

    def test_bandwidth(self) -> None:
        """It is an annotation of the oldest rule that has one, and a change of it reaches the table."""
        rules = [
            document("DestinationRule", name, {"host": "db"}, annotations=annotations)
            for name, annotations in (
                ("a", {}),
                ("b", {"meshgate.io/bandwidth": "10MiB/s"}),
                ("c", {"meshgate.io/bandwidth": "1KiB/s"}),
            )
        ]
        found = chain(routed(*rules)).destinations[0].policy
        self.assertEqual(found.bandwidth, 10 << 20)
        self.assertIn("DestinationRule default/b", found.origin)
        self.assertIn("10MiB/s each way, all connections together", upstream_text(found))
        compiler = Compiler(PROXY)
        bandwidths: list[int] = []
        before: list[Any] = []
        for text in ("3GiB/s", "7KiB/s"):
            rule = document("DestinationRule", "a", {"host": "db"}, annotations={"meshgate.io/bandwidth": text})
            route = virtual_service("v", tcp=[{"route": [target("db")]}])
            resources = read(gateway("gw", tcp_server(9000)), route, *SERVICES, rule)
            change = ResourceChange(removed=before, added=resources)
            bandwidths.append(chain(at_once(compile_change(compiler, change, 1))).destinations[0].policy.bandwidth)
            before = resources
        self.assertEqual(bandwidths, [3 << 30, 7 << 10])

    def test_what_is_left_out(self) -> None:
        """A field that is not written is the gateway's own, whatever Istio's documentation gives as its default."""
        for fields in ({"maxConnections": 0}, {"maxConnections": 2**31 - 1}, {"connectTimeout": "10s"}):
            found = upstream(tcp(**fields))
            self.assertEqual(
                (found.connect_timeout, found.max_connections, found.keepalive),
                (
                    10.0 if "connectTimeout" in fields else None,
                    fields["maxConnections"] if fields.get("maxConnections") else None,
                    None,
                ),
            )

    def test_keepalive_in_whole_seconds(self) -> None:
        """Parts of seconds are cut as in Istio, but never to 0; what no system takes becomes what it does."""
        for written, expected in [
            ({}, Keepalive()),
            ({"time": "1.5s", "interval": "10ms"}, Keepalive(time=1, interval=1)),
            ({"probes": 1000, "time": "24h"}, Keepalive(probes=127, time=32767)),
        ]:
            self.assertEqual(upstream(tcp(tcpKeepalive=written)).keepalive, expected)

    def test_ways_of_choosing(self) -> None:
        """Each way that can be written, and the sizes of its table."""
        for policy, expected in [
            (simple("UNSPECIFIED"), Balancing(Algorithm.LEAST_REQUEST)),
            (simple("LEAST_CONN"), Balancing(Algorithm.LEAST_REQUEST)),
            (simple("ROUND_ROBIN"), Balancing(Algorithm.ROUND_ROBIN)),
            (hashing(useSourceIp=True), Balancing(Algorithm.RING_HASH, 1024)),
            (hashing(useSourceIp=True, minimumRingSize=77), Balancing(Algorithm.RING_HASH, 77)),
            (hashing(useSourceIp=True, ringHash={"minimumRingSize": 99}), Balancing(Algorithm.RING_HASH, 99)),
            (
                hashing(useSourceIp=True, ringHash={"minimumRingSize": 2**63}),
                Balancing(Algorithm.RING_HASH, LARGEST_RING),
            ),
            (hashing(useSourceIp=True, maglev={"tableSize": 101}), Balancing(Algorithm.MAGLEV, 101)),
            (hashing(useSourceIp=True, maglev={"tableSize": 4999999}), Balancing(Algorithm.MAGLEV, LARGEST_TABLE)),
            (hashing(httpHeaderName="x"), Balancing(Algorithm.RING_HASH, 1024)),
        ]:
            self.assertEqual(upstream(policy).balancing, expected, policy)

    def test_passthrough_has_nowhere_to_go(self) -> None:
        """The original destination of a gateway's connection is the gateway: nothing is dialed, and that is said."""
        found = routed(destination_rule("d", "db", trafficPolicy=simple("PASSTHROUGH")))
        self.assertEqual((chain(found).destinations[0].endpoints, codes(found.problems)), ((), ["MG2069"]))

    def test_two_routes_share_what_they_are_made_of(self) -> None:
        """The same endpoints and the same policy stand in the table once, and are compared at no cost."""
        rule = destination_rule("d", "db", {"name": "v1"}, trafficPolicy=tcp(maxConnections=1))
        route = [target("db", subset="v1", weight=1), target("db", subset="v1", weight=2)]
        one, two = chain(routed(rule, route=route)).destinations
        self.assertIs(one.endpoints, two.endpoints)
        self.assertIs(one.policy, two.policy)


class OutlierTests(SynchronousTestCase):
    """When endpoints are left out."""

    def test_failures_that_count(self) -> None:
        """A failure to connect is one of each kind, unless those are told apart; without any limit there is none."""
        for written, failures in [
            ({}, 5),
            ({"consecutive5xxErrors": 3}, 3),
            ({"consecutiveGatewayErrors": 3}, 3),
            ({"consecutive5xxErrors": 0, "consecutiveGatewayErrors": 7}, 7),
            ({"consecutive5xxErrors": 0}, None),
            ({"splitExternalLocalOriginErrors": True, "consecutive5xxErrors": 1}, 5),
            ({"splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 2}, 2),
        ]:
            found = upstream({"outlierDetection": written}).outliers
            self.assertEqual(found.failures if found is not None else None, failures, written)

    def test_times_and_shares(self) -> None:
        """Settings left out have Envoy's defaults."""
        self.assertEqual(upstream({"outlierDetection": {}}).outliers, Outliers(5, 10, 30, 10, 0))
        written = {
            "interval": "1s",
            "baseEjectionTime": "5s",
            "maxEjectionPercent": 50,
            "minHealthPercent": 20,
        }
        self.assertEqual(upstream({"outlierDetection": written}).outliers, Outliers(5, 1, 5, 50, 20))

    def test_what_is_never_left_out(self) -> None:
        """It is reported if one endpoint is more than may be ejected; the more endpoints, the fewer percent one is."""
        for percent, expected in [(50, ["MG2072"]), (100, [])]:
            policy = {"outlierDetection": {"maxEjectionPercent": percent}}
            self.assertEqual(codes(routed(destination_rule("d", "db", trafficPolicy=policy)).problems), expected)


LEVELS = {
    "rule": tcp(maxConnections=1),
    "port": tcp(maxConnections=2),
    "subset": tcp(maxConnections=3),
    "subset_port": tcp(maxConnections=4),
}


class MergeTests(SynchronousTestCase):
    """Policies that override each other."""

    @given(
        st.dictionaries(st.sampled_from(list(LEVELS)), st.sampled_from(["pool", "balancer", "both"])),
        st.sampled_from([80, 81]),
    )
    @settings(deadline=None)
    def test_against_the_rule_in_words(self, given_levels: dict[str, str], port: int) -> None:
        """
        From the rule over its port and the subset to the subset's port: a level overrides what came before it part by
        part, but that of a port leaves nothing of it; and levels of other ports do not exist.
        """
        balancers = {"rule": "RANDOM", "port": "ROUND_ROBIN", "subset": "LEAST_REQUEST", "subset_port": "RANDOM"}
        policies: dict[str, Document] = {}
        limit, way = None, Algorithm.LEAST_REQUEST
        for level in LEVELS:
            kind = given_levels.get(level)
            if kind is None:
                continue
            policies[level] = {
                **(LEVELS[level] if kind != "balancer" else {}),
                **(simple(balancers[level]) if kind != "pool" else {}),
            }
            if level.endswith("port"):
                if port != 80:
                    continue
                limit, way = None, Algorithm.LEAST_REQUEST
            if kind != "balancer":
                limit = LEVELS[level]["connectionPool"]["tcp"]["maxConnections"]
            if kind != "pool":
                way = Algorithm(balancers[level])

        def policy(level: str, of_port: str) -> Document | None:
            ports = [{"port": {"number": 80}, **policies[of_port]}] if of_port in policies else []
            whole = {**policies.get(level, {}), **({"portLevelSettings": ports} if ports else {})}
            return whole or None

        found = upstream(policy("rule", "port"), policy("subset", "subset_port"), port=port)
        self.assertEqual((found.max_connections, found.balancing.algorithm), (limit, way))

    def test_origins(self) -> None:
        """If sections come from two sources, both are named."""
        self.assertEqual(
            upstream(tcp(maxConnections=1), simple("RANDOM")).origin,
            "DestinationRule default/d (routes.yaml:13:187) spec.subsets[0].trafficPolicy and "
            "DestinationRule default/d (routes.yaml:13:246) spec.trafficPolicy",
        )


class ConnectionTests(SynchronousTestCase):
    """Policies of the connections of a chain."""

    def test_times_of_the_whole_rule(self) -> None:
        """They come from the rule's own policy, and 0 switches the idle time off."""
        for fields, idle, longest in [
            ({"idleTimeout": "5s"}, 5.0, None),
            ({"idleTimeout": "0s"}, 0.0, None),
            ({"maxConnectionDuration": "1h"}, None, 3600.0),
        ]:
            found = chain(routed(destination_rule("d", "db", trafficPolicy=tcp(**fields)))).policy
            self.assertEqual((found.idle, found.max_duration, found.by_source), (idle, longest, False))
            self.assertEqual(found.origin, "DestinationRule default/d (routes.yaml:13:160) spec.trafficPolicy")

    def test_no_policy(self) -> None:
        """Without a rule, or without such times, nothing is said of the connections."""
        for rules in ([], [destination_rule("d", "db", trafficPolicy=tcp(maxConnections=1))]):
            self.assertIs(chain(routed(*rules)).policy, NO_CONNECTION_POLICY)

    def test_times_of_subsets_and_ports_have_no_effect(self) -> None:
        """They are no fault, and Istio says nothing; here the path of each is told."""
        times = tcp(idleTimeout="5s", maxConnectionDuration="9s")
        port = {"port": {"number": 80}, **times}
        rule = destination_rule(
            "d", "db", {"name": "v1", "trafficPolicy": times}, trafficPolicy={"portLevelSettings": [port]}
        )
        found = routed(rule, route=[target("db", subset="v1")])
        self.assertIs(chain(found).policy, NO_CONNECTION_POLICY)
        self.assertEqual(
            [(problem.code, problem.path) for problem in found.problems],
            [
                ("MG2071", "spec.subsets[0].trafficPolicy.connectionPool.tcp.idleTimeout"),
                ("MG2071", "spec.trafficPolicy.portLevelSettings[0].connectionPool.tcp.idleTimeout"),
            ],
        )

    def test_the_first_destination_decides(self) -> None:
        """Of several destinations only the first counts, and what the others want in vain is told."""
        rules = [
            destination_rule("one", "db", trafficPolicy=tcp(idleTimeout="5s")),
            destination_rule("two", "other", trafficPolicy=tcp(idleTimeout="9s", maxConnectionDuration="1h")),
        ]
        found = routed(*rules, route=[target("db", weight=0), target("other", weight=1)])
        self.assertEqual(chain(found).policy.idle, 5)
        (problem,) = found.problems
        self.assertEqual((problem.code, problem.path), ("MG2071", "spec.tcp[0].route[1].destination"))
        self.assertIn("idleTimeout and maxConnectionDuration of DestinationRule default/two", problem.message)
        self.assertEqual(routed(*rules, route=[target("db", weight=1), target("other", weight=0)]).problems, ())

    def test_whose_address_is_hashed(self) -> None:
        """The rule's policy says it; of an only destination its subset's overrides it, and a port's never counts."""
        source, header, port = hashing(useSourceIp=True), hashing(httpHeaderName="x"), {"port": {"number": 80}}
        for policy, subset_policy, several, expected in [
            (source, None, False, True),
            (source, None, True, True),
            (header, None, False, False),
            (header, source, False, True),
            (header, source, True, False),
            (source, header, False, False),
            (source, header, True, True),
            (source, simple("RANDOM"), False, False),
            (source, tcp(maxConnections=1), False, True),
            ({"portLevelSettings": [{**port, **source}]}, None, False, False),
        ]:
            subset = {"name": "v1", **({"trafficPolicy": subset_policy} if subset_policy else {})}
            rule = destination_rule("d", "db", subset, trafficPolicy=policy)
            route = [target("db", subset="v1", weight=1), *([target("other", weight=1)] if several else [])]
            found = routed(rule, route=route)
            self.assertEqual(chain(found).policy.by_source, expected, (policy, subset_policy, several))

    def test_addresses_that_are_not_hashed(self) -> None:
        """Whoever asks for it where it has no effect is told."""
        source, port = hashing(useSourceIp=True), {"port": {"number": 80}}
        rule = destination_rule("d", "other", trafficPolicy=source)
        self.assertEqual(
            codes(routed(rule, route=[target("db", weight=1), target("other", weight=1)]).problems), ["MG2071"]
        )
        of_port = destination_rule("d", "db", trafficPolicy={"portLevelSettings": [{**port, **source}]})
        self.assertEqual(codes(routed(of_port).problems), ["MG2071"])
        both = destination_rule("d", "db", trafficPolicy={**source, "portLevelSettings": [{**port, **source}]})
        self.assertEqual(codes(routed(both).problems), [])

    def test_an_unknown_first_destination(self) -> None:
        """A destination that does not exist has no policy, and those behind it do not take its place."""
        rule = destination_rule("d", "db", trafficPolicy=tcp(idleTimeout="5s"))
        found = routed(rule, route=[target("nowhere", weight=1), target("db", weight=1)])
        self.assertEqual(chain(found).policy, ConnectionPolicy())
        self.assertEqual(codes(found.problems), ["MG2020", "MG2071"])


class HashNoteTests(SynchronousTestCase):
    """Notes on hashing."""

    def test_keys_that_tcp_does_not_have(self) -> None:
        """Each is named."""
        for key, value in [("httpHeaderName", "x"), ("httpCookie", {"name": "c"}), ("httpQueryParameterName", "q")]:
            (problem,) = routed(destination_rule("d", "db", trafficPolicy=hashing(**{key: value}))).problems
            self.assertEqual(problem.code, "MG2068")
            self.assertTrue(problem.message.startswith(key))

    def test_sizes(self) -> None:
        """A size that is not made is told, one that is made is not."""
        for size, expected in [(LARGEST_RING, []), (LARGEST_RING + 1, ["MG2070"])]:
            policy = hashing(useSourceIp=True, ringHash={"minimumRingSize": size})
            self.assertEqual(codes(routed(destination_rule("d", "db", trafficPolicy=policy)).problems), expected)
