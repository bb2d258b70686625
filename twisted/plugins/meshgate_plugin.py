"""meshgate's plug-ins. They name what they start: nothing is imported before one of them is chosen."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

from meshgate.providers.plugin import RouteProviderPlugin

echo = ServiceMaker(  # type: ignore[no-untyped-call]
    "meshgate echo service",
    "meshgate.lab.services.EchoTap",
    "The lab's TCP service that greets its clients and echoes what they send.",
    "meshgate-echo",
)

https = ServiceMaker(  # type: ignore[no-untyped-call]
    "meshgate HTTPS service",
    "meshgate.lab.services.HttpsTap",
    "The lab's HTTPS service that says in JSON who answers.",
    "meshgate-https",
)

gateway = ServiceMaker(  # type: ignore[no-untyped-call]
    "meshgate",
    "meshgate.tap",
    "An L4 ingress gateway that reads Istio's YAML: TCP ports and TLS SNI passthrough.",
    "meshgate",
)

directory = RouteProviderPlugin(
    "directory", "YAML and JSON files and folders, live", "meshgate.providers.directory.provider.DirectoryFactory"
)
