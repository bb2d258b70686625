"""
The plug-in ``twistd meshgate``: its options, and the service made from them.

Mistakes of users are found before the reactor runs, since twistd's exit status is 0 after that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from meshgate import __version__
from meshgate.compiled import compiled_text
from meshgate.processes.clock import follow_monotonic_clock
from meshgate.processes.launch import Duties, Launch


class Options(usage.Options):
    """
    The options behind ``twistd -n meshgate``.

    :ivar launch: the start of the program; None if nothing is to be started.
    """

    synopsis = "--config FILE [--validate]"
    longdesc = (
        "An L4 ingress gateway that reads Istio's YAML: TCP ports and TLS SNI passthrough. "
        "'meshgate init DIR' writes an installation to start from. "
        "SIGHUP reads everything again; SIGUSR1 reopens the logs; "
        "SIGUSR2 starts the next version, which takes over; SIGTERM drains and ends; SIGQUIT ends at once."
    )
    optFlags = [["validate", None, "Load everything, print the problems, and exit with 0 or 1."]]  # noqa: RUF012
    optParameters = [["config", "c", None, "The settings file."]]  # noqa: RUF012
    launch: Launch | None = None

    def opt_version(self) -> None:
        """Print the version of meshgate and exit."""
        sys.stdout.write(f"meshgate, version {__version__}, {compiled_text()}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Refuse to start without a settings file. ``--validate`` starts nothing, so it ignores pidfiles."""
        if not self["config"]:
            raise usage.UsageError("--config FILE is missing; 'meshgate init DIR' writes one to start from")
        twistd: Any = self.parent
        if self["validate"]:
            twistd["pidfile"] = ""
            return
        self.launch = Launch(twistd, "meshgate")
        self.launch.prepare()


def makeService(options: Options) -> IService:
    """
    Make the service of the gateway. In the foreground its log goes to standard error, since standard output may be that
    of the access log.

    :raises SystemExit: with a message if the settings are broken; with ``--validate`` always.
    """
    from twisted.internet import reactor

    any_reactor: Any = reactor
    follow_monotonic_clock(any_reactor)
    path = Path(options["config"])
    launch = options.launch
    if launch is None:
        raise SystemExit(_validate(path, any_reactor))
    launch.begin(any_reactor, sys.stderr)
    return launch.attempt(lambda: _make_program(path, any_reactor, launch))


# Both functions import the rest only now, since it takes a while: signals are handled by then.


def _validate(path: Path, reactor: Any) -> int | str:
    """
    Load and compile everything as the gateway would, open no port, and print the problems as ``meshgate check`` does.

    :return: an exit status, 1 if there is an error, else 0; or a message, if the settings cannot be used.
    """
    from meshgate.providers.compiling import CompilerState, compile_state
    from meshgate.providers.feed import Feed
    from meshgate.providers.interfaces import ProviderContext
    from meshgate.providers.registry import find_factories
    from meshgate.providers.running import Providers
    from meshgate.report import print_problems
    from meshgate.resources.phases import at_once
    from meshgate.resources.problem import has_errors
    from meshgate.settings.load import SettingsError, load_settings
    from meshgate.transport.binding import ipv6_exists

    registry = find_factories()
    try:
        settings = load_settings(path, registry)
    except SettingsError as error:
        return str(error)
    feed = Feed(reactor, lambda state: None)
    providers = Providers(feed)
    providers.apply(settings.providers, ProviderContext(reactor, settings.content.default_namespace))
    state = feed.flush()
    feed.stop()
    providers.stop()
    compilation = at_once(compile_state(state, settings.proxy(ipv6=ipv6_exists()), 1, CompilerState()))
    problems = (*registry.problems, *settings.warnings, *compilation.problems)
    print_problems(problems, compilation.counts)
    return 1 if has_errors(problems) else 0


def _make_program(path: Path, reactor: Any, launch: Launch) -> IService:
    from meshgate.control import ControlProcess
    from meshgate.providers.registry import find_factories
    from meshgate.resources.problem import Phase, Problem, Severity
    from meshgate.settings.load import SettingsError, load_settings
    from meshgate.settings.section import UNUSABLE
    from meshgate.transport.network import NoSuchTransport

    registry = find_factories()
    try:
        gateway = ControlProcess(load_settings(path, registry), registry, reactor, launch)
    except SettingsError as error:
        launch.fail(str(error))
    except NoSuchTransport as error:
        problem = Problem(Severity.ERROR, UNUSABLE, str(error), Phase.VALIDATION, str(path), path="transport")
        launch.fail(str(SettingsError([problem])))
    return launch.run(
        gateway, reactor, Duties(gateway.end_at_once, gateway.reopen_logs, gateway.reload, gateway.succession.upgrade)
    )
