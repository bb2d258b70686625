"""Tests of :class:`meshgate.routing.compile.Compiler` over changes: the result is that of compiling from scratch."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.duplicates import Change, Latest, latest
from meshgate.resources.reader import Reading, read_text
from meshgate.resources.record import Resource
from meshgate.resources.steps import run_through
from meshgate.routing.compile import Compilation, Compiler, compile_table
from meshgate.routing.servers import Proxy
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
def others(draw: st.DrawFn) -> Document:
    """What routes and Gateways rest on."""
    number, port = draw(NUMBERS), draw(st.sampled_from([80, 81]))
    name, labels = draw(st.sampled_from(["x", "y"])), {"app": "x", "version": draw(st.sampled_from(["v1", "v2"]))}
    return draw(
        st.sampled_from(
            [
                service(name, {"port": port, "name": "tcp"}, selector={"app": "x"}),
                service("own", {"port": 443, "targetPort": 9443}, selector={"istio": "ig"}, namespace="istio-system"),
                workload(f"w{number}", f"127.0.0.{number + 1}", labels),
                destination_rule(f"d{number}", name, {"name": "v1", "labels": {"version": "v1"}}),
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
PROXIES = st.sampled_from([False, True]).map(lambda extended: Proxy({"istio": "ig"}, "istio-system", extended=extended))


def reading_of(one: Document | None, number: int) -> Reading:
    """What a document says, in a file of its own."""
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
        """What is valid."""
        return [each for number in sorted(self._files) for each in self._files[number].resources]

    def refused(self) -> list[Resource[Any]]:
        """What can be read of the others."""
        return [each for number in sorted(self._files) for each in self._files[number].refused]

    def compiled(self, proxy: Proxy) -> Compilation:
        """As a new gateway would."""
        return compile_table(latest(self.resources())[0], proxy, refused=self.refused(), now=NOW)


class IncrementalTests(SynchronousTestCase):
    """One compiler over many changes."""

    @given(
        PROXIES,
        st.lists(DOCUMENTS, max_size=12),
        st.lists(EDITS, min_size=1, max_size=4),
        st.randoms(use_true_random=False),
    )
    @settings(deadline=None, max_examples=300)
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
        files = Files(documents)
        known, compiler = Latest(), Compiler(proxy)
        for edits in [[], *changes]:
            files.write(edits)
            given = files.resources()
            rng.shuffle(given)
            steps = compiler.in_steps(run_through(known.update(tuple(given))), 1, files.refused(), NOW)
            if rng.random() < 0.3:
                while next(steps) is None:
                    pass
                for _ in range(rng.randrange(10)):
                    next(steps, None)
                steps.close()
                continue
            found, expected = run_through(steps), files.compiled(proxy)
            self.assertEqual(found.table, expected.table)
            self.assertEqual(found.problems, expected.problems)
            self.assertEqual(found.statuses, expected.statuses)
            self.assertEqual(set(found.table.destinations()), set(expected.table.destinations()))
            for key, listener in found.table.listeners.items():
                self.assertEqual(list(listener.chains()), list(expected.table.listeners[key].chains()))

    def test_certificates_expire(self) -> None:
        """What is said of a certificate changes with the time, without any change to the resources."""
        resources = read(terminating("c"), key_pair("c"))
        compiler = Compiler(PROXY)
        said = []
        for change, days in [(Change(come=resources), 1), (Change(), 1), (Change(), 10_000), (Change(), 20_000)]:
            now = NOW + timedelta(days=days)
            found = run_through(compiler.in_steps(change, 1, now=now))
            self.assertEqual(found.problems, compile_table(resources, PROXY, now=now).problems)
            said.append("MG2055" in codes(found.problems))
        self.assertEqual(said, [False, False, True, True])

    def test_two_secrets_with_one_certificate(self) -> None:
        """That two Gateways have one certificate is seen whenever the second comes, under whatever name."""
        one = read(terminating("c"), key_pair("c"), key_pair("d"))
        other = read(terminating("d", "later", "b.example.com"), file="more.yaml")
        compiler = Compiler(PROXY)
        for change, expected in [(Change(come=one), 0), (Change(come=other), 2), (Change(gone=other), 0)]:
            found = run_through(compiler.in_steps(change, 1, now=NOW))
            self.assertEqual(codes(found.problems).count("MG2056"), expected)
