"""Tests of the compiler over changes: the result is that of compiling from scratch."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.latest import LatestResources, ResourceChange, latest
from meshgate.resources.phases import at_once
from meshgate.resources.reader import Reading, read_text
from meshgate.resources.resource import Resource
from meshgate.routing.compile.compiler import CLAIMS_AT_ONCE, Compilation, Compiler, compile_change, compile_table
from meshgate.routing.compile.gateway_proxy import Proxy
from tests import examples
from tests.configurations import (
    PROXY,
    Document,
    codes,
    destination_rule,
    document,
    gateway,
    read,
    service,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
    workload,
)
from tests.key_pairs import NOW, key_pair, terminating

PORTS = st.sampled_from([443, 8443])
NAMES = st.sampled_from(["a.example.com", "A.example.com", "b.example.com", "*.example.com", "*", "c.org"])
HOSTS = st.one_of(NAMES, NAMES.map(lambda name: f"./{name}"), NAMES.map(lambda name: f"other/{name}"))
BACKENDS = st.sampled_from(["x", "y", "outside.example.org", "nobody"])
NAMESPACES = st.sampled_from(["default", "other", "istio-system"])
BINDS = st.sampled_from([{}, {}, {"bind": "127.0.0.1"}, {"bind": "0.0.0.0"}])
CREATED = st.sampled_from([{}, {}, {"creationTimestamp": "2024-01-01T00:00:00Z"}])
SUBNETS = st.sampled_from([{}, {}, {"destinationSubnets": ["10.0.0.0/8"]}, {"destinationSubnets": ["nonsense"]}])
SUBSETS = st.sampled_from(["", "", "v1", "v2"])

# How many documents of each kind there can be: few, so that they meet.
NUMBERS = st.integers(0, 2)


@st.composite
def servers(draw: st.DrawFn) -> Document:
    """A server of any kind."""
    port, hosts, rest = draw(PORTS), draw(st.lists(HOSTS, min_size=1, max_size=2, unique=True)), draw(BINDS)
    kind = draw(st.sampled_from(["PASSTHROUGH", "PASSTHROUGH", "SIMPLE", "AUTO_PASSTHROUGH", "TCP", "HTTP", "HTTPS"]))
    if kind == "TCP":
        return tcp_server(port, **rest)
    if kind == "HTTP":
        return {"port": {"number": port, "name": f"http{port}", "protocol": "HTTP"}, "hosts": ["*"], **rest}
    made = tls_server(port, hosts, mode="PASSTHROUGH" if kind == "HTTPS" else kind, **rest)
    made["port"]["protocol"] = "HTTPS" if kind == "HTTPS" else "TLS"
    return made


@st.composite
def gateways(draw: st.DrawFn) -> Document:
    """A Gateway, mostly for this gateway."""
    ports = draw(st.lists(servers(), min_size=1, max_size=2))
    for index, server in enumerate(ports):
        server["port"]["name"] = f"p{index}"
    made = gateway(f"g{draw(NUMBERS)}", *ports, namespace=draw(NAMESPACES), **draw(CREATED))
    if draw(st.integers(0, 9)) == 0:
        made["spec"]["selector"] = {"istio": "egress"}
    return made


@st.composite
def routes(draw: st.DrawFn) -> Document:
    """A VirtualService, for gateways or for sidecars."""
    hosts = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    names = draw(st.lists(st.sampled_from(hosts), min_size=1, max_size=2, unique=True))
    tls = tls_rule(names, draw(BACKENDS))
    tls["match"][0].update(draw(SUBNETS), **draw(st.sampled_from([{}, {}, {"port": 443}])))
    tls["route"][0]["destination"]["subset"] = draw(SUBSETS)
    tcp = tcp_rule(draw(BACKENDS), match=draw(st.sampled_from([[], [], [{"port": 8443}]])))
    return virtual_service(
        f"v{draw(NUMBERS)}",
        hosts,
        draw(st.sampled_from([["g0"], ["default/g1"], ["other/g0", "g2"], ["mesh"], ["g0", "mesh"], ["missing"]])),
        namespace=draw(NAMESPACES),
        tls=[tls],
        tcp=draw(st.sampled_from([[], [tcp]])),
        export_to=draw(st.sampled_from([[], [], ["."], ["istio-system"], ["nowhere"]])),
        **draw(CREATED),
    )


@st.composite
def destination_rules(draw: st.DrawFn, name: str) -> Document:
    """A DestinationRule of any namespace, which gateways may follow or not."""
    visibilities: list[Document] = [
        {},
        {},
        {"exportTo": ["."]},
        {"exportTo": ["other"]},
        {"workloadSelector": {"matchLabels": {"istio": "ig"}}},
        {"workloadSelector": {"matchLabels": {"istio": "e"}}},
    ]
    policy = draw(st.sampled_from([{}, {"trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}]))
    return destination_rule(
        f"d{draw(NUMBERS)}",
        draw(st.sampled_from([name, name, f"{name}.default.svc.cluster.local", "*.default.svc.cluster.local"])),
        {"name": draw(st.sampled_from(["v1", "v2"])), "labels": {"version": "v1"}},
        namespace=draw(NAMESPACES),
        **draw(st.sampled_from(visibilities)),
        **policy,
    )


@st.composite
def others(draw: st.DrawFn) -> Document:
    """A resource that routes or Gateways use."""
    number, port = draw(NUMBERS), draw(st.sampled_from([80, 81]))
    name, labels = draw(st.sampled_from(["x", "y"])), {"app": "x", "version": draw(st.sampled_from(["v1", "v2"]))}
    return draw(
        st.sampled_from(
            [
                service(name, {"port": port, "name": "tcp"}, selector={"app": "x"}, namespace=draw(NAMESPACES)),
                service("y", {"port": 80, "name": "tcp"}, type="ExternalName", externalName="outside.example.org"),
                service("own", {"port": 443, "targetPort": 9443}, selector={"istio": "ig"}, namespace="istio-system"),
                workload(f"w{number}", f"127.0.0.{number + 1}", labels),
                draw(destination_rules(name)),
                document(
                    "ServiceEntry",
                    f"e{number}",
                    {
                        "hosts": ["outside.example.org"],
                        "ports": [{"number": port, "name": "tls", "protocol": draw(st.sampled_from(["TLS", "TCP"]))}],
                        "resolution": "DNS",
                    },
                ),
                document("Pod", f"p{number}", {}, "istio-system", labels={"istio": draw(st.sampled_from(["ig", "e"]))}),
            ]
        )
    )


def spoiled(one: Document) -> Document:
    """A document with a fault, so that it is not valid."""
    if one["kind"] == "Gateway":
        one["spec"]["servers"][0]["port"]["number"] = 0
    elif one["kind"] == "Service":
        one["spec"]["ports"].append({"port": 0})
    else:
        one["spec"]["exportTo"] = 5
    return one


VALID = st.one_of(gateways(), routes(), routes(), others())
DOCUMENTS = st.one_of(VALID, VALID, VALID, VALID.map(spoiled))
EDITS = st.lists(st.tuples(st.integers(0, 11), st.none() | DOCUMENTS), min_size=1, max_size=3)


class Crowd:
    """
    Two Gateways that many VirtualServices name, and some small ones that share their port. Drawn evenly, since what
    matters happens where most have nothing in common and a few do.
    """

    MANY = 8
    SMALL = 5

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        # Most of the ports of most crowds are for passthrough only, where one rule can be exchanged.
        self._mixed = rng.random() < 0.3

    def documents(self) -> list[Document]:
        """Every document, each in its file."""
        return [self.document(number) for number in range(self.MANY + 2 * self.SMALL + 3)]

    def edit(self) -> tuple[int, Document | None]:
        """One file changed, or gone."""
        first = 2 if self._rng.random() < 0.8 else 0
        number = self._rng.randrange(first, self.MANY + 2 * self.SMALL + 3)
        return number, None if self._rng.random() < 0.25 else self.document(number)

    def document(self, number: int) -> Document:
        """One version of a file."""
        if number < 2:
            return gateway(f"g{number}", *self._servers(number))
        if number < self.MANY + 2:
            return self._route(number, self._rng.choice([["g0"], ["g0"], ["g0"], ["g1"], ["g0", "g1"]]))
        number -= self.MANY + 2
        if number < self.SMALL:
            return gateway(f"s{number}", self._small_server(number))
        number -= self.SMALL
        if number < self.SMALL:
            host = f"s{number}.org" if self._rng.random() < 0.9 else "h1.example.com"
            return virtual_service(f"s{number}", [host], [f"s{number}"], tls=[tls_rule([host], self._backend())])
        return service(self._backend(), {"port": self._rng.choice([80, 81]), "name": "tcp"}, selector={"app": "x"})

    def _servers(self, number: int) -> list[Document]:
        hosts = [["*.example.com"], ["*.example.com", "*.net"]][self._rng.random() < 0.5] if number == 0 else ["*.org"]
        servers = [tls_server(443, hosts, **self._bind())]
        if self._mixed:
            beside = [
                tls_server(443, [hosts[0], "*.net"]),
                tls_server(443, ["h2.example.com"]),
                {**tls_server(443, ["h3.example.com"], mode="SIMPLE"), "port": {"number": 443, "protocol": "HTTPS"}},
                tls_server(443, ["c.org"], mode="SIMPLE"),
                tls_server(443, ["c.org"], mode="AUTO_PASSTHROUGH"),
                tls_server(8443, ["*"]),
                tcp_server(9000),
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
            ]
            servers += self._rng.sample(beside, self._rng.randrange(3))
        return [{**each, "port": {**each["port"], "name": f"p{index}"}} for index, each in enumerate(servers)]

    def _small_server(self, number: int) -> Document:
        made = tls_server(self._rng.choice([443, 8443]), [f"s{number}.org"], **self._bind())
        if self._rng.random() < 0.3:
            made["port"]["protocol"], made["tls"] = "HTTPS", {"mode": "SIMPLE", "credentialName": "c"}
        return made

    def _bind(self) -> dict[str, str]:
        return self._rng.choice([{}, {}, {"bind": "0.0.0.0"}])

    def _backend(self) -> str:
        return self._rng.choice(["x", "y", "nobody"])

    def _route(self, number: int, gateways: list[str]) -> Document:
        rng = self._rng
        own = [f"h{number}.example.com", f"i{number}.example.com", f"n{number}.net"]
        shared = ["h1.example.com", "H1.example.com", "*.example.com", "c.org", "*"]
        names = [rng.choice(own if rng.random() < 0.8 else shared) for _ in range(rng.choice([1, 1, 2]))]
        rule = tls_rule([f"*{names[0]}"] if rng.random() < 0.05 and "*" not in names[0] else names, self._backend())
        if rng.random() < 0.2:
            rule["match"][0]["destinationSubnets"] = ["10.0.0.0/8"]
        tcp = [tcp_rule(self._backend())] if rng.random() < 0.2 else []
        hosts = ["*"] if rule["match"][0]["sniHosts"] != names else names
        created = rng.choice([{}, {}, {"creationTimestamp": "2024-01-01T00:00:00Z"}])
        return virtual_service(f"v{number}", hosts, gateways, tls=[rule], tcp=tcp, **created)


def simple_route(number: int, name: str = "") -> Document:
    """One of many, with a name of its own."""
    host = f"{name or f'h{number}'}.example.com"
    return virtual_service(f"v{number}", [host], ["g0"], tls=[tls_rule([host], "x")])


PROXIES = st.sampled_from([False, True]).map(lambda extended: Proxy({"istio": "ig"}, "istio-system", extended=extended))


def reading_of(one: Document | None, number: int) -> Reading:
    """The reading of a document in a file of its own."""
    if one is None:
        return read_text("", "none.yaml")
    if one["kind"] == "Gateway" and one["spec"].get("selector") == {"istio": "ingressgateway"}:
        one["spec"]["selector"] = {"istio": "ig"}
    return read_text(json.dumps(one), f"{number:02}.yaml")


class Files:
    """Files in which each document is the same object as long as its file is not changed."""

    def __init__(self, documents: list[Document]) -> None:
        self._files: dict[int, Reading] = {}
        self.write(list(enumerate(documents)))

    def write(self, edits: Sequence[tuple[int, Document | None]]) -> None:
        """Replace files, or remove them."""
        for number, each in edits:
            self._files[number] = reading_of(each, number)

    def resources(self) -> list[Resource[Any]]:
        """The valid resources."""
        return [each for number in sorted(self._files) for each in self._files[number].resources]

    def refused(self) -> list[Resource[Any]]:
        """The invalid resources, as far as they can be read."""
        return [each for number in sorted(self._files) for each in self._files[number].refused]

    def compiled(self, proxy: Proxy) -> Compilation:
        """Compile everything from scratch."""
        return compile_table(latest(self.resources())[0], proxy, refused=self.refused(), now=NOW)


class IncrementalTests(SynchronousTestCase):
    """One compiler over many changes."""

    @given(
        PROXIES,
        st.lists(DOCUMENTS, max_size=12),
        st.lists(EDITS, min_size=1, max_size=4),
        st.randoms(use_true_random=False),
    )
    @settings(deadline=None, max_examples=examples(300))
    def test_changes_come_to_the_same_as_starting_anew(
        self,
        proxy: Proxy,
        documents: list[Document],
        changes: list[list[tuple[int, Document | None]]],
        rng: random.Random,
    ) -> None:
        """
        After each of some random edits the table, the problems and the statuses are those of a new compiler, in
        whatever order the resources are read, and whether or not the work before was brought to its end.
        """
        self.follow(proxy, documents, changes, rng)

    def test_a_crowd_changes_one_by_one(self) -> None:
        """The same where many VirtualServices name few Gateways, and mostly have no name in common."""
        for seed in range(examples(250)):
            rng = random.Random(seed)
            crowd = Crowd(rng)
            proxy = Proxy({"istio": "ig"}, "istio-system", extended=seed % 10 == 0)
            self.follow(proxy, crowd.documents(), [[crowd.edit()] for _ in range(10)], rng)

    def test_a_listener_is_left_on_the_way_to_others(self) -> None:
        """A Gateway that gives up a port just as it comes to share a name with another one really gives it up."""
        one, both = tls_server(443, ["*"]), [tls_server(443, ["*"]), tls_server(8443, ["*"])]
        both[1]["port"]["name"] = "other"
        files = Files(
            [
                gateway("g0", *both),
                gateway("g1", tls_server(443, ["d.org"])),
                simple_route(0),
                virtual_service("w", ["h0.example.com"], ["g1"], tls=[tls_rule(["h0.example.com"], "x")]),
            ]
        )
        known, compiler = LatestResources(), Compiler(Proxy({"istio": "ig"}, "istio-system"))
        before = at_once(compile_change(compiler, known.update(tuple(files.resources())), 1))
        self.assertEqual({key.port for key in before.table.listeners}, {443, 8443})
        files.write([(0, gateway("g0", one)), (1, gateway("g1", tls_server(443, ["*.example.com"])))])
        after = at_once(compile_change(compiler, known.update(tuple(files.resources())), 2))
        self.assertEqual({key.port for key in after.table.listeners}, {443})

    def follow_edit(self, documents: list[Document], number: int, after: Document | None) -> None:
        """Compile before and after one edit."""
        self.follow(Proxy({"istio": "ig"}, "istio-system"), documents, [[(number, after)]], random.Random(0))

    def test_a_server_that_lost_gets_nothing_later(self) -> None:
        """A server that is dropped stays without chains when one more VirtualService comes that only it would meet."""
        first, lost = tls_server(443, ["*.example.com"]), tls_server(443, ["*.example.com", "*.net"])
        lost["port"]["name"] = "lost"
        names = ["a.example.com", "one.net", "two.net"]
        routes = [virtual_service(f"v{n}", [n], ["g0"], tls=[tls_rule([n], "x")]) for n in names]
        come = virtual_service("w", ["three.net"], ["g0"], tls=[tls_rule(["three.net"], "x")])
        self.follow_edit([gateway("g0", first, lost), *routes], 4, come)

    def test_a_name_falls_to_the_server_that_ends_it(self) -> None:
        """A name that a passthrough rule gives up is held by the server that terminates TLS for it."""
        ends = tls_server(443, ["h1.example.com"], mode="SIMPLE")
        ends["port"].update(name="ends", protocol="HTTPS")
        documents = [gateway("g0", tls_server(443, ["*"]), ends), simple_route(0), simple_route(1), simple_route(2)]
        self.follow_edit(documents, 2, simple_route(1, "other"))

    def test_two_servers_with_one_port_and_host(self) -> None:
        """A Gateway has the same port and host twice, and then once, beside a rival."""
        twice = [tls_server(443, ["*.example.com"]), tls_server(443, ["*.example.com"])]
        twice[1]["port"]["name"] = "again"
        rival = gateway("g1", tls_server(443, ["*.example.com"]))
        self.follow_edit([gateway("g0", *twice), rival, simple_route(0)], 0, gateway("g0", twice[0]))

    def small_gateways(self, *servers: Document) -> list[Document]:
        """Gateways of one server and one VirtualService each, which share a port and no name."""
        gateways = [gateway(f"g{number}", each) for number, each in enumerate(servers)]
        hosts = [each["hosts"][0] for each in servers]
        return gateways + [
            virtual_service(f"v{number}", [host], [f"g{number}"], tls=[tls_rule([host], "x")])
            for number, host in enumerate(hosts)
        ]

    def test_the_oldest_of_a_port_goes(self) -> None:
        """Without the Gateway whose unset bind stood for both families, or with another bind, others decide."""
        host = ["h0.example.com"]
        others = [tls_server(443, [f"h{number}.example.com"], bind="0.0.0.0") for number in range(1, 5)]
        documents = self.small_gateways(tls_server(443, host), *others)
        for after in (None, gateway("g0", tls_server(443, host, bind="0.0.0.0"))):
            self.follow_edit(documents, 0, after)

    def test_the_only_one_that_serves_goes(self) -> None:
        """A port is closed when only servers are left that serve nothing."""
        ending = [tls_server(443, [f"h{number}.example.com"], mode="SIMPLE") for number in range(5)]
        for each in ending:
            each["port"]["protocol"] = "HTTPS"
        documents = self.small_gateways(tls_server(443, ["h0.example.com"]), *ending[1:])
        for after in (None, gateway("g0", ending[0])):
            self.follow_edit(documents, 0, after)

    def test_claims_are_read_in_phases(self) -> None:
        """A Gateway with more VirtualServices than one phase reads is compiled all the same, with rests."""
        documents = [gateway("g0", tls_server(443, ["*"])), *(simple_route(number) for number in range(450))]
        files, known, compiler = Files(documents), LatestResources(), Compiler(Proxy({"istio": "ig"}, "istio-system"))
        rests: list[None] = []

        async def rest() -> None:
            rests.append(None)

        found = at_once(compile_change(compiler, known.update(tuple(files.resources())), 1, rest=rest))
        (listener,) = found.table.listeners.values()
        self.assertEqual(len(listener.exact), 450)
        self.assertGreaterEqual(len(rests), 450 // CLAIMS_AT_ONCE)

    def follow(
        self,
        proxy: Proxy,
        documents: list[Document],
        changes: list[list[tuple[int, Document | None]]],
        rng: random.Random,
    ) -> None:
        """Compile after each change, and from scratch as well."""
        files = Files(documents)
        known, compiler = LatestResources(), Compiler(proxy)
        for edits in [[], *changes]:
            files.write(edits)
            given = files.resources()
            rng.shuffle(given)
            found = at_once(compile_change(compiler, known.update(tuple(given)), 1, files.refused(), NOW))
            expected = files.compiled(proxy)
            self.assertEqual(found.table, expected.table)
            self.assertEqual(found.problems, expected.problems)
            self.assertEqual(list(found.statuses.items()), sorted(expected.statuses.items(), key=lambda item: item[0]))
            self.assertEqual(set(found.table.destinations()), set(expected.table.destinations()))
            for key, listener in found.table.listeners.items():
                self.assertEqual(list(listener.chains()), list(expected.table.listeners[key].chains()))

    def test_certificates_expire(self) -> None:
        """Problems of certificates follow the time without any change to the resources, forward and back."""
        resources = read(terminating("c"), key_pair("c"))
        compiler = Compiler(PROXY)
        said: list[bool] = []
        for days in (1, 1, 10_000, 20_000, 1):
            change = ResourceChange() if said else ResourceChange(added=resources)
            now = NOW + timedelta(days=days)
            found = at_once(compile_change(compiler, change, 1, now=now))
            self.assertEqual(found.problems, compile_table(resources, PROXY, now=now).problems)
            said.append("MG2055" in codes(found.problems))
        self.assertEqual(said, [False, False, True, True, False])

    def test_two_secrets_with_one_certificate(self) -> None:
        """Two Gateways with one certificate are found whenever the second comes, under whatever name."""
        one = read(terminating("c"), key_pair("c"), key_pair("d"))
        other = read(terminating("d", "later", "b.example.com"), file="more.yaml")
        compiler = Compiler(PROXY)
        for change, expected in [
            (ResourceChange(added=one), 0),
            (ResourceChange(added=other), 2),
            (ResourceChange(removed=other), 0),
        ]:
            found = at_once(compile_change(compiler, change, 1, now=NOW))
            self.assertEqual(codes(found.problems).count("MG2056"), expected)
