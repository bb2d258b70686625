"""Tests of :mod:`meshgate.cli`: the common base of its commands, and real processes."""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
from importlib import import_module

import click
from twisted.trial.unittest import SynchronousTestCase

from meshgate.cli import COMMANDS, main, module_name
from tests.cli.command_runs import BROKEN, ROUTED, SHOP, CommandTestCase, file_text
from tests.installation import run_meshgate
from tests.support import IMPORT_ROOT


class GroupTests(CommandTestCase):
    """The common base of all commands."""

    def test_every_command_is_there(self) -> None:
        """Each command is found, has the help that the list announces, and options -h and --help."""
        context = click.Context(main)
        for name, summary in COMMANDS.items():
            command = main.get_command(context, name)
            assert command is not None
            self.assertEqual(command.name, name)
            first_line = (command.help or "").partition("\n")[0]
            self.assertTrue(first_line.startswith(summary.removesuffix(".")), f"{name}: {first_line}")
            self.assertIn(first_line[:40], self.run_command(name, "-h").stdout)

    def test_help_lists_every_command(self) -> None:
        """The help of meshgate names each command."""
        listed = self.run_command("--help").stdout
        for name in COMMANDS:
            self.assertIn(f"\n  {name} ", listed)

    def test_unknown_command(self) -> None:
        """The error for an unknown command names the nearest."""
        result = self.run_command("chek", exit_code=2)
        self.assertIn("there is no command chek; did you mean check?", result.stderr)

    def test_help_is_for_people(self) -> None:
        """The help of no command shows marks of the library, and examples keep their lines."""
        for name in COMMANDS:
            self.assertNotIn("\\b", self.run_command(name, "--help").stdout)
        self.assertIn(
            "\n  meshgate explain --port 31400 --plain etc/routes\n", self.run_command("explain", "-h").stdout
        )

    def test_paths_are_optional(self) -> None:
        """Where settings can name the routes, a PATH may be left out."""
        for name in ("check", "explain", "routes"):
            self.assertIn(f"Usage: meshgate {name} [OPTIONS] [PATH]...\n", self.run_command(name, "-h").stdout)
        self.assertIn("[OPTIONS] FILE [PATH]...\n", self.run_command("test", "-h").stdout)

    def test_color(self) -> None:
        """Colors can be had in a pipe, by an option before the command or after it."""
        for arguments, colored in (
            (["routes", "routes"], False),
            (["routes", "routes", "--color", "auto"], False),
            (["--color", "always", "routes", "routes"], True),
            (["routes", "--color", "always", "routes"], True),
            (["--color", "always", "routes", "--color", "never", "routes"], False),
        ):
            self.assertEqual("\x1b[1mPORT" in self.run_command(*arguments).stdout, colored, arguments)

    def test_the_list_of_commands_imports_none(self) -> None:
        """Help comes without the modules that read, compile and print."""
        script = "import sys, meshgate.cli; print([n for n in sys.modules if n.startswith(('pydantic', 'twisted'))])"
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, cwd=IMPORT_ROOT, timeout=60, check=True
        )
        self.assertEqual(done.stdout, b"[]\n")

    def test_modules_have_the_names_of_their_commands(self) -> None:
        """The name of a command is the name of its module."""
        for name in COMMANDS:
            self.assertTrue(import_module(f"meshgate.cli.{module_name(name)}").__doc__, name)


class RouteOptionTests(CommandTestCase):
    """The arguments of every command that reads routes."""

    COMMANDS = (("check",), ("explain", *ROUTED), ("routes",))

    def test_no_path(self) -> None:
        """Without a path, and without settings, the command was called wrongly."""
        for command in self.COMMANDS:
            self.assertIn("name at least one PATH", self.run_command(*command, exit_code=2).stderr)

    def test_a_path_that_is_not_there(self) -> None:
        """A path that does not exist is named."""
        for command in self.COMMANDS:
            result = self.run_command(*command, "nowhere", exit_code=2)
            self.assertIn("nowhere: no such file or folder", result.stderr)

    def test_a_file_that_is_no_folder(self) -> None:
        """A path below a file does not exist either."""
        self.run_command("check", "routes/shop.yaml/more", exit_code=2)

    def test_names_that_are_none(self) -> None:
        """Namespaces of the gateway and of documents have the form that Kubernetes has for them."""
        for option in ("--gateway-namespace", "--namespace"):
            result = self.run_command("check", option, "No Name", "routes", exit_code=2)
            self.assertIn(f"{option}: ", result.stderr)

    def test_standard_input(self) -> None:
        """A dash stands for standard input."""
        self.assertIn("no problems in 5 resources", self.run_command("check", "-", stdin=file_text(*SHOP)).stdout)
        self.assertIn("<stdin>:1:", self.run_command("check", "-", stdin=file_text(BROKEN), exit_code=1).stdout)

    def test_standard_input_twice(self) -> None:
        """Standard input can be read once."""
        self.assertIn("only once", self.run_command("check", "-", "-", exit_code=2).stderr)

    def test_settings(self) -> None:
        """The settings name routes and gateway, and the options overrule them."""
        settings = "gateway: {labels: {istio: other}}\nproviders: [{name: files, type: directory, paths: [routes]}]\n"
        self.write("meshgate.yaml", settings)
        self.assertEqual(self.run_json("routes", "--config", "meshgate.yaml"), [])
        overruled = self.run_json("routes", "--config", "meshgate.yaml", "--gateway-label", "istio=ingressgateway")
        self.assertEqual(len(overruled), 2)

    def test_broken_settings(self) -> None:
        """Settings that cannot be used give the same message as at the start of the gateway."""
        self.write("meshgate.yaml", "providrs: []\n")
        result = self.run_command("routes", "--config", "meshgate.yaml", exit_code=1)
        self.assertIn("meshgate.yaml:1:1: error[MG0102]", result.stderr)

    def test_labels(self) -> None:
        """A label that is not one is refused, and one that fits no Gateway opens no port."""
        for label in ("istio", "=x"):
            result = self.run_command("check", "routes", "--gateway-label", label, exit_code=2)
            self.assertIn("takes KEY=VALUE", result.stderr)
        self.assertEqual(self.run_json("routes", "routes", "--gateway-label", "istio=x"), [])

    def test_namespaces(self) -> None:
        """The namespace of documents without one is an option."""
        documents = json.loads(json.dumps(SHOP))
        for each in documents:
            del each["metadata"]["namespace"]
        self.write("open.yaml", file_text(*documents))
        rows = self.run_json("routes", "-n", "shop", "open.yaml")
        self.assertEqual({row["virtual_service"] for row in rows}, {"shop/web", "shop/db"})

    def test_what_an_answer_rests_on(self) -> None:
        """Commands that do not list problems say on standard error how many there are, and what was not read."""
        self.write("routes/broken.yaml", file_text(BROKEN))
        self.write("routes/unreadable.yaml", "a: [\n")
        for command in self.COMMANDS[1:]:
            result = self.run_command(*command, "routes")
            self.assertIn("routes/unreadable.yaml:2:1: error[MG0001]", result.stderr)
            self.assertIn("1 error; 'meshgate check routes' shows it", result.stderr)
            self.assertNotIn("MG", result.stdout)


class NothingReadTests(CommandTestCase):
    """Paths without a document: the wrong path, or a command before the pipe that has failed."""

    EMPTY_LIST = '{"apiVersion": "v1", "items": [], "kind": "List", "metadata": {"resourceVersion": ""}}'
    """The output of kubectl where there is no resource."""

    def setUp(self) -> None:
        """Write a file without a document, and a folder without a file."""
        super().setUp()
        self.write("none.yaml", "# nothing yet\n---\n")
        self.write("folder/README", "")

    def test_check(self) -> None:
        """A file, a folder and standard input are each an error of its own."""
        for path, stdin, line in (
            ("none.yaml", "", "none.yaml: error[MG0009]: the file holds no routes (it has no document; "),
            ("folder", "", "folder: error[MG0009]: the folder holds no routes (files with names in .yaml, "),
            ("-", "", "<stdin>: error[MG0009]: standard input holds no routes (the command before the pipe "),
            ("-", self.EMPTY_LIST, "<stdin>: error[MG0009]: standard input holds no routes"),
        ):
            result = self.run_command("check", path, stdin=stdin, exit_code=1)
            self.assertTrue(result.stdout.startswith(line), result.stdout)
            self.assertTrue(result.stdout.endswith("1 error in 0 resources\n"), result.stdout)

    def test_one_path_of_several(self) -> None:
        """Each path has to hold something, whatever the others hold."""
        result = self.run_command("check", "routes", "-", exit_code=1)
        self.assertIn("<stdin>: error[MG0009]", result.stdout)
        self.assertIn("1 error in 5 resources", result.stdout)

    def test_an_empty_file_among_others(self) -> None:
        """In a folder with routes, an empty file is nothing to report."""
        self.write("routes/none.yaml", "# nothing yet\n")
        self.assertEqual(self.run_command("check", "routes").stdout, "no problems in 5 resources\n")

    def test_an_answer(self) -> None:
        """No answer is given, and the exit status is that of an error."""
        for command in (("explain", *ROUTED), ("routes",)):
            result = self.run_command(*command, "-", exit_code=1)
            self.assertEqual(result.stdout, "")
            self.assertIn("<stdin>: error[MG0009]", result.stderr)
        self.write("broken.yaml", "a: [\n")
        self.assertEqual(self.run_command("routes", "broken.yaml", exit_code=1).stdout, "")

    def test_diff_and_test(self) -> None:
        """For these, 1 means a difference or a failure, so the exit status is 2."""
        self.write("expectations.yaml", "expect: [{port: 1, no_listener: true}]\n")
        for arguments in (("diff", "routes", "-"), ("diff", "-", "routes"), ("test", "expectations.yaml", "folder")):
            result = self.run_command(*arguments, exit_code=2)
            self.assertEqual(result.stdout, "")
            self.assertIn("error[MG0009]", result.stderr)

    def test_allow_empty(self) -> None:
        """An option accepts nothing, as a gateway does."""
        self.assertEqual(
            self.run_command("check", "--allow-empty", "-", "folder", "none.yaml").stdout,
            "no problems in 0 resources\n",
        )
        self.assertEqual(self.run_json("routes", "--allow-empty", "-"), [])
        self.run_command("diff", "--allow-empty", "routes", "none.yaml", exit_code=1)

    def test_settings(self) -> None:
        """Of the paths in the settings, one may be empty, but not all."""
        provider = "providers: [{name: files, type: directory, paths: [%s]}]\n"
        self.write("meshgate.yaml", provider % "folder, routes")
        self.assertIn("no problems", self.run_command("check", "--config", "meshgate.yaml").stdout)
        self.write("meshgate.yaml", provider % "folder")
        result = self.run_command("check", "--config", "meshgate.yaml", exit_code=1)
        self.assertIn("meshgate.yaml: error[MG0009]: no provider of the settings has routes", result.stdout)
        self.run_command("check", "--config", "meshgate.yaml", "--allow-empty")


class FileTests(CommandTestCase):
    """Files and folders that are not as they should be."""

    def test_unreadable_files(self) -> None:
        """A file that cannot be read is an error of its own, and the others are checked."""
        (self.folder / "routes" / "dangling.yaml").symlink_to("nowhere")
        os.mkfifo(self.folder / "routes" / "pipe.yaml")
        found = self.run_json("check", "routes", exit_code=1)
        self.assertEqual(found["resources"], 5)
        self.assertEqual(
            [(problem["code"], problem["file"]) for problem in found["problems"]],
            [("MG0008", "routes/dangling.yaml"), ("MG0008", "routes/pipe.yaml")],
        )

    def test_a_file_that_may_not_be_read(self) -> None:
        """A file without the permission to read it is an error, not a traceback."""
        if os.geteuid() == 0:
            self.patch(builtins, "open", refusing)
        else:
            (self.folder / "routes" / "shop.yaml").chmod(0)
        result = self.run_command("check", "routes", exit_code=1)
        self.assertIn("routes/shop.yaml: error[MG0008]: cannot be read: Permission denied", result.stdout)

    def test_a_name_that_is_not_utf_8(self) -> None:
        """A file may have any name."""
        os.rename(os.fsencode(self.folder / "routes" / "shop.yaml"), os.fsencode(self.folder) + b"/routes/\xff.yaml")
        self.write("routes/broken.yaml", file_text(BROKEN))
        done = run_meshgate(["check", self.folder / "routes"])
        self.assertEqual((done.returncode, b"Traceback" in done.stderr), (1, False), done.stderr)

    def test_bytes_that_are_not_utf_8(self) -> None:
        """A file in another encoding is an error with a location."""
        self.write("routes/latin.yaml", b"name: caf\xe9\n")
        result = self.run_command("check", "routes", exit_code=1)
        self.assertIn("routes/latin.yaml:1:10: error[MG0001]: the byte 0xe9", result.stdout)

    def test_hidden_files_are_passed_over(self) -> None:
        """Names that begin with a dot are skipped, unless they are named."""
        self.write("routes/.git/shop.yaml", file_text(BROKEN))
        self.write("routes/.broken.yaml", file_text(BROKEN))
        self.run_command("check", "routes")
        self.run_command("check", "routes/.broken.yaml", exit_code=1)


def refusing(path: str, *_: object, **__: object) -> None:
    """Refuse to open a file, as one that this user may not read."""
    raise PermissionError(13, "Permission denied", path)


class ProcessTests(SynchronousTestCase):
    """Real processes."""

    def test_check(self) -> None:
        """Standard input to standard output, with the exit status."""
        done = run_meshgate(["check", "-"], file_text(*SHOP).encode())
        self.assertEqual((done.returncode, done.stdout), (0, b"no problems in 5 resources\n"), done.stderr)
        self.assertEqual(run_meshgate(["check", "-"], file_text(BROKEN).encode()).returncode, 1)

    def test_help_and_version(self) -> None:
        """Help is called meshgate, however it is started."""
        self.assertIn(b"Usage: meshgate [OPTIONS]", run_meshgate(["--help"]).stdout)
        self.assertRegex(run_meshgate(["--version"]).stdout.decode(), r"^meshgate, version \d")

    def test_wrong_call(self) -> None:
        """A wrong call ends with 2, on standard error."""
        done = run_meshgate(["diff"])
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertNotIn(b"Traceback", done.stderr)

    def test_pipes_carry_no_colors(self) -> None:
        """Output to a pipe is plain UTF-8, also the arrows, in any locale."""
        done = run_meshgate(["diff", "--allow-empty", "-", "/dev/null"], file_text(*SHOP).encode())
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn(b"\x1b", done.stdout)
