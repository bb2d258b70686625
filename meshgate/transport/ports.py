"""
The listening ports: opened, kept and closed as the routing table's listeners require.

The problem: routes change while clients connect, and a port may be taken or its address missing for now.

The approach: :meth:`Ports.reconcile` compares the wanted listeners with the open ports, has
:mod:`meshgate.transport.binding` bind the sockets, and gives them to a ``serve`` function, which has this process or
its workers accept on them.

The invariants:

- A port that stays wanted is not touched; live connections outlast the port that accepted them.
- New ports open before old ones close, so that a port that changes its address families always has a socket.
- A wanted port that cannot be opened is tried again, after :data:`FIRST_RETRY` to :data:`LAST_RETRY` seconds.
- An activated socket is never shut down, since the service manager holds it, too. While no listener wants it, its
  connections are accepted and reset (as ``no_route``), so that its clients do not wait for nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory
from twisted.internet.task import deferLater

from meshgate.routing.addresses import UNIX_PREFIX
from meshgate.routing.connection_policy import Keepalive
from meshgate.routing.table import Listener, ListenerKey
from meshgate.transport.binding import (
    BindError,
    binding_for,
    defer_accept,
    ipv6_exists,
    open_sockets,
    steer,
    steer_no_more,
)
from meshgate.transport.keepalive import keep_alive
from meshgate.transport.network import Network, Port
from meshgate.transport.unix_binding import UnixAccess, open_unix_sockets, remove_path

if TYPE_CHECKING:
    from meshgate.transport.activation import ActivatedSocket

#: Seconds until a port that cannot be opened is tried again: the first time, and at most; doubled in between.
FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 30.0

HANDSHAKES: Final = 1.0
"""Seconds for handshakes under way before a socket is closed to which no new ones go: a lost packet takes as long."""

# Probes with the system's own times.
_SYSTEMS_OWN: Final = Keepalive()

Identity = tuple[ListenerKey, bool]
"""A listener's key and whether it is dual-stack: a bind may be unset in one table and 0.0.0.0 in the next. The key is
the same then, and the sockets differ."""


@dataclass(frozen=True, slots=True)
class PortFailure:
    """
    A wanted port that is not open.

    :ivar reason: a few words for people, as ``in use by another process``.
    :ivar is_missing: True if this machine does not have the address; it may get it later.
    """

    key: ListenerKey
    reason: str
    is_missing: bool = False


Serve = Callable[[ListenerKey, Sequence[socket.socket]], Port]
"""Begins to accept connections on the sockets of one listener, which belong to the returned port from then on."""


def accept_here(network: Network, factory_for: Callable[[ListenerKey], IProtocolFactory]) -> Serve:
    """
    Have this process accept the connections of ports with one socket each. A process that shares the socket goes on
    listening, with its queue, when the port is stopped.

    :param network: the network whose transports carry the connections.
    :param factory_for: makes the protocol factory of a listener.
    """

    def serve(key: ListenerKey, sockets: Sequence[socket.socket]) -> Port:
        (listening,) = sockets
        return network.listen(listening, factory_for(key))

    return serve


class _Open:
    """
    One open port.

    :param activated: the activated socket of which the sockets are copies; None if they are the gateway's own.
    """

    def __init__(
        self,
        key: ListenerKey,
        sockets: Sequence[socket.socket],
        serve: Serve,
        keepalive: Keepalive | None,
        activated: ActivatedSocket | None = None,
    ) -> None:
        self.key = key
        self.activated = activated
        is_unix = sockets[0].family == socket.AF_UNIX
        self._last = sockets[0].dup() if is_unix and activated is None else None
        self.number: int = 0 if is_unix else sockets[0].getsockname()[1]
        self.sockets = sockets
        self.inodes = list(map(_inode, sockets))
        self._port = serve(key, sockets)
        self._deferred = False
        self._keepalive = keepalive

    def close(self) -> Deferred[object]:
        """
        Accept the connections that wait, and stop listening. The path of a Unix socket is removed. An activated socket
        keeps its queue.
        """
        if self.activated is not None:
            return self._port.stop()
        return self._port.finish().addCallback(self._remove_path)

    def leave(self) -> Deferred[object]:
        """Stop listening here; another process goes on with the sockets, their queues, and the path."""
        if self._last is not None:
            self._last.close()
        return self._port.stop()

    def _remove_path(self, result: object) -> object:
        last, self._last = self._last, None
        if last is not None:
            with contextlib.suppress(OSError):
                last.shutdown(socket.SHUT_RDWR)
            remove_path(last)
            last.close()
        return result

    def keep_alive(self, keepalive: Keepalive | None) -> None:
        """Set the probes of the connections that will be accepted, if they have changed."""
        if keepalive != self._keepalive:
            self._keepalive = keepalive
            self._port.keep_alive(keepalive)

    def defer_accept(self, wanted: bool) -> None:
        """Have the kernel hand over connections only with their first bytes, or at once."""
        if wanted != self._deferred:
            self._deferred = wanted
            self._port.defer_accept(wanted)


@dataclass(slots=True)
class _Failing:
    """One port that cannot be opened, and the seconds and the call until the next try."""

    listener: Listener
    error: BindError
    delay: float
    retry: IDelayedCall


class Ports:
    """
    All listening ports of the gateway.

    :param clock: provides IReactorTime.
    :param serve: called once for each port opened, with its sockets.
    :param on_change: called when a port that failed opens or fails for another reason; never within
        :meth:`reconcile`.
    :param copies: number of sockets for each port; the kernel spreads the port's connections over them.
    :param activated: the activated sockets, each for the listener of its address.
    :ivar copies: the number of sockets for each port.
    :ivar backlog: connections that may wait to be accepted on each socket, for ports that will be opened.
    :ivar unix_access: who may connect to the Unix sockets that will be opened.
    :ivar deferring: True to accept connections only with their first bytes on listeners whose clients speak first; a
        new value holds from the next :meth:`reconcile` on.
    :ivar keepalive: the probes of the connections that will be accepted, or None; a new value holds from the next
        :meth:`reconcile` on, for open ports too.
    """

    def __init__(
        self,
        clock: Any,
        serve: Serve,
        on_change: Callable[[], None],
        copies: int = 1,
        backlog: int = 1024,
        deferring: bool = False,
        keepalive: Keepalive | None = _SYSTEMS_OWN,
        unix_access: UnixAccess = UnixAccess(),  # noqa: B008 -- it is immutable
        activated: Sequence[ActivatedSocket] = (),
    ) -> None:
        self._clock = clock
        self._serve = serve
        self._on_change = on_change
        self.copies = copies
        self.backlog = backlog
        self.unix_access = unix_access
        self.deferring = deferring
        self.keepalive = keepalive
        self._activated = activated
        self._has_ipv6 = ipv6_exists()
        self._open: dict[Identity, _Open] = {}
        self._failing: dict[Identity, _Failing] = {}
        self._unclaimed: dict[ActivatedSocket, _Open] = {}
        self._closing: dict[_Open, Deferred[object]] = {}
        self._inherited: dict[Identity, list[socket.socket]] = {}
        self._adopted: list[Identity] = []

    @property
    def failures(self) -> tuple[PortFailure, ...]:
        """The wanted ports that are not open, in the order of their keys."""
        failing = sorted(self._failing.values(), key=lambda failing: failing.listener.key)
        return tuple(PortFailure(one.listener.key, str(one.error), one.error.is_missing) for one in failing)

    @property
    def listening(self) -> tuple[ListenerKey, ...]:
        """The listeners whose ports are open, in the order of their keys."""
        return tuple(sorted(port.key for port in self._open.values()))

    @property
    def unclaimed(self) -> tuple[ActivatedSocket, ...]:
        """The activated sockets that no listener wants."""
        claimed = {port.activated for port in self._open.values()}
        return tuple(each for each in self._activated if each not in claimed)

    def reconcile(self, wanted: Iterable[Listener]) -> tuple[PortFailure, ...]:
        """
        Open the wanted ports and close all others. A port that stays is not touched, one that goes stops listening at
        once, and one that cannot be opened is tried again for as long as it is wanted.

        :return: the new :attr:`failures`.
        """
        listeners = {(listener.key, listener.dual_stack): listener for listener in wanted}
        going = self._open.keys() - listeners.keys()
        failed_before, self._failing = self._failing, {}
        for failing in failed_before.values():
            failing.retry.cancel()
        for identity, listener in listeners.items():
            if identity not in self._open:
                # The change of routes may go with a change of this machine: try at once, without shortening the pauses.
                before = failed_before.get(identity)
                self._try(listener, before.delay if before else FIRST_RETRY)
            else:
                self._open[identity].keep_alive(self.keepalive)
                self._open[identity].defer_accept(self.deferring and listener.sniffs)
        shared = {self._open[identity] for identity in going if identity in self._adopted}
        leaving = [self._open.pop(identity) for identity in going]
        leaving += self._reconcile_unclaimed({listener.key for listener in listeners.values()})
        # New ports are open by now: a port that changes its address families always has a socket.
        for port in leaving:
            self._close(port, left=port in shared)
        return self.failures

    def _reconcile_unclaimed(self, wanted: Collection[ListenerKey]) -> list[_Open]:
        """
        Open a port for each activated socket that no listener wants.

        :return: the ports of sockets for which that is no longer so.
        """
        # A listener with the same address that cannot use the socket must not get its clients, either.
        alone = [each for each in self.unclaimed if each.key not in wanted]
        for each in alone:
            if each not in self._unclaimed:
                sockets = each.copies(self.copies, self.keepalive)
                self._unclaimed[each] = _Open(each.key, sockets, self._serve, self.keepalive, each)
        return [self._unclaimed.pop(each) for each in tuple(self._unclaimed) if each not in alone]

    def close(self) -> Deferred[None]:
        """
        Stop listening on all ports.

        :return: fires when they are free.
        """
        self._activated = ()
        self.reconcile(())
        return DeferredList(list(self._closing.values())).addCallback(lambda _: None)

    # From one process to the next.

    def shares(self) -> dict[Identity, Sequence[socket.socket]]:
        """The sockets of the open ports, for another process; activated ones it gets at its start."""
        return {identity: port.sockets for identity, port in self._open.items() if port.activated is None}

    def inherit(self, sockets: Mapping[Identity, list[socket.socket]]) -> None:
        """
        Use sockets of another process, which accepts on them, too, for the ports that will be opened.

        :param sockets: listening, those of each port in the order in which they began to.
        """
        self._inherited = dict(sockets)
        for listening in (each for sockets_ in sockets.values() for each in sockets_):
            # They do not block, but Python does not know it, and a copy made by it would block in all processes.
            listening.setblocking(False)

    def adopted(self) -> list[Identity]:
        """
        Close the inherited sockets that no port uses.

        :return: the ports that use the others.
        """
        unused, self._inherited = self._inherited, {}
        for listening in (each for sockets in unused.values() for each in sockets):
            listening.close()
        return [identity for identity in self._adopted if identity in self._open]

    def alone(self) -> None:
        """
        Close ports for good from now on. Before that, those that use inherited sockets are left to the process that
        shares them: if this one ends, that one goes on.
        """
        self._adopted = []

    async def hand_over(self, kept: Collection[Identity], copies: int) -> None:
        """
        Stop listening on all ports, and close those that no other process goes on with.

        :param kept: the ports with which another process goes on.
        :param copies: the number of sockets that it uses for each. No new connections go to further ones, and this
            process accepts those that it still gets.
        """
        going_on = [self._open[identity] for identity in kept if identity in self._open]
        steered: list[socket.socket] = []
        for port in going_on if copies < self.copies else ():
            if port.number:
                with contextlib.suppress(OSError):  # then those that come in the last moment are reset
                    steer(port.sockets[0], copies)
                    steered.append(port.sockets[0].dup())
        if steered:
            await deferLater(self._clock, HANDSHAKES)
        for identity in kept:
            if identity in self._open:
                self._close(self._open.pop(identity), left=True)
        await self.close()
        for listening in steered:
            steer_no_more(listening)
            listening.close()

    def _adopt(self, identity: Identity) -> list[socket.socket]:
        """Use the inherited sockets of a port, and open more if there are too few."""
        sockets = self._inherited[identity]
        if sockets[0].family == socket.AF_UNIX:
            del self._inherited[identity]
            self._adopted.append(identity)
            for surplus in sockets[1:]:
                surplus.close()
            return [sockets[0], *(sockets[0].dup() for _ in range(self.copies - 1))]
        further: list[socket.socket] = []
        if len(sockets) < self.copies:
            binding = binding_for(*identity, self._has_ipv6)
            further = open_sockets(
                binding, self.backlog, self._own_inodes(), self.copies - len(sockets), self.keepalive
            )
        del self._inherited[identity]
        self._adopted.append(identity)
        for surplus in sockets[self.copies :]:
            surplus.close()
        for listening in sockets[: self.copies]:
            listening.listen(self.backlog)  # only the length of the queue may change
            keep_alive(listening, self.keepalive)
            defer_accept(listening, False)
        return [*sockets[: self.copies], *further]

    def _own_inodes(self) -> dict[int, int]:
        """The ports of the sockets of this process, by their inodes."""
        ports = (*self._open.values(), *self._unclaimed.values(), *self._closing)
        ours = {inode: port.number for port in ports for inode in port.inodes}
        inherited = ((key.port, each) for (key, _), sockets in self._inherited.items() for each in sockets)
        return {**ours, **{_inode(each): number for number, each in inherited}}

    def _try(self, listener: Listener, delay: float) -> None:
        """Open a port, or have it tried again after so many seconds."""
        identity = (listener.key, listener.dual_stack)
        try:
            sockets, activated = self._open_sockets(listener)
        except BindError as error:
            if error.is_missing:
                delay = FIRST_RETRY  # a virtual address may move here at any time, and then every second counts
            retry = self._clock.callLater(delay, self._retry, identity)
            self._failing[identity] = _Failing(listener, error, delay, retry)
            return
        opened = self._open[identity] = _Open(listener.key, sockets, self._serve, self.keepalive, activated)
        opened.defer_accept(self.deferring and listener.sniffs)

    def _open_sockets(self, listener: Listener) -> tuple[list[socket.socket], ActivatedSocket | None]:
        """Open or inherit sockets, or take copies of the activated one for the address, which is returned with them."""
        identity = (listener.key, listener.dual_stack)
        if identity in self._inherited:
            return self._adopt(identity), None
        is_unix = listener.key.bind.startswith(UNIX_PREFIX)
        binding = listener.key.bind if is_unix else binding_for(listener.key, listener.dual_stack, self._has_ipv6)
        activated = next((each for each in self._activated if each.is_for(binding)), None)
        if activated is not None:
            return activated.copies(self.copies, self.keepalive), activated
        if isinstance(binding, str):
            return open_unix_sockets(binding, self.backlog, self.copies, self.unix_access), None
        try:
            return open_sockets(binding, self.backlog, self._own_inodes(), self.copies, self.keepalive), None
        except BindError as error:
            conflict = next(filter(None, (each.conflict(binding) for each in self._activated)), "")
            raise BindError(conflict, error.is_missing) if conflict else error from None

    def _retry(self, identity: Identity) -> None:
        failing = self._failing.pop(identity)
        self._try(failing.listener, min(failing.delay * 2, LAST_RETRY))
        now = self._failing.get(identity)
        if now is None or str(now.error) != str(failing.error):
            self._on_change()

    def _close(self, port: _Open, *, left: bool = False) -> None:
        closed = self._closing[port] = port.leave() if left else port.close()

        def forget(_: object) -> None:
            del self._closing[port]

        closed.addCallback(forget)


def _inode(listening: socket.socket) -> int:
    return os.fstat(listening.fileno()).st_ino
