"""
One route file to what it says: its bytes, and the documents and problems that come of them.

The same wherever it is done. Knows nothing of what was there before, nor of when to read.
"""

from __future__ import annotations

from meshgate.providers.directory.tree import Sight, Signature
from meshgate.resources.phases import Rest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.reader import Reading, read_in_phases

MAX_FILE_SIZE = 64 * 1024 * 1024
"""Bytes. Some 100,000 routes; whatever is larger is there by mistake."""


def content_of(path: str, sight: Sight) -> bytes | str:
    """
    The file's bytes, or in words why there are none.

    :param sight: how it looks.
    """
    if not isinstance(sight, Signature):
        return f"the file cannot be read: {sight}"
    too_large = f"the file is larger than {MAX_FILE_SIZE // 1024 // 1024} MiB and is not read"
    if sight.size > MAX_FILE_SIZE:
        return too_large
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return content if len(content) <= MAX_FILE_SIZE else too_large


async def read_file(path: str, sight: Sight, provider: str, default_namespace: str, rest: Rest) -> Reading:
    """
    Read what a file says, in phases. One that cannot be read is as one that is not YAML.

    :param sight: how it looks.
    :param provider: the name of the provider that the file belongs to.
    :param default_namespace: of documents that name none.
    :param rest: awaited between two phases.
    """
    content = content_of(path, sight)
    if isinstance(content, str):
        problem = Problem(Severity.ERROR, "MG3010", content, file=path, provider=provider)
        return Reading((), (problem,), readable=False)
    return await read_in_phases(content, path, provider, default_namespace, Severity.WARNING, rest)
