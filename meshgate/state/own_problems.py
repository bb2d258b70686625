"""
Problems of the gateway itself, beside those of its resources, ports and workers: those of its settings in force.

Each stays until the same subject is found in order, at a reload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from twisted.logger import Logger

from meshgate.resources.problem import Phase, Problem, Severity
from meshgate.transport.own_sockets import is_local_address


class OwnProblems:
    """At most one problem for each subject, as ``settings`` or ``access log``."""

    log = Logger()

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    def all(self) -> tuple[Problem, ...]:
        """The problems that exist now."""
        return tuple(self._problems.values())

    def settings_unusable(self, error: Exception) -> None:
        """Note that the settings cannot be reloaded."""
        self._problems["settings"] = _error("MG3005", f"the settings cannot be reloaded: {error}")

    def settings_usable(self) -> None:
        """Note that the settings have been reloaded."""
        self._problems.pop("settings", None)

    def check_workers(self, wanted: int, running: int) -> None:
        """Compare the number of workers in the settings with that of the start, which stays in force."""
        if wanted == running:
            self._problems.pop("workers", None)
        else:
            message = f"workers is now {wanted}, and {running} until the gateway is started again"
            self._problems["workers"] = Problem(Severity.WARNING, "MG3103", message, Phase.ANALYSIS)

    def check_unchanged(self, key: str, wanted: object, running: object) -> None:
        """Compare a section of the settings with that of the start, which stays in force."""
        if wanted == running:
            self._problems.pop(key, None)
        else:
            message = f"{key} has changed, which counts when the gateway is started again"
            self._problems[key] = Problem(Severity.WARNING, "MG3103", message, Phase.ANALYSIS)

    def check_source_addresses(self, addresses: Iterable[str]) -> None:
        """Find the addresses to dial from that this machine does not have: dials from them would only fail."""
        missing = [each for each in addresses if not is_local_address(ip_address(each))]
        if missing:
            message = f"upstream_source: {', '.join(missing)} is no address of this machine, and is passed over"
            self._problems["upstream_source"] = Problem(Severity.WARNING, "MG3104", message, Phase.ANALYSIS)
        else:
            self._problems.pop("upstream_source", None)

    def attempt(self, subject: str, action: Callable[[], None], *expected: type[Exception]) -> None:
        """
        Renew something at a reload. A failure becomes a problem, and the reload goes on.

        :param expected: the exceptions of a failure, whose messages are for people.
        """
        try:
            action()
        except expected as error:
            self._problems[subject] = _error("MG3006", f"the {subject} cannot be renewed: {error}")
        else:
            if self._problems.pop(subject, None) is not None:
                self.log.info("the {part} is renewed", part=subject)


def _error(code: str, message: str) -> Problem:
    return Problem(Severity.ERROR, code, message, Phase.ANALYSIS)
