"""
The guard: who may connect, before anything is done for the connection.

The problem: a connection that is refused has to cost less than one that is served, and a connection of a gateway
without such limits must not cost anything more.

The approach: a listener is told when a table or limits are applied if anything may refuse its connections; only then
the guard is asked. It looks at the access lists first, which cost least, then at the rates of new connections, then at
the numbers of connections. Where the Gateways of a listener differ in their lists, the route decides which one counts,
so that connections are judged again when their route is known.

In a dry run nobody is refused; :class:`DryRun` counts who would be, and logs it now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from twisted.logger import Logger

from meshgate.proxy.connection_counts import ConnectionCounts
from meshgate.proxy.endings import Ending
from meshgate.proxy.limits import Admission, CountedIn, Limits, client_key, client_number
from meshgate.proxy.rates import microseconds
from meshgate.proxy.record import ConnectionRecord
from meshgate.proxy.shared_counts import SharedCounts
from meshgate.routing.access_lists import AccessList
from meshgate.routing.table import Listener, RoutingTable

PAUSE: Final = 60.0
"""Seconds between two lines about the same listener and ending."""

_REMEMBERED: Final = 1024
"""Number of listeners and endings whose last line is remembered."""

NO_LISTS: Final[Mapping[str, AccessList]] = {}


class DryRun:
    """
    The connections that would have been refused.

    :param seconds: returns the clock's seconds.
    :param metrics: counts them; None to count none.
    """

    log: ClassVar = Logger()

    def __init__(self, seconds: Callable[[], float], metrics: ConnectionCounts | None) -> None:
        self._seconds = seconds
        self._metrics = metrics
        # By listener and ending: the connections since the last line, and the time of the next one.
        self._since: dict[tuple[str, Ending], tuple[int, float]] = {}

    def note(self, ending: Ending, record: ConnectionRecord) -> None:
        """Count a connection that would have ended this way, and log it unless that was done lately."""
        if self._metrics is not None:
            self._metrics.would_refuse(ending)
        key, now = (record.listener, ending), self._seconds()
        number, due = self._since.get(key, (0, now))
        number += 1
        if now >= due:
            if len(self._since) >= _REMEMBERED:
                self._since.clear()
            self.log.info(
                "dry run: {client} at {listener} would be refused as {ending}; {number}",
                client=record.client[0],
                listener=record.listener,
                ending=ending.value,
                number="1 connection of this kind" if number == 1 else f"{number} connections of this kind since then",
            )
            number, due = 0, now + PAUSE
        self._since[key] = (number, due)


class Guard:
    """
    Decides who may connect.

    :param counts: the counts and the rates that all workers share.
    :param seconds: returns the clock's seconds.
    """

    def __init__(
        self, counts: SharedCounts, limits: Limits, seconds: Callable[[], float], metrics: ConnectionCounts | None
    ) -> None:
        self._admission = Admission(counts)
        self._counts = counts
        self._seconds = seconds
        self._dry_run = DryRun(seconds, metrics)
        self._lists: Mapping[str, AccessList] = NO_LISTS
        self.limits = limits

    def apply(self, table: RoutingTable) -> bool:
        """Apply the access lists of a table; return True if they have changed."""
        before, self._lists = self._lists, table.access
        return before is not table.access and before != table.access

    def watches(self) -> bool:
        """Tell if the limits may refuse a connection of any listener."""
        limits = self.limits
        return limits.access is not None or limits.rates_are_limited or limits.room_is_limited

    def lists_of(self, listener: Listener | None) -> tuple[AccessList | None, Mapping[str, AccessList]]:
        """Return the list of the only Gateway of a listener; or those of its Gateways, if it has several."""
        if listener is None or not self._lists:
            return None, NO_LISTS
        gateways = {chain.gateway for chain in listener.unordered_chains()}
        found = {name: self._lists[name] for name in gateways if name in self._lists}
        if len(gateways) == 1:
            return next(iter(found.values()), None), NO_LISTS
        return None, found or NO_LISTS

    def refusal(self, record: ConnectionRecord, of_gateway: AccessList | None) -> Ending | None:
        """
        Judge a new connection by the access lists and the rates of new connections.

        :param of_gateway: the list of the listener's only Gateway.
        :return: the ending of the connection; None if it may go on.
        """
        limits = self.limits
        client = record.client[0]
        if limits.access is not None or of_gateway is not None:
            number = client_number(client)
            if not (self._admits(limits.access, number, record) and self._admits(of_gateway, number, record)):
                return Ending.DENIED
        if limits.rates_are_limited and not self._is_in_time(limits, record.listener, client):
            if not limits.dry_run:
                return Ending.OVER_RATE
            self._dry_run.note(Ending.OVER_RATE, record)
        return None

    def admits_to(self, of_gateway: AccessList, record: ConnectionRecord) -> bool:
        """Judge a connection by the list of the Gateway of its route."""
        return self._admits(of_gateway, client_number(record.client[0]), record)

    def still_admits(self, record: ConnectionRecord, of_gateway: AccessList | None) -> bool:
        """
        Judge a live connection by lists that have changed; a dry run counts nothing here.

        :param of_gateway: the list of the listener's only Gateway; for another listener, the route tells which counts.
        """
        lists = (self.limits.access, of_gateway or self._lists.get(record.gateway))
        number = client_number(record.client[0])
        return all(each is None or each.dry_run or each.admits(number) for each in lists)

    def enter(self, record: ConnectionRecord) -> CountedIn | None:
        """Count a connection by the limits on numbers; None if one is reached."""
        limits = self.limits
        if not limits.room_is_limited:
            return ()
        client = record.client[0]
        counted = self._admission.enter(limits, record.listener, client)
        if counted is None and limits.dry_run:
            self._dry_run.note(Ending.OVER_LIMIT, record)
            return self._admission.recount(limits, record.listener, client, ())
        return counted

    def recount(self, record: ConnectionRecord, counted: CountedIn) -> CountedIn:
        """Count a live connection by the limits as they are now."""
        return self._admission.recount(self.limits, record.listener, record.client[0], counted)

    def leave(self, counted: CountedIn) -> None:
        """Count a connection no more."""
        self._admission.leave(counted)

    def _admits(self, access: AccessList | None, number: int | None, record: ConnectionRecord) -> bool:
        if access is None or access.admits(number):
            return True
        if access.dry_run:
            self._dry_run.note(Ending.DENIED, record)
        return access.dry_run

    def _is_in_time(self, limits: Limits, listener: str, client: str) -> bool:
        """Take a token from the buckets of the client and of the listener, if both have one."""
        now = microseconds(self._seconds())
        wanted = []
        if limits.client_rate is not None:
            table = self._counts.client_rates
            wanted.append((table, table.entry(client_key(client), now), limits.client_rate))
        if limits.listener_rate is not None:
            table = self._counts.listener_rates
            wanted.append((table, table.entry(listener, now), limits.listener_rate))
        for table, entry, rate in wanted:
            if not table.allows(entry, rate, now):
                return False
        for table, entry, rate in wanted:
            table.take(entry, int(rate.interval), now)
        return True
