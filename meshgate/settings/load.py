"""
The settings of one gateway: reads the file, judges all of it, and says everything that is wrong at once.

Knows files, lines and columns, and which provider types there are; what may be written is
:mod:`meshgate.settings.schema`'s business.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshgate.processes.processors import connections_are_spread, usable_processors
from meshgate.providers.directory.provider import DirectoryOptions
from meshgate.providers.options import OptionsError
from meshgate.providers.registry import ProviderChoice, Registry, UnknownProviderTypeError
from meshgate.resources.fault import Fault, duplicate_faults
from meshgate.resources.problem import Problem, Severity, has_errors
from meshgate.settings.file import FileForm, UnusableFileError, judge, located, read_mapping
from meshgate.settings.schema import (
    STANDARD_OUTPUT,
    AccessLogSettings,
    DnsSettings,
    GatewaySettings,
    KeepaliveSettings,
    LabSettings,
    LimitSettings,
    ListeningSettings,
    LogSettings,
    SettingsFile,
    TimeoutSettings,
)
from meshgate.settings.values import MAX_WORKERS, UNUSABLE

__all__ = ["GatewaySettings", "Settings", "SettingsError", "load_settings"]


class SettingsError(UnusableFileError):
    """The settings cannot be used."""


FORM = FileForm(
    name="settings file",
    error=SettingsError,
    no_mapping="MG0101",
    unknown_key="MG0102",
    missing_key="MG0103",
    unusable=UNUSABLE,
    where_none="'meshgate init DIR' writes an installation to start from",
    where_empty="name at least one provider in it",
    in_folder="meshgate.yaml",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The settings of one gateway, every default filled in.

    :ivar file: absolute, so that it can be read again from any folder.
    :ivar providers: in the order of the file.
    :ivar workers: how many processes serve connections.
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
    workers: int
    state_dir: Path
    dns: DnsSettings
    timeouts: TimeoutSettings
    keepalive: KeepaliveSettings
    limits: LimitSettings
    listening: ListeningSettings
    transport: str
    upstream_source: tuple[str, ...]
    unknown_sni: str
    access_log: AccessLogSettings
    log: LogSettings
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
    document = read_mapping(path, FORM)
    file = _absolute(path)
    content, faults = _judge(document.value)
    providers, option_faults = _choose_providers(document.value, str(file.parent), registry)
    problems = located([*faults, *option_faults], document, path)
    if content is None or has_errors(problems):
        raise SettingsError(problems)
    return Settings(
        file=file,
        gateway=content.gateway,
        default_namespace=content.default_namespace,
        domain_suffix=content.domain_suffix,
        semantics=content.semantics,
        providers=providers,
        workers=_number_of(content.workers),
        state_dir=_absolute(file.parent / content.state_dir),
        dns=content.dns,
        timeouts=content.timeouts,
        keepalive=content.keepalive,
        limits=content.limits,
        listening=content.listening,
        transport=content.transport,
        upstream_source=tuple(content.upstream_source),
        unknown_sni=content.unknown_sni,
        access_log=_in_folder(content.access_log, file.parent),
        log=content.log,
        lab=content.lab,
        warnings=problems,
    )


def _judge(value: Mapping[str, Any]) -> tuple[SettingsFile | None, list[Fault]]:
    """Everything but the options of providers."""
    content, judged = judge(SettingsFile, value, FORM)
    judged += _doubled_names(value)
    if content is not None and not content.providers:
        message = "there is no provider, so the gateway has no routes"
        hint = "as providers: [{name: files, type: directory, paths: [routes/]}]"
        judged.append(Fault(("providers",), "MG0107", message, hint, Severity.WARNING))
    several = content is not None and isinstance(content.workers, int) and content.workers > 1
    if several and not connections_are_spread():
        message = "one worker serves: this system does not spread the connections of a port over processes"
        judged.append(Fault(("workers",), "MG0108", message, "leave it out, or run on Linux", Severity.WARNING))
    return content, judged


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
            for fault in duplicate_faults(_names(entries), path, ("name",), what):
                yield replace(fault, code=UNUSABLE)


def _names(entries: Sequence[Any]) -> Iterator[str | int]:
    """The name of each entry; its index, which is nobody's name, where it has none."""
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        yield name if isinstance(name, str) else index


def _number_of(workers: int | str) -> int:
    if not connections_are_spread():
        return 1
    return workers if isinstance(workers, int) else min(usable_processors(), MAX_WORKERS)


def _absolute(path: Path) -> Path:
    # Symbolic links stay: a mounted ConfigMap is one, and what lies beside it is what the user sees.
    return Path(os.path.abspath(path))


def _in_folder(access_log: AccessLogSettings, folder: Path) -> AccessLogSettings:
    if access_log.path == STANDARD_OUTPUT:
        return access_log
    return access_log.model_copy(update={"path": str(_absolute(folder / access_log.path))})
