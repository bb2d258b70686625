"""Tests of :mod:`meshgate.routing.compile.gateways`: what is compiled again, and how Gateways are joined."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem
from meshgate.routing.compile.chains import ChainBuilder
from meshgate.routing.compile.claims import ServerClaims
from meshgate.routing.compile.gateways import Gateways
from meshgate.routing.compile.route_binding import Bindings
from meshgate.routing.compile.servers import BoundServer, servers_of
from meshgate.routing.table import Listener, ListenerKey
from tests.configurations import (
    PROXY,
    Document,
    codes,
    gateway,
    read,
    tcp_rule,
    tcp_server,
    tls_rule,
    tls_server,
    virtual_service,
)
from tests.routing.compile.bound import NO_PODS, claims_by, gateways, virtual_services

KEY = ListenerKey("0.0.0.0", 443)


def pair(name: str, host: str = "", port: int = 443, **metadata: Any) -> list[Document]:
    """A Gateway of one passthrough server, and its VirtualService; the host is the pair's own if none is given."""
    host = host or f"{name}.example.com"
    return [
        gateway(name, tls_server(port, [host]), **metadata),
        virtual_service(name, [host], [name], tls=[tls_rule([host], "x")]),
    ]


class Compiled:
    """
    The Gateways of documents, with a count of what is done for them.

    :ivar bound: the Gateways whose servers have been asked for.
    :ivar read: the VirtualServices whose claims have been read.
    """

    def __init__(self, *documents: Document) -> None:
        self.bound: list[str] = []
        self.read: list[str] = []
        self.bindings = Bindings(PROXY)
        self.gateways = Gateways(self._servers, self._claims, ChainBuilder)
        resources = read(*documents)
        self._read_claims = claims_by(resources)
        for each in gateways(resources):
            self.gateways.add(each)
        self.routes = {each.name: each for each in virtual_services(resources)}
        for route in self.routes.values():
            self.gateways.invalidate(self.bindings.add(route))

    def set_route(self, document: Document) -> None:
        """A VirtualService has changed."""
        (new,) = virtual_services(read(document, file="later.yaml"))
        self.gateways.invalidate(self.bindings.remove(self.routes[new.name]))
        self.gateways.invalidate(self.bindings.add(new))
        self.routes[new.name] = new

    def join(self) -> dict[ListenerKey, Listener]:
        """The listeners, after everything stale has been compiled; the counts begin anew."""
        self.bound.clear()
        self.read.clear()
        while not self.gateways.compile_some(self.bindings, 1000):
            pass
        return self.gateways.join()

    def problems(self) -> list[str]:
        """The codes of all problems but those of destinations, which have no Services here."""
        found = [problem for output in self.gateways.outputs() for problem in output.problems]
        return [code for code in codes(found) if code != "MG2020"]

    def _servers(self, one: Gateway) -> tuple[BoundServer, ...] | Problem:
        self.bound.append(one.name)
        return servers_of(one, NO_PODS, PROXY)

    def _claims(self, server: BoundServer, one: VirtualService) -> ServerClaims:
        self.read.append(one.name)
        return self._read_claims(server, one)


def first_gateway(*documents: Document) -> Gateway:
    """The first Gateway of documents, from a file that is read after those of :class:`Compiled`."""
    return gateways(read(*documents, file="sooner.yaml"))[0]


def rules(listener: Listener) -> dict[str, str]:
    """The VirtualService of each full name."""
    return {name: chain.virtual_service.partition("/")[2] for name, chain in listener.exact.items()}


class MemoTests(SynchronousTestCase):
    """The Gateways that are compiled again after a change."""

    def setUp(self) -> None:
        """Three pairs on one port, and a Gateway with two VirtualServices on another."""
        many = [virtual_service(f"m{n}", [f"m{n}.org"], ["m"], tls=[tls_rule([f"m{n}.org"], "x")]) for n in range(2)]
        self.compiled = Compiled(*pair("a"), *pair("b"), *pair("c"), gateway("m", tls_server(8443, ["*.org"])), *many)
        self.before = self.compiled.join()

    def test_without_a_change(self) -> None:
        """Nothing is compiled or read, and the listeners are the same objects."""
        after = self.compiled.join()
        self.assertEqual((self.compiled.bound, self.compiled.read), ([], []))
        self.assertEqual(after.keys(), self.before.keys())
        for key, listener in after.items():
            self.assertIs(listener, self.before[key])

    def test_a_gateway_changes(self) -> None:
        """Its servers are bound again and its claims read; chains of others, and other listeners, are the same."""
        self.compiled.gateways.add(first_gateway(gateway("a", tls_server(443, ["a.example.com", "more.org"]))))
        after = self.compiled.join()
        self.assertEqual((self.compiled.bound, self.compiled.read), (["a"], ["a"]))
        self.assertIs(after[KEY].exact["b.example.com"], self.before[KEY].exact["b.example.com"])
        self.assertIs(after[ListenerKey("0.0.0.0", 8443)], self.before[ListenerKey("0.0.0.0", 8443)])

    def test_a_virtual_service_changes(self) -> None:
        """Of all VirtualServices of its Gateway it alone is read."""
        self.compiled.set_route(virtual_service("m1", ["new.org"], ["m"], tls=[tls_rule(["new.org"], "x")]))
        after = self.compiled.join()
        self.assertEqual((self.compiled.bound, self.compiled.read), ([], ["m1"]))
        self.assertEqual(rules(after[ListenerKey("0.0.0.0", 8443)]), {"m0.org": "m0", "new.org": "m1"})

    def test_a_host_of_destinations_changes(self) -> None:
        """The claims of the VirtualServices with such a destination are read again, and no others."""
        self.compiled.gateways.read_again([self.compiled.routes["m0"].key, self.compiled.routes["b"].key])
        self.compiled.join()
        self.assertEqual((self.compiled.bound, sorted(self.compiled.read)), ([], ["b", "m0"]))

    def test_an_epoch(self) -> None:
        """When what all servers depend on has changed, all Gateways are compiled again."""
        self.compiled.gateways.begin_epoch()
        self.compiled.join()
        self.assertEqual(sorted(self.compiled.bound), ["a", "b", "c", "m"])

    def test_a_gateway_goes(self) -> None:
        """Its names are gone, and nothing else is compiled."""
        self.compiled.gateways.remove(self.compiled.gateways.by_name["default/a"])
        after = self.compiled.join()
        self.assertEqual((self.compiled.bound, sorted(rules(after[KEY]))), ([], ["b.example.com", "c.example.com"]))

    def test_a_gateway_for_others(self) -> None:
        """It has a problem, and no listener."""
        other = gateway("a", tls_server(443, ["a.example.com"]))
        other["spec"]["selector"] = {"istio": "egress"}
        self.compiled.gateways.add(first_gateway(other))
        self.assertNotIn("a.example.com", self.compiled.join()[KEY].exact)
        self.assertEqual(self.compiled.problems(), ["MG2001"])


class BudgetTests(SynchronousTestCase):
    """The work of one call."""

    def test_budget(self) -> None:
        """A Gateway with more VirtualServices than the budget is finished by further calls, which read none twice."""
        names = [f"v{n}.org" for n in range(10)]
        routes = [virtual_service(name.partition(".")[0], [name], tls=[tls_rule([name], "x")]) for name in names]
        compiled = Compiled(gateway("gw", tls_server(443)), *routes)
        calls = 1
        while not compiled.gateways.compile_some(compiled.bindings, 3):
            self.assertLessEqual(len(compiled.read), 3 * calls)
            calls += 1
        self.assertEqual(calls, 4)
        self.assertEqual(len(compiled.read), len(set(compiled.read)))
        self.assertEqual(sorted(compiled.gateways.join()[KEY].exact), names)


class ContestTests(SynchronousTestCase):
    """Gateways that share a name or a port with others."""

    def test_nothing_in_common(self) -> None:
        """Their chains are on one listener, and none is another's rival."""
        compiled = Compiled(*pair("a"), *pair("b"))
        self.assertEqual(rules(compiled.join()[KEY]), {"a.example.com": "a", "b.example.com": "b"})
        self.assertEqual(compiled.problems(), [])

    def test_a_host_in_common(self) -> None:
        """The older Gateway keeps it; when it goes, the younger has it."""
        compiled = Compiled(*pair("a", "x.org"), *pair("b", "x.org"), *pair("c"))
        self.assertEqual(rules(compiled.join()[KEY]), {"x.org": "a", "c.example.com": "c"})
        self.assertEqual(compiled.problems(), ["MG2002"])
        compiled.gateways.remove(compiled.gateways.by_name["default/a"])
        self.assertEqual(rules(compiled.join()[KEY]), {"x.org": "b", "c.example.com": "c"})
        self.assertEqual(compiled.problems(), [])

    def test_a_claimed_name_in_common(self) -> None:
        """Servers with different hosts can still meet in what their VirtualServices claim."""
        route = virtual_service("b", ["x.org"], ["b"], tls=[tls_rule(["x.org"], "x")])
        compiled = Compiled(*pair("a", "x.org"), gateway("b", tls_server(443, ["*.org"])), route)
        self.assertEqual(rules(compiled.join()[KEY]), {"x.org": "a"})
        self.assertEqual(compiled.problems(), ["MG2005"])

    def test_a_plain_server_on_the_port(self) -> None:
        """It contests the port with every Gateway there, whatever their names."""
        plain = [gateway("p", tcp_server(443)), virtual_service("p", gateways=["p"], tcp=[tcp_rule("x")])]
        before = Compiled(*plain, *pair("a"), *pair("b", port=8443))
        self.assertEqual(sorted(before.join()), [KEY, ListenerKey("0.0.0.0", 8443)])
        self.assertEqual(before.problems(), ["MG2003"])
        after = Compiled(*pair("a"), *plain, *pair("b", port=8443))
        self.assertEqual(rules(after.join()[KEY]), {"a.example.com": "a"})
        self.assertEqual(after.problems(), [])

    def test_contested_gateways_are_compiled_once(self) -> None:
        """As long as none of them changes, the joint output and the listener stay the same objects."""
        compiled = Compiled(*pair("a", "x.org"), *pair("b", "x.org"), *pair("c", port=8443))
        before = compiled.join()
        *_, joint = compiled.gateways.outputs()
        compiled.gateways.add(first_gateway(*pair("c", "other.org", 8443)))
        after = compiled.join()
        *_, same = compiled.gateways.outputs()
        self.assertIs(joint, same)
        self.assertIs(before[KEY], after[KEY])

    def test_an_uncontested_gateway_begins_a_group(self) -> None:
        """
        The order of groups is that of all servers: an uncontested Gateway with an older server of another protocol has
        the contested ones of that protocol come first.
        """

        def https(name: str, host: str, **metadata: Any) -> list[Document]:
            documents = pair(name, host, **metadata)
            documents[0]["spec"]["servers"][0]["port"]["protocol"] = "HTTPS"
            return documents

        older: Document = {"creationTimestamp": "2024-01-01T00:00:00Z"}
        rivals = [*pair("a", "x.org"), *https("b", "y.org")]
        for route in (rivals[1], rivals[3]):
            route["spec"].update(hosts=["*.org"], tls=[tls_rule(["z.org"], "x")])
        for other, winner in [(https("c", "c.org", **older), "b"), (pair("c", "c.org", **older), "a")]:
            for first in ([], other):
                compiled = Compiled(*rivals, *first)
                self.assertEqual(rules(compiled.join()[KEY]).get("z.org"), winner if first else "a")
