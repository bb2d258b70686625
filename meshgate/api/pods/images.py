"""
The images that the lab's pods run: the two of Istio's examples below HTTP, and those of plug-ins.

``cjimti/go-echo`` greets a TCP client with five lines and sends every byte back; ``nicholasjackson/fake-service``
answers HTTPS with a JSON document. Both are the services of the lab.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.plugin import getPlugins
from zope.interface import implementer

from meshgate.api.pods.pod_image import AddressInUseError, ContainerError, ContainerRun, IPodImage, IRunningContainer
from meshgate.lab.echo import echo_service
from meshgate.lab.https import KeyPair, https_service
from meshgate.lab.listening import ListeningService, WorkloadError
from meshgate.settings.service_sections import EchoSettings, HttpsSettings

ECHO_PORT: Final = 2701
FAKE_SERVICE_PORT: Final = 9090

_FIRST_UNPRIVILEGED: Final = 1024


@implementer(IRunningContainer)
class RunningService:
    """
    A service of the lab as a container.

    :param port: the port that the container asks for. Where it is privileged and this process may not bind it, another
        one is bound.
    :param make: makes the service for a port; 0 lets the system choose.
    """

    def __init__(self, port: int, make: Callable[[int], ListeningService]) -> None:
        self._port = port
        self._make = make
        self._service: ListeningService | None = None
        self.ports: Mapping[int, int] = {}

    def start(self) -> None:
        """Listen as :meth:`IRunningContainer.start` says."""
        try:
            self._service = self._make(self._port)
            try:
                self._service.startService()
            except WorkloadError as error:
                if self._port >= _FIRST_UNPRIVILEGED or _errno(error) != errno.EACCES:
                    raise
                self._service = self._make(0)
                self._service.startService()
        except WorkloadError as error:
            in_use = _errno(error) == errno.EADDRINUSE
            raise (AddressInUseError if in_use else ContainerError)(str(error)) from None
        self.ports = {self._port: self._service.port}

    def drain(self) -> Deferred[None]:
        """Drain as :meth:`IRunningContainer.drain` says."""
        return self._service.drain() if self._service is not None else succeed(None)

    def stop(self) -> Deferred[None]:
        """Stop as :meth:`IRunningContainer.stop` says."""
        service, self._service = self._service, None
        return service.stopService() if service is not None else succeed(None)


def _errno(error: WorkloadError) -> int | None:
    cause = error.__cause__
    return getattr(getattr(cause, "socketError", cause), "errno", None)


@implementer(IPodImage)
class EchoImage:
    """The TCP echo service of ``cjimti/go-echo``: its variables are those of the greeting's lines."""

    names = ("cjimti/go-echo",)

    def make(self, container: ContainerRun, reactor: Any) -> IRunningContainer:
        """Make it as :meth:`IPodImage.make` says."""
        variables = container.environment
        port = _port(variables.get("TCP_PORT", str(ECHO_PORT)), "TCP_PORT")
        texts: dict[str, Any] = {
            "node": variables.get("NODE_NAME", ""),
            "pod": variables.get("POD_NAME", ""),
            "namespace": variables.get("POD_NAMESPACE", ""),
            "address": variables.get("POD_IP", ""),
            "service": variables.get("SERVICE_ACCOUNT", ""),
        }

        def make(number: int) -> ListeningService:
            # Not validated: a greeting takes any text, and 0 is no port of a settings file.
            settings = EchoSettings.model_construct(port=number, bind=container.address, **texts)
            return echo_service(settings, reactor)

        running: IRunningContainer = RunningService(port, make)
        return running


@implementer(IPodImage)
class FakeServiceImage:
    """The HTTPS service of ``nicholasjackson/fake-service``, with the certificate that its variables name."""

    names = ("nicholasjackson/fake-service",)

    def make(self, container: ContainerRun, reactor: Any) -> IRunningContainer:
        """Make it as :meth:`IPodImage.make` says."""
        variables = container.environment
        port = _port(variables.get("LISTEN_ADDR", f":{FAKE_SERVICE_PORT}").rpartition(":")[2], "LISTEN_ADDR")
        pair = KeyPair(
            _file(container, "TLS_CERT_LOCATION"),
            _file(container, "TLS_KEY_LOCATION"),
            variables["TLS_CERT_LOCATION"],
            variables["TLS_KEY_LOCATION"],
        )
        name = variables.get("NAME", "fake-service")

        def make(number: int) -> ListeningService:
            settings = HttpsSettings.model_construct(
                name=name, hosts=(), port=number, bind=container.address, message=variables.get("MESSAGE", "")
            )
            return https_service(settings, pair, reactor)

        running: IRunningContainer = RunningService(port, make)
        return running


def _port(text: str, variable: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text[:6]) < 65536:
        # The value is not quoted, since it may come from a Secret.
        raise ContainerError(f"the variable {variable} has to end with a port from 1 to 65535")
    return int(text)


def _file(container: ContainerRun, variable: str) -> bytes:
    """The content of the file that a variable names."""
    path = container.environment.get(variable)
    if not path:
        raise ContainerError(f"the variable {variable} is missing; without TLS, this image is not served")
    if path not in container.files:
        mounted = ", ".join(sorted(container.files)) or "no file"
        raise ContainerError(f"no volume mounts the file that the variable {variable} names ({mounted})")
    return container.files[path]


BUILT_IN: Final = (EchoImage(), FakeServiceImage())


def find_images() -> Mapping[str, IPodImage]:
    """The images by their names; of two with one name, that of a plug-in counts."""
    plugins: Iterable[IPodImage] = getPlugins(IPodImage)
    return {name: image for image in (*BUILT_IN, *plugins) for name in image.names}


def image_name(text: str) -> str:
    """The name of an image without registry, tag and digest: ``docker.io/cjimti/go-echo:v1`` is ``cjimti/go-echo``."""
    name = text.partition("@")[0]
    head, slash, last = name.rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    for registry in ("docker.io/", "index.docker.io/"):
        name = name.removeprefix(registry)
    return name.removeprefix("library/")
