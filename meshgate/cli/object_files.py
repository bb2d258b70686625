"""Reading of the objects in files, folders and standard input, for the commands that send them to the API."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from meshgate.api.resource_types import ResourceType, type_of_kind
from meshgate.resources.documents import items_of
from meshgate.resources.yaml.document import YamlError, iterate_documents

ENDINGS: Final = (".json", ".yaml", ".yml")

STDIN: Final = "-"


class FileObject(NamedTuple):
    """
    An object of a file.

    :ivar file: the name of the file.
    """

    file: str
    document: Mapping[str, Any]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its metadata; empty if it has none."""
        found = self.document.get("metadata")
        return found if isinstance(found, Mapping) else {}

    @property
    def name(self) -> str:
        """Its name; empty if it has none."""
        found = self.metadata.get("name")
        return found if isinstance(found, str) else ""

    @property
    def type(self) -> ResourceType | None:
        """Its type, or None if the API does not have it."""
        group = str(self.document.get("apiVersion", "")).rpartition("/")[0]
        return type_of_kind(group, str(self.document.get("kind", "")))

    def describe(self) -> str:
        """The object in a few words, for errors."""
        kind = self.document.get("kind") or "a document without a kind"
        return f"{self.file}: {kind}{f' {self.name}' if self.name else ''}"


def objects_in(paths: Iterable[str], *, recursive: bool) -> list[FileObject]:
    """
    Read the objects of files and folders, in the order of the paths; the items of a list count each.

    :param paths: ``-`` is standard input. A path may be several with commas between them, as for kubectl.
    :param recursive: read the folders within folders, too.
    :raises ClickException: if a path is not there, is not YAML, or has something else than objects.
    """
    found = [each for path in paths for part in _parts(path) for each in _objects_in(part, recursive)]
    if not found:
        raise click.ClickException("there is nothing to read: no document was found")
    return found


def _parts(path: str) -> list[str]:
    return [path] if path == STDIN or Path(path).exists() else [each for each in path.split(",") if each]


def _objects_in(path: str, recursive: bool) -> Iterator[FileObject]:
    if path == STDIN:
        yield from _read("<stdin>", sys.stdin.buffer.read())
        return
    if Path(path).is_dir():
        inside = Path(path).rglob("*") if recursive else Path(path).iterdir()
        files = sorted(each for each in inside if each.suffix in ENDINGS and each.is_file())
        if not files:
            hint = "" if recursive else "; --recursive reads the folders within it, too"
            raise click.ClickException(f"{path}: there is no file with the ending {', '.join(ENDINGS)}{hint}")
    else:
        files = [Path(path)]
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise click.ClickException(f"{file}: {error.strerror}") from None
        yield from _read(str(file), content)


def _read(name: str, content: bytes) -> Iterator[FileObject]:
    try:
        for document in iterate_documents(content):
            if document.value is None:
                continue
            for each in items_of(document.value) or [document.value]:
                if not isinstance(each, Mapping):
                    raise click.ClickException(f"{name}: a document is no object")
                if not (str(each.get("kind", "")).endswith("List") and "items" in each):  # an empty list
                    yield FileObject(name, each)
    except YamlError as error:
        raise click.ClickException(f"{name}:{error.line}:{error.column}: {error.message}") from None
