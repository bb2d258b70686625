"""
What is worth saying about all resources together beyond what the compiler drops: dangling references, contradictions.

It changes no route. The rules are mostly those of Istio's analyzers (pkg/config/analysis/analyzers), held against what
is known here: files instead of a cluster, and this gateway in place of its pod.
"""

from __future__ import annotations

from meshgate.routing.analysis_certificates import credentials, shared_certificates
from meshgate.routing.analysis_gateways import conflicting_gateways, ports_not_on_service
from meshgate.routing.analysis_mesh import mesh_conflicts, rules_without_effect
from meshgate.routing.analysis_rules import idle_subsets, unknown_hosts, unverified_servers
from meshgate.routing.analysis_services import conflicting_protocols, missing_addresses, unnamed_protocols
from meshgate.routing.analysis_virtualservices import hostless_destinations, hosts_not_in_gateway, unreached_rules

ANALYZERS = (
    conflicting_gateways,
    ports_not_on_service,
    credentials,
    shared_certificates,
    hosts_not_in_gateway,
    hostless_destinations,
    unreached_rules,
    mesh_conflicts,
    rules_without_effect,
    unnamed_protocols,
    missing_addresses,
    conflicting_protocols,
    unknown_hosts,
    idle_subsets,
    unverified_servers,
)
"""All of them; each takes an :class:`~meshgate.routing.analysis_input.AnalysisInput` and gives what it finds."""
