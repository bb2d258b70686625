"""The rules for ``exportTo``, which several kinds have (Istio, pkg/config/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from pydantic import AfterValidator

from meshgate.resources.fault import Fault, FieldPath
from meshgate.resources.model import Items
from meshgate.resources.names import dns_label
from meshgate.resources.partial import sound_items
from meshgate.resources.wording import path_text, quoted

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
