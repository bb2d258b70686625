"""
VirtualService: where connections go (Istio, networking/v1alpha3/virtual_service.proto), below HTTP.

The tcp and tls rules have models, and an http rule is kept as far as
:mod:`~meshgate.resources.kinds.route_destinations` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Final

from pydantic import Field

from meshgate.resources.fault import BrokenValueError, Fault, FieldPath, chain_rules, sound_items, trailing_dot_faults
from meshgate.resources.kinds.covering import HostCover, overlapping, prefix_faults, reach_faults
from meshgate.resources.kinds.route_destinations import HTTPRules, Routes
from meshgate.resources.kinds.shared_fields import EXPORTED_TO_ALL, ExportTo, export_faults
from meshgate.resources.model import Items, Labels, Model, OptionalPortNumber
from meshgate.resources.names import (
    DOT_HINT,
    GENERATED_PREFIX,
    SUBNET_HINT,
    Subnet,
    dns_label,
    fqdn,
    is_ip_address,
    labels,
    name_hint,
    server_name,
    subnet,
    wildcard_domain,
)
from meshgate.resources.problem import Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.resources.wording import path_text, quoted, spelling_hint


class L4MatchAttributes(Model):
    """Conditions that must all hold for a connection of a tcp rule."""

    destination_subnets: Items[Subnet] = Field(
        default=(), description="networks that the client connects to; a gateway ignores them"
    )
    port: OptionalPortNumber = Field(default=0, description="port of the Gateway's server; 0 for any")
    source_subnet: str = Field(default="", description="network of the client; a gateway ignores it")
    source_labels: Labels | None = Field(default=None, description="labels of the client; a gateway ignores them")
    gateways: Items[str] = Field(
        default=(), description="Gateways that the rule is for; empty for all of the VirtualService"
    )
    source_namespace: str = Field(default="", description="namespace of the client; a gateway ignores it")


class TLSMatchAttributes(Model):
    """Conditions that must all hold for a connection of a tls rule."""

    sni_hosts: Annotated[Items[str], Field(min_length=1)] = Field(
        description="server names, each within one of the VirtualService's hosts"
    )
    destination_subnets: Items[Subnet] = Field(
        default=(), description="networks that the client connects to; a gateway ignores them"
    )
    port: OptionalPortNumber = Field(default=0, description="port of the Gateway's server; 0 for any")
    source_labels: Labels | None = Field(default=None, description="labels of the client; a gateway ignores them")
    gateways: Items[str] = Field(
        default=(), description="Gateways that the rule is for; empty for all of the VirtualService"
    )
    source_namespace: str = Field(default="", description="namespace of the client; a gateway ignores it")


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


class VirtualServiceSpec(Model):
    """The spec of a VirtualService."""

    hosts: Items[str] = Field(default=(), description="names that the rules are for; * for any")
    gateways: Items[str] = Field(
        default=(),
        description="Gateways that the rules are for: name, or namespace/name; empty and mesh are for sidecars alone",
    )
    http_rules: HTTPRules = Field(default=(), alias="http", description="rules for HTTP, of which none is served")
    tls: Items[TLSRoute] = Field(default=(), description="rules for TLS that is passed through, in order")
    tcp: Items[TCPRoute] = Field(default=(), description="rules for plain connections, in order")
    export_to: ExportTo = Field(
        default=EXPORTED_TO_ALL, description="namespaces that may see it: * for all, . for its own"
    )


VirtualService = Resource[VirtualServiceSpec]

_MESH: Final = "mesh"
# The number of hosts that are compared to find a hint, since each takes time.
_MOST_COMPARED: Final = 10


def faults(spec: VirtualServiceSpec, key: ResourceKey) -> Iterator[Fault]:
    """The rules between the fields of a VirtualService (Istio, pkg/config/validation/validation.go)."""
    yield from chain_rules(
        _delegate_faults(spec),
        _content_faults(spec),
        _http_faults(spec),
        gateway_faults(spec.gateways, ("spec", "gateways")),
        export_faults(spec.export_to, key.namespace, ("spec", "exportTo")),
        _host_faults(spec),
        _server_name_faults(spec),
        _host_dot_faults(spec),
        _rule_faults(spec.tls, ("spec", "tls")),
        _rule_faults(spec.tcp, ("spec", "tcp")),
        reach_faults(spec.tls, ("spec", "tls")),
        reach_faults(spec.tcp, ("spec", "tcp")),
        reach_faults(spec.http_rules, ("spec", "http")),
        prefix_faults(spec.http_rules, ("spec", "http")),
    )


def _host_dot_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if spec.tls:
        yield from trailing_dot_faults(spec.hosts, ("spec", "hosts"))


def _delegate_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if not spec.hosts:
        fields = (("gateways", "gateways"), ("tls", "tls rules"), ("tcp", "tcp rules"))
        for index, value in sound_items((spec.gateways, spec.tls, spec.tcp)):
            if value:
                field, noun = fields[index]
                message = f"a VirtualService without hosts is a delegate, which cannot have {noun}"
                yield Fault(("spec", field), "MG1040", message, "write the hosts that it is for", points_at_key=True)


def _content_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if not (spec.http_rules or spec.tls or spec.tcp):
        hint = "write tcp rules for plain connections, tls rules for those that are routed by server name"
        yield Fault(("spec",), "MG1041", "a VirtualService needs tcp, tls or http rules", hint)


def _http_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if spec.http_rules:
        message = "http routes are not served by an L4 gateway"
        yield Fault(("spec", "http"), "MG1010", message, severity=Severity.INFO, points_at_key=True)


def gateway_faults(names: Sequence[str], path: FieldPath) -> Iterator[Fault]:
    """
    Check references to Gateways.

    Istio only checks the references up to the first one without a namespace; problems of later ones are warnings.

    :param path: the path of the list.
    """
    checked = True
    for index, name in sound_items(names):
        for fault in _reference_faults(name, (*path, index)):
            yield fault if checked else replace(fault, severity=Severity.WARNING)
        checked = checked and "/" in name


def _reference_faults(text: str, path: FieldPath) -> Iterator[Fault]:
    namespace, slash, name = text.partition("/")
    if not slash:
        message = fqdn(text)
        if message:
            yield Fault(path, "MG1044", message, name_hint(text, fqdn) or "write the Gateway's name, or namespace/name")
        elif "." in text:
            name, namespace = text.split(".")[:2]
            message = f"{quoted(text)} is the old form of a reference to a Gateway"
            yield Fault(path, "MG1045", message, f"write {namespace}/{name}", Severity.WARNING)
    elif not (namespace and name):
        message = f"{quoted(text)} lacks a namespace before the slash or a name behind it"
        yield Fault(path, "MG1044", message, "write namespace/name, or the name alone")
    else:
        message = dns_label(namespace) or dns_label(name)
        if message:
            hint = f"write {name} for the VirtualService's own namespace" if namespace == "." else ""
            yield Fault(path, "MG1044", message, hint or name_hint(text, _is_no_reference))


def _is_no_reference(text: str) -> str:
    namespace, _, name = text.partition("/")
    return dns_label(namespace) or dns_label(name)


def _is_for_mesh(spec: VirtualServiceSpec) -> bool:
    return not spec.gateways or _MESH in spec.gateways


def _host_fault(spec: VirtualServiceSpec, host: str) -> str:
    """Check the form of a host. With server names, it may be a name that AUTO_PASSTHROUGH generates."""
    if is_ip_address(host):
        return ""
    generated = host.startswith(GENERATED_PREFIX) and not _is_for_mesh(spec)
    if generated and any(match.sni_hosts for rule in spec.tls for match in rule.match):
        return server_name(host)
    return wildcard_domain(host)


def _host_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    path = ("spec", "hosts")
    good = []
    for index, host in sound_items(spec.hosts):
        found = list(chain_rules(_single_host_faults(spec, host, (*path, index))))
        yield from found
        if not found:
            good.append((index, host))
    for later, earlier in overlapping(good):
        message = (
            f"{quoted(spec.hosts[later])} and {quoted(spec.hosts[earlier])} in {path_text((*path, earlier))} overlap"
        )
        yield Fault((*path, later), "MG1043", message, _overlap_hint(spec.hosts[later], spec.hosts[earlier]))


def _overlap_hint(one: str, other: str) -> str:
    """The hint about two hosts of which one covers the other."""
    wide, narrow = (one, other) if HostCover([(0, one)]).includes(other) else (other, one)
    return "remove one of the two" if wide == narrow else f"remove {quoted(narrow)}, which {quoted(wide)} covers"


def _single_host_faults(spec: VirtualServiceSpec, host: str, path: FieldPath) -> Iterator[Fault]:
    message = _host_fault(spec, host)
    if message:
        yield Fault(path, "MG1021", message, _host_hint(spec, host))
    elif host == "*" and _is_for_mesh(spec):
        hint = "name the Gateways that it is for in gateways, and mesh not among them"
        yield Fault(path, "MG1042", 'the host "*" cannot be for the mesh', hint)


def _host_hint(spec: VirtualServiceSpec, name: str) -> str:
    """The hint for a host or a server name that is malformed."""
    if not name.startswith("outbound"):
        return name_hint(name, wildcard_domain)
    if _is_for_mesh(spec) and not server_name(name):
        return "a name that Istio generates is for Gateways alone: name them in gateways, and mesh not among them"
    if name.startswith(GENERATED_PREFIX):
        return "for instance outbound_.443_._.app.shop.svc.cluster.local"
    return "a name that Istio generates for AUTO_PASSTHROUGH has the form outbound_.PORT_.SUBSET_.HOST"


def _server_name_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if not spec.tls:
        return
    cover = _cover(spec)
    for index, rule in sound_items(spec.tls):
        for number, match in sound_items(rule.match):
            path = ("spec", "tls", index, "match", number, "sniHosts")
            yield from chain_rules(
                _sni_faults(spec, match.sni_hosts, cover, path), trailing_dot_faults(match.sni_hosts, path)
            )


def _cover(spec: VirtualServiceSpec) -> HostCover | None:
    """An index of the hosts, or None if they are missing or one is wrong, so that no server name can be checked."""
    try:
        usable = spec.hosts and not any(_host_fault(spec, host) for host in spec.hosts)
    except BrokenValueError:
        return None
    return HostCover(enumerate(spec.hosts)) if usable else None


def _sni_faults(
    spec: VirtualServiceSpec, names: Sequence[str], cover: HostCover | None, path: FieldPath
) -> Iterator[Fault]:
    for index, name in sound_items(names):
        yield from chain_rules(_single_name_faults(spec, name, cover, (*path, index)))


def _single_name_faults(
    spec: VirtualServiceSpec, name: str, cover: HostCover | None, path: FieldPath
) -> Iterator[Fault]:
    generated = name.startswith(GENERATED_PREFIX) and not _is_for_mesh(spec)
    message = server_name(name) if generated else wildcard_domain(name)
    if message and is_ip_address(name):
        hint = "clients send no server name for an address; write the name they use, or route by a tcp rule"
        yield Fault(path, "MG1049", f"{quoted(name)} is an IP address", hint, Severity.WARNING)
    elif message:
        yield Fault(path, "MG1021", message, _host_hint(spec, name))
    elif cover is not None and not cover.includes(name):
        message = f"no host of the VirtualService covers the server name {quoted(name)}"
        yield Fault(path, "MG1048", message, _cover_hint(name, spec.hosts, cover))


def _cover_hint(name: str, hosts: Sequence[str], cover: HostCover) -> str:
    for meant in (name.lower(), name.removesuffix(".")):
        if cover.includes(meant):
            return f"did you mean {quoted(meant)}? Names are compared letter by letter"
    if cover.includes(f"{name}."):
        return f"write {quoted(name)} in hosts; {DOT_HINT}"
    short = name.partition(".")[0]
    if short in hosts:
        return f"the short host {short} is not completed before the two are compared; write {name} in hosts as well"
    hint = spelling_hint(name, hosts[:_MOST_COMPARED])
    return f"{hint} Or add it to hosts" if hint.endswith("?") else "add it to hosts"


def _rule_faults(rules: Sequence[TCPRoute | TLSRoute], path: FieldPath) -> Iterator[Fault]:
    for index, rule in sound_items(rules):
        rule_path = (*path, index)
        yield from chain_rules(_match_faults(rule, (*rule_path, "match")), _weight_faults(rule, (*rule_path, "route")))


def _match_faults(rule: TCPRoute | TLSRoute, path: FieldPath) -> Iterator[Fault]:
    blocks: Sequence[L4MatchAttributes | TLSMatchAttributes] = rule.match
    for index, match in sound_items(blocks):
        block_path = (*path, index)
        yield from chain_rules(
            _label_faults(match.source_labels, (*block_path, "sourceLabels")),
            gateway_faults(match.gateways, (*block_path, "gateways")),
        )
        if isinstance(match, L4MatchAttributes):
            yield from chain_rules(_source_faults(match.source_subnet, (*block_path, "sourceSubnet")))


def _label_faults(mapping: Mapping[str, str] | None, path: FieldPath) -> Iterator[Fault]:
    for key, message in labels(mapping or {}):
        yield Fault((*path, key), "MG1023", message, "use letters, digits, -, _ and .")


def _source_faults(text: str, path: FieldPath) -> Iterator[Fault]:
    if text:
        message = subnet(text)
        if message:
            yield Fault(path, "MG1022", message, SUBNET_HINT, Severity.WARNING)


def _weight_faults(rule: TCPRoute | TLSRoute, path: FieldPath) -> Iterator[Fault]:
    if len(rule.route) > 1 and not any(destination.weight for destination in rule.route):
        hint = "with several destinations, give at least one of them a weight"
        yield Fault(path, "MG1050", "none of the destinations has a weight above 0", hint)
