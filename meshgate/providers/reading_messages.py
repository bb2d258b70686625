"""
What a process that reads files is asked, and what it answers: one request for each file, and a reading in parts.

Knows what a reading is made of; must not know who reads. Imports nothing of Twisted, lest the process that reads does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from meshgate.processes.pieces import PiecePacker
from meshgate.providers.tree import Sight
from meshgate.resources.reader import DocumentReading, Reading
from meshgate.resources.steps import batches

LENGTH: Final = struct.Struct("!I")
"""What stands in front of each message, and counts its bytes. Behind the last part of an answer it is zero."""


class Request(NamedTuple):
    """
    A file to read.

    :ivar sight: how it looked. A file that looks otherwise by now is not what is asked for.
    :ivar provider: the name of the provider that it belongs to.
    :ivar default_namespace: of documents that name none.
    """

    path: str
    sight: Sight
    provider: str
    default_namespace: str


def packed(reading: Reading | None) -> Iterator[bytes]:
    """
    An answer in parts, for one :class:`~meshgate.processes.pieces.PieceUnpacker`. What a reading is made of comes
    first, and the last part is the whole alone, so that no part takes long.

    :param reading: None for a file that is not what was asked for.
    """
    packer = PiecePacker()
    if reading is not None:
        for pieces in batches(piece for document in reading.documents for piece in _pieces_of(document)):
            yield packer.pack(pieces)
    yield packer.pack([reading])


def _pieces_of(document: DocumentReading) -> Iterator[object]:
    for resource in (document.resource, document.refused):
        if resource is not None:
            yield from _models_in(resource.spec)
    yield from document.problems
    yield document


def _models_in(value: Any) -> Iterator[BaseModel]:
    """The models that a value is made of, each before the one that contains it."""
    if isinstance(value, tuple):
        for each in value:
            yield from _models_in(each)
    elif isinstance(value, BaseModel):
        for each in value.__dict__.values():
            yield from _models_in(each)
        yield value
