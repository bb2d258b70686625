"""The API as kubectl uses it: real kubectls against a real twistd."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from itertools import groupby

from twisted.trial.unittest import TestCase

from tests.kubectl import CURRENT, Kubectl, kubectls
from tests.support import Program, TwistdProcess, accepts, free_port, lacking, new_folder, wait_for

SETTINGS = """\
providers: [{{name: files, type: directory, paths: [routes/]}}]
workers: 1
api: {{port: {port}, namespaces: [shop]}}
"""

ROUTES = """\
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {{name: {name}}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: {port}, name: tcp, protocol: TCP}}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: ["*"]
  gateways: [{name}]
  tcp:
  - match: [{{port: {port}}}]
    route: [{{destination: {{host: {name}, port: {{number: 7}}}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: tcp, port: 7}}]}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec: {{address: 127.0.0.1, labels: {{app: {name}}}}}
"""
"""A TCP route in three versions of Istio's API, and its Service."""


class KubectlTestCase(TestCase):
    """A gateway with the API."""

    timeout = 240

    async def start(self) -> None:
        """Run a gateway with one Gateway in a file."""
        self.kubectls = kubectls()
        self.folder = new_folder(self)
        (self.folder / "routes").mkdir()
        self.file_port, self.api_port = free_port(), free_port()
        self.file = self.folder / "routes" / "filed.yaml"
        self.file.write_text(ROUTES.format(name="filed", port=self.file_port))
        settings = self.folder / "meshgate.yaml"
        settings.write_text(SETTINGS.format(port=self.api_port))
        await self.run_gateway()

    async def run_gateway(self) -> TwistdProcess:
        """Start it, and wait until it serves."""
        process = TwistdProcess(self, ["meshgate", "--config", self.folder / "meshgate.yaml"], self.folder)
        await process.wait_for_output("the worker serves")
        self.process = process
        return process

    def kubectl(self, which: str, user: str = "kubeconfig") -> Kubectl:
        """One of the kubectls, as one of the users."""
        return Kubectl(self, self.kubectls[which], self.folder / "state" / user)

    async def on_each(self, check: Callable[[Kubectl, str], Awaitable[None]]) -> None:
        """Check with each kubectl in turn, in one gateway."""
        await self.start()
        for which in self.kubectls:
            await check(self.kubectl(which), which)


class KubectlTests(KubectlTestCase):
    """Each kubectl."""

    async def test_a_route_from_nothing(self) -> None:
        """Apply, get, change, diff and delete a route; its port opens, moves and closes."""

        async def check(kubectl: Kubectl, which: str) -> None:
            port, moved = free_port(), free_port()
            routes = ROUTES.format(name="echo", port=port)
            applied = await kubectl.run("apply", "-n", "shop", "-f", "-", given=routes)
            self.assertEqual(applied.stdout.count("created"), 4, which)
            await wait_for(lambda: _accepts(port), "the port to open")

            again = await kubectl.run("apply", "-n", "shop", "-f", "-", given=routes)
            self.assertEqual(again.stdout.count("unchanged"), 4, which)
            self.assertEqual((await kubectl.run("diff", "-n", "shop", "-f", "-", given=routes, status=None)).stdout, "")

            shown = (await kubectl.run("get", "vs", "-n", "shop")).stdout.splitlines()
            self.assertEqual(shown[0].split(), ["NAME", "GATEWAYS", "HOSTS", "AGE"])
            self.assertRegex(shown[1], r'^echo +\["echo"\] +\["\*"\] +\d+s$')
            shown = (await kubectl.run("get", "gw", "-n", "shop")).stdout.splitlines()
            self.assertEqual(shown[0].split(), ["NAME", "AGE"])

            changed = routes.replace(str(port), str(moved))
            applied = await kubectl.run("apply", "-n", "shop", "-f", "-", given=changed)
            self.assertEqual(applied.stdout.count("configured"), 2, which)
            await wait_for(lambda: _accepts(moved) and not _accepts(port), "the port to move")
            path = "jsonpath={.spec.servers[0].port.number}"
            self.assertEqual((await kubectl.run("get", "gw", "echo", "-n", "shop", "-o", path)).stdout, str(moved))

            deleted = await kubectl.run("delete", "-n", "shop", "-f", "-", given=changed)
            self.assertEqual(deleted.stdout.count(" deleted"), 4, which)
            await wait_for(lambda: not _accepts(moved), "the port to close")

        await self.on_each(check)

    async def test_faults(self) -> None:
        """A resource with a fault is refused with its field, and one of a file with the file; nothing changes."""

        async def check(kubectl: Kubectl, which: str) -> None:
            bad = ROUTES.format(name="bad", port=0).split("---")[0]
            refused = await kubectl.run("apply", "-n", "shop", "-f", "-", given=bad, status=1)
            self.assertIn("spec.servers[0].port.number", refused.stderr, which)
            refused = await kubectl.run("delete", "gateway", "filed", status=1)
            self.assertIn("routes/filed.yaml:1:1 defines it", refused.stderr, which)
            missing = await kubectl.run("get", "gateway", "nothing", status=1)
            self.assertIn('gateways.networking.istio.io "nothing" not found', missing.stderr, which)
            self.assertEqual((await kubectl.run("get", "gw", "-A", "-o", "name")).stdout.split(), [f"{GATEWAY}/filed"])

        await self.on_each(check)

    async def test_resources_of_files(self) -> None:
        """They are shown with origin and status; every write to them is refused with file and line."""

        async def check(kubectl: Kubectl, which: str) -> None:
            await kubectl.run("wait", "--for=condition=Programmed", "gw/filed", "--timeout=20s")
            found = json.loads((await kubectl.run("get", "gw", "filed", "-o", "json")).stdout)
            where = found["metadata"]["annotations"]["meshgate/origin"]
            self.assertTrue(where.endswith("routes/filed.yaml:1:1"), where)
            self.assertTrue(found["status"]["listeners"][0]["open"])
            self.assertEqual(found["status"]["listeners"][0]["attachedRoutes"], 1)
            gateway = ROUTES.format(name="filed", port=free_port()).split("---")[0]
            spec = '{"spec":{"selector":null}}'
            for arguments in (
                ("label", "gw", "filed", "a=b"),
                ("annotate", "gw", "filed", "a=b"),
                ("patch", "gw", "filed", "--type=merge", "-p", spec),
                ("patch", "gw", "filed", "--type=json", "-p", '[{"op":"remove","path":"/spec/selector"}]'),
                ("apply", "-f", "-"),
                ("apply", "--server-side", "-f", "-"),
                ("apply", "--server-side", "--force-conflicts", "-f", "-"),
                ("replace", "-f", "-"),
                ("delete", "gw", "filed"),
                ("delete", "-f", "-"),
                ("create", "-f", "-"),
            ):
                refused = await kubectl.run(*arguments, given=gateway, status=1)
                self.assertIn("routes/filed.yaml:1:1 defines it", refused.stderr, (which, arguments))
            self.assertTrue(_accepts(self.file_port), which)

        await self.on_each(check)

    async def test_a_file_and_an_applied_resource(self) -> None:
        """Of one name in a file and applied, the file's serves, and the other one says so, for as long as it does."""

        async def check(kubectl: Kubectl, which: str) -> None:
            port, other = free_port(), free_port()
            routes = ROUTES.format(name="twice", port=port)
            await kubectl.run("apply", "-f", "-", given=routes)
            await kubectl.run("wait", "--for=condition=Programmed", "gw/twice", "--timeout=20s")
            file = self.folder / "routes" / "twice.yaml"
            file.write_text(ROUTES.format(name="twice", port=other))
            await kubectl.run("wait", "--for=condition=Conflicted", "gw/twice", "vs/twice", "--timeout=20s")
            await wait_for(lambda: _accepts(other) and not _accepts(port), "the file's port to open")
            described = (await kubectl.run("describe", "gw", "twice")).stdout
            self.assertIn("routes/twice.yaml:1:1 defines the same resource", described)
            changed = await kubectl.run("label", "gw", "twice", "a=b")
            gateway = routes.split("---")[0].replace('["*"]', "[a.example.com]")
            changed = await kubectl.run("apply", "-f", "-", given=gateway)
            if which != "old":  # kubectl before 1.26 prints no warnings of apply
                self.assertRegex(changed.stderr, r"Warning: .*routes/twice.yaml:1:1 defines the same resource")
            await kubectl.run("apply", "-f", "-", given=routes)
            file.unlink()
            await kubectl.run("wait", "--for=condition=Programmed", "gw/twice", "vs/twice", "--timeout=20s")
            self.assertTrue(_accepts(port), which)
            await kubectl.run("delete", "gw,vs,svc,we", "twice")

        await self.on_each(check)

    async def test_a_port_that_serves(self) -> None:
        """An applied Gateway never takes the port of a file's, whatever becomes of the file and the gateway."""
        await self.start()
        kubectl = self.kubectl("current")
        later = ROUTES.format(name="a-later", port=self.file_port).split("---")[0].replace("TCP}", "TLS}")
        later += "    tls: {mode: PASSTHROUGH}\n"
        await kubectl.run("apply", "-f", "-", given=later)
        keep = ("wait", "--for=condition=Conflicted", "gw/a-later", "--timeout=20s")
        await kubectl.run(*keep)
        text = self.file.read_text()
        moved = self.file.with_name("zz.yaml")
        self.file.rename(moved)
        moved.write_text("# moved\n" + text)
        await wait_for(lambda: _accepts(self.file_port), "the port to open")
        moved.unlink()
        await kubectl.run("wait", "--for=condition=Conflicted=false", "gw/a-later", "--timeout=20s")
        self.file.write_text(text)
        await kubectl.run(*keep)
        self.process.signal(signal.SIGKILL)
        await self.process.exit_status()
        await wait_for(lambda: not _accepts(self.file_port), "the workers to end")
        await self.run_gateway()
        await kubectl.run(*keep)
        await kubectl.run("wait", "--for=condition=Programmed", "gw/filed", "--timeout=20s")

    async def test_other_commands(self) -> None:
        """Create, label, annotate, patch, replace, edit, describe, watch and the namespaces' own commands work."""

        async def check(kubectl: Kubectl, which: str) -> None:
            gateway = ROUTES.format(name="other", port=free_port()).split("---")[0]
            await kubectl.run("create", "-f", "-", given=gateway)
            await kubectl.run("label", "gw", "other", "team=blue")
            await kubectl.run("annotate", "gw", "other", "why=because")
            await kubectl.run("patch", "gw", "other", "--type=merge", "-p", '{"metadata":{"labels":{"more":"1"}}}')
            patch = '[{"op":"remove","path":"/metadata/labels/more"}]'
            await kubectl.run("patch", "gw", "other", "--type=json", "-p", patch)
            found = json.loads((await kubectl.run("get", "gw", "-l", "team=blue", "-o", "json")).stdout)
            (object_,) = found["items"]
            self.assertEqual(object_["metadata"]["labels"], {"team": "blue"}, which)
            self.assertEqual(object_["metadata"]["annotations"]["why"], "because")
            described = (await kubectl.run("describe", "gw", "other")).stdout
            self.assertIn("team=blue", described)
            object_["spec"]["servers"][0]["hosts"] = ["a.example.com"]
            await kubectl.run("replace", "-f", "-", given=json.dumps(object_))
            object_["metadata"]["resourceVersion"] = "1"
            conflict = await kubectl.run("replace", "-f", "-", given=json.dumps(object_), status=1)
            self.assertIn("the object has been modified", conflict.stderr)
            await kubectl.run("create", "namespace", which)
            self.assertIn("Active", (await kubectl.run("get", "ns", which)).stdout)
            await kubectl.run("create", "configmap", "texts", "--from-literal=a=b")
            await kubectl.run("create", "secret", "generic", "word", "--from-literal=a=b")
            await kubectl.run("create", "deployment", "web", "--image=nginx")
            await kubectl.run("create", "service", "clusterip", "web", "--tcp=80:8080")
            path = "jsonpath={.spec.ports[0].port} {.spec.ports[0].targetPort}"
            self.assertEqual((await kubectl.run("get", "svc", "web", "-o", path)).stdout, "80 8080")
            self.assertEqual((await kubectl.run("get", "secret", "word", "-o", "jsonpath={.data.a}")).stdout, "Yg==")
            await kubectl.run("scale", "deployment", "web", "--replicas=3")
            self.assertIn("0/3", (await kubectl.run("get", "deploy", "web")).stdout)
            self.assertEqual((await kubectl.run("auth", "can-i", "create", "gateways")).stdout.strip(), "yes")
            await kubectl.run("delete", "deployment,service", "web")
            await kubectl.run("delete", "configmap/texts", "secret/word")
            await kubectl.run("delete", "ns", which)
            await kubectl.run("delete", "gw", "other")

        await self.on_each(check)

    async def test_conditions(self) -> None:
        """Wait for a Gateway that is served; one whose port another has is accepted, and the winner is told."""

        async def check(kubectl: Kubectl, which: str) -> None:
            port = free_port()
            await kubectl.run("apply", "-f", "-", given=ROUTES.format(name="first", port=port))
            await kubectl.run("wait", "--for=condition=Programmed", "gw/first", "--timeout=20s")
            self.assertTrue(_accepts(port), which)
            later = ROUTES.format(name="later", port=port).split("---")[0]
            later = later.replace("protocol: TCP}", "protocol: TLS}\n    tls: {mode: PASSTHROUGH}")
            applied = await kubectl.run("apply", "-f", "-", given=later)
            self.assertIn("created", applied.stdout)
            if which != "old":  # kubectl before 1.26 prints no warnings of apply
                self.assertRegex(applied.stderr, r"Warning: .*first")
            await kubectl.run("wait", "--for=condition=Conflicted", "gw/later", "--timeout=20s")
            described = (await kubectl.run("describe", "gw", "later")).stdout
            self.assertRegex(described, r"(?s)Events:.*Warning +Conflict .*first")
            events = (await kubectl.run("get", "events")).stdout
            self.assertRegex(events, r"LAST SEEN +TYPE +REASON +OBJECT +MESSAGE")
            self.assertRegex(events, r"Normal +Programmed +gateway/first")
            path = 'jsonpath={.status.conditions[?(@.type=="Programmed")].status}'
            self.assertEqual((await kubectl.run("get", "gw", "later", "-o", path)).stdout, "False")
            await kubectl.run("delete", "gw,vs,svc,we", "first")
            await kubectl.run("delete", "gw", "later")

        await self.on_each(check)

    async def test_server_side_apply(self) -> None:
        """Two managers apply parts of one object; a field of the other is a conflict, and goes over by force."""

        async def check(kubectl: Kubectl, which: str) -> None:
            gateway = ROUTES.format(name="shared", port=free_port()).split("---")[0]
            apply = ("apply", "--server-side", "-f", "-", "--field-manager")
            applied = await kubectl.run(*apply, "one", given=gateway)
            self.assertIn("serverside-applied", applied.stdout, which)
            labelled = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: shared, labels: {a: b}}\n"
            await kubectl.run(*apply, "two", given=labelled)
            path = "jsonpath={.metadata.labels.a} {.spec.servers[0].port.protocol}"
            self.assertEqual((await kubectl.run("get", "gw", "shared", "-o", path)).stdout, "b TCP")
            other = gateway.replace("name: shared", "name: shared, labels: {a: c}")
            conflict = await kubectl.run(*apply, "one", given=other, status=1)
            self.assertRegex(conflict.stderr, r'conflict with "two"[^\n]*: \.metadata\.labels\.a')
            await kubectl.run(*apply, "one", "--force-conflicts", given=other)
            self.assertEqual((await kubectl.run("get", "gw", "shared", "-o", path)).stdout, "c TCP")
            await kubectl.run(*apply, "one", given=gateway)
            self.assertEqual((await kubectl.run("get", "gw", "shared", "-o", path)).stdout, " TCP")
            await kubectl.run("apply", "-f", "-", given=gateway)
            await kubectl.run("delete", "gw", "shared")

        await self.on_each(check)

    async def test_who(self) -> None:
        """The history names the user and the program of each change: kubectl's two ways, and meshgate's own."""
        await self.start()
        expected = []
        for number, which in enumerate(self.kubectls):
            kubectl = self.kubectl(which)
            gateway = ROUTES.format(name=f"who{number}", port=free_port()).split("---")[0]
            await kubectl.run("apply", "-f", "-", given=gateway)
            labelled = gateway.replace("{name", "{labels: {by: apply}, name")
            await kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", given=labelled)
            await kubectl.run("delete", "gw", f"who{number}")
            expected += [("kubectl", change, f"default/who{number}") for change in ("created", "changed", "deleted")]
        (self.folder / "ours.yaml").write_text(ROUTES.format(name="ours", port=free_port()).split("---")[0])
        ours = Program(self, [sys.executable, "-m", "meshgate", "apply", "-f", "ours.yaml"], self.folder)
        self.assertEqual(await ours.exit_status(), 0, ours.stderr)
        expected.append(("meshgate", "created", "default/ours"))
        history = Program(self, [sys.executable, "-m", "meshgate", "history"], self.folder)
        self.assertEqual(await history.exit_status(), 0, history.stderr)
        lines = re.findall(r"(?m) admin +(\w+)/v?\d\S* +(\w+) +gateways\.networking\.istio\.io (\S+)$", history.stdout)
        # kubectl sends several requests for one server-side apply.
        self.assertEqual([line for line, _ in groupby(lines[::-1])], expected, history.stdout)

    async def test_readers(self) -> None:
        """The reader's kubeconfig lists and is refused every write; a wrong token is refused everything."""
        await self.start()
        reader = self.kubectl("current", "kubeconfig.reader")
        self.assertIn("filed", (await reader.run("get", "gw")).stdout)
        refused = await reader.run("delete", "gw", "filed", status=1)
        self.assertIn("may only read", refused.stderr)
        stranger = self.folder / "state" / "kubeconfig.stranger"
        text = (self.folder / "state" / "kubeconfig").read_text()
        stranger.write_text(re.sub(r"token: .*", "token: nobody-gave-this-one", text))
        refused = await self.kubectl("current", stranger.name).run("get", "gw", status=1)
        self.assertIn("You must be logged in", refused.stderr)

    async def test_a_restart(self) -> None:
        """What was applied is there after kill -9, and serves; so is the order in which a clash was won."""
        await self.start()
        kubectl, port = self.kubectl("current"), free_port()
        await kubectl.run("apply", "-f", "-", given=ROUTES.format(name="kept", port=port))
        rival = ROUTES.format(name="aaa", port=self.file_port).split("---")[0]
        await kubectl.run("apply", "-f", "-", given=rival)
        await wait_for(lambda: _accepts(port), "the port to open")
        self.process.signal(signal.SIGKILL)
        await self.process.exit_status()
        await wait_for(lambda: not _accepts(port), "the workers to end")
        await self.run_gateway()
        await wait_for(lambda: _accepts(port), "the port to open again")
        self.assertIn("kept", (await kubectl.run("get", "gw")).stdout)
        self.assertRegex(self.process.stdout + self.process.stderr, r"Gateway default/aaa.*\b(filed|lost|drop)")


class SchemaTests(KubectlTestCase):
    """What kubectl does by the API's schemas."""

    async def test_explain(self) -> None:
        """Every kind and field is explained, in every version, by either document of OpenAPI."""

        async def check(kubectl: Kubectl, which: str) -> None:
            kinds = (await kubectl.run("api-resources", "-o", "name", "--verbs=get")).stdout.split()
            self.assertIn("gateways.networking.istio.io", kinds)
            for kind in kinds:
                explained = (await kubectl.run("explain", kind.partition(".")[0])).stdout
                self.assertRegex(explained, r"(?s)DESCRIPTION:\s+\w.*FIELDS:.*apiVersion", f"{which} {kind}")
                self.assertNotRegex(explained, r"<(empty|no description)>", f"{which} {kind}")
            tls = (await kubectl.run("explain", "virtualservice.spec.tls")).stdout
            self.assertRegex(tls, r"(?s)rules for TLS.*match\s+<\[\]Object> -required-\s+blocks of which one must fit")
            number = (await kubectl.run("explain", "gw.spec.servers.port.number")).stdout
            self.assertRegex(number, r"number <integer>(?s:.*)1 to 65535")
            for version in ("v1", "v1beta1", "v1alpha3"):
                api_version = f"--api-version=networking.istio.io/{version}"
                self.assertIn(version, (await kubectl.run("explain", "gateway", api_version)).stdout)
            recursive = (await kubectl.run("explain", "gateways", "--recursive")).stdout
            self.assertRegex(recursive, r"(?s)servers\s+<\[\]Object>.*tls\s+<Object>.*credentialName\s+<string>")
            defined = (await kubectl.run("get", "crd")).stdout
            self.assertRegex(defined, r"^NAME +CREATED AT\n")
            self.assertEqual(len(re.findall(r"(?m)^\w+\.networking\.istio\.io +2\d+-\S+Z$", defined)), 5)
            name = "crd/gateways.networking.istio.io"
            await kubectl.run("wait", "--for=condition=Established", name, "--timeout=20s")
            unknown = await kubectl.run("explain", "gateway.spec.serverz", status=1)
            self.assertIn('field "serverz" does not exist', unknown.stderr)
            if which == "current":
                second = await kubectl.run("explain", "gateway.spec", "-o", "plaintext-openapiv2")
                self.assertIn("ports to open, each with its hosts", second.stdout)

        await self.on_each(check)

    async def test_validation(self) -> None:
        """Unknown fields and wrong types are refused, and all objects that the API itself shows are valid."""

        async def check(kubectl: Kubectl, which: str) -> None:
            for verb in ("apply", "create"):
                for document, names in zip(UNKNOWN_FIELDS, (["selecter"], ["replica", "prots"]), strict=True):
                    refused = await kubectl.run(verb, "--validate=true", "-f", "-", given=document, status=1)
                    for name in names:
                        self.assertIn('unknown field "', refused.stderr, f"{which} {verb}")
                        self.assertIn(name, refused.stderr, f"{which} {verb}")
            for document, names in zip(WRONG_TYPES, (["number", "hosts"], ["replicas"]), strict=True):
                refused = await kubectl.run("apply", "-f", "-", given=document, status=1)
                for name in names:
                    self.assertIn(name, refused.stderr, which)
            await kubectl.run("apply", "-f", "-", given=WORKLOAD)
            await kubectl.run("apply", "-f", "-", given=ROUTES.format(name="echo", port=free_port()))
            await kubectl.run("wait", "--for=condition=Programmed", "gw/echo", "--timeout=20s")
            kinds = "gw,vs,dr,se,we,svc,deploy,cm,secret,ns,ev"
            shown = (await kubectl.run("get", kinds, "-A", "-o", "yaml")).stdout
            checked = await kubectl.run(
                "create", "--dry-run=client", "--validate=true", "-o", "name", "-f", "-", given=shown
            )
            self.assertIn("deployment.apps/web", checked.stdout, which)
            await kubectl.run("delete", "-f", "-", given=WORKLOAD)
            await kubectl.run("delete", "gw,vs,svc,we", "echo")

        await self.on_each(check)

    async def test_merging(self) -> None:
        """An object is compared and merged by the keys of its lists, with a dry run and without; nothing is warned."""

        async def check(kubectl: Kubectl, which: str) -> None:
            changed = WORKLOAD.replace("port: 81", "port: 82").replace(
                "secret: {secretName: s}", "configMap: {name: s}"
            )
            self.assertEqual((await kubectl.run("apply", "-f", "-", given=WORKLOAD)).stderr, "")
            same = await kubectl.run("diff", "-f", "-", given=WORKLOAD)
            self.assertEqual(same.stdout, "", which)
            diff = (await kubectl.run("diff", "-f", "-", given=changed, status=1)).stdout
            self.assertRegex(diff, r"(?m)^- +- port: 81|^- +port: 81")
            for mode in ("client", "server"):
                dry = await kubectl.run("apply", f"--dry-run={mode}", "-f", "-", given=changed)
                self.assertIn(f"service/web configured ({'server ' * (mode == 'server')}dry run)", dry.stdout)
            ports = "jsonpath={.spec.ports[*].port}"
            self.assertEqual((await kubectl.run("get", "svc", "web", "-o", ports)).stdout, "80 81")
            self.assertEqual((await kubectl.run("apply", "-f", "-", given=changed)).stderr, "", which)
            self.assertEqual((await kubectl.run("get", "svc", "web", "-o", ports)).stdout, "80 82")
            volumes = "jsonpath={.spec.template.spec.volumes}"
            self.assertEqual(
                json.loads((await kubectl.run("get", "deploy", "web", "-o", volumes)).stdout),
                [{"name": "v", "configMap": {"name": "s"}}],
            )
            await self.check_tables(kubectl)
            await kubectl.run("delete", "-f", "-", given=changed)

        await self.on_each(check)

    async def check_tables(self, kubectl: Kubectl) -> None:
        """The command without kubectl prints the same tables, but for the ages."""
        for arguments in ("svc", "svc,deploy -A", "deploy web -o wide", "gw -A", "dr", "svc/web -o name"):
            ours = Program(self, [sys.executable, "-m", "meshgate", "get", *arguments.split()], self.folder)
            theirs = (await kubectl.run("get", *arguments.split())).stdout
            self.assertEqual(await ours.exit_status(), 0)
            first, second = (re.sub(r"\b(\d+[smhd])+ *", "AGE", text) for text in (ours.stdout, theirs))
            self.assertEqual(first, second, arguments)


UNKNOWN_FIELDS = (
    """\
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: bad}
spec:
  selecter: {istio: ingressgateway}
  servers: [{port: {number: 80, name: tcp, protocol: TCP}, hosts: ["*"]}]
""",
    """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad}
spec:
  replica: 1
  selector: {matchLabels: {app: bad}}
  template:
    metadata: {labels: {app: bad}}
    spec: {containers: [{name: bad, image: bad, prots: []}]}
""",
)


WRONG_TYPES = (
    """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bad}
spec: {servers: [{port: {number: first, name: tcp, protocol: TCP}, hosts: "*"}]}
""",
    """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad}
spec:
  replicas: two
  selector: {matchLabels: {app: bad}}
  template: {metadata: {labels: {app: bad}}, spec: {containers: [{name: bad, image: bad}]}}
""",
)


WORKLOAD = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: first, port: 80, targetPort: http}, {name: second, port: 81, targetPort: 8081}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, creationTimestamp: null}
    spec:
      containers:
      - name: web
        image: example/web
        ports: [{name: http, containerPort: 8080}]
        env: [{name: A, value: b}, {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        resources: {limits: {cpu: 1, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /, port: http}}
        volumeMounts: [{name: v, mountPath: /v}]
      volumes: [{name: v, secret: {secretName: s}}]
"""


class PythonClientTests(KubectlTestCase):
    """Kubernetes' own client for Python."""

    async def test_objects_and_watches(self) -> None:
        """It lists, creates, patches, deletes and watches objects of core and Istio's kinds."""
        await self.start()
        python = CURRENT.with_name("python")
        program = Program(self, [python, "-c", PYTHON_CLIENT, self.folder / "state" / "kubeconfig"])
        if await program.exit_status() == NO_CLIENT:
            raise lacking("Kubernetes' client for Python is not installed (make kubectl)")
        self.assertEqual(program.stdout.splitlines()[-1:], ["done"], program.stderr)
        history = Program(self, [sys.executable, "-m", "meshgate", "history", "--limit", "1000"], self.folder)
        self.assertEqual(await history.exit_status(), 0, history.stderr)
        self.assertRegex(
            history.stdout, r"(?m) admin +\S*[Pp]ython\S* +created +gateways\.networking\.istio\.io shop/a$"
        )


NO_CLIENT = 77

PYTHON_CLIENT = """
import sys, tempfile

try:
    from kubernetes import client, config, dynamic, utils, watch
except ImportError:
    sys.exit(77)

config.load_kube_config(sys.argv[1])
core, objects = client.CoreV1Api(), client.CustomObjectsApi()
where = ("networking.istio.io", "v1", "shop", "gateways")
server = {"port": {"number": 31400, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
head = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "a"}}
gateway = {**head, "spec": {"servers": [server]}}
assert "shop" in [each.metadata.name for each in core.list_namespace().items]
assert client.VersionApi().get_code().major == "1"
revision = objects.list_namespaced_custom_object(*where)["metadata"]["resourceVersion"]
objects.create_namespaced_custom_object(*where, gateway)
objects.patch_namespaced_custom_object(*where, "a", {"metadata": {"labels": {"x": "y"}}})
(found,) = objects.list_namespaced_custom_object(*where, label_selector="x=y")["items"]
assert found["metadata"]["name"] == "a"
objects.delete_namespaced_custom_object(*where, "a")
try:
    objects.get_namespaced_custom_object(*where, "a")
    raise SystemExit("it is still there")
except client.ApiException as error:
    assert error.status == 404
seen = []
for event in watch.Watch().stream(objects.list_namespaced_custom_object, *where, resource_version=revision):
    if not seen or seen[-1] != event["type"]:
        seen.append(event["type"])
    if event["type"] == "DELETED":
        break
assert seen == ["ADDED", "MODIFIED", "DELETED"], seen
secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"a": "b"})
core.create_namespaced_secret("shop", secret)
assert core.read_namespaced_secret("s", "shop").type == "Opaque"
core.delete_namespaced_secret("s", "shop")
made = objects.create_namespaced_custom_object(*where, gateway)
made["spec"]["servers"][0]["hosts"] = ["a.example.com"]
changed = objects.replace_namespaced_custom_object(*where, "a", made)
made["metadata"]["resourceVersion"] = revision
try:
    objects.replace_namespaced_custom_object(*where, "a", made)
    raise SystemExit("an old state has replaced a newer one")
except client.ApiException as error:
    assert error.status == 409
json_patch = [
    {"op": "test", "path": "/metadata/name", "value": "a"},
    {"op": "remove", "path": "/spec/servers/0/hosts/0"},
]
try:
    objects.patch_namespaced_custom_object(*where, "a", json_patch, _content_type="application/json-patch+json")
    raise SystemExit("a server without hosts was taken")
except client.ApiException as error:
    assert error.status == 422

documents = '''
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: tcp, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}
'''
with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
    file.write(documents)
    file.flush()
    utils.create_from_yaml(client.ApiClient(), file.name)
    try:
        utils.create_from_yaml(client.ApiClient(), file.name)
        raise SystemExit("created twice")
    except utils.FailToCreateError as error:
        assert [each.status for each in error.api_exceptions] == [409, 409]
assert "web" in [each.metadata.name for each in core.list_service_for_all_namespaces().items]
apps = client.AppsV1Api()
apps.patch_namespaced_deployment_scale("web", "shop", {"spec": {"replicas": 2}})
assert apps.read_namespaced_deployment("web", "shop").spec.replicas == 2
image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}}}}
(container,) = apps.patch_namespaced_deployment("web", "shop", image).spec.template.spec.containers
assert container.image == "nginx:2"

kinds = dynamic.DynamicClient(client.ApiClient())
services = kinds.resources.get(api_version="networking.istio.io/v1beta1", kind="VirtualService")
route = {"route": [{"destination": {"host": "web"}}]}
body = {
    "apiVersion": "networking.istio.io/v1beta1",
    "kind": "VirtualService",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"hosts": ["*"], "gateways": ["a"], "tcp": [route]},
}
for _ in range(2):
    applied = services.server_side_apply(body=body, field_manager="one", name="web", namespace="shop")
    assert [each.manager for each in applied.metadata.managedFields] == ["one"]
body["spec"]["hosts"] = ["web"]
try:
    services.server_side_apply(body=body, field_manager="two", name="web", namespace="shop")
    raise SystemExit("no conflict")
except client.ApiException as error:
    assert error.status == 409
assert [each.metadata.name for each in services.get(namespace="shop").items] == ["web"]
assert [each["type"] for each in services.watch(namespace="shop", timeout=1)] == ["ADDED"]
asked = client.V1ResourceAttributes(verb="get", resource="pods")
review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
assert client.AuthorizationV1Api().create_self_subject_access_review(review).status.allowed
core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="full")))
for _ in range(3):
    core.create_namespaced_config_map("full", client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="c-")))
page = core.list_namespaced_config_map("full", limit=2)
rest = core.list_namespaced_config_map("full", limit=2, _continue=page.metadata._continue)
assert len({each.metadata.name for each in (*page.items, *rest.items)}) == 3
core.delete_namespace("full")
assert "full" not in [each.metadata.name for each in core.list_namespace().items]
assert core.delete_namespaced_service("web", "shop").metadata.name == "web"
apps.delete_namespaced_deployment("web", "shop", propagation_policy="Foreground")
services.delete(name="web", namespace="shop")
objects.delete_collection_namespaced_custom_object(*where)
assert objects.list_namespaced_custom_object(*where)["items"] == []
print("done")
"""
"""A program of Kubernetes' client for Python; it ends with 77 where that is not installed."""

GATEWAY = "gateway.networking.istio.io"


def _accepts(port: int) -> bool:
    return accepts("127.0.0.1", port)
