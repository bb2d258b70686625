"""
Host names as Istio compares them: wildcards, short names, references to gateways, hosts with a namespace.

Pure text. Everything is compared as written, case included, as Istio does (pkg/config/host/name.go); only server
names on the wire are lower-cased, and that is the table's business.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from meshgate.resources.names import DOT_HINT

MESH = "mesh"
"""The word in ``gateways`` that stands for the sidecars. It means nothing to a gateway."""


def is_wildcard(host: str) -> bool:
    """Whether the host starts with ``*``."""
    return host.startswith("*")


def matches(first: str, second: str) -> bool:
    """Whether two hosts have a name in common, either of which may be a wildcard. ``*.x`` does not match ``x``."""
    if first.startswith("*"):
        if second.startswith("*"):
            return first.endswith(second[1:]) or second.endswith(first[1:])
        return second.endswith(first[1:])
    if second.startswith("*"):
        return first.endswith(second[1:])
    return first == second


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that ``narrow`` stands for is also one of ``wide``."""
    if narrow.startswith("*"):
        return wide.startswith("*") and narrow[1:].endswith(wide[1:])
    return matches(wide, narrow)


def specificity(host: str) -> tuple[bool, int, str]:
    """
    Sort key that puts the most specific host first: full names before wildcards, then the longer ones, then by the
    alphabet (pkg/config/host/names.go, Names.Less).
    """
    return is_wildcard(host), -len(host), host


def most_specific(needle: str, known: Container[str]) -> str | None:
    """
    Of known hosts the most specific one that takes every name of another: that host itself, else the longest wildcard
    (pilot/pkg/model, MostSpecificHostMatch). The cost depends on the length of the name alone.

    :param known: the hosts, wildcards among them.
    """
    if needle in known:
        return needle
    return next((wide for wide in wildcards_over(needle) if wide in known), None)


def wildcards_over(host: str) -> Iterator[str]:
    """Every wildcard that takes all names of a host, the partial ones such as ``*x.com`` too; the longest first."""
    name = host.removeprefix("*")
    for start in range(len(name) + 1):
        yield f"*{name[start:]}"


def names_for_namespace(hosts: Iterable[str], namespace: str) -> list[str]:
    """
    The names among hosts with a namespace that are for one namespace: ``namespace/name``, ``*/name`` and ``name``
    (pkg/config/host/names.go, NamesForNamespace).
    """
    parts = (host.rpartition("/") for host in hosts)
    return [name for where, _, name in parts if where in ("", "*", namespace)]


def full_name(host: str, namespace: str, domain_suffix: str) -> str:
    """
    A Service's short name made whole: ``name`` becomes ``name.namespace.svc.domain``. A host with a dot, a wildcard
    and an address stay as they are (pilot/pkg/model/config.go, ResolveShortnameToFQDN).
    """
    if "*" in host or "." in host or ":" in host:
        return host
    service_domain = f"svc.{domain_suffix}" if domain_suffix else ""
    return ".".join(part for part in (host, namespace, service_domain) if part)


def other_by_dot(host: str, namespace: str, domain_suffix: str) -> str:
    """
    The host that a dot at the end tells apart from another: ``x.org`` for ``x.org.``, and the other way round. A short
    name is made whole once its dot is gone.
    """
    if host.endswith("."):
        return full_name(host.removesuffix("."), namespace, domain_suffix)
    return f"{host}."


def unknown_host_hint(meant: str) -> str:
    """
    What to do about a host that does not exist.

    :param meant: one that does exist and that a dot at the end tells apart from it, or empty.
    """
    if meant:
        return f"did you mean {meant}? {DOT_HINT[:1].upper()}{DOT_HINT[1:]}"
    return "give it a Service or a ServiceEntry, or check the namespace of the short name"


def gateway_reference(reference: str, namespace: str) -> str:
    """
    The Gateway that an entry of ``gateways`` means, as ``namespace/name``: ``name`` (the VirtualService's own
    namespace), ``namespace/name``, ``./name``, or the legacy ``name.namespace`` with anything behind it
    (pilot/pkg/model/virtualservice.go, resolveGatewayName). ``mesh`` stays ``mesh``.
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
    A server's hosts as they are compared: ``./name`` with the Gateway's namespace written out, ``*/name`` as
    ``name``. A host that takes every name in every namespace makes the others pointless and stands alone
    (pilot/pkg/model/gateway.go, sanitizeServerHostNamespace).
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
    The place in a server's hosts of one of them.

    :param name: as :func:`server_hosts` gives it.
    """
    return next(place for place, host in enumerate(hosts) if name in server_hosts([host], gateway_namespace))


def without_namespace(host: str) -> str:
    """``name`` of ``namespace/name``."""
    return host.rpartition("/")[2]


class HostIndex:
    """
    The hosts of one server, arranged so that the VirtualServices which meet them are found without comparing each
    with each: a host is looked up by its text and by its suffixes.

    :param hosts: as :func:`server_hosts` gives them.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._by_namespace: dict[str, _Names] = {}
        for host in hosts:
            where, _, name = host.partition("/") if "/" in host else ("", "", host)
            names = self._by_namespace.get(where)
            if names is None:
                names = self._by_namespace[where] = _Names()
            names.add(name)

    def meets(self, host: str, namespace: str) -> bool:
        """Whether a VirtualService's host, in the VirtualService's namespace, has a name in common with the server."""
        return any(
            names is not None and names.meet(host)
            for names in (self._by_namespace.get(""), self._by_namespace.get(namespace))
        )

    def covers(self, host: str) -> bool:
        """Whether the server's hosts, whatever their namespace, take every name that the host stands for."""
        return any(names.cover(host) for names in self._by_namespace.values())


class _Names:
    """Hosts without a namespace. Server hosts are exact, ``*`` or ``*.suffix``; the partial ``*x`` is refused."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._suffixes: set[str] = set()
        self._domains: set[str] = set()
        self._tails = {""}

    def add(self, host: str) -> None:
        if host.startswith("*"):
            self._suffixes.add(host[1:])
        else:
            self._exact.add(host)
        domain = host.partition(".")[2]
        # There may be thousands of hosts, mostly of a few domains.
        if domain and domain not in self._domains:
            self._domains.add(domain)
            self._tails.update(_tails(f".{domain}"))

    def meet(self, host: str) -> bool:
        if self.cover(host):
            return True
        if not host.startswith("*"):
            return False
        tail = host[1:]
        if tail == "" or tail.startswith("."):
            return tail in self._tails
        return any(matches(host, known) for known in self._exact) or any(s.endswith(tail) for s in self._suffixes)

    def cover(self, host: str) -> bool:
        if not host.startswith("*") and host in self._exact:
            return True
        name = host.lstrip("*")
        return any(tail in self._suffixes for tail in _tails(name))


def _tails(name: str) -> Iterator[str]:
    """``a.b.c`` has the tails ``.b.c``, ``.c`` and the empty one; ``.b.c`` has itself as well. The longest first."""
    dot = name.find(".")
    while dot >= 0:
        yield name[dot:]
        dot = name.find(".", dot + 1)
    yield ""
