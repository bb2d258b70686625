"""Tests of :mod:`meshgate.cli.providers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshgate.cli.providers import PATIENCE, PERIOD, read_providers
from meshgate.providers.registry import ProviderChoice
from tests.cli.command_runs import SHOP, UNROUTED, CommandTestCase, file_text
from tests.cli.late_provider import PLUGIN, LateFactory
from tests.installation import run_meshgate


class Reactor(Clock):
    """A reactor whose time passes while it runs."""

    def __init__(self, interrupted: bool = False) -> None:
        super().__init__()
        self.running = False
        self.interrupted = interrupted

    def callWhenRunning(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call it as soon as the reactor runs."""
        self.callLater(0, function, *arguments)

    def run(self) -> None:
        """Let time pass until :meth:`stop` is called."""
        self.running = not self.interrupted
        self.advance(0)
        while self.running:
            self.advance(PERIOD)

    def stop(self) -> None:
        """End :meth:`run`."""
        self.running = False


def choice(name: str, when: str) -> ProviderChoice:
    """A provider that publishes at a time."""
    return ProviderChoice(name, "late", LateFactory(), when)


class ReadProvidersTests(SynchronousTestCase):
    """:func:`read_providers`."""

    def test_all_have_published(self) -> None:
        """The reading ends with the last of them, and says whom it waits for."""
        reactor, shown = Reactor(), list[str]()
        state = read_providers([choice("a", "at once"), choice("b", "later")], "default", shown.append, reactor)
        self.assertEqual(len(state.resources), 2 * len(SHOP))
        self.assertLess(reactor.seconds(), 1)
        self.assertEqual(shown[0], 'waiting for "b"')

    def test_at_once(self) -> None:
        """Where all publish as they start, the reactor does not run."""
        self.assertEqual(len(read_providers([choice("a", "at once")], "default", print, Clock()).resources), len(SHOP))

    def test_never(self) -> None:
        """One that never publishes is an error, after some time, and the others count."""
        reactor = Reactor()
        state = read_providers([choice("a", "never"), choice("b", "later")], "default", lambda text: None, reactor)
        self.assertEqual(len(state.resources), len(SHOP))
        (problem,) = state.problems
        self.assertEqual((problem.code, problem.provider), ("MG3001", "a"))
        self.assertIn("has published nothing within 15 s", problem.message)
        self.assertGreaterEqual(reactor.seconds(), PATIENCE)

    def test_interrupted(self) -> None:
        """If the user ends the waiting, so does the command."""
        with self.assertRaises(KeyboardInterrupt):
            read_providers([choice("a", "later")], "default", lambda text: None, Reactor(interrupted=True))


class PluginTests(CommandTestCase):
    """Commands with settings that choose plug-ins, as real processes."""

    def check(self, *providers: str, exit_code: int = 0) -> str:
        """Write settings with these providers, and return what check says."""
        self.write("plugins/twisted/plugins/late_plugin.py", PLUGIN)
        self.write("meshgate.yaml", f"providers: [{', '.join(providers)}]\n")
        done = run_meshgate(["check", "--config", self.folder / "meshgate.yaml"], plugins=self.folder / "plugins")
        self.assertEqual((done.returncode, done.stderr), (exit_code, b""))
        return done.stdout.decode()

    def test_plugins(self) -> None:
        """The routes of a plug-in are read, whenever it publishes them."""
        for when in ("at once", "later", "in a thread"):
            shown = self.check(f"{{name: own, type: late, when: {when}}}")
            self.assertEqual(shown, "no problems in 5 resources\n", when)

    def test_plugins_and_folders(self) -> None:
        """Files of the settings are read beside them."""
        self.write("extra/lonely.yaml", file_text(UNROUTED))
        shown = self.check("{name: own, type: late, when: later}", "{name: f, type: directory, paths: [extra]}")
        self.assertIn("warning[MG2008]: Gateway default/lonely", shown)
        self.assertIn("1 warning in 6 resources\n", shown)

    def test_failure(self) -> None:
        """A provider that fails is an error of the check."""
        shown = self.check("{name: own, type: late, when: fails}", exit_code=1)
        self.assertIn("error[MG3001]: the provider 'own' failed: there is nobody", shown)
        self.assertIn("1 error in 0 resources\n", shown)
