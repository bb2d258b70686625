"""
The codes of problems: a stable name for each kind of fault, with the line that explains it in the docs.

MG0xxx reading files and settings, MG1xxx validation of one resource, MG2xxx analysis across resources,
MG3xxx running. A code never changes its meaning and is never given out twice.
"""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    "MG0001": "The file is not readable YAML",
    "MG0002": "A word means something else in YAML 1.1, which Kubernetes reads, than in YAML 1.2",
    "MG0003": "The document is not a Kubernetes resource",
    "MG0004": "The kind is known, but not in this apiVersion",
    "MG0005": "The kind is misspelled",
    "MG0006": "The document is not a routing resource and is ignored",
    "MG0007": "The same resource is written more than once",
    "MG0008": "A file cannot be read",
    "MG1001": "A field is not known",
    "MG1002": "A required field is missing",
    "MG1003": "A value has the wrong type",
    "MG1004": "A value is not one of the choices",
    "MG1005": "A number is out of range",
    "MG1006": "A value is empty or malformed",
    "MG1007": "A field is written in snake_case, which the Kubernetes API server drops",
    "MG1008": "Fields contradict each other",
    "MG1009": "A name is used twice",
    "MG1010": "The resource asks for what a layer 4 gateway does not serve",
    "MG1020": "A name is not a DNS label",
    "MG1021": "A host is not a domain name",
    "MG1022": "A network is neither an IP address nor in CIDR form",
    "MG1023": "A label's key or value is malformed",
    "MG1024": "A host of a Gateway's server does not have the form it must have there",
    "MG1025": "The address to bind to is neither an IP address nor a Unix socket",
    "MG1026": "The port number does not go with the address to bind to",
    "MG1027": "A Gateway's port has a targetPort",
    "MG1028": "A server's protocol needs tls settings",
    "MG1029": "A server's protocol does not go with its tls settings",
    "MG1030": "A redirection to HTTPS stands where no HTTP arrives",
    "MG1031": "An old version of TLS is allowed without cipher suites that it can use",
    "MG1032": "A cipher suite is not known or named twice, and so ignored",
    "MG1033": "ISTIO_MUTUAL brings its own certificates, and others are given",
    "MG1034": "Certificates are given where TLS is passed through, and so ignored",
    "MG1035": "Certificates come from several sources",
    "MG1036": "A certificate, key or authority is missing",
    "MG1037": "More certificates are given than are used",
    "MG1038": "A list of revoked certificates is given where it cannot be used",
    "MG1040": "A delegate has what only the VirtualService above it may have",
    "MG1041": "A VirtualService has no rules",
    "MG1042": "The host * is for the mesh, too",
    "MG1043": "Two hosts of a VirtualService overlap",
    "MG1044": "A Gateway is not named by its name, or namespace and name",
    "MG1045": "A Gateway is named in the old form with dots",
    "MG1046": "An entry of exportTo is no namespace",
    "MG1047": "Entries of exportTo contradict or repeat each other",
    "MG1048": "A server name is outside the hosts of its VirtualService",
    "MG1049": "A server name is an IP address, which clients do not send",
    "MG1050": "Several destinations have no weight among them",
    "MG1051": "A rule is never reached",
    "MG1052": "A match block repeats an earlier one",
}
