"""A provider that publishes at once, later, from a thread, or never, as its options say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from meshgate.providers.interfaces import IRouteProvider, IRouteProviderFactory, ISnapshotSink, ProviderContext
from meshgate.providers.snapshot import Snapshot
from tests.cli.command_runs import SHOP

PLUGIN = """\
from meshgate.providers.plugin import RouteProviderPlugin

late = RouteProviderPlugin("late", "for tests", "tests.cli.late_provider.LateFactory")
"""
"""The text of a plug-in file for the provider."""


@implementer(IRouteProvider)
class LateProvider:
    """
    Publishes the shop.

    :param when: ``at once``, ``later``, ``in a thread``, ``fails``, or anything else for never.
    """

    def __init__(self, name: str, when: object, reactor: Any) -> None:
        self.name = name
        self.when = when
        self.reactor = reactor

    def start(self, sink: ISnapshotSink) -> None:
        """Publish, or see to it that it happens."""
        publish = partial(sink.publish, Snapshot.from_documents(SHOP, provider=self.name))
        if self.when == "at once":
            publish()
        elif self.when == "later":
            self.reactor.callLater(0.05, publish)
        elif self.when == "in a thread":
            deferToThreadPool(self.reactor, self.reactor.getThreadPool(), publish)
        elif self.when == "fails":
            self.reactor.callLater(0.05, sink.failed, "there is nobody")

    def reload(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


@implementer(IRouteProviderFactory)
class LateFactory:
    """Makes the provider."""

    type_name = "late"
    summary = "for tests"

    def parse_options(self, options: Mapping[str, object], folder: str) -> object:
        """Return the time when it publishes."""
        return options.get("when")

    def create(self, name: str, options: Any, context: ProviderContext) -> Any:
        """Make one."""
        return LateProvider(name, options, context.reactor)
