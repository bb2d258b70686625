"""
VirtualService: where connections go (Istio, networking/v1alpha3/virtual_service.proto), below HTTP.

The tcp and tls rules are typed. Of the http rules only their match blocks and destinations are kept, since a layer 4
gateway serves none; but what they lead to can be looked for, and what is never reached, all the same.
The rules between the fields are in :mod:`~meshgate.resources.kinds.virtualservice_rules`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, PlainValidator, ValidationError

from meshgate.resources.kinds.export_to import EXPORTED_TO_ALL, ExportTo
from meshgate.resources.model import Int32, Items, Labels, Model, OptionalPortNumber, PortNumber, Written, refuse
from meshgate.resources.nameforms import OptionalDnsLabel, Subnet, likely
from meshgate.resources.names import dns_label, is_ip_address, wildcard_domain
from meshgate.resources.resource import Resource
from meshgate.resources.wording import kind_of, quoted


def _destination_host(text: str) -> str:
    if is_ip_address(text):
        hint = "write a ServiceEntry with this address, and name its host here"
        refuse("MG1021", f"{quoted(text)} is an IP address, and a destination is a service", hint)
    if text == "*":
        refuse("MG1021", 'a destination is one service, not "*"', "name the service")
    message = wildcard_domain(text)
    return refuse("MG1021", message, _destination_hint(text)) if message else text


def _destination_hint(text: str) -> str:
    namespace, _, name = text.partition("/")
    if not (dns_label(namespace) or dns_label(name)):
        return f"write {name}.{namespace}.svc.cluster.local"
    return likely(text, wildcard_domain) or "write the service's name, as app.default.svc.cluster.local"


class PortSelector(Model):
    """A port of a service."""

    number: PortNumber = Field(description="1 to 65535")


class Destination(Model):
    """A service to send connections to."""

    host: Annotated[str, AfterValidator(_destination_host)] = Field(
        description="name of the service; a short one is looked up in the resource's namespace"
    )
    subset: OptionalDnsLabel = Field(default="", description="name of a subset of the service's endpoints")
    port: PortSelector | None = Field(
        default=None,
        description="may be left out where the service has one port; else the port of the listener is taken",
    )


class RouteDestination(Model):
    """One of a rule's destinations."""

    destination: Destination = Field(description="the service")
    weight: Annotated[Int32, Field(ge=0)] = Field(
        default=0, description="its share of the connections; a single destination takes all whatever its weight"
    )


class L4MatchAttributes(Model):
    """Conditions that must all hold for a connection of a tcp rule."""

    destination_subnets: Items[Subnet] = Field(
        default=(), description="networks the client connects to; a gateway ignores them"
    )
    port: OptionalPortNumber = Field(default=0, description="port of the Gateway's server; 0 for any")
    source_subnet: str = Field(default="", description="network of the client; a gateway ignores it")
    source_labels: Labels = Field(default=Labels(), description="labels of the client; a gateway ignores them")
    gateways: Items[str] = Field(
        default=(), description="Gateways the rule is for; empty for all of the VirtualService"
    )
    source_namespace: str = Field(default="", description="namespace of the client; a gateway ignores it")


class TLSMatchAttributes(Model):
    """Conditions that must all hold for a connection of a tls rule."""

    sni_hosts: Annotated[Items[str], Field(min_length=1)] = Field(
        description="server names, each within one of the VirtualService's hosts"
    )
    destination_subnets: Items[Subnet] = Field(
        default=(), description="networks the client connects to; a gateway ignores them"
    )
    port: OptionalPortNumber = Field(default=0, description="port of the Gateway's server; 0 for any")
    source_labels: Labels = Field(default=Labels(), description="labels of the client; a gateway ignores them")
    gateways: Items[str] = Field(
        default=(), description="Gateways the rule is for; empty for all of the VirtualService"
    )
    source_namespace: str = Field(default="", description="namespace of the client; a gateway ignores it")


Routes = Annotated[Items[RouteDestination], Field(min_length=1)]


class TCPRoute(Model):
    """A rule for plain connections, and for TLS that ended at the gateway."""

    match: Items[L4MatchAttributes] = Field(
        default=(), description="blocks of which one must fit; empty for every connection"
    )
    route: Routes = Field(description="where they go")


class TLSRoute(Model):
    """A rule for TLS that is passed through."""

    match: Annotated[Items[TLSMatchAttributes], Field(min_length=1)] = Field(description="blocks of which one must fit")
    route: Routes = Field(description="where they go")


class HTTPRule(NamedTuple):
    """
    What is read of a rule for HTTP.

    :ivar match: its blocks as JSON, in one form and without their names, so that equal ones can be found.
    :ivar destinations: those that are well-formed, each with its path within the rule.
    :ivar hostless: the paths of those that name no host.
    """

    match: tuple[str, ...]
    destinations: tuple[tuple[str, Destination], ...]
    hostless: tuple[str, ...] = ()


def _http_rules(rules: Any) -> tuple[HTTPRule, ...]:
    if isinstance(rules, list):
        return tuple(map(_http_rule, rules))
    return refuse("MG1003", f"must be a list, not {kind_of(rules)}")


def _http_rule(rule: Any) -> HTTPRule:
    if not isinstance(rule, Mapping):
        return HTTPRule((json.dumps(rule),), ())
    blocks = rule.get("match") or []
    match = tuple(map(_as_json, blocks if isinstance(blocks, list) else [blocks]))
    targets = list(_http_targets(rule))
    hostless = tuple(path for path, target in targets if not (isinstance(target, Mapping) and target.get("host")))
    return HTTPRule(match, tuple(_well_formed(targets)), hostless)


def _as_json(block: Any) -> str:
    if isinstance(block, Mapping):
        block = {key: value for key, value in block.items() if key != "name" and value is not None}
    return json.dumps(block, sort_keys=True)


def _http_targets(rule: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if rule.get("mirror") is not None:
        yield "mirror", rule["mirror"]
    for field in ("route", "mirrors"):
        targets = rule.get(field)
        for index, target in enumerate(targets if isinstance(targets, list) else ()):
            if isinstance(target, Mapping):
                yield f"{field}[{index}].destination", target.get("destination")


def _well_formed(targets: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Destination]]:
    for path, value in targets:
        try:
            yield path, Destination.model_validate(value)
        except ValidationError:
            continue


class VirtualServiceSpec(Model):
    """The spec of a VirtualService."""

    hosts: Items[str] = Field(default=(), description="names the rules are for; * for any")
    gateways: Items[str] = Field(
        default=(),
        description="Gateways the rules are for: name, or namespace/name; empty and mesh are for sidecars alone",
    )
    http_rules: Annotated[tuple[HTTPRule, ...], PlainValidator(_http_rules), Written("list")] = Field(
        default=(), alias="http", description="rules for HTTP, of which none is served"
    )
    tls: Items[TLSRoute] = Field(default=(), description="rules for TLS that is passed through, in order")
    tcp: Items[TCPRoute] = Field(default=(), description="rules for plain connections, in order")
    export_to: ExportTo = Field(
        default=EXPORTED_TO_ALL, description="namespaces that may see it: * for all, . for its own"
    )


VirtualService = Resource[VirtualServiceSpec]
