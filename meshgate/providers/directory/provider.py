"""
The provider of type ``directory``: it publishes the routes of files and folders, and follows their changes.

Problem: a change has to take effect within a second, and a file that is just being written, or a folder that is just
being replaced, must not be read half-way; 10,000 files must cost next to no time while nothing changes.

Approach: the provider polls. It scans the signatures of all files (:mod:`.tree`), and applies only what two scans in a
row agree on. A scan with a difference is therefore followed by another one soon (:data:`CONFIRM_AFTER`). inotify
(:mod:`.watch`) makes that faster: an event triggers a check at once, and of the named files alone. Events are hints and
never facts, so that a lost or needless event does no harm.

How often everything is scanned:

- every half second (``poll``), but a pause lasts at least ten times as long as the scan before it: 10,000 files take
  6 % of one processor, and 100,000 at most 10 %;
- every ten seconds (:data:`FULL_SCAN`) while inotify reports each change: all folders are watched, no link leads
  elsewhere, and the file systems are local. A poll then only checks that the paths of the settings
  still lead to the same files and folders;
- at once on a reload, and when an event concerns more than entries of known folders.

Invariants: after a look, ``_tree`` is what the look has seen. A path that may have changed since is in ``_suspects``.
``_applied`` is true only if the last two looks agree and ``_files`` has read the result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from meshgate.providers.directory.last_good import LastGood
from meshgate.providers.directory.tree import Tree, lead_to, recheck, scan
from meshgate.providers.directory.watch import FolderWatch, Interest, reports_every_change
from meshgate.providers.interfaces import (
    IRouteProvider,
    IRouteProviderFactory,
    ISnapshotSink,
    OptionProblem,
    OptionsError,
    ProviderContext,
    unknown_options,
)
from meshgate.providers.problem_log import log_traceback
from meshgate.resources.durations import parse_duration
from meshgate.resources.phases import at_once
from meshgate.resources.problem import Phase, Problem, Severity

CONFIRM_AFTER = 0.05
"""Seconds from an event, or from a scan with a difference, to the scan that has to confirm it."""

DEFAULT_POLL = "500ms"
"""Together with :data:`CONFIRM_AFTER` well within a second from a change to its effect, also without inotify."""

FULL_SCAN = 10.0
"""Seconds between two scans of everything while inotify reports each change, unless the user has set ``poll``."""

SHORTEST_POLL = 0.05
"""Seconds; a shorter poll would only keep the processor busy."""

Suspects = frozenset[str] | None
"""Paths that may have changed; None if anything may have."""


@dataclass(frozen=True, slots=True)
class DirectoryOptions:
    """
    The options of one directory provider.

    :ivar paths: absolute, each once.
    :ivar poll: seconds between two looks.
    :ivar full_scan: seconds between two scans of everything while inotify reports each change.
    """

    paths: tuple[str, ...]
    poll: float
    full_scan: float = FULL_SCAN


@implementer(IRouteProviderFactory)
class DirectoryFactory:
    """Makes directory providers."""

    type_name = "directory"
    summary = "YAML and JSON files and folders, live"

    def parse_options(self, options: Mapping[str, object], folder: str) -> DirectoryOptions:
        """
        Read ``paths`` and ``poll``. A path has to exist when the settings are read.

        :raises OptionsError: with every fault.
        """
        problems = unknown_options(options, ("paths", "poll"))
        paths = _parse_paths(options.get("paths"), folder, problems)
        poll = _parse_poll(options.get("poll", DEFAULT_POLL), problems)
        if problems:
            raise OptionsError(*problems)
        return DirectoryOptions(paths, poll, poll if "poll" in options else FULL_SCAN)

    def create(self, name: str, options: DirectoryOptions, context: ProviderContext) -> IRouteProvider:
        """Make a provider that has read nothing yet."""
        return DirectoryProvider(name, options, context)


def _parse_paths(paths: object, folder: str, problems: list[OptionProblem]) -> tuple[str, ...]:
    hint = "write paths: [routes/], relative to the folder of the settings file"
    if not isinstance(paths, list | tuple) or not paths:
        problems.append(OptionProblem(("paths",), "a list of one or more files or folders is required", hint))
        return ()
    absolute = []
    for index, path in enumerate(paths):
        if not isinstance(path, str) or not path:
            problems.append(OptionProblem(("paths", index), f"{path!r} is not a path", hint))
            continue
        absolute.append(os.path.abspath(os.path.join(folder, path)))
        if not os.path.exists(absolute[-1]):
            problems.append(OptionProblem(("paths", index), f"there is no file or folder {absolute[-1]}"))
    return tuple(dict.fromkeys(absolute))


def _parse_poll(poll: object, problems: list[OptionProblem]) -> float:
    try:
        seconds = parse_duration(str(poll))
    except ValueError as error:
        problems.append(OptionProblem(("poll",), str(error)))
        return 0.0
    if seconds < SHORTEST_POLL:
        problems.append(OptionProblem(("poll",), f"{poll} is too short", f"the least is {SHORTEST_POLL * 1000:g}ms"))
    return seconds


@implementer(IRouteProvider)
class DirectoryProvider:
    """
    Publishes the routes of files and folders.

    :param name: in the settings.
    """

    _log = Logger()
    _sink: ISnapshotSink

    def __init__(self, name: str, options: DirectoryOptions, context: ProviderContext) -> None:
        self.name = name
        self._options = options
        self._clock: IReactorTime = context.reactor
        self._files = LastGood(name, context.default_namespace)
        self._watch = FolderWatch(context.reactor, self._on_event)
        self._path_problems: tuple[Problem, ...] = ()
        self._tree = Tree()
        self._suspects: Suspects = frozenset()
        self._applied = True
        self._next_look: IDelayedCall | None = None
        self._current_look: Deferred[None] | None = None
        # Of the last scan: when it ended, how long it took, and if every change after it makes inotify report it.
        self._scanned_at = 0.0
        self._scan_seconds = 0.0
        self._is_watched = False

    def start(self, sink: ISnapshotSink) -> None:
        """Read and publish everything at once; then follow it."""
        self._sink = sink
        tree = self._tree = scan(self._options.paths)
        at_once(self._files.update(self._files.changes(tree.files)))
        self._publish(self._find_path_problems(tree, tree))
        self._scanned_at = self._clock.seconds()
        self._watch.start()
        self._watch.follow(self._interests(tree))
        self._look_after(self._options.poll)

    def reload(self) -> None:
        """Scan now, and read all files again, also those whose signatures are the same."""
        self._files.invalidate()
        self._applied = False
        self._suspects = None
        self._look_after(0)

    def stop(self) -> None:
        """Stop looking and reading."""
        self._watch.stop()
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if self._current_look is not None:
            self._current_look.cancel()

    def _on_event(self, paths: Suspects) -> None:
        self._suspect(paths)
        self._confirm_soon()

    def _suspect(self, paths: Suspects) -> None:
        self._suspects = None if paths is None or self._suspects is None else self._suspects | paths

    def _confirm_soon(self) -> None:
        self._look_after(max(CONFIRM_AFTER, 2 * self._scan_seconds) if self._suspects is None else CONFIRM_AFTER)

    def _look_after(self, delay: float) -> None:
        """Look in so many seconds, unless a look is due earlier."""
        if self._next_look is None:
            self._next_look = self._clock.callLater(delay, self._begin_look)
        elif self._clock.seconds() + delay < self._next_look.getTime():
            self._next_look.reset(delay)

    def _begin_look(self) -> None:
        self._next_look = None
        if self._current_look is None or self._current_look.called:
            self._current_look = Deferred.fromCoroutine(self._look_safely())
        else:
            self._confirm_soon()

    async def _look_safely(self) -> None:
        try:
            await self._look()
        except CancelledError:
            pass  # by stop()
        except Exception as error:
            # A bug of ours: report it, and go on.
            log_traceback(self._log, f"provider {self.name!r}", error)
            self._sink.failed(error)
            self._suspects = None
            self._look_after(self._pause())

    async def _look(self) -> None:
        before, paths = self._tree, self._suspects
        # The events of the meantime are for the next look.
        self._suspects = frozenset()
        changed = self._recheck(paths)
        if changed is None:
            # A difference that only a scan has found takes another scan to confirm.
            paths = None
            changed = self._scan()
        agreed = not changed and self._tree == before
        if not (agreed and self._applied):
            self._applied = agreed
            await self._apply(before, paths, changed)
        if agreed:
            self._look_after(self._pause())
        else:
            self._suspect(paths)
            self._confirm_soon()

    def _recheck(self, paths: Suspects) -> Set[str] | None:
        """
        Examine the paths that may have changed, without a scan.

        :return: those that have changed since the last look; None if it takes a scan to know.
        """
        if paths is None or self._clock.seconds() >= self._next_scan():
            return None
        if paths:
            return recheck(paths, self._tree)
        nothing_unseen = self._is_watched and self._applied and not self._tree.has_links
        return frozenset() if nothing_unseen and lead_to(self._options.paths, self._tree) else None

    def _scan(self) -> Set[str]:
        """
        Scan everything.

        :return: the paths of the files that have changed since the last look.
        """
        before, begin = self._tree, self._clock.seconds()
        self._tree = scan(self._options.paths, before)
        self._scanned_at = self._clock.seconds()
        self._scan_seconds = self._scanned_at - begin
        self._is_watched = (
            # The folders were watched before the scan began.
            self._tree.folders == before.folders
            and not (self._tree.has_links or self._tree.unreadable or self._tree.missing)
            and self._watch.is_complete
            and reports_every_change(self._options.paths)
        )
        return self._tree.differing(before)

    def _pause(self) -> float:
        """Return the seconds between two looks while nothing changes."""
        return max(self._options.poll, 10 * self._scan_seconds)

    def _next_scan(self) -> float:
        """Return the time of the next scan of everything, whatever inotify reports of single files meanwhile."""
        return self._scanned_at + (
            max(self._pause(), self._options.full_scan) if self._is_watched else 2 * self._pause()
        )

    async def _apply(self, before: Tree, paths: Suspects, changed: Set[str]) -> None:
        """
        Read and publish what two looks agree on.

        :param before: the tree of the look before.
        :param paths: where the last look has looked.
        :param changed: the files that the two looks do not agree on.
        """
        tree = self._tree
        agreed = {
            path: state
            for path, state in self._files.changes(tree.files, paths).items()
            if path not in changed and not (before.hides(path) or tree.hides(path))
        }
        self._watch.follow(self._interests(tree))
        path_problems = self._find_path_problems(before, tree)
        if agreed or path_problems != self._path_problems:
            await self._files.update(agreed, partial(deferLater, self._clock, 0))
            self._publish(path_problems)

    def _publish(self, path_problems: tuple[Problem, ...]) -> None:
        self._path_problems = path_problems
        snapshot = self._files.snapshot()
        self._sink.publish(replace(snapshot, problems=(*path_problems, *snapshot.problems)))

    def _find_path_problems(self, before: Tree, tree: Tree) -> tuple[Problem, ...]:
        """Find the paths that cannot be examined, or that are missing, in both of two looks."""
        unreadable = [
            Problem(
                Severity.ERROR,
                "MG3010",
                f"the path cannot be examined: {tree.unreadable[path]}",
                Phase.ANALYSIS,
                file=path,
                provider=self.name,
                hint="the routes that were read from it last keep serving",
            )
            for path in sorted(tree.unreadable)
            if path in before.unreadable
        ]
        missing = [
            Problem(
                Severity.WARNING,
                "MG3011",
                "there is no such file or folder any more, and its routes are withdrawn",
                Phase.ANALYSIS,
                file=path,
                provider=self.name,
            )
            for path in sorted(tree.missing & before.missing)
        ]
        return (*unreadable, *missing)

    def _interests(self, tree: Tree) -> dict[str, Interest]:
        """Return the folders to watch: all of a tree, and those that the paths of the settings lie in."""
        interests: dict[str, Interest] = {}
        for path in self._options.paths:
            folder, name = os.path.split(path)
            others = interests[folder].names if folder in interests else ()
            interests[folder] = Interest(names=frozenset([*(others or ()), name]))
        interests.update((path, Interest(identity)) for path, identity in tree.folders.items())
        return interests
