"""Tests of :mod:`meshgate.processes.identity`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from meshgate.processes.identity import ProcessIdentity, boot_id, own_identity, start_of


class IdentityTests(SynchronousTestCase):
    """:class:`ProcessIdentity`."""

    def test_own(self) -> None:
        """Our own process lives, and its start is known."""
        identity = own_identity()
        self.assertEqual((identity.pid, identity.lives()), (os.getpid(), True))
        self.assertTrue(identity.boot_id)
        self.assertGreater(identity.start, 0)

    def test_another_with_the_same_number(self) -> None:
        """A process with the number that was started at another moment, or in another boot, is another one."""
        identity = own_identity()
        self.assertFalse(replace(identity, start=identity.start - 1).lives())
        self.assertFalse(replace(identity, boot_id="another").lives())
        self.assertTrue(replace(identity, boot_id="").lives())
        self.assertTrue(replace(identity, start=0).lives())

    def test_gone(self) -> None:
        """A process that has ended does not live, and a number that none can have neither."""
        with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
            identity = ProcessIdentity(child.pid, boot_id(), start_of(child.pid))
            self.assertTrue(identity.lives())
        self.assertFalse(identity.lives())
        self.assertEqual(start_of(child.pid), 0)
        self.assertFalse(replace(identity, pid=1 << 40).lives())

    def test_a_command_with_parentheses(self) -> None:
        """The name of the command does not shift the fields."""
        command = (
            "import sys; open('/proc/self/comm', 'w').write('a) b (c'); print(end='x', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            self.assertEqual(child.stdout.read(1), "x")
            self.assertGreaterEqual(start_of(child.pid), own_identity().start)
