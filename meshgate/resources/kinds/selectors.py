"""Rules for labels, and for selectors of workloads by labels (Istio, validation.go, validateWorkloadSelector)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from meshgate.resources import names
from meshgate.resources.fault import Fault, FieldPath
from meshgate.resources.problem import Severity
from meshgate.resources.wording import quoted


class Labeled(Protocol):
    """An object that has labels."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels."""


def selector_faults(labels: Mapping[str, str], path: FieldPath, everything: str) -> Iterator[Fault]:
    """
    Check a selector.

    :param path: the path of its labels.
    :param everything: a noun phrase for what a selector without labels selects.
    """
    if not labels:
        yield Fault(
            path[:-1],
            "MG1079",
            f"the workload selector has no labels, and so selects {everything}",
            "write labels, or leave it out",
            Severity.WARNING,
            points_at_key=True,
        )
    for key, value in labels.items():
        if not key:
            yield Fault((*path, key), "MG1078", "the key of a label is empty", "write a key", points_at_key=True)
        elif "*" in key or "*" in value:
            points_at_key = "*" in key
            yield Fault(
                (*path, key),
                "MG1078",
                f"{quoted(key if points_at_key else value)} has a wildcard, which a selector does not know",
                "write the label as the workload has it",
                points_at_key=points_at_key,
            )


def malformed_labels(labeled: Labeled, path: FieldPath) -> Iterator[Fault]:
    """
    Check the labels of an object.

    :param path: the path of the object.
    """
    for key, message in names.labels(labeled.labels):
        yield Fault((*path, "labels", key), "MG1023", message)
