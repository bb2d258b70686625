"""Tests of :mod:`meshgate.settings.load`: what a file becomes, and what is said of a broken one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshgate.processes.processors import usable_processors
from meshgate.providers.directory.provider import DirectoryFactory
from meshgate.providers.interfaces import (
    IRouteProvider,
    IRouteProviderFactory,
    OptionProblem,
    OptionsError,
    ProviderContext,
)
from meshgate.providers.registry import Registry
from meshgate.resources.problem import Problem, Severity
from meshgate.settings import load as settings_module
from meshgate.settings.load import Settings, SettingsError, load_settings
from meshgate.settings.service_sections import EchoSettings
from meshgate.settings.traffic_sections import GatewaySettings
from tests.golden import Golden, GoldenTestCase
from tests.support import new_folder

ONE_PROVIDER = "providers: [{name: files, type: inventory, hosts: []}]\n"
"""A first line that is in order."""

SMALLEST = """\
gateway: {labels: {app: istio-ingressgateway, istio: ingressgateway}, namespace: istio-system}
providers: [{name: files, type: directory, paths: [routes/]}]
access_log: {path: "-", format: text}
"""


@implementer(IRouteProviderFactory)
class InventoryFactory:
    """A provider type that takes nothing but ``hosts``, a list of texts."""

    type_name = "inventory"
    summary = "for tests"

    def parse_options(self, options: Mapping[str, object], folder: str) -> object:
        """Refuse whatever else there is, and every host that is no text."""
        hosts = options.get("hosts")
        if not isinstance(hosts, list):
            raise OptionsError(OptionProblem(("hosts",), "hosts are needed"))
        wrong = [OptionProblem(("hosts", i), "no host", "write a") for i, host in enumerate(hosts) if host != "a"]
        if wrong:
            raise OptionsError(*wrong)
        return {"hosts": hosts, "folder": folder}

    def create(self, name: str, options: Any, context: ProviderContext) -> IRouteProvider:
        """Never asked for here."""
        raise NotImplementedError


REGISTRY = Registry({"directory": DirectoryFactory(), "inventory": InventoryFactory()})


class SettingsTestCase(SynchronousTestCase):
    """A folder with a settings file in it."""

    def setUp(self) -> None:
        """Make the folder."""
        self.folder = new_folder(self)
        (self.folder / "routes").mkdir()
        self.path = self.folder / "meshgate.yaml"

    def load(self, text: str) -> Settings:
        """The settings of a text."""
        self.path.write_text(text, encoding="utf-8")
        return load_settings(self.path, REGISTRY)

    def problems(self, text: str) -> tuple[Problem, ...]:
        """The problems of a text that cannot be used."""
        return self.assertRaises(SettingsError, self.load, text).problems  # type: ignore[no-any-return]


class LoadTests(SettingsTestCase):
    """What a good file becomes."""

    def test_the_smallest_file_is_complete(self) -> None:
        """Every value has its default, and nothing is warned about."""
        settings = self.load(SMALLEST)
        labels = {"app": "istio-ingressgateway", "istio": "ingressgateway"}
        self.assertEqual(dict(settings.content.gateway.labels), labels)
        self.assertEqual(settings.content.gateway.namespace, "istio-system")
        self.assertEqual(settings.content.default_namespace, "default")
        self.assertEqual(settings.content.domain_suffix, "cluster.local")
        self.assertEqual(settings.content.semantics, "istio")
        self.assertEqual(settings.workers, usable_processors())
        self.assertEqual(settings.content.dns.servers, ())
        self.assertEqual(settings.content.timeouts.hello, 15.0)
        self.assertEqual(settings.content.timeouts.connect, 10.0)
        self.assertEqual(settings.content.timeouts.idle, 3600.0)
        self.assertEqual(settings.content.timeouts.half_close, 600.0)
        self.assertEqual(settings.content.limits.hello_bytes, 16384)
        self.assertEqual(settings.content.limits.dial_attempts, 3)
        self.assertEqual(settings.content.unknown_sni, "close")
        self.assertEqual((settings.content.access_log.path, settings.content.access_log.format), ("-", "text"))
        self.assertIsNone(settings.content.lab)
        self.assertEqual(settings.warnings, ())

    def test_the_gateway_of_the_lab_is_the_default(self) -> None:
        """The command line takes the gateway's defaults from the model, without a file."""
        self.assertEqual(self.load(SMALLEST).content.gateway, GatewaySettings())

    def test_paths_are_absolute(self) -> None:
        """Whatever is a path is relative to the file's folder, however the file was named."""
        self.path.write_text(SMALLEST.replace('"-"', "logs/access.log"))
        relative = Path(os.path.relpath(self.path))
        settings = load_settings(relative, REGISTRY)
        self.assertEqual(settings.file, self.path)
        self.assertEqual(settings.folder, self.folder)
        self.assertEqual(settings.state_dir, self.folder / "state")
        self.assertEqual(settings.content.access_log.path, str(self.folder / "logs" / "access.log"))
        self.assertEqual(settings.route_paths(), (str(self.folder / "routes"),))

    def test_absolute_paths_stay(self) -> None:
        """An absolute path does not depend on the file's folder, and needs no tidying by its user."""
        settings = self.load(ONE_PROVIDER + "state_dir: /var/lib/../meshgate\naccess_log: {path: /var/log/m}\n")
        self.assertEqual(settings.state_dir, Path("/var/meshgate"))
        self.assertEqual(settings.content.access_log.path, "/var/log/m")

    def test_a_linked_file_keeps_its_folder(self) -> None:
        """What lies beside a symbolic link counts, not what lies beside its target."""
        self.load(SMALLEST)
        linked = new_folder(self)
        (linked / "routes").mkdir()
        (linked / "linked.yaml").symlink_to(self.path)
        self.assertEqual(load_settings(linked / "linked.yaml", REGISTRY).route_paths(), (str(linked / "routes"),))

    def test_values_are_read(self) -> None:
        """Durations become seconds, sizes bytes, and name servers addresses with ports."""
        settings = self.load(
            ONE_PROVIDER
            + "timeouts: {hello: 1m30s, connect: 250ms, idle: 0, half_close: 1h}\n"
            + "limits: {hello: 32KiB, dial_attempts: 1}\n"
            + 'dns: {servers: [192.0.2.53, "192.0.2.53:5353", "2001:DB8::53", "[::1]:5353"]}\n'
            + "unknown_sni: alert\n"
        )
        timeouts = settings.content.timeouts
        self.assertEqual(
            (timeouts.hello, timeouts.connect, timeouts.idle, timeouts.half_close), (90.0, 0.25, 0.0, 3600.0)
        )
        self.assertEqual((settings.content.limits.hello_bytes, settings.content.limits.dial_attempts), (32768, 1))
        self.assertEqual(
            settings.content.dns.servers,
            (("192.0.2.53", 53), ("192.0.2.53", 5353), ("2001:db8::53", 53), ("::1", 5353)),
        )
        self.assertEqual(settings.content.unknown_sni, "alert")

    def test_workers_are_counted(self) -> None:
        """A number is taken as it is; auto is one for each processor that this process may use."""
        self.assertEqual(self.load(ONE_PROVIDER + "workers: 64\n").workers, 64)
        self.patch(settings_module, "usable_processors", lambda: 3)
        self.assertEqual(self.load(ONE_PROVIDER + "workers: auto\n").workers, 3)
        self.patch(settings_module, "usable_processors", lambda: 200)
        self.assertEqual(self.load(ONE_PROVIDER + "workers: auto\n").workers, 64)

    def test_one_worker_where_connections_are_not_spread(self) -> None:
        """On a system that gives all connections of a port to one process there is one worker, whatever is asked."""
        self.patch(settings_module, "connections_are_spread", lambda: False)
        self.assertEqual(self.load(ONE_PROVIDER + "workers: auto\n").workers, 1)
        settings = self.load(ONE_PROVIDER + "workers: 4\n")
        self.assertEqual(settings.workers, 1)
        (warning,) = settings.warnings
        self.assertIn(
            "warning[MG0108]: workers: one worker serves: this system does not spread the connections of a port over "
            "processes",
            str(warning),
        )
        self.assertEqual(self.load(ONE_PROVIDER + "workers: 1\n").warnings, ())

    def test_keys_without_a_value_are_absent(self) -> None:
        """A section of which all keys are commented out has its defaults."""
        settings = self.load(ONE_PROVIDER + "gateway:\ntimeouts:\n  hello:\nlab:\nstate_dir:\n")
        self.assertEqual(settings.content.gateway, GatewaySettings())
        self.assertEqual(settings.content.timeouts.hello, 15.0)
        self.assertIsNone(settings.content.lab)
        self.assertEqual(settings.state_dir, self.folder / "state")

    def test_providers_judge_their_own_options(self) -> None:
        """A provider's type gets all keys but name and type, and the folder."""
        settings = self.load("providers: [{name: hosts, type: inventory, hosts: [a]}]")
        (provider,) = settings.providers
        self.assertEqual((provider.name, provider.type_name), ("hosts", "inventory"))
        self.assertEqual(provider.options, {"hosts": ["a"], "folder": str(self.folder)})
        self.assertIs(provider.factory, REGISTRY.get("inventory"))

    def test_the_lab_is_read(self) -> None:
        """Workloads keep their order; what is left out is as the echo service has it."""
        settings = self.load(
            ONE_PROVIDER + "lab:\n  echo: [{port: 2701}, {port: 2702, bind: '::1', node: other}]\n"
            "  https: [{name: one, hosts: [one.example], port: 8443, message: hello}]\n"
        )
        assert settings.content.lab is not None
        first, second = settings.content.lab.echo
        self.assertEqual((first.port, first.bind), (2701, "127.0.0.1"))
        self.assertEqual(first, EchoSettings(port=2701))
        self.assertEqual((second.port, second.bind, second.node), (2702, "::1", "other"))
        (https,) = settings.content.lab.https
        self.assertEqual((https.name, https.hosts, https.port), ("one", ("one.example",), 8443))
        self.assertEqual(https.message, "hello")
        self.assertEqual(settings.content.lab.certificates, "certificates")

    def test_an_empty_lab_runs_nothing(self) -> None:
        """A lab without workloads is a lab all the same."""
        lab = self.load(ONE_PROVIDER + "lab: {}").content.lab
        assert lab is not None
        self.assertEqual((lab.echo, lab.https), ((), ()))

    def test_the_same_text_makes_equal_settings(self) -> None:
        """What a reload compares is equal when nothing changed, and differs when something did."""
        settings = self.load(SMALLEST)
        self.assertEqual(settings, self.load(SMALLEST))
        self.assertEqual(settings, self.load(SMALLEST + "timeouts: {hello: 15000ms}\n"))
        self.assertNotEqual(settings, self.load(SMALLEST + "timeouts: {hello: 14s}\n"))

    def test_settings_are_immutable(self) -> None:
        """Neither the settings nor a section of them can be changed by one of their many readers."""
        settings: Any = self.load(SMALLEST)
        for change in (
            lambda: setattr(settings.content, "semantics", "extended"),
            lambda: setattr(settings.content.timeouts, "hello", 1.0),
            lambda: settings.content.gateway.labels.__setitem__("istio", "other"),
        ):
            self.assertRaises((AttributeError, ValueError), change)

    def test_no_provider_is_a_warning(self) -> None:
        """A gateway without routes may run, and is told so."""
        for text in ("providers: []\n", "semantics: istio\n"):
            (warning,) = self.load(text).warnings
            self.assertEqual(
                str(warning).partition(": ")[2],
                "warning[MG0107]: providers: there is no provider, so the gateway has no routes (as providers: "
                "[{name: files, type: directory, paths: [routes/]}])",
            )

    def test_access_that_changes_nothing_is_a_warning(self) -> None:
        """Networks that others cover, a dry run of nothing, and a burst without a rate; each has its line."""
        for text, wanted in (
            ("access: {allow: [10.0.0.0/8, 10.1.0.0/16]}", "access.allow[1]: 10.1.0.0/16 has no effect beside"),
            ("access: {allow: ['::1'], deny: ['::/0']}", "access.allow[0]: ::1 in allow has no effect: ::/0 in deny"),
            ("access: {deny: [192.0.2.1, 192.0.2.1]}", "access.deny[1]: 192.0.2.1 stands in deny twice"),
            ("access: {dry_run: true}", "access.dry_run: dry_run has no effect without allow or deny"),
            ("limits: {bandwidth_burst: 5}", "limits.bandwidth_burst: bandwidth_burst has no effect without bandwidth"),
            ("limits: {client_burst: 5}", "limits.client_burst: client_burst has no effect without client_rate"),
        ):
            (warning,) = self.load(f"{SMALLEST}{text}\n").warnings
            self.assertIn(f"warning[MG0109]: {wanted}", str(warning))
            self.assertIn(f"meshgate.yaml:{SMALLEST.count(chr(10)) + 1}:", str(warning))

    def test_an_api_without_credentials(self) -> None:
        """It stays on this machine, and asks for writes only where it is without them; an error has the line."""
        for api, words in (
            ("{bind: 0.0.0.0, http: true}", "api.http: the API at 0.0.0.0 would serve other machines"),
            ("{bind: 192.0.2.1, http: true, http_writes: true}", "api.http: the API at 192.0.2.1 would serve"),
            ("{http_writes: true}", "api.http_writes: http_writes has no meaning without http"),
        ):
            error = self.assertRaises(SettingsError, self.load, f"semantics: istio\napi: {api}\n")
            self.assertIn(words, str(error))
            self.assertIn("meshgate.yaml:2:", str(error))
        for api in (
            "{http: true}",
            "{http: true, http_writes: true, bind: '::1'}",
            "{bind: 0.0.0.0, names: [a.example.com]}",
        ):
            self.assertIsNotNone(self.load(f"api: {api}\n").content.api)

    def test_words_of_yaml_1_1_are_a_warning(self) -> None:
        """The YAML reader's own warnings are kept, with their places."""
        (warning,) = self.load(ONE_PROVIDER + "limits: {hello: 02000}\n").warnings
        self.assertEqual((warning.severity, warning.code), (Severity.WARNING, "MG0002"))
        self.assertEqual(warning.location(), f"{self.path}:2:17")


class BrokenFileTests(SettingsTestCase):
    """Files of which nothing can be judged."""

    def assert_refused(self, expected: str, path: Path | None = None) -> None:
        """Loading ends in exactly this text; FOLDER stands for the test's folder."""
        error = self.assertRaises(SettingsError, load_settings, path or self.path, REGISTRY)
        self.assertEqual(str(error).replace(str(self.folder), "FOLDER"), expected)

    def test_a_missing_file(self) -> None:
        """Who has no file learns how to get one."""
        self.assert_refused(
            "FOLDER/meshgate.yaml: error[MG0008]: there is no such settings file "
            "('meshgate init DIR' writes an installation to start from)"
        )

    def test_a_folder(self) -> None:
        """A folder is refused, and a settings file in it pointed at."""
        self.assert_refused("FOLDER: error[MG0008]: is a folder, not a settings file", self.folder)
        self.path.touch()
        self.assert_refused(
            "FOLDER: error[MG0008]: is a folder, not a settings file (did you mean FOLDER/meshgate.yaml?)",
            self.folder,
        )

    def test_a_file_in_a_file(self) -> None:
        """Whatever the system says of a path that leads nowhere is passed on."""
        self.path.touch()
        self.assert_refused(
            "FOLDER/meshgate.yaml/x.yaml: error[MG0008]: cannot be read: Not a directory", self.path / "x.yaml"
        )

    def test_bytes_that_are_not_utf_8(self) -> None:
        """The place of the first wrong byte is named."""
        self.path.write_bytes(b"gateway:\n  namespace: \xff\n")
        self.assert_refused(
            "FOLDER/meshgate.yaml:2:14: error[MG0001]: the byte 0xff at position 22 is not UTF-8 "
            "(save the file in UTF-8)"
        )

    def test_a_byte_order_mark(self) -> None:
        """A byte order mark is no fault."""
        self.path.write_bytes(b"\xef\xbb\xbf" + ONE_PROVIDER.encode())
        self.assertEqual(load_settings(self.path, REGISTRY).warnings, ())


class GoldenTests(SettingsTestCase, GoldenTestCase, groups=["settings"]):
    """Every problem of a file at once, in the order of the file."""

    def judge(self, case: Golden) -> Iterable[str]:
        """Load the settings."""
        return [str(each).replace(str(self.path), "settings.yaml") for each in self.problems(case.text)]


class ProblemTests(SettingsTestCase):
    """What is said of files that can be read and not be used."""

    def test_the_error_prints_as_compilers_do(self) -> None:
        """The text of the error is all of its problems, one a line."""
        error = self.assertRaises(SettingsError, self.load, "gatway: {}\nunknown_sni: no\n")
        self.assertEqual(str(error).splitlines(), [str(problem) for problem in error.problems])
        self.assertGreater(len(error.problems), 1)

    def test_a_plug_in_that_breaks_is_a_problem(self) -> None:
        """A provider type that raises something of its own ends in a message, not in a traceback."""
        self.path.write_text("providers: [{name: a, type: b}]")
        error = self.assertRaises(SettingsError, load_settings, self.path, Registry({"b": BrokenFactory()}))
        (problem,) = error.problems
        self.assertEqual((problem.code, problem.line, problem.column), ("MG0106", 1, 13))
        self.assertIn("ZeroDivisionError", problem.message)
        self.flushLoggedErrors(ZeroDivisionError)


@implementer(IRouteProviderFactory)
class BrokenFactory(InventoryFactory):
    """A provider type with a fault of its own."""

    def parse_options(self, options: Mapping[str, object], folder: str) -> object:
        """Break."""
        return 1 / 0
