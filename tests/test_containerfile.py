"""The Containerfile: what it names exists, and what it runs works as process 1 of a read-only container."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import signal
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from meshgate.cli.init import write_installation
from meshgate.processes.signals import HANDLED
from tests.environments import Environment
from tests.lab_with_workers import END_OF_GREETING, Client
from tests.networks import enter_own_network, set_kernel
from tests.sandbox import Sandbox
from tests.support import IMPORT_ROOT, accepts, new_folder, wait_for
from tests.test_packaging import new_checkout

USER = 65532
KNOWN = {
    "ARG",
    "CMD",
    "COPY",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "RUN",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
}


def instructions() -> list[tuple[str, str]]:
    """The instructions, each with its arguments in one line."""
    file = IMPORT_ROOT / "Containerfile"
    if not file.exists():
        raise SkipTest("these tests are not run from a checkout")
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line]


def arguments(name: str) -> list[str]:
    """The arguments of each instruction of a name."""
    return [text for each, text in instructions() if each == name]


def is_ignored(path: str) -> bool:
    """True if a file does not get into the build: the last line of .containerignore that fits it decides."""
    ignored = False
    for line in (IMPORT_ROOT / ".containerignore").read_text().splitlines():
        pattern = line.lstrip("!").removeprefix("**/")
        parts = [path, *(str(each) for each in Path(path).parents if str(each) != ".")]
        names = [Path(each).name for each in parts] if "**/" in line else parts
        if line and not line.startswith("#") and any(fnmatch.fnmatchcase(each, pattern) for each in names):
            ignored = not line.startswith("!")
    return ignored


class ContainerfileTests(SynchronousTestCase):
    """Its text."""

    def test_the_stages(self) -> None:
        """Each instruction is known, each stage has a name, and copies come from the checkout or an earlier stage."""
        self.assertLessEqual({name for name, _ in instructions()}, KNOWN)
        self.assertEqual([name for name, _ in instructions()][:2], ["ARG", "FROM"])
        stages: list[str] = []
        for name, text in instructions():
            if name == "FROM":
                stages.append(text.split(" AS ")[1])
            elif name == "COPY" and text.startswith("--from="):
                stage, source, target = text.removeprefix("--from=").split()
                self.assertIn(stage, stages[:-1])
                self.assertEqual(source, target)
                self.assertTrue(any(f"venv {source} " in each for each in arguments("RUN")))
            elif name == "COPY":
                self.assertTrue(all((IMPORT_ROOT / source).exists() for source in text.split()[:-1]))
        self.assertEqual(stages, ["build", "runtime"])

    def test_the_user(self) -> None:
        """It is not root, by its number, so that Kubernetes can tell; and the volume is a folder of its own."""
        self.assertEqual(arguments("USER"), [f"{USER}:{USER}"])
        (volume,) = arguments("VOLUME")
        self.assertIn(f"install --directory --owner={USER} --group={USER} {volume}", arguments("RUN"))

    def test_what_is_sent_to_the_engine(self) -> None:
        """Sources, and nothing that a build or a lab has left, nor what could be a secret."""
        for path in ("pyproject.toml", "meshgate/control.py", "meshgate/transport/lean/_events.c", "etc/meshgate.yaml"):
            self.assertFalse(is_ignored(path), path)
        for path in (".git/config", ".venv/bin/python", "etc/state/api/tokens", "meshgate/_x.so", "tests/support.py"):
            self.assertTrue(is_ignored(path), path)


class BuildTests(TestCase):
    """What the first stage builds."""

    timeout = 240

    async def test_the_context_is_enough(self) -> None:
        """A wheel is built from what is not ignored; here it is not compiled, as other tests do that."""
        checkout = new_checkout(self)
        for folder, folders, files in os.walk(checkout, topdown=False):
            for name in [*files, *folders]:
                path = Path(folder, name)
                if is_ignored(str(path.relative_to(checkout))) and (path.is_symlink() or not path.is_dir()):
                    path.unlink()
                elif path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                    path.rmdir()
        environment = Environment(self)
        self.patch(os, "environ", {**os.environ, "MESHGATE_COMPILE": "0"})
        await environment.install(checkout)
        target = new_folder(self) / "written"
        written = await environment.run("-m", "meshgate", "init", target)
        self.assertEqual(await written.exit_status(), 0, written.stderr)


class RunTests(TestCase):
    """The runtime stage's commands, as process 1, without capabilities, and with a root that is read-only."""

    timeout = 120

    async def test_a_life(self) -> None:
        """It opens a low port, is healthy, replaces a worker, leaves no zombie, handles each signal, and drains."""
        enter_own_network(self)
        set_kernel("ipv4.ip_unprivileged_port_start", "0")  # as container engines do
        settings, (state,) = new_folder(self) / "settings", arguments("VOLUME")
        write_installation(settings)
        text = (settings / "meshgate.yaml").read_text()
        (settings / "meshgate.yaml").write_text(re.sub(r"(?m)^state_dir: .*", f"state_dir: {state}", text))
        for route in (settings / "routes").iterdir():
            route.write_text(route.read_text().replace("31400", "443"))
        command = json.loads(arguments("CMD")[-1])
        container = Sandbox(self, command, USER, {"/etc/meshgate": settings}, {state: new_folder(self)})
        await container.wait_for_output("workers serve")
        healthy = container.run(self, *json.loads(arguments("HEALTHCHECK")[0].partition(" CMD ")[2]))
        self.assertEqual(await healthy.exit_status(), 0, healthy.stderr)
        self.assertIn("process 1, running", healthy.stdout)

        status = dict(re.findall(r"(?m)^(\w+):\s*(.*)$", Path(f"/proc/{container.init}/status").read_text()))
        self.assertEqual((status["Uid"].split()[0], int(status["CapEff"], 16)), (str(USER), 0))
        caught = int(status["SigCgt"], 16)
        # Process 1 gets no signal for which it has no handler.
        for number in (*HANDLED, signal.SIGCHLD):
            self.assertTrue(caught >> (number - 1) & 1, number)

        workers = _children(container.init)
        os.kill(workers[-1], signal.SIGKILL)
        await container.wait_for_output("was killed by SIGKILL")
        await wait_for(lambda: len(_children(container.init)) == len(workers), "the replacement")
        self.assertNotIn("Z", [_state(each) for each in _children(container.init)])

        client = Client(self, 443)
        client.read_until(END_OF_GREETING)
        os.kill(container.init, signal.SIGTERM)
        await wait_for(lambda: not accepts("127.0.0.1", 443), "the end of accepting")
        client.echoes(b"to the last")
        client.finish()
        self.assertEqual(await container.exit_status(), 0)


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
