"""
For the tests of route providers: a sink that records.

:class:`twisted.internet.task.Clock` serves as the reactor of a provider's context.
"""

from __future__ import annotations

from zope.interface import implementer

from meshgate.providers.feed import type_fault
from meshgate.providers.interfaces import ISnapshotSink
from meshgate.providers.snapshot import Snapshot


@implementer(ISnapshotSink)
class RecordingSink:
    """
    Keeps what a provider publishes.

    :ivar snapshots: in the order in which they were published.
    :ivar failures: the reasons that the provider has reported, in this order.
    """

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.failures: list[str | Exception] = []

    def publish(self, snapshot: Snapshot) -> None:
        """
        Keep a snapshot.

        :raises TypeError: if the gateway would refuse it.
        """
        fault = type_fault(snapshot)
        if fault:
            raise TypeError(f"the provider published {fault}")
        self.snapshots.append(snapshot)

    def failed(self, reason: str | Exception) -> None:
        """Keep the reason of a failure."""
        self.failures.append(reason)

    @property
    def last(self) -> Snapshot:
        """The last snapshot."""
        return self.snapshots[-1]

    def names(self, kind: str) -> list[str]:
        """
        The names of the resources of a kind in the last snapshot, in its order.

        :param kind: such as ``VirtualService``.
        """
        return [resource.name for resource in self.last.resources if resource.kind == kind]
