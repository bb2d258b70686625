"""Reads ``{"shop.example.com": "10.0.0.7:8443"}`` and publishes a route for each host; follows the file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.task import LoopingCall
from zope.interface import implementer

from meshgate.providers.context import ProviderContext
from meshgate.providers.interfaces import IRouteProvider, IRouteProviderFactory, ISnapshotSink
from meshgate.providers.options import OptionProblem, OptionsError, unknown_options
from meshgate.providers.snapshot import Snapshot
from meshgate_inventory.documents import documents

POLL = 0.5
"""Seconds between two looks at the file."""


@dataclass(frozen=True)
class InventoryOptions:
    """
    What the settings say; compared with ``==`` when they are read again.

    :ivar path: the inventory file.
    :ivar port: the port to listen on.
    :ivar protocol: ``TLS``: to each host by its SNI; ``TCP``: everything to one host.
    """

    path: str
    port: int
    protocol: str


@implementer(IRouteProviderFactory)
class InventoryFactory:
    """Judges options and makes providers; nothing happens yet."""

    type_name = "inventory"
    summary = "hosts from a JSON inventory"

    def parse_options(self, options: Mapping[str, object], folder: str) -> InventoryOptions:
        """Collect every fault, not only the first."""
        problems = unknown_options(options, ("path", "port", "protocol"))
        path, port, protocol = options.get("path"), options.get("port", 443), options.get("protocol", "TLS")
        if not isinstance(path, str):
            problems.append(OptionProblem(("path",), "the path of the inventory file is required"))
        if type(port) is not int or not 1 <= port <= 65535:
            problems.append(OptionProblem(("port",), f"{port!r} is not a port", "a number from 1 to 65535"))
        if protocol not in ("TLS", "TCP"):
            problems.append(OptionProblem(("protocol",), f"{protocol!r} is neither TLS nor TCP"))
        if problems:
            raise OptionsError(*problems)
        return InventoryOptions(os.path.join(folder, str(path)), int(str(port)), str(protocol))

    def create(self, name: str, options: InventoryOptions, context: ProviderContext) -> IRouteProvider:
        """Start nothing: :meth:`InventoryProvider.start` does."""
        return InventoryProvider(name, options, context)


@implementer(IRouteProvider)
class InventoryProvider:
    """Publishes the inventory whenever the file has changed."""

    def __init__(self, name: str, options: InventoryOptions, context: ProviderContext) -> None:
        self.name = name
        self._options = options
        self._context = context
        self._read: tuple[int, int] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = context.reactor

    def start(self, sink: ISnapshotSink) -> None:
        """Publish at once, so that the ports open with the routes, and then after each change."""
        self._sink = sink
        self._loop.start(POLL)

    def reload(self) -> None:
        """Read the file again, changed or not."""
        self._read = None
        self._look()

    def stop(self) -> None:
        """Leave nothing behind."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        try:
            status = os.stat(self._options.path)
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._read:
                self._publish()
                self._read = seen
        except OSError as error:
            self._sink.failed(error)  # what was published last keeps serving
        except ValueError as error:
            self._sink.failed(f"{self._options.path}: {error}")

    def _publish(self) -> None:
        with open(self._options.path, encoding="utf-8") as file:
            inventory = json.load(file)
        snapshot = Snapshot.from_documents(
            documents(inventory, self._options.port, self._options.protocol),
            provider=self.name,
            source=self._options.path,
            default_namespace=self._context.default_namespace,
        )
        self._sink.publish(snapshot)
