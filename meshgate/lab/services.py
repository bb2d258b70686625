"""
The services of the lab as programs of their own: ``twistd -n meshgate-echo`` and ``twistd -n meshgate-https``.

An error of the user ends the process with one message and exit status 1.
"""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.python import usage

from meshgate import __version__
from meshgate.lab.echo import echo_service
from meshgate.lab.https import https_service, read_key_pair
from meshgate.lab.listening import ListeningService, WorkloadError
from meshgate.processes.clock import follow_monotonic_clock
from meshgate.processes.launch import Launch, StartError
from meshgate.settings.service_sections import EchoSettings, HttpsSettings

_DEFAULTS = EchoSettings(port=2701)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError(f"{text!r} is not a port, a number from 1 to 65535")
    return int(text)


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


_BIND = ("bind", "b", _DEFAULTS.bind, "The IP address to listen on; 0.0.0.0 for every IPv4 address.", _address)


class _Options(usage.Options):
    launch: Launch
    program = ""

    def opt_version(self) -> None:
        """Print the version of meshgate and exit."""
        sys.stdout.write(f"meshgate {__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        self.launch = Launch(self.parent, self.program)
        self.launch.prepare()


class EchoOptions(_Options):
    """The command line of ``meshgate-echo``."""

    program = "meshgate-echo"
    synopsis = "[--port PORT] [--bind ADDRESS] [--node TEXT …]"
    longdesc = (
        "A TCP service that greets each client with five lines about itself, then sends every byte back. "
        "Try: telnet 127.0.0.1 2701"
    )
    optParameters = (
        ("port", "p", _DEFAULTS.port, "The TCP port to listen on.", _port),
        _BIND,
        ("node", None, _DEFAULTS.node, "The node in the greeting."),
        ("pod", None, _DEFAULTS.pod, "The pod in the greeting."),
        ("namespace", None, _DEFAULTS.namespace, "The namespace in the greeting."),
        ("address", None, _DEFAULTS.address, "The IP address in the greeting; any text."),
        ("service", None, _DEFAULTS.service, "The service in the greeting."),
    )


class HttpsOptions(_Options):
    """The command line of ``meshgate-https``."""

    program = "meshgate-https"
    synopsis = "--port PORT --certificate FILE --key FILE --name NAME [--bind ADDRESS] [--message TEXT]"
    longdesc = (
        "An HTTPS service that answers GET and HEAD on every path with a JSON document that names the service. "
        "Try: curl --cacert CA-FILE --resolve HOST:PORT:127.0.0.1 https://HOST:PORT/"
    )
    optParameters = (
        ("port", "p", None, "The TCP port to listen on.", _port),
        _BIND,
        ("certificate", "c", None, "A PEM file with the service's own certificate, then those above it."),
        ("key", "k", None, "A PEM file with the certificate's private key, not encrypted."),
        ("name", None, None, "The service's name in its answers."),
        ("message", "m", None, "The answers' body. [default: Hello from NAME!!!]"),
    )

    def postOptions(self) -> None:
        """Refuse a command line without the options that have no default."""
        missing = [f"--{name}" for name in ("port", "certificate", "key", "name") if not self[name]]
        if missing:
            raise usage.UsageError(f"required, but not given: {', '.join(missing)}")
        super().postOptions()


class _Program(Service):
    """One service as the whole program."""

    def __init__(self, workload: ListeningService) -> None:
        self._workload = workload

    def startService(self) -> None:
        try:
            self._workload.startService()
        except WorkloadError as error:
            raise StartError(str(error)) from None
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Any:
        super().stopService()  # type: ignore[no-untyped-call]
        return self._workload.stopService()


def _reactor() -> Any:
    from twisted.internet import reactor

    any_reactor: Any = reactor
    follow_monotonic_clock(any_reactor)
    return any_reactor


class EchoTap:
    """The twistd plug-in ``meshgate-echo``."""

    Options = EchoOptions

    @staticmethod
    def makeService(options: EchoOptions) -> IService:
        """Make the echo service."""
        settings = EchoSettings(**{name: options[name] for name in EchoSettings.model_fields})
        reactor = _reactor()
        options.launch.begin(reactor, sys.stdout)
        service = _Program(echo_service(settings, reactor))
        return options.launch.run(service, reactor)


class HttpsTap:
    """The twistd plug-in ``meshgate-https``."""

    Options = HttpsOptions

    @staticmethod
    def makeService(options: HttpsOptions) -> IService:
        """
        Make the HTTPS service.

        :raises SystemExit: with a message if the certificate or the key cannot be used.
        """
        # Not validated: here the name is any text, and the hosts are those of the certificate.
        settings = HttpsSettings.model_construct(
            name=options["name"], hosts=(), port=options["port"], bind=options["bind"], message=options["message"] or ""
        )
        certificate, key = Path(options["certificate"]), Path(options["key"])
        reactor = _reactor()
        options.launch.begin(reactor, sys.stdout)

        def make() -> IService:
            try:
                service = https_service(settings, read_key_pair(certificate, key), reactor)
            except WorkloadError as error:
                options.launch.fail(str(error))
            return options.launch.run(_Program(service), reactor)

        return options.launch.attempt(make)
