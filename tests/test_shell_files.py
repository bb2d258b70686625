"""Tests of the files below share/: man pages, and the completion of commands in shells."""

from __future__ import annotations

import re
import subprocess
import sys

import click
from twisted.trial.unittest import SynchronousTestCase

from meshgate.cli import COMMANDS, main
from tests.support import IMPORT_ROOT, new_folder, require_program

SHARE = IMPORT_ROOT / "share"


def page(name: str) -> str:
    """The text of a man page, without roff's escape sequences."""
    text = (SHARE / "man" / "man1" / f"{name}.1").read_text()
    return " ".join(re.sub(r"\\f[BIPR]|\\&", "", text).replace("\\(aq", "'").replace("\\-", "-").split())


class ManPageTests(SynchronousTestCase):
    """The man pages, which ``make share`` writes."""

    def test_every_command_has_a_page(self) -> None:
        """There is a page for meshgate and for each command, and no other."""
        pages = {file.stem for file in (SHARE / "man" / "man1").iterdir()}
        self.assertEqual(pages, {"meshgate", *(f"meshgate-{name}" for name in COMMANDS)})

    def test_pages_agree_with_the_help(self) -> None:
        """Each page has the description and every option of its command, as the help has them."""
        context = click.Context(main, info_name="meshgate", **main.context_settings)
        for name in COMMANDS:
            command = main.get_command(context, name)
            assert command is not None
            below = click.Context(command, info_name=name, parent=context)
            shown = page(f"meshgate-{name}")
            for paragraph in re.split(r"\n\s*\n", (command.help or "").replace("\b", "")):
                self.assertIn(" ".join(paragraph.split()), shown, "run make share")
            for parameter in command.get_params(below):
                for text in parameter.get_help_record(below) or ():
                    self.assertIn(" ".join(text.split()), shown, "run make share")


class CompletionTests(SynchronousTestCase):
    """The completion in bash, with the script that is installed."""

    def completions(self, *words: str) -> set[str]:
        """What bash offers for the last word."""
        require_program("bash")
        folder = new_folder(self)
        command = folder / "meshgate"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m meshgate "$@"\n')
        command.chmod(0o755)
        script = """
            source "$1"; shift
            COMP_WORDS=(meshgate "$@"); COMP_CWORD=$#
            _meshgate_completion meshgate
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        completed = subprocess.run(
            ["bash", "-c", script, "bash", SHARE / "bash-completion" / "completions" / "meshgate", *words],
            capture_output=True,
            timeout=60,
            check=True,
            env={"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": str(IMPORT_ROOT)},
        )
        return set(completed.stdout.decode().split())

    def test_commands(self) -> None:
        """The names of commands are completed."""
        self.assertEqual(self.completions("expl"), {"explain", "explain-field"})
        self.assertEqual(self.completions(""), set(COMMANDS))

    def test_options(self) -> None:
        """So are options and their choices."""
        self.assertEqual(self.completions("check", "--fo"), {"--format"})
        self.assertEqual(self.completions("check", "--format", "s"), {"sarif"})
        self.assertEqual(self.completions("routes", "--color", "a"), {"auto", "always"})

    def test_fields(self) -> None:
        """So are the fields of resources, one step at a time."""
        self.assertEqual(self.completions("explain-field", "gat"), {"Gateway"})
        self.assertEqual(
            self.completions("explain-field", "gw.spec.servers.tls.m"),
            {f"gw.spec.servers.tls.{name}" for name in ("mode", "minProtocolVersion", "maxProtocolVersion")},
        )
        self.assertEqual(self.completions("explain-field", "nonsense.x"), set())

    def test_types(self) -> None:
        """So are the types of objects, also several with commas between them."""
        self.assertEqual(self.completions("get", "virt"), {"virtualservice", "virtualservices"})
        self.assertEqual(self.completions("describe", "gw,v"), {"gw,virtualservice", "gw,virtualservices", "gw,vs"})

    def test_nothing_is_imported_for_the_names_of_commands(self) -> None:
        """Completion answers without the modules that read, compile and print."""
        script = (
            "import sys, click; from meshgate.cli import main; "
            "main.shell_complete(click.Context(main), ''); "
            "print([n for n in sys.modules if n.startswith(('pydantic', 'twisted'))])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, cwd=IMPORT_ROOT, timeout=60, check=True
        )
        self.assertEqual(done.stdout, b"[]\n")
