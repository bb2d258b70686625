"""
Pages of the documentation, followed literally: their commands are run, and what these print is compared.

In a ``console`` block, a line that begins with ``$`` is a command, and the lines below it are its output, in which
``...`` stands for anything; without such lines, any output will do. A command has to succeed. One that prints something
else is run again for some seconds, since it may show the effect of a change. A command of twistd in the foreground,
``twistd -n``, runs beside those that follow until the page shows ``^C``, and its output is waited for. So does telnet
to an echo service: of two equal lines of its output, the first is typed. A code block with a caption is a file that the
reader writes.

The reader has a shell, a network of loopback alone, so that ports are those of the page, and no index of packages: pip
finds meshgate where the test has put it, and the libraries that it needs are lent by this environment.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import site
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

from tests.background import kill_processes_in
from tests.networks import enter_own_network
from tests.support import IMPORT_ROOT, new_folder, reactor, wait_for

DOCS = IMPORT_ROOT / "docs"
INTERRUPT = "^C"
_WORKERS_SERVE = "all 2 workers serve"
"""The last line of a start, as pages show it; the number depends on the machine."""


@dataclass(frozen=True)
class Step:
    """
    A command, or a file to write.

    :ivar text: the command, or the content of the file.
    :ivar output: the lines that the command has to print; none if any output will do.
    :ivar file: the name of the file; empty for a command.
    """

    text: str
    output: tuple[str, ...] = ()
    file: str = ""

    @property
    def in_foreground(self) -> bool:
        """True if the command does not end by itself."""
        starts = re.search(r"\btwistd -n\b|\bmake lab$", self.text)
        return bool(starts) and not re.search(r"--(validate|version|help)\b", self.text)

    @property
    def typed(self) -> str:
        """The line that the reader types while the command runs; empty if there is none."""
        twice = (line for line, following in pairwise(self.output) if line == following != "")
        return next(twice, "") if self.text.startswith("telnet ") else ""


def steps_of(page: Path) -> list[Step]:
    """The steps of a page, in order."""
    steps: list[Step] = []
    for language, caption, lines in _code_blocks(page.read_text(encoding="utf-8").splitlines()):
        if caption:
            steps.append(Step("\n".join(lines) + "\n", file=caption))
        elif language == "console":
            steps += _console_steps(lines)
    return steps


def _code_blocks(lines: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the language, the caption and the lines of each ``code-block``."""
    for number, line in enumerate(lines):
        match = re.fullmatch(r"( *)\.\. code-block:: (\w+)", line)
        if match is None:
            continue
        indent = len(match[1]) + 3
        block = []
        for below in lines[number + 1 :]:
            if below.strip() and not below.startswith(" " * (len(match[1]) + 1)):
                break
            block.append(below)
        options = dict(re.findall(r"(?m)^ *:(\w+): *(.*)$", "\n".join(_leading_options(block))))
        content = block[len(_leading_options(block)) :]
        text = "\n".join(content).strip("\n").splitlines()
        indent = min((len(each) - len(each.lstrip()) for each in text if each.strip()), default=indent)
        yield match[2], options.get("caption", ""), [each[indent:] for each in text]


def _leading_options(block: Sequence[str]) -> list[str]:
    options = []
    for line in block:
        if not re.match(r" *:\w+:", line):
            break
        options.append(line)
    return options


def _console_steps(lines: Sequence[str]) -> Iterator[Step]:
    command, output = "", list[str]()
    for line in [*lines, "$ "]:
        if command.endswith("\\"):
            command = f"{command}\n{line}"
        elif line.startswith("$ ") or line == "$":
            if command:
                yield Step(command, tuple("\n".join(output).strip("\n").splitlines()))
            command, output = line[2:], []
        elif line == INTERRUPT:
            if command:
                yield Step(command, tuple("\n".join(output).strip("\n").splitlines()))
            yield Step(INTERRUPT)
            command, output = "", []
        else:
            output.append(line)


def prints(expected: Sequence[str], output: str, whole: bool = True) -> bool:
    """
    True if a command has printed what the page shows.

    :param whole: nothing may stand before and after it.
    """
    pattern = ""
    for line in expected:
        if line.strip() in ("...", "…"):
            pattern += r"(?:[^\n]*\n)*?"
        elif line.endswith(_WORKERS_SERVE):
            pattern += r"[^\n]*(?:all \d+ workers serve|the worker serves)\n"
        else:
            pattern += ".*?".join(re.escape(text.rstrip()) for text in re.split(r"\.\.\.|…", line)) + r"[ \t]*\n"
    found = re.search(rf"(?:\A{pattern}\n*\Z)" if whole else rf"(?m)^{pattern}", output.rstrip("\n") + "\n")
    return found is not None


class Reader:
    """
    Someone at a shell, who follows pages of the documentation.

    :param test: the test that the shell lives for.
    :param installed: True if meshgate is installed already, in an environment that is active.
    :param variables: of the shell's environment.
    :ivar folder: the folder in which the shell begins.
    """

    def __init__(self, test: TestCase, installed: bool, variables: Mapping[str, str] | None = None) -> None:
        if not DOCS.exists():
            raise SkipTest("these tests are not run from a checkout")
        enter_own_network(test)
        self._test = test
        self.folder = new_folder(test)
        self._notes = new_folder(test)
        self._lent = _lend_libraries(new_folder(test), with_meshgate=installed)
        self._count = 0
        self._may_fail = False
        self._foreground: list[tuple[int, Path]] = []
        tools = new_folder(test)
        _write_program(tools / "python3", _PYTHON.format(python=sys.executable, root=IMPORT_ROOT, lent=self._lent))
        path = [tools, Path("/usr/local/sbin"), *map(Path, os.environ["PATH"].split(os.pathsep)), Path("/usr/sbin")]
        environment = {
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join(map(str, path)),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as the value of "build isolation"
            "PIP_ROOT_USER_ACTION": "ignore",
            **(variables or {}),
        }
        test.addCleanup(kill_processes_in, self.folder)
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        test.addCleanup(self._end_shell)
        self._type("set -m")  # or Ctrl-C would not reach what runs beside the shell
        if installed:
            make_environment(self.folder / ".venv", self._lent)
            self._type(f". {self.folder}/.venv/bin/activate")

    async def follow(self, page: str, *, may_fail: bool = False) -> None:
        """
        Follow a page to its end.

        :param page: its name below ``docs``, without its suffix.
        :param may_fail: its commands may end with any status, as those do that report what is wrong.
        :raises AssertionError: if a command fails, or does not print what the page shows.
        """
        self._may_fail = may_fail
        steps = steps_of(DOCS / f"{page}.rst")
        for step in steps:
            try:
                await self.do(step)
            except AssertionError as error:
                raise AssertionError(f"{page}: $ {step.text or step.file}\n{error}") from None

    async def do(self, step: Step) -> None:
        """Run a command, or write a file."""
        if step.file:
            await self.run(f"mkdir -p {shlex.quote(os.path.dirname(step.file) or '.')}")
            await self.run(f"cat > {shlex.quote(step.file)} <<'END OF FILE'\n{step.text}END OF FILE")
        elif step.text == INTERRUPT:
            await self.interrupt()
        elif step.in_foreground:
            await self.begin(step)
        elif step.typed:
            await self._converse(step)
        else:
            await self._run_until_right(step)

    async def _run_until_right(self, step: Step) -> None:
        """Run a command; once more if it prints something else, since a change takes a moment to its effect."""
        deadline = reactor.seconds() + 30
        output = await self.run(step.text)
        while step.output and not prints(step.output, output):
            if reactor.seconds() > deadline:
                raise AssertionError(f"the page shows\n{_text(step.output)}\nand it is\n{output}")
            try:
                output = await self.run(step.text)
            except AssertionError as error:
                output = str(error)

    async def run(self, command: str) -> str:
        """
        Run a command to its end.

        :return: what it has printed.
        :raises AssertionError: if it fails.
        """
        output, status = self._note("output"), self._note("status")
        self._type(f"{{ {command}\n}} > {output} 2>&1 < /dev/null; echo $? > {status}.new; mv {status}.new {status}")
        await wait_for(status.exists, f"the end of {command!r}", timeout=240)
        printed = output.read_text(errors="replace")
        if int(status.read_text()) and not self._may_fail:
            raise AssertionError(f"status {status.read_text().strip()}: {printed}")
        return printed

    async def begin(self, step: Step) -> None:
        """Begin a command in the foreground, and wait for its output."""
        output, number = self._note("output"), self._note("number")
        output.touch()  # the command itself may be slower to open it than its number is to come
        self._type(f"{step.text} > {output} 2>&1 < /dev/null & echo $! > {number}.new; mv {number}.new {number}")
        await wait_for(number.exists, "its start")
        self._foreground.append((int(number.read_text()), output))
        expected = step.output or ("...serve...",)
        try:
            await wait_for(lambda: prints(expected, output.read_text(), whole=False), "its output", timeout=60)
        except AssertionError:
            raise AssertionError(
                f"the page shows\n{_text(step.output)}\nand it is\n{output.read_text(errors='replace')}"
            ) from None

    async def _converse(self, step: Step) -> None:
        """Begin a command, type a line once it has printed what stands before that, and wait for the answer."""
        typing = self._note("typing")
        os.mkfifo(typing)
        # Open for both, which waits for nobody.
        descriptor = os.open(typing, os.O_RDWR)
        self._test.addCleanup(os.close, descriptor)
        number = step.output.index(step.typed)
        output = self._note("output")
        output.touch()
        self._type(f"{step.text} > {output} 2>&1 < {typing} &")
        for expected in (step.output[:number], step.output[:number] + step.output[number + 1 :]):

            def shown(lines: Sequence[str] = expected) -> bool:
                return output.exists() and prints(lines, output.read_text(), whole=False)

            await wait_for(shown, f"{expected} from {step.text}")
            os.write(descriptor, f"{step.typed}\n".encode())

    async def printed(self, text: str) -> None:
        """Wait until the command that was begun last has printed a text."""
        _, output = self._foreground[-1]
        await wait_for(lambda: text in output.read_text(errors="replace"), f"{text!r}")

    async def interrupt(self) -> None:
        """Press Ctrl-C in the terminal of the command that was begun last."""
        number, _ = self._foreground.pop()
        os.killpg(number, signal.SIGINT)
        await self.run(f"wait {number} || true")

    def _note(self, name: str) -> Path:
        self._count += 1
        return self._notes / f"{name}-{self._count}"

    def _type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{text}\n")
        self._shell.stdin.flush()

    def _end_shell(self) -> None:
        for number, _ in self._foreground:
            try:
                os.killpg(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._shell.kill()
        self._shell.communicate()


_PYTHON = """\
#!/bin/sh
# python3, with a "-m venv" that needs no network.
if [ "$1 $2" = "-m venv" ]; then
    PYTHONPATH={root} exec {python} -m tests.console_pages "$3" {lent}
fi
exec {python} "$@"
"""

_SCRIPT = """\
#!{python}
import sys

from {module} import {function}

sys.exit({function}())
"""


def make_environment(folder: Path, lent: Path) -> None:
    """
    Make a virtual environment with pip and the libraries that are lent to it.

    :param lent: the folder of the libraries; its ``with_meshgate`` says that meshgate is among them.
    """
    import venv

    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    with_meshgate = (lent / "with_meshgate").exists()
    (packages / "lent.pth").write_text(f"{lent}\n" + (f"{IMPORT_ROOT}\n" if with_meshgate else ""))
    scripts = [("pip", "pip._internal.cli.main", "main"), ("twistd", "twisted.scripts.twistd", "run")]
    if with_meshgate:
        scripts.append(("meshgate", "meshgate.cli", "main"))
    for name, module, function in scripts:
        python = folder.absolute() / "bin" / "python"
        _write_program(folder / "bin" / name, _SCRIPT.format(python=python, module=module, function=function))


def _lend_libraries(folder: Path, with_meshgate: bool) -> Path:
    """Fill a folder with links to the libraries of this environment, with what pip knows of meshgate or without."""
    for library in (entry for packages in site.getsitepackages() for entry in Path(packages).iterdir()):
        if library.suffix != ".pth" and (with_meshgate or not library.name.startswith("meshgate")):
            (folder / library.name).symlink_to(library)
    if with_meshgate:
        (folder / "with_meshgate").touch()
    return folder


def _write_program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines)


if __name__ == "__main__":
    make_environment(Path(sys.argv[1]), Path(sys.argv[2]))
