"""Tests of :mod:`meshgate.providers.options`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers.options import OptionProblem, OptionsError, unknown_options


class OptionsTests(SynchronousTestCase):
    """Faults in a provider's options."""

    def test_known_options_pass(self) -> None:
        """Known options are no fault."""
        self.assertEqual(unknown_options({"paths": []}, ("paths", "poll")), [])

    def test_a_misspelled_option_names_the_nearest(self) -> None:
        """A near miss is answered with the name that was meant."""
        expected = OptionProblem(("path",), "unknown option 'path'", "did you mean 'paths'?")
        self.assertEqual(unknown_options({"path": "x"}, ("paths", "poll")), [expected])

    def test_a_strange_option_lists_all(self) -> None:
        """An option like no other is answered with all that there are."""
        (problem,) = unknown_options(["url"], ("poll", "paths"))
        self.assertEqual(problem.hint, "the options are paths, poll")

    def test_the_error_says_everything(self) -> None:
        """Whoever prints only the exception still sees every fault."""
        error = OptionsError(OptionProblem(("a",), "a is wrong"), OptionProblem(("b",), "b is wrong"))
        self.assertEqual(str(error), "a is wrong; b is wrong")
