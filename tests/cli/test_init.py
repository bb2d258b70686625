"""Tests of :mod:`meshgate.cli.init`."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshgate.cli import init
from meshgate.cli.init import InstallationError, write_installation
from meshgate.providers.directory.provider import DirectoryFactory
from meshgate.providers.registry import Registry
from meshgate.settings.load import load_settings
from tests.cli.command_runs import CommandTestCase
from tests.support import IMPORT_ROOT, new_folder

DEFAULTS = IMPORT_ROOT / "meshgate" / "defaults"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative name."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


class WriteInstallationTests(SynchronousTestCase):
    """:func:`write_installation`."""

    def setUp(self) -> None:
        """Choose a folder that does not exist, two levels deep."""
        self.folder = new_folder(self) / "some" / "where"

    def refusal(self) -> str:
        """The message of an attempt that has to fail, FOLDER standing for the folder."""
        error = self.assertRaises(InstallationError, write_installation, self.folder)
        return str(error).replace(str(self.folder), "FOLDER")

    def test_it_writes_the_settings_and_the_routes(self) -> None:
        """Exactly the shipped files are written, byte for byte, and reported."""
        written = write_installation(self.folder)
        names = ["meshgate.yaml", *sorted(f"routes/{file.name}" for file in (DEFAULTS / "routes").glob("*.yaml"))]
        self.assertEqual([str(path.relative_to(self.folder)) for path in written], names)
        self.assertEqual(contents(self.folder), {name: (DEFAULTS / name).read_bytes() for name in names})

    def test_what_it_writes_is_ready_to_start(self) -> None:
        """The settings load from the new folder and lead to the routes beside them."""
        settings_file, *_ = write_installation(self.folder)
        settings = load_settings(settings_file, Registry({"directory": DirectoryFactory()}))
        self.assertEqual(settings.warnings, ())
        self.assertEqual(settings.route_paths(), (str(self.folder / "routes"),))

    def test_an_existing_folder_keeps_its_other_files(self) -> None:
        """A folder may hold files of other names."""
        self.folder.mkdir(parents=True)
        (self.folder / "README").write_text("mine")
        write_installation(self.folder)
        self.assertEqual((self.folder / "README").read_text(), "mine")

    def test_nothing_is_overwritten(self) -> None:
        """Every file that is in the way is named, and none of the others is written."""
        written = write_installation(self.folder)
        kept = (written[0], written[2])
        for path in kept:
            path.write_text("mine")
        for path in set(written) - set(kept):
            path.unlink()
        self.assertEqual(
            self.refusal(),
            "nothing was written, because these files exist already:\n"
            f"  FOLDER/meshgate.yaml\n  FOLDER/routes/{written[2].name}",
        )
        self.assertEqual(set(contents(self.folder).values()), {b"mine"})
        self.assertEqual(len(contents(self.folder)), 2)

    def test_a_dangling_link_is_in_the_way(self) -> None:
        """Nothing is written through a symbolic link that leads nowhere."""
        self.folder.mkdir(parents=True)
        (self.folder / "meshgate.yaml").symlink_to(self.folder.parent / "elsewhere")
        self.assertEqual(
            self.refusal(),
            "nothing was written, because these files exist already:\n  FOLDER/meshgate.yaml",
        )
        self.assertFalse((self.folder.parent / "elsewhere").exists())

    def test_a_folder_that_cannot_be_made(self) -> None:
        """A file where the folder should be ends in a message, not in a traceback."""
        self.folder.parent.mkdir()
        self.folder.touch()
        self.assertEqual(self.refusal(), "FOLDER cannot be written: File exists")

    def test_a_folder_that_cannot_be_looked_at(self) -> None:
        """So does a name that the system refuses before anything is written."""
        self.folder = self.folder / ("x" * 300)
        self.assertIn("cannot be written: File name too long", self.refusal())

    def test_what_else_lies_there_is_not_copied(self) -> None:
        """In a checkout the defaults are a live folder: state of the lab, keys among it, and copies of editors."""
        package = new_folder(self)
        shutil.copytree(DEFAULTS, package / "defaults", ignore=shutil.ignore_patterns("state"))
        key = package / "defaults" / "state" / "certificates" / "root.key.pem"
        key.parent.mkdir(parents=True, exist_ok=True)
        key.write_text("secret")
        (package / "defaults" / "routes" / "10-services.yaml~").write_text("an editor's copy")
        self.patch(init, "files", lambda name: package)
        write_installation(self.folder)
        self.assertEqual({name.rpartition(".")[2] for name in contents(self.folder)}, {"yaml"})


class InitTests(CommandTestCase):
    """``meshgate init``."""

    def test_it_writes_an_installation_that_is_fine(self) -> None:
        """The files are listed, and have no problems."""
        written_files = self.run_command("init", "lab").stdout
        self.assertIn("lab/meshgate.yaml\n", written_files)
        self.assertIn("no problems", self.run_command("check", "--config", "lab/meshgate.yaml").stdout)

    def test_it_overwrites_nothing(self) -> None:
        """Existing files are not overwritten."""
        self.run_command("init", "lab")
        self.assertIn("these files exist already", self.run_command("init", "lab", exit_code=1).stderr)
        self.run_command("init", "routes/shop.yaml", exit_code=2)
