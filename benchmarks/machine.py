"""The machine, the versions, and the programs that a run needs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS


def missing(subjects: Iterable[str], strace: bool, plot: bool) -> Iterator[str]:
    """Programs that are needed and not installed, each with the command that installs it."""
    programs = {"make": "make", "cc": "gcc libc6-dev", **({"strace": "strace"} if strace else {})}
    for program, package in programs.items():
        if shutil.which(program) is None:
            yield f"{program} (apt-get install {package})"
    for name in subjects:
        if name in PEERS and PEERS[name].program is None:
            yield f"{name} ({PEERS[name].install})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        yield "Python.h (apt-get install python3-dev)"
    if plot and find_spec("matplotlib") is None:
        yield f"matplotlib ({sys.executable} -m pip install -e '.[bench]')"


def describe() -> dict[str, Any]:
    """The machine, and how its Python was built."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text()),
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": f"{platform.system()} {platform.release()}",
        "python_build": python_build(
            sysconfig.get_config_var("CONFIG_ARGS") or "",
            sys.base_prefix == "/usr" and Path("/etc/debian_version").exists(),
        ),
    }


def python_build(configured: str, debian: bool) -> str:
    """
    How a Python was built. Debian's packages are optimized by a profile of a run, but their ``sysconfig`` does not say
    so: it describes the shared library, which is built apart, and which the interpreter does not use.

    :param configured: the arguments of ``configure``.
    :param debian: it is a package of Debian or a descendant.
    """
    if "--enable-optimizations" in configured:
        return "configured with --enable-optimizations"
    return "of Debian, optimized by a profile" if debian else "configured without --enable-optimizations"


def cpu_model(cpuinfo: str) -> str:
    """The name of the first processor in a ``/proc/cpuinfo``."""
    found = re.search(r"(?m)^model name\s*:\s*(.+)$", cpuinfo)
    return found[1] if found else platform.machine()


def versions(subjects: Iterable[str]) -> dict[str, str]:
    """The versions of everything that runs, by name."""
    found = {name: version(name) for name in ("meshgate", "twisted")}
    found["python"] = platform.python_version()
    for name in subjects:
        if name in PEERS:
            found[name] = version_in(output([PEERS[name].program or name, *PEERS[name].version]))
    return found


def revision() -> str:
    """The commit that is checked out, marked if files have changed since."""
    root = str(Path(__file__).parent)
    return output(["git", "-C", root, "describe", "--always", "--dirty"]).strip() or "unknown"


def version_in(text: str) -> str:
    """The first version number in the output of a program."""
    found = re.search(r"\d+\.\d+(?:\.\d+)?", text)
    return found[0] if found else "unknown"


def output(command: Sequence[str]) -> str:
    """The output of a program, of both streams; empty if it cannot be run."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
