"""An object that is applied is judged as a file is: the same faults are causes, and the same warnings warnings."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshgate.api.answering import Answering
from meshgate.api.object_validation import MOST_WARNINGS, sentence
from meshgate.api.refusal import RefusedError
from meshgate.api.requests import Answer, ApiRequest
from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.api.status_writer import StatusWriter
from meshgate.api.unstored_objects import ForeignResources
from meshgate.providers.compiling import CompilerState, compile_state
from meshgate.providers.feed import FeedState
from meshgate.resources.documents import items_of
from meshgate.resources.kinds.supported_kinds import ISTIO_GROUP
from meshgate.resources.phases import at_once
from meshgate.resources.problem import Severity
from meshgate.resources.reader import DocumentReading, read_text
from meshgate.resources.validation import UNKNOWN_FIELD
from meshgate.resources.yaml.document import parse_documents
from tests.api.api_objects import MemoryStore, collection_of, no_log, no_warnings
from tests.configurations import PROXY
from tests.golden import all_cases

OF_YAML = {"MG0002"}
"""Codes about the words of YAML, which the JSON of the API does not have."""


class SameFaultsTests(SynchronousTestCase):
    """Each document of the golden texts, once as a file and once as the body of a request."""

    maxDiff = None

    def apply(self, type_: ResourceType, document: Mapping[str, Any], namespace: str) -> Answer | RefusedError:
        """Create an object in an empty store; its namespace exists."""
        collection = collection_of(MemoryStore())
        collection.open([namespace])
        answering = Answering(collection, lambda: True, no_warnings, no_log, lambda: 1_800_000_000.0, random.Random(1))
        group, _, version = str(document["apiVersion"]).rpartition("/")
        path = ("apis", group, version) if group else ("api", version)
        request = ApiRequest(
            "POST",
            (*path, "namespaces", namespace, type_.plural),
            {},
            {"content-type": "application/json"},
            json.dumps(document).encode(),
            "admin",
        )
        results: list[Any] = []
        done = Deferred.fromCoroutine(answering.answer(request, "127.0.0.1:18443"))
        done.addErrback(lambda failure: failure.trap(RefusedError) and failure.value).addCallback(results.append)
        found: Answer | RefusedError = results[0]
        return found

    def test_each_document(self) -> None:
        """An invalid one is refused with its faults as causes, and a valid one accepted with its warnings."""
        count = 0
        for name, type_, document, reading in documents():
            problems = [each for each in reading.problems if each.code not in {UNKNOWN_FIELD, *OF_YAML}]
            faults = {(each.path, sentence(each)) for each in problems if each.severity is Severity.ERROR}
            namespace = reading.key.namespace if reading.key is not None else ""
            answer = self.apply(type_, document, namespace)
            if isinstance(answer, RefusedError):
                self.assertEqual(answer.code, 422, (name, answer.message))
                self.assertEqual({(each.field, each.message) for each in answer.causes}, faults, name)
            else:
                self.assertEqual(faults, set(), name)
                warnings = [sentence(each) for each in problems if each.severity is Severity.WARNING]
                told = {each for each in answer.warnings if not each.startswith("unknown field")}
                self.assertEqual(told, set(warnings[:MOST_WARNINGS]), name)
            count += 1
        self.assertGreater(count, 1_000)


def documents() -> Iterator[tuple[str, ResourceType, Mapping[str, Any], DocumentReading]]:
    """The documents of the golden texts that are of a type which is read."""
    for case in all_cases():
        reading = read_text(case.text, "routes.yaml")
        if case.group in ("settings", "expectations") or not reading.readable:
            continue
        values = [each.value for each in parse_documents(case.text)]
        found = [document for value in values for document in items_of(value) or (value,)]
        for document, one in zip(found, reading.documents, strict=True):
            # With generateName, an object has no name in a file, and gets one here.
            if one.key is None or not one.key.name:
                continue
            group, _, version = str(document["apiVersion"]).rpartition("/")
            type_ = type_of_kind(group, one.key.kind)
            if type_ is not None and type_.reads is not None and version in type_.versions:
                yield f"{case.group}/{case.path.stem}", type_, document, one


class SameStatusTests(SynchronousTestCase):
    """Each golden text of analysis as objects of the API."""

    def test_each_text(self) -> None:
        """Every object has its four conditions, and every problem of analysis is in one of their messages."""
        for case in all_cases():
            if case.group not in ("analysis", "extended"):
                continue
            reading = read_text(case.text, "routes.yaml", "files")
            collection = collection_of(MemoryStore())
            writer = StatusWriter(collection, lambda *_: None, lambda: "2027-01-15T08:00:00Z")
            shown = ForeignResources(collection).show(reading.resources)
            proxy = replace(PROXY, extended=case.group == "extended")
            compilation = at_once(compile_state(FeedState(shown), proxy, 1, CompilerState()))
            writer.compiled(compilation)
            writer.live(1)
            for key, status in compilation.statuses.items():
                type_ = type_of_kind(ISTIO_GROUP, key.kind) or type_of_kind("", key.kind)
                object_ = collection.find(type_, (key.namespace, key.name)) if type_ is not None else None
                if object_ is None:
                    continue
                conditions = {each["type"]: each for each in object_["status"]["conditions"]}
                held = {name: each["status"] == "True" for name, each in conditions.items()}
                expected = {"Accepted": status.accepted, "Programmed": status.programmed}
                expected["Conflicted"] = status.conflicted
                self.assertEqual({name: held[name] for name in expected}, expected, (case.path.name, key))
                self.assertIn("ResolvedRefs", held)
                self.assertEqual(object_["status"]["observedGeneration"], object_["metadata"]["generation"])
                said = " ".join(each["message"] for each in conditions.values())
                for problem in writer.problems.get(key, ()):
                    if problem.severity is not Severity.INFO:
                        self.assertIn(sentence(problem), said, (case.path.name, key))
