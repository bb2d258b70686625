"""Tests of :mod:`meshgate.cli.describe`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.cli.describe import description, title_of

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
THEN = "2026-01-01T00:00:00Z"


def described(object_: dict[str, Any], *events: dict[str, Any]) -> str:
    """The description of an object."""
    return "\n".join(description(object_, events, NOW))


class DescriptionTests(SynchronousTestCase):
    """Objects for people."""

    def test_gateway(self) -> None:
        """Labels, content, conditions, listeners and events are there, lists of the status as tables."""
        condition = {
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "",
            "lastTransitionTime": THEN,
        }
        listener = {"name": "tcp", "port": 80, "hosts": ["*", "a.com"], "open": True, "attachedRoutes": 2}
        found = described(
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "Gateway",
                "metadata": {
                    "name": "echo",
                    "namespace": "shop",
                    "labels": {"a": "b", "c": "d"},
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
                    "creationTimestamp": THEN,
                },
                "spec": {"selector": {}, "servers": [{"port": {"number": 80}, "hosts": ["*"], "tls": None}]},
                "status": {"observedGeneration": 1, "conditions": [condition], "listeners": [listener]},
            },
            {"type": "Normal", "reason": "Programmed", "message": "it serves", "lastTimestamp": THEN},
        )
        self.assertEqual(
            found,
            """\
Name:        echo
Namespace:   shop
Labels:      a=b
             c=d
Annotations: <none>
API Version: networking.istio.io/v1
Kind:        Gateway
Created:     2026-01-01T00:00:00Z (60s ago)
Spec:
  Selector: <none>
  Servers:
    - Port:
        Number: 80
      Hosts: *
      Tls: <none>
Status:
  Conditions:
    Type      Status  Reason    Age
    ----      ------  ------    ---
    Accepted  True    Accepted  60s
  Listeners:
    Name  Port  Hosts     Open  Attached Routes
    ----  ----  -----     ----  ---------------
    tcp   80    *, a.com  true  2
Events:
  Type    Reason      Age  From    Message
  ----    ------      ---  ----    -------
  Normal  Programmed  60s  <none>  it serves""",
        )

    def test_secret(self) -> None:
        """The entries of a Secret are described by their sizes, and those of a ConfigMap shown."""
        head: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque"}
        found = described({**head, "data": {"tls.key": "c2VjcmV0", "bad": "%"}})
        self.assertIn("Data:\n  tls.key: 6 bytes\n  bad: 0 bytes\nEvents: <none>", found)
        self.assertNotIn("c2Vj", found)
        found = described({**head, "kind": "ConfigMap", "data": {"a.txt": "first\nsecond"}})
        self.assertIn("Data:\n  a.txt:\n    first\n    second\n", found)

    def test_nested_status(self) -> None:
        """A list of the status whose items have fields of their own becomes lines, and not a table."""
        head: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
        found = described({**head, "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}})
        self.assertIn("  Load Balancer:\n    Ingress:\n      - Ip: 127.0.0.1\n", found)

    def test_titles(self) -> None:
        """Names of fields become words; names with dots or capitals stay."""
        titles = {"attachedRoutes": "Attached Routes", "clusterIP": "Cluster IP", "a.b/c": "a.b/c", "ROLE": "ROLE"}
        self.assertEqual({name: title_of(name) for name in titles}, titles)
