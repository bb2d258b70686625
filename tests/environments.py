"""Clean Python environments, to see what an installation brings by itself."""

from __future__ import annotations

import site
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support import IMPORT_ROOT, Program, new_folder, require_program

PIP_OPTIONS = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]

CLEAN = {"PYTHONPATH": ""}
"""Variables that lead to no other code; a parallel test run sets PYTHONPATH."""


def compiler(test: TestCase, script: str = "") -> str:
    """
    A C compiler that does not optimize, so that it is quicker. Where ccache is installed, it compiles a file once for
    all tests of the checkout.

    :param script: lines of the shell that come first.
    :return: its path.
    """
    require_program("cc")
    cached = f"CCACHE_DIR='{IMPORT_ROOT}/build/ccache' CCACHE_NOHASHDIR=1 exec ccache cc \"$@\" -O0"
    file = new_folder(test) / "compiler"
    file.write_text(f'#!/bin/sh\n{script}\ncommand -v ccache >/dev/null && {cached}\nexec cc "$@" -O0\n')
    file.chmod(0o755)
    return str(file)


class Environment:
    """
    A virtual environment of its own. The libraries of this one are lent to it, but not what this one has
    installed in editable form: the ``.pth`` files of a lent folder are not followed.

    :param lent: further folders to import from.
    :ivar python: its Python.
    :ivar twistd: the script to run with it.
    """

    def __init__(self, test: TestCase, lent: Sequence[Path] = ()) -> None:
        self._test = test
        folder = new_folder(test) / "environment"
        venv.create(folder, symlinks=True)
        paths = {"base": str(folder), "platbase": str(folder)}
        self._packages = Path(sysconfig.get_path("purelib", vars=paths))
        (self._packages / "lent.pth").write_text("\n".join([*site.getsitepackages(), *map(str, lent)]))
        self.python = folder / "bin" / "python"
        self.twistd = Path(sys.executable).with_name("twistd")

    async def install(self, *what: str | Path) -> None:
        """Install from this machine only, without dependencies."""
        pip = await self.run("-m", "pip", "install", *PIP_OPTIONS, *what, timeout=120)
        if await pip.exit_status():
            raise AssertionError(pip.stderr)

    async def run(self, *arguments: str | Path, timeout: float = 60.0, **variables: str) -> Program:
        """Run its Python, outside of any checkout and with these variables, to the end."""
        program = Program(self._test, [self.python, *arguments], environment=CLEAN | variables)
        await program.exit_status(timeout)
        return program
