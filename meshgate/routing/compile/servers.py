"""
Which servers of which Gateways this gateway runs, and how several on one port come together or lose.

The rules are Istio's (pilot/pkg/model/gateway.go, mergeGateways); every server that loses is a problem that names
the winner.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from meshgate.resources.kinds.gateway import Gateway, Server
from meshgate.resources.kinds.protocols import HTTP_PROTOCOLS
from meshgate.resources.kinds.service import ServiceSpec
from meshgate.resources.kinds.tls import PASSTHROUGH_MODES
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.compile.catalog import selected
from meshgate.routing.hosts import server_host_index, server_hosts
from meshgate.routing.table import ANY_IPV4, ANY_IPV6, ListenerKey

T = TypeVar("T")
Group = tuple[int, str, str]
"""Port, protocol and bind."""
Age = tuple[int, float, str, int, str, str, int]
"""Sorts servers by the age of their Gateways, then by their place in them."""

NO_TRANSLATION_LABEL = "experimental.istio.io/disable-gateway-port-translation"
"""A Service with this label translates no port."""

ISTIO_LABELS: Mapping[str, str] = {"istio": "ingressgateway"}
"""The labels of the gateway that Istio installs; ``istioctl analyze`` takes its pod for granted."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    What a gateway is to Istio: the pod whose labels Gateways select.

    :ivar labels: the labels of the gateway's pod.
    :ivar namespace: the namespace it would run in.
    :ivar domain_suffix: the cluster domain.
    :ivar extended: what Istio ignores on a gateway counts.
    :ivar ipv6: it has IPv6, so that servers without a bind serve both families.
    :ivar in_cluster: it stands for one in a cluster, so that the Service is taken for granted that Istio installs.
    """

    labels: Mapping[str, str]
    namespace: str
    domain_suffix: str = "cluster.local"
    extended: bool = False
    in_cluster: bool = False
    ipv6: bool = True


@dataclass(frozen=True)
class BoundServer:
    """
    A server of a Gateway at the port it listens on.

    :ivar index: the server's place in ``spec.servers``.
    :ivar port: the listening port, after translation through the gateway's own Service.
    :ivar hosts: as :func:`~meshgate.routing.hosts.server_hosts` cleans them.
    :ivar both_families: it leaves the bind unset, where there is IPv6.
    """

    gateway: Gateway
    index: int
    server: Server
    port: int
    hosts: tuple[str, ...]
    both_families: bool = False

    @property
    def age(self) -> Age:
        """Its place among all servers."""
        return (*self.gateway.order(), self.index)

    @cached_property
    def group(self) -> Group:
        """Servers that are alike in this have their chains built one after the other."""
        return (self.port, self.server.port.protocol, self.server.bind)

    @cached_property
    def key(self) -> ListenerKey:
        """The listener it belongs to."""
        return ListenerKey(self.server.bind or ANY_IPV4, self.port)

    @cached_property
    def address(self) -> ListenerKey:
        """What it asks to listen on, for messages."""
        return ListenerKey(ANY_IPV6, self.port) if self.both_families else self.key

    @cached_property
    def path(self) -> str:
        """The server's path in its Gateway."""
        return f"spec.servers[{self.index}]"

    @cached_property
    def protocol(self) -> str:
        """The protocol in capitals; Istio takes any case."""
        return self.server.port.protocol.upper()

    @cached_property
    def is_http(self) -> bool:
        """Plain HTTP of some kind, or HTTPS that terminates: what a gateway below HTTP leaves alone."""
        return self.protocol in HTTP_PROTOCOLS or (self.protocol == "HTTPS" and not self.is_passthrough)

    @cached_property
    def is_tls(self) -> bool:
        """Whether clients speak TLS to it."""
        return self.server.tls is not None and not self.server.tls.https_redirect

    @cached_property
    def is_passthrough(self) -> bool:
        """Whether TLS goes through to the endpoint."""
        return self.server.tls is not None and self.server.tls.mode in PASSTHROUGH_MODES

    def problem(self, severity: Severity, code: str, message: str, hint: str = "", field: str = "") -> Problem:
        """
        A problem of this server, for its listener.

        :param field: that it is about, from the server on, as ``.port.number``; empty for the whole server.
        """
        path = self.path + field
        return self.gateway.problem(severity, code, message, path=path, hint=hint, listener=str(self.address))

    def at(self, field: str) -> str:
        """Its name, with the place of one of its fields."""
        place = self.gateway.location(self.path + field)
        return f"server {self.server.port.name!r} of Gateway {self.gateway.qualified_name} ({place})"

    def __str__(self) -> str:
        return self.at("")


@dataclass(frozen=True, slots=True)
class Front:
    """
    What else there is that the servers of Gateways depend on.

    :ivar services: the gateway's own Services, for the translation of ports; the first counts.
    :ivar pods: what else a Gateway may be for.
    """

    services: tuple[Resource[ServiceSpec], ...] = ()
    pods: tuple[Resource[Any], ...] = ()

    @classmethod
    def of(cls, services: Iterable[Resource[ServiceSpec]], pods: Iterable[Resource[Any]], proxy: Proxy) -> Front:
        """What matters of all Services and Pods."""
        own = (each for each in sorted(services, key=Resource.order) if _translates(each, proxy))
        return cls(tuple(own), tuple(sorted(pods, key=Resource.order)))


def servers_of(gateway: Gateway, front: Front, proxy: Proxy) -> tuple[BoundServer, ...] | Problem:
    """The servers of one Gateway, before they are held against those of others; or why it is not for this gateway."""
    if not selected(gateway.spec.selector, proxy.labels):
        return _not_selected(gateway, proxy, front.pods)
    return tuple(
        BoundServer(
            gateway,
            index,
            server,
            _listening_port(server.port.number, front.services),
            server_hosts(server.hosts, gateway.namespace),
            both_families=proxy.ipv6 and not server.bind,
        )
        for index, server in enumerate(gateway.spec.servers)
    )


class Merge:
    """
    How the servers of several Gateways come together, or lose: the servers taken so far, by port.

    :ivar problems: what lost.
    :ivar dropped: the servers that lost, by their Gateway and index.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.dropped: set[tuple[ResourceKey, int]] = set()
        self._groups: dict[Group, list[BoundServer]] = {}
        # One a port, whatever its bind: the last plain server that brought a new protocol or bind to the port.
        self._plain: dict[int, BoundServer] = {}
        self._tls_hosts: dict[int, dict[str, tuple[str, BoundServer]]] = {}

    def take(self, servers: Iterable[BoundServer]) -> None:
        """Take the servers of one Gateway, those that do not lose; the older Gateways come first."""
        for server in servers:
            problem = self.add(server)
            if problem is not None:
                self.problems.append(problem)
                self.dropped.add((server.gateway.key, server.index))

    def add(self, new: BoundServer) -> Problem | None:
        """Take the server, or say why it loses. The checks come in Istio's order, which decides some outcomes."""
        if new.server.tls is not None:
            known = self._tls_hosts.setdefault(new.port, {})
            clash = duplicates(new.hosts, new.server.bind, known, new)
            if clash:
                return _duplicate_hosts(new, clash)
        plain = self._plain.get(new.port)
        if plain is not None and plain.server.bind == new.server.bind and not (_plain_http(plain) and _plain_http(new)):
            return _port_clash(new, plain)
        if new.group not in self._groups and not new.is_tls:
            self._plain[new.port] = new
        self._groups.setdefault(new.group, []).append(new)
        return None

    def servers(self, begun: Mapping[Group, Age] = MappingProxyType({})) -> list[BoundServer]:
        """
        Chains are built by port, protocol and bind in the order of the first server of each.

        :param begun: the age of the first server among others that are not here, where there are some.
        """
        first = {group: servers[0].age for group, servers in self._groups.items()}
        order = sorted(self._groups, key=lambda group: min(first[group], begun.get(group, first[group])))
        return [server for group in order for server in self._groups[group]]


def duplicates(names: Sequence[str], bind: str, known: dict[str, tuple[str, T]], owner: T) -> list[tuple[str, T]]:
    """
    The names that an earlier owner with the same bind already has, each with that owner. Where there are none, the
    names are noted as the new owner's (pilot/pkg/model/gateway.go, CheckDuplicates).

    :param known: the names of one port so far, each with its bind and its owner.
    """
    clash = [(name, known[name][1]) for name in names if name in known and known[name][0] == bind]
    if not clash:
        known.update(dict.fromkeys(names, (bind, owner)))
    return clash


def _plain_http(server: BoundServer) -> bool:
    return server.protocol in HTTP_PROTOCOLS


class PortUse(NamedTuple):
    """
    How many Gateways use one port, and for what.

    :ivar plain: of these, with a server of neither TLS nor HTTP.
    :ivar http: with a plain server of HTTP.
    :ivar tls: with a server of TLS.
    """

    gateways: int = 0
    plain: int = 0
    http: int = 0
    tls: int = 0

    @classmethod
    def by_port(cls, servers: Collection[BoundServer]) -> dict[int, PortUse]:
        """The ports that one Gateway uses by its servers."""
        kinds: dict[int, set[str]] = {}
        for each in servers:
            kind = "tls" if each.is_tls else "http" if _plain_http(each) else "plain"
            kinds.setdefault(each.port, set()).add(kind)
        return {port: cls(1, "plain" in found, "http" in found, "tls" in found) for port, found in kinds.items()}

    def plus(self, other: PortUse) -> PortUse:
        """The uses of several Gateways together."""
        return PortUse(
            self.gateways + other.gateways, self.plain + other.plain, self.http + other.http, self.tls + other.tls
        )

    @property
    def contested(self) -> bool:
        """Whether a plain server may keep one of another Gateway off the port, whatever their hosts."""
        return self.gateways > 1 and (self.plain > 0 or (self.http > 0 and self.tls > 0))


def _translates(service: Resource[ServiceSpec], proxy: Proxy) -> bool:
    """Whether a Service of the gateway's own pod says where its ports lead."""
    chooses = service.spec.selector and selected(service.spec.selector, proxy.labels)
    return bool(chooses) and service.namespace == proxy.namespace and NO_TRANSLATION_LABEL not in service.labels


def _listening_port(number: int, services: Iterable[Resource[ServiceSpec]]) -> int:
    """
    The port to listen on for a server's port: where a Service of the gateway's own pod has that port, its targetPort;
    else the number as it is. Of several Services the first counts (pilot/pkg/model/gateway.go, resolvePorts).
    """
    for service in services:
        for port in service.spec.ports:
            if port.port == number and isinstance(port.target_port, int):
                return port.target_port or number
    return number


def unselected(gateways: Iterable[Gateway], proxy: Proxy, pods: Collection[Resource[Any]]) -> Iterator[Problem]:
    """What is said of Gateways that this gateway does not take."""
    for gateway in gateways:
        if not selected(gateway.spec.selector, proxy.labels):
            yield _not_selected(gateway, proxy, pods)


def _not_selected(gateway: Gateway, proxy: Proxy, pods: Collection[Resource[Any]]) -> Problem:
    selector = gateway.spec.selector
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
    have = ", ".join(f"{key}={value}" for key, value in sorted(proxy.labels.items())) or "none"
    others = (ISTIO_LABELS, *(pod.labels for pod in pods))
    if not any(selected(selector, labels) for labels in others):
        near = [
            f"{key}: {ours}"
            for key, value in selector.items()
            if (ours := proxy.labels.get(key)) and difflib.get_close_matches(value, [ours], 1, 0.7)
        ]
        return gateway.problem(
            Severity.ERROR if pods else Severity.WARNING,
            "MG2040",
            f"selects nothing that is known: neither this gateway ({have}) nor "
            + (f"any Pod is labeled {wanted}" if pods else f"Istio's own is labeled {wanted}, and there are no Pods"),
            path="spec.selector",
            hint=f"did you mean {', '.join(near)}?" if near else "a selector has labels of the gateway's pod",
        )
    return gateway.problem(
        Severity.INFO,
        "MG2001",
        f"not taken by this gateway: it selects {wanted}, and the gateway's labels are {have}",
        path="spec.selector",
        hint="set the labels of this gateway in the settings, under gateway.labels",
    )


def _duplicate_hosts(new: BoundServer, clash: Sequence[tuple[str, BoundServer]]) -> Problem:
    names = ", ".join(name for name, _ in clash)
    name, owner = clash[0]
    holder = owner.at(_host_field(owner, name))
    return new.problem(
        Severity.ERROR,
        "MG2002",
        f"the whole server is dropped: {names} on port {new.port} already belongs to {holder}",
        "name each host in one TLS server of a port only; the older Gateway wins",
        _host_field(new, name),
    )


def _port_clash(new: BoundServer, plain: BoundServer) -> Problem:
    return new.problem(
        Severity.ERROR,
        "MG2003",
        f"the server is dropped: port {new.port} is already taken by the {plain.protocol} {plain.at('.port.number')}",
        "a plain port belongs to one server; use another port, or another bind address",
        ".port.number",
    )


def _host_field(server: BoundServer, name: str) -> str:
    return f".hosts[{server_host_index(server.server.hosts, server.gateway.namespace, name)}]"
