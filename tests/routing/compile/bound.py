"""Servers and claims read from documents, for tests of single modules of the compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshgate.resources.kinds.gateway import Gateway, GatewaySpec
from meshgate.resources.kinds.virtualservice import VirtualService, VirtualServiceSpec
from meshgate.resources.problem import Problem
from meshgate.resources.resource import Resource
from meshgate.routing.compile.catalog import Catalog
from meshgate.routing.compile.claims import ClaimReader, ServerClaims
from meshgate.routing.compile.destination_rules import DestinationRules
from meshgate.routing.compile.destinations import DestinationResolver
from meshgate.routing.compile.gateway_proxy import GatewayPods, Proxy
from meshgate.routing.compile.servers import BoundServer, servers_of
from tests.configurations import PROXY, Document, read

NO_PODS = GatewayPods()


def gateways(resources: list[Resource[Any]]) -> list[Gateway]:
    """The Gateways among resources, the oldest first."""
    return sorted((each for each in resources if isinstance(each.spec, GatewaySpec)), key=Resource.order)


def virtual_services(resources: list[Resource[Any]]) -> list[VirtualService]:
    """The VirtualServices among resources, the oldest first."""
    return sorted((each for each in resources if isinstance(each.spec, VirtualServiceSpec)), key=Resource.order)


def servers(gateway: Gateway, proxy: Proxy = PROXY) -> tuple[BoundServer, ...]:
    """The servers of a Gateway that selects the proxy."""
    found = servers_of(gateway, NO_PODS, proxy)
    assert not isinstance(found, Problem)
    return found


def server(*documents: Document) -> BoundServer:
    """The first server of the first Gateway."""
    return servers(gateways(read(*documents))[0])[0]


def claims_by(resources: list[Resource[Any]]) -> Callable[[BoundServer, VirtualService], ServerClaims]:
    """A claim reader's method for servers and VirtualServices that use these resources."""
    catalog, rules, reader = (
        Catalog(resources, PROXY.domain_suffix),
        DestinationRules((), PROXY),
        ClaimReader(PROXY.domain_suffix),
    )
    return lambda server, one: reader.read(
        server, one, lambda: DestinationResolver(catalog, rules, PROXY, all_hosts=catalog)
    )
