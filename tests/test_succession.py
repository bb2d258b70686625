"""Tests of :mod:`meshgate.succession`: what a gateway does when an upgrade fails or is asked for at a bad moment."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, Mock

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.upgrade import Inheritance
from meshgate.succession import Succession


def succession(idle: Any = lambda: succeed(None), launch: Any = None) -> Any:
    """The succession of a gateway of which nothing else is real."""
    ports = Mock()
    ports.adopted.return_value = []
    made = Succession(Clock(), launch, Mock(), Mock(), ports, Mock(), idle, Mock())
    made.api = Mock(freeze=AsyncMock(), runs_pods=False)
    return made


class OldProcessTests(SynchronousTestCase):
    """A process that is about to be replaced."""

    def test_an_upgrade_fails_while_this_process_freezes(self) -> None:
        """Nothing freezes after the failure, whatever the freezing waits for: a compilation, or writes to the store."""
        for waits_for in ("compilation", "store"):
            compiled, written = Deferred[None](), Deferred[None]()
            old = succession(lambda compiled=compiled: compiled)
            old.api.freeze = lambda written=written: written
            old.begun()
            frozen = old.freeze()
            if waits_for == "store":
                compiled.callback(None)
            old.failed("the new process is gone")
            old.api.freeze = AsyncMock()
            if waits_for == "compilation":
                compiled.callback(None)
            else:
                written.callback(None)
            self.successResultOf(frozen)
            self.assertFalse(old.frozen)
            old.api.freeze.assert_not_called()
            old._reporter.silence.assert_not_called()


class NewProcessTests(SynchronousTestCase):
    """A process that has not taken over yet."""

    def setUp(self) -> None:
        """A launch in the middle of an upgrade."""
        self.launch = Mock()
        self.launch.heir.take.return_value = Inheritance()
        self.new = succession(launch=self.launch)
        self.new.take(lambda: None)

    def test_it_refuses_upgrades(self) -> None:
        """SIGUSR2 does nothing: the service manager hears nothing before this process is the gateway."""
        self.new.upgrade()
        self.new._manager.reloading.assert_not_called()
        self.new._manager.read_again.assert_not_called()

    def test_it_takes_no_writes(self) -> None:
        """The API refuses them until this process is the only one: if it fails, the other one would not know them."""
        self.new.api_started()
        self.new.api.refuse_writes.assert_called_once_with()
        self.new.settle(lambda: None)
        self.new.api.thaw.assert_not_called()
        over = self.launch.heir.serve.call_args.args[3]
        over()
        self.new.api.thaw.assert_called_once_with()

    def test_it_is_told_to_end(self) -> None:
        """It tells the process before, which goes on at once."""
        self.new.abandon()
        self.launch.heir.fail.assert_called_once_with("it was told to end")
