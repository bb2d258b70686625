"""
The contract between the gateway and a source of routes: zope interfaces, and the small classes that they speak of.

Twisted's plug-in cache names these interfaces in every environment that has meshgate installed, so every ``twistd``
there imports this module. It must import nothing heavy, and at run time nothing else of meshgate.
"""

# ruff: noqa: N805 - the methods of a zope interface are written without self

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from meshgate.providers.snapshot import Snapshot


class IRouteProviderFactory(Interface):
    """
    Makes providers of one type.

    A plug-in is an instance that also provides :class:`twisted.plugin.IPlugin`, at module level in a file under
    ``twisted/plugins/``. The settings choose it by its type. :class:`meshgate.providers.plugin.RouteProviderPlugin`
    makes such an instance from a factory's dotted name.
    """

    type_name: str = Attribute(
        """
        The word under ``type:`` in the settings: lower-case letters, digits and dashes. Of two plug-ins with one name,
        the one serves whose module's name sorts first; the other is reported.
        """
    )

    summary: str = Attribute("""One line about the provider, for the list of known types.""")

    def parse_options(options: Mapping[str, object], folder: str) -> Any:
        """
        Validate the provider's own options. The gateway calls this before anything starts; it must have no side
        effects.

        :param options: the keys of the provider in the settings without ``name`` and ``type``: a mapping of plain
            values.
        :param folder: the folder of the settings file; relative paths are relative to it.
        :return: the options for :meth:`create`, in any form. Equal options must compare equal: when the settings are
            read again, a provider with equal options goes on.
        :raises OptionsError: with every problem found, each with the path of its option.
        """

    def create(name: str, options: Any, context: ProviderContext) -> IRouteProvider:
        """
        Make a provider. This must not touch the network or files, nor start anything:
        :meth:`IRouteProvider.start` does.

        :param name: the provider's name in the settings.
        :param options: the result of :meth:`parse_options`.
        :param context: the surroundings of the provider, such as the reactor.
        :return: a provider of :class:`IRouteProvider`.
        """


class IRouteProvider(Interface):
    """A source of routes. It publishes a whole snapshot of its resources whenever they change."""

    name: str = Attribute("""The provider's name in the settings.""")

    def start(sink: ISnapshotSink) -> None:
        """
        Begin to publish. A provider that can read its routes at once should publish them before this returns, so that
        the first ports open with the routes; more may follow at any time. An exception is reported as a problem of this
        provider and stops neither the gateway nor other providers.

        :param sink: an :class:`ISnapshotSink` for this provider alone.
        """

    def reload() -> None:
        """Look for changes now, at the user's request, and publish them."""

    def stop() -> Deferred[None] | None:
        """
        Publish nothing more, and end all timers, threads, files and connections. The gateway calls this also after a
        :meth:`start` that raised an exception.

        :return: None, or a Deferred that fires when all of them have ended.
        """


class ISnapshotSink(Interface):
    """The way of a provider's snapshots into the gateway. It may be called from any thread."""

    def publish(snapshot: Snapshot) -> None:
        """
        Replace everything that this provider has published before. An empty snapshot withdraws all its routes. Of
        several snapshots in quick succession, only the last takes effect.

        :param snapshot: a :class:`meshgate.providers.snapshot.Snapshot`.
        """

    def failed(reason: str | Exception) -> None:
        """
        Report that the source cannot be read at the moment. The last snapshot keeps serving, and the reason is shown
        as a problem until the next :meth:`publish`.

        :param reason: a sentence, or an exception.
        """


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """
    The surroundings of a provider.

    :ivar reactor: for timers, connections and threads. ``Any``, since it provides more interfaces than one type can
        name.
    :ivar default_namespace: the namespace of documents that name none.
    """

    reactor: Any
    default_namespace: str = "default"


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """
    One fault in a provider's options. The reader of the settings file adds its line and column.

    :ivar path: keys and indexes below the provider's own mapping, as ``("paths", 0)``.
    :ivar message: the fault in one sentence, without a full stop.
    :ivar hint: a remedy, or empty.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


class OptionsError(Exception):
    """
    A provider's options cannot be used.

    :ivar problems: every fault found.
    """

    def __init__(self, *problems: OptionProblem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def unknown_options(options: Iterable[str], known: Iterable[str]) -> list[OptionProblem]:
    """
    Give a problem for each option that a provider does not have, with the nearest name that it has.

    :param options: the names in the settings.
    :param known: the names of the provider's options.
    """
    names = sorted(known)
    problems = []
    for option in options:
        if option not in names:
            near = get_close_matches(str(option), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(names)}"
            problems.append(OptionProblem((option,), f"unknown option {option!r}", hint))
    return problems
