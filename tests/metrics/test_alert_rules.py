"""Tests of the shipped alert rules and the dashboard, against the metrics that there are and real failures."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.metrics.metric_families import FAMILIES, Family
from tests.metrics.alert_rules import FAILURES, PROMETHEUS, RULES, families_in, families_of_rules, rules, sample_names
from tests.metrics.record_failures import BEFORE, DURING
from tests.support import new_folder, require_program

INSTANCE = {"instance": "gateway-1"}
SCRAPED = {**INSTANCE, "job": "meshgate"}
DB = {**INSTANCE, "destination": "db.local:443"}

EXPECTED: dict[str, dict[str, list[dict[str, str]]]] = {
    "backend_dead": {
        "MeshgateEndpointFailing": [{**DB, "endpoint": "127.0.0.1:5432"}],
        "MeshgateConnectionsFailing": [DB],
    },
    "snapshot_refused": {"MeshgateErrorsInResources": [{**INSTANCE, "code": "MG1004"}]},
    "port_not_bound": {
        "MeshgateListenerNotBound": [{**SCRAPED, "listener": "127.0.0.1:5432"}],
        "MeshgateErrorsInResources": [{**INSTANCE, "code": "MG3100"}],
    },
    "workers_killed": {
        "MeshgateWorkerRestarted": [INSTANCE],
        "MeshgateWorkersMissing": [SCRAPED],
        "MeshgateErrorsInResources": [{**INSTANCE, "code": "MG3102"}],
    },
    "worker_stuck": {"MeshgateWorkersBehind": [SCRAPED]},
    "worker_late": {"MeshgateReactorLate": [{**INSTANCE, "process": "worker-1"}]},
    "descriptors_low": {
        "MeshgateDescriptorsLow": [{**SCRAPED, "process": "worker-1"}, {**SCRAPED, "process": "worker-2"}]
    },
    "name_not_resolved": {"MeshgateNamesFailing": [SCRAPED]},
    "gateway_ended": {"MeshgateDown": [SCRAPED]},
    "never_ready": {
        "MeshgateNotReady": [SCRAPED],
        "MeshgateListenerNotBound": [{**SCRAPED, "listener": "192.0.2.1:5432"}],
        "MeshgateErrorsInResources": [{**INSTANCE, "code": "MG3100"}],
    },
    "provider_fails": {
        "MeshgateProviderFailing": [{**SCRAPED, "provider": "files"}],
        "MeshgateErrorsInResources": [{**INSTANCE, "code": "MG3001"}],
    },
}
"""The alerts of each failure, with their labels but the severity. All other rules have to be silent."""


class AlertRulesTests(SynchronousTestCase):
    """``examples/prometheus/alerts.yaml``."""

    def test_each_failure(self) -> None:
        """Before a failure no rule fires; in the end those do that are about it, and no others."""
        for failure, expected in EXPECTED.items():
            folder = new_folder(self)
            (folder / "test.yaml").write_text(_promtool_test(failure, expected))
            (folder / "alerts.yaml").write_text(RULES.read_text())
            checked = subprocess.run(
                [require_program("promtool"), "test", "rules", "test.yaml"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(checked.returncode, 0, f"{failure}: {checked.stdout}{checked.stderr}")

    def test_each_rule_has_its_failure(self) -> None:
        """No rule is untested, and every recording is used."""
        fired = {alert for expected in EXPECTED.values() for alert in expected}
        self.assertEqual(fired, {rule["alert"] for rule in rules()})
        self.assertEqual({file.stem for file in FAILURES.iterdir()}, set(EXPECTED))

    def test_they_name_metrics_that_exist(self) -> None:
        """Every metric of a rule is one of the gateway's."""
        self.assertEqual(families_of_rules() - sample_names(), set())

    def test_promtool_finds_no_fault(self) -> None:
        """Neither in the rules nor in the example of a configuration."""
        for arguments in (("rules", "alerts.yaml"), ("config", "prometheus.yaml")):
            subprocess.run(
                [require_program("promtool"), "check", *arguments], cwd=PROMETHEUS, capture_output=True, check=True
            )


class DashboardTests(SynchronousTestCase):
    """``examples/prometheus/dashboard.json``."""

    def setUp(self) -> None:
        """Read it."""
        self.board: dict[str, Any] = json.loads((PROMETHEUS / "dashboard.json").read_text())
        self.panels = [panel for panel in self.board["panels"] if panel["type"] != "row"]
        self.expressions = [target["expr"] for panel in self.panels for target in panel["targets"]]

    def test_it_names_metrics_and_labels_that_exist(self) -> None:
        """Every metric is one of the gateway's, and each selects and groups by labels that it has."""
        labels_of: dict[str, Family] = {each.name: each for each in FAMILIES}
        for expression in [*self.expressions, *self.queries()]:
            names = families_in(expression)
            self.assertTrue(names, expression)
            self.assertEqual(names - sample_names(), set(), expression)
            known = {"instance", "le"}
            for name in names:
                known |= set(labels_of[re.sub("_(total|info|bucket|sum|count)$", "", name)].labels)
            used = set(re.findall(r"(\w+)=~?\"", expression))
            used |= {label for group in re.findall(r"by \(([\w, ]+)\)", expression) for label in group.split(", ")}
            self.assertEqual(used - known, set(), expression)

    def queries(self) -> list[str]:
        """The queries of its variables."""
        variables = self.board["templating"]["list"]
        return [each["query"]["query"] for each in variables if each["type"] == "query"]

    def test_it_shows_every_metric(self) -> None:
        """No family is missing."""
        shown = {
            re.sub("_(total|info|bucket|sum|count)$", "", name)
            for each in self.expressions
            for name in families_in(each)
        }
        self.assertEqual({family.name for family in FAMILIES} - shown, set())

    def test_the_expressions_are_valid(self) -> None:
        """Each can be read by promtool, with Grafana's variables filled in."""
        filled = [
            each.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$destination", ".*")
            for each in self.expressions
        ]
        groups = "".join(
            f"  - record: rule_{number}\n    expr: {json.dumps(each)}\n" for number, each in enumerate(filled)
        )
        folder = new_folder(self)
        (folder / "rules.yaml").write_text(f"groups:\n- name: all\n  rules:\n{groups}")
        checked = subprocess.run(
            [require_program("promtool"), "check", "rules", "rules.yaml"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_its_panels_do_not_overlap(self) -> None:
        """Each has a place of its own on the grid."""
        places = [
            (x, y)
            for panel in self.board["panels"]
            for place in [panel["gridPos"]]
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        self.assertEqual(len(places), len(set(places)))
        self.assertLessEqual(max(x for x, _ in places), 23)


def _promtool_test(failure: str, expected: dict[str, list[dict[str, str]]]) -> str:
    recording = (FAILURES / f"{failure}.yaml").read_text()
    series = recording[recording.index("input_series:") :]
    checks = []
    last = DURING - 1 if failure == "never_ready" else BEFORE + DURING - 1
    for rule in rules():
        name, alerts = rule["alert"], []
        for labels in expected.get(rule["alert"], []):
            labels_and_severity = {**labels, **rule["labels"]}
            annotations = {key: _filled(text, labels_and_severity) for key, text in rule["annotations"].items()}
            alerts.append({"exp_labels": labels_and_severity, "exp_annotations": annotations})
        if failure != "never_ready":
            checks.append({"eval_time": f"{(BEFORE - 1) * 15}s", "alertname": name, "exp_alerts": []})
        checks.append({"eval_time": f"{last * 15}s", "alertname": name, "exp_alerts": alerts})
    indented = "\n".join(f"  {line}" for line in series.splitlines())
    return (
        "rule_files: [alerts.yaml]\nevaluation_interval: 15s\ntests:\n- interval: 15s\n"
        f"{indented}\n  alert_rule_test: {json.dumps(checks)}\n"
    )


def _filled(text: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)
