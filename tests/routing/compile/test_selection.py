"""Tests of :mod:`meshgate.routing.compile.selection`."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from meshgate.resources.kinds.service import ServicePort
from meshgate.routing.compile.selection import PodIndex, have_port, may_be_selected, may_select, selected
from tests.configurations import Document, deployment, document, read

POD_NAME = "statefulset.kubernetes.io/pod-name"


class SelectorTests(SynchronousTestCase):
    """Selectors and labels."""

    def test_labels(self) -> None:
        """All pairs count, and none select everything; labels of a Node may have any value but the empty one."""
        labels = {"app": "db", "v": "1"}
        zone = "topology.kubernetes.io/zone"
        for selector, certain, possible in [
            ({}, True, True),
            ({"app": "db"}, True, True),
            ({"app": "db", "v": "2"}, False, False),
            ({"app": "db", zone: "a"}, False, True),
            ({zone: ""}, False, False),
        ]:
            found = (selected(selector, labels), may_be_selected(selector, labels))
            self.assertEqual(found, (certain, possible), selector)

    def test_labels_that_kubernetes_adds(self) -> None:
        """The Pods of a template get labels by which Services select single ones; a Pod has its labels already."""
        (made,) = read(deployment("db", {"app": "db"}, kind="StatefulSet"))
        (pod,) = read(document("Pod", "db", {}, labels={"app": "db"}))
        for selector, want in [
            ({POD_NAME: "db-0"}, True),
            ({POD_NAME: "db-0", "app": "db"}, True),
            ({POD_NAME: "db-0", "app": "web"}, False),
            ({POD_NAME: "web-0"}, False),
            ({"apps.kubernetes.io/pod-index": "3"}, True),
            ({"pod-template-hash": "abc", "app": "db"}, True),
        ]:
            self.assertEqual((may_select(selector, made), may_select(selector, pod)), (want, False), selector)


class IndexTests(SynchronousTestCase):
    """The Pods that a selector selects."""

    def found(self, selector: Mapping[str, str], *documents: Document) -> list[str]:
        """The names of what makes such Pods in the namespace ``default``."""
        index = PodIndex()
        for each in read(*documents):
            index.add(each)
        return [each.name for each in index.find("default", selector)]

    def test_by_labels(self) -> None:
        """All labels count, and the namespace; an empty selector selects nothing."""
        documents = [
            deployment("a", {"app": "db", "v": "1"}),
            deployment("b", {"app": "db", "v": "2"}),
            deployment("c", {"app": "db", "v": "1"}, namespace="other"),
        ]
        for selector, want in [
            ({}, []),
            ({"app": "db"}, ["a", "b"]),
            ({"app": "db", "v": "1"}, ["a"]),
            ({"x": "y"}, []),
        ]:
            self.assertEqual(self.found(selector, *documents), want, selector)

    def test_by_the_name_of_a_pod(self) -> None:
        """A Service for one Pod of a StatefulSet may select it by its name alone."""
        sets = [deployment(name, {"app": "db"}, kind="StatefulSet") for name in ("db", "db-ro")]
        self.assertEqual(self.found({POD_NAME: "db-1"}, *sets), ["db"])
        self.assertEqual(self.found({POD_NAME: "db-ro-0"}, *sets), ["db-ro"])
        self.assertEqual(self.found({POD_NAME: "web-0"}, *sets), [])


class PortTests(SynchronousTestCase):
    """Target ports of Pods."""

    def test_names(self) -> None:
        """A name has to be that of a container's port, if ports are written; a number may be listened on anyway."""
        by_name, by_number = (ServicePort.model_validate({"port": 1, "targetPort": each}) for each in ("sql", 3))
        named: list[tuple[list[Document], bool]] = [
            ([], True),
            ([{"containerPort": 1}], False),
            ([{"containerPort": 1, "name": "sql"}], True),
        ]
        for ports, want in named:
            pods = read(deployment("db", {"app": "db"}, *ports))
            self.assertEqual((have_port(pods, by_name), have_port(pods, by_number)), (want, True), ports)
