"""Secrets with certificates and keys, and Gateways that name them."""

from __future__ import annotations

import base64
import functools
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from meshgate.lab.certificates import Credential, make_leaf, make_root
from tests.configurations import Document, document, gateway, tls_server

NOW = datetime(2026, 5, 1, tzinfo=UTC)
"""When the certificates are issued."""


@functools.cache
def credential(name: str = "a.example.com") -> Credential:
    """The certificate of a server, the same one at each call."""
    return make_leaf(make_root(NOW), name, [name], NOW)


def pem(made: Credential) -> tuple[bytes, bytes]:
    """A certificate and its key as text."""
    key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.certificate.public_bytes(Encoding.PEM), key


def key_pair(name: str, server: str = "a.example.com", *, own_key: bool = True) -> Document:
    """
    A Secret of the gateway's namespace with the certificate of a server.

    :param own_key: whether the key is the certificate's own.
    """
    certificate, _ = pem(credential(server))
    _, key = pem(credential(server if own_key else "other.example.com"))
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    return document("Secret", name, {"data": data}, "istio-system")


def terminating(secret: str, name: str = "gw", host: str = "a.example.com") -> Document:
    """A Gateway that ends TLS with a Secret."""
    server = tls_server(443, [host], mode="SIMPLE")
    server["tls"]["credentialName"] = secret
    return gateway(name, server)
