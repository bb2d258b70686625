"""Tests of :mod:`meshgate.api.watch_window`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshgate.api import watch_window
from meshgate.api.refusal import RefusedError
from meshgate.api.selectors import everything, label_selector
from meshgate.api.watch_window import ObjectChange, Watcher, WatchWindow
from tests.api.api_objects import gateway


def labelled(value: str, revision: int, namespace: str = "default") -> dict[str, object]:
    """A Gateway with a label, as of a revision."""
    return gateway(namespace=namespace, labels={"a": value}, resourceVersion=str(revision))


class WatcherTests(SynchronousTestCase):
    """One watcher."""

    def seen(self, labels: str, changes: list[ObjectChange], namespace: str = "") -> list[tuple[str, str]]:
        """The types and revisions of the events of a watcher with a selector of labels."""
        window = WatchWindow(0)
        watcher = Watcher(window, window.end, namespace, label_selector(labels))
        for change in changes:
            window.add(change)
        return [(event.type, event.object["metadata"]["resourceVersion"]) for event in iter(watcher.next_event, None)]

    def test_an_object_that_begins_and_ends_to_fit(self) -> None:
        """For a watcher with a selector, an object is added when it fits, and deleted when it no longer does."""
        states = [labelled("x", 1), labelled("y", 2), labelled("y", 3), labelled("x", 4)]
        changes = [ObjectChange(1, None, states[0])]
        changes += [ObjectChange(at + 1, states[at - 1], states[at]) for at in range(1, 4)]
        changes.append(ObjectChange(5, states[3], None))
        self.assertEqual(self.seen("a=y", changes), [("ADDED", "2"), ("MODIFIED", "3"), ("DELETED", "4")])
        self.assertEqual(self.seen("a=x", changes)[-2:], [("ADDED", "4"), ("DELETED", "5")])

    def test_a_namespace(self) -> None:
        """A watcher of a namespace sees no other."""
        change = ObjectChange(1, None, labelled("x", 1, "other"))
        self.assertEqual(self.seen("", [change], "default"), [])
        self.assertEqual(self.seen("", [change], "other"), [("ADDED", "1")])


class WatchWindowTests(SynchronousTestCase):
    """The last changes."""

    def setUp(self) -> None:
        """A window of three changes, which has forgotten two of five."""
        self.patch(watch_window, "WINDOW", 3)
        self.window = WatchWindow(10)
        self.early = Watcher(self.window, self.window.end, "", everything)
        for revision in range(11, 16):
            self.window.add(ObjectChange(revision, None, labelled("x", revision)))

    def seen(self, revision: int) -> list[str]:
        """The revisions of the events after one."""
        watcher = Watcher(self.window, self.window.after(revision), "", everything)
        return [event.object["metadata"]["resourceVersion"] for event in iter(watcher.next_event, None)]

    def test_forgotten(self) -> None:
        """Changes are kept up to a number; a revision before them is refused."""
        self.assertEqual(self.seen(15), [])
        self.assertEqual(self.seen(13), ["14", "15"])
        self.assertEqual(self.seen(12), ["13", "14", "15"])
        self.assertEqual(self.assertRaises(RefusedError, self.window.after, 11).code, 410)

    def test_a_watcher_that_is_behind(self) -> None:
        """A watcher whose next change is forgotten is told so, and misses none in silence."""
        self.assertEqual(self.assertRaises(RefusedError, self.early.next_event).code, 410)
        self.assertEqual(self.assertRaises(RefusedError, self.early.check).code, 410)

    def test_a_watcher_that_leaves_meanwhile(self) -> None:
        """A watcher may end while it is woken."""
        self.early.wake = self.early.leave
        self.early.follow()
        self.window.add(ObjectChange(16, None, labelled("x", 16)))
        self.assertEqual(self.window.watchers, set())
