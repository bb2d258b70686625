"""
The news of a generation: the changes from one routing table to the next, in one line for the log.

As in :mod:`meshgate.routing.tell.traffic_diff`, a change counts only if it changes the outcome of connections. A table
shares most of its chains with the one before, and objects that are the same are not looked into: with one changed route
among 10,000, the comparison takes a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from meshgate.routing.table import Chain, Destination, Listener, RoutingTable
from meshgate.routing.tell.policy_texts import connection_text, upstream_text
from meshgate.routing.tell.traffic_diff import ANY_NAME, chain_for, outcome

MOST: Final = 10
"""How many changes the line lists; further ones are only counted."""

_MOST_DESTINATIONS: Final = 3


def generation_news(before: RoutingTable, after: RoutingTable, most: int = MOST) -> str:
    """
    The changes in one line, as ``+ b.example.com on 31443, - port 31400, + endpoint 10.0.0.7:80 of x``.

    :param most: how many of them the line lists.
    :return: empty if nothing has changed for connections.
    """
    news = _News()
    for key in sorted(before.listeners.keys() | after.listeners.keys()):
        news.compare(before.listeners.get(key), after.listeners.get(key))
    changes: list[str | _NameChange] = [*news.ports, *news.names, *news.endpoints, *news.policies]
    return listed([each if isinstance(each, str) else each.text() for each in changes[:most]], len(changes))


def listed(shown: Sequence[str], total: int) -> str:
    """
    A list in words, which ends with ``and N more`` if there are more things than it shows.

    :param total: the number of things.
    """
    text = ", ".join(shown)
    return f"{text} and {total - len(shown)} more" if total > len(shown) else text


class _NameChange(NamedTuple):
    """
    A name whose connections have another outcome.

    :ivar was: the chain of the name before, or None.
    :ivar now: the chain of the name now, or None.
    """

    listener: Listener
    name: str
    was: Chain | None
    now: Chain | None

    def text(self) -> str:
        """The change in words."""
        listener, name, was, now = self
        subject = f"{'all others' if name == ANY_NAME else name} on {_port(listener)}"
        if not listener.sniffs and name == ANY_NAME:
            subject = f"connections on {_port(listener)}"
        if now is None:
            return f"- {subject}"
        if now.refusal:
            return f"- {subject} (closed: {now.refusal})"
        if was is None or was.refusal:
            return f"+ {subject}"
        names = [str(each) for each in _destinations_used(now)]
        return f"~ {subject} to {listed(names[:_MOST_DESTINATIONS], len(names)) or 'nowhere'}"


class _News:
    """
    Collects the changes.

    :ivar names: put into words only if the line lists them.
    :ivar endpoints: each change once, however many names it concerns; likewise :attr:`policies`.
    """

    def __init__(self) -> None:
        self.ports: list[str] = []
        self.names: list[_NameChange] = []
        self.endpoints: dict[str, None] = {}
        self.policies: dict[str, None] = {}
        # Pairs by identity, since the destinations of thousands of names may be the same two objects.
        self._compared: dict[tuple[int, int], tuple[Destination, Destination]] = {}

    def compare(self, before: Listener | None, after: Listener | None) -> None:
        """Add the changes of one listener."""
        if before is None and after is not None:
            self.ports.append(f"+ port {_port(after)}")
            self.names += (_NameChange(after, name, None, chain) for name, chain in _named_chains(after))
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
        if was is None or now is None or not _same_outcome(was, now):
            self.names.append(_NameChange(listener, name, was, now))
        if was is None or now is None or was.refusal or now.refusal:
            return
        others = {each.cluster: each for each in _destinations_used(was)}
        for destination in _destinations_used(now):
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
            weights, others = (
                {str(each): (each.weight, each.priority) for each in one.endpoints} for one in (was, now)
            )
            for endpoint in sorted(weights.keys() | others.keys()):
                if weights.get(endpoint) != others.get(endpoint):
                    mark = "+" if endpoint not in weights else "~" if endpoint in others else "-"
                    self.endpoints[f"{mark} endpoint {endpoint} of {now}"] = None
        if was.policy != now.policy and upstream_text(was.policy) != upstream_text(now.policy):
            self.policies[f"~ policy of {now}"] = None


def _changed(before: Listener, after: Listener) -> Iterator[tuple[str, Chain | None, Chain | None]]:
    """The names of a listener whose chain is another object than before, with the chains that take their traffic."""
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


def _named_chains(listener: Listener) -> Iterator[tuple[str, Chain]]:
    """The names of a new listener with their chains. Its catch-all is not news beside the port itself."""
    for name in sorted(listener.exact):
        yield name, listener.exact[name]
    for suffix in sorted(listener.suffixes):
        yield f"*.{suffix}", listener.suffixes[suffix]


def _by_address(listener: Listener) -> dict[tuple[str, str], Chain]:
    """The chains for some addresses only, by name and condition."""
    limited = listener.by_address.items()
    return {(name, chain.condition): chain for name, by_address in limited for chain in by_address.chains.values()}


def _destinations_used(chain: Chain) -> Iterable[Destination]:
    """The destinations of a chain that get connections."""
    alone = len(chain.destinations) == 1
    return [each for each in chain.destinations if alone or each.weight]


def _same_outcome(was: Chain, now: Chain) -> bool:
    """True if connections go to the same destinations in the same shares."""
    if (was.refusal, was.terminate) == (now.refusal, now.terminate):
        weights = [[(each.cluster, each.weight) for each in chain.destinations] for chain in (was, now)]
        if weights[0] == weights[1]:
            return True
    return outcome(was) == outcome(now)


def _port(listener: Listener) -> str:
    """The port of a listener; with its address, if it does not listen on all of them."""
    return str(listener.key.port if listener.dual_stack else listener.key)
