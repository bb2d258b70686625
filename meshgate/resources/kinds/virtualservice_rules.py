"""
The rules between the fields of a VirtualService (Istio, pkg/config/validation/validation.go, ValidateVirtualService).

What is wrong with a field by itself, its type finds; which rules are reached is found in
:mod:`~meshgate.resources.kinds.reach_rules`. Knows one VirtualService at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from meshgate.resources.broken import sound
from meshgate.resources.fault import Fault, Path, dot_faults, judged
from meshgate.resources.kinds.export_to import export_faults
from meshgate.resources.kinds.host_cover import HostCover, overlapping
from meshgate.resources.kinds.http_reach_rules import prefix_faults
from meshgate.resources.kinds.reach_rules import reach_faults
from meshgate.resources.kinds.virtualservice import (
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualServiceSpec,
)
from meshgate.resources.nameforms import DOT_HINT, SUBNET_HINT, likely
from meshgate.resources.names import dns_label, fqdn, is_ip_address, labels, server_name, subnet, wildcard_domain
from meshgate.resources.problem import Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import nearest, quoted, written

_MESH: Final = "mesh"
_GENERATED: Final = "outbound_"
# Hosts that a hint is looked for among; the search takes time with each.
_MOST_COMPARED: Final = 10


def faults(spec: VirtualServiceSpec, key: ResourceKey) -> Iterator[Fault]:
    """What is wrong with a VirtualService whose fields are right one by one, or would be."""
    yield from judged(
        _delegate_faults(spec),
        _content_faults(spec),
        _http_faults(spec),
        gateway_faults(spec.gateways, ("spec", "gateways")),
        export_faults(spec.export_to, key.namespace, ("spec", "exportTo")),
        _host_faults(spec),
        _server_name_faults(spec),
        dot_faults(spec.hosts if spec.tls else (), ("spec", "hosts")),
        _rule_faults(spec.tls, ("spec", "tls")),
        _rule_faults(spec.tcp, ("spec", "tcp")),
        reach_faults(spec.tls, ("spec", "tls")),
        reach_faults(spec.tcp, ("spec", "tcp")),
        reach_faults(spec.http_rules, ("spec", "http")),
        prefix_faults(spec.http_rules, ("spec", "http")),
    )


def _delegate_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if not spec.hosts:
        for field, what in (("gateways", "gateways"), ("tls", "tls rules"), ("tcp", "tcp rules")):
            if getattr(spec, field):
                message = f"a VirtualService without hosts is a delegate, which cannot have {what}"
                yield Fault(("spec", field), "MG1040", message, "write the hosts that it is for", at_key=True)


def _content_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if not (spec.http_rules or spec.tls or spec.tcp):
        hint = "write tcp rules for plain connections, tls rules for those that are routed by server name"
        yield Fault(("spec",), "MG1041", "a VirtualService needs tcp, tls or http rules", hint)


def _http_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if spec.http_rules:
        message = "http routes are not served by an L4 gateway"
        yield Fault(("spec", "http"), "MG1010", message, severity=Severity.INFO, at_key=True)


def gateway_faults(names: Sequence[str], path: Path) -> Iterator[Fault]:
    """
    What is wrong with references to Gateways.

    Istio looks at no more than the first name without a namespace and those before it; we warn of the others.

    :param path: of the list.
    """
    looked_at = True
    for index, name in sound(names):
        for fault in _reference_faults(name, (*path, index)):
            yield fault if looked_at else replace(fault, severity=Severity.WARNING)
        looked_at = looked_at and "/" in name


def _reference_faults(text: str, path: Path) -> Iterator[Fault]:
    namespace, slash, name = text.partition("/")
    if not slash:
        message = fqdn(text)
        if message:
            yield Fault(path, "MG1044", message, likely(text, fqdn) or "write the Gateway's name, or namespace/name")
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
            yield Fault(path, "MG1044", message, hint or likely(text, _is_no_reference))


def _is_no_reference(text: str) -> str:
    namespace, _, name = text.partition("/")
    return dns_label(namespace) or dns_label(name)


def _is_for_mesh(spec: VirtualServiceSpec) -> bool:
    return not spec.gateways or _MESH in spec.gateways


def _host_fault(spec: VirtualServiceSpec, host: str) -> str:
    """What is wrong with the form of a host; names that AUTO_PASSTHROUGH makes up are fine beside server names."""
    if is_ip_address(host):
        return ""
    generated = host.startswith(_GENERATED) and not _is_for_mesh(spec)
    if generated and any(match.sni_hosts for rule in spec.tls for match in rule.match):
        return server_name(host)
    return wildcard_domain(host)


def _host_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    path = ("spec", "hosts")
    good = []
    for index, host in sound(spec.hosts):
        message = _host_fault(spec, host)
        if message:
            yield Fault((*path, index), "MG1021", message, likely(host, wildcard_domain))
        elif host == "*" and _is_for_mesh(spec):
            message = 'the host "*" cannot be for the mesh'
            hint = "name the Gateways that it is for in gateways, and mesh not among them"
            yield Fault((*path, index), "MG1042", message, hint)
        else:
            good.append((index, host))
    for later, earlier in overlapping(good):
        message = (
            f"{quoted(spec.hosts[later])} and {quoted(spec.hosts[earlier])} in {written((*path, earlier))} overlap"
        )
        yield Fault((*path, later), "MG1043", message, "remove one of the two")


def _server_name_faults(spec: VirtualServiceSpec) -> Iterator[Fault]:
    if not spec.tls:
        return
    cover = _cover(spec)
    for index, rule in sound(spec.tls):
        for number, match in sound(rule.match):
            path = ("spec", "tls", index, "match", number, "sniHosts")
            yield from judged(_sni_faults(spec, match.sni_hosts, cover, path), dot_faults(match.sni_hosts, path))


def _cover(spec: VirtualServiceSpec) -> HostCover | None:
    """The hosts, as far as server names can be held against them: not at all where one is missing or wrong."""
    whole = spec.hosts and not any(_host_fault(spec, host) for host in spec.hosts)
    return HostCover(enumerate(spec.hosts)) if whole else None


def _sni_faults(spec: VirtualServiceSpec, names: Sequence[str], cover: HostCover | None, path: Path) -> Iterator[Fault]:
    for index, name in sound(names):
        place = (*path, index)
        generated = name.startswith(_GENERATED) and not _is_for_mesh(spec)
        message = server_name(name) if generated else wildcard_domain(name)
        if message and is_ip_address(name):
            hint = "clients send no server name for an address; write the name they use, or route by a tcp rule"
            yield Fault(place, "MG1049", f"{quoted(name)} is an IP address", hint, Severity.WARNING)
        elif message:
            yield Fault(place, "MG1021", message, likely(name, wildcard_domain))
        elif cover is not None and not cover.takes_in(name):
            message = f"no host of the VirtualService takes in the server name {quoted(name)}"
            yield Fault(place, "MG1048", message, _cover_hint(name, spec.hosts, cover))


def _cover_hint(name: str, hosts: Sequence[str], cover: HostCover) -> str:
    for meant in (name.lower(), name.removesuffix(".")):
        if cover.takes_in(meant):
            return f"did you mean {quoted(meant)}? Names are compared letter by letter"
    if cover.takes_in(f"{name}."):
        return f"write {quoted(name)} in hosts; {DOT_HINT}"
    short = name.partition(".")[0]
    if short in hosts:
        return f"the short host {short} is not made whole before the two are compared; write {name} in hosts, too"
    hint = nearest(name, hosts[:_MOST_COMPARED])
    return f"{hint} Or add it to hosts" if hint.endswith("?") else "add it to hosts"


def _rule_faults(rules: Sequence[TCPRoute | TLSRoute], path: Path) -> Iterator[Fault]:
    for index, rule in sound(rules):
        place = (*path, index)
        yield from judged(_match_faults(rule, (*place, "match")), _weight_faults(rule, (*place, "route")))


def _match_faults(rule: TCPRoute | TLSRoute, path: Path) -> Iterator[Fault]:
    blocks: Sequence[L4MatchAttributes | TLSMatchAttributes] = rule.match
    for index, match in sound(blocks):
        place = (*path, index)
        yield from judged(
            _label_faults(match.source_labels, (*place, "sourceLabels")),
            gateway_faults(match.gateways, (*place, "gateways")),
        )
        if isinstance(match, L4MatchAttributes):
            yield from judged(_source_faults(match.source_subnet, (*place, "sourceSubnet")))


def _label_faults(mapping: Mapping[str, str], path: Path) -> Iterator[Fault]:
    for key, message in labels(mapping):
        yield Fault((*path, key), "MG1023", message, "use letters, digits, -, _ and .")


def _source_faults(text: str, path: Path) -> Iterator[Fault]:
    if text:
        message = subnet(text)
        if message:
            yield Fault(path, "MG1022", message, SUBNET_HINT, Severity.WARNING)


def _weight_faults(rule: TCPRoute | TLSRoute, path: Path) -> Iterator[Fault]:
    if len(rule.route) > 1 and not any(destination.weight for destination in rule.route):
        hint = "with several destinations, give at least one a weight above 0"
        yield Fault(path, "MG1050", "none of the destinations has a weight", hint)
