"""
``python -m meshgate.providers.reading_child VERSION``: a process that reads files for the gateway that started it.

It is asked through the socket that is its standard input, for one file after the other, and ends when that is closed.
The signals that it is started with blocked stay so. Imports nothing of Twisted, so that it is there soon.
"""

from __future__ import annotations

import gc
import os
import pickle
import socket
import sys
from collections.abc import Iterator
from typing import BinaryIO

from meshgate import __version__
from meshgate.providers.file_reading import content_of, reading_of
from meshgate.providers.reading_messages import LENGTH, Request, packed
from meshgate.providers.tree import is_still
from meshgate.resources.reader import Reading
from meshgate.resources.steps import run_through


def main() -> None:
    """The whole life of the process."""
    if sys.argv[1:] != [__version__]:
        sys.exit(f"meshgate {__version__} does not read files for another version; start the gateway again")
    gc.disable()  # or reading would take twice as long; nobody waits for it after an answer
    # A copy: to the parent, the end of standard input is the end of the process.
    with socket.socket(fileno=os.dup(0)) as parent, parent.makefile("rb") as stream:
        try:
            for request in _requests(stream):
                for part in packed(_answer(request)):
                    parent.sendall(LENGTH.pack(len(part)) + part)
                parent.sendall(LENGTH.pack(0))
                gc.collect()
        except ConnectionError:
            pass  # the parent is gone


def _requests(stream: BinaryIO) -> Iterator[Request]:
    while head := stream.read(LENGTH.size):
        yield pickle.loads(stream.read(*LENGTH.unpack(head)))  # noqa: S301 -- from the parent process


def _answer(request: Request) -> Reading | None:
    content = content_of(request.path, request.sight)
    if not is_still(request.path, request.sight):
        return None
    return run_through(reading_of(content, request.path, request.provider, request.default_namespace))


if __name__ == "__main__":
    main()
