"""Tests of the contract of images: the interfaces, the table of the documentation, and the images that there are."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshgate.api.pods.images import BUILT_IN, find_images
from meshgate.api.pods.pod_image import ContainerRun, IPodImage, IRunningContainer
from tests.kubectl import ROOT
from tests.support import reactor

PAGE = ROOT / "docs" / "reference" / "pod-images.rst"


class PodImageTests(SynchronousTestCase):
    """The interfaces."""

    def test_the_table(self) -> None:
        """The page has every member of each interface, and no other."""
        found = set(re.findall(r"^(I\w+) +``(\w+)(?:\(.*?\))?``", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
        interfaces = (IPodImage, IRunningContainer)
        self.assertEqual(found, {(each.__name__, name) for each in interfaces for name in each.names()})

    def test_the_images(self) -> None:
        """Each image provides what the interface says, is found by its names, and stands on the page."""
        text, images = PAGE.read_text(encoding="utf-8"), find_images()
        for image in BUILT_IN:
            verifyObject(IPodImage, image)
            for name in image.names:
                self.assertIs(images[name], image)
                self.assertIn(f"``{name}``", text)

    def test_a_container(self) -> None:
        """What an image makes provides what the interface says, before it has started too."""
        run = ContainerRun("127.64.0.1", {"TCP_PORT": "2701"}, (), (), {})
        made = find_images()["cjimti/go-echo"].make(run, reactor)
        verifyObject(IRunningContainer, made)
        for ending in (made.drain, made.stop):
            self.assertIsNone(self.successResultOf(ending()))
