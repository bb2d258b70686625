"""
The settings of one gateway, read from their file, and every problem of the file at once.

There is one form of the settings: the frozen models of :mod:`meshgate.settings.schema`, with absolute paths. Only
workers get another one, :class:`~meshgate.proxy.serving.ServingSettings`, copied from these by
:mod:`meshgate.workers.worker_settings`, since a worker that imported the models would be 6 MiB larger.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshgate.processes.processors import connections_are_spread, usable_processors
from meshgate.providers.directory.provider import DirectoryOptions
from meshgate.providers.interfaces import OptionsError
from meshgate.providers.registry import ProviderChoice, Registry, UnknownProviderTypeError
from meshgate.resources.fault import Fault, duplicate_faults
from meshgate.resources.kinds.health_check import form_faults
from meshgate.resources.problem import Problem, Severity, has_errors
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.settings.access_sections import NO_EFFECT, access_faults
from meshgate.settings.file import FileForm, UnusableFileError, judge, located, read_mapping
from meshgate.settings.log_sections import STANDARD_OUTPUT, template_faults, unknown_parts
from meshgate.settings.schema import EXTENDED, SettingsFile
from meshgate.settings.section import API_PROVIDER, MAX_WORKERS, UNUSABLE
from meshgate.settings.service_sections import ApiSettings
from meshgate.settings.traffic_sections import LimitSettings


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
    The settings of one gateway.

    :ivar file: the absolute path of the file, so that it can be read again from any folder.
    :ivar content: the content of the file with every default filled in, and with absolute paths; only the folder of
        the lab's certificates stays relative to the state folder.
    :ivar providers: the chosen providers with their options, in the order of the file.
    :ivar warnings: problems that do not keep the settings from being used.
    """

    file: Path
    content: SettingsFile
    providers: tuple[ProviderChoice, ...]
    warnings: tuple[Problem, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the file, to which paths in the file are relative."""
        return self.file.parent

    @property
    def state_dir(self) -> Path:
        """The state folder."""
        return Path(self.content.state_dir)

    @property
    def workers(self) -> int:
        """The number of worker processes."""
        workers = self.content.workers
        if not connections_are_spread():
            return 1
        return workers if isinstance(workers, int) else min(usable_processors(), MAX_WORKERS)

    def proxy(self, *, ipv6: bool) -> Proxy:
        """
        The gateway as Istio would see it.

        :param ipv6: True if this machine has IPv6.
        """
        content, gateway = self.content, self.content.gateway
        return Proxy(
            gateway.labels,
            gateway.namespace,
            content.domain_suffix,
            content.semantics == EXTENDED,
            ipv6=ipv6,
            locality=gateway.locality,
            node=gateway.node,
            headers=content.listening.proxy_protocol.defaults(),
            checks=content.health.checks_by_host(content.default_namespace, content.domain_suffix),
        )

    def route_paths(self) -> tuple[str, ...]:
        """The files and folders that the directory providers read, absolute."""
        options = [provider.options for provider in self.providers]
        return tuple(path for one in options if isinstance(one, DirectoryOptions) for path in one.paths)


def load_settings(path: Path, registry: Registry) -> Settings:
    """
    Read a settings file. Blocks while the file is read.

    :param registry: the available provider types.
    :raises SettingsError: if the settings cannot be used.
    """
    document = read_mapping(path, FORM)
    file = _absolute(path)
    content, faults = _judge(document.value)
    providers, option_faults = _choose_providers(document.value, str(file.parent), registry)
    problems = located([*faults, *option_faults], document, path)
    if content is None or has_errors(problems):
        raise SettingsError(problems)
    return Settings(file, _with_absolute_paths(content, file.parent), providers, problems)


def _judge(value: Mapping[str, Any]) -> tuple[SettingsFile | None, list[Fault]]:
    """Validate everything except the options of providers."""
    content, judged = judge(SettingsFile, value, FORM)
    judged += _repeated_names(value)
    judged += _names_of_the_api(content)
    log = value.get("log")
    judged += unknown_parts(log.get("levels") if isinstance(log, dict) else None, FORM.unknown_key)
    if content is not None and not content.providers and content.api is None:
        message = "there is no provider, so the gateway has no routes"
        hint = "as providers: [{name: files, type: directory, paths: [routes/]}]"
        judged.append(Fault(("providers",), "MG0107", message, hint, Severity.WARNING))
    if content is not None and content.api is not None:
        judged += _api_faults(content.api)
    if content is not None:
        judged += access_faults(content.access)
        judged += _burst_faults(content.limits)
        judged += template_faults(content.access_log)
        for index, check in enumerate(content.health.checks):
            judged += (replace(each, code=UNUSABLE) for each in form_faults(check, ("health", "checks", index)))
    several = content is not None and isinstance(content.workers, int) and content.workers > 1
    if several and not connections_are_spread():
        message = "one worker serves: this system does not spread the connections of a port over processes"
        judged.append(Fault(("workers",), "MG0108", message, "leave it out, or run on Linux", Severity.WARNING))
    return content, judged


def _api_faults(api: ApiSettings) -> Iterator[Fault]:
    """The faults between the keys of the API: nothing without credentials leaves this machine."""
    if api.http and not ipaddress.ip_address(api.bind).is_loopback:
        message = f"the API at {api.bind} would serve other machines over HTTP without credentials"
        yield Fault(("api", "http"), UNUSABLE, message, "leave http out, or bind to 127.0.0.1")
    if api.http_writes and not api.http:
        message = "http_writes has no meaning without http: with HTTPS the credentials decide who may write"
        yield Fault(("api", "http_writes"), UNUSABLE, message, "leave it out, or add http: true")


def _burst_faults(limits: LimitSettings) -> Iterator[Fault]:
    """A warning for each burst without a rate."""
    for name, burst, rate in (
        ("client", limits.client_burst, limits.client_rate),
        ("listener", limits.listener_burst, limits.listener_rate),
    ):
        if burst and not rate.times:
            message = f"{name}_burst has no effect without {name}_rate"
            hint = "add the rate, or leave the burst out"
            yield Fault(("limits", f"{name}_burst"), NO_EFFECT, message, hint, Severity.WARNING)
    if limits.bandwidth_burst and not limits.bandwidth:
        message = "bandwidth_burst has no effect without bandwidth"
        hint = "add the bandwidth, or leave the burst out"
        yield Fault(("limits", "bandwidth_burst"), NO_EFFECT, message, hint, Severity.WARNING)


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


def _repeated_names(value: Mapping[str, Any]) -> Iterator[Fault]:
    """A fault for each name that an earlier entry of its list has."""
    lab = value.get("lab")
    lists = [
        (("providers",), value.get("providers"), "provider"),
        (("lab", "https"), lab.get("https") if isinstance(lab, dict) else None, "service"),
    ]
    for path, entries, what in lists:
        if isinstance(entries, list):
            for fault in duplicate_faults(entries, _name, path, ("name",), what):
                yield replace(fault, code=UNUSABLE)


def _names_of_the_api(content: SettingsFile | None) -> Iterator[Fault]:
    """A fault for a provider that has the name of the API, which is a provider itself."""
    if content is not None and content.api is not None:
        for index, provider in enumerate(content.providers):
            if provider.name == API_PROVIDER:
                message = f"the name {API_PROVIDER} is that of the API"
                yield Fault(("providers", index, "name"), UNUSABLE, message, "give the provider another name")


def _name(entry: Any) -> str:
    """The name of an entry; empty where it has none that is text."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else ""


def _absolute(path: Path) -> Path:
    # Symbolic links stay: a mounted ConfigMap is one, and the files that the user sees lie beside it.
    return Path(os.path.abspath(path))


def _with_absolute_paths(content: SettingsFile, folder: Path) -> SettingsFile:
    access_log = content.access_log
    if access_log.path != STANDARD_OUTPUT:
        access_log = access_log.model_copy(update={"path": str(_absolute(folder / access_log.path))})
    return content.model_copy(
        update={"state_dir": str(_absolute(folder / content.state_dir)), "access_log": access_log}
    )
