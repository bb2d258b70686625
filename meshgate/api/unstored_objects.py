"""
Objects that the API shows and does not store: the resources of other providers, and the Service of the gateway itself.

The problem: each change of any file gives all resources anew, ten thousand of them, and the API must not look at each.
And a result of compiling has to say which state of an object it is of.

The approach: a resource that is the same object as before has not changed. Only the others are made objects of the API,
or removed; and each resource gets the identity and the generation of its object.

The invariants: of several definitions of one resource, the one that counts is shown, and it alone.

The Service of the gateway has the ports of Istio's stock one, so that commands which ask for it get an answer. It takes
no part in routing: the gateway listens on the ports of the servers, without any translation. Its status says which of
its ports are open.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection as Sized
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from meshgate.api.collection import Collection
from meshgate.api.objects import key_of, timestamp
from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.api.store_interface import Object
from meshgate.resources.latest import later
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.resources.wording import count_of, listing
from meshgate.routing.table import ListenerKey

ORIGIN: Final = "meshgate/origin"
"""The annotation of an object that another provider defines: where it does, as ``routes/echo.yaml:3:1``."""

_OF_ANOTHER_CLUSTER: Final = (
    "uid",
    "resourceVersion",
    "generation",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "ownerReferences",
)
"""The fields of the metadata that a cluster has written, where a file was made by ``kubectl get -o yaml``."""


class ForeignResources:
    """The resources of other providers that the collection shows."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        # Each that is shown, as it was given, and as it was given back.
        self._shown: dict[ResourceKey, tuple[Resource[Any], Resource[Any]]] = {}
        self.changed = False

    def show(self, resources: Sized[Resource[Any]]) -> tuple[Resource[Any], ...]:
        """
        Show these resources, and no others; :attr:`changed` says if that makes a difference.

        :return: the same resources, those that are shown with the identity and the generation of their objects.
        """
        before, now = self._shown, _that_count(resources)
        self.changed = False
        shown: dict[ResourceKey, tuple[Resource[Any], Resource[Any]]] = {}
        for key, resource in now.items():
            known = before.get(key)
            if known is None or known[0] is not resource:
                known = (resource, self._put(resource))
            shown[key] = known
        for key in before.keys() - shown.keys():
            self._remove(before[key][0])
        self._shown = shown
        if not shown:
            return tuple(resources)
        result = []
        for each in resources:
            known = shown.get(each.key)
            result.append(known[1] if known is not None and known[0] is each else each)
        return tuple(result)

    def _put(self, resource: Resource[Any]) -> Resource[Any]:
        """Show a resource that is new, or another one than before."""
        found = object_of(resource)
        if found is None:
            return resource
        self.changed = True
        metadata = self._collection.put_foreign(*found, resource.location())["metadata"]
        origin = replace(resource.origin, uid=metadata["uid"], generation=metadata["generation"])
        return replace(resource, origin=origin)

    def _remove(self, resource: Resource[Any]) -> None:
        if (found := object_of(resource)) is not None:
            self.changed = True
            self._collection.remove_foreign(found[0], key_of(found[1]))


def _that_count(resources: Sized[Resource[Any]]) -> dict[ResourceKey, Resource[Any]]:
    """The resources of other providers that the API can show, each kind, namespace and name once."""
    found: dict[ResourceKey, Resource[Any]] = {}
    for each in resources:
        if each.document and not each.origin.is_applied:
            other = found.get(each.key)
            found[each.key] = each if other is None else later(other, each)
    return found


def object_of(resource: Resource[Any]) -> tuple[ResourceType, Object] | None:
    """A resource as an object in the preferred version of its type; None if the API does not have its kind."""
    document = json.loads(resource.document)
    type_ = type_of_kind(document["apiVersion"].rpartition("/")[0], resource.kind)
    if type_ is None:
        return None
    metadata = {key: value for key, value in document["metadata"].items() if key not in _OF_ANOTHER_CLUSTER}
    metadata["namespace"] = resource.namespace
    metadata["annotations"] = {**(metadata.get("annotations") or {}), ORIGIN: resource.location()}
    if resource.known_since is not None:
        metadata["creationTimestamp"] = timestamp(datetime.fromtimestamp(resource.known_since, UTC))
    head = {"apiVersion": type_.api_version(type_.versions[0]), "kind": type_.kind, "metadata": metadata}
    return type_, {**head, **{key: value for key, value in document.items() if key not in (*head, "status")}}


SERVICE_NAME: Final = "istio-ingressgateway"

SERVICE_ADDRESS: Final = "127.0.0.1"
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
    labels = {"app": SERVICE_NAME, "istio": "ingressgateway"}
    further = list(ports)
    names, numbers = {each.name for each in further}, {each.port for each in further}
    stock = [each for each in STOCK_PORTS if each.name not in names and each.port not in numbers]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": SERVICE_NAME,
            "namespace": namespace,
            "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{SERVICE_NAME}")),
            "resourceVersion": str(revision),
            "creationTimestamp": created,
            "generation": 1,
            "labels": labels,
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": SERVICE_ADDRESS,
            "clusterIPs": [SERVICE_ADDRESS],
            "selector": labels,
            "sessionAffinity": "None",
            "ports": [each.as_json() for each in (*stock, *further)],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": SERVICE_ADDRESS}]}},
    }


def gateway_service_status(
    service: Mapping[str, Any], listening: Sized[ListenerKey], failures: Mapping[ListenerKey, str], now: str
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
    return {"loadBalancer": {"ingress": [{"ip": SERVICE_ADDRESS, "ports": ports}]}, "conditions": [condition]}


def _told(ports: Sized[int]) -> str:
    """Ports as in a sentence."""
    texts = [str(each) for each in list(ports)[:PORTS_TOLD]]
    return listing([*texts, count_of(len(ports) - PORTS_TOLD, "other")] if len(ports) > PORTS_TOLD else texts)
