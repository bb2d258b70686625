"""A controller of Kubernetes as a client of the API: Traefik, whose informers are those of client-go."""

from __future__ import annotations

import base64
import re
import signal
from functools import partial
from typing import Any

from ruamel.yaml import YAML
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from benchmarks.processes import BUILD
from meshgate.api.api_client import ApiClient, address
from meshgate.api.resource_types import TYPES
from tests.support import Program, TwistdProcess, free_port, lacking, new_folder, reactor, wait_for

TRAEFIK = BUILD / "peers" / "bin" / "traefik"
"""Traefik, which ``make peers`` installs."""

_TYPES = {each.kind: each for each in TYPES}

CONTENTS: dict[str, Any] = {
    "Secret": {"data": {"a": "Yg=="}},
    "Service": {"spec": {"ports": [{"name": "tcp", "port": 7}]}},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": []},
}
"""The kinds that Traefik watches for its Ingresses, of which there are none here."""


class TraefikTests(TestCase):
    """Traefik with its provider of Ingresses."""

    timeout = 120

    async def run_gateway(self) -> TwistdProcess:
        """Start the gateway, and wait until it serves."""
        process = TwistdProcess(self, ["meshgate", "--config", self.folder / "meshgate.yaml"], self.folder)
        await process.wait_for_output("the worker serves")
        return process

    def run_traefik(self) -> Program:
        """Start Traefik with the admin's credentials."""
        content = YAML(typ="safe", pure=True).load(self.kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        authority = self.folder / "authority.pem"
        authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        options = {
            "log.level": "DEBUG",
            "entrypoints.web.address": f"127.0.0.1:{free_port()}",
            "providers.kubernetesingress.endpoint": cluster["server"],
            "providers.kubernetesingress.token": user["token"],
            "providers.kubernetesingress.certauthfilepath": authority,
        }
        return Program(self, [TRAEFIK, *(f"--{name}={value}" for name, value in options.items())])

    async def follows(self) -> None:
        """Change an object of each kind until Traefik tells of it, and then wait until it tells of nothing more."""
        for kind in CONTENTS:
            told, number = len(self.told()), 0
            while kind not in self.told(told):
                number += 1
                self.apply(kind, f"again-{number}")
                await deferLater(reactor, 0.5)
        told = -1
        while told != len(self.told()):
            told = len(self.told())
            await deferLater(reactor, 1.0)

    def apply(self, kind: str, label: str) -> None:
        """Create or change an object, blocking."""
        name, type_ = kind.lower(), _TYPES[kind]
        head = {"apiVersion": type_.api_version(type_.versions[0]), "kind": kind}
        metadata = {"name": name, "namespace": "default", "labels": {"label": label}}
        query = {"fieldManager": "test", "force": "true"}
        body = {**head, "metadata": metadata, **CONTENTS[kind]}
        if kind == "EndpointSlice":
            # Traefik tells of no change but that of the endpoints.
            self.endpoints += 1
            body["endpoints"] = [{"addresses": [f"192.0.2.{self.endpoints}"]}]
        path = address(type_, "default", name)
        ApiClient(self.kubeconfig).send("PATCH", path, body, "application/apply-patch+yaml", query=query)

    async def changes_in_order(self) -> None:
        """Change objects of all kinds in turn: Traefik tells of each, and of none before it."""
        for number in range(9):
            kind = [*CONTENTS][number % len(CONTENTS)]
            told = len(self.told())
            self.apply(kind, str(number))
            await wait_for(partial(self.told, told), f"Traefik to tell of change {number}, of a {kind}")
            self.assertEqual(set(self.told(told)), {kind}, f"change {number}, of a {kind}")

    def told(self, before: int = 0) -> list[str]:
        """The kinds of the events that Traefik's informers have told of, after a number of events."""
        return re.findall(r"Kubernetes event kind \*v1\.(\w+)", self.traefik.stdout + self.traefik.stderr)[before:]

    async def test_informers(self) -> None:
        """They start, tell of each change in order, and go on after a gateway that was killed is back."""
        if not TRAEFIK.exists():
            raise lacking("Traefik is not installed (make peers)")
        self.folder, self.endpoints = new_folder(self), 0
        self.kubeconfig = self.folder / "state" / "kubeconfig"
        (self.folder / "meshgate.yaml").write_text(f"workers: 1\napi: {{port: {free_port()}}}\n")
        gateway = await self.run_gateway()
        self.traefik = self.run_traefik()
        await self.follows()
        await self.changes_in_order()
        self.assertNotIn("Failed to", self.traefik.stdout + self.traefik.stderr)

        gateway.signal(signal.SIGKILL)
        await gateway.exit_status()
        await self.run_gateway()
        await self.follows()
        await self.changes_in_order()
