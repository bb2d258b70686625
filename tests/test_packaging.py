"""The package as its users get it: a wheel, an editable installation."""

from __future__ import annotations

import os
import shutil
import sysconfig
import tomllib
from pathlib import Path
from zipfile import ZipFile

from pyproject_hooks import BuildBackendHookCaller, quiet_subprocess_runner
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.environments import PIP_OPTIONS, Environment, compiler
from tests.support import IMPORT_ROOT, Program, lacking, new_folder


def new_checkout(test: SynchronousTestCase) -> Path:
    """Make a copy of the sources, since building writes into them."""
    if not (IMPORT_ROOT / "setup.cfg").exists():
        raise SkipTest("these tests are not run from a checkout")
    copy = new_folder(test) / "checkout"
    leave = shutil.ignore_patterns(".*", "_trial_temp*", "__pycache__", "*.egg-info", "build", "docs")

    def leave_built(folder: str, names: list[str]) -> set[str]:
        """What a running lab leaves in etc/ stays behind, too."""
        return leave(folder, names) | ({"state"} if Path(folder) == IMPORT_ROOT / "etc" else set())

    shutil.copytree(IMPORT_ROOT, copy, symlinks=True, ignore=leave_built)
    return copy


class RequirementsTests(SynchronousTestCase):
    """What is installed to build, before anything is built."""

    def names(self, hook: str, compile: str = "") -> set[str]:  # noqa: A002 - as in MESHGATE_COMPILE
        """Names of the distributions that an installer is asked for."""
        checkout = new_checkout(self)
        system = tomllib.loads((checkout / "pyproject.toml").read_text())["build-system"]
        hooks = BuildBackendHookCaller(
            str(checkout), system["build-backend"], system["backend-path"], runner=quiet_subprocess_runner
        )
        self.patch(os, "environ", {**os.environ, "MESHGATE_COMPILE": compile})
        return {name.split()[0] for name in [*system["requires"], *getattr(hooks, hook)()]}

    def test_wheel(self) -> None:
        """A wheel is compiled by mypyc, which reads the types of the libraries."""
        expected = {"setuptools", "mypy", "mypy-zope", "pydantic", "twisted", "zope.interface"}
        self.assertEqual(self.names("get_requires_for_build_wheel"), expected)

    def test_wheel_that_is_not_compiled(self) -> None:
        """Without compiling, setuptools is enough."""
        self.assertEqual(self.names("get_requires_for_build_wheel", compile="0"), {"setuptools"})

    def test_editable(self) -> None:
        """An editable installation waits for setuptools alone."""
        self.assertEqual(self.names("get_requires_for_build_editable"), {"setuptools"})


class InstallationTests(TestCase):
    """Each way to install, in a clean environment and outside of the checkout."""

    timeout = 400

    async def verify(self, environment: Environment) -> None:
        """The plug-ins are found, the command runs, and the default installation comes along."""
        listed = await environment.run(environment.twistd, "--help")
        for name in ("meshgate ", "meshgate-echo", "meshgate-https"):
            self.assertIn(name, listed.stdout)
        target = new_folder(self) / "installation"
        written = await environment.run("-m", "meshgate", "init", target)
        self.assertEqual(await written.exit_status(), 0, written.stderr)
        provider = await environment.run("-m", "meshgate", "init", "--provider", "hosts", target / "provider")
        self.assertEqual(await provider.exit_status(), 0, provider.stderr)
        settings = target / "meshgate.yaml"
        checked = await environment.run(environment.twistd, "-n", "meshgate", "--config", settings, "--validate")
        self.assertEqual(await checked.exit_status(), 0, checked.stdout + checked.stderr)
        where = await environment.run("-c", "import meshgate; print(meshgate.__file__)")
        self.assertNotIn(f"{IMPORT_ROOT}/meshgate/", where.stdout)

    async def build(
        self,
        folder: Path,
        compile: str = "",  # noqa: A002 - as in MESHGATE_COMPILE
        cc: str = "",
        checkout: Path | None = None,
    ) -> Program:
        """
        Build a wheel.

        :param compile: what is asked for by ``MESHGATE_COMPILE``.
        :param cc: another compiler than Python's own.
        :param checkout: the sources; a fresh copy unless given.
        """
        variables = {"MESHGATE_COMPILE": compile, **({"CC": cc} if cc else {})}
        checkout = checkout or new_checkout(self)
        arguments: list[str | Path] = ["-m", "pip", "wheel", "-v", *PIP_OPTIONS, "-w", folder, checkout]
        program = await Environment(self).run(*arguments, timeout=300, **variables)
        await program.exit_status()
        return program

    async def installed(self, folder: Path) -> Environment:
        """An environment with the only wheel of a folder."""
        (wheel,) = folder.glob("*.whl")
        environment = Environment(self)
        await environment.install(wheel)
        return environment

    async def version(self, environment: Environment) -> str:
        """What the command says it is."""
        told = await environment.run("-m", "meshgate", "--version")
        return told.stdout

    async def test_wheel(self) -> None:
        """A wheel is compiled, and brings everything, the default installation too, and nothing of tests and docs."""
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise lacking("Python's headers are not installed")
        folder = new_folder(self)
        built = await self.build(folder, cc=compiler(self))
        self.assertEqual(await built.exit_status(), 0, built.stdout + built.stderr)
        environment = await self.installed(folder)
        await self.verify(environment)
        self.assertTrue((await self.version(environment)).endswith(", compiled\n"))
        found = await environment.run("-c", "import importlib.util as u; print(u.find_spec('tests'))")
        self.assertEqual(found.stdout, "None\n")

    async def interpreted(self, cc: str, checkout: Path | None = None) -> None:
        """Build with a compiler that fails: it is said, the wheel holds nothing that is compiled, and all works."""
        folder = new_folder(self)
        built = await self.build(folder, cc=cc, checkout=checkout)
        self.assertEqual(await built.exit_status(), 0, built.stdout + built.stderr)
        self.assertIn("meshgate is not compiled, and will be slower", built.stdout + built.stderr)
        environment = await self.installed(folder)
        await self.verify(environment)
        self.assertRegex(await self.version(environment), r"^meshgate, version [\d.]+, not compiled\n$")
        with ZipFile(next(folder.glob("*.whl"))) as wheel:
            self.assertEqual([name for name in wheel.namelist() if name.endswith(".so")], [])

    async def test_without_a_compiler(self) -> None:
        """Where nothing can be compiled, the modules are not even translated."""
        await self.interpreted("false")

    async def test_a_part_is_not_compiled(self) -> None:
        """Where the compiler fails at one part, none of the others is kept. Two modules are translated, to be quick."""
        checkout = new_checkout(self)
        script = checkout / "setup.py"
        text, others = script.read_text(), "\n# Modules in C"
        self.assertEqual(text.count(others), 1)
        script.write_text(text.replace(others, f"\nCOMPILED = COMPILED[:2]\n{others}"))
        await self.interpreted(compiler(self, 'case "$*" in *__native_*) exit 1;; esac'), checkout)

    async def test_it_has_to_be_compiled(self) -> None:
        """Who asks for it and cannot have it gets no wheel."""
        folder = new_folder(self)
        built = await self.build(folder, compile="1", cc="false")
        self.assertNotEqual(await built.exit_status(), 0)
        self.assertEqual(list(folder.iterdir()), [])

    async def test_it_is_not_to_be_compiled(self) -> None:
        """Who does not want it gets a wheel for every machine."""
        folder = new_folder(self)
        built = await self.build(folder, compile="0")
        self.assertEqual(await built.exit_status(), 0, built.stdout + built.stderr)
        self.assertEqual([file.name.partition("-py3-")[2] for file in folder.iterdir()], ["none-any.whl"])

    async def test_source_distribution(self) -> None:
        """A wheel is built from a source distribution, which brings all that this takes."""
        folder = new_folder(self)
        arguments: list[str | Path] = ["-m", "build", "--no-isolation", "--outdir", folder, new_checkout(self)]
        built = await Environment(self).run(*arguments, timeout=120, MESHGATE_COMPILE="0")
        self.assertEqual(await built.exit_status(), 0, built.stdout + built.stderr)
        self.assertEqual(sorted(file.suffix for file in folder.iterdir()), [".gz", ".whl"])
        await self.verify(await self.installed(folder))
        with ZipFile(next(folder.glob("*.whl"))) as wheel:
            for name in ("man/man1/meshgate-check.1", "bash-completion/completions/meshgate"):
                self.assertIn(f"meshgate-0.1.0.data/data/share/{name}", wheel.namelist())

    async def test_editable(self) -> None:
        """An editable installation lets twistd find the plug-ins, wherever it is started, and follows its sources."""
        environment, checkout = Environment(self), new_checkout(self)
        await environment.install("--editable", checkout)
        await self.verify(environment)
        self.assertEqual([*checkout.rglob("*.so")], [])
