"""
Fields that several kinds have, with their rules: the protocol of a port, ``exportTo``, and labels with selectors of
them.

The rules are Istio's (pkg/config/protocol/instance.go; pkg/config/validation/validation.go, validateExportTo and
validateWorkloadSelector).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Protocol

from pydantic import AfterValidator

from meshgate.resources import names
from meshgate.resources.fault import Fault, FieldPath, sound_items
from meshgate.resources.model import Items, refuse
from meshgate.resources.names import dns_label
from meshgate.resources.problem import Severity
from meshgate.resources.wording import path_text, quoted, spelling_hint

#: Protocols whose connections begin with TLS.
TLS_PROTOCOLS: Final = frozenset(["HTTPS", "TLS"])
#: Protocols of the HTTP family without TLS.
HTTP_PROTOCOLS: Final = frozenset(["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"])
#: Protocols that are routed as a stream of bytes, TLS among them.
STREAM_PROTOCOLS: Final = TLS_PROTOCOLS | {"TCP", "MONGO", "MYSQL", "REDIS"}
#: All protocols, in the order in which messages list them.
PROTOCOLS: Final = ("TCP", "TLS", "HTTPS", *sorted(HTTP_PROTOCOLS), "MONGO", "MYSQL", "REDIS", "UDP")


def _checked(protocol: str) -> str:
    name = protocol.upper()
    if name in PROTOCOLS:
        return name
    return refuse("MG1004", f"{quoted(protocol)} is not a protocol", spelling_hint(protocol, PROTOCOLS))


def _checked_or_empty(protocol: str) -> str:
    return protocol and _checked(protocol)


#: A protocol in any case, kept in upper case.
PortProtocol = Annotated[str, AfterValidator(_checked)]
#: A protocol, or an empty text if it is to be detected from the first bytes.
OptionalPortProtocol = Annotated[str, AfterValidator(_checked_or_empty)]


EVERYBODY: Final = "*"
OWN_NAMESPACE: Final = "."
NOBODY: Final = "~"

EXPORTED_TO_ALL: Final = (EVERYBODY,)
"""The default of ``exportTo``. A list in a document may be equal to it, but is another object."""

ExportTo = Annotated[Items[str], AfterValidator(lambda names: names or EXPORTED_TO_ALL)]
"""The field ``exportTo``. An empty list means everybody, as in Istio."""


def export_faults(
    names: Sequence[str], namespace: str, path: FieldPath, nobody_allowed: bool = False
) -> Iterator[Fault]:
    """
    Check the namespaces that a resource is exported to.

    :param namespace: the namespace of the resource.
    :param path: the path of the list.
    :param nobody_allowed: allow ``~`` as the only entry.
    """
    first: dict[str, int] = {}
    for index, name in sound_items(names):
        entry = (*path, index)
        target = namespace if name == OWN_NAMESPACE else name
        if target in first:
            other = path_text((*path, first[target]))
            message = f"{quoted(name)} is the same namespace as {other}"
            yield Fault(entry, "MG1047", message, "remove one of the two")
            continue
        first[target] = index
        yield from _name_faults(name, entry, nobody_allowed)
    for alone in (EVERYBODY, NOBODY):
        if alone in first and len(names) > 1 and (alone == EVERYBODY or nobody_allowed):
            meaning = "every namespace" if alone == EVERYBODY else "no namespace"
            message = f"{quoted(alone)} stands for {meaning}, and there are other entries"
            yield Fault((*path, first[alone]), "MG1047", message, "leave it alone in the list, or remove it")


def _name_faults(name: str, path: FieldPath, nobody_allowed: bool) -> Iterator[Fault]:
    if name == NOBODY and not nobody_allowed:
        message = "only a ServiceEntry can be exported to no namespace"
        yield Fault(path, "MG1046", message, 'write "." to keep it in its own namespace')
    elif name not in (EVERYBODY, OWN_NAMESPACE, NOBODY):
        message = dns_label(name)
        if message:
            hint = 'write the name of a namespace, "." for its own, or "*" for all'
            yield Fault(path, "MG1046", message, hint)


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
