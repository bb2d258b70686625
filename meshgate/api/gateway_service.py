"""
The Service of the gateway itself, with the ports of Istio's stock one, so that commands which ask for it get an answer.

It is shown and takes no part in routing: the gateway listens on the ports of the servers, without any translation.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

NAME: Final = "istio-ingressgateway"

PORTS: Final = (
    ("status-port", 15021, None),
    ("http2", 80, None),
    ("https", 443, None),
    ("tcp", 31400, 30090),
    ("tls", 15443, None),
)
"""Name, port, and the port of each node where it has one (Istio, manifests/charts/gateways/istio-ingress)."""


def gateway_service(namespace: str, revision: int, created: str) -> dict[str, Any]:
    """
    The Service.

    :param namespace: the namespace of the gateway.
    :param created: the time of its creation, as Kubernetes writes it.
    """
    labels = {"app": NAME, "istio": "ingressgateway"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{NAME}")),
            "resourceVersion": str(revision),
            "creationTimestamp": created,
            "generation": 1,
            "labels": labels,
        },
        "spec": {
            "type": "LoadBalancer",
            "selector": labels,
            "sessionAffinity": "None",
            "ports": [_port(*each) for each in PORTS],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
    }


def _port(name: str, number: int, node_port: int | None) -> dict[str, Any]:
    node = {} if node_port is None else {"nodePort": node_port}
    return {"name": name, **node, "port": number, "protocol": "TCP", "targetPort": number}
