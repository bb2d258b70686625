"""
Chains under the extended semantics: what Istio ignores on a gateway counts.

Networks of the destination and the source tell rules of one name, and of one plain port, apart; and the server names of
a rule are cut to the hosts of its server. Everything else is as :mod:`meshgate.routing.compile.chains` has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from meshgate.resources.kinds.virtualservice import L4MatchAttributes, TLSMatchAttributes, VirtualService
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import quoted
from meshgate.routing.addresses import EVERYWHERE, network
from meshgate.routing.compile.chains import ChainBuilder
from meshgate.routing.compile.claims import (
    TERMINATION_REFUSAL,
    Claim,
    ClaimReader,
    Makers,
    NumberedBlock,
    fits,
    numbered_blocks,
)
from meshgate.routing.compile.listeners import ListenerBuilder
from meshgate.routing.compile.servers import BoundServer
from meshgate.routing.hosts import HostIndex, covers, is_wildcard, names_for_namespace, specificity
from meshgate.routing.table import ANYWHERE, CATCH_ALL, Addresses, Chain

Match = L4MatchAttributes | TLSMatchAttributes


@dataclass(frozen=True, slots=True)
class Share:
    """
    What a claim asks for of one name between some addresses.

    :ivar written: the name as the rule has it, before it was cut.
    """

    name: str
    written: str
    addresses: Addresses
    chain: Chain


@dataclass(frozen=True, slots=True)
class ExtendedClaim(Claim):
    """
    A claim to connections between some addresses.

    :ivar shares: one for each name and pair of networks.
    :ivar faults: says what of the rule cannot be taken as it is written.
    """

    shares: tuple[Share, ...] = ()
    faults: tuple[Problem, ...] = ()


class ExtendedClaimReader(ClaimReader):
    """Reads rules with all conditions on addresses."""

    ignored_fields = ("source_labels", "source_namespace")

    def __init__(self) -> None:
        super().__init__()
        self._lower: _LowerHosts | None = None

    def _tcp_rules(self, server: BoundServer, virtual_service: VirtualService, makers: Makers) -> Iterator[Claim]:
        """Every fitting rule has its part."""
        names = self._server_names(server) if virtual_service.spec.tcp else ()
        for index, rule in enumerate(virtual_service.spec.tcp):
            path = f"spec.tcp[{index}]"
            blocks = [each for each in numbered_blocks(path, rule) if fits(each[1], server, virtual_service)]
            if rule.match and not blocks:
                continue
            claim = self._claim(server, virtual_service, path, rule, names, blocks, makers())
            faults: list[Problem] = []
            addresses = self._addresses(virtual_service, blocks or [(path, L4MatchAttributes())], faults)
            yield _extended(claim, [(name, name) for name in names or (CATCH_ALL,)], addresses, faults)

    def _blocks(self, server: BoundServer, virtual_service: VirtualService, makers: Makers) -> Iterator[Claim]:
        """The names of a block are cut to the server's hosts."""
        for index, rule in enumerate(virtual_service.spec.tls):
            for number, match in enumerate(rule.match):
                if not fits(match, server, virtual_service):
                    continue
                path = f"spec.tls[{index}].match[{number}]"
                faults: list[Problem] = []
                cut = self._cut(server, virtual_service, path, match.sni_hosts, faults)
                names, blocks = tuple(dict(cut)), [(path, match)]
                claim = self._claim(server, virtual_service, path, rule, names, blocks, makers())
                addresses = self._addresses(virtual_service, blocks, faults)
                if not names:
                    claim, addresses = replace(claim, problems=(), used=frozenset()), iter(())
                yield _extended(claim, cut, addresses, faults)

    def _wider(self, server: BoundServer, virtual_service: VirtualService, path: str, names: Sequence[str]) -> None:
        """Nothing: what is wider is cut."""

    def _addresses(
        self, virtual_service: VirtualService, blocks: Sequence[NumberedBlock], faults: list[Problem]
    ) -> Iterator[Addresses]:
        """Where the blocks say that connections go to and come from; a network that cannot be read drops its block."""
        for path, match in blocks:
            subnet = match.source_subnet if isinstance(match, L4MatchAttributes) else ""
            destinations = {text: network(text) for text in match.destination_subnets}
            sources = {subnet: network(subnet)} if subnet else {}
            unreadable = {
                text: field
                for known, field in ((sources, "sourceSubnet"), (destinations, "destinationSubnets"))
                for text, read in known.items()
                if read is None
            }
            if unreadable:
                where = f"{path}.{next(iter(unreadable.values()))}"
                faults.append(_unreadable(virtual_service, where, unreadable))
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
    ) -> list[tuple[str, str]]:
        """The names within the server's hosts, each with the one it was cut from."""
        hosts = self._lower_hosts(server, virtual_service.namespace)
        kept: list[tuple[str, str]] = []
        for place, written in _first_places(map(str.lower, names)):
            if written.startswith("*") and written[1:2] not in ("", "."):
                faults.append(
                    virtual_service.problem(
                        Severity.ERROR,
                        "MG2004",
                        f"the server name {written} is dropped: a wildcard stands for whole labels",
                        path=f"{path}.sniHosts[{place}]",
                        hint="Envoy would refuse the whole listener",
                        listener=str(server.address),
                    )
                )
                continue
            if hosts.index.covers(written):
                kept.append((written, written))
                continue
            within = [host for host in hosts.names if covers(written, host)] if is_wildcard(written) else []
            kept += [(host, written) for host in within]
            left = ", ".join(within) or "nothing, since it has none of these names"
            faults.append(
                virtual_service.problem(
                    Severity.INFO if within else Severity.WARNING,
                    "MG2067",
                    f"{written} is cut to the hosts of the {server}: {left}",
                    path=f"{path}.sniHosts[{place}]",
                    hint="Istio would route all of it",
                    listener=str(server.address),
                )
            )
        return kept

    def _lower_hosts(self, server: BoundServer, namespace: str) -> _LowerHosts:
        """Of the server and the namespace that were asked for last, too."""
        known = self._lower
        if known is None or known.server is not server or known.namespace != namespace:
            names = [name.lower() for name in names_for_namespace(server.hosts, namespace)]
            index = HostIndex(names)
            known = self._lower = _LowerHosts(server, namespace, names, index)
        return known


@dataclass(frozen=True, slots=True)
class _LowerHosts:
    """The hosts that a server has for a namespace, in lower case, and without one."""

    server: BoundServer
    namespace: str
    names: Sequence[str]
    index: HostIndex


class ExtendedChainBuilder(ChainBuilder):
    """Builds listeners whose chains are told apart by addresses, too."""

    def _plain(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """Of two rules for the same addresses the first counts."""
        found = False
        for claim in self._claims(server):
            found = True
            for share in self._noted(claim):
                self._give(listener, server, claim, share)
        if not found:
            self.problems.append(self._no_chain(server, "tcp"))
        elif server.is_tls:
            self.problems.append(server.problem(Severity.ERROR, "MG2032", TERMINATION_REFUSAL))

    def _passthrough(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """Rules with the more specific names come first: one that is cut to a host takes none from others."""
        wanted: dict[tuple[bool, int], list[tuple[Claim, Share]]] = defaultdict(list)
        found = False
        for claim in self._claims(server):
            found = True
            for share in self._noted(claim):
                wanted[specificity(share.written)[:2]].append((claim, share))
        for claim, share in (pair for rank in sorted(wanted) for pair in wanted[rank]):
            self._give(listener, server, claim, share)
        if not found:
            self.problems.append(self._no_chain(server, "tls"))

    def _noted(self, claim: Claim) -> tuple[Share, ...]:
        """The shares of a claim of which everything else has been said."""
        self._note_ignored(claim)
        self.problems += claim.problems
        self.used.update(claim.used)
        if not isinstance(claim, ExtendedClaim):
            raise TypeError("made by other rules")
        self.problems += claim.faults
        return claim.shares

    def _give(self, listener: ListenerBuilder, server: BoundServer, claim: Claim, share: Share) -> None:
        """Give a share to a claim, unless another has it; to lose to a more specific name is no conflict."""
        owner = claim.owner
        rival = listener.take(share.name, share.addresses, share.chain, owner, share.written, sniffs=server.is_tls)
        if rival is None or rival.text == owner.text:
            return
        if rival.server is owner.server and rival.written != share.written:
            return
        what = f" of {share.name}" if share.name != CATCH_ALL else ""
        where = f" {share.chain.condition}" if share.chain.condition else ""
        self.problems.append(
            claim.virtual_service.problem(
                Severity.ERROR if server.is_passthrough else Severity.WARNING,
                "MG2005" if server.is_passthrough else "MG2009",
                f"the rule gets nothing{what}{where} on {server.address}: that goes to {rival}",
                path=claim.path,
                hint="tell the two apart by sniHosts, destinationSubnets or sourceSubnet",
                listener=str(server.address),
            )
        )


def _extended(
    claim: Claim, names: Sequence[tuple[str, str]], addresses: Iterable[Addresses], faults: list[Problem]
) -> ExtendedClaim:
    """
    A claim with its shares.

    :param names: each with the name that it was cut from.
    :param faults: complete when the addresses are.
    """
    shares: list[Share] = []
    for where in addresses:
        chain = replace(claim.chain, condition=_in_words(where))
        shares += [Share(name, written, where, chain) for name, written in names]
    fields = {field: getattr(claim, field) for field in Claim.__dataclass_fields__}
    return ExtendedClaim(**fields, shares=tuple(shares), faults=tuple(faults))


def _first_places(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Each name once, with the place where it stands first."""
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        seen.setdefault(name, place)
    return ((place, name) for name, place in seen.items())


def _unreadable(virtual_service: VirtualService, path: str, texts: Iterable[str]) -> Problem:
    return virtual_service.problem(
        Severity.ERROR,
        "MG2066",
        f"the match block is dropped: {', '.join(map(quoted, texts))} is not a network",
        path=path,
        hint="write a network as 10.1.0.0/16",
    )


def _in_words(addresses: Addresses) -> str:
    if addresses == ANYWHERE:
        return ""
    parts = (("to", addresses.destination), ("from", addresses.source))
    return ", ".join(f"{word} {each}" for word, each in parts if each != EVERYWHERE)
