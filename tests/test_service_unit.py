"""
The service unit, as far as that is possible without a systemd that has booted: the gateway is started with the unit's
user, capabilities and file system, and every system call that it makes is compared with what the unit allows.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from meshgate.cli.init import write_installation
from tests.lab_with_workers import END_OF_GREETING, Client
from tests.networks import enter_own_network
from tests.processes.test_service_manager import UNIT, Manager
from tests.sandbox import Sandbox
from tests.support import new_folder, require_program, wait_for

NOBODY = 65534

TOLERATED_FAMILIES = {"AF_NETLINK"}
"""Families whose sockets the gateway can do without: addresses are then looked up in another way."""


def directives() -> dict[str, list[str]]:
    """The values of each directive of the unit."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(?m)^(\w+)=(.*)$", UNIT.read_text()):
        found.setdefault(name, []).append(value)
    return found


def system_calls(group: str, lines: list[str]) -> set[str]:
    """The system calls of a group, by the output of ``systemd-analyze syscall-filter``."""
    start = lines.index(group) + 1
    calls: set[str] = set()
    for line in lines[start:]:
        if not line.startswith(" "):
            break
        name = line.strip()
        if name.startswith("@"):
            calls |= system_calls(name, lines)
        elif not name.startswith("#"):
            calls.add(name)
    return calls


class UnitTests(TestCase):
    """One start, with two workers."""

    timeout = 170

    async def test_it_starts_within_its_limits(self) -> None:
        """
        It opens a port below 1024 as an ordinary user, writes to its folders alone, tells that it is ready, reads
        everything again and drains, by system calls, address families and memory that the unit allows.
        """
        strace, analyze = require_program("strace"), require_program("systemd-analyze")
        enter_own_network(self)
        unit = directives()
        self.assertEqual(unit["AmbientCapabilities"], ["CAP_NET_BIND_SERVICE"])
        self.assertEqual(unit["ProtectSystem"], ["strict"])
        folder, state, logs = new_folder(self) / "settings", new_folder(self), new_folder(self)
        write_installation(folder)
        settings = (folder / "meshgate.yaml").read_text()
        settings = re.sub(r"(?m)^state_dir: .*", "state_dir: /var/lib/meshgate", settings)
        settings = re.sub(r'(?m)^  path: "-"$', "  path: /var/log/meshgate/access.log", settings)
        (folder / "meshgate.yaml").write_text(re.sub(r"(?m)^workers: .*", "workers: 2", settings))
        for route in (folder / "routes").iterdir():
            route.write_text(route.read_text().replace("31400", "443"))
        manager = Manager(self)
        os.chown(manager.path, NOBODY, NOBODY)

        command = unit["ExecStart"][0].replace("/opt/meshgate/bin/", "").split()
        service = Sandbox(
            self,
            [strace, "-f", "-qq", "-o", "/var/log/meshgate/trace", *command],
            NOBODY,
            {"/etc/meshgate": folder},
            {"/var/lib/meshgate": state, "/var/log/meshgate": logs, "/run/systemd": Path(manager.path).parent},
            ["net_bind_service"],
            {"NOTIFY_SOCKET": "/run/systemd/notify"},
        )
        await wait_for(lambda: any("READY=1" in each for each in manager.read()), "ready", timeout=90)
        client = Client(self, 443)
        client.read_until(END_OF_GREETING)
        (main,) = map(int, Path(f"/proc/{service.init}/task/{service.init}/children").read_text().split())
        os.kill(main, signal.SIGHUP)
        await wait_for(lambda: sum("READY=1" in each for each in manager.read()) == 2, "the reload", timeout=60)
        os.kill(main, signal.SIGTERM)
        client.finish()
        self.assertEqual(await service.exit_status(), 0, service.stderr)
        self.assertIn(":443", (logs / "access.log").read_text())

        calls = (logs / "trace").read_text(errors="replace")
        listed = subprocess.run([analyze, "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True)
        lines = [line.rstrip() for line in listed.stdout.splitlines()]
        allowed: set[str] = set()
        for group in unit["SystemCallFilter"]:
            named = system_calls(group.lstrip("~"), lines)
            allowed = allowed - named if group.startswith("~") else allowed | named
        used = set(re.findall(r"(?m)^\d+ +(\w+)\(", calls))
        self.assertIn("accept4", used)
        self.assertEqual(used - allowed, set())
        families = set(re.findall(r"(?m)^\d+ +socket\((AF_\w+)", calls)) - TOLERATED_FAMILIES
        self.assertLessEqual(families, set(unit["RestrictAddressFamilies"][0].split()))
        self.assertEqual(re.findall(r"(?m)^.* mmap\(.*PROT_WRITE\|PROT_EXEC.*$", calls), [])
        self.assertEqual(re.findall(r"(?m)^.* mprotect\(.*PROT_EXEC.*$", calls), [])
        self.assertEqual(re.findall(r"(?m)^.* (?:clone3?|unshare)\(.*CLONE_NEW.*$", calls), [])
        tried = set(re.findall(r'(?m)^\d+ +openat\(AT_FDCWD, "([^"]+)", [^)]*O_CREAT', calls))
        own = ("/var/lib/meshgate/", "/var/log/meshgate/")
        self.assertEqual({each for each in tried if not each.startswith(own)}, set())
