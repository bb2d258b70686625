"""Short ways to write the resources that routing tests are about, and to compile them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from meshgate.resources.latest import latest
from meshgate.resources.problem import Problem, has_errors
from meshgate.resources.reader import read_text
from meshgate.resources.resource import Resource
from meshgate.routing.compile.compiler import Compilation, compile_table
from meshgate.routing.compile.gateway_proxy import Proxy

PROXY = Proxy(labels={"istio": "ingressgateway"}, namespace="istio-system")
Document = dict[str, Any]


def document(kind: str, name: str, spec: Mapping[str, Any], namespace: str = "default", **metadata: Any) -> Document:
    """A document of any kind."""
    versions = {"Service": "v1", "Pod": "v1", "Secret": "v1", "Endpoints": "v1", "EndpointSlice": "discovery.k8s.io/v1"}
    versions |= dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet"), "apps/v1")
    return {
        "apiVersion": versions.get(kind, "networking.istio.io/v1"),
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        **(spec if kind in ("Endpoints", "EndpointSlice", "Secret") else {"spec": spec}),
    }


def tcp_server(port: int, hosts: Sequence[str] = ("*",), **rest: Any) -> Document:
    """A plain TCP server."""
    name = f"tcp-{port}{rest.get('bind', '')}"
    return {"port": {"number": port, "name": name, "protocol": "TCP"}, "hosts": list(hosts), **rest}


def tls_server(port: int, hosts: Sequence[str] = ("*",), mode: str = "PASSTHROUGH", **rest: Any) -> Document:
    """A TLS server."""
    tls = {"mode": mode, **({"credentialName": "c"} if mode == "SIMPLE" else {})}
    name = f"tls-{port}-{len(hosts)}-{hosts[0].strip('*./')}"
    return {
        "port": {"number": port, "name": name, "protocol": "TLS"},
        "hosts": list(hosts),
        "tls": tls,
        **rest,
    }


def gateway(name: str, *servers: Document, namespace: str = "default", **metadata: Any) -> Document:
    """A Gateway for the gateway of the lab."""
    spec = {"selector": {"istio": "ingressgateway"}, "servers": list(servers)}
    return document("Gateway", name, spec, namespace, **metadata)


def target(host: str, port: int | None = 80, weight: int | None = None, subset: str = "") -> Document:
    """A destination of a route."""
    destination: Document = {"host": host, **({"subset": subset} if subset else {})}
    if port is not None:
        destination["port"] = {"number": port}
    return {"destination": destination, **({} if weight is None else {"weight": weight})}


def tls_rule(names: Sequence[str], host: str, port: int = 80, **match: Any) -> Document:
    """A tls rule with one match block."""
    return {"match": [{"sniHosts": list(names), **match}], "route": [target(host, port)]}


def tcp_rule(host: str, port: int = 80, *, match: Sequence[Document] = ()) -> Document:
    """A tcp rule."""
    return {**({"match": list(match)} if match else {}), "route": [target(host, port)]}


def virtual_service(
    name: str,
    hosts: Sequence[str] = ("*",),
    gateways: Sequence[str] = ("gw",),
    namespace: str = "default",
    tcp: Sequence[Document] = (),
    tls: Sequence[Document] = (),
    export_to: Sequence[str] = (),
    **metadata: Any,
) -> Document:
    """A VirtualService."""
    spec: Document = {"hosts": list(hosts), "gateways": list(gateways)}
    spec.update({key: list(rules) for key, rules in (("tcp", tcp), ("tls", tls), ("exportTo", export_to)) if rules})
    return document("VirtualService", name, spec, namespace, **metadata)


def service(name: str, *ports: Document, selector: Mapping[str, str] | None = None, **rest: Any) -> Document:
    """A Service."""
    namespace = rest.pop("namespace", "default")
    spec = {"ports": list(ports), **({"selector": dict(selector)} if selector else {}), **rest}
    return document("Service", name, spec, namespace)


def workload(name: str, address: str, labels: Mapping[str, str], namespace: str = "default", **rest: Any) -> Document:
    """A WorkloadEntry."""
    return document("WorkloadEntry", name, {"address": address, "labels": dict(labels), **rest}, namespace)


def deployment(
    name: str,
    labels: Mapping[str, str],
    *ports: Document,
    kind: str = "Deployment",
    namespace: str = "default",
) -> Document:
    """A Deployment, or another resource that makes Pods."""
    spec = {"containers": [{"name": "it", "ports": list(ports)}]}
    return document(kind, name, {"template": {"metadata": {"labels": dict(labels)}, "spec": spec}}, namespace)


def destination_rule(name: str, host: str, *subsets: Document, namespace: str = "default", **rest: Any) -> Document:
    """A DestinationRule."""
    spec = {"host": host, **({"subsets": list(subsets)} if subsets else {}), **rest}
    return document("DestinationRule", name, spec, namespace)


def read(*documents: Document, file: str = "routes.yaml") -> list[Resource[Any]]:
    """The resources of documents that are valid."""
    text = "\n---\n".join(json.dumps(one) for one in documents)
    reading = read_text(text, file)
    if has_errors(reading.all_problems):
        raise AssertionError("\n".join(map(str, reading.all_problems)))
    return list(reading.resources)


def compiled(*documents: Document, proxy: Proxy = PROXY) -> Compilation:
    """The table that documents make."""
    winners, _ = latest(read(*documents))
    return compile_table(winners, proxy)


def compiled_in_part(*documents: Document, now: datetime | None = None, proxy: Proxy = PROXY) -> Compilation:
    """The table that documents make of which some are not valid, and everything that is said of all together."""
    reading = read_text("\n---\n".join(json.dumps(one) for one in documents), "routes.yaml")
    winners, _ = latest(reading.resources)
    return compile_table(winners, proxy, refused=reading.refused, now=now)


def codes(problems: Sequence[Problem]) -> list[str]:
    """The problems' codes, sorted."""
    return sorted(problem.code for problem in problems)
