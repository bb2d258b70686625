"""
Chains under the extended semantics: what Istio ignores on a gateway counts.

Networks of the destination and the source tell rules of one name, and of one plain port, apart; and the server names of
a rule are cut to the hosts of its server. Everything else is as :mod:`meshgate.routing.chains` has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from meshgate.resources.problem import Problem, Severity
from meshgate.resources.virtualservice import L4MatchAttributes, TLSMatchAttributes
from meshgate.resources.wording import quoted
from meshgate.routing.addresses import EVERYWHERE, network
from meshgate.routing.binding import VirtualService
from meshgate.routing.chains import TERMINATION_REFUSAL, ChainBuilder, fits, numbered_blocks, owner_of, server_names
from meshgate.routing.hosts import covers, names_for_namespace, specificity
from meshgate.routing.listeners import ListenerBuilder
from meshgate.routing.servers import BoundServer
from meshgate.routing.table import ANYWHERE, CATCH_ALL, Addresses, Chain

Match = L4MatchAttributes | TLSMatchAttributes


@dataclass(frozen=True, slots=True)
class _Claim:
    """
    A rule's claim to connections of one name between some addresses.

    :ivar written: the name as the rule has it, before it was cut.
    """

    name: str
    written: str
    addresses: Addresses
    chain: Chain
    virtual_service: VirtualService
    path: str


class ExtendedChainBuilder(ChainBuilder):
    """Builds listeners whose chains are told apart by addresses, too."""

    ignored_fields = ("source_labels", "source_namespace")

    def _plain(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """Every fitting rule has its part; of two for the same addresses the first counts."""
        names = server_names(server) if server.is_tls else ()
        found = False
        for virtual_service in self._bindings.meeting(server):
            for index, rule in enumerate(virtual_service.spec.tcp):
                path = f"spec.tcp[{index}]"
                told_apart = [each for each in numbered_blocks(path, rule) if fits(each[1], server, virtual_service)]
                if rule.match and not told_apart:
                    continue
                found = True
                self._note_ignored(virtual_service, path, told_apart)
                chain = self._chain(server, virtual_service, path, rule, names)
                for addresses in self._addresses(virtual_service, told_apart or [(path, L4MatchAttributes())]):
                    told = replace(chain, condition=_in_words(addresses))
                    for name in names or (CATCH_ALL,):
                        self._claim(listener, server, _Claim(name, name, addresses, told, virtual_service, path))
        if not found:
            self.problems.append(self._no_chain(server, "tcp"))
        elif server.is_tls:
            self.problems.append(server.problem(Severity.ERROR, "MG2032", TERMINATION_REFUSAL))

    def _passthrough(self, server: BoundServer, listener: ListenerBuilder) -> None:
        """Rules with the more specific names come first: a wide one that is cut to a host takes none from others."""
        claims: list[_Claim] = []
        found = False
        for virtual_service, rule, match, path, route_path in self._blocks(server):
            found = True
            cut = self._cut(server, virtual_service, path, match.sni_hosts)
            names = tuple(dict.fromkeys(name for name, _ in cut))
            if not names:
                continue
            chain = self._chain(server, virtual_service, path, rule, names, route_path)
            for addresses in self._addresses(virtual_service, [(path, match)]):
                told = replace(chain, condition=_in_words(addresses))
                claims += [_Claim(name, written, addresses, told, virtual_service, path) for name, written in cut]
        for claim in sorted(claims, key=lambda claim: specificity(claim.written)[:2]):
            self._claim(listener, server, claim)
        if not found:
            self.problems.append(self._no_chain(server, "tls"))

    def _claim(self, listener: ListenerBuilder, server: BoundServer, claim: _Claim) -> None:
        """Give the claim what it asks for, unless another has it; to lose to a more specific name is no conflict."""
        owner = owner_of(server, claim.virtual_service, claim.path)
        rival = listener.take(claim.name, claim.addresses, claim.chain, owner, claim.written, sniffs=server.is_tls)
        if rival is None or rival.text == owner.text:
            return
        if rival.server is owner.server and rival.written != claim.written:
            return
        what = f" of {claim.name}" if claim.name != CATCH_ALL else ""
        where = f" {claim.chain.condition}" if claim.chain.condition else ""
        self.problems.append(
            claim.virtual_service.problem(
                Severity.ERROR if server.is_passthrough else Severity.WARNING,
                "MG2005" if server.is_passthrough else "MG2009",
                f"the rule gets nothing{what}{where} on {server.key}: that goes to {rival}",
                path=claim.path,
                hint="tell the two apart by sniHosts, destinationSubnets or sourceSubnet",
                listener=str(server.key),
            )
        )

    def _addresses(self, virtual_service: VirtualService, blocks: Sequence[tuple[str, Match]]) -> Iterator[Addresses]:
        """
        Where the blocks say that connections go to and come from; a network that cannot be read drops its block.

        :param blocks: each with its path.
        """
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
                self.problems.append(_unreadable(virtual_service, where, unreadable))
                continue
            for destination in destinations.values() or [EVERYWHERE]:
                for source in sources.values() or [EVERYWHERE]:
                    if destination is not None and source is not None:
                        yield Addresses(destination, source)

    def _cut(
        self, server: BoundServer, virtual_service: VirtualService, path: str, names: Iterable[str]
    ) -> list[tuple[str, str]]:
        """The names within the server's hosts, each with the one it was cut from."""
        hosts = [host.lower() for host in names_for_namespace(server.hosts, virtual_service.namespace)]
        kept: list[tuple[str, str]] = []
        for place, written in _first_places(map(str.lower, names)):
            if written.startswith("*") and written[1:2] not in ("", "."):
                self.problems.append(
                    virtual_service.problem(
                        Severity.ERROR,
                        "MG2004",
                        f"the server name {written} is dropped: a wildcard stands for whole labels",
                        path=f"{path}.sniHosts[{place}]",
                        hint="Envoy would refuse the whole listener",
                        listener=str(server.key),
                    )
                )
                continue
            if any(covers(host, written) for host in hosts):
                kept.append((written, written))
                continue
            within = [host for host in hosts if covers(written, host)]
            kept += [(host, written) for host in within]
            left = ", ".join(within) or "nothing, since it has none of these names"
            self.problems.append(
                virtual_service.problem(
                    Severity.INFO if within else Severity.WARNING,
                    "MG2067",
                    f"{written} is cut to the hosts of the {server}: {left}",
                    path=f"{path}.sniHosts[{place}]",
                    hint="Istio would route all of it",
                    listener=str(server.key),
                )
            )
        return kept


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
