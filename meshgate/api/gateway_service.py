"""
The Service of the gateway itself, with the ports of Istio's stock one, so that commands which ask for it get an answer.

It is shown and takes no part in routing: the gateway listens on the ports of the servers, without any translation. Its
status says which of its ports are open.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from meshgate.resources.wording import count_of, listing
from meshgate.routing.table import ListenerKey

NAME: Final = "istio-ingressgateway"

ADDRESS: Final = "127.0.0.1"
"""The external address of the Service; the lab's clients are on this machine."""

PORTS_TOLD: Final = 20
"""The number of open ports that the status names; the others are counted."""


class GatewayPort(NamedTuple):
    """
    A port of the Service.

    :ivar node_port: the port of each node; 0 where it has none.
    """

    name: str
    port: int
    node_port: int = 0

    def as_json(self) -> dict[str, Any]:
        """The form of the API."""
        node = {"nodePort": self.node_port} if self.node_port else {}
        return {"name": self.name, **node, "port": self.port, "protocol": "TCP", "targetPort": self.port}


STOCK_PORTS: Final = (
    GatewayPort("status-port", 15021),
    GatewayPort("http2", 80),
    GatewayPort("https", 443),
    GatewayPort("tcp", 31400, 30090),
    GatewayPort("tls", 15443),
)
"""The ports of Istio's Service (Istio, manifests/charts/gateways/istio-ingress)."""


def gateway_service(namespace: str, ports: Iterable[GatewayPort], revision: int, created: str) -> dict[str, Any]:
    """
    The Service.

    :param namespace: the namespace of the gateway.
    :param ports: further ones; one with the name or the number of a stock port replaces that.
    :param created: the time of its creation, as Kubernetes writes it.
    """
    labels = {"app": NAME, "istio": "ingressgateway"}
    further = list(ports)
    names, numbers = {each.name for each in further}, {each.port for each in further}
    stock = [each for each in STOCK_PORTS if each.name not in names and each.port not in numbers]
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
            "clusterIP": ADDRESS,
            "clusterIPs": [ADDRESS],
            "selector": labels,
            "sessionAffinity": "None",
            "ports": [each.as_json() for each in (*stock, *further)],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}},
    }


def gateway_service_status(
    service: Mapping[str, Any], listening: Collection[ListenerKey], failures: Mapping[ListenerKey, str], now: str
) -> dict[str, Any]:
    """
    The status of the Service: each of its ports without an error is open (core/v1, PortStatus).

    :param listening: the listeners that are open, on ports of the Service and others.
    :param failures: why others are not.
    :param now: the present time, as Kubernetes writes it.
    """
    opened = sorted({key.port for key in listening})
    ports = [
        {"port": each["port"], "protocol": "TCP", **({} if each["port"] in opened else {"error": "NotOpen"})}
        for each in service["spec"]["ports"]
    ]
    texts = [f"open: {_told(opened)}" if opened else "no port is open"]
    texts += [f"{key} cannot be opened: {reason}" for key, reason in sorted(failures.items())[:PORTS_TOLD]]
    before = (service["status"].get("conditions") or [{}])[0]
    status = "True" if opened else "False"
    condition = {
        "type": "Programmed",
        "status": status,
        "reason": "PortsOpen" if opened else "NoOpenPort",
        "message": "; ".join(texts),
        "observedGeneration": service["metadata"]["generation"],
        "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == status else now,
    }
    return {"loadBalancer": {"ingress": [{"ip": ADDRESS, "ports": ports}]}, "conditions": [condition]}


def _told(ports: Collection[int]) -> str:
    """Ports as in a sentence."""
    texts = [str(each) for each in list(ports)[:PORTS_TOLD]]
    return listing([*texts, count_of(len(ports) - PORTS_TOLD, "other")] if len(ports) > PORTS_TOLD else texts)
