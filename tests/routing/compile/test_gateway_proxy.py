"""Tests of :mod:`meshgate.routing.compile.gateway_proxy`: who selects a gateway, and the ports of its Services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.pod import makes_pods
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.problem import Problem
from meshgate.routing.compile.gateway_proxy import GatewayPods, KnownGateway, Proxy
from meshgate.routing.compile.servers import servers_of
from tests.configurations import PROXY, Document, deployment, document, gateway, read, service, tcp_server
from tests.routing.compile.bound import NO_PODS, gateways

LABELS = {"istio": "ingressgateway"}


class SelectionTests(SynchronousTestCase):
    """The Gateways that select this gateway."""

    def setUp(self) -> None:
        """A gateway."""
        self.proxy = Proxy({"istio": "edge"}, "istio-system")

    def selected_by(self, selector: dict[str, str] | None, pods: GatewayPods = NO_PODS) -> str:
        """The code of the problem of a Gateway with a selector; empty if it selects this gateway."""
        one = gateway("gw", tcp_server(1))
        one["spec"]["selector"] = selector
        if selector is None:
            del one["spec"]["selector"]
        (found,) = gateways(read(one))
        result = servers_of(found, pods, self.proxy)
        return result.code if isinstance(result, Problem) else ""

    def test_selector(self) -> None:
        """All labels of the selector count; no selector selects everybody."""
        for selector, want in [
            ({"istio": "edge"}, ""),
            (None, ""),
            ({"istio": "edge", "app": "x"}, "MG2001"),
            ({"istio": "egress"}, "MG2001"),
            ({"istio": "ingresgateway"}, "MG2040"),
        ]:
            self.assertEqual(self.selected_by(selector), want, selector)

    def test_a_gateway_for_others(self) -> None:
        """A Gateway for Istio's own gateway, for another Pod or for another gateway that is known is no fault."""
        pods = GatewayPods.of((), read(document("Pod", "p", {}, labels={"istio": "eastwest"})), self.proxy)
        self.assertEqual(self.selected_by({"istio": "ingressgateway"}), "MG2001")
        self.assertEqual(self.selected_by({"istio": "eastwest"}, pods), "MG2001")
        self.assertEqual(self.selected_by({"istio": "eastwestt"}, pods), "MG2040")
        self.proxy = replace(self.proxy, others=(KnownGateway("other", {"istio": "edgee"}, "istio-system"),))
        self.assertEqual(self.selected_by({"istio": "edgee"}), "MG2001")


class TranslationTests(SynchronousTestCase):
    """Ports that the Services in front of the gateway translate."""

    def of(self, *documents: Document) -> GatewayPods:
        """The resources beside Gateways."""
        found = read(*documents)
        services = [each for each in found if isinstance(each.spec, ServiceSpec)]
        return GatewayPods.of(services, filter(makes_pods, found), PROXY)

    def test_port_translation(self) -> None:
        """The targetPort of the gateway's own Service is the listening port; of several Services the first counts."""
        untranslated = own("a", 8443)
        untranslated["metadata"]["labels"] = {"experimental.istio.io/disable-gateway-port-translation": "true"}
        pods = [
            deployment("d", LABELS, {"name": "tls", "containerPort": 9443}, namespace="istio-system"),
            deployment("e", {"app": "other"}, {"name": "tls", "containerPort": 10443}, namespace="istio-system"),
        ]
        for documents, want in [
            ([], 443),
            ([own("a", 8443)], 8443),
            ([own("a", 8443), own("b", 9443)], 8443),
            ([own("a", None), own("b", 9443)], 443),
            ([own("a", "tls")], 443),
            ([own("a", "tls"), *pods], 9443),
            ([own("a", "tls"), pods[1]], 443),
            ([own("a", 8443, namespace="default")], 443),
            ([own("a", 8443, app="other")], 443),
            ([untranslated], 443),
        ]:
            self.assertEqual(self.of(*documents).listening_port(443), want, documents)

    def test_the_ports_of_clients(self) -> None:
        """Clients come by a port of a Service, whether it is translated or not, or by its node port."""
        front = own("a", 8443, nodePort=30443)
        front["spec"]["ports"] += [{"port": 80, "name": "http"}, {"port": 53, "name": "dns", "protocol": "UDP"}]
        unused = own("c", 9443)
        unused["metadata"]["labels"] = {"experimental.istio.io/disable-gateway-port-translation": "true"}
        self.assertEqual([each[:2] for each in self.of(unused).translations()], [(443, 9443)])
        found = self.of(front, own("b", 9443)).translations()
        self.assertEqual([each[:2] for each in found], [(443, 8443), (80, 80), (30443, 8443)])
        self.assertIn("port 443 of Service istio-system/a (routes.yaml:1:125) leads to port 8443", str(found[0]))
        self.assertIn("node port 30443 of Service istio-system/a", str(found[2]))


def own(
    name: str, target: int | str | None, namespace: str = "istio-system", app: str = "ingressgateway", **port: Any
) -> Document:
    """A Service in front of the gateway."""
    ports = {"port": 443, "name": "tls", **({} if target is None else {"targetPort": target}), **port}
    return service(name, ports, selector={"istio": app}, namespace=namespace)
