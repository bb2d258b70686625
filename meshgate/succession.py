"""
How a gateway takes over from the one before it in an upgrade, and hands over to the next one.

:mod:`meshgate.processes.upgrade` has the protocol of both; here is what it means for a gateway. The listening sockets
go over with their queues: those of the routes, one for each worker, and those of the API, of the metrics and of the
lab. So do the locks of the state folder and of the pidfile. The store of the API, ages and history lie in the state
folder: from the moment when the new process has the sockets, the old one writes nothing there, and follows no change.
The new one follows changes, but until it has taken over, it refuses writes to its API as the old one does, and shuts
down none of the sockets that both have: if it fails, the old one goes on. What both do at the same time is to accept
connections.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from meshgate.health.health_checks import HealthChecks
from meshgate.processes.handover import HandoverError, ListeningAddress
from meshgate.processes.launch import Launch, StartError
from meshgate.processes.service_manager import ServiceManager
from meshgate.processes.upgrade import Command, Heir, Upgrade
from meshgate.routing.table import ListenerKey
from meshgate.state.reporter import Reporter
from meshgate.transport.ports import Identity, Ports
from meshgate.transport.service_ports import ServicePorts

if TYPE_CHECKING:
    from meshgate.api.configuration_api import ConfigurationApi

_STATE, _PIDFILE = "state", "pidfile"


class Succession:
    """
    Both upgrades of a gateway: the one that has started it, and the one that ends it.

    :param launch: the start of this process; None if it cannot be upgraded.
    :param idle: fires once no table is being compiled.
    :param reload: reads everything again; called when an upgrade has failed, if that was asked for meanwhile.
    :ivar go_on: follows the changes of routes; called when an upgrade has failed.
    :ivar api: the API, if there is one.
    :ivar services: the ports of this process itself.
    :ivar frozen: True while this process follows no change, since another one is about to take over.
    :ivar is_over: True once another process has taken over.
    """

    _log = Logger("meshgate.control")  # of which this is a part for those who read the log

    def __init__(
        self,
        reactor: Any,
        launch: Launch | None,
        manager: ServiceManager,
        reporter: Reporter,
        ports: Ports,
        health: HealthChecks,
        idle: Callable[[], Deferred[None]],
        reload: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._launch = launch
        self._manager = manager
        self._reporter = reporter
        self._ports = ports
        self._health = health
        self._idle = idle
        self._reload = reload
        self.go_on: Callable[[], None] = reload
        self.api: ConfigurationApi | None = None
        self.services = ServicePorts(reactor)
        self.frozen = self.is_over = self._ending = False
        self._heir: Heir | None = launch.heir if launch is not None else None
        self._serves = False
        self._pidfile_lock: int | None = None
        command = launch.command if launch is not None else None
        none = Command((), Path(), "no command line would start it anew")
        self._upgrade = Upgrade(reactor, command or none, self)
        self._number = 0
        self._reload_later = self._reopen_later = False
        self._kept: frozenset[Identity] = frozenset()
        self._next_workers = 0

    # From the process before.

    def take(self, prepare: Callable[[], object]) -> None:
        """
        Take what the process before has, if this start is an upgrade.

        :param prepare: called before, so that the process before is frozen for as short a time as possible.
        :raises StartError: if it does not give it.
        """
        if self._heir is None:
            return
        prepare()
        try:
            inheritance = self._heir.take()
        except HandoverError as error:
            raise StartError(str(error)) from None
        sockets = inheritance.sockets
        self._ports.inherit({_identity(each): sockets[each] for each in sockets if not each.service})
        self.services.inherit({(each.bind, each.port): sockets[each] for each in sockets if each.service})
        self._health.known_before = inheritance.unhealthy
        self._reporter.inherit(inheritance.locks.get(_STATE, -1))
        self._pidfile_lock = inheritance.locks.get(_PIDFILE)

    def api_started(self) -> None:
        """Have the API refuse writes until this process is the only one: the process before would not know them."""
        if self._heir is not None and self.api is not None:
            self.api.refuse_writes()

    def settle(self, settled: Callable[[], None]) -> bool:
        """
        Tell the process before that this one serves.

        :param settled: called once this process is the only one.
        :return: True if it is so already.
        """
        if self._heir is not None and not self._serves:
            self._serves = True
            kept = [_address(*each) for each in self._ports.adopted()]
            self._heir.serve(self._reactor, kept, self._ports.copies, lambda: self._settle(settled))
        return self._heir is None

    def _settle(self, settled: Callable[[], None]) -> None:
        self._heir = None
        self.services.close_unused()
        if self._launch is not None:
            self._launch.pidfile.take(self._pidfile_lock)
        self._ports.alone()
        if self.api is not None:
            self.api.thaw()
        self._reporter.speak()
        self._log.info("the upgrade is done: this process has taken over")
        settled()

    # To the next process.

    def upgrade(self) -> None:
        """Start the next version, and hand over to it; nothing happens once this process is ending."""
        if self._heir is not None:
            self._log.warn("this process has not taken over itself yet; an upgrade of it is refused")
        elif not self._ending:
            self._upgrade.begin()

    def abandon(self) -> None:
        """End an upgrade that is not done: this process is about to end."""
        self._ending = True
        if self._heir is not None:
            self._heir.fail("it was told to end")
        self._upgrade.abandon()

    def postpones_reload(self) -> bool:
        """True if an upgrade is running: everything is read again after it, by whatever process then serves."""
        if self._upgrade.running and not self._reload_later:
            self._reload_later = True
            self._log.info("everything is read again when the upgrade is over")
        return self._upgrade.running

    def reopened_logs(self) -> None:
        """Have the new process of an upgrade that is running do so, too: it may have opened them before."""
        self._reopen_later = self._upgrade.running

    async def leave_ports(self) -> None:
        """Leave the ports to the next process, and close those that it has not taken, once their queues are empty."""
        await self._ports.hand_over(self._kept, self._next_workers)

    # As Predecessor.

    def obstacle(self) -> str:
        """Tell why there can be no upgrade now."""
        if self.api is not None and self.api.runs_pods:
            return "the lab's pods run in this process and would end with it: delete them first"
        return ""

    def begun(self) -> Mapping[str, str]:
        """Tell that an upgrade has begun."""
        self._number += 1
        self._reporter.note(upgrade={"number": self._number})
        self._manager.reloading()
        return self._manager.variables

    def freeze(self) -> Deferred[None]:
        """Follow no change, and write nothing."""
        return Deferred.fromCoroutine(self._freeze())

    async def _freeze(self) -> None:
        self.frozen, number = True, self._number
        await self._idle()
        if self.api is not None and self._freezes(number):
            await self.api.freeze()
        if self._freezes(number):
            self._reporter.silence()

    def _freezes(self, number: int) -> bool:
        """True unless the upgrade of this number has failed meanwhile."""
        return self.frozen and number == self._number

    def shares(self) -> Iterable[tuple[ListeningAddress, Sequence[int]]]:
        """The listening sockets."""
        for identity, sockets in self._ports.shares().items():
            yield _address(*identity), [each.fileno() for each in sockets]
        for (bind, port), descriptor in self.services.shares():
            yield ListeningAddress(service=True, bind=bind, port=port), [descriptor]

    def unhealthy(self) -> Mapping[str, str]:
        """The endpoints that fail their health checks."""
        return self._health.unhealthy()

    def locks(self) -> Mapping[str, int]:
        """The locks of the state folder and of the pidfile, as far as they are held."""
        pidfile = self._launch.pidfile.lock if self._launch is not None else None
        held = {_STATE: self._reporter.silence(), _PIDFILE: -1 if pidfile is None else pidfile}
        return {name: descriptor for name, descriptor in held.items() if descriptor >= 0}

    def failed(self, reason: str) -> None:
        """Go on."""
        self._reporter.speak()
        self._reporter.note(upgrade={"number": self._number, "failed": reason})
        self._manager.read_again("serves; the upgrade has failed, and has changed nothing")
        frozen, self.frozen = self.frozen, False
        if self.api is not None:
            self.api.thaw()
        again, self._reload_later, self._reopen_later = self._reload_later, False, False
        if again:
            self._reload()
        elif frozen:
            self.go_on()

    def replaced(self, pid: int, kept: frozenset[ListeningAddress], workers: int) -> None:
        """End, once the connections have ended."""
        self.is_over = True
        self._kept, self._next_workers = frozenset(map(_identity, kept)), workers
        self._manager.replaced(pid)
        self.services.leave()
        for number, wanted in ((signal.SIGHUP, self._reload_later), (signal.SIGUSR1, self._reopen_later)):
            if wanted:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        if self._launch is not None:
            self._launch.pidfile.leave()
            self._launch.end()


def _address(key: ListenerKey, dual_stack: bool) -> ListeningAddress:
    return ListeningAddress(service=False, bind=key.bind, port=key.port, dual_stack=dual_stack)


def _identity(address: ListeningAddress) -> Identity:
    return ListenerKey(address.bind, address.port), address.dual_stack
