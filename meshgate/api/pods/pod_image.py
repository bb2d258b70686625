"""
The contract between the lab's pods and an image: a name of a container image, and a service that stands for it.

A plug-in is an instance that provides :class:`IPodImage` and :class:`twisted.plugin.IPlugin`, at module level in a file
under ``twisted/plugins/``. Twisted's plug-in cache names this module, so it imports nothing heavy.
"""

# ruff: noqa: N805 - the methods of a zope interface are written without self

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class ContainerError(Exception):
    """
    A container cannot run. The message is a sentence for people, without a full stop.

    :ivar reason: a word for what it waits for; empty if it has ended, and is started again.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class AddressInUseError(ContainerError):
    """Another program listens on the container's address and port. The pod gets another address, a few times."""


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """
    A container that is to run.

    :ivar address: the IP address of its pod, which the service must listen on.
    :ivar environment: its variables, with those from fields, Secrets and ConfigMaps.
    :ivar arguments: its command and arguments.
    :ivar ports: the ports that it declares.
    :ivar files: the content of the files that its volumes mount, by their paths.
    """

    address: str
    environment: Mapping[str, str]
    arguments: Sequence[str]
    ports: Sequence[int]
    files: Mapping[str, bytes]


class IRunningContainer(Interface):
    """The service of one container."""

    ports: Mapping[int, int] = Attribute(
        """The ports that it listens on, by those that it was asked for; they differ where those are privileged."""
    )

    def start() -> None:
        """
        Listen.

        :raises AddressInUseError: if another program has the address and the port.
        :raises ContainerError: if that is not possible for another reason.
        """

    def drain() -> Deferred[None]:
        """Free the ports; the result comes when the last connection has ended. Stopping ends it early."""

    def stop() -> Deferred[None]:
        """End all connections, and free the ports."""


class IPodImage(Interface):
    """An image that the lab's pods can run."""

    names: Sequence[str] = Attribute("""The names of the image, without a tag, as ``cjimti/go-echo``.""")

    def make(container: ContainerRun, reactor: Any) -> IRunningContainer:
        """
        Make the service of a container.

        :raises ContainerError: if its environment, its arguments or its files cannot be used.
        """
