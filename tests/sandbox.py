"""
A process that sees a file system of its own, read-only, as a service unit and a container give it.

The root is a file system in memory in which the system's folders, this environment and the checkout are mounted
read-only; only named folders can be written. The process is another user, has no capabilities but those that are named,
and may be process 1 of its own process namespace. Its network is that of the test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support import IMPORT_ROOT, Program, lacking, new_folder, require_program

_SCRIPT = r"""
root=$1 readable=$2 read=$3 written=$4; shift 4
mount -t tmpfs -o mode=755 tmpfs "$root"
for each in /bin /sbin /lib /lib64; do
    if [ -L $each ]; then cp -P $each "$root$each"; else readable="$readable $each"; fi
done
for each in $readable; do
    [ -e "$root$each" ] && continue
    mkdir -p "$root$each"
    mount --bind "$each" "$root$each"
    mount -o remount,bind,ro "$root$each"
done
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/etc"
cp /etc/passwd /etc/group /etc/hosts "$root/etc"
for each in $read $written; do
    mkdir -p "$root${each#*:}"
    mount --bind "${each%%:*}" "$root${each#*:}"
done
for each in $read; do
    mount -o remount,bind,ro "$root${each#*:}"
done
mount -t proc proc "$root/proc"
for each in null zero urandom; do
    touch "$root/dev/$each"
    mount --bind /dev/$each "$root/dev/$each"
done
mount -o remount,ro "$root"
exec chroot "$root" "$@"
"""


class Sandbox(Program):
    """
    The process.

    :param command: absolute, or found in the ``bin`` of this environment.
    :param user: the number of its user and group.
    :param readable: folders that it can read, by the paths that they have for it.
    :param writable: folders that it can write, which become the user's, in the same way.
    :param capabilities: those that it has, as ``net_bind_service``.
    :param environment: its only variables, besides ``PATH`` and ``PYTHONPATH``.
    :raises SkipTest: where that takes rights that this process does not have; in CI it is a failure.
    """

    def __init__(
        self,
        test: TestCase,
        command: Sequence[str | Path],
        user: int,
        readable: Mapping[str, Path],
        writable: Mapping[str, Path],
        capabilities: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        setpriv = require_program("setpriv")
        if os.geteuid():
            raise lacking("only root can make a file system for a process")
        for folder in writable.values():
            os.chown(folder, user, user)
        for folder in readable.values():
            subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        interpreter = [Path(sys.base_prefix), Path(sys.prefix), IMPORT_ROOT]
        given = "".join(f",+{each}" for each in capabilities)
        self._inside = [
            setpriv,
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            "--no-new-privs",
            *(f"--{kind}=-all{given}" for kind in ("bounding-set", "inh-caps", "ambient-caps")),
        ]
        variables = {
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "PYTHONPATH": str(IMPORT_ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(environment or {}),
        }
        self._as_user = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), *self._inside]
        super().__init__(
            test,
            [
                *(require_program("unshare"), "--mount", "--pid", "--fork", "--kill-child"),
                *("sh", "-ec", _SCRIPT, "sandbox"),
                new_folder(test),
                " ".join(sorted(map(str, ["/usr", *interpreter]))),
                *(" ".join(f"{each}:{path}" for path, each in given.items()) for given in (readable, writable)),
                *self._as_user,
                *command,
            ],
        )

    @property
    def init(self) -> int:
        """The number of the process outside, where it is not 1."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])

    def run(self, test: TestCase, *command: str | Path) -> Program:
        """Run a further command in the sandbox, as a container engine does for a health check."""
        enter = ["nsenter", f"--target={self.init}", "--mount", "--pid", "--root", "--wd"]
        return Program(test, [*enter, *self._as_user, *command])
