"""
Destinations of the rules of a VirtualService.

A layer 4 gateway serves no http rules, so only their match blocks and destinations are kept: the analysis checks that
the destinations exist, and unreachable rules are reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, PlainValidator, ValidationError

from meshgate.resources.model import Int32, Items, Model, PortNumber, ValueForm, one_of_equals, refuse
from meshgate.resources.names import (
    OptionalDnsLabel,
    dns_label,
    is_ip_address,
    name_hint,
    wildcard_domain,
)
from meshgate.resources.wording import quoted, value_text


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
    return name_hint(text, wildcard_domain) or "write the service's name, as app.default.svc.cluster.local"


class PortSelector(Model):
    """A port of a service."""

    number: PortNumber = Field(description="1 to 65535")


class Destination(Model):
    """A service to send connections to."""

    host: Annotated[str, AfterValidator(_destination_host)] = Field(
        description="name of the service; a short one is looked up in the resource's namespace"
    )
    subset: OptionalDnsLabel = Field(default="", description="name of a subset of the service's endpoints")
    port: Annotated[PortSelector | None, AfterValidator(one_of_equals)] = Field(
        default=None,
        description="unset for the only port of the service, or else for the port of the listener",
    )


class RouteDestination(Model):
    """One of a rule's destinations."""

    destination: Annotated[Destination, AfterValidator(one_of_equals)] = Field(description="the service")
    weight: Annotated[Int32, Field(ge=0)] = Field(
        default=0, description="its share of the connections; a single destination takes all whatever its weight"
    )


Routes = Annotated[Items[Annotated[RouteDestination, AfterValidator(one_of_equals)]], Field(min_length=1)]


class HTTPRule(NamedTuple):
    """
    The fields of a rule for HTTP that are kept.

    :ivar match: its match blocks as JSON in a canonical form, without their names, so that they can be compared.
    :ivar destinations: the well-formed destinations, each with its path within the rule.
    :ivar hostless: the paths of the destinations that name no host.
    :ivar gateways: the Gateways that each match block names; none for a block that is for all of the VirtualService.
    """

    match: tuple[str, ...]
    destinations: tuple[tuple[str, Destination], ...]
    hostless: tuple[str, ...] = ()
    gateways: tuple[tuple[str, ...], ...] = ()


def _http_rules(rules: Any) -> tuple[HTTPRule, ...]:
    if isinstance(rules, list):
        return tuple(map(_http_rule, rules))
    return refuse("MG1003", f"must be a list, not {value_text(rules)}")


def _http_rule(rule: Any) -> HTTPRule:
    if not isinstance(rule, Mapping):
        return HTTPRule((json.dumps(rule),), ())
    found = rule.get("match") or []
    blocks = found if isinstance(found, list) else [found]
    match = tuple(map(_as_json, blocks))
    targets = list(_http_targets(rule))
    hostless = tuple(path for path, target in targets if not (isinstance(target, Mapping) and target.get("host")))
    return HTTPRule(match, tuple(_well_formed(targets)), hostless, tuple(map(_http_gateways, blocks)))


def _http_gateways(block: Any) -> tuple[str, ...]:
    names = block.get("gateways") if isinstance(block, Mapping) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


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


HTTPRules = Annotated[
    tuple[HTTPRule, ...], PlainValidator(_http_rules), ValueForm("list", {"type": "array", "items": {}})
]
"""The field ``http`` of a VirtualService."""
