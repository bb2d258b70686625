"""Reading one route file: from its path to documents and problems."""

from __future__ import annotations

from meshgate.providers.directory.tree import FileState, Signature
from meshgate.resources.phases import Rest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import Reading, read_in_phases

MAX_FILE_SIZE = 64 * 1024 * 1024
"""Bytes, some 100,000 routes; a larger file is there by mistake."""


def content_of(path: str, state: FileState) -> bytes | str:
    """
    Read the bytes of a file.

    :param state: of the file, as the last scan has found it.
    :return: the bytes, or in words why they cannot be read.
    """
    if not isinstance(state, Signature):
        return f"the file cannot be read: {state}"
    too_large = f"the file is larger than {MAX_FILE_SIZE // 1024 // 1024} MiB and is not read"
    if state.size > MAX_FILE_SIZE:
        return too_large
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return content if len(content) <= MAX_FILE_SIZE else too_large


async def read_file(path: str, state: FileState, provider: str, default_namespace: str, rest: Rest) -> Reading:
    """
    Read the documents of a file, in phases. A file that cannot be read counts as one that is not YAML.

    :param state: of the file, as the last scan has found it.
    :param provider: the name of the file's provider.
    :param default_namespace: of documents that name none.
    :param rest: awaited between two phases.
    """
    content = content_of(path, state)
    if isinstance(content, str):
        problem = Problem(Severity.ERROR, "MG3010", content, file=path, provider=provider)
        return Reading((), (problem,), readable=False)
    return await read_in_phases(content, path, provider, default_namespace, Severity.WARNING, rest)
