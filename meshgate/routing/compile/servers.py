"""
The servers of Gateways: which this gateway runs, on which ports, and which of several servers on one port are dropped.

Problem: Gateways are written independently, yet their servers share ports. Istio merges them in an order that decides
who keeps a port or a host, and drops the losers without a word.

Approach: :func:`servers_of` gives the servers of one Gateway, each with its listening port. :class:`MergedServers`
is given the Gateways from the oldest to the youngest, and checks each server against those before it, with Istio's
checks in Istio's order (pilot/pkg/model/gateway.go, mergeGateways). :class:`PortUse` tells cheaply on which ports two
Gateways can clash at all.

Invariants: a server that is dropped is a problem that names the winner. Servers of one port, protocol and bind form a
group; chains are built group by group, in the order of each group's first server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from meshgate.resources.kinds.gateway import Gateway, Server
from meshgate.resources.kinds.shared_fields import HTTP_PROTOCOLS
from meshgate.resources.kinds.tls import PASSTHROUGH_MODES
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import listing, verb
from meshgate.routing.compile.gateway_annotations import HeaderWish, header_wish
from meshgate.routing.compile.gateway_proxy import GatewayPods, Proxy, not_selected
from meshgate.routing.compile.precedence import IN_CLUSTER, Loss, precedence
from meshgate.routing.compile.selection import selected
from meshgate.routing.hosts import server_host_index, server_hosts
from meshgate.routing.table import ANY_IPV4, ANY_IPV6, ListenerKey

T = TypeVar("T")
Group = tuple[int, str, str]
"""Port, protocol and bind."""
Age = tuple[int, float, str, int, str, str, int]
"""Sorts servers by the age of their Gateways, then by their index in the Gateway."""


@dataclass(frozen=True, slots=True)
class BoundServer:
    """
    A server of a Gateway with the port that it listens on.

    :ivar index: the server's index in ``spec.servers``.
    :ivar port: the listening port, after translation through the gateway's own Service.
    :ivar hosts: as :func:`~meshgate.routing.hosts.server_hosts` gives them.
    :ivar both_families: the bind is unset and the machine has IPv6.
    :ivar in_cluster: Istio runs the server, whatever this gateway may serve of it.
    :ivar header: the PROXY header of its connections; None if nobody speaks of one.
    :ivar group: the group whose chains are built together.
    :ivar key: the key of the server's listener.
    :ivar address: the address that the server asks for, for messages.
    :ivar protocol: the protocol in capitals; Istio accepts any case.
    :ivar is_plain_http: True for HTTP of any kind without TLS.
    :ivar is_tls: True if clients speak TLS to the server.
    :ivar is_passthrough: True if the endpoint ends TLS, and not the gateway.
    :ivar is_http: True for plain HTTP of any kind and for terminating HTTPS, which a gateway below HTTP does not serve.
    """

    gateway: Gateway
    index: int
    server: Server
    port: int
    hosts: tuple[str, ...]
    both_families: bool = False
    in_cluster: bool = False
    header: HeaderWish | None = None
    group: Group = field(init=False, repr=False, compare=False)
    key: ListenerKey = field(init=False, repr=False, compare=False)
    address: ListenerKey = field(init=False, repr=False, compare=False)
    protocol: str = field(init=False, repr=False, compare=False)
    is_plain_http: bool = field(init=False, repr=False, compare=False)
    is_tls: bool = field(init=False, repr=False, compare=False)
    is_passthrough: bool = field(init=False, repr=False, compare=False)
    is_http: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once, since each is needed often.
        keep = partial(object.__setattr__, self)
        server, tls = self.server, self.server.tls
        protocol = server.port.protocol.upper()
        passthrough = tls is not None and tls.mode in PASSTHROUGH_MODES
        keep("group", (self.port, server.port.protocol, server.bind))
        keep("key", _listener_key(server.bind or ANY_IPV4, self.port))
        keep("address", _listener_key(ANY_IPV6, self.port) if self.both_families else self.key)
        keep("protocol", protocol)
        keep("is_plain_http", protocol in HTTP_PROTOCOLS)
        keep("is_tls", tls is not None and not tls.https_redirect)
        keep("is_passthrough", passthrough)
        keep("is_http", self.is_plain_http or (protocol == "HTTPS" and not passthrough))

    @property
    def age(self) -> Age:
        """The sort key of the server among all servers."""
        return (*self.gateway.order(), self.index)

    @property
    def port_text(self) -> str:
        """The port that clients connect to, for messages; with that of the listener, if the Service translates it."""
        number = self.server.port.number
        return str(number) if number == self.port else f"{number} ({self.port} behind the gateway's Service)"

    @property
    def path(self) -> str:
        """The server's path in its Gateway."""
        return f"spec.servers[{self.index}]"

    def problem(
        self,
        severity: Severity,
        code: str,
        message: str,
        hint: str = "",
        field: str = "",
        causes: tuple[Hashable, ...] = (),
    ) -> Problem:
        """
        A problem of this server and its listener.

        :param field: the field within the server, as ``.port.number``; empty for the whole server.
        """
        path = self.path + field
        return self.gateway.problem(
            severity, code, message, path=path, hint=hint, listener=str(self.address), causes=causes
        )

    def not_served(self, code: str, message: str) -> Problem:
        """The problem that this gateway does not serve the server; Istio does, which is what counts in a cluster."""
        return self.problem(Severity.INFO if self.in_cluster else Severity.ERROR, code, message)

    def at(self, field: str) -> str:
        """The server's name, with the location of one of its fields."""
        location = self.gateway.location(self.path + field)
        return f"server {self.server.port.name!r} of Gateway {self.gateway.qualified_name} ({location})"

    def __str__(self) -> str:
        return self.at("")


def servers_of(gateway: Gateway, gateway_pods: GatewayPods, proxy: Proxy) -> tuple[BoundServer, ...] | Problem:
    """The servers of one Gateway, before they are merged with others; or why the Gateway is not for this gateway."""
    if not selected(gateway.spec.selector, proxy.labels):
        return not_selected(gateway, proxy, gateway_pods.pods)
    ports = [gateway_pods.listening_port(server.port.number) for server in gateway.spec.servers]
    return tuple(
        BoundServer(
            gateway,
            index,
            server,
            port,
            server_hosts(server.hosts, gateway.namespace),
            both_families=proxy.ipv6 and not server.bind,
            in_cluster=proxy.in_cluster,
            header=header_wish(gateway, port, proxy),
        )
        for index, (server, port) in enumerate(zip(gateway.spec.servers, ports, strict=True))
    )


class MergedServers:
    """
    The servers of several Gateways, without those that are dropped.

    :param by_name: the Gateways come in the order of a cluster, in which names decide.
    :ivar losses: one for each dropped server.
    :ivar dropped: the dropped servers, by Gateway and index.
    """

    def __init__(self, *, by_name: bool = False) -> None:
        self._by_name = by_name
        self.losses: list[Loss] = []
        self.dropped: set[tuple[ResourceKey, int]] = set()
        self._groups: dict[Group, list[BoundServer]] = {}
        # One for each port, whatever its bind: the last plain server that brought a new protocol or bind to the port.
        self._plain: dict[int, BoundServer] = {}
        self._tls_hosts: dict[int, dict[str, tuple[str, BoundServer]]] = {}

    def add(self, servers: Iterable[BoundServer]) -> None:
        """Add the servers of one Gateway. Older Gateways are added first."""
        for server in servers:
            loss = self._clash(server)
            if loss is not None:
                self.losses.append(loss)
                self.dropped.add((server.gateway.key, server.index))
                continue
            if server.group not in self._groups and not server.is_tls:
                self._plain[server.port] = server
            self._groups.setdefault(server.group, []).append(server)

    def in_order(self, ages_elsewhere: Mapping[Group, Age] = MappingProxyType({})) -> list[BoundServer]:
        """
        The servers in the order in which their chains are built: by groups, each at the age of its first server.

        :param ages_elsewhere: the age of the first server of a group, where it is among servers that are not here.
        """
        ages = {group: self._age(servers[0]) for group, servers in self._groups.items()}
        order = sorted(self._groups, key=lambda group: min(ages[group], ages_elsewhere.get(group, ages[group])))
        return [server for group in order for server in self._groups[group]]

    def _age(self, server: BoundServer) -> Age:
        return (*server.gateway.order_in_cluster(), server.index) if self._by_name else server.age

    def _clash(self, new: BoundServer) -> Loss | None:
        """Why a server is dropped, or None. The order of the checks is Istio's, and decides some outcomes."""
        if new.server.tls is not None:
            owners = self._tls_hosts.setdefault(new.port, {})
            clash = duplicates(new.hosts, new.server.bind, owners, new)
            if clash:
                return _duplicate_hosts(new, clash)
        plain = self._plain.get(new.port)
        if plain is None or plain.server.bind != new.server.bind or (plain.is_plain_http and new.is_plain_http):
            return None
        return _port_clash(new, plain)


def duplicates(names: Sequence[str], bind: str, owners: dict[str, tuple[str, T]], new: T) -> list[tuple[str, T]]:
    """
    The names that an earlier owner with the same bind already has, each with that owner. If there are none, the names
    become the new owner's (pilot/pkg/model/gateway.go, CheckDuplicates).

    :param owners: the names of one port so far, each with a bind and an owner.
    """
    clash = [(name, owners[name][1]) for name in names if name in owners and owners[name][0] == bind]
    if not clash:
        owners.update(dict.fromkeys(names, (bind, new)))
    return clash


class PortUse(NamedTuple):
    """
    Counts of the Gateways that use one port.

    :ivar gateways: all of them.
    :ivar plain: those with a server of neither TLS nor HTTP.
    :ivar http: those with a plain HTTP server.
    :ivar tls: those with a TLS server.
    """

    gateways: int = 0
    plain: int = 0
    http: int = 0
    tls: int = 0

    @classmethod
    def by_port(cls, servers: Collection[BoundServer]) -> Mapping[int, PortUse]:
        """The uses of one Gateway, by port; the same mapping for thousands of Gateways with the same ports."""
        kinds = ("tls" if each.is_tls else "http" if each.is_plain_http else "plain" for each in servers)
        return _uses(frozenset(zip((each.port for each in servers), kinds, strict=True)))

    def plus(self, other: PortUse) -> PortUse:
        """The sum of two uses."""
        return PortUse(
            self.gateways + other.gateways, self.plain + other.plain, self.http + other.http, self.tls + other.tls
        )

    @property
    def contested(self) -> bool:
        """True if a plain server may keep a server of another Gateway off the port, whatever their hosts."""
        return self.gateways > 1 and (self.plain > 0 or (self.http > 0 and self.tls > 0))


@lru_cache(1024)
def _uses(kinds_on_ports: frozenset[tuple[int, str]]) -> Mapping[int, PortUse]:
    """The uses of one Gateway, of the kinds of its servers on each port."""
    found: dict[int, PortUse] = {}
    for port, kind in kinds_on_ports:
        found[port] = found.get(port, PortUse(1))._replace(**{kind: 1})
    return found


@lru_cache(1024)
def _listener_key(bind: str, port: int) -> ListenerKey:
    """The key of a listener, the same object for thousands of servers."""
    return ListenerKey(bind, port)


def _duplicate_hosts(new: BoundServer, clash: Sequence[tuple[str, BoundServer]]) -> Loss:
    names = listing([name for name, _ in clash])
    name, owner = clash[0]
    holder = owner.at(_host_field(owner, name))

    def problem(reason: str) -> Problem:
        return new.problem(
            Severity.ERROR,
            "MG2002",
            f"the whole server is dropped: {names} on port {new.port_text} already "
            f"{verb(clash, 'belongs', 'belong')} to {holder}{_as(owner, new)}, {reason}",
            "name each host in one TLS server of a port only",
            _host_field(new, name),
        )

    return _loss(new, owner, problem)


def _port_clash(new: BoundServer, plain: BoundServer) -> Loss:
    holder = f"the {plain.protocol} {plain.at('.port.number')}{_as(plain, new)}"

    def problem(reason: str) -> Problem:
        return new.problem(
            Severity.ERROR,
            "MG2003",
            f"the server is dropped: port {new.port_text} is already taken by {holder}, {reason}",
            "a plain port belongs to one server; use another port, or another bind address",
            ".port.number",
        )

    return _loss(new, plain, problem, holder)


def _loss(new: BoundServer, owner: BoundServer, problem: Callable[[str], Problem], holder: str = "") -> Loss:
    """
    The loss of a server.

    :param holder: the owner in words, if the loss may be one in a cluster alone.
    """
    winner, loser = owner.gateway, new.gateway

    def problem_by_name(_: str) -> Problem:
        return new.problem(
            Severity.WARNING,
            "MG2082",
            f"the server serves by file order; {IN_CLUSTER}, it is dropped: "
            f"{holder} sorts first by name, and takes port {new.port_text}",
            "give the two different ports, or the other Gateway a name that sorts behind",
            ".port.number",
        )

    reason = "by the order of servers" if winner is loser else precedence(winner, loser)
    return Loss((loser.key, new.index), winner, loser, reason, problem, problem_by_name if holder else None)


def _as(holder: BoundServer, new: BoundServer) -> str:
    """The port of the server that holds a port, for messages, if clients connect to another one there."""
    same = holder.server.port.number == new.server.port.number
    return "" if same else f", as port {holder.port_text}"


def _host_field(server: BoundServer, name: str) -> str:
    return f".hosts[{server_host_index(server.server.hosts, server.gateway.namespace, name)}]"
