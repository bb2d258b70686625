"""
The tutorial's files: the routes and workloads that a reader applies with kubectl, with certificates of their own.

The files come with the package, but for the certificates: a private key that everybody has would be none.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from meshgate.lab.certificates import CHAIN_FILE, Leaf, ensure_certificates

CERTIFICATES: Final = "state/certificates"
"""The folder of the certificates within that of the tutorial."""

APPLICATIONS: Final = {f"simple-sni-{number}": f"simple-sni-{number}.istioinaction.io" for number in (1, 2)}
"""The names of the TLS applications, and the host of each."""

_PAIR_DOCUMENT: Final = """\
---
apiVersion: v1
kind: Secret
metadata:
  name: {host}
type: kubernetes.io/tls
data:
  tls.crt: {certificate}
  tls.key: {key}
"""


def tutorial_files(directory: Path, now: datetime) -> Mapping[str, bytes]:
    """
    Make the files of the tutorial, by their names within its folder; the certificates are written there.

    :param directory: the folder of the tutorial.
    :param now: the present time, with its time zone.
    :raises CertificatesError: if the certificates cannot be made or stored.
    """
    found = dict(_shipped(files("meshgate") / "defaults" / "tutorial", ""))
    leaves = ensure_certificates(directory / CERTIFICATES, {name: [host] for name, host in APPLICATIONS.items()}, now)
    chain = (directory / CERTIFICATES / CHAIN_FILE).read_bytes()
    for name, host in APPLICATIONS.items():
        found[f"ch4/sni/{name.replace('-sni-', '-tls-service-')}.yaml"] += _secret(host, leaves[name]).encode()
        found[f"ch4/sni/{name}/2_intermediate/certs/{CHAIN_FILE}"] = chain
    return found


def _shipped(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _shipped(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield f"{prefix}{entry.name}", entry.read_bytes()


def _secret(host: str, leaf: Leaf) -> str:
    certificate, key = (base64.b64encode(path.read_bytes()).decode() for path in (leaf.certificate_chain, leaf.key))
    return _PAIR_DOCUMENT.format(host=host, certificate=certificate, key=key)
