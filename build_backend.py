"""
setuptools' build backend, which asks for the compiler of the data path only where a wheel is built.

An editable installation is never compiled, and ``MESHGATE_COMPILE=0`` compiles nothing. Neither has to wait until mypy,
and a second copy of the libraries whose types mypy reads, is installed.
"""

import os

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

COMPILER = ["mypy", "mypy-zope", "pydantic >= 2.7", "twisted >= 26.10", "zope.interface"]
"""Distributions that compile the data path: mypyc, its plug-ins, and the libraries that the data path imports."""

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def get_requires_for_build_wheel(config_settings=None):
    """Requirements of setuptools for a wheel, and the compiler unless it is not wanted."""
    requirements = build_meta.get_requires_for_build_wheel(config_settings)
    if os.environ.get("MESHGATE_COMPILE") != "0":
        requirements += COMPILER
    return requirements
