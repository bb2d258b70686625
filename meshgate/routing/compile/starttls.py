"""
Protocols whose clients do not begin with a ClientHello, so that a rule by server name never sees one.

The client of such a protocol first asks in plain text for TLS, or waits for the server's greeting. The gateway of Istio
sees no TLS then, and closes the connection, unless a rule takes every name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from meshgate.routing.compile.catalog_port import CatalogPort


class LateHello(NamedTuple):
    """
    A protocol of which the ClientHello is not the beginning.

    :ivar name: as its users write it.
    :ivar beginning: what comes first, in words.
    :ivar way_out: what its users can do, other than giving it a TCP port of its own.
    """

    name: str
    beginning: str
    way_out: str = ""


_GREETING: Final = "wait for the server's greeting first"
_BY_NUMBER: Final[Mapping[int, LateHello]] = {
    5432: LateHello(
        "PostgreSQL",
        "ask for TLS in plain text first",
        "clients from version 17 on begin with TLS if they set sslnegotiation=direct; for others, ",
    ),
    3306: LateHello("MySQL", _GREETING),
    1433: LateHello(
        "SQL Server", "send a PRELOGIN packet first", "clients that set Encrypt=Strict begin with TLS; for others, "
    ),
    25: LateHello("SMTP", _GREETING, "port 465 begins with TLS; otherwise, "),
    587: LateHello("SMTP", _GREETING, "port 465 begins with TLS; otherwise, "),
    143: LateHello("IMAP", _GREETING, "port 993 begins with TLS; otherwise, "),
    110: LateHello("POP3", _GREETING, "port 995 begins with TLS; otherwise, "),
    21: LateHello("FTP", _GREETING),
    389: LateHello("LDAP", "ask for TLS in plain text first", "port 636 begins with TLS; otherwise, "),
}
_BY_NAME: Final[Mapping[str, LateHello]] = {
    **dict.fromkeys(("postgres", "postgresql", "pgsql", "pg"), _BY_NUMBER[5432]),
    **dict.fromkeys(("mysql", "mariadb"), _BY_NUMBER[3306]),
    **dict.fromkeys(("mssql", "sqlserver"), _BY_NUMBER[1433]),
    **dict.fromkeys(("smtp", "submission"), _BY_NUMBER[25]),
    "imap": _BY_NUMBER[143],
    "pop3": _BY_NUMBER[110],
    "ftp": _BY_NUMBER[21],
    "ldap": _BY_NUMBER[389],
}


_BEGIN_WITH_TLS: Final = frozenset({"smtps", "imaps", "pop3s", "ftps", "ldaps"})
"""Names of ports whose clients begin with the ClientHello, whatever their number."""


def late_hello(port: CatalogPort) -> LateHello | None:
    """The protocol of a service's port, by its name or else its number, if its ClientHello comes late; else None."""
    words = port.name.lower().split("-")
    if not _BEGIN_WITH_TLS.isdisjoint(words):
        return None
    return next((_BY_NAME[word] for word in words if word in _BY_NAME), None) or _BY_NUMBER.get(port.number)
