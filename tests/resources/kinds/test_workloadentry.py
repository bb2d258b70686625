"""WorkloadEntries."""

from __future__ import annotations

import pickle

from twisted.trial.unittest import SynchronousTestCase

from tests.reading import faults_of, problems_of, spec_of


class WorkloadEntryTests(SynchronousTestCase):
    """Fields and rules."""

    def test_all_fields(self) -> None:
        """Each field is read by its Istio name."""
        whole = {
            "address": "10.0.0.1",
            "ports": {"http": 8080, "https": 8443},
            "labels": {"app": "a"},
            "network": "n",
            "locality": "r/z/s",
            "weight": 3,
            "serviceAccount": "sa",
        }
        spec = spec_of("WorkloadEntry", whole)
        self.assertEqual(spec.model_dump(mode="json", by_alias=True), whole)
        self.assertEqual(spec.ports["https"], 8443)
        self.assertEqual(pickle.loads(pickle.dumps(spec)), spec)  # noqa: S301

    def test_defaults(self) -> None:
        """A weight of 0 is as good as none, which is 1."""
        for weight in ({}, {"weight": 0}):
            spec = spec_of("WorkloadEntry", {"address": "a.example.com", **weight})
            self.assertEqual((spec.weight, spec.ports, spec.labels), (1, {}, {}))

    def test_an_address_is_required(self) -> None:
        """Unless the network says where to go, which is worth a warning."""
        self.assertEqual(faults_of("WorkloadEntry", {}), ["MG1002 address"])
        (warning,) = problems_of("WorkloadEntry", {"network": "n"})
        self.assertEqual((warning.code, warning.path), ("MG1096", "spec.network"))

    def test_ports(self) -> None:
        """Within their range, and quoted ones too."""
        self.assertEqual(spec_of("WorkloadEntry", {"address": "a", "ports": {"x": "80"}}).ports, {"x": 80})
        for wrong, code in ((0, "MG1005"), (65536, "MG1005"), ("x", "MG1003"), (None, "MG1003")):
            self.assertEqual(faults_of("WorkloadEntry", {"address": "a", "ports": {"x": wrong}}), [f"{code} ports.x"])

    def test_unix_sockets(self) -> None:
        """An absolute path or an abstract name, and no ports."""
        for address in ("unix:///run/a", "unix://@a"):
            self.assertEqual(problems_of("WorkloadEntry", {"address": address}), [])
        wrong = {"address": "unix://a", "ports": {"x": 80}}
        self.assertEqual(faults_of("WorkloadEntry", wrong), ["MG1095 address", "MG1095 ports"])
