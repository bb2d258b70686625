"""Snapshots: all resources of one provider at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshgate.resources.problem import Origin, Problem, Severity
from meshgate.resources.reader import read_document
from meshgate.resources.resource import Resource


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    A provider's resources, and the problems of those that it could not read.

    An empty snapshot counts as well: it withdraws every route of the provider.

    :ivar refused: what can be read of invalid resources. They take part in the analysis, and never in traffic.
    """

    resources: tuple[Resource[Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: tuple[Resource[Any], ...] = ()

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Mapping[str, Any]],
        *,
        provider: str,
        source: str = "",
        default_namespace: str = "default",
    ) -> Snapshot:
        """
        Make a snapshot from plain mappings in the form of Kubernetes documents (``apiVersion``, ``kind``, ``metadata``,
        ``spec``). An invalid document is left out and reported; the others serve. An unknown field is a warning.

        :param documents: in the order in which they would be applied.
        :param provider: the provider's name in the settings.
        :param source: shown as the file, for instance a URL; empty for none.
        :param default_namespace: the namespace of documents that name none.
        """
        resources: list[Resource[Any]] = []
        problems: list[Problem] = []
        refused: list[Resource[Any]] = []
        for number, document in enumerate(documents):
            origin = Origin(provider=provider, file=source, document=number)
            reading = read_document(document, origin, default_namespace, Severity.WARNING)
            problems.extend(reading.problems)
            if reading.resource is not None:
                resources.append(reading.resource)
            elif reading.refused is not None:
                refused.append(reading.refused)
        return cls(tuple(resources), tuple(problems), tuple(refused))
