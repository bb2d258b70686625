"""
The builder of one listener: it collects chains in Istio's order, without those that Envoy would refuse.

Envoy refuses a whole listener for one bad or doubled name (filter_chain_manager_impl.cc). Here only the later chain is
dropped, and the problem names the earlier one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from meshgate.resources.kinds.virtualservice import VirtualService
from meshgate.routing.compile.servers import BoundServer
from meshgate.routing.table import ANYWHERE, CATCH_ALL, Addresses, ByAddress, Chain, Listener, ListenerKey


@dataclass(frozen=True, slots=True)
class Owner:
    """
    The source of a chain, for messages.

    :ivar text: a rule, or a server without rules, with its location.
    :ivar sni_host: the server name as the rule has it, if it was cut to the server's hosts; else empty.
    """

    server: BoundServer
    text: str
    sni_host: str = ""

    @classmethod
    def of(cls, server: BoundServer, virtual_service: VirtualService, path: str) -> Owner:
        """
        The owner of a rule's chain.

        :param path: of the rule, or of one of its match blocks.
        """
        return cls(server, f"VirtualService {virtual_service.qualified_name} ({virtual_service.location(path)}) {path}")

    def __str__(self) -> str:
        return self.text


class ListenerBuilder:
    """
    Collects the chains of one listener.

    :param oldest: a server of the listener.
    :ivar oldest: the oldest server added so far; its bind decides about IPv6.
    """

    def __init__(self, oldest: BoundServer) -> None:
        self.key: ListenerKey = oldest.key
        self.oldest = oldest
        self._exact: dict[str, Chain] = {}
        self._suffixes: dict[str, Chain] = {}
        self._catch_all: Chain | None = None
        self._owners: dict[str, Owner] = {}
        self._by_address: dict[str, dict[Addresses, tuple[Chain, Owner]]] = defaultdict(dict)
        self._sniffs = False
        self._serves = False

    def add_server(self, server: BoundServer) -> None:
        """Add a server of the listener."""
        if server is not self.oldest and server.age < self.oldest.age:
            self.oldest = server

    def merge(self, other: ListenerBuilder) -> None:
        """Add all of another builder of the same listener. The two have no name in common."""
        self.add_server(other.oldest)
        self._exact.update(other._exact)
        self._suffixes.update(other._suffixes)
        self._catch_all = self._catch_all or other._catch_all
        self._by_address.update(other._by_address)
        self._sniffs |= other._sniffs
        self._serves |= other._serves

    def refuse(self, names: tuple[str, ...]) -> str | None:
        """The reason why Envoy would refuse a chain with these names, in words; None if it would not."""
        for name in [name for name in names if name.startswith("*")]:
            if name != CATCH_ALL and not name.startswith("*."):
                return f"{name} is a partial wildcard, which Envoy does not accept as a server name"
        seen = set(names)
        if len(seen) < len(names):
            return f"{Counter(names).most_common(1)[0][0]} stands twice in one block"
        wanted = {CATCH_ALL} if CATCH_ALL in seen or not seen else seen
        taken = min(self._owners.keys() & wanted, default=None)
        if taken is None:
            return None
        subject = "connections without a matching name go" if taken == CATCH_ALL else f"{taken} goes"
        return f"{subject} to {self._owners[taken]} already"

    def add(self, chain: Chain, owner: Owner, *, sniffs: bool) -> None:
        """
        Add a chain that :meth:`refuse` does not refuse.

        :param sniffs: the chain comes from a server whose clients speak TLS.
        """
        if not chain.names or CATCH_ALL in chain.names:
            self._catch_all = chain
            self._owners[CATCH_ALL] = owner
        else:
            wild = [name for name in chain.names if name.startswith("*.")]
            exact = [name for name in chain.names if not name.startswith("*.")]
            self._owners.update(dict.fromkeys(chain.names, owner))
            self._suffixes.update({name[2:]: chain for name in wild})
            self._exact.update(dict.fromkeys(exact, chain))
        self._note(chain, sniffs)

    def add_by_address(
        self, name: str, addresses: Addresses, chain: Chain, owner: Owner, *, sniffs: bool
    ) -> Owner | None:
        """
        Add a chain for one name between some addresses, unless these are taken. A name for which another server
        terminates TLS is taken for all addresses.

        :return: the owner of the name and the addresses, if they are taken.
        """
        everywhere = self._owners.get(name)
        if everywhere is not None and (addresses == ANYWHERE or everywhere.server is not owner.server):
            return everywhere
        if addresses == ANYWHERE:
            self.add(replace(chain, names=() if name == CATCH_ALL else (name,)), owner, sniffs=sniffs)
            return None
        same_name = self._by_address[name]
        if addresses in same_name:
            return same_name[addresses][1]
        same_name[addresses] = (chain, owner)
        self._note(chain, sniffs)
        return None

    def _note(self, chain: Chain, sniffs: bool) -> None:
        self._sniffs |= sniffs
        self._serves |= not chain.refusal or bool(chain.virtual_service)

    def build(self) -> Listener | None:
        """The listener; None if it serves nothing, so that its port stays closed."""
        if not self._serves:
            return None
        by_address = {
            name: ByAddress.of({addresses: chain for addresses, (chain, _) in limited.items()})
            for name, limited in self._by_address.items()
        }
        return Listener(
            key=self.key,
            dual_stack=self.oldest.both_families,
            sniffs=self._sniffs,
            exact=self._exact,
            suffixes=self._suffixes,
            catch_all=self._catch_all,
            by_address=by_address,
        )
