"""Pipes: how many there are, how large they are, and which of them are lent again."""

from __future__ import annotations

import errno
import fcntl
import os

from twisted.trial.unittest import SynchronousTestCase

from meshgate.transport.lean.pipes import SMALLEST, SPARE, Pipe, Pipes
from tests.lean_loop import descriptors


class PipesTests(SynchronousTestCase):
    """A pool of the kernel's pipes."""

    def setUp(self) -> None:
        """A pool, closed at the end."""
        self.before = descriptors()
        self.pool = Pipes(SPARE + 4)
        self.addCleanup(self.pool.close)

    def borrow(self) -> Pipe:
        """One that there has to be."""
        pipe = self.pool.borrow()
        assert pipe is not None
        return pipe

    def test_a_pipe(self) -> None:
        """It waits for nobody, is not inherited, and holds as much as it says."""
        pipe = self.borrow()
        self.assertEqual(pipe.size, fcntl.fcntl(pipe.sink, fcntl.F_GETPIPE_SZ))
        self.assertGreaterEqual(pipe.size, SMALLEST)
        for end in (pipe.source, pipe.sink):
            self.assertEqual((os.get_blocking(end), os.get_inheritable(end)), (False, False))
        os.write(pipe.sink, b"x")
        self.assertEqual(os.read(pipe.source, 10), b"x")
        self.pool.give_back(pipe, True)

    def test_an_empty_one_is_lent_again(self) -> None:
        """No new one is made for the next who asks."""
        pipe = self.borrow()
        self.pool.give_back(pipe, True)
        self.assertEqual(self.borrow(), pipe)
        self.pool.give_back(pipe, True)

    def test_one_with_bytes_is_closed(self) -> None:
        """Whatever is in it is read by nobody."""
        pipe = self.borrow()
        os.write(pipe.sink, b"secret")
        self.pool.give_back(pipe, False)
        self.assertRaises(OSError, os.fstat, pipe.source)
        again = self.borrow()
        self.assertRaises(BlockingIOError, os.read, again.source, 10)
        self.pool.give_back(again, True)

    def test_there_are_only_so_many(self) -> None:
        """Beyond the limit there is none, until one is given back; a few are kept, and closed with the pool."""
        pipes = [self.borrow() for _ in range(SPARE + 4)]
        self.assertIsNone(self.pool.borrow())
        self.pool.give_back(pipes.pop(), False)
        pipes.append(self.borrow())
        for pipe in pipes:
            self.pool.give_back(pipe, True)
        self.assertEqual(descriptors(), self.before + 2 * SPARE)
        self.pool.close()
        self.assertEqual(descriptors(), self.before)

    def test_none_is_to_be_had(self) -> None:
        """Without a descriptor there is no pipe, and no failure."""

        def refuse(flags: int) -> tuple[int, int]:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(os, "pipe2", refuse)
        self.assertIsNone(self.pool.borrow())

    def test_a_small_one_is_not_worth_it(self) -> None:
        """A pipe that the kernel refuses to enlarge is closed: it would cost more than copying."""
        control = fcntl.fcntl

        def refuse(descriptor: int, command: int, argument: int = 0) -> int:
            if command == fcntl.F_SETPIPE_SZ:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return control(descriptor, command, argument)

        self.patch(fcntl, "fcntl", refuse)
        self.assertEqual((self.pool.borrow(), descriptors()), (None, self.before))
