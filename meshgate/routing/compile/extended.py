"""
Claims and chains under the extended semantics: what Istio ignores on a gateway counts.

The networks of the destination and the source tell rules of one name, and of one plain port, apart. The server names of
a rule are cut to the hosts of its server. Everything else is as in :mod:`meshgate.routing.compile.claims` and
:mod:`meshgate.routing.compile.chains`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from meshgate.resources.kinds.virtualservice import L4MatchAttributes, VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import listing, quoted, verb
from meshgate.routing.addresses import EVERYWHERE, network
from meshgate.routing.compile.chains import ChainBuilder, loss_of
from meshgate.routing.compile.claims import (
    TERMINATION_REFUSAL,
    Claim,
    ClaimReader,
    NewResolver,
    NumberedBlock,
    fits,
    numbered_blocks,
)
from meshgate.routing.compile.listeners import ListenerBuilder
from meshgate.routing.compile.servers import BoundServer
from meshgate.routing.hosts import HostIndex, covers, is_wildcard, names_for_namespace, specificity
from meshgate.routing.table import ANYWHERE, CATCH_ALL, Addresses, Chain

_CutName = tuple[str, Problem]


@dataclass(frozen=True, slots=True)
class LimitedChain:
    """
    A chain for one name between some addresses.

    :ivar sni_host: the name as the rule has it, before it was cut to the server's hosts.
    """

    name: str
    sni_host: str
    addresses: Addresses
    chain: Chain


@dataclass(frozen=True, slots=True)
class ExtendedClaim(Claim):
    """
    A claim to connections between some addresses.

    :ivar limited: one chain for each name and pair of networks.
    :ivar faults: problems of names and match blocks that are dropped.
    :ivar cut: the names that are cut to the hosts of the server, each with the problem to report if no other server
        has them.
    """

    limited: tuple[LimitedChain, ...] = ()
    faults: tuple[Problem, ...] = ()
    cut: tuple[_CutName, ...] = ()


class ExtendedClaimReader(ClaimReader):
    """Reads claims with their conditions on addresses."""

    ignored_fields = ("source_labels", "source_namespace")

    def __init__(self, domain_suffix: str) -> None:
        super().__init__(domain_suffix)
        # Of the server and the namespace that were read last.
        self._lower: _LowerHosts | None = None

    def _tcp_claims(
        self, server: BoundServer, virtual_service: VirtualService, new_resolver: NewResolver
    ) -> Iterator[Claim]:
        """One claim for each tcp rule that fits, with the addresses of its match blocks."""
        names = self._server_names(server) if virtual_service.spec.tcp else ()
        for index, rule in enumerate(virtual_service.spec.tcp):
            path = f"spec.tcp[{index}]"
            blocks = [each for each in numbered_blocks(path, rule) if fits(each[1], server, virtual_service)]
            if rule.match and not blocks:
                continue
            claim = self._claim(server, virtual_service, path, rule, names, blocks, new_resolver())
            faults: list[Problem] = []
            addresses = self._addresses(virtual_service, blocks or [(path, L4MatchAttributes())], faults)
            yield _extended(claim, [(name, name) for name in names or (CATCH_ALL,)], addresses, faults)

    def _tls_claims(
        self, server: BoundServer, virtual_service: VirtualService, new_resolver: NewResolver
    ) -> Iterator[Claim]:
        """One claim for each match block that fits, with its names cut to the server's hosts."""
        for index, rule in enumerate(virtual_service.spec.tls):
            for number, match in enumerate(rule.match):
                if not fits(match, server, virtual_service):
                    continue
                path = f"spec.tls[{index}].match[{number}]"
                faults: list[Problem] = []
                cut: list[_CutName] = []
                kept = self._cut(server, virtual_service, path, match.sni_hosts, faults, cut)
                names, blocks = tuple(dict(kept)), [(path, match)]
                claim = self._claim(server, virtual_service, path, rule, names, blocks, new_resolver())
                addresses = self._addresses(virtual_service, blocks, faults)
                if not names:
                    claim, addresses = replace(claim, problems=(), used=frozenset()), iter(())
                yield replace(_extended(claim, kept, addresses, faults), cut=tuple(cut))

    def _wider(self, server: BoundServer, names: Sequence[str]) -> tuple[str, ...]:
        """None, since wider names are cut."""
        return ()

    def _addresses(
        self, virtual_service: VirtualService, blocks: Sequence[NumberedBlock], faults: list[Problem]
    ) -> Iterator[Addresses]:
        """The pairs of networks that match blocks name. A network that cannot be read drops its block."""
        for path, match in blocks:
            subnet = match.source_subnet if isinstance(match, L4MatchAttributes) else ""
            destinations = {text: network(text) for text in match.destination_subnets}
            sources = {subnet: network(subnet)} if subnet else {}
            unreadable = {
                text: field
                for networks, field in ((sources, "sourceSubnet"), (destinations, "destinationSubnets"))
                for text, read in networks.items()
                if read is None
            }
            if unreadable:
                field_path = f"{path}.{next(iter(unreadable.values()))}"
                faults.append(_unreadable(virtual_service, field_path, unreadable))
                continue
            for destination in destinations.values() or [EVERYWHERE]:
                for source in sources.values() or [EVERYWHERE]:
                    if destination is not None and source is not None:
                        yield Addresses(destination, source)

    def _cut(
        self,
        server: BoundServer,
        virtual_service: VirtualService,
        path: str,
        names: Iterable[str],
        faults: list[Problem],
        cut: list[_CutName],
    ) -> list[tuple[str, str]]:
        """The names within the server's hosts, each with the sniHosts entry that it was cut from."""
        hosts = self._lower_hosts(server, virtual_service.namespace)
        kept: list[tuple[str, str]] = []
        for index, sni_host in _first_indexes(map(str.lower, names)):
            name_path = f"{path}.sniHosts[{index}]"
            if sni_host.startswith("*") and sni_host[1:2] not in ("", "."):
                faults.append(_partial_wildcard(server, virtual_service, name_path, sni_host))
            elif hosts.index.covers(sni_host):
                kept.append((sni_host, sni_host))
            else:
                within = [host for host in hosts.names if covers(sni_host, host)] if is_wildcard(sni_host) else []
                kept += [(host, sni_host) for host in within]
                cut.append((sni_host, _cut_problem(server, virtual_service, name_path, sni_host, within)))
        return kept

    def _lower_hosts(self, server: BoundServer, namespace: str) -> _LowerHosts:
        last = self._lower
        if last is None or last.server is not server or last.namespace != namespace:
            names = [name.lower() for name in names_for_namespace(server.hosts, namespace)]
            last = self._lower = _LowerHosts(server, namespace, names, HostIndex(names))
        return last


@dataclass(frozen=True, slots=True)
class _LowerHosts:
    """The hosts that a server has for one namespace, in lower case, without the namespace."""

    server: BoundServer
    namespace: str
    names: Sequence[str]
    index: HostIndex


class ExtendedChainBuilder(ChainBuilder):
    """Builds listeners whose chains are told apart by addresses, too."""

    def _add_plain(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """Add a TCP server, or one that terminates TLS: of two claims to the same addresses the first wins."""
        claims = list(self._claims(server))
        for claim in claims:
            for limited in self._limited_chains(server, claim):
                self._admit_limited(listener, server, claim, limited)
        if not claims:
            self._note_unrouted(server)
        elif server.is_tls:
            self.problems.append(server.not_served("MG2032", TERMINATION_REFUSAL))

    def _add_passthrough(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """
        Add a passthrough server. Chains with the more specific sniHosts come first, so that a wildcard which is cut to
        a host takes that host from no other rule.
        """
        ranked: dict[tuple[bool, int], list[tuple[Claim, LimitedChain]]] = defaultdict(list)
        claims = list(self._claims(server))
        for claim in claims:
            for limited in self._limited_chains(server, claim):
                ranked[specificity(limited.sni_host)[:2]].append((claim, limited))
        for claim, limited in (pair for rank in sorted(ranked) for pair in ranked[rank]):
            self._admit_limited(listener, server, claim, limited)
        if not claims:
            self._note_unrouted(server)

    def _limited_chains(self, server: BoundServer, claim: Claim) -> tuple[LimitedChain, ...]:
        """The chains of a claim, after its own problems are noted."""
        self._note_ignored(claim)
        self.problems += claim.problems
        self.used.update(claim.used)
        if not isinstance(claim, ExtendedClaim):
            raise TypeError("the claim was not read by an ExtendedClaimReader")
        self.problems += claim.faults
        self.problems += [each for name, each in claim.cut if not self._is_for_neighbor(server, claim, name)]
        return claim.limited

    def _admit_limited(
        self, listener: ListenerBuilder, server: BoundServer, claim: Claim, limited: LimitedChain
    ) -> None:
        """Add a chain to the listener, unless its name and addresses are taken."""
        owner = replace(claim.owner, sni_host=limited.sni_host)
        rival = listener.add_by_address(limited.name, limited.addresses, limited.chain, owner, sniffs=server.is_tls)
        if rival is None or rival.is_same_rule(owner):
            return
        if rival.server is owner.server and rival.sni_host != owner.sni_host:
            return  # A wildcard that was cut has lost to a more specific name, as it would on the wire.
        name = f" of {limited.name}" if limited.name != CATCH_ALL else ""
        condition = f" {limited.chain.condition}" if limited.chain.condition else ""

        def problem(reason: str) -> Problem:
            return claim.virtual_service.problem(
                Severity.ERROR if server.is_passthrough else Severity.WARNING,
                "MG2005" if server.is_passthrough else "MG2009",
                f"the rule gets nothing{name}{condition} on {server.address}: that goes to {rival}, {reason}",
                path=claim.path,
                hint="tell the two apart by sniHosts, destinationSubnets or sourceSubnet",
                listener=str(server.address),
            )

        self.losses.append(loss_of(claim, server, rival, problem))


def _extended(
    claim: Claim, names: Sequence[tuple[str, str]], addresses: Iterable[Addresses], faults: list[Problem]
) -> ExtendedClaim:
    """
    A claim with a chain for each name and pair of networks.

    :param names: each with the sniHosts entry that it was cut from.
    :param faults: read after the addresses, whose iterator adds to them.
    """
    limited: list[LimitedChain] = []
    for each in addresses:
        chain = replace(claim.chain, condition=_in_words(each))
        limited += [LimitedChain(name, sni_host, each, chain) for name, sni_host in names]
    fields = {field: getattr(claim, field) for field in Claim.__dataclass_fields__}
    return ExtendedClaim(**fields, limited=tuple(limited), faults=tuple(faults))


def _first_indexes(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Each name once, with the index of its first occurrence."""
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        seen.setdefault(name, index)
    return ((index, name) for name, index in seen.items())


def _partial_wildcard(server: BoundServer, virtual_service: VirtualService, path: str, sni_host: str) -> Problem:
    return virtual_service.problem(
        Severity.ERROR,
        "MG2004",
        f"the server name {sni_host} is dropped: a wildcard stands for whole labels",
        path=path,
        hint="Envoy would refuse the whole listener",
        listener=str(server.address),
    )


def _cut_problem(
    server: BoundServer, virtual_service: VirtualService, path: str, sni_host: str, within: Sequence[str]
) -> Problem:
    left = ", ".join(within) or "nothing, since it has none of these names"
    return virtual_service.problem(
        Severity.INFO if within else Severity.WARNING,
        "MG2067",
        f"{sni_host} is cut to the hosts of the {server}: {left}",
        path=path,
        hint="Istio would route all of it",
        listener=str(server.address),
    )


def _unreadable(virtual_service: VirtualService, path: str, texts: Iterable[str]) -> Problem:
    found = list(map(quoted, texts))
    return virtual_service.problem(
        Severity.ERROR,
        "MG2066",
        f"the match block is dropped: {listing(found)} {verb(found, 'is not a network', 'are no networks')}",
        path=path,
        hint="write a network as 10.1.0.0/16",
    )


def _in_words(addresses: Addresses) -> str:
    if addresses == ANYWHERE:
        return ""
    networks = (("to", addresses.destination), ("from", addresses.source))
    return ", ".join(f"{word} {each}" for word, each in networks if each != EVERYWHERE)
