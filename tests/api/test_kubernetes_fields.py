"""Tests of :mod:`meshgate.api.kubernetes_fields`, and of the check that the API makes with it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.kubernetes_fields import list_keys, messages, mismatches, sets
from meshgate.api.object_validation import validated
from meshgate.api.refusal import RefusedError
from meshgate.api.resource_types import type_of_kind

CONTAINER = {
    "name": "web",
    "image": "example/web",
    "ports": [{"containerPort": 8080}],
    "env": [{"name": "A", "value": "b"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    "resources": {"limits": {"cpu": 1, "memory": "64Mi"}},
    "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": 1},
}


def deployment(**spec: Any) -> dict[str, Any]:
    """A Deployment without a fault, with some fields of its spec replaced."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER], "volumes": None}}
    content = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": content}


def found(object_: dict[str, Any]) -> list[tuple[str, str]]:
    """The mismatches of an object."""
    return [(each.path, each.wanted) for each in mismatches(object_["kind"], object_)]


class MismatchTests(SynchronousTestCase):
    """The fields that an object has, against those of its kind."""

    def test_valid(self) -> None:
        """A usual object has none; a null is as good as nothing."""
        self.assertEqual(found(deployment(strategy=None)), [])

    def test_unknown_fields(self) -> None:
        """A field that the kind does not have is found at any depth."""
        wrong = {**CONTAINER, "prots": []}
        object_ = deployment(replica=1, template={"spec": {"containers": [CONTAINER, wrong]}})
        self.assertEqual(sorted(found(object_)), [("spec.replica", ""), ("spec.template.spec.containers[1].prots", "")])

    def test_wrong_types(self) -> None:
        """A value of another type than the field's is found, and what belongs there."""
        self.assertEqual(found(deployment(replicas="2")), [("spec.replicas", "a whole number")])
        self.assertEqual(found(deployment(replicas=True)), [("spec.replicas", "a whole number")])
        self.assertEqual(found(deployment(paused=1)), [("spec.paused", "true or false")])
        self.assertEqual(found(deployment(template=[])), [("spec.template", "a mapping")])
        self.assertEqual(
            found(deployment(template={"spec": {"containers": {}}})), [("spec.template.spec.containers", "a list")]
        )
        labels = {"matchLabels": {"version": 2}}
        self.assertEqual(found(deployment(selector=labels)), [("spec.selector.matchLabels.version", "a text")])

    def test_other_kinds(self) -> None:
        """Nothing is said of a kind that the table does not have."""
        self.assertEqual(list(mismatches("Gateway", {"spec": 1})), [])


class TableTests(SynchronousTestCase):
    """The table of fields."""

    def test_references(self) -> None:
        """Every message that a field names is there, and keys of lists are fields of their items."""
        simple = {"text", "int", "bool", "number", "time", "bytes", "quantity", "any", "int|text"}
        for name, message in messages().items():
            for field in message.fields.values():
                self.assertTrue(field.type in simple or field.type in messages(), f"{name}.{field.name}: {field.type}")
                if field.type in messages():
                    self.assertLessEqual(set(field.keys), set(messages()[field.type].fields), f"{name}.{field.name}")

    def test_keys(self) -> None:
        """The lists that are merged, by the names of their fields."""
        self.assertEqual(list_keys()["env"], [("name",)])
        self.assertEqual(list_keys()["ports"], [("containerPort", "protocol"), ("port", "protocol")])
        self.assertEqual(sets(), frozenset({"finalizers"}))


class ValidationTests(SynchronousTestCase):
    """The check of an object of Kubernetes' kinds that a client writes."""

    def check(self, object_: dict[str, Any], unknown_fields: str) -> tuple[str, ...]:
        """Check it, and return the warnings."""
        type_ = type_of_kind("apps", "Deployment")
        assert type_ is not None
        return validated(type_, object_, unknown_fields).warnings

    def test_unknown_fields(self) -> None:
        """An unknown field is refused, told or ignored, as the client wants."""
        object_ = deployment(replica=1)
        refused = self.assertRaises(RefusedError, self.check, object_, "Strict")
        self.assertEqual(refused.message, 'strict decoding error: unknown field "spec.replica"')
        self.assertEqual(self.check(object_, "Warn"), ('unknown field "spec.replica"',))
        self.assertEqual(self.check(object_, "Ignore"), ())

    def test_wrong_types(self) -> None:
        """A value of a wrong type is refused, by the name of the kind; the status is the gateway's own."""
        refused = self.assertRaises(RefusedError, self.check, deployment(replicas="2"), "Warn").as_json()
        self.assertEqual(refused["details"]["causes"][0]["field"], "spec.replicas")
        self.assertEqual(refused["details"]["kind"], "Deployment")
        self.assertEqual(self.check({**deployment(), "status": {"own": 1}}, "Strict"), ())
