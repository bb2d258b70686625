"""
meshgate's own YAML files: the settings, and the expectations of ``meshgate test``.

Reading one takes three steps: :func:`read_mapping` parses the file, :func:`judge` holds its content against a model,
and :func:`located` turns the faults into problems with lines and columns. Every fault of a file is reported at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from meshgate.resources.fault import Fault
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.validation import validate
from meshgate.resources.wording import name_text, path_text, spelling_hint, value_text
from meshgate.resources.yaml.document import YamlDocument, YamlError, YamlWarning, parse_documents
from meshgate.settings.section import Section, keys

S = TypeVar("S", bound=Section)


class UnusableFileError(Exception):
    """
    The error of a file that cannot be used. Its text has one problem a line.

    :ivar problems: in the order of their lines in the file; warnings among them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class FileForm:
    """
    A kind of file: the words and codes of its messages.

    :ivar name: as ``settings file``.
    :ivar error: the exception to raise.
    :ivar no_mapping: code of a file that is not one mapping.
    :ivar unknown_key: code of a key that its section does not have.
    :ivar missing_key: code of a required key that is not there.
    :ivar unusable: code of a value that cannot be used.
    :ivar where_none: hint for a file that does not exist.
    :ivar where_empty: hint for a file without content.
    :ivar in_folder: name of such a file in a folder, for a hint.
    """

    name: str
    error: type[UnusableFileError]
    no_mapping: str
    unknown_key: str
    missing_key: str
    unusable: str
    where_none: str = ""
    where_empty: str = ""
    in_folder: str = ""


def read_mapping(path: Path, form: FileForm) -> YamlDocument:
    """
    Read the one document of a file, which is a mapping. Blocks for as long as reading the file takes.

    :raises UnusableFileError: of the form's type, if nothing in the file can be judged.
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
        raise _broken(form, path, form.no_mapping, f"the {form.name} is empty", form.where_empty)
    first, *others = documents
    if others:
        start = (others[0].line, others[0].column)
        raise _broken(
            form, path, form.no_mapping, "a second document begins here", f"a {form.name} is one document", start
        )
    if not isinstance(first.value, dict):
        message = f"the {form.name} must be a mapping, not {value_text(first.value)}"
        raise _broken(form, path, form.no_mapping, message, 'write "key: value" lines', (first.line, first.column))
    return first


def judge(section: type[S], value: Any, form: FileForm) -> tuple[S | None, list[Fault]]:
    """
    Hold the content of a file against its model.

    :return: the section, or None if the content makes none; and all faults.
    """
    content, faults = validate(section, value, (), Severity.ERROR)
    # Faults at keys are those of unknown fields, in the words for Kubernetes' documents: unknown_keys has better ones.
    judged = [
        replace(fault, code=form.missing_key if fault.code == "MG1002" else form.unusable)
        for fault in faults
        if not fault.points_at_key
    ]
    judged += unknown_keys(section, value, form.unknown_key)
    return content, judged


def unknown_keys(section: type[Section], value: Any, code: str, path: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """
    Give a fault for each key that a section does not have, at any depth.

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
                yield Fault(
                    (*path, name),
                    code,
                    f"unknown key {name_text(name)}",
                    spelling_hint(name, known),
                    points_at_key=True,
                )


def located(faults: Iterable[Fault], document: YamlDocument, file: Path) -> tuple[Problem, ...]:
    """Turn the faults, and the parser's warnings, into problems in the order of their lines."""
    problems = []
    for fault in faults:
        line, column = (document.key_position if fault.points_at_key else document.position)(fault.path)
        problems.append(
            Problem(
                fault.severity,
                fault.code,
                fault.message,
                file=str(file),
                line=line,
                column=column,
                path=path_text(fault.path),
                hint=fault.hint,
            )
        )
    problems += (_warning(warning, file) for warning in document.warnings)
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))


def _broken(
    form: FileForm, path: Path, code: str, message: str, hint: str = "", location: tuple[int, int] = (0, 0)
) -> UnusableFileError:
    """The error of a file of which nothing can be judged."""
    line, column = location
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
