"""
Explanations: why a connection is routed as it is, step by step, and which rules were dropped there; and the
expectations of users, compared with explanations. Pure.

In expectations users shorten names: a Service by as much of its full name as they like, a VirtualService or Gateway
without its namespace.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import groupby
from typing import Any, Literal

from meshgate.resources.problem import Problem
from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.addresses import address
from meshgate.routing.balance import shares
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.rule_candidates import Candidate
from meshgate.routing.table import (
    ANY_IPV4,
    ANY_IPV6,
    Chain,
    Destination,
    Endpoint,
    Listener,
    ListenerKey,
    RoutingTable,
)
from meshgate.routing.tell.policy_texts import (
    access_step,
    connection_json,
    connection_text,
    endpoint_text,
    upstream_json,
    upstream_text,
)

Result = Literal["routed", "closed", "no_listener"]

UNBOUND_CODES = frozenset({"MG2001", "MG2010", "MG2011"})
"""Problems that belong to no listener, but may be the reason why there is none."""

_EVERYWHERE = (ANY_IPV4, ANY_IPV6)


@dataclass(frozen=True, slots=True)
class Call:
    """
    A connection to be explained.

    :ivar port: the port that the client connects to: that of the Service in front of the gateway, or its node port, or
        the port of the gateway itself.
    :ivar bind: the listener's own bind; None for a server that leaves it unset.
    :ivar tls: True if the client speaks TLS.
    :ivar sni: the server name for which the client asks, in lower or upper case; None for none.
    :ivar source: the client's IP address; empty if it is not given.
    :ivar destination: the IP address to which the client connects; empty if it is not given.
    """

    port: int
    bind: str | None = None
    tls: bool = True
    sni: str | None = None
    source: str = ""
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    The outcome of a call, and the reasons for it.

    :ivar result: ``routed`` if a rule takes the connection, even if its destination has no endpoint.
    :ivar steps: one sentence for each step from the listener to the destination.
    :ivar lost: problems of the listener: rules that were dropped, or fields that were ignored.
    :ivar rules: the DestinationRules that cover the host of each destination, whether they are followed or not.
    """

    result: Result
    chain: Chain | None
    steps: tuple[str, ...]
    lost: tuple[Problem, ...] = ()
    rules: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        chain = self.chain
        return {
            "result": self.result,
            "gateway": chain.gateway if chain else None,
            "server": chain.server if chain else None,
            "virtual_service": (chain.virtual_service or None) if chain else None,
            "rule": (chain.rule or None) if chain else None,
            "condition": (chain.condition or None) if chain else None,
            "terminate": chain.terminate if chain else False,
            "policy": connection_json(chain.policy) if chain else None,
            "destinations": [self._destination_json(destination) for destination in chain.destinations]
            if chain
            else [],
            "reasons": [*self.steps, *(str(problem) for problem in self.lost)],
        }

    def _destination_json(self, destination: Destination) -> dict[str, Any]:
        return {
            "host": destination.host,
            "port": destination.port or None,
            "subset": destination.subset or None,
            "weight": destination.weight,
            "endpoints": [str(endpoint) for endpoint in destination.endpoints],
            "priorities": {str(endpoint): endpoint.priority for endpoint in destination.endpoints if endpoint.locality}
            or None,
            "missing": destination.missing or None,
            "policy": upstream_json(destination.policy),
            "destination_rules": [each.as_json() for each in self.rules.get(destination.host, ())],
        }


def explain(compilation: Compilation, call: Call, access: AccessEntries | None = None) -> Explanation:
    """
    Look a connection up in the table, with a sentence for each step.

    :param access: the access list of the settings, if they are known.
    """
    way, call = _through_service(compilation, call)
    listener = _listener(compilation.table, call)
    key = listener.address if listener is not None else ListenerKey(call.bind or ANY_IPV6, call.port)
    names = {str(key)} if key.bind not in _EVERYWHERE else {str(ListenerKey(bind, key.port)) for bind in _EVERYWHERE}
    lost = [problem for problem in compilation.problems if problem.listener in names]
    if listener is None:
        lost += [problem for problem in compilation.problems if problem.code in UNBOUND_CODES]
        return Explanation("no_listener", None, (*way, *_no_listener(compilation, key)), tuple(lost))
    sni = call.sni.lower().removesuffix(".") if call.tls and call.sni else None
    steps = [*way, f"the listener {key} is open, and {_first_move(listener)}"]
    admitted, step = access_step(access, call.source)
    steps += step
    if not admitted:
        return Explanation("closed", None, tuple(steps), tuple(lost))
    if listener.header is not None:
        steps.append(f"connections begin with a {listener.header}, by {listener.header.origin}")
    chain = listener.lookup_from(sni if listener.sniffs else None, address(call.source), address(call.destination))
    if listener.sniffs:
        steps += _candidates(listener, sni, call.tls)
    if chain is None:
        steps += _closed(listener, sni)
        return Explanation("closed", None, tuple(steps), tuple(lost))
    if listener.by_address:
        steps.append(_by_address(call, chain))
    admitted, step = access_step(compilation.access.get(chain.gateway), call.source)
    steps += step
    if not admitted:
        return Explanation("closed", chain, tuple(steps), tuple(lost))
    rules = {each.host: compilation.rules.candidates(each.host) for each in chain.destinations}
    steps += _chosen(chain, rules)
    result: Result = "routed" if chain.virtual_service else "closed"
    return Explanation(result, chain, tuple(steps), tuple(lost), rules)


def _through_service(compilation: Compilation, call: Call) -> tuple[list[str], Call]:
    """
    The way of a connection through the Service in front of the gateway, and the call as it arrives at the gateway.

    A port of a Service comes before a port of the gateway, and that before a port of Nodes.
    """
    found = next((each for each in compilation.translations if each.client_port == call.port), None)
    if found is None or (found.by_node and _listener(compilation.table, call) is not None):
        if not compilation.translations or _listener(compilation.table, call) is None:
            return [], call
        others = [str(port) for port in client_ports(compilation, call.port)]
        way = f"leads port {' and port '.join(others)} here" if others else "has no port for it"
        return [f"port {call.port} is that of the gateway itself; its Service {way}"], call
    return [str(found)] if found.port != call.port else [], replace(call, port=found.port)


def client_ports(compilation: Compilation, port: int) -> list[int]:
    """
    The ports by which clients come to a port of the gateway through its Services, if these translate it.

    :param port: of a listener.
    """
    found = [each.client_port for each in compilation.translations if each.port == port and not each.by_node]
    return [] if found == [port] else sorted(found)


def _listener(table: RoutingTable, call: Call) -> Listener | None:
    """The listener that a call means; either wildcard address finds the one that listens for both families."""
    if call.bind and call.bind not in _EVERYWHERE:
        return table.listeners.get(ListenerKey(call.bind, call.port))
    shared = table.listeners.get(ListenerKey(ANY_IPV4, call.port))
    if call.bind == ANY_IPV6 and (shared is None or not shared.dual_stack):
        return table.listeners.get(ListenerKey(ANY_IPV6, call.port))
    return shared


def _first_move(listener: Listener) -> str:
    return "the first bytes decide" if listener.sniffs else "every connection takes its one route at once"


def _candidates(listener: Listener, sni: str | None, tls: bool) -> Iterator[str]:
    if sni is None:
        what = "the ClientHello carries no server name" if tls else "the first bytes are not TLS"
        yield f"{what}: only a rule for every name can take it"
        return
    yield f"the ClientHello asks for {sni}"
    if sni in listener.exact or sni in listener.by_address:
        yield f"a rule names {sni} itself"
        return
    yield f"no rule names {sni} itself"
    tail = sni
    while "." in tail:
        tail = tail.partition(".")[2]
        if tail in listener.suffixes or f"*.{tail}" in listener.by_address:
            yield f"the longest wildcard that takes it is *.{tail}"
            return
    yield "no wildcard takes it"


def _by_address(call: Call, chain: Chain) -> str:
    ends = ", ".join(
        f"{word} {each}" if each else f"{word} an address that is not given"
        for word, each in (("from", call.source), ("to", call.destination))
    )
    fits = f"the rule for connections {chain.condition}" if chain.condition else "a rule for all addresses"
    return f"addresses decide here: for a connection {ends}, {fits} is the nearest"


def _closed(listener: Listener, sni: str | None) -> Iterator[str]:
    yield "there is no rule for every name: the connection is closed"
    names = {*listener.exact, *(f"*.{suffix}" for suffix in listener.suffixes), *listener.by_address}
    if names:
        shown = sorted(names)[:10]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        yield f"names known on {listener.address}: {', '.join(shown)}{more}"
    near = difflib.get_close_matches(sni or "", names, 1)
    if near:
        dot = ", which ends with a dot, as no server name does" if near[0].endswith(".") else ""
        yield f"the nearest is {near[0]}{dot}"


def _chosen(chain: Chain, rules: Mapping[str, Sequence[Candidate]]) -> Iterator[str]:
    yield f"it belongs to the server {chain.server!r} of Gateway {chain.gateway}"
    if chain.virtual_service:
        yield f"VirtualService {chain.virtual_service} routes it by {chain.rule}"
    if chain.refusal:
        yield f"the running gateway closes it: {chain.refusal}"
    if chain.policy.origin:
        yield f"its connections: {connection_text(chain.policy)}, by {chain.policy.origin}"
    total = sum(destination.weight for destination in chain.destinations)
    for destination in chain.destinations:
        share = ""
        if len(chain.destinations) > 1:
            share = f" with {destination.weight} of {total}"
        yield f"destination {_reached(destination, share)}"
        policy = destination.policy
        if policy.origin:
            yield f"connections to {destination}: {upstream_text(policy)}, by {policy.origin}"
    for host, candidates in rules.items():
        for each in candidates:
            fate = f"not followed: {each.reason}" if each.reason else "followed"
            yield f"{each} is for {host}, and is {fate}"


def _reached(destination: Destination, share: str) -> str:
    if not destination.endpoints:
        # Most reasons are a sentence about the destination.
        rest = destination.missing.removeprefix(str(destination))
        return f"{destination}{share}{rest if rest != destination.missing else f': {rest}'}"
    kind = "name" if any(endpoint.dns for endpoint in destination.endpoints) else "endpoint"
    levels = groupby(sorted(destination.endpoints, key=_priority), _priority)
    texts = [", ".join(map(endpoint_text, endpoints)) for _, endpoints in levels]
    return f"{destination}{share}: {kind} {'; as far as these fail, '.join(texts)}"


def _priority(endpoint: Endpoint) -> int:
    return endpoint.priority


def _no_listener(compilation: Compilation, key: ListenerKey) -> Iterator[str]:
    yield f"nothing listens on {key}"
    open_keys = sorted(listener.address for listener in compilation.table.listeners.values())
    same_port = [str(other) for other in open_keys if other.port == key.port]
    if same_port:
        yield f"the port is open on {', '.join(same_port)}: name the bind address"
    elif open_keys:
        shown = [(each, client_ports(compilation, each.port)) for each in open_keys[:10]]
        texts = [f"{each} (as port {' or '.join(map(str, ports))})" if ports else str(each) for each, ports in shown]
        yield f"open are {', '.join(texts)}"
    else:
        yield "no port is open at all"


@dataclass(frozen=True, slots=True)
class Target:
    """
    A destination as users write it.

    :ivar host: the full host, or the beginning of a Service's: ``name``, ``name.namespace``, ``name.namespace.svc``.
    :ivar port: 0 for any.
    :ivar subset: empty for any, or for none.
    :ivar weight: its share of the sum of all targets' weights; 0 if the share does not matter.
    """

    host: str
    port: int = 0
    subset: str = ""
    weight: int = 0

    def fits(self, destination: Destination, domain_suffix: str) -> bool:
        """True if this means the destination."""
        if (self.port or destination.port) != destination.port:
            return False
        if (self.subset or destination.subset) != destination.subset:
            return False
        if self.host == destination.host:
            return True
        return destination.host.startswith(f"{self.host}.") and destination.host.endswith(f".svc.{domain_suffix}")

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.host}{port}" + (f" (subset {self.subset})" if self.subset else "")


@dataclass(frozen=True, slots=True)
class Expectation:
    """
    A connection, and its expected outcome. Fields that are empty match anything.

    :ivar virtual_service: ``namespace/name``, or the name alone.
    :ivar gateway: ``namespace/name``, or the name alone.
    :ivar destinations: every destination to which such connections may go.
    """

    call: Call
    result: Result
    virtual_service: str = ""
    gateway: str = ""
    destinations: tuple[Target, ...] = ()


def mismatches(expectation: Expectation, found: Explanation, domain_suffix: str) -> tuple[str, ...]:
    """
    Compare an expectation with the explanation of its call.

    :return: one text for each difference; empty if the expectation is met.
    """
    if expectation.result != found.result:
        wanted, real = _WANTED[expectation.result], _FOUND[found.result]
        return (f"expected {wanted}, but {real}",)
    if found.chain is None:
        return ()
    return tuple(_chain_mismatches(expectation, found.chain, domain_suffix))


_WANTED: dict[Result, str] = {
    "routed": "the connection to be routed",
    "closed": "the connection to be closed",
    "no_listener": "nothing to listen there",
}
_FOUND: dict[Result, str] = {
    "routed": "it is routed",
    "closed": "it is closed",
    "no_listener": "nothing listens there",
}


def _chain_mismatches(expectation: Expectation, chain: Chain, domain_suffix: str) -> Iterator[str]:
    named = (
        ("VirtualService", expectation.virtual_service, chain.virtual_service),
        ("Gateway", expectation.gateway, chain.gateway),
    )
    for kind, wanted, found in named:
        if wanted and wanted not in (found, found.partition("/")[2]):
            yield f"expected {kind} {wanted}, found {found}"
    if expectation.destinations and not _same_destinations(expectation.destinations, chain, domain_suffix):
        weighted = any(target.weight for target in expectation.destinations)
        wanted = ", ".join(f"{each}" + (f" ({each.weight})" if weighted else "") for each in expectation.destinations)
        real = ", ".join(f"{each}" + (f" ({each.weight})" if weighted else "") for each in chain.destinations)
        yield f"expected destination {wanted}, found {real or 'none'}"


def _same_destinations(targets: Sequence[Target], chain: Chain, domain_suffix: str) -> bool:
    served = shares(chain.destinations)
    if not all(any(target.fits(each, domain_suffix) for target in targets) for each, _ in served):
        return False
    total = sum(target.weight for target in targets)
    for target in targets:
        share = sum((fraction for each, fraction in served if target.fits(each, domain_suffix)), Fraction(0))
        if not share or (total and share != Fraction(target.weight, total)):
            return False
    return True
