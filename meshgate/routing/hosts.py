"""
Host names as Istio compares them: wildcards, short names, references to Gateways, hosts with a namespace.

Hosts are compared letter by letter, case included, as Istio does it (pkg/config/host/name.go). The server names of
clients are lower-cased, but only when they are looked up in the table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator
from typing import Final

MESH = "mesh"
"""The entry of ``gateways`` that stands for the sidecars of the mesh. A gateway ignores it."""


def is_wildcard(host: str) -> bool:
    """True if a host begins with ``*``."""
    return host.startswith("*")


def matches(first: str, second: str) -> bool:
    """True if two hosts have a name in common; either may be a wildcard. ``*.x`` does not match ``x``."""
    if first.startswith("*"):
        if second.startswith("*"):
            return first.endswith(second[1:]) or second.endswith(first[1:])
        return second.endswith(first[1:])
    if second.startswith("*"):
        return first.endswith(second[1:])
    return first == second


def covers(wide: str, narrow: str) -> bool:
    """True if ``wide`` matches every name that ``narrow`` matches."""
    if narrow.startswith("*"):
        return wide.startswith("*") and narrow[1:].endswith(wide[1:])
    return matches(wide, narrow)


def specificity(host: str) -> tuple[bool, int, str]:
    """
    The sort key that puts the most specific host first: full names before wildcards, then longer before shorter names,
    then by the alphabet (pkg/config/host/names.go, Names.Less).
    """
    return is_wildcard(host), -len(host), host


def most_specific(host: str, hosts: Container[str]) -> str | None:
    """
    Find the most specific of several hosts that covers another: that host itself, else the longest wildcard
    (pilot/pkg/model, MostSpecificHostMatch). The cost depends only on the length of the name.

    :param host: the host to cover.
    :param hosts: the several hosts, wildcards included.
    """
    if host in hosts:
        return host
    return next((wide for wide in wildcards_over(host) if wide in hosts), None)


def wildcards_over(host: str) -> Iterator[str]:
    """Every wildcard that covers a host, partial ones such as ``*x.com`` included; the longest first."""
    name = host.removeprefix("*")
    for start in range(len(name) + 1):
        yield f"*{name[start:]}"


def names_for_namespace(hosts: Iterable[str], namespace: str) -> list[str]:
    """
    Select the hosts that are for a namespace, and drop what stands before their names: ``namespace/name``, ``*/name``
    and ``name`` (pkg/config/host/names.go, NamesForNamespace).
    """
    split = (host.rpartition("/") for host in hosts)
    return [name for where, _, name in split if where in ("", "*", namespace)]


def full_name(host: str, namespace: str, domain_suffix: str) -> str:
    """
    Complete the short name of a Service: ``name`` becomes ``name.namespace.svc.domain``. A host with a dot, a wildcard
    and an address stay as they are (pilot/pkg/model/config.go, ResolveShortnameToFQDN).
    """
    if "*" in host or "." in host or ":" in host:
        return host
    service_domain = f"svc.{domain_suffix}" if domain_suffix else ""
    return ".".join(label for label in (host, namespace, service_domain) if label)


def short_name(host: str, domain_suffix: str) -> str:
    """The name of the Service whose full name a host is; empty for any other host."""
    name, _, rest = host.partition(".")
    return name if rest.endswith(f".svc.{domain_suffix}") else ""


def other_by_dot(host: str, namespace: str, domain_suffix: str) -> str:
    """
    The host that differs from another only by a dot at the end: ``x.org`` for ``x.org.``, and the other way round. If
    the host without its dot is a short name, it is completed.
    """
    if host.endswith("."):
        return full_name(host.removesuffix("."), namespace, domain_suffix)
    return f"{host}."


def gateway_reference(reference: str, namespace: str) -> str:
    """
    Resolve an entry of ``gateways`` to ``namespace/name`` (pilot/pkg/model/virtualservice.go, resolveGatewayName).

    :param reference: ``name`` or ``./name`` for a Gateway of the VirtualService's namespace, ``namespace/name``, or the
        legacy form ``name.namespace``, after which anything may follow. ``mesh`` stays ``mesh``.
    :param namespace: the namespace of the VirtualService.
    """
    if reference == MESH:
        return MESH
    if "/" in reference:
        where, _, name = reference.partition("/")
        return f"{namespace}/{name}" if where == "." else reference
    if "." in reference:
        name, where, *_ = reference.split(".")
        return f"{where}/{name}"
    return f"{namespace}/{reference}"


def server_hosts(hosts: Iterable[str], gateway_namespace: str) -> tuple[str, ...]:
    """
    Normalize a server's hosts for comparing (pilot/pkg/model/gateway.go, sanitizeServerHostNamespace).

    ``./name`` gets the Gateway's namespace, and ``*/name`` becomes ``name``. ``*/*`` makes all other hosts pointless,
    and becomes the only host, ``*``.
    """
    cleaned: list[str] = []
    for host in hosts:
        where, slash, name = host.partition("/")
        if not slash:
            cleaned.append(host)
        elif where == ".":
            cleaned.append(f"{gateway_namespace}/{name}")
        elif where == "*":
            if name == "*":
                return ("*",)
            cleaned.append(name)
        else:
            cleaned.append(host)
    return tuple(cleaned)


def server_host_index(hosts: Iterable[str], gateway_namespace: str, name: str) -> int:
    """
    Find the index of a server's host.

    :param name: the host as :func:`server_hosts` gives it.
    """
    return next(index for index, host in enumerate(hosts) if name in server_hosts([host], gateway_namespace))


def without_namespace(host: str) -> str:
    """``name`` of ``namespace/name``."""
    return host.rpartition("/")[2]


_NONE: Final[frozenset[str]] = frozenset()


class HostIndex:
    """
    An index of the hosts of one server.

    A VirtualService's host is looked up by its text and by its suffixes, so that thousands of hosts on both sides are
    not compared each with each.

    :param hosts: the server's hosts as :func:`server_hosts` gives them.
    """

    __slots__ = ("_by_namespace",)

    def __init__(self, hosts: Iterable[str]) -> None:
        by_namespace: dict[str, list[str]] = defaultdict(list)
        for host in hosts:
            where, _, name = host.partition("/") if "/" in host else ("", "", host)
            by_namespace[where].append(name)
        self._by_namespace = {where: _Names(names) for where, names in by_namespace.items()}

    def meets(self, host: str, namespace: str) -> bool:
        """True if the host of a VirtualService in a namespace has a name in common with the server."""
        return any(
            names is not None and names.meet(host)
            for names in (self._by_namespace.get(""), self._by_namespace.get(namespace))
        )

    def covers(self, host: str) -> bool:
        """True if a single host of the server, whatever its namespace, covers a host."""
        return any(names.cover(host) for names in self._by_namespace.values())


class _Names:
    """Hosts without a namespace: full names, ``*`` or ``*.suffix``. Validation refuses partial wildcards as ``*x``."""

    __slots__ = ("_exact", "_suffixes", "_tails")

    def __init__(self, hosts: Collection[str]) -> None:
        self._exact = frozenset(host for host in hosts if not host.startswith("*")) or _NONE
        self._suffixes = frozenset(host[1:] for host in hosts if host.startswith("*")) or _NONE
        # The tails of all hosts, found when a wildcard is first looked up: most servers never meet one.
        self._tails: frozenset[str] | None = None

    def meet(self, host: str) -> bool:
        if self.cover(host):
            return True
        if not host.startswith("*"):
            return False
        tail = host[1:]
        if tail == "" or tail.startswith("."):
            return tail in self._all_tails()
        return any(matches(host, own) for own in self._exact) or any(s.endswith(tail) for s in self._suffixes)

    def _all_tails(self) -> frozenset[str]:
        if self._tails is None:
            # There may be thousands of hosts, mostly of a few domains.
            domains = {host.partition(".")[2] for host in (*self._exact, *self._suffixes)}
            self._tails = frozenset({"", *(tail for domain in domains if domain for tail in _tails(f".{domain}"))})
        return self._tails

    def cover(self, host: str) -> bool:
        if not host.startswith("*") and host in self._exact:
            return True
        name = host.lstrip("*")
        return any(tail in self._suffixes for tail in _tails(name))


def _tails(name: str) -> Iterator[str]:
    """The tails of a name, the longest first: ``.b.c``, ``.c`` and the empty one for ``a.b.c`` and ``.b.c``."""
    dot = name.find(".")
    while dot >= 0:
        yield name[dot:]
        dot = name.find(".", dot + 1)
    yield ""
