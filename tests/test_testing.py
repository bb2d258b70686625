"""Tests of :mod:`meshgate.testing`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshgate.providers.interfaces import ISnapshotSink
from meshgate.providers.snapshot import Snapshot
from meshgate.testing import RecordingSink


class RecordingSinkTests(SynchronousTestCase):
    """The sink for the tests of providers."""

    def setUp(self) -> None:
        """A sink that nothing has been published to."""
        self.sink = RecordingSink()

    def test_interface(self) -> None:
        """It is a sink."""
        verifyObject(ISnapshotSink, self.sink)

    def test_it_keeps_everything(self) -> None:
        """Every snapshot and every failure is kept, and the last snapshot can be asked for names."""
        document = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}
        full = Snapshot.from_documents([document], provider="mine")
        self.sink.publish(Snapshot())
        self.sink.publish(full)
        self.sink.failed("no answer")
        self.assertEqual((self.sink.snapshots, self.sink.last), ([Snapshot(), full], full))
        self.assertEqual((self.sink.names("Service"), self.sink.names("Gateway")), (["a"], []))
        self.assertEqual(self.sink.failures, ["no answer"])

    def test_what_the_gateway_refuses(self) -> None:
        """A mistake that the gateway would report as a failure of the provider fails its tests."""
        a_list: Any = []
        error = self.assertRaises(TypeError, self.sink.publish, Snapshot(a_list))
        self.assertEqual(str(error), "the provider published a Snapshot with a list instead of a tuple")
