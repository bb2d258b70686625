"""
From Gateways and VirtualServices to listeners, one Gateway after the other: what each comes to by itself, and which of
them have something against each other.

Most Gateways share no port with a plain server, and no name, with any other; what such a one comes to does not depend
on the others, and stays when they change. Only those that do share something are built together, in Istio's order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.problem import Problem
from meshgate.resources.record import Resource, ResourceKey
from meshgate.resources.steps import batches
from meshgate.routing.binding import Bindings, VirtualService
from meshgate.routing.chains import ChainBuilder, names_of
from meshgate.routing.claims import Part, claimed_by
from meshgate.routing.listeners import ListenerBuilder
from meshgate.routing.memo import Answered
from meshgate.routing.servers import Age, BoundServer, Group, Merge, PortUse
from meshgate.routing.table import Listener, ListenerKey

Gateway = Resource[GatewaySpec]
Name = tuple[int, str]
"""A server name or a host, on a port."""
Mark = TypeVar("Mark")
Recall = Callable[[BoundServer, VirtualService, Answered[Part] | None], Answered[Part]]


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """
    What some servers come to together.

    :ivar dropped: the servers that lost, by their Gateway and index.
    :ivar used: what the destinations of the chains rest on.
    """

    listeners: Mapping[ListenerKey, ListenerBuilder] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    dropped: Collection[tuple[ResourceKey, int]] = ()
    used: Collection[ResourceKey] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """
    One Gateway.

    :ivar bound: the VirtualServices that name it, in their order.
    :ivar parts: what each of these asks of each server, by the server's index and the VirtualService's identity.
    :ivar names: all that its servers can take from others, or lose to them.
    :ivar alone: what it comes to by itself.
    """

    gateway: Gateway
    servers: tuple[BoundServer, ...]
    bound: tuple[VirtualService, ...]
    parts: Mapping[tuple[int, int], Answered[Part]]
    names: frozenset[Name]
    alone: Built

    def uses(self) -> Iterator[tuple[int, list[BoundServer]]]:
        """Its ports, each with its servers."""
        by_port: dict[int, list[BoundServer]] = defaultdict(list)
        for server in self.servers:
            by_port[server.port].append(server)
        yield from by_port.items()


class Cells:
    """
    All Gateways, with what they come to.

    :param servers_of: gives the servers of a Gateway, or why it has none here.
    :param recall: gives what a VirtualService asks of a server, from what it was before if there is that.
    :param builder: builds chains.
    :ivar gateways: by ``namespace/name``.
    :ivar listeners: those that have something to serve.
    """

    def __init__(
        self,
        servers_of: Callable[[Gateway], tuple[BoundServer, ...] | Problem],
        recall: Recall,
        builder: type[ChainBuilder],
    ) -> None:
        self._servers_of = servers_of
        self._recall = recall
        self._builder = builder
        self.gateways: dict[str, Gateway] = {}
        self.listeners: dict[ListenerKey, Listener] = {}
        self._cells: dict[str, Cell] = {}
        self._stale: dict[str, None] = {}
        self._ports: dict[int, PortUse] = {}
        self._on_port: dict[int, dict[str, None]] = defaultdict(dict)
        self._contested_ports: set[int] = set()
        self._claimants: dict[Name, dict[str, None]] = defaultdict(dict)
        self._contested_names: set[Name] = set()
        self._builders: dict[ListenerKey, dict[str, ListenerBuilder]] = {}
        self._stale_listeners: set[ListenerKey] = set()
        self._together: set[str] = set()
        self._members: tuple[tuple[Cell, ...], Mapping[Group, Age]] = ((), {})
        self._joint = Built()

    def touch(self, names: Iterable[str]) -> None:
        """Look at Gateways anew, or at what was one."""
        self._stale.update(dict.fromkeys(names))

    def renew(self, bindings: Bindings) -> Generator[None, None, None]:
        """Bring everything up to date, in steps."""
        stale, self._stale = self._stale, {}
        for names in batches(stale, 4):
            for name in names:
                yield from self._renew(name, bindings)
            yield
        yield from self._build_together()
        yield from self._merge()

    def built(self) -> Iterator[Built]:
        """What all Gateways come to."""
        for name, cell in self._cells.items():
            if name not in self._together:
                yield cell.alone
        yield self._joint

    def _renew(self, name: str, bindings: Bindings) -> Generator[None, None, None]:
        before = self._cells.pop(name, None)
        gateway = self.gateways.get(name)
        if gateway is None:
            yield from self._replace(name, before, None)
            return
        servers = self._servers_of(gateway)
        known: Mapping[tuple[int, int], Answered[Part]] = {}
        if before is not None and before.gateway is gateway and before.servers == servers:
            # The same objects, since the answers are about them.
            servers, known = before.servers, before.parts
        if isinstance(servers, Problem):
            yield from self._replace(name, before, None)
            self._cells[name] = Cell(gateway, (), (), {}, frozenset(), Built(problems=[servers]))
            return
        bound = bindings.of(name)
        parts: dict[tuple[int, int], Answered[Part]] = {}
        for server in servers:
            for batch in batches(bound):
                for virtual_service in batch:
                    key = (server.index, id(virtual_service))
                    parts[key] = self._recall(server, virtual_service, known.get(key))
                if len(bound) > len(batch):
                    yield
        alone = Cell(gateway, servers, bound, parts, frozenset(), Built())
        built = yield from self._build([alone], {})
        names: set[Name] = set()
        for server in servers:
            names.update((server.port, each) for each in names_of(server))
            for batch in batches(bound):
                claimed = (claimed_by(parts[server.index, id(one)].result) for one in batch)
                names.update((server.port, each) for some in claimed for each in some)
                yield
        cell = Cell(gateway, servers, bound, parts, frozenset(names), built)
        yield from self._replace(name, before, cell)
        self._cells[name] = cell

    def _replace(self, name: str, before: Cell | None, after: Cell | None) -> Iterator[None]:
        """Note what a Gateway shares with others, in place of what it did."""
        for cell, other, sign in (before, after, -1), (after, before, 1):
            if cell is not None:
                yield
                names = cell.names if other is None else cell.names - other.names
                for batch in batches(names, 256):
                    yield
                    self._note_names(name, batch, sign)
                self._note(name, cell, sign)

    def _note(self, name: str, cell: Cell, sign: int) -> None:
        """Note which ports and listeners a Gateway shares with others, or with sign -1 that it does no more."""
        for port, servers in cell.uses():
            use = self._ports[port] = self._ports.get(port, PortUse()).plus(servers, sign)
            _mark(self._on_port, port, name, sign)
            (self._contested_ports.add if use.contested else self._contested_ports.discard)(port)
            if not use.gateways:
                del self._ports[port]
        for key, builder in cell.alone.listeners.items():
            self._stale_listeners.add(key)
            builders = self._builders.setdefault(key, {})
            if sign > 0:
                builders[name] = builder
            else:
                del builders[name]

    def _note_names(self, name: str, names: Iterable[Name], sign: int) -> None:
        """The same for names."""
        for each in names:
            _mark(self._claimants, each, name, sign)
            contested = len(self._claimants.get(each, ())) > 1
            (self._contested_names.add if contested else self._contested_names.discard)(each)

    def _build(self, cells: Sequence[Cell], begun: Mapping[Group, Age]) -> Generator[None, None, Built]:
        """
        What some Gateways come to together.

        :param cells: in their order.
        :param begun: the age of the first server of each group among the other Gateways.
        """
        by_gateway = {cell.gateway.key: cell for cell in cells}
        merge = Merge()
        for number, cell in enumerate(cells, 1):
            merge.take(cell.servers)
            if number % 16 == 0:
                yield
        chains = self._builder(
            lambda server: by_gateway[server.gateway.key].bound,
            lambda server, one: by_gateway[server.gateway.key].parts[server.index, id(one)].result,
        )
        for number, server in enumerate(merge.servers(begun), 1):
            yield from chains.add(server)
            if number % 16 == 0:
                yield
        return Built(chains.listeners, [*merge.problems, *chains.problems], merge.dropped, chains.used)

    def _build_together(self) -> Generator[None, None, None]:
        """Find those that share something with others, and build them once more, together."""
        together: set[str] = set()
        for each in self._contested_names:
            together.update(self._claimants[each])
        for port in self._contested_ports:
            together.update(self._on_port[port])
        yield
        cells = [self._cells[name] for name in together]
        cells.sort(key=lambda cell: cell.gateway.order())
        begun = self._begun(cells, together)
        if self._members != (tuple(cells), begun):
            before, self._joint = self._joint, (yield from self._build(cells, begun))
            self._members = (tuple(cells), begun)
            self._stale_listeners.update(before.listeners, self._joint.listeners)
        for name in self._together ^ together:
            if name in self._cells:
                self._stale_listeners.update(self._cells[name].alone.listeners)
        self._together = together

    def _begun(self, cells: Sequence[Cell], together: Collection[str]) -> Mapping[Group, Age]:
        """Which groups of servers are begun by a Gateway outside; it matters where a port has several."""
        groups: dict[int, set[Group]] = defaultdict(set)
        for cell in cells:
            for server in cell.servers:
                groups[server.port].add(server.group)
        ages: dict[Group, Age] = {}
        for port, several in groups.items():
            for name in self._on_port[port] if len(several) > 1 else ():
                cell = self._cells[name]
                for server in cell.servers if name not in together else ():
                    if server.group in several and (server.gateway.key, server.index) not in cell.alone.dropped:
                        ages[server.group] = min(server.age, ages.get(server.group, server.age))
        return ages

    def _merge(self) -> Generator[None, None, None]:
        """Make the listeners anew that are not what they were."""
        listeners = self.listeners.copy()
        for key in self._stale_listeners:
            alone = self._builders.get(key, {})
            builders = [each for name, each in alone.items() if name not in self._together]
            yield
            if not alone:
                self._builders.pop(key, None)
            builders += [self._joint.listeners[key]] if key in self._joint.listeners else []
            listener = None
            if builders:
                merged = ListenerBuilder(builders[0].oldest)
                for batch in batches(builders):
                    for builder in batch:
                        merged.absorb(builder)
                    yield
                listener = yield from merged.build()
            if listener is not None:
                listeners[key] = listener
            else:
                listeners.pop(key, None)
        self.listeners = listeners
        self._stale_listeners = set()


def _mark(marks: dict[Mark, dict[str, None]], mark: Mark, name: str, sign: int) -> None:
    """Note who has something, and forget what nobody has."""
    if sign > 0:
        marks[mark][name] = None
        return
    del marks[mark][name]
    if not marks[mark]:
        del marks[mark]
