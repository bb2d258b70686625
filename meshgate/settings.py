"""
The settings of one gateway: reads the file, judges all of it, and says everything that is wrong at once.

Knows files, lines and columns, and which provider types there are; what may be written is
:mod:`meshgate.settings_model`'s business.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshgate.providers.directory import DirectoryOptions
from meshgate.providers.options import OptionsError
from meshgate.providers.registry import ProviderChoice, Registry, UnknownProviderTypeError
from meshgate.resources.fault import Fault, repeated
from meshgate.resources.problem import Problem, Severity, has_errors
from meshgate.resources.validation import validate
from meshgate.resources.wording import kind_of, nearest, shown, written
from meshgate.resources.yamltext import YamlDocument, YamlError, YamlWarning, parse_documents
from meshgate.settings_model import (
    STANDARD_OUTPUT,
    AccessLogSettings,
    DnsSettings,
    GatewaySettings,
    LabSettings,
    LimitSettings,
    Section,
    SettingsFile,
    TimeoutSettings,
    keys,
)
from meshgate.settings_values import UNUSABLE

__all__ = ["GatewaySettings", "Settings", "SettingsError", "load_settings"]


class SettingsError(Exception):
    """
    The settings cannot be used. Its text names every problem, one per line.

    :ivar problems: in the order of their places in the file; warnings among them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The settings of one gateway, every default filled in.

    :ivar file: absolute, so that it can be read again from any folder.
    :ivar providers: in the order of the file.
    :ivar state_dir: absolute.
    :ivar access_log: its path is absolute, or ``-`` for standard output.
    :ivar lab: None when no services are to run beside the gateway.
    :ivar warnings: what is not wrong, but worth saying.
    """

    file: Path
    gateway: GatewaySettings
    default_namespace: str
    domain_suffix: str
    semantics: str
    providers: tuple[ProviderChoice, ...]
    state_dir: Path
    dns: DnsSettings
    timeouts: TimeoutSettings
    limits: LimitSettings
    unknown_sni: str
    access_log: AccessLogSettings
    lab: LabSettings | None
    warnings: tuple[Problem, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the file, which relative paths in it are relative to."""
        return self.file.parent

    def route_paths(self) -> tuple[str, ...]:
        """The files and folders that the directory providers read, absolute."""
        options = [provider.options for provider in self.providers]
        return tuple(path for one in options if isinstance(one, DirectoryOptions) for path in one.paths)


def load_settings(path: Path, registry: Registry) -> Settings:
    """
    Read a settings file. Blocks for as long as reading the file takes.

    :param registry: the provider types there are.
    :raises SettingsError: when the settings cannot be used.
    """
    document = _read(path)
    file = _absolute(path)
    content, faults = _judge(document.value)
    providers, option_faults = _choose_providers(document.value, str(file.parent), registry)
    problems = _placed([*faults, *option_faults], document, path)
    if content is None or has_errors(problems):
        raise SettingsError(problems)
    return Settings(
        file=file,
        gateway=content.gateway,
        default_namespace=content.default_namespace,
        domain_suffix=content.domain_suffix,
        semantics=content.semantics,
        providers=providers,
        state_dir=_absolute(file.parent / content.state_dir),
        dns=content.dns,
        timeouts=content.timeouts,
        limits=content.limits,
        unknown_sni=content.unknown_sni,
        access_log=_in_folder(content.access_log, file.parent),
        lab=content.lab,
        warnings=problems,
    )


def _read(path: Path) -> YamlDocument:
    """The one document of a file, which is a mapping."""
    try:
        documents = parse_documents(path.read_bytes())
    except FileNotFoundError:
        hint = "'meshgate init DIR' writes an installation to start from"
        raise _broken(path, "MG0008", "there is no such settings file", hint) from None
    except IsADirectoryError:
        inside = path / "meshgate.yaml"
        hint = f"did you mean {inside}?" if inside.is_file() else ""
        raise _broken(path, "MG0008", "is a folder, not a settings file", hint) from None
    except OSError as error:
        raise _broken(path, "MG0008", f"cannot be read: {error.strerror}") from None
    except YamlError as error:
        raise _broken(path, "MG0001", error.message, error.hint, (error.line, error.column)) from None
    if not documents:
        raise _broken(path, "MG0101", "the settings file is empty", "name at least one provider in it")
    first, *others = documents
    if others:
        place = (others[0].line, others[0].column)
        raise _broken(path, "MG0101", "a second document begins here", "a settings file is one document", place)
    if not isinstance(first.value, dict):
        message = f"the settings must be a mapping, not {kind_of(first.value)}"
        raise _broken(path, "MG0101", message, 'write "key: value" lines', (first.line, first.column))
    return first


def _broken(path: Path, code: str, message: str, hint: str = "", place: tuple[int, int] = (0, 0)) -> SettingsError:
    """A file of which nothing can be judged."""
    line, column = place
    return SettingsError([Problem(Severity.ERROR, code, message, file=str(path), line=line, column=column, hint=hint)])


def _judge(value: Mapping[str, Any]) -> tuple[SettingsFile | None, list[Fault]]:
    """Everything but the options of providers."""
    content, faults = validate(SettingsFile, value, (), Severity.ERROR)
    # What the validation says of unknown fields is about Kubernetes' documents.
    judged = [replace(fault, code=_code(fault)) for fault in faults if not fault.at_key]
    judged += _unknown_keys(SettingsFile, value, ())
    judged += _doubled_names(value)
    if content is not None and not content.providers:
        message = "there is no provider, so the gateway has no routes"
        hint = "as providers: [{name: files, type: directory, paths: [routes/]}]"
        judged.append(Fault(("providers",), "MG0107", message, hint, Severity.WARNING))
    return content, judged


def _unknown_keys(section: type[Section], value: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    """A fault for each key that a section does not know, at any depth."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_keys(section, item, (*path, index))
    elif isinstance(value, dict):
        known = {key.name: key.section for key in keys(section)}
        for name, content in value.items():
            below = known.get(name)
            if below is not None:
                yield from _unknown_keys(below, content, (*path, name))
            elif name not in known and section.model_config["extra"] == "forbid":
                yield Fault((*path, name), "MG0102", f"unknown key {shown(name)}", nearest(name, known), at_key=True)


def _code(fault: Fault) -> str:
    return "MG0103" if fault.code == "MG1002" else UNUSABLE


def _choose_providers(
    value: Mapping[str, Any], folder: str, registry: Registry
) -> tuple[tuple[ProviderChoice, ...], list[Fault]]:
    """Let the provider types judge their options. An entry without name or type is left to the model."""
    choices: list[ProviderChoice] = []
    faults: list[Fault] = []
    entries = value.get("providers")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        options = dict(entry)
        name, type_name = options.pop("name", None), options.pop("type", None)
        if not (isinstance(name, str) and isinstance(type_name, str)):
            continue
        path = ("providers", index)
        try:
            choices.append(registry.choose(name, type_name, options, folder))
        except UnknownProviderTypeError as error:
            faults.append(Fault((*path, "type"), "MG0105", error.message, error.hint))
        except OptionsError as error:
            faults += (Fault((*path, *one.path), "MG0106", one.message, one.hint) for one in error.problems)
    return tuple(choices), faults


def _doubled_names(value: Mapping[str, Any]) -> Iterator[Fault]:
    """A fault for each name that an earlier entry of its list has."""
    lab = value.get("lab")
    lists = [
        (("providers",), value.get("providers"), "provider"),
        (("lab", "https"), lab.get("https") if isinstance(lab, dict) else None, "service"),
    ]
    for path, entries, what in lists:
        if isinstance(entries, list):
            for fault in repeated(_names(entries), path, ("name",), what):
                yield replace(fault, code=UNUSABLE)


def _names(entries: Sequence[Any]) -> Iterator[str | int]:
    """The name of each entry; its index, which is nobody's name, where it has none."""
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        yield name if isinstance(name, str) else index


def _placed(faults: Sequence[Fault], document: YamlDocument, file: Path) -> tuple[Problem, ...]:
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


def _absolute(path: Path) -> Path:
    # Symbolic links stay: a mounted ConfigMap is one, and what lies beside it is what the user sees.
    return Path(os.path.abspath(path))


def _in_folder(access_log: AccessLogSettings, folder: Path) -> AccessLogSettings:
    if access_log.path == STANDARD_OUTPUT:
        return access_log
    return access_log.model_copy(update={"path": str(_absolute(folder / access_log.path))})
