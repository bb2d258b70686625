"""
What became different from one routing table to the next, in one short line for the log. Pure.

Tells what connections meet, as :mod:`meshgate.routing.tell.traffic_diff` does for people who compare two
configurations, and says nothing where they meet the same. A table shares most of its chains with the one before, so
objects that are the same are not looked into: of 10,000 routes of which one changed, that takes a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from meshgate.routing.table import Chain, Destination, Listener, RoutingTable
from meshgate.routing.tell.policy_texts import connection_text, upstream_text
from meshgate.routing.tell.traffic_diff import ANY_NAME, chain_for, outcome

MOST: Final = 10
"""How many changes are told; the others are counted."""

_MOST_DESTINATIONS: Final = 3


def generation_news(before: RoutingTable, after: RoutingTable, most: int = MOST) -> str:
    """
    The changes in a line, as ``+ b.example.com on 31443, - port 31400, + endpoint 10.0.0.7:80 of x``.

    :param most: how many of them are told.
    :return: empty where nothing has changed for connections.
    """
    news = _News()
    for key in sorted(before.listeners.keys() | after.listeners.keys()):
        news.compare(before.listeners.get(key), after.listeners.get(key))
    changes: list[str | _NameChange] = [*news.ports, *news.names, *news.endpoints, *news.policies]
    return listed([each if isinstance(each, str) else each.told() for each in changes[:most]], len(changes))


def listed(shown: Sequence[str], total: int) -> str:
    """
    Things in a row, the last of them only counted where there are more than are shown.

    :param total: how many there are.
    """
    text = ", ".join(shown)
    return f"{text} and {total - len(shown)} more" if total > len(shown) else text


class _NameChange(NamedTuple):
    """A name whose connections fare differently; no chain where there is none."""

    listener: Listener
    name: str
    was: Chain | None
    now: Chain | None

    def told(self) -> str:
        """The change in words."""
        listener, name, was, now = self
        where = f"{'all others' if name == ANY_NAME else name} on {_port(listener)}"
        if not listener.sniffs and name == ANY_NAME:
            where = f"connections on {_port(listener)}"
        if now is None:
            return f"- {where}"
        if now.refusal:
            return f"- {where} (closed: {now.refusal})"
        if was is None or was.refusal:
            return f"+ {where}"
        names = [str(each) for each in _served(now)]
        return f"~ {where} to {listed(names[:_MOST_DESTINATIONS], len(names)) or 'nowhere'}"


class _News:
    """
    The changes.

    :ivar names: those that fare differently; put into words only if they are told.
    :ivar endpoints: each change once, however many names it matters to; likewise :attr:`policies`.
    """

    def __init__(self) -> None:
        self.ports: list[str] = []
        self.names: list[_NameChange] = []
        self.endpoints: dict[str, None] = {}
        self.policies: dict[str, None] = {}
        # By identity: the destinations of thousands of names may be the same two objects.
        self._compared: dict[tuple[int, int], tuple[Destination, Destination]] = {}

    def compare(self, before: Listener | None, after: Listener | None) -> None:
        """Take in the changes of one port."""
        if before is None and after is not None:
            self.ports.append(f"+ port {_port(after)}")
            self.names += (_NameChange(after, name, None, chain) for name, chain in _all(after))
        elif before is not None and after is None:
            self.ports.append(f"- port {_port(before)}")
        elif before is not None and after is not None and before is not after:
            if (before.sniffs, before.dual_stack) != (after.sniffs, after.dual_stack):
                self.ports.append(f"~ port {_port(after)}")
            for name, was, now in _changed(before, after):
                self._compare_chains(after, name, was, now)

    def _compare_chains(self, listener: Listener, name: str, was: Chain | None, now: Chain | None) -> None:
        if was is now:
            return
        if was is None or now is None or not _fare_alike(was, now):
            self.names.append(_NameChange(listener, name, was, now))
        if was is None or now is None or was.refusal or now.refusal:
            return
        others = {each.cluster: each for each in _served(was)}
        for destination in _served(now):
            other = others.get(destination.cluster)
            if other is not None and other is not destination:
                self._compare_destinations(other, destination)
        if was.policy != now.policy and connection_text(was.policy) != connection_text(now.policy):
            self.policies[f"~ policy of {name} on {_port(listener)}"] = None

    def _compare_destinations(self, was: Destination, now: Destination) -> None:
        pair = id(was), id(now)
        if pair in self._compared:
            return
        self._compared[pair] = was, now
        if was.endpoints is not now.endpoints:
            weights, others = ({str(each): each.weight for each in one.endpoints} for one in (was, now))
            for endpoint in sorted(weights.keys() | others.keys()):
                if weights.get(endpoint) != others.get(endpoint):
                    mark = "+" if endpoint not in weights else "~" if endpoint in others else "-"
                    self.endpoints[f"{mark} endpoint {endpoint} of {now}"] = None
        if was.policy != now.policy and upstream_text(was.policy) != upstream_text(now.policy):
            self.policies[f"~ policy of {now}"] = None


def _changed(before: Listener, after: Listener) -> Iterator[tuple[str, Chain | None, Chain | None]]:
    """The names of a port whose chain is another object than before, with what takes their connections."""
    for mapping, form in (("exact", "{}"), ("suffixes", "*.{}")):
        old: Mapping[str, Chain] = getattr(before, mapping)
        new: Mapping[str, Chain] = getattr(after, mapping)
        if old is not new:
            changed = {name for name, chain in new.items() if old.get(name) is not chain}
            for name in sorted(changed.union(old.keys() - new.keys())):
                full = form.format(name)
                yield full, chain_for(before, full), chain_for(after, full)
    yield ANY_NAME, before.catch_all, after.catch_all
    if before.by_address is not after.by_address:
        limited, others = _by_address(before), _by_address(after)
        for name, condition in sorted(limited.keys() | others.keys()):
            was = limited.get((name, condition)) or chain_for(before, name)
            yield f"{name} {condition}", was, others.get((name, condition)) or chain_for(after, name)


def _all(listener: Listener) -> Iterator[tuple[str, Chain]]:
    """The names of a new port. What it does with those that have no rule goes without saying."""
    for name in sorted(listener.exact):
        yield name, listener.exact[name]
    for suffix in sorted(listener.suffixes):
        yield f"*.{suffix}", listener.suffixes[suffix]


def _by_address(listener: Listener) -> dict[tuple[str, str], Chain]:
    """The chains for some addresses only, by name and condition."""
    limited = listener.by_address.items()
    return {(name, chain.condition): chain for name, those in limited for chain in those.chains.values()}


def _served(chain: Chain) -> Iterable[Destination]:
    """The destinations that get connections."""
    alone = len(chain.destinations) == 1
    return [each for each in chain.destinations if alone or each.weight]


def _fare_alike(was: Chain, now: Chain) -> bool:
    """Whether connections go to the same destinations in the same shares."""
    if (was.refusal, was.terminate) == (now.refusal, now.terminate):
        weights = [[(each.cluster, each.weight) for each in chain.destinations] for chain in (was, now)]
        if weights[0] == weights[1]:
            return True
    return outcome(was) == outcome(now)


def _port(listener: Listener) -> str:
    """A port, with its address if it has one of its own."""
    return str(listener.key.port if listener.dual_stack else listener.key)
