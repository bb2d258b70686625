"""
The Gateways, each compiled by itself once, and joined to listeners.

Problem: of 10,000 Gateways mostly one changes, and a change has to take effect in a moment; but two Gateways can take
ports and names from each other, and then Istio's order among all servers decides.

Approach: one memo. A Gateway is compiled by itself, and again only when its key has changed: the Gateway, the
VirtualServices bound to it, and the epoch of what all servers depend on (the Services of the gateway's own pod, and
Pods). The claims of each VirtualService to each server are kept as well, until a host that its destinations name has
changed; so one of thousands of VirtualServices costs one reading. Then all outputs are joined, from scratch each time:
two passes find the contested Gateways, which share a name or a port with others. These are compiled once more, together
and in Istio's order. The others have nothing in common, and their outputs are merged as they are.

Invariants: the result equals compiling everything from scratch, whatever the order of changes. A listener made of the
same outputs as before is the same object, so that comparing two tables costs nothing for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem
from meshgate.resources.resource import ResourceKey
from meshgate.routing.compile.catalog import are_the_same
from meshgate.routing.compile.chains import ChainBuilder, names_of
from meshgate.routing.compile.claims import ServerClaims
from meshgate.routing.compile.listeners import ListenerBuilder
from meshgate.routing.compile.precedence import loss_problems
from meshgate.routing.compile.route_binding import Bindings
from meshgate.routing.compile.servers import Age, BoundServer, Group, MergedServers, PortUse
from meshgate.routing.table import Listener, ListenerKey

Name = tuple[int, str]
"""A server name or a host, on a port."""

_ClaimKey = tuple[int, str]
"""A server's index in its Gateway, and a VirtualService, as ``namespace/name``."""


@dataclass(frozen=True, slots=True, eq=False)
class GatewayOutput:
    """
    The output of one Gateway, or of several that were compiled together.

    :ivar dropped: the dropped servers, by Gateway and index.
    :ivar unbound: the servers without a VirtualService.
    :ivar used: the Services, ServiceEntries and DestinationRules that destinations of the chains come from.
    """

    listeners: Mapping[ListenerKey, ListenerBuilder] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    dropped: Collection[tuple[ResourceKey, int]] = ()
    unbound: tuple[BoundServer, ...] = ()
    used: frozenset[ResourceKey] = frozenset()


class _GatewayState:
    """
    The state of one Gateway in one epoch.

    :ivar unselected: the problem that the Gateway does not select this gateway, or None.
    :ivar servers: none if the Gateway does not select this gateway.
    :ivar bound: the VirtualServices that name the Gateway, in their order.
    :ivar export_ranks: of these, likewise.
    :ivar claims: of each of these to each server, as far as they have been read.
    :ivar servers_read: the number of leading servers to which all claims have been read.
    :ivar names: the names that the Gateway can take from other Gateways, or lose to them.
    :ivar alone: the output of the Gateway compiled by itself; None until all claims have been read.
    """

    __slots__ = (
        "alone",
        "bound",
        "claims",
        "epoch",
        "export_ranks",
        "gateway",
        "names",
        "port_uses",
        "servers",
        "servers_read",
        "unselected",
    )

    def __init__(self, gateway: Gateway, epoch: int, servers: tuple[BoundServer, ...] | Problem) -> None:
        self.gateway = gateway
        self.epoch = epoch
        self.unselected = servers if isinstance(servers, Problem) else None
        self.servers = () if isinstance(servers, Problem) else servers
        self.bound: tuple[VirtualService, ...] = ()
        self.export_ranks: tuple[int, ...] = ()
        self.claims: dict[_ClaimKey, ServerClaims] = {}
        self.servers_read = 0
        self.names: Collection[Name] = ()
        self.port_uses = PortUse.by_port(self.servers)
        self.alone: GatewayOutput | None = None

    def bound_in_order(self, by_name: bool) -> tuple[VirtualService, ...]:
        """
        The VirtualServices that name the Gateway.

        :param by_name: in the order of a cluster, in which names decide.
        """
        if not by_name or len(self.bound) < 2:
            return self.bound
        ranked = sorted(
            zip(self.export_ranks, self.bound, strict=True), key=lambda each: (each[0], each[1].order_in_cluster())
        )
        return tuple(virtual_service for _, virtual_service in ranked)

    def unread(self) -> Iterator[tuple[BoundServer, VirtualService]]:
        """The servers and VirtualServices with claims to be read; the caller reads those of each before the next."""
        for server in self.servers[self.servers_read :]:
            for virtual_service in self.bound:
                kept = self.claims.get((server.index, virtual_service.qualified_name))
                if kept is None or kept.virtual_service is not virtual_service:
                    yield server, virtual_service
            self.servers_read += 1

    def bind(self, virtual_services: tuple[VirtualService, ...]) -> None:
        """Take the VirtualServices that name the Gateway now."""
        if not are_the_same(virtual_services, self.bound):
            self.bound = virtual_services
            self.servers_read = 0

    def drop_claims(self, names: Collection[str]) -> bool:
        """Drop the claims of some VirtualServices, to be read again; return True if there were any."""
        outdated = [key for key in self.claims if key[1] in names]
        for key in outdated:
            del self.claims[key]
            self.servers_read = 0
        return bool(outdated)

    def claims_to(self, server: BoundServer, virtual_service: VirtualService) -> ServerClaims:
        """The claims of a VirtualService to a server, after they have been read."""
        return self.claims[server.index, virtual_service.qualified_name]

    def drop_unbound(self) -> None:
        """Drop the claims of VirtualServices that do not name the Gateway any more."""
        if len(self.claims) > len(self.servers) * len(self.bound):
            bound = {each.qualified_name for each in self.bound}
            self.claims = {key: claims for key, claims in self.claims.items() if key[1] in bound}

    def find_names(self) -> tuple[Name, ...]:
        """The names of its servers, and those that its VirtualServices claim, each once."""
        found = {(server.port, name): None for server in self.servers for name in names_of(server)}
        for server in self.servers:
            for virtual_service in self.bound:
                for claim in self.claims_to(server, virtual_service).claims:
                    found.update(((server.port, name), None) for name in claim.names())
        return tuple(found)


class Gateways:
    """
    All Gateways, and the listeners that they compile to.

    :param servers_of: gives the servers of a Gateway, or the problem that the Gateway does not select this gateway.
    :param read_claims: gives the claims of a VirtualService to a server.
    :param builder: the class that builds the chains.
    :ivar by_name: the Gateways by ``namespace/name``.
    """

    def __init__(
        self,
        servers_of: Callable[[Gateway], tuple[BoundServer, ...] | Problem],
        read_claims: Callable[[BoundServer, VirtualService], ServerClaims],
        builder: type[ChainBuilder],
    ) -> None:
        self._servers_of = servers_of
        self._read_claims = read_claims
        self._builder = builder
        self.by_name: dict[str, Gateway] = {}
        self._epoch = 0
        self._stale: dict[str, None] = {}
        self._states: dict[str, _GatewayState] = {}
        self._contested: frozenset[str] = frozenset()
        # The contested Gateways compiled together, and the outputs and ages that they were compiled from.
        self._joint = GatewayOutput()
        self._joint_key: tuple[tuple[GatewayOutput, ...], Mapping[Group, Age]] = ((), {})
        self._listeners: dict[ListenerKey, tuple[list[ListenerBuilder], Listener | None]] = {}
        # Thousands of Gateways use the same few resources.
        self._used: dict[frozenset[ResourceKey], frozenset[ResourceKey]] = {}

    def add(self, gateway: Gateway) -> None:
        """Add a Gateway, or replace the one with its name."""
        self.by_name[gateway.qualified_name] = gateway
        self.invalidate([gateway.qualified_name])

    def remove(self, gateway: Gateway) -> None:
        """Remove a Gateway."""
        del self.by_name[gateway.qualified_name]
        self.invalidate([gateway.qualified_name])

    def invalidate(self, names: Iterable[str]) -> None:
        """Have Gateways compiled again, since the VirtualServices that name them have changed."""
        self._stale.update(dict.fromkeys(names))

    def begin_epoch(self) -> None:
        """Have all Gateways compiled again, since something that their servers depend on has changed."""
        self._epoch += 1
        self._used.clear()
        self.invalidate(self.by_name)

    def read_again(self, virtual_services: Collection[ResourceKey]) -> None:
        """Have the claims of VirtualServices read again, since a host that their destinations name has changed."""
        names = {f"{key.namespace}/{key.name}" for key in virtual_services}
        for name, state in self._states.items():
            if state.drop_claims(names):
                self.invalidate([name])

    def compile_some(self, bindings: Bindings, budget: int) -> bool:
        """
        Compile stale Gateways by themselves.

        :param budget: the number of Gateways compiled and VirtualServices read, at most; the next call finishes a
            Gateway of more.
        :return: True when no Gateway is stale any more.
        """
        while self._stale and budget > 0:
            name = next(iter(self._stale))
            budget = self._compile(name, bindings, budget) - 1
        return not self._stale

    def join(self) -> dict[ListenerKey, Listener]:
        """The listeners that serve something, once no Gateway is stale."""
        self._compile_contested()
        builders: dict[ListenerKey, list[ListenerBuilder]] = defaultdict(list)
        for output in self.outputs():
            for key, builder in output.listeners.items():
                builders[key].append(builder)
        previous, self._listeners = self._listeners, {}
        for key, several in builders.items():
            before = previous.get(key)
            same = before is not None and are_the_same(before[0], several)
            self._listeners[key] = before if before is not None and same else (several, _listener(several))
        return {key: listener for key, (_, listener) in self._listeners.items() if listener is not None}

    def outputs(self) -> Iterator[GatewayOutput]:
        """The outputs of the uncontested Gateways, and that of the contested ones together, after :meth:`join`."""
        for name, state in self._states.items():
            if name not in self._contested and state.alone is not None:
                yield state.alone
        yield self._joint

    def _compile(self, name: str, bindings: Bindings, budget: int) -> int:
        """Compile a Gateway, or read as many of its claims as the budget allows; return the rest of the budget."""
        gateway = self.by_name.get(name)
        if gateway is None:
            self._states.pop(name, None)
            del self._stale[name]
            return budget
        state = self._states.get(name)
        if state is None or state.gateway is not gateway or state.epoch != self._epoch:
            state = self._states[name] = _GatewayState(gateway, self._epoch, self._servers_of(gateway))
        if state.unselected is not None:
            state.alone = GatewayOutput(problems=(state.unselected,))
            del self._stale[name]
            return budget
        state.bind(bindings.bound_to(name))
        for server, virtual_service in state.unread():
            if budget <= 0:
                return budget
            claims = self._read_claims(server, virtual_service)
            state.claims[server.index, virtual_service.qualified_name] = claims
            budget -= 1
        state.export_ranks = bindings.export_ranks(name)
        state.drop_unbound()
        state.names = state.find_names()
        state.alone = self._build([state], {})
        del self._stale[name]
        return budget

    def _build(self, states: Sequence[_GatewayState], ages_elsewhere: Mapping[Group, Age]) -> GatewayOutput:
        """
        Compile Gateways together.

        :param states: from the oldest Gateway to the youngest.
        :param ages_elsewhere: the age of the first server of each group among the other Gateways.
        """
        merged, chains = self._merge(states, ages_elsewhere, by_name=False)
        losses = [*merged.losses, *chains.losses]
        by_name = {loss.key: loss for loss in losses}
        if losses or _mixes_tls(states):
            in_cluster = sorted(states, key=lambda state: state.gateway.order_in_cluster())
            if in_cluster != list(states) or any(state.bound != state.bound_in_order(by_name=True) for state in states):
                servers, others = self._merge(in_cluster, {}, by_name=True)
                by_name = {loss.key: loss for loss in (*servers.losses, *others.losses)}
        used = frozenset(chains.used)
        return GatewayOutput(
            chains.listeners,
            (*chains.problems, *loss_problems(losses, by_name)),
            merged.dropped or (),
            tuple(chains.unbound),
            self._used.setdefault(used, used),
        )

    def _merge(
        self, states: Sequence[_GatewayState], ages_elsewhere: Mapping[Group, Age], *, by_name: bool
    ) -> tuple[MergedServers, ChainBuilder]:
        """
        Merge the servers of Gateways, and build the chains of all that are kept.

        :param states: in their order.
        :param by_name: the order is that of a cluster.
        """
        by_key = {state.gateway.key: state for state in states}
        merged = MergedServers(by_name=by_name)
        for state in states:
            merged.add(state.servers)
        servers = merged.in_order(ages_elsewhere)
        chains = self._builder(
            servers,
            lambda server: by_key[server.gateway.key].bound_in_order(by_name),
            lambda server, virtual_service: by_key[server.gateway.key].claims_to(server, virtual_service),
        )
        for server in servers:
            chains.add(server)
        for listener in chains.listeners.values():
            listener.finish()
        return merged, chains

    def _compile_contested(self) -> None:
        """Compile the contested Gateways together, unless nothing about them has changed."""
        self._contested = self._find_contested()
        states = sorted((self._states[name] for name in self._contested), key=lambda state: state.gateway.order())
        ages = self._ages_elsewhere(states)
        key = (tuple(state.alone for state in states if state.alone is not None), ages)
        if key != self._joint_key:
            self._joint, self._joint_key = self._build(states, ages), key

    def _find_contested(self) -> frozenset[str]:
        """The Gateways that share with others a name, or a port that a plain server may take."""
        contested: set[str] = set()
        first: dict[Name, str] = {}
        uses: dict[int, PortUse] = {}
        for gateway, state in self._states.items():
            for name in state.names:
                other = first.setdefault(name, gateway)
                if other is not gateway:
                    contested.update((gateway, other))
            for port, use in state.port_uses.items():
                uses[port] = uses[port].plus(use) if port in uses else use
        ports = {port for port, use in uses.items() if use.contested}
        if ports:
            contested.update(name for name, state in self._states.items() if not ports.isdisjoint(state.port_uses))
        return frozenset(contested)

    def _ages_elsewhere(self, states: Sequence[_GatewayState]) -> Mapping[Group, Age]:
        """
        The ages of the servers of uncontested Gateways in groups that contested Gateways have, too. The order of groups
        matters only on ports where the contested have several.
        """
        groups: dict[int, set[Group]] = defaultdict(set)
        for state in states:
            for server in state.servers:
                groups[server.port].add(server.group)
        several = {group for on_port in groups.values() if len(on_port) > 1 for group in on_port}
        ages: dict[Group, Age] = {}
        for name, state in self._states.items() if several else ():
            if name in self._contested or state.alone is None:
                continue
            for server in state.servers:
                if server.group in several and (server.gateway.key, server.index) not in state.alone.dropped:
                    ages[server.group] = min(server.age, ages.get(server.group, server.age))
        return ages


def _mixes_tls(states: Iterable[_GatewayState]) -> bool:
    """True if a port has servers of several Gateways with and without TLS: then what is lost depends on their order."""
    uses: dict[int, PortUse] = {}
    for state in states:
        for port, use in state.port_uses.items():
            uses[port] = uses[port].plus(use) if port in uses else use
    return any(use.contested and use.tls for use in uses.values())


def _listener(builders: Sequence[ListenerBuilder]) -> Listener | None:
    """The listener of several builders, which have no name in common."""
    if len(builders) == 1:
        return builders[0].build()
    merged = ListenerBuilder(builders[0].oldest)
    for builder in builders:
        merged.merge(builder)
    return merged.build()
