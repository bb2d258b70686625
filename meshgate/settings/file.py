"""
YAML files of meshgate's own, such as the settings: one mapping a file, every fault of it said with its place.

Knows files, lines and columns; what may stand in a file is its model's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshgate.resources.fault import Fault
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import kind_of, nearest, shown, written
from meshgate.resources.yaml.document import YamlDocument, YamlError, YamlWarning, parse_documents
from meshgate.settings.schema import Section, keys


class UnusableFileError(Exception):
    """
    A file cannot be used. Its text names every problem, one per line.

    :ivar problems: in the order of their places in the file; warnings among them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class FileForm:
    """
    What messages say of a kind of file.

    :ivar name: as ``settings file``.
    :ivar code: of the problem that the file is not one mapping.
    :ivar error: what is raised.
    :ivar where_none: a hint for a file that does not exist.
    :ivar where_empty: a hint for a file without content.
    :ivar in_folder: the name that such a file has in a folder, for a hint.
    """

    name: str
    code: str
    error: type[UnusableFileError]
    where_none: str = ""
    where_empty: str = ""
    in_folder: str = ""


def read_mapping(path: Path, form: FileForm) -> YamlDocument:
    """
    The one document of a file, which is a mapping. Blocks for as long as reading the file takes.

    :raises UnusableFileError: of the form's type, when nothing in the file can be judged.
    """
    try:
        documents = parse_documents(path.read_bytes())
    except FileNotFoundError:
        raise _broken(form, path, "MG0008", f"there is no such {form.name}", form.where_none) from None
    except IsADirectoryError:
        inside = path / form.in_folder
        hint = f"did you mean {inside}?" if form.in_folder and inside.is_file() else ""
        raise _broken(form, path, "MG0008", f"is a folder, not a {form.name}", hint) from None
    except OSError as error:
        raise _broken(form, path, "MG0008", f"cannot be read: {error.strerror}") from None
    except YamlError as error:
        raise _broken(form, path, "MG0001", error.message, error.hint, (error.line, error.column)) from None
    if not documents:
        raise _broken(form, path, form.code, f"the {form.name} is empty", form.where_empty)
    first, *others = documents
    if others:
        place = (others[0].line, others[0].column)
        raise _broken(form, path, form.code, "a second document begins here", f"a {form.name} is one document", place)
    if not isinstance(first.value, dict):
        message = f"the {form.name} must be a mapping, not {kind_of(first.value)}"
        raise _broken(form, path, form.code, message, 'write "key: value" lines', (first.line, first.column))
    return first


def unknown_keys(section: type[Section], value: Any, code: str, path: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """
    A fault for each key that a section does not know, at any depth.

    :param code: of these faults.
    :param path: of the value.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_keys(section, item, code, (*path, index))
    elif isinstance(value, dict):
        known = {key.name: key.section for key in keys(section)}
        for name, content in value.items():
            below = known.get(name)
            if below is not None:
                yield from unknown_keys(below, content, code, (*path, name))
            elif name not in known and section.model_config["extra"] == "forbid":
                yield Fault((*path, name), code, f"unknown key {shown(name)}", nearest(name, known), at_key=True)


def placed(faults: Iterable[Fault], document: YamlDocument, file: Path) -> tuple[Problem, ...]:
    """The faults, and the parser's warnings, as problems in the order of their places."""
    problems = []
    for fault in faults:
        line, column = (document.key_position if fault.at_key else document.position)(fault.path)
        problems.append(
            Problem(
                fault.severity,
                fault.code,
                fault.message,
                file=str(file),
                line=line,
                column=column,
                path=written(fault.path),
                hint=fault.hint,
            )
        )
    problems += (_warning(warning, file) for warning in document.warnings)
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))


def _broken(
    form: FileForm, path: Path, code: str, message: str, hint: str = "", place: tuple[int, int] = (0, 0)
) -> UnusableFileError:
    """A file of which nothing can be judged."""
    line, column = place
    return form.error([Problem(Severity.ERROR, code, message, file=str(path), line=line, column=column, hint=hint)])


def _warning(warning: YamlWarning, file: Path) -> Problem:
    return Problem(
        Severity.WARNING,
        "MG0002",
        warning.message,
        file=str(file),
        line=warning.line,
        column=warning.column,
        hint=warning.hint,
    )
