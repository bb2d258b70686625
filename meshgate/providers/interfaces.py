"""
The contract between the gateway and a source of routes. Zope interfaces only.

Twisted's plug-in cache names these interfaces in every environment that has meshgate installed, so any
``twistd`` imports this module: it must import nothing heavy, and at run time nothing else of meshgate.
"""

# ruff: noqa: N805 - the methods of a zope interface are written without self

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from meshgate.providers.context import ProviderContext
    from meshgate.providers.snapshot import Snapshot


class IRouteProviderFactory(Interface):
    """
    Makes providers of one type. An instance that also provides :class:`twisted.plugin.IPlugin`, standing at
    module level in a file under ``twisted/plugins/``, is a plug-in; the settings choose it by its type.
    :class:`meshgate.providers.plugin.RouteProviderPlugin` is such an instance around a factory's dotted name.
    """

    type_name: str = Attribute(
        """
        The word that stands under ``type:`` in the settings: lower-case letters, digits and dashes. The first
        plug-in with a name, in the order of their modules' names, keeps it; a second one is reported.
        """
    )

    summary: str = Attribute("""One line about the provider, shown where the known types are listed.""")

    def parse_options(options: Mapping[str, object], folder: str) -> Any:
        """
        Judge this provider's own part of the settings. Called before anything starts; must have no side
        effects.

        :param options: what the user wrote under the provider, without ``name`` and ``type``: a mapping of
            plain values.
        :param folder: the folder of the settings file; relative paths are relative to it.
        :return: whatever :meth:`create` takes as its options. Equal options must compare equal: a provider
            whose options did not change is kept when the settings are read again.
        :raises meshgate.providers.options.OptionsError: with every problem found, each with the path to the
            option concerned.
        """

    def create(name: str, options: Any, context: ProviderContext) -> IRouteProvider:
        """
        Make a provider. Must not touch the network or files, nor start anything: that is what
        :meth:`IRouteProvider.start` is for.

        :param name: the provider's name in the settings.
        :param options: what :meth:`parse_options` returned.
        :param context: what the gateway lends every provider, the reactor among it.
        :return: a provider of :class:`IRouteProvider`.
        """


class IRouteProvider(Interface):
    """A source of routes: publishes whole snapshots of its resources, whenever they change."""

    name: str = Attribute("""The provider's name in the settings.""")

    def start(sink: ISnapshotSink) -> None:
        """
        Begin to publish. What can be read at once should be published before this returns, so that the first
        ports open with the routes; the rest may follow at any time. An exception is reported as a problem of
        this provider and stops neither the gateway nor other providers.

        :param sink: an :class:`ISnapshotSink` of this provider's own.
        """

    def reload() -> None:
        """Look again, now: the user asked for it. Publishes if anything changed."""

    def stop() -> Deferred[None] | None:
        """
        Publish nothing more, and let go of timers, threads, files and connections. Also called after a
        :meth:`start` that raised.

        :return: None, or a Deferred that fires when all of it is gone.
        """


class ISnapshotSink(Interface):
    """Where a provider's snapshots go. May be called from any thread."""

    def publish(snapshot: Snapshot) -> None:
        """
        Replace everything that this provider published before. An empty snapshot withdraws all its routes.
        The latest wins; several within a moment are taken as one.

        :param snapshot: a :class:`meshgate.providers.snapshot.Snapshot`.
        """

    def failed(reason: str | Exception) -> None:
        """
        Say that the source cannot be read at the moment. What was published last keeps serving, and the
        reason is shown as a problem until the next :meth:`publish`.

        :param reason: a sentence, or an exception.
        """
