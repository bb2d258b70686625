"""
One listener being put together: chains come in, in Istio's order; what Envoy would refuse is kept out.

Envoy refuses a whole listener for one bad or doubled name (filter_chain_manager_impl.cc); here only the later
chain stays out, and its owner is told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from meshgate.routing.compile.servers import BoundServer
from meshgate.routing.table import ANYWHERE, CATCH_ALL, Addresses, ByAddress, Chain, Listener, ListenerKey


@dataclass(frozen=True, slots=True)
class Owner:
    """
    Who brings a chain, for messages.

    :ivar text: its name and place.
    :ivar written: the server name as its rule has it, where that was cut.
    """

    server: BoundServer
    text: str
    written: str = ""

    def __str__(self) -> str:
        return self.text


class ListenerBuilder:
    """
    Collects the chains of one listener.

    :param oldest: a server of it; the oldest of all opens it, and decides by its bind about IPv6.
    """

    def __init__(self, oldest: BoundServer) -> None:
        self.key: ListenerKey = oldest.key
        self.oldest = oldest
        self._exact: dict[str, Chain] = {}
        self._suffixes: dict[str, Chain] = {}
        self._catch_all: Chain | None = None
        self._owners: dict[str, Owner] = {}
        self._by_address: dict[str, dict[Addresses, tuple[Chain, Owner]]] = defaultdict(dict)
        # How much of what was absorbed has chains from servers of TLS, and how much has something to serve.
        self._sniffs = 0
        self._serves = 0

    def join(self, server: BoundServer) -> None:
        """Note a server of the listener."""
        if server is not self.oldest and server.age < self.oldest.age:
            self.oldest = server

    def absorb(self, other: ListenerBuilder) -> None:
        """Take in what was built of the same listener, where the two have no names in common."""
        self.join(other.oldest)
        self._exact.update(other._exact)
        self._suffixes.update(other._suffixes)
        self._catch_all = self._catch_all or other._catch_all
        self._by_address.update(other._by_address)
        self._sniffs += other._sniffs
        self._serves += other._serves

    def refuse(self, names: tuple[str, ...]) -> str | None:
        """Why Envoy would not take a chain with these names, in words; None when it would."""
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
        what = "connections without a matching name go" if taken == CATCH_ALL else f"{taken} goes"
        return f"{what} to {self._owners[taken]} already"

    def add(self, chain: Chain, owner: Owner, *, sniffs: bool) -> None:
        """
        Take a chain that :meth:`refuse` has nothing against.

        :param sniffs: the chain came from a server whose clients speak TLS.
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

    def take(
        self, name: str, addresses: Addresses, chain: Chain, owner: Owner, written: str, *, sniffs: bool
    ) -> Owner | None:
        """
        Take a chain for one name and some addresses.

        :param written: the name before it was cut to the server's hosts.
        :return: who has them already, and keeps them; a server's name that another server ends TLS for is its own.
        """
        owner = replace(owner, written=written)
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
        self._sniffs = max(self._sniffs, int(sniffs))
        self._serves = max(self._serves, int(not chain.refusal or bool(chain.virtual_service)))

    def build(self) -> Listener | None:
        """The listener; None when it has nothing to serve and its port stays closed."""
        if not self._serves:
            return None
        by_address = {
            name: ByAddress.of({addresses: chain for addresses, (chain, _) in limited.items()})
            for name, limited in self._by_address.items()
        }
        return Listener(
            key=self.key,
            dual_stack=self.oldest.both_families,
            sniffs=bool(self._sniffs),
            exact=self._exact,
            suffixes=self._suffixes,
            catch_all=self._catch_all,
            by_address=by_address,
        )
