"""What it is measured on, and whether everything is there that a run needs."""

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
    """What is not installed, with what brings it."""
    programs = {"make": "make", "cc": "gcc libc6-dev", **({"strace": "strace"} if strace else {})}
    programs |= {name: PEERS[name].package for name in subjects if name in PEERS}
    for program, package in programs.items():
        needs = PEERS[program].needs if program in PEERS else None
        if shutil.which(program) is None or (needs is not None and not needs.exists()):
            yield f"{program} (apt-get install {package})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        yield "Python.h (apt-get install python3-dev)"
    if plot and find_spec("matplotlib") is None:
        yield f"matplotlib ({sys.executable} -m pip install -e '.[bench]')"


def describe() -> dict[str, Any]:
    """The machine."""
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text()),
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def cpu_model(cpuinfo: str) -> str:
    """The name of the first processor in ``/proc/cpuinfo``."""
    found = re.search(r"(?m)^model name\s*:\s*(.+)$", cpuinfo)
    return found[1] if found else platform.machine()


def versions(subjects: Iterable[str]) -> dict[str, str]:
    """What runs, by name."""
    found = {name: version(name) for name in ("meshgate", "twisted")}
    found["python"] = platform.python_version()
    for name in subjects:
        if name in PEERS:
            found[name] = version_in(output([name, *PEERS[name].version]))
    return found


def revision() -> str:
    """The commit that is checked out, marked when there are changes on top of it."""
    root = str(Path(__file__).parent)
    return output(["git", "-C", root, "describe", "--always", "--dirty"]).strip() or "unknown"


def version_in(text: str) -> str:
    """The first version number in what a program says of itself."""
    found = re.search(r"\d+\.\d+(?:\.\d+)?", text)
    return found[0] if found else "unknown"


def output(command: Sequence[str]) -> str:
    """What a program prints, to either stream; empty when it cannot be run."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def settings_know(key: str) -> bool:
    """Whether meshgate's settings have a key."""
    from meshgate.settings.schema import SettingsFile, keys

    return any(known.name == key for known in keys(SettingsFile))
