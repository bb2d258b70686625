"""
What some servers come to together; and the same after a few rules have changed, without building the others once more.

Most rules ask for names that no other rule asks for, and can be taken out and put in without regard to the rest.
Whether that is so is for the caller to know, who has all rules; here it is only done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field

from meshgate.resources.problem import Problem
from meshgate.resources.record import ResourceKey
from meshgate.resources.steps import batches
from meshgate.routing.claims import Claim
from meshgate.routing.listeners import ListenerBuilder
from meshgate.routing.servers import BoundServer
from meshgate.routing.table import ListenerKey

Claims = Sequence[tuple[BoundServer, Claim]]
"""Claims, each with the server that it is for."""


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """
    What some servers come to together.

    :ivar dropped: the servers that lost, by their Gateway and index.
    :ivar used: what the destinations of the chains rest on, and how many of them.
    """

    listeners: Mapping[ListenerKey, ListenerBuilder] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    dropped: Collection[tuple[ResourceKey, int]] = ()
    used: Counter[ResourceKey] = field(default_factory=Counter)

    def exchanged(self, lost: Claims, won: Claims) -> Generator[None, None, Built | None]:
        """
        The same with other claims in place of some, in steps.

        :param lost: claims to names that no other claim is for.
        :param won: likewise.
        :return: None where it takes all other claims to know.
        """
        touched: dict[ListenerKey, ListenerBuilder] = {}
        for listener in {server.key for server, _ in (*lost, *won)}:
            touched[listener] = yield from self.listeners[listener].copied()
        used = self.used.copy()
        for batch in batches(lost, 16):
            for server, claim in batch:
                if not touched[server.key].release(claim.chain, claim.owner):
                    return None
                used.subtract(claim.used)
            yield
        for batch in batches(won, 16):
            for server, claim in batch:
                if touched[server.key].refuse(claim.chain.names) is not None:
                    return None
                if len(claim.chain.names) > 512:
                    yield
                touched[server.key].add(claim.chain, claim.owner, sniffs=server.is_tls)
                used.update(claim.used)
            yield
        if any(builder.size == 0 for builder in touched.values()):
            return None
        for key in {key for _, claim in lost for key in claim.used}:
            if not used[key]:
                del used[key]
        problems = yield from self._problems(lost, won)
        return Built({**self.listeners, **touched}, problems, self.dropped, used)

    def _problems(self, lost: Claims, won: Claims) -> Generator[None, None, list[Problem]]:
        """What is said, without what is said of some claims, and with what is said of others."""
        gone: set[int] = set()
        for batch in batches(lost):
            gone.update(id(problem) for _, claim in batch for problem in claim.said())
            yield
        said = [each for each in self.problems if id(each) not in gone] if gone else list(self.problems)
        for batch in batches(won):
            said += [problem for _, claim in batch for problem in claim.said()]
            yield
        return said
