"""Destinations that are the gateway's own listeners, found out at load."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.problem import Problem
from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from tests.configurations import PROXY

ROUTES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: g, namespace: shop}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {{number: 9000, name: tcp, protocol: TCP}}, {bind}hosts: ['*']}}
  - {{port: {{number: 9443, name: tls, protocol: TLS}}, {bind}hosts: ['*'], tls: {{mode: PASSTHROUGH}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: shop}}
spec:
  hosts: ['*']
  gateways: [g]
  tcp: [{{match: [{{port: 9000}}], route: [{{destination: {{host: db.example.com}}}}]}}]
  tls: [{{match: [{{port: 9443, sniHosts: [a.example.com]}}], route: [{{destination: {{host: web.example.com}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db, namespace: shop}}
spec:
  hosts: [db.example.com]
  ports: [{{number: 80, name: tcp}}]
  resolution: STATIC
  endpoints: [{{address: "{address}", ports: {{tcp: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: web, namespace: shop}}
spec:
  hosts: [web.example.com]
  ports: [{{number: 80, name: tcp}}]
  resolution: STATIC
  endpoints: [{{address: 10.0.0.1, ports: {{tcp: 9000}}}}, {{address: "{address}", ports: {{tcp: {port}}}}}]
"""


class LoopProblemTests(SynchronousTestCase):
    """What the configuration alone tells."""

    def told(self, address: str, port: int = 9000, bind: str = "") -> list[Problem]:
        """What is said of an endpoint of two routes."""
        text = ROUTES.format(address=address, port=port, bind=f"bind: '{bind}', " if bind else "")
        problems = compile_table(read_text(text, "routes.yaml").resources, PROXY).problems
        return [problem for problem in problems if problem.code == "MG2075"]

    def test_what_a_listener_takes(self) -> None:
        """Its own address, and loopback's where it is bound to none; each route is told at its destination."""
        for bind, addresses in [
            ("", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]),
            ("0.0.0.0", ["127.0.0.1", "::ffff:127.0.0.1"]),
            ("::", ["::1"]),
            ("127.0.0.2", ["127.0.0.2"]),
            ("2001:db8::1", ["2001:db8::1", "2001:db8:0:0::1"]),
        ]:
            for address in addresses:
                for port in (9000, 9443):
                    paths = [problem.path for problem in self.told(address, port, bind)]
                    wanted = [f"spec.{kind}[0].route[0].destination.host" for kind in ("tcp", "tls")]
                    self.assertEqual(paths, wanted, (bind, address, port))

    def test_what_it_does_not(self) -> None:
        """Another port, a neighbour's address, and one of which only the machine knows whose it is."""
        for bind, address, port in [
            ("", "127.0.0.1", 9001),
            ("", "10.0.0.2", 9000),
            ("0.0.0.0", "::1", 9000),
            ("::", "127.0.0.1", 9000),
            ("127.0.0.2", "127.0.0.1", 9000),
        ]:
            self.assertEqual(self.told(address, port, bind), [], (bind, address, port))

    def test_other_endpoints_are_named(self) -> None:
        """Where there are others, they serve, and the message says so."""
        single, several = map(str, self.told("127.0.0.1"))
        self.assertIn("its connections end as loop", single)
        self.assertIn("it is passed over for the other endpoints", several)
