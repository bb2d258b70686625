"""
The credentials of the API: its certificate, the tokens of its users, and the kubeconfig files that hold them.

They are kept in a folder for its owner only. What is there and good is kept, so that a kubeconfig which somebody has
copied goes on working; the certificate is its own authority, so trusting it means trusting this API alone.
"""

from __future__ import annotations

import base64
import errno
import ipaddress
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshgate.routing.addresses import host_port
from meshgate.state.folder import KUBECONFIG_NAME

LIFETIME: Final = timedelta(days=3652)
BACKDATED: Final = timedelta(hours=1)
RENEWED_BEFORE_END: Final = timedelta(days=30)

CERTIFICATE: Final = "certificate.pem"
KEY: Final = "key.pem"

USERS: Final = (("admin", True), ("reader", False))
"""The users, and if they may write."""

KUBECONFIGS: Final = {"admin": KUBECONFIG_NAME, "reader": f"{KUBECONFIG_NAME}.reader"}
"""The files of the users, in the state folder."""

_TOKEN_BYTES: Final = 32
_OWNER_ONLY: Final = 0o600

_KUBECONFIG: Final = """\
apiVersion: v1
kind: Config
clusters:
- name: meshgate
  cluster:
    server: {address}
{authority}users:
- name: {user}
  user:{token}
contexts:
- name: meshgate
  context: {{cluster: meshgate, user: {user}, namespace: {namespace}}}
current-context: meshgate
"""


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    The credentials of one API.

    :ivar certificate: the file of the certificate, PEM.
    :ivar key: the file of its key, PEM.
    :ivar tokens: user, token, and if the user may write.
    """

    certificate: Path
    key: Path
    tokens: tuple[tuple[str, str, bool], ...]


def ensure_credentials(folder: Path, hosts: Iterable[str], now: datetime) -> Credentials:
    """
    Make what is missing or no longer good, and return everything.

    :param folder: made if it is missing, for its owner only.
    :param hosts: the names and IP addresses in the certificate.
    :raises OSError: if the folder cannot be used.
    """
    prepare_folder(folder)
    certificate, key = folder / CERTIFICATE, folder / KEY
    names = tuple(dict.fromkeys(hosts))
    if not _is_good(certificate, key, names, now):
        made, made_key = _make_certificate(names, now)
        _write(key, made_key)
        _write(certificate, made)
    key.chmod(_OWNER_ONLY)
    tokens = tuple((user, _token(folder / f"{user}.token"), writes) for user, writes in USERS)
    return Credentials(certificate, key, tokens)


def write_kubeconfigs(folder: Path, credentials: Credentials | None, host: str, port: int, namespace: str) -> None:
    """
    Write a kubeconfig file for each user, unless there is one that still works.

    :param folder: the state folder.
    :param credentials: None for an API over HTTP, which needs none; it has one file.
    :param host: the address of the API; for that of all interfaces, the file has the loopback address.
    :param namespace: the namespace of commands that name none.
    :raises OSError: if a file cannot be written.
    """
    at = ipaddress.ip_address(host)
    if at.is_unspecified:
        host = "127.0.0.1" if at.version == 4 else "::1"
    address = f"{'https' if credentials else 'http'}://{host_port(host, port)}"
    authority = ""
    tokens: tuple[tuple[str, str, bool], ...] = (("anonymous", "", False),)
    if credentials is not None:
        encoded = base64.b64encode(credentials.certificate.read_bytes()).decode()
        authority, tokens = f"    certificate-authority-data: {encoded}\n", credentials.tokens
    else:
        (folder / KUBECONFIGS["reader"]).unlink(missing_ok=True)
    for user, token, _ in tokens:
        path = folder / KUBECONFIGS.get(user, KUBECONFIGS["admin"])
        secret = f"\n    token: {token}" if token else " {}"
        wanted = (f"server: {address}\n", authority, secret)
        before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if not before or not all(each in before for each in wanted):
            values = {"address": address, "authority": authority, "user": user, "token": secret}
            _write(path, _KUBECONFIG.format(**values, namespace=namespace).encode())
        else:
            path.chmod(_OWNER_ONLY)


def prepare_folder(folder: Path) -> None:
    """
    Make the folder, if there is none, and close it to everybody but its owner.

    :raises OSError: if it belongs to another user, who could replace what is in it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise PermissionError(errno.EPERM, f"it belongs to another user (uid {status.st_uid})", str(folder))
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)


def _token(path: Path) -> str:
    token = path.read_text(encoding="ascii", errors="replace").strip() if path.is_file() else ""
    if len(token) >= _TOKEN_BYTES and token.isascii() and token.isprintable():
        path.chmod(_OWNER_ONLY)
        return token
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    _write(path, f"{token}\n".encode())
    return token


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step by one that only its owner can read, whatever the umask is."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
        os.fchmod(file.fileno(), _OWNER_ONLY)
        file.write(content)
    fresh.replace(path)


def _is_good(certificate: Path, key: Path, names: tuple[str, ...], now: datetime) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        own = serialization.load_pem_private_key(key.read_bytes(), password=None)
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        own.public_key() == found.public_key()
        and list(alternatives) == list(map(_alternative, names))
        and found.not_valid_before_utc <= now < found.not_valid_after_utc - RENEWED_BEFORE_END
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _make_certificate(names: tuple[str, ...], now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meshgate API")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now - BACKDATED + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(list(map(_alternative, names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(*form)
