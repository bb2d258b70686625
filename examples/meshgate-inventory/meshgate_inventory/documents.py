"""The hosts as Kubernetes documents, in the form that they have in a YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

GATEWAY = "inventory"
"""The name of the Gateway."""


def documents(hosts: object, port: int, protocol: str) -> Iterator[dict[str, Any]]:
    """
    Make one Gateway, and for each host a VirtualService that leads to a ServiceEntry; nothing without hosts.

    :param hosts: a mapping from each host to ``address:port``, with an IP address.
    :param port: the port that the gateway listens on.
    :param protocol: ``TLS`` or ``TCP``.
    :raises ValueError: if the hosts have another form.
    """
    if not isinstance(hosts, dict):
        raise ValueError("the file is not a JSON object of hosts")
    tls = protocol == "TLS"
    service_port = {"number": port, "name": protocol.lower(), "protocol": protocol}
    if hosts:
        server = {"port": service_port, "hosts": list(hosts)}
        if tls:
            server["tls"] = {"mode": "PASSTHROUGH"}
        yield _document("Gateway", GATEWAY, {"servers": [server]})
    for host, target in hosts.items():
        address, target_port = _split(host, target)
        rule = {
            "match": [{"port": port, "sniHosts": [host]} if tls else {"port": port}],
            "route": [{"destination": {"host": host, "port": {"number": port}}}],
        }
        yield _document("VirtualService", host, {"hosts": [host], "gateways": [GATEWAY], protocol.lower(): [rule]})
        service_entry = {
            "hosts": [host],
            "ports": [service_port],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "endpoints": [{"address": address, "ports": {protocol.lower(): target_port}}],
        }
        yield _document("ServiceEntry", host, service_entry)


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _split(host: str, target: object) -> tuple[str, int]:
    address, _, port = str(target).rpartition(":")
    if not address or not port.isdecimal():
        raise ValueError(f"{host}: {target!r} is not of the form address:port")
    return address.strip("[]"), int(port)
