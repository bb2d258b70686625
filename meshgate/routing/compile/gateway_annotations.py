"""
What the annotations of Gateways ask for: access lists, and the PROXY headers that listeners expect.

A header comes before everything else, so that it is a matter of the whole listener. The oldest Gateway that says
something decides for all servers of its port and bind; if none does, the settings decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from meshgate.resources.kinds.annotations import ALLOW, DENY, EXPECTED, NONE, wants_dry_run
from meshgate.resources.kinds.gateway import Gateway
from meshgate.resources.networks import split_networks
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.resource import Resource, ResourceKey
from meshgate.routing.access_lists import AccessEntries, AccessList
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.compile.precedence import precedence
from meshgate.routing.compile.selection import selected
from meshgate.routing.proxy_headers import ExpectedHeader


class GatewayAccess:
    """
    The Gateways with an access list, most often none.

    :ivar entries: their lists as users write them, by ``namespace/name``.
    :ivar lists: the same for the table. It is replaced when something changes, and never edited.
    """

    def __init__(self) -> None:
        self.entries: Mapping[str, AccessEntries] = {}
        self.lists: Mapping[str, AccessList] = {}

    def add(self, gateway: Gateway) -> None:
        """Add the list of a Gateway, if it has one."""
        found = gateway.annotations
        if ALLOW not in found and DENY not in found:
            return
        entries = AccessEntries(
            f"Gateway {gateway.qualified_name}",
            split_networks(found.get(ALLOW, "")),
            split_networks(found.get(DENY, "")),
            wants_dry_run(found),
        )
        access = entries.access_list()
        if access is not None:
            self.entries = {**self.entries, gateway.qualified_name: entries}
            self.lists = {**self.lists, gateway.qualified_name: access}

    def remove(self, gateway: Gateway) -> None:
        """Remove the list of a Gateway."""
        name = gateway.qualified_name
        if name in self.lists:
            self.entries = {each: entries for each, entries in self.entries.items() if each != name}
            self.lists = {each: access for each, access in self.lists.items() if each != name}


_PATH = f'metadata.annotations["{EXPECTED}"]'


class HeaderWish(NamedTuple):
    """
    The PROXY header of a server.

    :ivar by_gateway: its Gateway has the annotation; otherwise the settings decide.
    :ivar header: None for none.
    """

    by_gateway: bool
    header: ExpectedHeader | None


def header_wish(gateway: Gateway, port: int, proxy: Proxy) -> HeaderWish | None:
    """
    The PROXY header of a Gateway's server; None if nobody speaks of one.

    :param port: on which the server listens.
    """
    mode = gateway.annotations.get(EXPECTED)
    if mode is not None:
        return HeaderWish(True, proxy.headers.header(mode, f"Gateway {gateway.qualified_name}"))
    header = proxy.headers.header(proxy.headers.mode_of(port), "the settings")
    return None if header is None else HeaderWish(False, header)


class AnnotatedGateways:
    """The Gateways that say something about PROXY headers, most often none."""

    def __init__(self) -> None:
        self._gateways: dict[ResourceKey, Gateway] = {}

    def add(self, gateway: Gateway) -> None:
        """Add a Gateway."""
        if EXPECTED in gateway.annotations:
            self._gateways[gateway.key] = gateway

    def remove(self, gateway: Gateway) -> None:
        """Remove a Gateway."""
        self._gateways.pop(gateway.key, None)

    def problems(self, proxy: Proxy) -> Iterator[Problem]:
        """A problem for each Gateway whose headers count from nobody, or that another Gateway overrules."""
        ours = [each for each in self._gateways.values() if selected(each.spec.selector, proxy.labels)]
        first: dict[tuple[int, str], Gateway] = {}
        for gateway in sorted(ours, key=Resource.order):
            if proxy.headers.trusted == () and gateway.annotations[EXPECTED] != NONE:
                yield _nobody_trusted(gateway)
            yield from _overruled(gateway, first)


def _nobody_trusted(gateway: Gateway) -> Problem:
    effect = "every connection is closed" if gateway.annotations[EXPECTED] == "strict" else "headers are not read"
    return gateway.problem(
        Severity.ERROR,
        "MG2084",
        f"PROXY headers are expected, and nobody is trusted to send them: {effect}",
        path=_PATH,
        hint="name the networks of the load balancers in listening.proxy_protocol.trusted of the settings",
    )


def _overruled(gateway: Gateway, first: dict[tuple[int, str], Gateway]) -> Iterator[Problem]:
    mode = gateway.annotations[EXPECTED]
    for server in gateway.spec.servers:
        port = server.port.number, server.bind
        other = first.setdefault(port, gateway)
        if other.annotations[EXPECTED] != mode:
            yield gateway.problem(
                Severity.WARNING,
                "MG2085",
                f"the annotation has no effect on port {server.port.number}: Gateway {other.qualified_name} "
                f"({other.location(_PATH)}) has {other.annotations[EXPECTED]} for the same listener, and comes first, "
                f"{precedence(other, gateway)}",
                path=_PATH,
                hint="write the same in all Gateways of a port",
            )
