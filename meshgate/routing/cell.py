"""
One Gateway by itself: its servers, what VirtualServices ask of them, and what all that comes to.

Of thousands of VirtualServices of one Gateway mostly one changes, and has no name in common with any other; that is
found out here. Knows nothing of other Gateways.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from meshgate.resources.gateway import GatewaySpec
from meshgate.resources.record import Resource
from meshgate.resources.steps import BATCH, batches, discard, fill
from meshgate.routing.binding import VirtualService
from meshgate.routing.built import Built, Claims
from meshgate.routing.chains import takes_blocks, takes_no_rules
from meshgate.routing.claims import Claim, Part
from meshgate.routing.memo import Answered
from meshgate.routing.servers import BoundServer

Gateway = Resource[GatewaySpec]
Name = tuple[int, str]
"""A server name or a host, on a port."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """
    One Gateway.

    :ivar bound: the VirtualServices that name it, in their order.
    :ivar parts: what each of these asks of each server, by the server's index and the VirtualService's identity.
    :ivar held: what its servers can take from others, or lose to them, whatever the VirtualServices.
    :ivar claimed: the same of its VirtualServices, and how many times it is asked for.
    :ivar alone: what it comes to by itself.
    """

    gateway: Gateway
    servers: tuple[BoundServer, ...] = ()
    bound: tuple[VirtualService, ...] = ()
    parts: dict[tuple[int, int], Answered[Part]] = field(default_factory=dict)
    held: Collection[Name] = frozenset()
    claimed: Mapping[Name, int] = field(default_factory=dict)
    alone: Built = field(default_factory=Built)

    def names(self) -> Iterator[Name]:
        """All that can be taken from others, or lost to them; some of it twice."""
        yield from self.held
        yield from self.claimed

    def has(self, name: Name) -> bool:
        """Whether it is among these."""
        return name in self.held or name in self.claimed

    def uses(self) -> Iterator[tuple[int, list[BoundServer]]]:
        """Its ports, each with its servers."""
        by_port: dict[int, list[BoundServer]] = defaultdict(list)
        for server in self.servers:
            by_port[server.port].append(server)
        yield from by_port.items()

    def is_asked(self, server: BoundServer) -> bool:
        """Whether any VirtualService has a rule for a server."""
        return any(self.parts[server.index, id(one)].result.claims for one in self.bound)

    def are_undisputed(self, claims: Claims) -> Generator[None, None, bool]:
        """Whether nothing else on their ports asks for a name of these claims, each to one of its servers. In steps."""
        ports = {server.port for server, _ in claims}
        if not all(takes_blocks(each) for each in self.servers if each.port in ports):
            return False
        for names in batches((server.port, name) for server, claim in claims for name in claim.names()):
            if any(self.claimed.get(name) != 1 for name in names):
                return False
            yield
        return True


class Exchange:
    """
    What is asked of a Gateway's servers, before and after a change of some VirtualServices.

    :param before: the Gateway as it was.
    :param fresh: it is built as a whole anyway, and what changes need not be kept.
    :ivar names: those that have been noted; None where it is all.
    """

    def __init__(self, before: Cell, *, fresh: bool = False) -> None:
        self._before = before
        self._claimed: dict[Name, int] = {}
        self._servers: dict[int, BoundServer] = {}
        self._lost: list[tuple[BoundServer, Claim]] = []
        self._won: list[tuple[BoundServer, Claim]] = []
        self.names: set[Name] | None = None if fresh else set()

    def begin(self) -> Iterator[None]:
        """To be run through before anything is noted: what is claimed is counted from what it was."""
        yield from fill(self._claimed.update, self._before.claimed.items())

    def note(
        self, server: BoundServer, old: Answered[Part] | None, new: Answered[Part] | None
    ) -> Generator[None, None, None]:
        """What one VirtualService asked of a server, and what it asks now; None for nothing. In steps."""
        self._servers[server.index] = server
        for part, changed, sign in ((old, self._lost, -1), (new, self._won, 1)):
            claims = part.result.claims if part is not None else ()
            if self.names is not None:
                for some in batches(claims, 1024):
                    changed += [(server, claim) for claim in some]
                    yield
            for names in batches(name for claim in claims for name in claim.names()):
                for name in names:
                    self._count((server.port, name), sign)
                if len(names) == BATCH:
                    yield

    def after(self, bound: tuple[VirtualService, ...], parts: dict[tuple[int, int], Answered[Part]]) -> Cell:
        """The Gateway as it is now, but for what it comes to."""
        return replace(self._before, bound=bound, parts=parts, claimed=self._claimed)

    def built(self, after: Cell) -> Generator[None, None, Built | None]:
        """
        What the Gateway comes to, made of what it came to before, in steps.

        :return: None where it takes all that is asked to know.
        """
        before = self._before
        # A server that lost to another one got no chains, whatever was asked of it.
        if self.names is None or before.alone.dropped:
            return None
        taking = {index: server for index, server in self._servers.items() if not takes_no_rules(server)}
        for server in taking.values():
            # What is said of a server without any rule tells of all VirtualServices.
            if not (before.is_asked(server) and after.is_asked(server)):
                return None
        lost = [each for each in self._lost if each[0].index in taking]
        won = [each for each in self._won if each[0].index in taking]
        for cell, claims in ((before, lost), (after, won)):
            if not (yield from cell.are_undisputed(claims)):
                return None
        return (yield from before.alone.exchanged(lost, won))

    def _count(self, name: Name, sign: int) -> None:
        if self.names is not None:
            self.names.add(name)
        count = self._claimed.pop(name, 0) + sign
        if count:
            self._claimed[name] = count


def forget(parts: dict[tuple[int, int], Answered[Part]]) -> Iterator[None]:
    """Let go of what was asked, in steps: there may be thousands of VirtualServices, and of rules in one of them."""
    held: list[Any] = []
    while parts:
        for _ in range(min(len(parts), 128)):
            answer = parts.popitem()[1]
            held += chain(answer.result.claims, *answer.noted)
        del answer
        yield
        yield from discard(held)
