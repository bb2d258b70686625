"""A route provider that follows a JSON file such as ``{"shop.example.com": "10.0.0.7:8443"}``, one host a route."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.task import LoopingCall
from zope.interface import implementer

from meshgate.providers.interfaces import (
    IRouteProvider,
    IRouteProviderFactory,
    ISnapshotSink,
    OptionProblem,
    OptionsError,
    ProviderContext,
    unknown_options,
)
from meshgate.providers.snapshot import Snapshot
from meshgate_inventory.documents import documents

POLL = 0.5
"""Seconds between two checks of the file."""


@dataclass(frozen=True)
class Options:
    """
    The provider's options in the settings; meshgate compares them with ``==`` when the settings are read again.

    :ivar path: the file of hosts.
    :ivar port: the port to listen on.
    :ivar protocol: ``TLS`` routes to each host by its SNI, ``TCP`` routes every connection to the first host.
    """

    path: str
    port: int
    protocol: str


@implementer(IRouteProviderFactory)
class InventoryFactory:
    """Validates options and makes providers, without side effects."""

    type_name = "inventory"
    summary = "hosts from a JSON file"

    def parse_options(self, options: Mapping[str, object], folder: str) -> Options:
        """Report every fault, not only the first."""
        problems = unknown_options(options, ("path", "port", "protocol"))
        path, port, protocol = options.get("path"), options.get("port", 443), options.get("protocol", "TLS")
        if not isinstance(path, str):
            problems.append(OptionProblem(("path",), "the path of the file of hosts is required"))
        if type(port) is not int or not 1 <= port <= 65535:
            problems.append(OptionProblem(("port",), f"{port!r} is not a port", "a number from 1 to 65535"))
        if protocol not in ("TLS", "TCP"):
            problems.append(OptionProblem(("protocol",), f"{protocol!r} is neither TLS nor TCP"))
        if problems:
            raise OptionsError(*problems)
        return Options(os.path.join(folder, str(path)), int(str(port)), str(protocol))

    def create(self, name: str, options: Options, context: ProviderContext) -> IRouteProvider:
        """Make a provider; :meth:`InventoryProvider.start` starts it."""
        return InventoryProvider(name, options, context)


@implementer(IRouteProvider)
class InventoryProvider:
    """Publishes the hosts whenever the file has changed."""

    def __init__(self, name: str, options: Options, context: ProviderContext) -> None:
        self.name = name
        self._options = options
        self._context = context
        self._signature: tuple[int, int] | None = None
        self._loop = LoopingCall(self._check)
        self._loop.clock = context.reactor

    def start(self, sink: ISnapshotSink) -> None:
        """Publish at once, so that the ports open with the routes, and then after each change."""
        self._sink = sink
        self._loop.start(POLL)

    def reload(self) -> None:
        """Read the file again, changed or not."""
        self._signature = None
        self._check()

    def stop(self) -> None:
        """Stop checking."""
        if self._loop.running:
            self._loop.stop()

    def _check(self) -> None:
        try:
            status = os.stat(self._options.path)
            signature = (status.st_mtime_ns, status.st_ino)
            if signature != self._signature:
                self._publish()
                self._signature = signature
        except OSError as error:
            self._sink.failed(error)  # the last snapshot keeps serving
        except ValueError as error:
            self._sink.failed(f"{self._options.path}: {error}")

    def _publish(self) -> None:
        with open(self._options.path, encoding="utf-8") as file:
            hosts = json.load(file)
        snapshot = Snapshot.from_documents(
            documents(hosts, self._options.port, self._options.protocol),
            provider=self.name,
            source=self._options.path,
            default_namespace=self._context.default_namespace,
        )
        self._sink.publish(snapshot)
