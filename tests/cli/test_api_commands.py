"""The commands that speak to the API of the local gateway, from apply to watch."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.support import IMPORT_ROOT, Program, TwistdProcess, accepts, free_port, new_folder, wait_for

SETTINGS = """\
workers: 1
default_namespace: shop
providers: [{{name: files, type: directory, paths: [routes/]}}]
api: {{port: {port}}}
"""

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec: {{servers: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, hosts: ["*"]}}]}}
"""

ROUTE = """\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: ["*"]
  gateways: [{name}]
  tcp: [{{route: [{{destination: {{host: {name}.internal}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.internal]
  ports: [{{number: 7, name: tcp, protocol: TCP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
"""

OBJECTS = """\
---
apiVersion: v1
kind: Namespace
metadata: {name: far, labels: {team: blue}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: texts, namespace: far, labels: {a: b}, annotations: {why: "yes, because"}}
data: {a: "1", long: "two\\nlines", odd: "null"}
binaryData: {b: AAEC}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: held, namespace: far, finalizers: [example.com/hold]}
---
apiVersion: v1
kind: Secret
metadata: {name: word}
stringData: {a: "yes"}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: echo}
spec: {host: echo.internal, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


FORKING = """
import json, os, signal, sys
from importlib import import_module
from meshgate.cli import COMMANDS, module_name, run

for command in COMMANDS:
    import_module(f"meshgate.cli.{module_name(command)}")
for line in sys.stdin:
    arguments, folder, files = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for number, file in enumerate(files):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY), number)
        signal.alarm(30)
        sys.argv[1:] = arguments
        run()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Commands:
    """
    Runs commands, each in a process of its own: the fork of one that has imported all of them, since the imports take
    far longer than the commands. ``tests.cli.test_commands`` starts real ones.
    """

    def __init__(self, test: TestCase) -> None:
        self._notes = new_folder(test)
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING],
            env={"PYTHONPATH": str(IMPORT_ROOT), "PATH": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        test.addCleanup(self._process.communicate)  # it ends with its input

    def run(self, arguments: Sequence[str], folder: Path, given: str) -> tuple[int, str, str]:
        """
        Run a command, and block until its end.

        :param given: its standard input.
        :return: its exit status, its output, and what it has written to standard error.
        """
        files = [self._notes / name for name in ("input", "output", "errors")]
        for file, text in zip(files, (given, "", ""), strict=True):
            file.write_text(text)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([arguments, str(folder), [str(file) for file in files]]) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return status, files[1].read_text(), files[2].read_text()


class ApiCommandTests(TestCase):
    """A gateway with the API, and one Gateway in a file."""

    timeout = 120

    def setUp(self) -> None:
        """What runs the commands."""
        self.commands = Commands(self)

    async def start(self) -> None:
        """Run the gateway until it serves."""
        self.folder = new_folder(self)
        (self.folder / "routes").mkdir()
        (self.folder / "routes" / "filed.yaml").write_text(GATEWAY.format(name="filed", port=free_port()))
        (self.folder / "meshgate.yaml").write_text(SETTINGS.format(port=free_port()))
        await self.run_gateway()

    async def run_gateway(self) -> None:
        """Start it, and wait until it serves."""
        self.process = TwistdProcess(self, ["meshgate", "--config", "meshgate.yaml"], self.folder)
        await self.process.wait_for_output("the worker serves")

    async def run_command(self, *arguments: str, given: str = "", status: int = 0) -> str:
        """
        Run a command in the gateway's folder.

        :param given: its standard input.
        :param status: the exit status that it must have.
        :return: what it has printed, errors last.
        """
        ended, output, errors = await deferToThread(self.commands.run, arguments, self.folder, given)
        self.assertNotIn("Traceback", errors)
        self.assertEqual(ended, status, f"{arguments}\n{output}{errors}")
        return output + errors

    async def test_a_route(self) -> None:
        """A route is applied, shown in every form, changed and deleted; its port opens and closes."""
        await self.start()
        port = free_port()
        routes = GATEWAY.format(name="echo", port=port) + ROUTE.format(name="echo")
        applied = await self.run_command("apply", "-f", "-", given=routes)
        self.assertEqual(applied.count(" created"), 3)
        await wait_for(lambda: accepts("127.0.0.1", port), "the port to open")
        self.assertEqual((await self.run_command("apply", "-f", "-", given=routes)).count(" unchanged"), 3)
        table = (await self.run_command("get", "vs")).splitlines()
        self.assertEqual(table[0].split(), ["NAME", "GATEWAYS", "HOSTS", "AGE"])
        self.assertRegex(table[1], r'^echo +\["echo"\] +\["\*"\] +\d+s$')
        self.assertIn("filed", await self.run_command("get", "gateways", "-A"))
        self.assertEqual(
            await self.run_command("get", "gw", "echo", "-o", "name"), "gateway.networking.istio.io/echo\n"
        )
        self.assertIn(f"number: {port}", await self.run_command("get", "gw", "echo", "-o", "yaml"))
        self.assertIn('"kind": "List"', await self.run_command("get", "gw", "-o", "json"))
        self.assertNotIn("managedFields", await self.run_command("get", "gw", "echo", "-o", "yaml"))
        several = (await self.run_command("get", "gw,se", "-A")).splitlines()
        self.assertRegex(several[1], r"^shop +gateway.networking.istio.io/echo +\d+s$")
        self.assertEqual(several[3], "")
        self.assertRegex(several[5], r"^shop +serviceentry.networking.istio.io/echo +.*STATIC")
        self.assertEqual((await self.run_command("get", "dr")).strip(), "No resources found in shop namespace.")
        self.assertEqual((await self.run_command("get", "dr", "-A")).strip(), "No resources found")
        described = await self.run_command("describe", "gw/echo", "vs/echo")
        self.assertRegex(described, r"(?m)^Name: +echo$")
        self.assertRegex(described, r"(?m)^    Programmed +True +Programmed +\d+s +all workers serve it$")
        self.assertRegex(described, r"(?s)Events:\n  Type .*Normal +Programmed .*\n\n\nName: .*Virtual ?Service")
        await self.watched(port)
        deleted = await self.run_command("delete", "-f", "-", given=routes)
        self.assertEqual(deleted.count(" deleted"), 3)
        await wait_for(lambda: not accepts("127.0.0.1", port), "the port to close")

    async def watched(self, port: int) -> None:
        """A watch shows what is there, and then what changes."""
        watch = Program(self, [sys.executable, "-m", "meshgate", "watch", "gw", "-l", "a=b"], folder=self.folder)
        labelled = GATEWAY.format(name="seen", port=port).replace("name: seen", "name: seen, labels: {a: b}")
        await self.run_command("apply", "-f", "-", given=labelled)
        await wait_for(lambda: re.search(r"(?m)^EVENT +NAME +AGE\nADDED +seen", watch.stdout), "the row")
        await self.run_command("delete", "gw/seen")
        await wait_for(lambda: re.search(r"(?m)^DELETED +seen", watch.stdout), "the deletion")
        watch.signal(signal.SIGINT)
        await watch.exit_status()

    async def test_files(self) -> None:
        """Folders, several files and standard input are applied together; a folder within a folder if it is asked."""
        await self.start()
        inside = self.folder / "more" / "inside"
        inside.mkdir(parents=True)
        (self.folder / "empty").mkdir()
        for folder, name in ((self.folder / "more", "a"), (inside, "b"), (self.folder, "c")):
            (folder / f"{name}.yaml").write_text(GATEWAY.format(name=name, port=free_port()))
        applied = await self.run_command("apply", "-f", "more", "-f", "c.yaml", "--dry-run")
        self.assertEqual(re.findall(r"/(\w) created \(dry run\)", applied), ["a", "c"])
        applied = await self.run_command("apply", "-R", "-f", "more,c.yaml")
        self.assertEqual(re.findall(r"/(\w) created", applied), ["a", "b", "c"])
        self.assertIn("No such file", await self.run_command("apply", "-f", "nothing.yaml", status=1))
        self.assertIn("with the ending", await self.run_command("apply", "-f", "empty", status=1))
        self.assertEqual((await self.run_command("delete", "-R", "-f", "more")).count(" deleted"), 2)
        await self.run_command("delete", "gw", "a", "--ignore-not-found")
        self.assertIn("not found", await self.run_command("delete", "gw/a", status=1))

    async def test_import(self) -> None:
        """What comes from elsewhere keeps its age, so that the elder Gateway gets the port; the rest is named."""
        await self.start()
        told = await self.run_command("import", "-", "--dry-run", given=FROM_ELSEWHERE)
        self.assertIn("namespace/far created (dry run)", told)
        told = await self.run_command("import", "-", given=FROM_ELSEWHERE)
        self.assertRegex(told, r"(?s)namespace/far created.*/zzz created.*/aaa created")
        self.assertIn("not imported: <stdin>: Pod p: it follows from ReplicaSet rs", told)
        self.assertIn("not imported: <stdin>: Thing t: the API does not have this kind", told)
        self.assertEqual((await self.run_command("import", "-", given=FROM_ELSEWHERE)).count(" unchanged"), 3)
        ages = await self.run_command("get", "gw", "-n", "far", "-o", "yaml")
        self.assertRegex(ages, r"(?s)2025-01-02T00:00:00Z.*name: aaa.*2025-01-01T00:00:00Z.*name: zzz")
        exported = await self.run_command("export")
        await self.run_command("delete", "gw/aaa", "gw/zzz", "-n", "far")
        bad = GATEWAY.format(name="bad", port=0)
        told = await self.run_command("import", "-", given=f"{exported}---\n{bad}", status=1)
        self.assertIn("1 object of 5 was refused", told)
        self.assertEqual(ages.count("creationTimestamp"), exported.count("2025-01-0"))

    async def test_refusals(self) -> None:
        """A fault, an object of a file, an unknown type and a missing object are told in a line each."""
        await self.start()
        mixed = GATEWAY.format(name="bad", port=0) + "---\n" + GATEWAY.format(name="good", port=free_port())
        told = await self.run_command("apply", "-f", "-", given=mixed, status=1)
        self.assertIn("spec.servers[0].port.number", told)
        self.assertIn("gateway.networking.istio.io/good created", told)
        self.assertIn("routes/filed.yaml:1:1 defines it", await self.run_command("delete", "gw", "filed", status=1))
        self.assertIn("did you mean gateway", await self.run_command("get", "gatewey", status=2))
        self.assertIn("not found", await self.run_command("get", "gw", "nothing", status=1))
        self.assertIn("<stdin>:1:", await self.run_command("apply", "-f", "-", given="a: [", status=1))
        self.assertIn("name the files", await self.run_command("apply", status=2))
        self.assertIn("across all namespaces", await self.run_command("get", "gw", "a", "-A", status=2))
        self.assertIn("is no TYPE/NAME", await self.run_command("get", "gw/a", "b", status=2))
        self.assertIn("no document", await self.run_command("apply", "-f", "-", given="", status=1))

    async def test_history_and_rollback(self) -> None:
        """The history names each change, and a rollback takes one back: a change, a creation and a deletion."""
        await self.start()
        ports = [free_port(), free_port()]
        for port in ports:
            await self.run_command("apply", "-f", "-", given=GATEWAY.format(name="g", port=port))
        await self.run_command("delete", "gw", "g")
        lines = (await self.run_command("history")).splitlines()[1:]
        self.assertEqual([line.split()[4] for line in lines], ["deleted", "changed", "created"])
        self.assertTrue(all(re.search(r" admin +meshgate/", line) for line in lines), lines)
        deleted, changed, created = (line.split()[0] for line in lines)
        self.assertIn("is as it was", await self.run_command("rollback", deleted))
        self.assertIn(f"number: {ports[1]}", await self.run_command("get", "gw", "g", "-o", "yaml"))
        await self.run_command("rollback", changed)
        self.assertIn(f"number: {ports[0]}", await self.run_command("get", "gw", "g", "-o", "yaml"))
        self.assertIn("deleted", await self.run_command("rollback", created))
        self.assertIn("no change with the revision 5", await self.run_command("rollback", "5", status=1))
        self.assertIn(f"number: {ports[1]}", await self.run_command("history", changed))

    async def test_export(self) -> None:
        """What is exported can be applied to another gateway; the resources of files are left out."""
        await self.start()
        port = free_port()
        routes = GATEWAY.format(name="echo", port=port) + ROUTE.format(name="echo")
        await self.run_command("apply", "-f", "-", given=routes)
        exported = await self.run_command("export")
        self.assertNotIn("filed", exported)
        self.assertNotIn("resourceVersion", exported)
        await self.run_command("delete", "-f", "-", given=exported)
        await wait_for(lambda: not accepts("127.0.0.1", port), "the port to close")
        self.assertEqual((await self.run_command("apply", "-f", "-", given=exported)).count(" created"), 3)
        await wait_for(lambda: accepts("127.0.0.1", port), "the port to open")

    async def test_a_copy(self) -> None:
        """
        A gateway with an empty store that imports what another one exported has the same objects: it exports the same,
        with ages, labels and finalizers, and serves the same.
        """
        await self.start()
        port = free_port()
        routes = GATEWAY.format(name="echo", port=port) + ROUTE.format(name="echo") + OBJECTS
        self.assertEqual((await self.run_command("apply", "-f", "-", given=routes)).count(" created"), 10)
        await self.run_command("delete", "cm/held", "-n", "far")
        exported = await self.run_command("export", "--secrets")
        self.assertEqual(exported.count("\n---\n") + 1, 10)
        self.process.signal(signal.SIGTERM)
        await self.process.exit_status()
        for file in (self.folder / "state" / "api").glob("api.sqlite*"):
            file.unlink()
        await self.run_gateway()
        self.assertNotIn("echo", await self.run_command("get", "gw", "-A"))
        self.assertEqual((await self.run_command("import", "-", given=exported)).count(" created"), 10)
        again = await self.run_command("export", "--secrets")
        self.assertEqual(sorted(again.split("---\n")), sorted(exported.split("---\n")))
        await wait_for(lambda: accepts("127.0.0.1", port), "the port to open")
        self.assertEqual((await self.run_command("import", "-", given=exported)).count(" unchanged"), 10)
        labelled = exported.replace("a: b", "a: c")
        told = await self.run_command("import", "-", given=labelled)
        self.assertIn("configmap/texts configured", told)
        self.assertEqual(told.count(" configured"), 1)

    async def test_no_gateway(self) -> None:
        """Without a gateway, or without its API, the commands say what is missing."""
        self.folder = Path(new_folder(self))
        self.assertIn("there is no meshgate.yaml", await self.run_command("get", "gw", status=2))
        settings = "workers: 1\nproviders: [{name: files, type: directory, paths: [routes/]}]\n"
        (self.folder / "meshgate.yaml").write_text(settings)
        for command in ("get gw", "watch gw", "describe gw", "export", "history", "delete gw a"):
            self.assertIn("no gateway runs", await self.run_command(*command.split(), status=3))
        (self.folder / "routes").mkdir()
        (self.folder / "routes" / "filed.yaml").write_text(GATEWAY.format(name="filed", port=free_port()))
        process = TwistdProcess(self, ["meshgate", "--config", "meshgate.yaml"], self.folder)
        await process.wait_for_output("the worker serves")
        self.assertIn("section api", await self.run_command("get", "gw", status=1))


FROM_ELSEWHERE = """\
apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1
  kind: Gateway
  metadata: {name: aaa, namespace: far, creationTimestamp: "2025-01-02T00:00:00Z", uid: x, resourceVersion: "12"}
  spec: {servers: [{port: {number: 31402, name: t, protocol: TCP}, hosts: ["*"]}]}
- apiVersion: networking.istio.io/v1beta1
  kind: Gateway
  metadata: {name: zzz, namespace: far, creationTimestamp: "2025-01-01T00:00:00Z"}
  spec: {servers: [{port: {number: 31402, name: t, protocol: TCP}, hosts: ["*"]}]}
- apiVersion: networking.istio.io/v1
  kind: WorkloadEntry
  metadata: {name: w, namespace: far}
  spec: {address: 127.0.0.1}
- apiVersion: v1
  kind: Pod
  metadata: {name: p, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: rs, uid: u, controller: true}]}
- {apiVersion: example.com/v1, kind: Thing, metadata: {name: t}}
"""
"""Objects as kubectl writes those of a cluster."""
