"""Tests of :mod:`meshgate.providers.first_read`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshgate.providers import first_read
from meshgate.providers.first_read import FILE_NAME, FirstRead
from meshgate.resources.problem import Origin
from meshgate.resources.reader import read_text
from meshgate.resources.resource import Resource
from tests.support import new_folder

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}{more}}}
spec: {{servers: [{{port: {{number: 80, name: tcp, protocol: TCP}}, hosts: ["*"]}}]}}
"""


def gateway(name: str, more: str = "") -> Resource[object]:
    """A Gateway of a file."""
    (resource,) = read_text(GATEWAY.format(name=name, more=more), f"{name}.yaml", "files").resources
    return resource


class FirstReadTests(SynchronousTestCase):
    """Ages of resources."""

    def setUp(self) -> None:
        """A folder, and a clock."""
        self.file = Path(new_folder(self)) / FILE_NAME
        self.now = 1000.7

    def ages(self) -> FirstRead:
        """The ages that the file has."""
        return FirstRead(self.file, lambda: self.now)

    def test_kept(self) -> None:
        """The first time counts, in whole seconds, over a restart too; a later resource is younger."""
        first, second = gateway("b"), gateway("a")
        ages = self.ages()
        (dated,) = ages.dated([first])
        self.assertEqual(dated.first_read, 1000.0)
        self.now = 2000.0
        again = self.ages().dated([first, second])
        self.assertEqual([each.first_read for each in again], [1000.0, 2000.0])
        self.assertEqual(sorted(again, key=Resource.order), list(again))

    def test_the_same_object(self) -> None:
        """A resource that is the same object gives the same object, so that it is not compiled again."""
        first, ages = gateway("a"), self.ages()
        self.assertIs(ages.dated([first])[0], ages.dated([first])[0])

    def test_one_that_says_its_age(self) -> None:
        """A resource with a time stamp stays as it is."""
        told = gateway("a", ', creationTimestamp: "2020-01-01T00:00:00Z"')
        self.assertIs(self.ages().dated([told])[0], told)

    def test_one_that_comes_back(self) -> None:
        """A resource that was away is as old as before: files are moved, and written anew."""
        ages, first = self.ages(), gateway("a")
        ages.dated([first])
        ages.dated([])
        self.now = 3000.0
        self.assertEqual(self.ages().dated([first])[0].first_read, 1000.0)

    def test_those_that_went_first_are_forgotten(self) -> None:
        """The number of resources that are away whose times are kept is limited."""
        self.patch(first_read, "MOST_AWAY", 2)
        ages = self.ages()
        ages.dated([gateway("a")])
        ages.dated([gateway("b"), gateway("c"), gateway("d")])
        self.now = 2000.0
        ages.dated([])
        again = ages.dated([gateway(name) for name in "abcd"])
        self.assertEqual([each.first_read for each in again], [2000.0, 2000.0, 1000.0, 1000.0])

    def test_another_file_or_provider(self) -> None:
        """A resource that moves to another file or provider is as old as before."""
        first, moved = gateway("a"), gateway("a")
        moved = replace(moved, origin=replace(moved.origin, provider="others", file="z.yaml"))
        self.ages().dated([first])
        self.now = 2000.0
        self.assertEqual(self.ages().dated([moved])[0].first_read, 1000.0)

    def test_within_a_second(self) -> None:
        """A resource is younger than what was applied before in the same second, and older than what is after."""
        file = gateway("b")
        (dated,) = self.ages().dated([file])
        applied = self.applied("a")
        self.assertLess(dated.order(), applied.order())
        (_, later) = self.ages().dated([applied, gateway("c")])
        self.assertLess(applied.order(), later.order())

    def applied(self, name: str) -> Resource[object]:
        """A Gateway that a client has applied now."""
        created = datetime.fromtimestamp(int(self.now), UTC)
        resource = gateway(name)
        return replace(resource, created=created, origin=Origin("api", "api:a", is_applied=True))

    def test_a_file_that_cannot_be_read(self) -> None:
        """A damaged file is told of in the log, and replaced."""
        self.file.write_text("[1")
        self.assertEqual(self.ages().dated([gateway("a")])[0].first_read, 1000.0)
        self.assertEqual(self.ages().dated([gateway("a")])[0].first_read, 1000.0)
