"""Tests of :mod:`meshgate.routing.compile.known_gateways`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.routing.compile.gateway_proxy import ISTIO_LABELS, KnownGateway
from meshgate.routing.compile.known_gateways import ISTIO_NAME, find_gateway, known_gateways
from tests.configurations import (
    Document,
    deployment,
    document,
    gateway,
    read,
    service,
    tcp_rule,
    tcp_server,
    tls_server,
    virtual_service,
)

ISTIO = KnownGateway(ISTIO_NAME, ISTIO_LABELS, "istio-system")
HTTP = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}


def selecting(name: str, *servers: Document, **selector: str) -> Document:
    """A Gateway with a selector."""
    one = gateway(name, *(servers or [tcp_server(80)]))
    return {**one, "spec": {**one["spec"], "selector": selector}}


def front(name: str, namespace: str, **selector: str) -> Document:
    """A Service in front of a gateway."""
    return service(name, {"port": 80, "name": "tcp"}, selector=selector, namespace=namespace)


class KnownTests(SynchronousTestCase):
    """The gateways that resources show."""

    def names(self, *documents: Document, any_namespace: bool = True) -> list[str]:
        """The gateways, as ``namespace/name``."""
        found = known_gateways(read(*documents), ISTIO, any_namespace=any_namespace)
        return [each.qualified_name for each in found]

    def test_istios_own(self) -> None:
        """Istio's ingress gateway has both labels, and is known without any resource."""
        own = ["istio-system/istio-ingressgateway"]
        self.assertEqual(self.names(), own)
        for selector in ({}, {"istio": "ingressgateway"}, {"app": "istio-ingressgateway"}, dict(ISTIO_LABELS)):
            self.assertEqual(self.names(selecting("gw", **selector)), own, selector)
            if selector:
                self.assertEqual(self.names(selecting("gw", **selector, release="istio")), own, selector)
        one, two = (selecting(name, istio="ingressgateway", type=name) for name in ("one", "two"))
        self.assertEqual(self.names(one, two), [*own, "istio-system/istio=ingressgateway,type=two"])

    def test_pods_and_templates(self) -> None:
        """Pods that a Gateway selects are a gateway, replicas one; one with Istio's label stands for Istio's."""
        gw = selecting("gw", istio="ingressgateway")
        labels = {"istio": "ingressgateway", "app": "edge"}
        pods = [document("Pod", f"edge-{n}", {}, "edge", labels={**labels, "pod-template-hash": "1"}) for n in "12"]
        made = deployment("edge", labels, namespace="edge")
        self.assertEqual(self.names(gw, *pods), ["edge/edge-1"])
        self.assertEqual(self.names(gw, *pods, made), ["edge/edge"])
        self.assertEqual(self.names(gw, made, any_namespace=False), ["istio-system/edge"])
        both = [gw, made, selecting("gw2", app="istio-ingressgateway")]
        self.assertEqual(self.names(*both), ["edge/edge", "istio-system/istio-ingressgateway"])
        shop = deployment("shop", {"app": "shop"})
        self.assertEqual(self.names(gw, shop), ["istio-system/istio-ingressgateway"])

    def test_services(self) -> None:
        """A Service shows a gateway whose Pods were not read, as far as its selector agrees with that of a Gateway."""
        gw = selecting("gw", istio="private", tier="data")
        for one, want in [
            (front("lb", "edge", istio="private"), "edge/lb"),
            (front("lb", "edge", app="istio-private"), "edge/lb"),
            (front("lb", "edge", istio="private", tier="web"), "istio-system/private"),
            (front("lb", "edge", app="shop"), "istio-system/private"),
        ]:
            self.assertEqual(self.names(gw, one), [want], one)
        twice = [front(name, "edge", istio="private") for name in ("lb", "lb2")]
        self.assertEqual(self.names(gw, *twice), ["edge/lb"])
        pods = deployment("x", {"istio": "private", "tier": "data"}, namespace="edge")
        self.assertEqual(self.names(gw, front("lb", "edge", istio="private"), pods), ["edge/x"])

    def test_selectors(self) -> None:
        """A selector alone describes a gateway, named after the labels of Istio's charts, unless it is misspelled."""
        for selector, want in [
            ({"istio": "egressgateway"}, "istio-system/istio-egressgateway"),
            ({"app": "istio-egressgateway"}, "istio-system/istio-egressgateway"),
            ({"istio": "ingress"}, "istio-system/ingress"),
            ({"tier": "edge", "zone": "a"}, "istio-system/tier=edge,zone=a"),
            ({"app.kubernetes.io/name": "edge"}, "istio-system/edge"),
            ({"istio": "ingresgateway"}, "istio-system/istio-ingressgateway"),
        ]:
            self.assertEqual(self.names(selecting("gw", **selector)), [want], selector)
        one, two = selecting("a", istio="ingress"), selecting("b", app="istio-ingress")
        self.assertEqual(self.names(one, two), ["istio-system/ingress"])

    def test_the_namespace_of_a_selector(self) -> None:
        """It is that of the Secrets of its Gateways, or the one to which all its VirtualServices are exported."""
        https = tls_server(443, mode="SIMPLE")
        secrets = [document("Secret", "c", {"type": "Opaque"}, namespace) for namespace in ("edge", "other")]
        exported = enumerate([["edge", "."], ["edge"], ["*"]])
        routes = [virtual_service(f"v{n}", tcp=[tcp_rule("x")], export_to=words) for n, words in exported]
        for documents, want in [
            ((), "istio-system"),
            (secrets[:1], "edge"),
            (secrets, "istio-system"),
            (routes[:2], "edge"),
            (routes[:1], "edge"),
            (routes, "istio-system"),
        ]:
            one = selecting("gw", https, istio="private")
            self.assertEqual(self.names(one, *documents), [f"{want}/private"])

    def test_the_first_answers_questions(self) -> None:
        """Istio's own gateway comes first, if a Gateway selects it; else the one with most selectors, egress last."""
        egress, private = selecting("e", istio="egressgateway"), selecting("p", istio="private")
        names = ["istio-system/private", "istio-system/istio-egressgateway"]
        self.assertEqual(self.names(egress, private), names)
        self.assertEqual(
            self.names(egress, private, selecting("gw", istio="ingressgateway")),
            ["istio-system/istio-ingressgateway", *reversed(names)],
        )

    def test_finding_one(self) -> None:
        """A gateway goes by its name, with or without its namespace, and by its labels."""
        resources = read(selecting("e", istio="egressgateway"), selecting("p", istio="private"))
        known = known_gateways(resources, ISTIO, any_namespace=True)
        for name, want in [
            ("istio-egressgateway", "istio-egressgateway"),
            ("egressgateway", "istio-egressgateway"),
            ("istio-system/private", "private"),
            ("istio-private", "private"),
            ("other", None),
        ]:
            found = find_gateway(name, known)
            self.assertEqual(found.name if found else None, want)
