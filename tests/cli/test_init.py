"""Tests of :mod:`meshgate.cli.init`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from meshgate.cli import init
from meshgate.cli.init import TEMPLATE_FILES, InitError, write_installation, write_provider
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
        error = self.assertRaises(InitError, write_installation, self.folder)
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


class WriteProviderTests(SynchronousTestCase):
    """:func:`write_provider`."""

    def setUp(self) -> None:
        """Choose a folder that does not exist."""
        self.folder = new_folder(self) / "package"

    def refusal(self, type_name: str) -> str:
        """The message of an attempt that has to fail."""
        return str(self.assertRaises(InitError, write_provider, self.folder, type_name))

    def test_the_example_is_what_it_writes(self) -> None:
        """The package that the documentation explains is the template, whole."""
        example = IMPORT_ROOT / "examples" / "meshgate-inventory"
        if not example.exists():
            raise SkipTest("these tests are not run from a checkout")
        listed = subprocess.run(["git", "ls-files"], cwd=example, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            self.assertEqual(sorted(listed.stdout.split()), sorted(TEMPLATE_FILES))
        write_provider(self.folder, "inventory")
        self.assertEqual(contents(self.folder), {name: (example / name).read_bytes() for name in TEMPLATE_FILES})

    def test_another_type(self) -> None:
        """Every name of the template is replaced, in the files and in their paths, and all modules are still Python."""
        for type_name in ("hosts", "my-inventory-2", "x"):
            folder = self.folder / type_name
            written = write_provider(folder, type_name)
            module = f"meshgate_{type_name.replace('-', '_')}"
            self.assertIn(folder / "twisted" / "plugins" / f"{module}_plugin.py", written)
            for path in written:
                text = path.read_text().replace(type_name, "").replace(module, "")
                self.assertNotIn("inventory", text.lower().replace("myinventory2", ""), path)
                if path.suffix == ".py":
                    compile(path.read_text(), path, "exec")
            self.assertIn(f"type: {type_name},", (folder / "meshgate.yaml").read_text())

    def test_a_type_that_exists(self) -> None:
        """Of two plug-ins with one type, only one would serve."""
        self.assertEqual(
            self.refusal("directory"), "there is a provider of the type 'directory' already; choose another name"
        )

    def test_what_cannot_be_a_type(self) -> None:
        """A type is also a part of the names of a module, of a class, and of a Gateway."""
        for type_name in ("", "My", "my_cmdb", "2fast", "a-", "-a", "a--b", "a b", "é", "a\n", "x" * 41):
            self.assertIn("cannot be the type of a provider: write at most 40", self.refusal(type_name), type_name)

    def test_nothing_is_overwritten(self) -> None:
        """A package that was changed since stays."""
        write_provider(self.folder, "hosts")
        self.assertIn("these files exist already", self.refusal("hosts"))


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

    def test_it_writes_a_provider(self) -> None:
        """The files are listed, with the next commands; an unusable name is an error."""
        written = self.run_command("init", "--provider", "hosts", "package").stdout
        self.assertIn("package/meshgate_hosts/provider.py\n", written)
        self.assertIn("\nStart it:  twistd -n meshgate --config package/meshgate.yaml\n", written)
        self.run_command("init", "--provider", "Hosts", "other", exit_code=1)
