"""A gateway whose state folder is on a full disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from meshgate.api.api_client import ApiClient, ApiClientError, address
from tests.api.api_objects import gateway, type_named
from tests.support import IMPORT_ROOT, Program, accepts, free_port, lacking, new_folder, require_program, wait_for

SIZE = 1 << 20
"""Bytes of the small disk."""

NOT_MOUNTED = 77
"""The exit status of the program below where it may not mount."""

ON_SMALL_DISK = f'mount -t tmpfs -o size={SIZE} small state || exit {NOT_MOUNTED}; exec "$@"'
"""Runs a program that has a small disk of its own below the folder ``state``."""


ROUTE: Any = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "a"},
    "spec": {
        "hosts": ["*"],
        "gateways": ["a"],
        "tcp": [{"route": [{"destination": {"host": "a.example.com", "port": {"number": 7}}}]}],
    },
}


class FullDiskTests(TestCase):
    """A gateway with the API, in a mount namespace of its own."""

    timeout = 120

    async def start(self) -> None:
        """Run the gateway until its API listens."""
        folder = new_folder(self)
        (folder / "state").mkdir()
        self.port = free_port()
        (folder / "meshgate.yaml").write_text(f"workers: 1\napi: {{port: {free_port()}}}\n")
        twistd = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "meshgate"]
        command = [require_program("unshare"), "-m", "sh", "-c", ON_SMALL_DISK, "sh", *twistd]
        environment = {"PYTHONPATH": str(IMPORT_ROOT)}
        process = Program(self, [*command, "--config", "meshgate.yaml"], folder, environment)
        await wait_for(lambda: "the API listens" in process.stderr or not process.running, "the API")
        if not process.running:
            if await process.exit_status() in (1, NOT_MOUNTED) and "meshgate" not in process.stdout + process.stderr:
                raise lacking("a mount namespace with a disk of its own cannot be made")
            self.fail(process.stdout + process.stderr)
        self.state = Path(f"/proc/{process.pid}/root", *(folder / "state").parts[1:])
        self.client = ApiClient(self.state / "kubeconfig")
        self.process = process

    def fill(self) -> None:
        """Write until the small disk is full; it must be that one, and no larger one."""
        space = os.statvfs(self.state)
        self.assertLessEqual(space.f_blocks * space.f_frsize, SIZE)
        with (self.state / "filling").open("wb", buffering=0) as file:
            try:
                for _ in range(SIZE // 512):
                    file.write(b"x" * 1024)
            except OSError:
                return
        self.fail("the disk does not get full")

    def send(self, method: str, name: str, body: Any = None, kind: str = "Gateway") -> None:
        """Write an object, blocking."""
        path = address(type_named(kind), "default", "" if method == "POST" else name)
        self.client.send(method, path, body)

    async def test_refused_and_healed(self) -> None:
        """Writes are refused with the reason while all else goes on, and are taken again once there is space."""
        await self.start()
        self.send("POST", "a", gateway("a", self.port))
        self.send("POST", "a", ROUTE, "VirtualService")
        await wait_for(lambda: accepts("127.0.0.1", self.port), "the port to open")
        self.fill()
        padded = gateway("b", annotations={"padding": "x" * 50_000})
        for method, name, body in (("POST", "b", padded), ("DELETE", "a", None), ("POST", "b", padded)):
            error = self.assertRaises(ApiClientError, self.send, method, name, body)
            self.assertEqual(error.code, 507)
            self.assertRegex(str(error), "^nothing was written: the disk of .*/state/api is full; .* free some space")
        found = [each["metadata"]["name"] for each in self.client.list(type_named("Gateway"))]
        self.assertEqual(found, ["a"])
        self.assertTrue(accepts("127.0.0.1", self.port))
        (self.state / "filling").unlink()
        self.send("POST", "b", padded)
        self.send("DELETE", "a")
        await wait_for(lambda: not accepts("127.0.0.1", self.port), "the port to close")
        self.assertNotIn("Traceback", self.process.stdout + self.process.stderr)
