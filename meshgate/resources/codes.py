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
    "MG0009": "A folder holds no routes",
    "MG0201": "The file of expectations is not one mapping",
    "MG0202": "A key of the file of expectations is not known",
    "MG0203": "A required key of the file of expectations is missing",
    "MG0204": "A value in the file of expectations cannot be used",
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
}
