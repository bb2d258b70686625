"""
``twistd meshgate``: its options, and the service made from them.

Everything a user can have got wrong is found before the reactor runs: twistd's exit status is 0 after that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.logger import FileLogObserver, formatEventAsClassicLogText
from twisted.python import usage

from meshgate import __version__
from meshgate.processes.clock import follow_monotonic_clock
from meshgate.service import make_gateway, validate
from meshgate.settings import SettingsError


class Options(usage.Options):
    """The options behind ``twistd -n meshgate``."""

    synopsis = "--config FILE [--validate]"
    longdesc = (
        "An L4 ingress gateway that reads Istio's YAML: TCP ports and TLS SNI passthrough. "
        "'meshgate init DIR' writes an installation to start from. "
        "SIGHUP reads everything again; SIGTERM drains and ends."
    )
    optFlags = [["validate", None, "Load everything, print the problems, and exit with 0 or 1."]]  # noqa: RUF012
    optParameters = [["config", "c", None, "The settings file."]]  # noqa: RUF012

    def opt_version(self) -> None:
        """Print the version of meshgate and exit."""
        sys.stdout.write(f"meshgate {__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """
        Refuse to start without a settings file. In the foreground the program's own log goes to standard error,
        since standard output may carry the access log; ``--logfile``, ``--syslog`` and ``--logger`` have their way.
        """
        if not self["config"]:
            raise usage.UsageError("--config FILE is missing; 'meshgate init DIR' writes one to start from")
        twistd: Any = self.parent
        if twistd["nodaemon"] and not (twistd["logfile"] or twistd["logger"] or twistd.get("syslog")):
            twistd["logger"] = f"{__name__}.standard_error_log"


def standard_error_log() -> FileLogObserver:
    """The program's own log in the foreground; twistd finds it by its dotted name."""
    return FileLogObserver(sys.stderr, formatEventAsClassicLogText)


def makeService(options: Options) -> IService:
    """
    The gateway as a service.

    :raises SystemExit: with a message when the settings are broken, and with ``--validate`` always.
    """
    from twisted.internet import reactor

    path = Path(options["config"])
    any_reactor: Any = reactor
    follow_monotonic_clock(any_reactor)
    try:
        if options["validate"]:
            raise SystemExit(validate(path, any_reactor))
        return make_gateway(path, any_reactor)
    except SettingsError as error:
        raise SystemExit(str(error)) from None
