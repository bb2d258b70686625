"""The package as its users get it: a wheel, an editable installation."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

from tests.environments import PIP_OPTIONS, Environment
from tests.support import IMPORT_ROOT, new_folder


class InstallationTests(TestCase):
    """Each way to install, in a clean environment and outside of the checkout."""

    timeout = 240

    def checkout(self) -> Path:
        """A copy of the sources, since building writes into them."""
        if not (IMPORT_ROOT / "setup.cfg").exists():
            raise SkipTest("these tests are not run from a checkout")
        copy = new_folder(self) / "checkout"
        leave = shutil.ignore_patterns(".*", "_trial_temp*", "__pycache__", "*.egg-info", "build", "docs", "state")
        shutil.copytree(IMPORT_ROOT, copy, symlinks=True, ignore=leave)
        return copy

    async def verify(self, environment: Environment) -> None:
        """The plug-ins are found, the command runs, and the default installation comes along."""
        listed = await environment.run(environment.twistd, "--help")
        for name in ("meshgate ", "meshgate-echo", "meshgate-https"):
            self.assertIn(name, listed.stdout)
        target = new_folder(self) / "installation"
        written = await environment.run("-m", "meshgate", "init", target)
        self.assertEqual(await written.exit_status(), 0, written.stderr)
        settings = target / "meshgate.yaml"
        checked = await environment.run(environment.twistd, "-n", "meshgate", "--config", settings, "--validate")
        self.assertEqual(await checked.exit_status(), 0, checked.stdout + checked.stderr)
        where = await environment.run("-c", "import meshgate; print(meshgate.__file__)")
        self.assertNotIn(f"{IMPORT_ROOT}/meshgate/", where.stdout)

    async def test_wheel(self) -> None:
        """A wheel brings everything, the default installation too, and nothing of tests and docs."""
        builder, folder = Environment(self), new_folder(self)
        built = await builder.run("-m", "pip", "wheel", *PIP_OPTIONS, "-w", folder, self.checkout(), timeout=120)
        self.assertEqual(await built.exit_status(), 0, built.stderr)
        (wheel,) = folder.glob("*.whl")
        environment = Environment(self)
        await environment.install(wheel)
        await self.verify(environment)
        found = await environment.run("-c", "import importlib.util as u; print(u.find_spec('tests'))")
        self.assertEqual(found.stdout, "None\n")

    async def test_editable(self) -> None:
        """An editable installation lets twistd find the plug-ins, wherever it is started."""
        environment = Environment(self)
        await environment.install("--editable", self.checkout())
        await self.verify(environment)
