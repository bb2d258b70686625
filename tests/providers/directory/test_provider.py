"""Tests of :mod:`meshgate.providers.directory.provider`."""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshgate.providers.directory import provider as directory
from meshgate.providers.directory.provider import CONFIRM_AFTER, DirectoryFactory, DirectoryOptions
from meshgate.providers.directory.tree import Tree, scan
from meshgate.providers.interfaces import IRouteProvider, OptionProblem, OptionsError, ProviderContext
from meshgate.resources.reader import DOCUMENTS_AT_ONCE
from tests.route_files import UNPARSABLE, RecordingSink, broken_gateway, gateway
from tests.support import new_folder, reactor, wait_for


def refuse(path: str) -> Iterator[os.DirEntry[str]]:
    """Fail as listing a folder does in a process with too many open files."""
    raise OSError(24, "Too many open files")


class OptionsTests(SynchronousTestCase):
    """The options that :class:`DirectoryFactory` reads."""

    def setUp(self) -> None:
        """A settings folder with a folder of routes and a file."""
        self.folder = new_folder(self)
        (self.folder / "routes").mkdir()
        (self.folder / "more.yaml").touch()

    def parse(self, **options: object) -> DirectoryOptions:
        """The options as parsed."""
        return DirectoryFactory().parse_options(options, str(self.folder))

    def faults(self, **options: object) -> tuple[OptionProblem, ...]:
        """Return the faults of the options."""
        error: OptionsError = self.assertRaises(OptionsError, self.parse, **options)
        return error.problems

    def test_paths_are_relative_to_the_settings(self) -> None:
        """Files and folders become absolute paths, each once."""
        options = self.parse(paths=["routes/", "more.yaml", "./routes"])
        self.assertEqual(options.paths, (str(self.folder / "routes"), str(self.folder / "more.yaml")))

    def test_absolute_paths_stay(self) -> None:
        """An absolute path stays as it is."""
        elsewhere = new_folder(self)
        self.assertEqual(self.parse(paths=[str(elsewhere)]).paths, (str(elsewhere),))

    def test_equal_options_are_equal(self) -> None:
        """So that a reload keeps the provider."""
        self.assertEqual(self.parse(paths=["routes"], poll="500ms"), self.parse(paths=["routes/"], poll="0.5s"))

    def test_a_missing_path(self) -> None:
        """Each one is a fault, with its path in the options."""
        faults = self.faults(paths=["routes", "nowhere/", "gone.yaml"])
        self.assertEqual([fault.path for fault in faults], [("paths", 1), ("paths", 2)])
        self.assertEqual(faults[0].message, f"there is no file or folder {self.folder / 'nowhere'}")

    def test_paths_have_to_be_a_list(self) -> None:
        """A single text, an empty list and nothing at all are refused alike."""
        wrong: tuple[object, ...] = ("routes/", [], None, {"a": 1})
        for paths in wrong:
            (fault,) = self.faults(paths=paths)
            self.assertEqual((fault.path, "paths: [routes/]" in fault.hint), (("paths",), True))

    def test_a_path_has_to_be_text(self) -> None:
        """Numbers and empty texts are no paths."""
        self.assertEqual([fault.path for fault in self.faults(paths=[7, ""])], [("paths", 0), ("paths", 1)])

    def test_an_unknown_option(self) -> None:
        """It is answered with the nearest, beside all other faults."""
        faults = self.faults(path=["routes"])
        self.assertEqual([fault.path for fault in faults], [("path",), ("paths",)])
        self.assertEqual(faults[0].hint, "did you mean 'paths'?")

    def test_the_poll_interval(self) -> None:
        """A duration in Go's syntax."""
        self.assertEqual(self.parse(paths=["routes"], poll="1m30s").poll, 90)
        self.assertEqual(self.parse(paths=["routes"]).poll, 0.5)

    def test_a_wrong_poll_interval(self) -> None:
        """No duration, no unit, and one that would keep the processor busy."""
        for poll in ("soon", 3, "1ms", "0", "-1s"):
            (fault,) = self.faults(paths=["routes"], poll=poll)
            self.assertEqual(fault.path, ("poll",))


class Scenarios:
    """Changes of files, and the routes that have to follow: once by polling alone, once by inotify alone."""

    poll: float
    reactor: Any

    def setUp(self) -> None:
        """A folder of routes with one file, not started."""
        self.home = new_folder(self)  # type: ignore[arg-type]
        self.folder = self.home / "routes"
        self.folder.mkdir()
        self.sink = RecordingSink()
        self.write("a.yaml", gateway("a"))

    @abstractmethod
    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Let time pass until the condition is true."""

    def begin(self, *paths: Path) -> IRouteProvider:
        """Start a provider of these paths, or of the folder."""
        options = DirectoryOptions(tuple(map(str, paths or [self.folder])), self.poll)
        provider = DirectoryFactory().create("files", options, ProviderContext(self.reactor))
        provider.start(self.sink)
        self.addCleanup(provider.stop)  # type: ignore[attr-defined]
        return provider

    def write(self, name: str, *documents: str) -> Path:
        """A file of these documents, in place."""
        path = self.folder / name
        path.write_text("".join(documents))
        return path

    async def until_ports(self, **ports: int) -> None:
        """Wait until exactly these Gateways are published."""
        await self.until(lambda: self.sink.ports == ports, f"{ports}, not {self.sink.ports}")

    async def test_a_changed_file(self) -> None:
        """A file rewritten in place takes effect."""
        self.begin()
        self.write("a.yaml", gateway("a", 8443))
        await self.until_ports(a=8443)

    async def test_an_added_file(self) -> None:
        """A new file takes effect."""
        self.begin()
        self.write("b.yaml", gateway("b"))
        await self.until_ports(a=443, b=443)

    async def test_a_removed_file(self) -> None:
        """The routes of a removed file are withdrawn."""
        self.begin()
        (self.folder / "a.yaml").unlink()
        await self.until_ports()

    async def test_a_file_replaced_by_rename(self) -> None:
        """As editors and careful scripts write, with another inode under the old name."""
        self.begin()
        fresh = self.home / "fresh"
        fresh.write_text(gateway("a", 8443))
        fresh.rename(self.folder / "a.yaml")
        await self.until_ports(a=8443)
        fresh.write_text(gateway("a", 9443))
        fresh.rename(self.folder / "a.yaml")
        await self.until_ports(a=9443)

    async def test_a_renamed_file(self) -> None:
        """The same routes in a file of another name are the same routes."""
        self.begin()
        (self.folder / "a.yaml").rename(self.folder / "b.yaml")
        await self.until(lambda: self.sink.last.resources[0].origin.file.endswith("b.yaml"), "the new name")
        self.assert_equal(self.sink.ports, {"a": 443})

    async def test_a_new_folder(self) -> None:
        """A folder that appears below is followed as well, and so is its disappearance."""
        self.begin()
        (self.folder / "deep" / "er").mkdir(parents=True)
        self.write("deep/er/b.yaml", gateway("b"))
        await self.until_ports(a=443, b=443)
        self.write("deep/er/b.yaml", gateway("b", 8443))
        await self.until_ports(a=443, b=8443)
        shutil.rmtree(self.folder / "deep")
        await self.until_ports(a=443)
        self.write("c.yaml", gateway("c"))
        await self.until_ports(a=443, c=443)

    async def test_a_mounted_config_map(self) -> None:
        """The swap of the link behind all files, as the kubelet does it, changes all of them at once."""
        shutil.rmtree(self.folder)
        self.mount("..1", a=gateway("a"), b=gateway("b"))
        self.begin()
        self.assert_equal(self.sink.ports, {"a": 443, "b": 443})
        for version, port in (("..2", 8443), ("..3", 9443)):
            self.mount(version, a=gateway("a", port), b=gateway("b", port))
            await self.until_ports(a=port, b=port)
        self.assert_equal(len(self.sink.snapshots), 3)

    def mount(self, version: str, **files: str) -> None:
        """Write a new version of a ConfigMap as the kubelet does, in the same order."""
        (self.folder / version).mkdir(parents=True)
        for name, text in files.items():
            self.write(f"{version}/{name}.yaml", text)
        before = os.path.realpath(self.folder / "..data")
        os.symlink(version, self.folder / "..data_tmp")
        os.rename(self.folder / "..data_tmp", self.folder / "..data")
        for name in files:
            if not os.path.lexists(self.folder / f"{name}.yaml"):
                os.symlink(f"..data/{name}.yaml", self.folder / f"{name}.yaml")
        if before != os.path.join(self.folder, "..data"):
            shutil.rmtree(before)

    async def test_a_named_file(self) -> None:
        """A single file is followed through being rewritten, replaced and removed, and is back again."""
        path = self.folder / "a.yaml"
        self.begin(path)
        path.write_text(gateway("a", 8443))
        await self.until_ports(a=8443)
        fresh = self.folder / "fresh"
        fresh.write_text(gateway("a", 9443))
        fresh.rename(path)
        await self.until_ports(a=9443)
        path.unlink()
        await self.until_ports()
        self.assert_equal(self.sink.codes, ["MG3011"])
        path.write_text(gateway("a"))
        await self.until_ports(a=443)
        self.assert_equal(self.sink.codes, [])

    async def test_a_replaced_folder(self) -> None:
        """A folder swapped for another one, by rename or through a link, is followed."""
        link = self.home / "current"
        os.symlink(self.folder, link)
        self.begin(link)
        other = self.home / "other"
        other.mkdir()
        (other / "b.yaml").write_text(gateway("b"))
        os.symlink(other, self.home / "next")
        os.rename(self.home / "next", link)
        await self.until_ports(b=443)
        (other / "b.yaml").write_text(gateway("b", 8443))
        await self.until_ports(b=8443)

    async def test_a_vanished_folder(self) -> None:
        """Its routes are withdrawn with a warning, and come back with it."""
        self.begin()
        self.folder.rename(self.home / "away")
        await self.until_ports()
        shown = [str(problem).replace(str(self.folder), "FOLDER") for problem in self.sink.last.problems]
        wanted = "warning[MG3011]: there is no such file or folder any more, and its routes are withdrawn"
        self.assert_equal(shown, [f"FOLDER: {wanted}"])
        (self.home / "away").rename(self.folder)
        await self.until_ports(a=443)
        self.assert_equal(self.sink.codes, [])

    async def test_an_unparsable_file(self) -> None:
        """The file keeps its last good version, while another one changes; then it is repaired."""
        self.begin()
        self.write("a.yaml", UNPARSABLE)
        await self.until(lambda: self.sink.codes == ["MG0001", "MG3012"], "the problem")
        self.assert_equal(self.sink.ports, {"a": 443})
        self.write("b.yaml", gateway("b"))
        await self.until_ports(a=443, b=443)
        self.write("a.yaml", gateway("a", 8443))
        await self.until_ports(a=8443, b=443)
        self.assert_equal(self.sink.codes, [])

    async def test_an_invalid_document(self) -> None:
        """Only that resource keeps its last good version; the file's other documents take effect."""
        self.begin()
        self.write("a.yaml", broken_gateway("a"), gateway("b"))
        await self.until_ports(a=443, b=443)
        self.assert_equal(self.sink.codes, ["MG1003", "MG3012"])

    def assert_equal(self, first: object, second: object) -> None:
        """Trial's own assertion, which this mixin cannot name."""
        self.assertEqual(first, second)  # type: ignore[attr-defined]


class PollingTests(Scenarios, TestCase):
    """The scenarios by polling alone, on a clock; within a second by that clock."""

    poll = 0.5

    def setUp(self) -> None:
        """A reactor that can only tell the time."""
        self.reactor = Clock()
        super().setUp()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Let up to a second pass."""
        for _ in range(100):
            self.reactor.advance(0.01)
            if condition():
                return
        raise AssertionError(f"a second has passed without {what}")

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds / 0.01)):
            self.reactor.advance(0.01)

    def test_start_publishes_at_once(self) -> None:
        """The first ports can open with the routes."""
        self.write("b.yaml", gateway("b"))
        self.begin()
        self.assertEqual(self.sink.ports, {"a": 443, "b": 443})

    def test_nothing_new_is_not_news(self) -> None:
        """While nothing changes, nothing is published."""
        self.begin()
        self.pass_time(5)
        self.assertEqual(len(self.sink.snapshots), 1)

    def test_a_file_that_is_being_written_is_not_read(self) -> None:
        """An editor that truncates and then writes, slowly, never withdraws a route."""
        self.begin()
        text = gateway("a", 8443)
        for end in range(0, len(text), 8):
            self.write("a.yaml", text[:end])
            self.pass_time(CONFIRM_AFTER * 0.6)
        self.assertEqual(len(self.sink.snapshots), 1)
        self.write("a.yaml", text)
        self.pass_time(1)
        self.assertEqual([self.sink.ports, len(self.sink.snapshots)], [{"a": 8443}, 2])

    def test_a_busy_file_does_not_hold_up_others(self) -> None:
        """A file that never stands still keeps only itself from taking effect."""
        self.begin()
        self.write("b.yaml", gateway("b"))
        for number in range(40):
            self.write("a.yaml", gateway("a", 1000 + number))
            self.pass_time(CONFIRM_AFTER * 0.6)
        self.assertEqual(self.sink.ports, {"a": 443, "b": 443})

    def test_a_file_that_is_gone_for_a_moment(self) -> None:
        """Moved away and back, as some editors save, withdraws nothing."""
        self.begin()
        away = self.home / "away"
        for _ in range(20):
            (self.folder / "a.yaml").rename(away)
            self.pass_time(CONFIRM_AFTER * 0.6)
            away.rename(self.folder / "a.yaml")
            self.pass_time(0.13)
        self.assertTrue(all(snapshot.resources for snapshot in self.sink.snapshots))

    def test_a_folder_that_is_gone_for_a_moment(self) -> None:
        """A folder that is missing, or cannot be listed, in one scan only is not even mentioned."""
        self.begin()
        away = self.home / "away"
        for _ in range(20):
            self.folder.rename(away)
            self.pass_time(CONFIRM_AFTER * 0.6)
            away.rename(self.folder)
            self.pass_time(0.13)
        answers = [refuse, refuse]
        scandir = os.scandir
        self.patch(os, "scandir", lambda path: (answers.pop() if len(answers) > 1 else scandir)(path))
        self.pass_time(2)
        self.assertEqual((len(answers), len(self.sink.snapshots)), (1, 1))

    def test_a_partial_write_that_parses_badly(self) -> None:
        """Even when it stands still for long, the last good version serves, and the problem is published once."""
        self.begin()
        self.write("a.yaml", UNPARSABLE)
        self.pass_time(5)
        self.assertEqual((self.sink.ports, len(self.sink.snapshots)), ({"a": 443}, 2))

    def test_a_folder_that_cannot_be_listed(self) -> None:
        """Its routes keep serving, with a problem; they may still be there."""
        self.write("b.yaml", gateway("b"))
        self.begin()
        scandir = os.scandir
        self.patch(os, "scandir", refuse)
        self.pass_time(1)
        self.assertEqual((self.sink.ports, self.sink.codes), ({"a": 443, "b": 443}, ["MG3010"]))
        self.assertIn("Too many open files", self.sink.last.problems[0].message)
        (self.folder / "b.yaml").unlink()
        self.patch(os, "scandir", scandir)
        self.pass_time(1)
        self.assertEqual((self.sink.ports, self.sink.codes), ({"a": 443}, []))

    def test_reload_scans_now(self) -> None:
        """A reload does not wait for the next poll."""
        self.poll = 3600
        provider = self.begin()
        self.write("a.yaml", gateway("a", 8443))
        self.pass_time(10)
        self.assertEqual(self.sink.ports, {"a": 443})
        provider.reload()
        self.pass_time(0.2)
        self.assertEqual(self.sink.ports, {"a": 8443})

    def test_reload_trusts_no_signature(self) -> None:
        """A reload reads every file again, once."""
        provider = self.begin()
        provider.reload()
        self.pass_time(2)
        self.assertEqual(len(self.sink.snapshots), 2)

    def test_stop_leaves_nothing(self) -> None:
        """No timer is left, and no change is published."""
        provider = self.begin()
        provider.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.write("a.yaml", gateway("a", 8443))
        self.pass_time(2)
        self.assertEqual(len(self.sink.snapshots), 1)

    def test_stop_in_the_middle_of_reading(self) -> None:
        """A file that is being read when the provider stops is not published."""
        provider = self.begin()
        rests: list[Deferred[None]] = []

        def rest_for_ever(clock: object, delay: float) -> Deferred[None]:
            rests.append(Deferred())
            return rests[-1]

        self.patch(directory, "deferLater", rest_for_ever)
        self.write("a.yaml", *(gateway(f"g{number}") for number in range(3 * DOCUMENTS_AT_ONCE)))
        self.pass_time(1)
        self.assertEqual(len(rests), 1)
        provider.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual((len(self.sink.snapshots), self.sink.failures), (1, []))

    def test_scans_take_a_tenth_of_the_time_at_most(self) -> None:
        """The longer a scan takes, the longer is the pause after it."""
        scans = []

        def slowly(*arguments: Any) -> Tree:
            scans.append(self.reactor.seconds())
            self.reactor.rightNow += 0.3
            return scan(*arguments)

        self.begin()
        self.patch(directory, "scan", slowly)
        self.pass_time(10)
        self.assertGreaterEqual(scans[2] - scans[1], 3.3)

    def test_a_fault_of_its_own_is_no_end(self) -> None:
        """A bug of the provider is reported, and it goes on polling."""
        self.begin()
        self.patch(directory, "scan", lambda *arguments: 1 / 0)
        self.pass_time(1)
        self.assertIsInstance(self.sink.failures[0], ZeroDivisionError)
        self.patch(directory, "scan", scan)
        self.write("a.yaml", gateway("a", 8443))
        self.pass_time(1)
        self.assertEqual(self.sink.ports, {"a": 8443})


@skipUnless(os.path.exists("/proc/sys/fs/inotify"), "inotify is part of Linux")
class InotifyTests(Scenarios, TestCase):
    """The scenarios by inotify alone, on the real reactor: the next poll would come in an hour."""

    poll = 3600
    reactor = reactor

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Let real time pass."""
        await wait_for(condition, what)
