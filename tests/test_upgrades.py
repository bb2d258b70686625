"""Upgrades of a real gateway: what goes over to the next process, and what happens if that does not come up."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from benchmarks import upgrade_soak
from benchmarks.processes import build
from meshgate.processes.upgrade import VARIABLE
from meshgate.state.folder import holder
from tests.background import TWISTD, Background
from tests.installation import ECHO, SNI, Installation
from tests.lab_with_workers import END_OF_GREETING, PORT, Client
from tests.support import IMPORT_ROOT, Program, accepts, free_port, read_to_end, require_program, wait_for

METRICS = 15090

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo}}
spec:
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec: {{containers: [{{name: echo, image: cjimti/go-echo, env: [{{name: TCP_PORT, value: "{port}"}}]}}]}}
"""
FAILED = "the upgrade has failed, and this process goes on"


def upgrade_command(test: TestCase, gateway: Background) -> Program:
    """``meshgate upgrade``."""
    command: list[str | Path] = [sys.executable, "-m", "meshgate", "upgrade", "--config", gateway.installation.settings]
    return Program(test, command, environment={"PYTHONPATH": str(IMPORT_ROOT)})


def short_path(test: TestCase) -> Path:
    """A path for a Unix socket, whose length is limited."""
    folder = tempfile.TemporaryDirectory(prefix="meshgate-")
    test.addCleanup(folder.cleanup)
    return Path(folder.name) / "s"


class UpgradeTestCase(TestCase):
    """A lab in the background."""

    timeout = 120

    async def start(self, **settings: str) -> Background:
        """Run one with two workers, and with time for its connections."""
        gateway = Background(self)
        gateway.installation.edit_settings(**{"workers": "2", "path": "access.log", "time": "60s", **settings})
        await gateway.start()
        return gateway

    async def upgraded(self, gateway: Background) -> int:
        """Upgrade; gives the number of the new process."""
        command = upgrade_command(self, gateway)
        self.assertEqual(await command.exit_status(), 0, command.stderr + gateway.log)
        return gateway.pid

    async def refused(self, gateway: Background, reason: str) -> None:
        """Upgrade in vain: the command and the log say why, and the same process goes on."""
        pid = gateway.pid
        command = upgrade_command(self, gateway)
        self.assertEqual(await command.exit_status(), 1, command.stderr)
        self.assertIn(reason, command.stderr)
        self.assertNotIn("Traceback", command.stderr)
        self.assertIn(FAILED, gateway.log)
        self.serves(gateway, pid)

    def serves(self, gateway: Background, pid: int) -> None:
        """Check that this process serves, and has everything that is a gateway's."""
        self.assertEqual(gateway.pid, pid)
        held = holder(gateway.installation.state)
        self.assertEqual((held.held, held.facts["pid"]), (True, pid))
        client = Client(self, gateway.installation.ports[ECHO])
        client.read_until(END_OF_GREETING)
        client.finish()

    async def new_process(self, gateway: Background, old: int) -> int:
        """Wait for the new process of an upgrade."""

        def found() -> int:
            for pid in gateway.processes():
                try:
                    started_with = Path(f"/proc/{pid}/environ").read_bytes()
                except OSError:
                    continue
                if pid != old and f"{VARIABLE}=".encode() in started_with:
                    return pid
            return 0

        return await wait_for(found, "the new process")


def meshgate(test: TestCase, gateway: Background, *arguments: str, stdin: str = "") -> str:
    """The output of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "meshgate", *arguments, "--config", str(gateway.installation.settings)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(IMPORT_ROOT)},
    )
    test.assertEqual(done.returncode, 0, done.stderr)
    return done.stdout


class SuccessTests(UpgradeTestCase):
    """The new process takes over."""

    async def test_everything_goes_over(self) -> None:
        """Sessions go on; the pidfile, the lock, the status, all ports and the API's objects are the new process's."""
        gateway = await self.start()
        lab, before = gateway.installation, gateway.pid
        session = Client(self, lab.ports[ECHO])
        session.read_until(END_OF_GREETING)
        scraper = socket.create_connection(("127.0.0.1", lab.ports[METRICS]), timeout=20)
        self.addCleanup(scraper.close)
        scraper.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200 OK", await deferToThread(scraper.recv, 4096))
        text = PORT.format(port=free_port(), target=lab.ports[2701])
        applied = meshgate(self, gateway, "apply", "-f", "-", stdin=text)
        self.assertIn("created", applied)
        after = await self.upgraded(gateway)
        self.assertNotEqual(after, before)
        self.serves(gateway, after)
        session.echoes(b"still here\n")
        # Whoever keeps a connection for the next request has to come back, and reaches the new process.
        await deferToThread(read_to_end, scraper)
        self.assertTrue(accepts("127.0.0.1", lab.ports[SNI]))
        status = await wait_for(lambda: (s := lab.status())["pid"] == after and s, "the status")
        self.assertTrue(status["running"])
        url = f"http://127.0.0.1:{lab.ports[METRICS]}/readyz"
        self.assertIn("ready", await deferToThread(lambda: urllib.request.urlopen(url, timeout=20).read().decode()))
        self.assertIn("further-gateway", meshgate(self, gateway, "get", "gateways", "-A"))
        self.assertIn("deleted", meshgate(self, gateway, "delete", "gateway", "further-gateway"))
        # The old process ends with its last connection, and leaves what is not its own any more.
        self.assertIn(before, gateway.processes())
        session.finish()
        await gateway.gone(before)
        self.serves(gateway, after)
        lines = (gateway.folder / "access.log").read_text()
        self.assertNotIn("drained", lines)
        await gateway.stop()
        self.assertFalse((gateway.folder / "twistd.pid").exists())
        self.assertEqual(holder(lab.state).facts["end"], "ended in order")

    async def test_other_settings(self) -> None:
        """Other numbers of workers, other routes: ports are kept, opened and closed; a queue is no place to die."""
        gateway = await self.start(workers="3")
        lab, kept, opened = gateway.installation, gateway.installation.ports[ECHO], free_port()
        for workers in ("1", "2"):
            session = Client(self, kept)
            session.read_until(END_OF_GREETING)
            # Other routes are read from the start of the new process on, and never by the old one.
            other = lab.folder / f"routes-{workers}"
            other.mkdir()
            for file in lab.routes.iterdir():
                if "sni" not in file.name:
                    (other / file.name).write_text(file.read_text())
            (other / "further.yaml").write_text(PORT.format(port=opened, target=lab.ports[2701]))
            text = lab.settings.read_text()
            lab.settings.write_text(re.sub(r"paths: \[.*\]", f"paths: [{other.name}/]", text))
            lab.edit_settings(workers=workers)
            before = gateway.pid
            self.serves(gateway, await self.upgraded(gateway))
            self.assertEqual(len(lab.status()["workers"]), int(workers))
            further = Client(self, opened)
            further.read_until(END_OF_GREETING)
            further.finish()
            session.echoes(b"still here\n")
            session.finish()
            await gateway.gone(before)
            self.assertFalse(accepts("127.0.0.1", lab.ports[SNI]))
            for _ in range(20):
                self.serves(gateway, gateway.pid)

    async def test_unix_sockets(self) -> None:
        """A path stays, with the same socket, and so does an abstract name; the old process removes neither."""
        gateway = await self.start()
        lab, path = gateway.installation, short_path(self)
        name = f"meshgate-test-{os.getpid()}-{free_port()}"
        text = PORT.format(port=1, target=lab.ports[2701])
        for number, bind in enumerate((f"unix://{path}", f"unix://@{name}")):
            bound = text.replace("servers: [{port: {number: 1,", f'servers: [{{bind: "{bind}", port: {{number: 0,')
            (lab.routes / f"5{number}-unix.yaml").write_text(bound.replace("further", f"unix-{number}"))
        await wait_for(path.exists, "the path")
        inode, before = path.stat().st_ino, gateway.pid
        after = await self.upgraded(gateway)
        await gateway.gone(before)
        self.assertEqual(path.stat().st_ino, inode)
        for address in (str(path), f"\0{name}"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(address)
                self.assertTrue(client.recv(1))
        self.assertEqual(gateway.pid, after)
        await gateway.stop()
        self.assertFalse(path.exists())

    async def test_the_service_manager(self) -> None:
        """It hears of the begin from the old process, then the new number, and only then from the new one."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        name = f"\0meshgate-notify-{os.getpid()}-{free_port()}"
        manager.bind(name)
        manager.setblocking(False)
        heard: list[str] = []

        def hears(text: str) -> bool:
            try:
                while True:
                    heard.append(manager.recv(4096).decode())
            except BlockingIOError:
                return any(text in each for each in heard)

        installation = Installation(self)
        installation.edit_settings(path="access.log")
        command: list[str | Path] = [sys.executable, TWISTD, "-n", "meshgate"]
        program = Program(
            self,
            [*command, "--config", installation.settings],
            installation.folder,
            {"PYTHONPATH": str(IMPORT_ROOT), "NOTIFY_SOCKET": f"@{name[1:]}", "WATCHDOG_USEC": "30000000"},
        )
        await wait_for(lambda: hears("READY=1"), "the first start")
        heard.clear()
        program.signal(signal.SIGUSR2)
        await wait_for(lambda: hears("READY=1"), "the upgrade")
        self.assertEqual(await program.exit_status(), 0)
        hears("")
        words = [line.split("=")[0] for each in heard for line in each.splitlines()]
        main = [line for each in heard for line in each.splitlines() if line.startswith("MAINPID=")]
        self.assertEqual(main, [f"MAINPID={holder(installation.state).facts['pid']}"])
        order = [each for each in words if each in ("RELOADING", "MAINPID", "READY", "STOPPING")]
        self.assertEqual(order, ["RELOADING", "MAINPID", "READY"])
        self.assertIn("MONOTONIC_USEC", words)

    async def test_under_load(self) -> None:
        """Upgrades and reloads under 500 connections a second, with more and with fewer workers: none fails."""
        for program in ("make", "cc"):
            require_program(program)
        await deferToThread(build, interpreted=True)
        figures = await deferToThread(upgrade_soak.soaked, (2, 1))
        self.assertIn("none failed", figures)


class FailureTests(UpgradeTestCase):
    """The old process goes on."""

    async def test_broken_settings(self) -> None:
        """The reason is told; once they are mended, the next upgrade succeeds."""
        gateway = await self.start()
        gateway.installation.edit_settings(connect="soon")
        await self.refused(gateway, "'soon' is not a duration")
        gateway.installation.edit_settings(connect="10s")
        self.serves(gateway, await self.upgraded(gateway))

    async def test_a_port_that_cannot_be_bound(self) -> None:
        """A start that fails after the handover of the sockets leaves them with the old process, and routes follow."""
        gateway = await self.start()
        lab = gateway.installation
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            text = lab.settings.read_text()
            lab.settings.write_text(text.replace(f"port: {lab.ports[METRICS]}", f"port: {number}"))
            await self.refused(gateway, f"the port of the metrics 127.0.0.1:{number} cannot be bound")
        lab.settings.write_text(text)
        self.assertTrue(accepts("127.0.0.1", lab.ports[SNI]))
        port = free_port()
        (lab.routes / "60-further.yaml").write_text(PORT.format(port=port, target=lab.ports[2701]))
        await wait_for(lambda: accepts("127.0.0.1", port), "the new route")

    async def test_a_new_process_that_is_killed(self) -> None:
        """At any moment: at its start, and when it has the sockets. No worker of it stays."""
        gateway = await self.start()
        old = gateway.pid
        for late in (False, True):
            command = upgrade_command(self, gateway)
            new = await self.new_process(gateway, old)
            if late:
                await wait_for(lambda: self.listens(new), "the sockets")  # noqa: B023
            os.kill(new, signal.SIGKILL)
            self.assertEqual(await command.exit_status(), 1, command.stderr)
            self.assertIn("the new process cannot take over: the other process is gone", command.stderr)
            self.serves(gateway, old)
            await wait_for(lambda: len(gateway.processes()) == 3, "the end of all others")
        self.serves(gateway, await self.upgraded(gateway))

    async def test_a_new_process_that_is_told_to_end(self) -> None:
        """SIGTERM to it before it has taken over leaves all ports to the old process, which goes on at once."""
        gateway = await self.start()
        lab, old, path = gateway.installation, gateway.pid, short_path(self)
        text = PORT.format(port=1, target=lab.ports[2701])
        bound = text.replace("servers: [{port: {number: 1,", f'servers: [{{bind: "unix://{path}", port: {{number: 0,')
        (lab.routes / "50-unix.yaml").write_text(bound)
        await wait_for(path.exists, "the path")
        command = upgrade_command(self, gateway)
        new = await self.new_process(gateway, old)
        await wait_for(lambda: self.listens(new), "the sockets")
        os.kill(new, signal.SIGTERM)
        self.assertEqual(await command.exit_status(), 1, command.stderr)
        await gateway.gone(new)
        self.serves(gateway, old)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            self.assertTrue(client.recv(1))

    def listens(self, pid: int) -> bool:
        """True if a process has a listening socket."""
        try:
            links = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
            table = Path("/proc/net/tcp6").read_text().splitlines()[1:]
        except OSError:
            return False
        return any(f"socket:[{line.split()[9]}]" in links for line in table if line.split()[3] == "0A")

    async def test_pods_of_the_lab(self) -> None:
        """They would end with the process, so there is no upgrade while one runs."""
        gateway = await self.start()
        pod = DEPLOYMENT.format(port=free_port())
        self.assertIn("created", meshgate(self, gateway, "apply", "-f", "-", stdin=pod))
        await wait_for(lambda: "Running" in meshgate(self, gateway, "get", "pods"), "the pod")
        await self.refused(gateway, "the lab's pods run in this process and would end with it: delete them first")
        meshgate(self, gateway, "delete", "deployment", "echo")
        await wait_for(lambda: "Running" not in meshgate(self, gateway, "get", "pods"), "the end of the pod")
        self.serves(gateway, await self.upgraded(gateway))

    async def test_what_comes_meanwhile(self) -> None:
        """A second upgrade is refused, by the command and by the signal; others are followed by whoever serves then."""
        gateway = await self.start()
        old = gateway.pid
        first = upgrade_command(self, gateway)
        new = await self.new_process(gateway, old)
        os.kill(new, signal.SIGSTOP)
        second = upgrade_command(self, gateway)
        self.assertEqual(await second.exit_status(), 1)
        self.assertIn(f"an upgrade of process {old} is running already", second.stderr)
        os.kill(old, signal.SIGUSR2)
        await wait_for(lambda: "running already; this one is refused" in gateway.log, "the refusal")
        os.kill(old, signal.SIGHUP)
        await wait_for(lambda: "read again when the upgrade is over" in gateway.log, "the note")
        self.assertNotIn("everything was read again", gateway.log)
        os.kill(old, signal.SIGUSR1)
        await wait_for(lambda: gateway.log.count("the log was opened anew") == 2, "the log of the old process")
        os.kill(new, signal.SIGCONT)
        self.assertEqual(await first.exit_status(), 0, first.stderr)
        await wait_for(lambda: "everything was read again" in gateway.log, "the reload")
        await wait_for(lambda: gateway.log.count("the log was opened anew") == 4, "the log of the new process")
        self.serves(gateway, new)

    async def test_the_old_process_ends_meanwhile(self) -> None:
        """SIGTERM ends the old process, and the new one with it: nobody is left."""
        gateway = await self.start(time="0s")
        old = gateway.pid
        command = upgrade_command(self, gateway)
        new = await self.new_process(gateway, old)
        os.kill(new, signal.SIGSTOP)
        os.kill(old, signal.SIGTERM)
        await gateway.gone(old)
        await gateway.gone(new)
        self.assertEqual(await command.exit_status(), 1)
        self.assertEqual(gateway.processes(), [])
        self.assertFalse((gateway.folder / "twistd.pid").exists())

    async def test_nobody_to_upgrade(self) -> None:
        """Without a gateway, the command says so, with status 3."""
        gateway = Background(self)
        command = upgrade_command(self, gateway)
        self.assertEqual(await command.exit_status(), 3)
        self.assertIn("no gateway runs with the state folder", command.stderr)

    async def test_process_1(self) -> None:
        """The first process of a container refuses, says why, and goes on; from outside it is not even tried."""
        require_program("unshare")
        require_program("nsenter")
        installation = Installation(self)
        installation.edit_settings(path="access.log")
        twistd: list[str | Path] = [sys.executable, TWISTD, "-n", "meshgate"]
        contained: list[str | Path] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        environment = {"PYTHONPATH": str(IMPORT_ROOT)}
        program = Program(
            self, [*contained, *twistd, "--config", installation.settings], installation.folder, environment
        )
        await program.wait_for_output("serve")
        upgrade: list[str | Path] = [sys.executable, "-m", "meshgate", "upgrade", "--config", installation.settings]
        outside = Program(self, upgrade, environment=environment)
        self.assertEqual(await outside.exit_status(), 1)
        self.assertIn("run this command where the gateway runs", outside.stderr)
        (child,) = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        inside = Program(self, ["nsenter", f"--target={child}", "--pid", "--mount", *upgrade], environment=environment)
        self.assertEqual(await inside.exit_status(), 1, inside.stderr)
        self.assertIn("this is process 1", inside.stderr)
        self.assertTrue(accepts("127.0.0.1", installation.ports[SNI]))
