"""The section of the settings file about the health of endpoints."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Literal

from pydantic import BeforeValidator

from meshgate.resources.kinds.health_check import HealthCheckForm
from meshgate.resources.model import Items, ValueForm
from meshgate.resources.names import WildcardDomain
from meshgate.routing.hosts import full_name
from meshgate.settings.section import Section, key
from meshgate.settings.values import Duration, one_of


class _HostKey(Section):
    """The key that comes first in an entry."""

    host: Annotated[WildcardDomain, ValueForm("Host")] = key(
        "The host of a Service or ServiceEntry, or a wildcard over such hosts; a short name is of "
        "default_namespace. Of several entries, that with the most specific host counts."
    )


class HealthCheckEntry(HealthCheckForm, _HostKey):
    """A check for the endpoints of some hosts. The annotation meshgate.io/health-check counts in its place."""


class HealthSettings(Section):
    """The health of endpoints."""

    checks: Items[HealthCheckEntry] = key(
        "Checks of endpoints; an entry for a host without a route does nothing. The annotation "
        "meshgate.io/health-check of a DestinationRule, a Service or a ServiceEntry has the same keys except host, and "
        "counts in place of an entry.",
        (),
    )
    on_removed: Annotated[Literal["keep", "end"], BeforeValidator(one_of("keep", "end")), ValueForm("Choice")] = key(
        "What becomes of the connections of an endpoint that is removed from its destination: keep leaves them alone; "
        "end resets them as endpoint_removed, one after the other within spread.",
        "keep",
    )
    spread: Duration = key(
        "The time over which the connections of one endpoint are ended, so that its clients do not come back all at "
        "once; 0 ends them at once.",
        "30s",
    )

    def checks_by_host(self, namespace: str, domain_suffix: str) -> dict[str, tuple[HealthCheckForm, ...]]:
        """
        The checks by the full names of their hosts.

        :param namespace: of short names.
        """
        found: dict[str, list[HealthCheckForm]] = defaultdict(list)
        for each in self.checks:
            found[full_name(each.host, namespace, domain_suffix)].append(each)
        return {host: tuple(forms) for host, forms in found.items()}
