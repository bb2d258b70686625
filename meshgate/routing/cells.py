"""
From Gateways and VirtualServices to listeners, one Gateway after the other: what each comes to by itself, and which of
them have something against each other.

Most Gateways share no port with a plain server, and no name, with any other; what such a one comes to does not depend
on the others, and stays when they change. Only those that do share something are built together, in Istio's order.
It is likewise with the VirtualServices of one Gateway, of which there may be thousands, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from meshgate.resources.problem import Problem
from meshgate.resources.steps import BATCH, MANY, batches, fill
from meshgate.routing.binding import Bindings, VirtualService
from meshgate.routing.built import Built
from meshgate.routing.cell import Cell, Exchange, Gateway, Name, forget
from meshgate.routing.chains import ChainBuilder, names_of
from meshgate.routing.claims import Part
from meshgate.routing.listeners import ListenerBuilder
from meshgate.routing.memo import Answered
from meshgate.routing.servers import Age, BoundServer, Group, Merge, PortUse
from meshgate.routing.table import Listener, ListenerKey

Mark = TypeVar("Mark")
Recall = Callable[[BoundServer, VirtualService, Answered[Part] | None], Generator[None, None, Answered[Part]]]


class Cells:
    """
    All Gateways, with what they come to.

    :param servers_of: gives the servers of a Gateway, or why it has none here.
    :param prepare: makes ready, in steps, for the next questions about a server.
    :param recall: gives what a VirtualService asks of a server, from what it was before if there is that, in steps.
    :param builder: builds chains.
    :ivar gateways: by ``namespace/name``.
    :ivar listeners: those that have something to serve.
    """

    def __init__(
        self,
        servers_of: Callable[[Gateway], tuple[BoundServer, ...] | Problem],
        prepare: Callable[[BoundServer], Iterator[None]],
        recall: Recall,
        builder: type[ChainBuilder],
    ) -> None:
        self._servers_of = servers_of
        self._prepare = prepare
        self._recall = recall
        self._builder = builder
        self.gateways: dict[str, Gateway] = {}
        self.listeners: dict[ListenerKey, Listener] = {}
        self._cells: dict[str, Cell] = {}
        # Whether what is asked of their servers may be something else even where it is asked by the same.
        self._stale: dict[str, bool] = {}
        self._ports: dict[int, PortUse] = {}
        self._on_port: dict[int, dict[str, None]] = defaultdict(dict)
        self._contested_ports: set[int] = set()
        self._claimants: dict[Name, dict[str, None]] = defaultdict(dict)
        self._contested_names: set[Name] = set()
        self._builders: dict[ListenerKey, dict[str, ListenerBuilder]] = {}
        # What Gateways put into listeners at the last merge, where it may be something else now.
        self._stale_listeners: dict[ListenerKey, dict[str, ListenerBuilder | None]] = {}
        # Those where more has changed than what single Gateways put into them.
        self._torn: set[ListenerKey] = set()
        self._merged: dict[ListenerKey, ListenerBuilder] = {}
        self._together: set[str] = set()
        self._members: tuple[tuple[Cell, ...], Mapping[Group, Age]] = ((), {})
        self._joint = Built()

    def touch(self, names: Iterable[str]) -> None:
        """Look at Gateways anew, or at what was one, since other VirtualServices name them, or they have changed."""
        for name in names:
            self._stale.setdefault(name, False)

    def doubt(self) -> None:
        """Look at all Gateways anew, and ask what each VirtualService asks of them."""
        self._stale.update(dict.fromkeys(self.gateways, True))

    def renew(self, bindings: Bindings) -> Generator[None, None, None]:
        """Bring everything up to date, in steps."""
        stale, self._stale = self._stale, {}
        for some in batches(stale.items(), 4):
            for name, doubted in some:
                yield from self._renew(name, doubted, bindings)
            yield
        yield from self._build_together()
        yield from self._merge()

    def built(self) -> Iterator[Built]:
        """What all Gateways come to."""
        for name, cell in self._cells.items():
            if name not in self._together:
                yield cell.alone
        yield self._joint

    def _renew(self, name: str, doubted: bool, bindings: Bindings) -> Generator[None, None, None]:
        before = self._cells.pop(name, None)
        after, names = yield from self._made(name, before, doubted, bindings)
        self._note_ports(name, before, after)
        yield from self._note_names(name, before, after, names)
        if after is not None:
            self._cells[name] = after
        if before is not None:
            yield from forget(before.parts)

    def _made(
        self, name: str, before: Cell | None, doubted: bool, bindings: Bindings
    ) -> Generator[None, None, tuple[Cell | None, Iterable[Name] | None]]:
        """
        A Gateway as it is now.

        :param doubted: what was asked of its servers before may be something else now.
        :return: it, if it is there, and the names that it may have won or lost; None for all that there are.
        """
        gateway = self.gateways.get(name)
        if gateway is None:
            return None, None
        servers = self._servers_of(gateway)
        if isinstance(servers, Problem):
            return Cell(gateway, alone=Built(problems=[servers])), None
        if before is not None and before.gateway is gateway and before.servers == servers:
            # The servers of before, too, since the answers are about these objects.
            exchange = Exchange(before)
            yield from exchange.begin()
        else:
            yield
            held: set[Name] = set()
            for names in batches((server.port, each) for server in servers for each in names_of(server)):
                held.update(names)
                if len(names) == BATCH:
                    yield
            before = Cell(gateway, servers, held=held)
            exchange = Exchange(before, fresh=True)
        after = yield from self._asked(before, bindings.of(name), doubted, exchange)
        yield
        built = (yield from exchange.built(after)) if self._builder.separable else None
        if built is None:
            built = yield from self._build([after], {})
        return replace(after, alone=built), exchange.names

    def _asked(
        self, before: Cell, bound: tuple[VirtualService, ...], doubted: bool, exchange: Exchange
    ) -> Generator[None, None, Cell]:
        """A Gateway with what these VirtualServices ask of it, which is noted where it is new."""
        parts: dict[tuple[int, int], Answered[Part]] = {}
        yield from fill(parts.update, before.parts.items())
        gone = yield from _others(before.bound, bound)
        asking = bound if doubted or not before.bound else (yield from _others(bound, before.bound))
        for server in before.servers:
            if asking:
                yield from self._prepare(server)
            asked = chain(((one, False) for one in gone), ((one, True) for one in asking))
            for batch in batches(asked, 16):
                for one, stays in batch:
                    key = (server.index, id(one))
                    old, new = parts.pop(key, None), None
                    if stays:
                        new = parts[key] = yield from self._recall(server, one, old)
                    if new is not old:
                        yield from exchange.note(server, old, new)
                if len(bound) > len(batch):
                    yield
        return exchange.after(bound, parts)

    def _note_ports(self, name: str, before: Cell | None, after: Cell | None) -> None:
        """Note which ports a Gateway has, and what it puts into their listeners, or that it does so no more."""
        for cell, sign in ((before, -1), (after, 1)):
            if cell is None:
                continue
            for port, servers in cell.uses():
                use = self._ports[port] = self._ports.get(port, PortUse()).plus(servers, sign)
                _mark(self._on_port, port, name, sign)
                (self._contested_ports.add if use.contested else self._contested_ports.discard)(port)
                if not use.gateways:
                    del self._ports[port]
            for key, builder in cell.alone.listeners.items():
                # What was there at the last merge, not what came and went in between.
                self._stale_listeners.setdefault(key, {}).setdefault(name, builder if sign < 0 else None)
                builders = self._builders.setdefault(key, {})
                if sign > 0:
                    builders[name] = builder
                else:
                    del builders[name]

    def _note_names(
        self, name: str, before: Cell | None, after: Cell | None, names: Iterable[Name] | None
    ) -> Generator[None, None, None]:
        """
        Note what a Gateway shares with others, or that it does so no more.

        :param names: those it may have won or lost; None for all.
        """
        if names is None:
            names = set()
            for batch in batches(each for cell in (before, after) if cell is not None for each in cell.names()):
                names.update(batch)
                if len(batch) == BATCH:
                    yield
        for batch in batches(names):
            for each in batch:
                had, has = before is not None and before.has(each), after is not None and after.has(each)
                if had is not has:
                    _mark(self._claimants, each, name, has - had)
                    contested = len(self._claimants.get(each, ())) > 1
                    (self._contested_names.add if contested else self._contested_names.discard)(each)
            if len(batch) == BATCH:
                yield

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
            self._torn.update(before.listeners, self._joint.listeners)
        moved = self._together ^ together
        for name in moved:
            if name in self._cells:
                self._torn.update(self._cells[name].alone.listeners)
        # One that has moved may have left a listener at the same time.
        self._torn.update(key for key, stale in self._stale_listeners.items() if not moved.isdisjoint(stale))
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
        for key in {**self._stale_listeners, **dict.fromkeys(self._torn)}:
            yield
            merged = None if key in self._torn else (yield from self._exchanged(key))
            if merged is None:
                merged = yield from self._absorbed(key)
            listener = None
            if merged is not None:
                self._merged[key] = merged
                listener = yield from merged.build()
            else:
                self._merged.pop(key, None)
            if listener is not None:
                listeners[key] = listener
            else:
                listeners.pop(key, None)
        self.listeners = listeners
        yield
        self._stale_listeners, self._torn = {}, set()

    def _exchanged(self, key: ListenerKey) -> Generator[None, None, ListenerBuilder | None]:
        """A listener made of what it was; None where it takes all that there is to know."""
        merged, stale = self._merged.get(key), self._stale_listeners[key]
        alone = self._builders.get(key, {})
        names = [name for name in stale if name not in self._together]
        lost = [each for each in map(stale.get, names) if each is not None]
        won = [alone[name] for name in names if name in alone]
        size = sum(each.size for each in (*lost, *won))
        if merged is None or size > merged.size // 2:
            return None
        return (yield from merged.exchanged(lost, won))

    def _absorbed(self, key: ListenerKey) -> Generator[None, None, ListenerBuilder | None]:
        """A listener made of all that there is; None where there is nothing."""
        alone = self._builders.get(key, {})
        if not alone:
            self._builders.pop(key, None)
        builders = [each for name, each in alone.items() if name not in self._together]
        builders += [self._joint.listeners[key]] if key in self._joint.listeners else []
        if len(builders) < 2:
            # Nobody adds to it any more: whoever builds something else begins with a copy.
            return builders[0] if builders else None
        merged = ListenerBuilder(builders[0].oldest)
        for batch in batches(builders):
            for builder in batch:
                merged.absorb(builder)
            yield
        return merged


def _others(
    these: Sequence[VirtualService], those: Sequence[VirtualService]
) -> Generator[None, None, list[VirtualService]]:
    """Those of some VirtualServices that are not among others, in steps."""
    known: set[int] = set()
    yield from fill(known.update, map(id, those))
    others: list[VirtualService] = []
    for some in batches(these, MANY):
        others += [one for one in some if id(one) not in known]
        yield
    return others


def _mark(marks: dict[Mark, dict[str, None]], mark: Mark, name: str, sign: int) -> None:
    """Note who has something, and forget what nobody has."""
    if sign > 0:
        marks[mark][name] = None
        return
    del marks[mark][name]
    if not marks[mark]:
        del marks[mark]
