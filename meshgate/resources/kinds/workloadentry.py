"""WorkloadEntry: a workload outside Kubernetes (Istio, networking/v1alpha3/workload_entry.proto)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import core_schema

from meshgate.resources import names
from meshgate.resources.fault import Fault, FieldPath, chain_rules
from meshgate.resources.kinds.shared_fields import malformed_labels
from meshgate.resources.model import MAX_PORT, UNIX_PREFIX, FrozenMapping, Labels, Model, UInt32, whole_number
from meshgate.resources.problem import Severity
from meshgate.resources.resource import ResourceKey
from meshgate.resources.wording import quoted


class NamedPorts(FrozenMapping[int]):
    """Port numbers by the names of ports."""

    __slots__ = ()

    value_schema = core_schema.no_info_before_validator_function(
        whole_number, core_schema.int_schema(strict=True, ge=1, le=MAX_PORT)
    )


class WorkloadEntrySpec(Model):
    """The spec of a WorkloadEntry, and an endpoint of a ServiceEntry."""

    address: str = Field(default="", description="IP address, DNS name, or unix:// path")
    ports: NamedPorts = Field(default=NamedPorts(), description="the workload's own ports by the service's port names")
    labels: Labels = Field(default=Labels(), description="labels by which services and subsets select it")
    network: str = Field(default="", description="network it is in, where that is not the mesh's")
    locality: str = Field(default="", description="region/zone/subzone")
    weight: Annotated[UInt32, AfterValidator(lambda weight: weight or 1)] = Field(
        default=1, description="its share of the connections; 0 and unset are 1"
    )
    service_account: str = Field(default="", description="the account it runs as")


def faults(spec: WorkloadEntrySpec, key: ResourceKey) -> Iterator[Fault]:
    """The rules between the fields of a WorkloadEntry (Istio, validation.go, ValidateWorkloadEntry)."""
    path = ("spec",)
    yield from chain_rules(
        missing_address_faults(spec, path),
        unix_faults(spec, path),
        domain_faults(spec, path),
        port_name_faults(spec, path),
        malformed_labels(spec, path),
    )


def _is_unix(entry: WorkloadEntrySpec) -> bool:
    """Return True if the address of the workload is a Unix socket."""
    return entry.address.startswith(UNIX_PREFIX)


def missing_address_faults(entry: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    """
    Check an entry without address.

    :param path: the path of the entry.
    """
    if entry.address:
        return
    if entry.network:
        yield Fault(
            (*path, "network"),
            "MG1096",
            f"there is no address in the network {quoted(entry.network)}",
            "write an address, unless the network's gateway is to be asked",
            Severity.WARNING,
        )
    else:
        hint = "write an IP address, a name or unix:///path"
        yield Fault((*path, "address"), "MG1002", "the required field address is missing", hint)


def domain_faults(entry: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    """
    Check that the address is an IP address or a name, unless it is a Unix socket.

    :param path: the path of the entry.
    """
    address = entry.address
    if not address or _is_unix(entry):
        return
    message = names.ip_address(address) and names.fqdn(address)
    if message:
        yield Fault((*path, "address"), "MG1094", message, _without_port(address, "write an IP address or a name"))


def ip_faults(entry: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    """
    Check that the address is an IP address, unless it is a Unix socket.

    :param path: the path of the entry.
    """
    address = entry.address
    if not address or _is_unix(entry):
        return
    message = names.ip_address(address)
    if message:
        hint = "write resolution: DNS for names" if not names.fqdn(address) else "write an IP address"
        yield Fault((*path, "address"), "MG1094", message, _without_port(address, hint))


def _without_port(address: str, hint: str) -> str:
    host, colon, port = address.rpartition(":")
    return f"write {quoted(host)}; the port belongs under ports" if colon and port.isdigit() else hint


def unix_faults(entry: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    """
    Check an entry whose address is a Unix socket.

    :param path: the path of the entry.
    """
    if not _is_unix(entry):
        return
    message = names.unix_path(entry.address.removeprefix(UNIX_PREFIX))
    if message:
        yield Fault((*path, "address"), "MG1095", message, "write unix:///path/to/socket")
    if entry.ports:
        yield Fault((*path, "ports"), "MG1095", "a Unix socket has no ports", "leave ports out", points_at_key=True)


def single_port_faults(entry: WorkloadEntrySpec, ports: Sequence[object], path: FieldPath) -> Iterator[Fault]:
    """
    Check that a service with a Unix socket as an endpoint has a single port.

    :param ports: the ports of the service.
    :param path: the path of the entry.
    """
    if _is_unix(entry) and len(ports) != 1:
        message = f"a Unix socket is for a service of one port, and this one has {len(ports) or 'none'}"
        yield Fault((*path, "address"), "MG1095", message, "write a ServiceEntry for each port")


def lookup_faults(entry: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    """
    Check that the address of an endpoint can be looked up in the DNS.

    :param path: the path of the entry.
    """
    address_path = (*path, "address")
    if not entry.address:
        yield Fault(address_path, "MG1002", "the required field address is missing", "write a name or an IP address")
    elif _is_unix(entry):
        yield Fault(address_path, "MG1094", "a Unix socket cannot be looked up in the DNS", "write resolution: STATIC")


def port_name_faults(entry: WorkloadEntrySpec, path: FieldPath) -> Iterator[Fault]:
    """
    Check the names of an entry's ports.

    :param path: the path of the entry.
    """
    for name in entry.ports:
        message = names.dns_label(name)
        if message:
            yield Fault((*path, "ports", name), "MG1020", message, points_at_key=True)
