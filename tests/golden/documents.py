"""What is wrong with a document before its fields are looked at."""

from __future__ import annotations

from tests.golden import Golden

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: [a.example.com], tls: {mode: PASSTHROUGH}}
"""

CASES = (
    Golden(
        "MG0002",
        GATEWAY.replace("name: tls", "name: y"),
        """
        routes.yaml:8:32: warning[MG0002]: Gateway default/g: y is text here, but a boolean to kubectl (write "y" in
          quotes)
        """,
    ),
    Golden(
        "MG0003",
        "- kind: Gateway\n",
        """
        routes.yaml:1:1: error[MG0003]: the document is a list, not a resource (a resource is a mapping with
          apiVersion, kind and metadata)
        """,
    ),
    Golden(
        "MG0003",
        "kind: Gateway\n",
        """
        routes.yaml:1:1: error[MG0003]: apiVersion: the document has no apiVersion, so it is no resource
        """,
    ),
    Golden(
        "MG0004",
        GATEWAY.replace("/v1", "/v1alpha1"),
        """
        routes.yaml:2:13: error[MG0004]: Gateway default/g: apiVersion: Gateway is not a kind of
          networking.istio.io/v1alpha1 (write apiVersion: networking.istio.io/v1)
        """,
    ),
    Golden(
        "MG0005",
        GATEWAY.replace("Gateway", "Gatway"),
        """
        routes.yaml:3:7: error[MG0005]: Gatway default/g: kind: Gatway is not a kind of networking.istio.io (did you
          mean Gateway?)
        """,
    ),
    Golden(
        "MG0006",
        GATEWAY.replace("networking.istio.io/v1", "v1").replace("Gateway", "Node"),
        """
        routes.yaml:2:1: info[MG0006]: Node default/g: Node is not a routing resource; ignored
        """,
    ),
)
