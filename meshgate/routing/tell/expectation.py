"""
Expectations of users, compared with what the table does with a connection. Pure.

Users shorten names: a Service by as much of its full name as they like, a VirtualService or Gateway without its
namespace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from meshgate.routing.balance import shares
from meshgate.routing.table import Chain, Destination
from meshgate.routing.tell.explain import Call, Explanation, Result


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
