"""
Traffic diffs: the changes between two routing tables that connections notice. Pure.

The problem: two configurations may be written differently and route alike, and a small edit may move many names. So
this compares outcomes and not resources. A rule that moves to another VirtualService is no change as long as it sends
the same names to the same destinations in the same shares.

The approach: server names fall into finitely many classes, one for each name or wildcard that a rule of either table
has, and one for all others. Two connections of one class take the same chain in the first table, and the same chain in
the second. So it is enough to look one member of each class up in both tables, and to compare the two chains: their
shares of destinations, their refusal, the endpoints and policies of destinations that both serve. Chains for some
addresses only are compared by name and condition. Invariants: equal tables have no diff, the order of entries does not
matter, and the diff of the tables swapped is the diff mirrored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal

from meshgate.routing.access_lists import AccessList
from meshgate.routing.addresses import Network
from meshgate.routing.balance import shares
from meshgate.routing.table import ANY_IPV6, Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable
from meshgate.routing.tell.policy_texts import connection_text, upstream_text

ANY_NAME = "*"
"""Every connection without a more specific name, plain text included."""

_ALL_CLIENTS: Final = AccessList()

# A label that no rule can have. Put in front of a wildcard's suffix, it makes a name that only the wildcard takes.
_UNUSED_LABEL = "\0."

PortChangeKind = Literal["opened", "closed", "changed"]
NameChangeKind = Literal["appears", "disappears", "refused", "served", "moves", "weights", "termination"]


@dataclass(frozen=True, slots=True)
class PortMode:
    """
    The way in which a port is served.

    :ivar sniffs: True if the first bytes decide, so that a client has to speak first.
    :ivar dual_stack: True if IPv6 is served as well.
    :ivar header: the PROXY header with which connections begin, as text for people; empty for none.
    """

    sniffs: bool
    dual_stack: bool
    header: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        protocol = "TLS" if self.sniffs else "TCP"
        return {"protocol": protocol, "dual_stack": self.dual_stack, "proxy_protocol": self.header or None}


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The outcome of the connections for a name.

    :ivar shares: the destinations, each with the fraction of the connections that it gets. The fractions add up to 1.
    :ivar refusal: why the connections are closed instead of routed; empty if they are not.
    :ivar terminate: True if the gateway terminates TLS.
    """

    shares: tuple[tuple[str, Fraction], ...]
    refusal: str = ""
    terminate: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        destinations = [{"name": name, "share": round(float(share), 6)} for name, share in self.shares]
        return {"destinations": destinations, "refusal": self.refusal or None, "terminate": self.terminate}


@dataclass(frozen=True, slots=True)
class PortChange:
    """A port that is opened, closed or served in another mode; a side on which the port is closed is None."""

    listener: ListenerKey
    before: PortMode | None
    after: PortMode | None

    @property
    def kind(self) -> PortChangeKind:
        """The change in a word."""
        if self.before is None:
            return "opened"
        return "closed" if self.after is None else "changed"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"listener": str(self.listener), **_before_and_after(self)}


@dataclass(frozen=True, slots=True)
class NameChange:
    """
    A name whose connections have another outcome; a side on which no rule takes them, and they are closed, is None.

    :ivar name: as a rule has it; :data:`ANY_NAME` for the connections that no other rule takes.
    """

    listener: ListenerKey
    name: str
    before: Outcome | None
    after: Outcome | None

    @property
    def kind(self) -> NameChangeKind:
        """The change in a word; of several changes, the most important one."""
        if self.before is None or self.after is None:
            return "appears" if self.before is None else "disappears"
        if self.before.refusal != self.after.refusal:
            return "refused" if self.after.refusal else "served"
        if dict(self.before.shares).keys() != dict(self.after.shares).keys():
            return "moves"
        return "weights" if self.before.shares != self.after.shares else "termination"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"listener": str(self.listener), "name": self.name, **_before_and_after(self)}


@dataclass(frozen=True, slots=True)
class EndpointsChange:
    """
    A destination that is used before and after, with different endpoints.

    :ivar before: the endpoints in the order of their addresses; likewise :attr:`after`.
    :ivar names: the names whose connections go there, each as ``bind:port name``.
    """

    destination: str
    before: tuple[Endpoint, ...]
    after: tuple[Endpoint, ...]
    names: tuple[str, ...]

    @property
    def added(self) -> tuple[Endpoint, ...]:
        """The endpoints that are new or have a new weight."""
        return tuple(endpoint for endpoint in self.after if endpoint not in self.before)

    @property
    def removed(self) -> tuple[Endpoint, ...]:
        """The endpoints that are gone or had another weight."""
        return tuple(endpoint for endpoint in self.before if endpoint not in self.after)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "destination": self.destination,
            "before": [_endpoint_json(endpoint) for endpoint in self.before],
            "after": [_endpoint_json(endpoint) for endpoint in self.after],
            "names": list(self.names),
        }


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """
    A traffic policy that changes, before and after as text.

    :ivar destination: the destination whose policy it is; empty for the policy of a chain, which holds for its
        connections wherever they go.
    :ivar names: as of :class:`EndpointsChange`.
    """

    destination: str
    before: str
    after: str
    names: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "destination": self.destination or None,
            "before": self.before,
            "after": self.after,
            "names": list(self.names),
        }


@dataclass(frozen=True, slots=True)
class AccessChange:
    """
    An access list that changes.

    :ivar before: the list before; an empty one admits all clients.
    :ivar after: the list after.
    :ivar names: as of :class:`EndpointsChange`.
    """

    before: AccessList
    after: AccessList
    names: tuple[str, ...]

    def differences(self) -> Iterator[tuple[str, str, Network]]:
        """Yield the networks that only one of the lists has: ``+`` or ``-``, ``allow`` or ``deny``, and the network."""
        for word, old, new in (
            ("allow", self.before.allow, self.after.allow),
            ("deny", self.before.deny, self.after.deny),
        ):
            before, after = dict.fromkeys(old.networks()), dict.fromkeys(new.networks())
            yield from (("-", word, network) for network in before if network not in after)
            yield from (("+", word, network) for network in after if network not in before)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"before": _access_json(self.before), "after": _access_json(self.after), "names": list(self.names)}


@dataclass(frozen=True, slots=True)
class TrafficDiff:
    """The changes between two tables, in the order of listeners, names and destinations; false if there are none."""

    ports: tuple[PortChange, ...] = ()
    names: tuple[NameChange, ...] = ()
    endpoints: tuple[EndpointsChange, ...] = ()
    policies: tuple[PolicyChange, ...] = ()
    access: tuple[AccessChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ports or self.names or self.endpoints or self.policies or self.access)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "changed": bool(self),
            "ports": [change.as_json() for change in self.ports],
            "names": [change.as_json() for change in self.names],
            "endpoints": [change.as_json() for change in self.endpoints],
            "policies": [change.as_json() for change in self.policies],
            "access": [change.as_json() for change in self.access],
        }


def diff_traffic(old: RoutingTable, new: RoutingTable) -> TrafficDiff:
    """Compare two routing tables."""
    ports: list[PortChange] = []
    names: list[NameChange] = []
    endpoints: dict[tuple[str, tuple[Endpoint, ...], tuple[Endpoint, ...]], list[str]] = {}
    policies: dict[tuple[str, str, str], list[str]] = {}
    access: dict[tuple[AccessList, AccessList], list[str]] = {}
    for key in sorted(old.listeners.keys() | new.listeners.keys()):
        before, after = old.listeners.get(key), new.listeners.get(key)
        shown = _display_key(key, old, new)
        if _mode(before) != _mode(after):
            ports.append(PortChange(shown, _mode(before), _mode(after)))
        for name, chains in _chains_by_name(before, after):
            if outcome(chains[0]) != outcome(chains[1]):
                names.append(NameChange(shown, name, outcome(chains[0]), outcome(chains[1])))
            for change in _changed_endpoints(*chains):
                endpoints.setdefault(change, []).append(f"{shown} {name}")
            for other in _changed_policies(*chains):
                policies.setdefault(other, []).append(f"{shown} {name}")
            lists = _access(chains[0], old), _access(chains[1], new)
            if lists[0] != lists[1]:
                access.setdefault(lists, []).append(f"{shown} {name}")
    moved = (EndpointsChange(*change, names=tuple(used)) for change, used in endpoints.items())
    treated = (PolicyChange(*change, names=tuple(used)) for change, used in policies.items())
    return TrafficDiff(
        tuple(ports),
        tuple(names),
        tuple(sorted(moved, key=_by_destination)),
        tuple(sorted(treated, key=_by_destination)),
        tuple(AccessChange(*lists, tuple(used)) for lists, used in access.items()),
    )


def _display_key(key: ListenerKey, *tables: RoutingTable) -> ListenerKey:
    """The address of a listener as it is shown: that of both families if it listens on both before or after."""
    if any(ListenerKey(ANY_IPV6, key.port) in table.listeners for table in tables):
        return key  # the IPv6 wildcard address belongs to a listener of its own
    found = (table.listeners.get(key) for table in tables)
    return next((listener.address for listener in found if listener is not None and listener.dual_stack), key)


def _chains_by_name(
    before: Listener | None, after: Listener | None
) -> Iterator[tuple[str, tuple[Chain | None, Chain | None]]]:
    """The chains that take each name before and after; then those that take a name for some addresses only."""
    for name in _names(before, after):
        yield name, (chain_for(before, name), chain_for(after, name))
    old, new = _by_address(before), _by_address(after)
    for name, condition in sorted(old.keys() | new.keys()):
        chain_before = old.get((name, condition)) or chain_for(before, name)
        chain_after = new.get((name, condition)) or chain_for(after, name)
        yield f"{name} {condition}", (chain_before, chain_after)


def _by_address(listener: Listener | None) -> dict[tuple[str, str], Chain]:
    """Chains for some addresses only, by name and condition."""
    limited = listener.by_address.items() if listener is not None else ()
    return {(name, chain.condition): chain for name, those in limited for chain in those.chains.values()}


def _names(*listeners: Listener | None) -> Iterator[str]:
    """
    Every name that a rule of any of the listeners has, full names before wildcards.

    Two connections for which the same one of these is the best match have the same outcome, before and after.
    """
    there = [listener for listener in listeners if listener is not None]
    yield from sorted({name for listener in there for name in listener.exact})
    yield from sorted({f"*.{suffix}" for listener in there for suffix in listener.suffixes})
    yield ANY_NAME


def chain_for(listener: Listener | None, name: str) -> Chain | None:
    """The chain that takes the connections for which a name is the best match."""
    if listener is None or name == ANY_NAME or not listener.sniffs:
        return listener.catch_all if listener is not None else None
    return listener.lookup(_UNUSED_LABEL + name[2:] if name.startswith("*.") else name)


def _mode(listener: Listener | None) -> PortMode | None:
    if listener is None:
        return None
    return PortMode(listener.sniffs, listener.dual_stack, str(listener.header) if listener.header is not None else "")


def outcome(chain: Chain | None) -> Outcome | None:
    """The outcome of the connections that a chain takes."""
    return Outcome(_shares(chain.destinations), chain.refusal, chain.terminate) if chain is not None else None


def _shares(destinations: Sequence[Destination]) -> tuple[tuple[str, Fraction], ...]:
    """The fraction of the connections that each destination gets, by name; a destination that comes twice is one."""
    fractions: dict[str, Fraction] = {}
    for destination, share in shares(destinations):
        fractions[str(destination)] = fractions.get(str(destination), Fraction(0)) + share
    return tuple(sorted(fractions.items()))


def _changed_endpoints(
    before: Chain | None, after: Chain | None
) -> Iterator[tuple[str, tuple[Endpoint, ...], tuple[Endpoint, ...]]]:
    """The destinations that both chains serve with different endpoints, each with its endpoints before and after."""
    old, new = _endpoints(before), _endpoints(after)
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield name, old[name], new[name]


def _endpoints(chain: Chain | None) -> Mapping[str, tuple[Endpoint, ...]]:
    if chain is None or chain.refusal:
        return {}
    served = {name for name, _ in _shares(chain.destinations)}
    return {str(each): _in_order(each.endpoints) for each in chain.destinations if str(each) in served}


def _changed_policies(before: Chain | None, after: Chain | None) -> Iterator[tuple[str, str, str]]:
    """The policies that differ between both chains, by destination; the empty name means the policy of the chain."""
    old, new = _policies(before), _policies(after)
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield name, old[name], new[name]


def _policies(chain: Chain | None) -> Mapping[str, str]:
    if chain is None or chain.refusal:
        return {}
    served = {name for name, _ in _shares(chain.destinations)}
    of_destinations = {str(each): upstream_text(each.policy) for each in chain.destinations if str(each) in served}
    return {"": connection_text(chain.policy), **of_destinations}


def _access(chain: Chain | None, table: RoutingTable) -> AccessList:
    """The access list for the connections of a chain."""
    return table.access.get(chain.gateway, _ALL_CLIENTS) if chain is not None else _ALL_CLIENTS


def _access_json(access: AccessList) -> dict[str, Any]:
    allow, deny = ([str(network) for network in each.networks()] for each in (access.allow, access.deny))
    return {"allow": allow, "deny": deny, "dry_run": access.dry_run}


def _in_order(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(sorted(endpoints, key=lambda endpoint: (endpoint.address, endpoint.port, endpoint.weight)))


def _by_destination(change: EndpointsChange | PolicyChange) -> tuple[str, tuple[str, ...]]:
    return change.destination, change.names


def _before_and_after(change: PortChange | NameChange) -> dict[str, Any]:
    return {
        "change": change.kind,
        "before": change.before.as_json() if change.before is not None else None,
        "after": change.after.as_json() if change.after is not None else None,
    }


def _endpoint_json(endpoint: Endpoint) -> dict[str, Any]:
    return {"endpoint": str(endpoint), "weight": endpoint.weight, "priority": endpoint.priority}
