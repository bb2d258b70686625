"""
The Gateways, each compiled by itself once, and joined to listeners.

Problem: of 10,000 Gateways mostly one changes, and a change has to take effect in a moment; but two Gateways can take
ports and names from each other, and then Istio's order among all servers decides.

Approach: one memo. A Gateway is compiled by itself, and again only when its key has changed: the Gateway, the
VirtualServices bound to it, and the epoch of what all servers depend on (the gateway's own Services and Pods). What a
VirtualService claims of a server is kept as well, until a host that its destinations name has changed; so one of
thousands of VirtualServices costs one reading. Then all outputs are joined, from scratch each time: two passes over
them find the contested ones, those that share a name or a port with others; the contested are compiled once more,
together and in Istio's order; the others have nothing in common and are put side by side.

Invariants: the result equals compiling everything from scratch, whatever the order of changes. A listener made of the
same outputs as before is the same object, so whoever compares two tables skips it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.resources.problem import Problem
from meshgate.resources.resource import ResourceKey
from meshgate.routing.compile.chains import ChainBuilder, names_of
from meshgate.routing.compile.claims import ServerClaims
from meshgate.routing.compile.listeners import ListenerBuilder
from meshgate.routing.compile.route_binding import Bindings
from meshgate.routing.compile.servers import Age, BoundServer, Group, Merge, PortUse
from meshgate.routing.table import Listener, ListenerKey

Name = tuple[int, str]
"""A server name or a host, on a port."""

_ClaimKey = tuple[int, ResourceKey]
"""A server's index in its Gateway, and a VirtualService."""


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """
    What some servers compile to.

    :ivar dropped: the servers that lost, by their Gateway and index.
    :ivar used: the Services, ServiceEntries and DestinationRules that the destinations of the chains come from.
    """

    listeners: Mapping[ListenerKey, ListenerBuilder] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    dropped: Collection[tuple[ResourceKey, int]] = ()
    used: Collection[ResourceKey] = ()


class _GatewayState:
    """
    One Gateway of one epoch, with what is known of it so far.

    :ivar left_aside: why this gateway takes none of its servers; None if it takes them.
    :ivar bound: the VirtualServices that name it, in their order.
    :ivar claims: what each of these claims of each server, as far as it has been read.
    :ivar names: the names that it can take from other Gateways, or lose to them.
    :ivar alone: the Gateway compiled by itself; None until all claims have been read.
    """

    __slots__ = ("alone", "bound", "claims", "epoch", "gateway", "left_aside", "names", "port_uses", "servers")

    def __init__(self, gateway: Gateway, epoch: int, servers: tuple[BoundServer, ...] | Problem) -> None:
        self.gateway = gateway
        self.epoch = epoch
        self.left_aside = servers if isinstance(servers, Problem) else None
        self.servers = () if isinstance(servers, Problem) else servers
        self.bound: tuple[VirtualService, ...] = ()
        self.claims: dict[_ClaimKey, tuple[VirtualService, ServerClaims]] = {}
        self.names: Collection[Name] = ()
        self.port_uses = PortUse.by_port(self.servers)
        self.alone: Output | None = None

    def unread(self) -> Iterator[tuple[BoundServer, VirtualService]]:
        """The servers and VirtualServices of which no claims have been read yet."""
        for server in self.servers:
            for virtual_service in self.bound:
                known = self.claims.get((server.index, virtual_service.key))
                if known is None or known[0] is not virtual_service:
                    yield server, virtual_service

    def read(self, server: BoundServer, virtual_service: VirtualService) -> ServerClaims:
        """The claims of a VirtualService to a server, which have been read."""
        return self.claims[server.index, virtual_service.key][1]

    def forget_unbound(self) -> None:
        """Drop the claims of VirtualServices that do not name the Gateway any more."""
        if len(self.claims) > len(self.servers) * len(self.bound):
            bound = {each.key for each in self.bound}
            self.claims = {key: claims for key, claims in self.claims.items() if key[1] in bound}

    def find_names(self) -> frozenset[Name]:
        """The names that its servers hold, and those that its VirtualServices claim."""
        held = {(server.port, name) for server in self.servers for name in names_of(server)}
        for server in self.servers:
            for virtual_service in self.bound:
                for claim in self.read(server, virtual_service).claims:
                    held.update((server.port, name) for name in claim.names())
        return frozenset(held)


class Gateways:
    """
    All Gateways of one gateway process, and the listeners that they come to.

    :param servers_of: gives the servers of a Gateway, or why this gateway takes none of them.
    :param read_claims: gives the claims of a VirtualService to a server.
    :param builder: builds chains.
    :ivar by_name: the Gateways by ``namespace/name``; call :meth:`touch` for each that has changed.
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
        self._joint = Output()
        # What the joint output was compiled from.
        self._joint_key: tuple[tuple[Output, ...], Mapping[Group, Age]] = ((), {})
        self._listeners: dict[ListenerKey, tuple[list[ListenerBuilder], Listener | None]] = {}

    def touch(self, names: Iterable[str]) -> None:
        """Compile Gateways again: they have changed, come or gone, or other VirtualServices name them."""
        self._stale.update(dict.fromkeys(names))

    def begin_epoch(self) -> None:
        """Compile all Gateways again: something that they share has changed."""
        self._epoch += 1
        self.touch(self.by_name)

    def read_again(self, virtual_services: Collection[ResourceKey]) -> None:
        """Read the claims of some VirtualServices again: a host that their destinations name has changed."""
        for name, state in self._states.items():
            outdated = [key for key in state.claims if key[1] in virtual_services]
            for key in outdated:
                del state.claims[key]
            if outdated:
                self.touch([name])

    def compile_some(self, bindings: Bindings, budget: int) -> bool:
        """
        Compile stale Gateways by themselves.

        :param budget: how many claims are read at most; a Gateway of more is finished by the next call.
        :return: True when none is stale any more.
        """
        while self._stale and budget > 0:
            name = next(iter(self._stale))
            budget = self._compile(name, bindings, budget) - 1
        return not self._stale

    def join(self) -> dict[ListenerKey, Listener]:
        """The listeners that have something to serve, after all stale Gateways have been compiled."""
        self._compile_contested()
        builders: dict[ListenerKey, list[ListenerBuilder]] = defaultdict(list)
        for output in self.outputs():
            for key, builder in output.listeners.items():
                builders[key].append(builder)
        known, self._listeners = self._listeners, {}
        for key, several in builders.items():
            before = known.get(key)
            same = before is not None and _are_the_same(before[0], several)
            self._listeners[key] = before if before is not None and same else (several, _listener(several))
        return {key: listener for key, (_, listener) in self._listeners.items() if listener is not None}

    def outputs(self) -> Iterator[Output]:
        """What all Gateways compile to: each alone, and the contested ones together. Call :meth:`join` before."""
        for name, state in self._states.items():
            if name not in self._contested and state.alone is not None:
                yield state.alone
        yield self._joint

    def _compile(self, name: str, bindings: Bindings, budget: int) -> int:
        """Compile a Gateway, or read as many of its claims as the budget allows; give the rest of the budget."""
        gateway = self.by_name.get(name)
        if gateway is None:
            self._states.pop(name, None)
            del self._stale[name]
            return budget
        state = self._states.get(name)
        if state is None or state.gateway is not gateway or state.epoch != self._epoch:
            state = self._states[name] = _GatewayState(gateway, self._epoch, self._servers_of(gateway))
        if state.left_aside is not None:
            state.alone = Output(problems=[state.left_aside])
            del self._stale[name]
            return budget
        state.bound = bindings.of(name)
        for server, virtual_service in state.unread():
            if budget <= 0:
                return budget
            state.claims[server.index, virtual_service.key] = (
                virtual_service,
                self._read_claims(server, virtual_service),
            )
            budget -= 1
        state.forget_unbound()
        state.names = state.find_names()
        state.alone = self._build([state], {})
        del self._stale[name]
        return budget

    def _build(self, states: Sequence[_GatewayState], begun: Mapping[Group, Age]) -> Output:
        """
        Compile some Gateways together.

        :param states: in their order.
        :param begun: the age of the first server of each group among the other Gateways.
        """
        by_key = {state.gateway.key: state for state in states}
        merge = Merge()
        for state in states:
            merge.take(state.servers)
        chains = self._builder(
            lambda server: by_key[server.gateway.key].bound,
            lambda server, one: by_key[server.gateway.key].read(server, one),
        )
        for server in merge.servers(begun):
            chains.add(server)
        return Output(chains.listeners, [*merge.problems, *chains.problems], merge.dropped, frozenset(chains.used))

    def _compile_contested(self) -> None:
        """Compile those together that share something with others, if any of them is another than before."""
        self._contested = self._find_contested()
        states = sorted((self._states[name] for name in self._contested), key=lambda state: state.gateway.order())
        begun = self._begun(states)
        key = (tuple(state.alone for state in states if state.alone is not None), begun)
        if key != self._joint_key:
            self._joint, self._joint_key = self._build(states, begun), key

    def _find_contested(self) -> frozenset[str]:
        """The Gateways that share a name, or a port that a plain server may take, with others."""
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

    def _begun(self, states: Sequence[_GatewayState]) -> Mapping[Group, Age]:
        """The groups of servers that an uncontested Gateway begins; it matters where a port has several groups."""
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


def _are_the_same(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


def _listener(builders: Sequence[ListenerBuilder]) -> Listener | None:
    """One listener of several builders, which have no name in common."""
    if len(builders) == 1:
        return builders[0].build()
    whole = ListenerBuilder(builders[0].oldest)
    for builder in builders:
        whole.absorb(builder)
    return whole.build()
