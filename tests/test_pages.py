"""Pages of the documentation, followed literally by a reader (:mod:`tests.console_pages`)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.console_pages import Reader, Step, prints, steps_of
from tests.support import new_folder, require_program

PAGE = """\
A page
======

.. code-block:: yaml
    :caption: a/b.yaml

    one: 1

    two: 2

.. code-block:: console

    $ first \\
        second
    $ third
    its output
    ^C

    .. code-block:: console

        $ fourth

.. code-block:: python

    not_run()
"""


class StepsTests(SynchronousTestCase):
    """The reading of a page."""

    def test_commands_and_files(self) -> None:
        """Commands with their output, and files, in order; other blocks are for the reader's eyes."""
        page = new_folder(self) / "page.rst"
        page.write_text(PAGE)
        expected = [
            Step("one: 1\n\ntwo: 2\n", file="a/b.yaml"),
            Step("first \\\n    second"),
            Step("third", ("its output",)),
            Step("^C"),
            Step("fourth"),
        ]
        self.assertEqual(steps_of(page), expected)

    def test_output(self) -> None:
        """Three dots stand for anything, in a line or as a line."""
        self.assertTrue(prints(["a...d", "...", "z"], "abcd\nx\ny\nz\n"))
        self.assertTrue(prints(["a", "...", "z"], "a\nz"))
        self.assertFalse(prints(["a", "z"], "a\nb\nz\n"))
        self.assertFalse(prints(["b"], "a\nb\n"))
        self.assertTrue(prints(["b"], "a\nb\n", whole=False))


class PageTests(TestCase):
    """One page each, from nothing to its end."""

    timeout = 400

    async def test_write_a_route_provider(self) -> None:
        """The package is made, installed, tested and run; a connection is routed by it, and a change is followed."""
        require_program("curl")
        await Reader(self, installed=True).follow("howto/write-a-route-provider")
