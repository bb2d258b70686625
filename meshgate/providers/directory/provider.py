"""
The provider of type ``directory``: routes from files and folders, which it follows as they change.

It looks at everything every half second, by its signature only; looking takes 3 microseconds for a file, and
the next look waits at least ten times as long as the last one took, so 10,000 files cost 6 % of one processor
and 100,000 at most 10 %. Linux usually tells of a change at once, and of which file: then that file alone is looked
at. Where it tells of every change, everything is looked at only every ten seconds, in case of what nobody thought of;
in between, only whether the paths still lead to the same folders. What two looks in a row agree on is true: so a file
that is being written, or a folder that is being swapped, is not read in between.
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

from meshgate.providers.context import ProviderContext
from meshgate.providers.directory.last_good import LastGood
from meshgate.providers.directory.mounts import tells_of_changes
from meshgate.providers.directory.tree import Tree, glance, is_in_place, look
from meshgate.providers.directory.watch import FolderWatch, Interest
from meshgate.providers.faults import log_traceback
from meshgate.providers.interfaces import IRouteProvider, IRouteProviderFactory, ISnapshotSink
from meshgate.providers.options import OptionProblem, OptionsError, unknown_options
from meshgate.resources.durations import parse_duration
from meshgate.resources.phases import at_once
from meshgate.resources.problem import Phase, Problem, Severity

SETTLE = 0.05
"""Seconds from the hint of a change, or from a first sight of it, to the look that has to confirm it."""

DEFAULT_POLL = "500ms"
"""With :data:`SETTLE`, well within a second from a change to its effect, also without inotify."""

SELDOM = 10.0
"""Seconds between two looks at everything where each change is told, and the user has not said how often."""

SHORTEST_POLL = 0.05
"""Seconds; anything shorter would only keep the processor busy."""


@dataclass(frozen=True, slots=True)
class DirectoryOptions:
    """
    The options of one directory provider.

    :ivar paths: absolute, each once.
    :ivar poll: seconds between two looks.
    :ivar seldom: the same of looks at everything, where each change is told.
    """

    paths: tuple[str, ...]
    poll: float
    seldom: float = SELDOM


@implementer(IRouteProviderFactory)
class DirectoryFactory:
    """Makes directory providers."""

    type_name = "directory"
    summary = "YAML and JSON files and folders, live"

    def parse_options(self, options: Mapping[str, object], folder: str) -> DirectoryOptions:
        """
        Judge ``paths`` and ``poll``. A path has to exist when the settings are read.

        :raises OptionsError: with every fault.
        """
        problems = unknown_options(options, ("paths", "poll"))
        paths = _parse_paths(options.get("paths"), folder, problems)
        poll = _parse_poll(options.get("poll", DEFAULT_POLL), problems)
        if problems:
            raise OptionsError(*problems)
        return DirectoryOptions(paths, poll, poll if "poll" in options else SELDOM)

    def create(self, name: str, options: DirectoryOptions, context: ProviderContext) -> IRouteProvider:
        """A provider that has read nothing yet."""
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
    Publishes what its files and folders say.

    :param name: in the settings.
    """

    _log = Logger()
    _sink: ISnapshotSink

    def __init__(self, name: str, options: DirectoryOptions, context: ProviderContext) -> None:
        self.name = name
        self._options = options
        self._clock: IReactorTime = context.reactor
        self._files = LastGood(name, context.default_namespace)
        self._watch = FolderWatch(context.reactor, self._hear)
        self._troubles: tuple[Problem, ...] = ()
        self._last_look = Tree()
        self._settled = True
        self._work = 0.0
        # Where something is said to have happened since all was settled; None when it may be anywhere.
        self._hints: frozenset[str] | None = frozenset()
        self._looked_at_all = 0.0
        # Whether nothing can happen to a file without being heard of, as of the last look at everything.
        self._told = False
        self._due: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None

    def start(self, sink: ISnapshotSink) -> None:
        """Read and publish everything, at once; then follow it."""
        self._sink = sink
        tree = self._last_look = look(self._options.paths)
        at_once(self._files.update(self._files.news(tree.files)))
        self._publish(self._find_troubles(tree, tree))
        self._looked_at_all = self._clock.seconds()
        self._watch.start()
        self._watch.follow(self._interests(tree))
        self._look_after(self._options.poll)

    def reload(self) -> None:
        """Look now, and read all files again, also those that look as they did."""
        self._files.doubt()
        self._settled = False
        self._hints = None
        self._look_after(0)

    def stop(self) -> None:
        """Look no more, and read no more."""
        self._watch.stop()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._looking is not None:
            self._looking.cancel()

    def _look_after(self, delay: float) -> None:
        """Look after so many seconds, unless a look is due before."""
        if self._due is None:
            self._due = self._clock.callLater(delay, self._begin)
        elif self._clock.seconds() + delay < self._due.getTime():
            self._due.reset(delay)

    def _hear(self, paths: frozenset[str] | None) -> None:
        self._hints = None if paths is None or self._hints is None else self._hints | paths
        self._look_soon()

    def _look_soon(self) -> None:
        self._look_after(max(SETTLE, 2 * self._work) if self._hints is None else SETTLE)

    def _look_later(self) -> None:
        self._look_after(max(self._options.poll, 10 * self._work))

    def _begin(self) -> None:
        self._due = None
        if self._looking is None or self._looking.called:
            self._looking = Deferred.fromCoroutine(self._run())
        else:
            self._look_soon()

    async def _run(self) -> None:
        try:
            await self._look()
        except CancelledError:
            pass  # by stop()
        except Exception as error:
            # A fault of ours, and no reason to follow the files no more.
            log_traceback(self._log, f"provider {self.name!r}", error)
            self._sink.failed(error)
            self._hints = None
            self._look_later()

    async def _look(self) -> None:
        before, hints = self._last_look, self._hints
        # What is heard from now on is for the next look.
        self._hints = frozenset()
        tree, changed = before, self._glance(before, hints)
        if changed is None:
            # Where all is looked at, all has to be looked at again to be sure.
            hints = None
            begin = self._clock.seconds()
            tree, changed = look(self._options.paths, before), frozenset()
            self._work = self._clock.seconds() - begin
            self._looked_at_all = self._clock.seconds()
            self._told = self._is_told(before, tree)
            self._last_look = tree
        still = not changed and tree == before
        if not (still and self._settled):
            self._settled = still
            await self._take(before, tree, hints, changed)
        if not still:
            self._hints = None if hints is None or self._hints is None else self._hints | hints
            self._look_soon()
            return
        self._look_later()

    def _glance(self, last: Tree, hints: frozenset[str] | None) -> Set[str] | None:
        """
        Look only where something is said to have happened.

        :return: the paths that look otherwise than in the last look, which is brought up to date; None where it takes a
            look at everything to know.
        """
        if hints is None or self._clock.seconds() >= self._all_due():
            return None
        if hints:
            return glance(hints, last)
        quiet = self._told and self._settled and not last.linked
        return frozenset() if quiet and is_in_place(self._options.paths, last) else None

    def _all_due(self) -> float:
        """When everything is to be looked at again, whatever is heard of single files meanwhile."""
        least = max(self._options.poll, 10 * self._work)
        return self._looked_at_all + (max(least, self._options.seldom) if self._told else 2 * least)

    def _is_told(self, before: Tree, tree: Tree) -> bool:
        """Whether all that there is has been watched since before the last look at it, and each change is told."""
        return (
            tree.folders == before.folders
            and not (tree.linked or tree.closed or tree.missing)
            and self._watch.is_complete
            and tells_of_changes(self._options.paths)
        )

    async def _take(self, before: Tree, tree: Tree, hints: frozenset[str] | None, changed: Set[str]) -> None:
        """
        Let take effect what both looks agree on.

        :param changed: what they do not agree on, if both are the same tree.
        """
        news = {
            path: sight
            for path, sight in self._files.news(tree.files, hints).items()
            if path not in changed and before.files.get(path) == sight and not (before.hides(path) or tree.hides(path))
        }
        self._watch.follow(self._interests(tree))
        troubles = self._find_troubles(before, tree)
        if news or troubles != self._troubles:
            await self._files.update(news, partial(deferLater, self._clock, 0))
            self._publish(troubles)

    def _publish(self, troubles: tuple[Problem, ...]) -> None:
        self._troubles = troubles
        snapshot = self._files.snapshot()
        self._sink.publish(replace(snapshot, problems=(*troubles, *snapshot.problems)))

    def _find_troubles(self, before: Tree, tree: Tree) -> tuple[Problem, ...]:
        """What is wrong with whole paths, in both looks."""
        closed = [
            Problem(
                Severity.ERROR,
                "MG3010",
                f"the path cannot be looked into: {tree.closed[path]}",
                Phase.ANALYSIS,
                file=path,
                provider=self.name,
                hint="what was read from it last keeps serving",
            )
            for path in sorted(tree.closed)
            if path in before.closed
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
        return (*closed, *missing)

    def _interests(self, tree: Tree) -> dict[str, Interest]:
        """The folders to watch: all that were visited, and those that the named paths themselves lie in."""
        interests: dict[str, Interest] = {}
        for path in self._options.paths:
            folder, name = os.path.split(path)
            others = interests[folder].names if folder in interests else ()
            interests[folder] = Interest(names=frozenset([*(others or ()), name]))
        interests.update((path, Interest(identity)) for path, identity in tree.folders.items())
        return interests
