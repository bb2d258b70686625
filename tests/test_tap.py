"""Tests of :mod:`meshgate.tap`: the start and the end of a real twistd."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from twisted.trial.unittest import TestCase

import meshgate
from meshgate.compiled import compiled_text
from tests.installation import ECHO, NAME_1, SNI, Installation, running
from tests.support import TwistdProcess, wait_for


class StartTests(TestCase):
    """What keeps the gateway from starting, and how that is said."""

    timeout = 120

    async def refused(self, installation: Installation, *arguments: str) -> str:
        """The message of a start that has to fail."""
        process = TwistdProcess(self, ["meshgate", "--config", installation.settings, *arguments])
        self.assertEqual(await process.exit_status(), 1)
        self.assertNotIn("Traceback", process.stderr + process.stdout)
        return process.stderr

    async def test_broken_settings(self) -> None:
        """A broken settings file: file, line and column of every fault, and exit status 1."""
        installation = Installation(self)
        text = installation.settings.read_text().replace("connect: 10s", "connect: 10").replace("dns:", "dsn:")
        installation.settings.write_text(text)
        message = await self.refused(installation)
        for wrong in ("dsn:", "connect: 10\n"):
            line = text[: text.index(wrong)].count("\n") + 1
            self.assertIn(f"{installation.settings}:{line}:", message)
        self.assertIn("did you mean dns?", message)

    async def test_missing_route_path(self) -> None:
        """A route path that does not exist is told with its place in the settings."""
        installation = Installation(self)
        installation.edit_settings(paths="[nowhere/]")
        message = await self.refused(installation)
        self.assertIn("nowhere", message)
        self.assertRegex(message, r"meshgate\.yaml:\d+:\d+: error")

    async def test_port_in_use(self) -> None:
        """A port that another process has: one message that names it."""
        installation = Installation(self)
        with socket.create_server(("0.0.0.0", installation.ports[SNI])):
            message = await self.refused(installation)
        self.assertIn(f"meshgate: port [::]:{installation.ports[SNI]} cannot be bound: in use", message)

    async def test_no_settings_file(self) -> None:
        """Without --config there is a usage error; with a wrong name, a message with a hint."""
        process = TwistdProcess(self, ["meshgate"])
        self.assertEqual(await process.exit_status(), 1)
        self.assertIn("--config FILE is missing", process.stdout + process.stderr)
        process = TwistdProcess(self, ["meshgate", "--config", "nowhere.yaml"])
        self.assertEqual(await process.exit_status(), 1)
        self.assertIn("meshgate init", process.stderr)

    async def test_broken_route_file_at_start(self) -> None:
        """A route file that is no YAML is reported, and the others serve."""
        installation = Installation(self)
        (installation.routes / "50-broken.yaml").write_text("a: [\n")
        await installation.start()
        self.assertIn("50-broken.yaml:", installation.process.stderr)
        socket.create_connection(("127.0.0.1", installation.ports[ECHO]), timeout=5).close()

    async def test_version(self) -> None:
        """The version is meshgate's, not Twisted's."""
        process = TwistdProcess(self, ["meshgate", "--version"])
        self.assertEqual(await process.exit_status(), 0)
        self.assertEqual(process.stdout, f"meshgate, version {meshgate.__version__}, {compiled_text()}\n")

    async def test_plug_ins_are_listed(self) -> None:
        """``twistd --help`` lists the gateway and the services of the lab."""
        process = TwistdProcess(self, ["--help"])
        self.assertEqual(await process.exit_status(), 0)
        for name in ("meshgate ", "meshgate-echo", "meshgate-https"):
            self.assertIn(name, process.stdout)


class ValidateTests(TestCase):
    """``--validate``: load, print, open nothing."""

    timeout = 60

    async def test_the_shipped_installation(self) -> None:
        """The shipped installation has no problems; no port is opened."""
        installation = Installation(self)
        with socket.create_server(("0.0.0.0", installation.ports[SNI])):
            process = TwistdProcess(self, ["meshgate", "--config", installation.settings, "--validate"])
            self.assertEqual(await process.exit_status(), 0, process.stderr)
        self.assertIn("11 resources", process.stdout)
        self.assertIn("no problems", process.stdout)

    async def test_a_broken_route(self) -> None:
        """A broken route is printed with its place, and the exit status is 1."""
        installation = Installation(self)
        file = installation.routes / "30-sni-gateway.yaml"
        file.write_text(file.read_text().replace("mode: PASSTHROUGH", "mode: PASSTHRU"))
        process = TwistdProcess(self, ["meshgate", "--config", installation.settings, "--validate"])
        self.assertEqual(await process.exit_status(), 1)
        self.assertRegex(process.stdout, r"30-sni-gateway\.yaml:\d+:\d+: error\[MG1004\]")


class EndTests(TestCase):
    """What the signals do."""

    timeout = 120

    async def test_terminate(self) -> None:
        """SIGTERM drains the live connections, flushes their lines, and exits with 0."""
        lab = await running(self)
        client = socket.create_connection(("127.0.0.1", lab.ports[ECHO]), timeout=10)
        self.addCleanup(client.close)
        client.recv(1)
        self.assertEqual(await lab.stop(), 0)
        self.assertEqual([line["ending"] for line in lab.log()], ["drained"])
        self.assertFalse(lab.status()["running"])

    async def test_hang_up_reads_everything_again(self) -> None:
        """SIGHUP takes new settings: here another selector label, under which nothing is routed."""
        lab = await running(self)
        lab.edit_settings(labels="{istio: another}")
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_output("everything was read again")
        await wait_for(lambda: lab.status()["listeners"] == [], "the status without listeners")
        lab.edit_settings(labels="{istio: ingressgateway}")
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_port(lab.ports[SNI])

    async def test_a_new_state_folder(self) -> None:
        """SIGHUP takes a new state folder too, and makes it."""
        lab = await running(self)
        lab.edit_settings(state_dir="elsewhere/state")
        lab.process.signal(signal.SIGHUP)
        await wait_for((lab.folder / "elsewhere" / "state" / "status.json").exists, "the status in the new folder")

    async def test_broken_settings_at_a_reload_change_nothing(self) -> None:
        """The settings that were good go on; the problem stands in the status."""
        lab = await running(self)
        lab.edit_settings(connect="soon")
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_output("the settings stay as they were")
        await wait_for(lambda: lab.status()["problems"], "the problem in the status")
        (text,) = map("{severity}[{code}]: {message}".format_map, lab.status()["problems"])
        lines = (lab.folder / "meshgate.yaml").read_text().splitlines()
        line = next(number for number, each in enumerate(lines, 1) if each == "  connect: soon")
        self.assertEqual(
            text.replace(str(lab.folder), "FOLDER"),
            f"error[MG3005]: the settings cannot be reloaded: FOLDER/meshgate.yaml:{line}:12: error[MG0104]: "
            'timeouts.connect: \'soon\' is not a duration; write numbers with units, as "1h30m" or "500ms"',
        )
        socket.create_connection(("127.0.0.1", lab.ports[SNI]), timeout=5).close()

    async def test_log_rotation(self) -> None:
        """After a rotation, SIGHUP makes the gateway write to a new file."""
        lab = await running(self, {"path": "access.log", "hello": "1s"})
        log = lab.folder / "access.log"

        async def one_line(file: Path) -> None:
            with socket.create_connection(("127.0.0.1", lab.ports[SNI]), timeout=5) as client:
                client.sendall(b"plain\n")
                client.recv(1)
            await wait_for(lambda: file.exists() and file.read_text().count("not_tls") == 1, f"{file}")

        await one_line(log)
        log.rename(lab.folder / "access.log.1")
        lab.process.signal(signal.SIGHUP)
        await lab.process.wait_for_output("everything was read again")
        await one_line(log)


class ReloadedPortTests(TestCase):
    """A port that cannot be had while the gateway runs."""

    timeout = 60

    async def test_it_is_retried(self) -> None:
        """A new port that is in use is a problem; once it is free it opens by itself, and the problem goes."""
        lab = await running(self)
        gateway = lab.routes / "30-sni-gateway.yaml"
        taken = socket.create_server(("0.0.0.0", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        for file in (gateway, lab.routes / "31-sni-route-1.yaml"):
            file.write_text(file.read_text().replace(str(lab.ports[SNI]), str(port)))
        await wait_for(lambda: any(p["code"] == "MG3100" for p in lab.status()["problems"]), "the problem")
        texts = map("{severity}[{code}]: {message}".format_map, lab.status()["problems"])
        wanted = f"error[MG3100]: port [::]:{port} cannot be bound: in use by another process; trying again"
        self.assertIn(wanted, list(texts))
        taken.close()
        await wait_for(lambda: all(p["code"] != "MG3100" for p in lab.status()["problems"]), "the port to open")
        self.assertIn(NAME_1, [host for route in lab.status()["routes"] for host in route["hosts"]])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
