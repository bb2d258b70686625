"""
The options that commands share: where to read routes, and for which gateway.

For an option that is not given, the settings of ``--config`` count, and then the defaults of the settings.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshgate.cli.loading import STANDARD_INPUT, Loaded, load_paths
from meshgate.report import problem_count, problem_line
from meshgate.resources.names import dns_label
from meshgate.resources.problem import Problem
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.settings.schema import EXTENDED, SettingsFile

if TYPE_CHECKING:
    from meshgate.settings.load import Settings

F = TypeVar("F", bound=Callable[..., Any])

NOT_READ = frozenset({"MG0001", "MG0008", "MG0009"})
"""Codes of problems of files that were not read at all. An answer without them would mislead."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """
    The gateway that the options describe. What is not given is empty.

    :ivar settings: of ``--config``, or None.
    """

    settings: Settings | None
    labels: Mapping[str, str]
    namespace: str
    default_namespace: str
    semantics: str = ""

    def source(
        self,
        paths: Sequence[str],
        labels: Mapping[str, str] | None = None,
        namespace: str | None = None,
        default_namespace: str | None = None,
        domain_suffix: str | None = None,
        semantics: str = "",
    ) -> Source:
        """
        Return the source of the routes at some paths.

        The arguments count if the option of the same meaning is not given, and come before the settings.
        """
        defaults = self.settings.content if self.settings else SettingsFile()
        return Source(
            paths=tuple(paths),
            proxy=Proxy(
                labels=self.labels or (labels if labels is not None else defaults.gateway.labels),
                namespace=self.namespace or namespace or defaults.gateway.namespace,
                domain_suffix=domain_suffix or defaults.domain_suffix,
                extended=(self.semantics or semantics or defaults.semantics) == EXTENDED,
                in_cluster=self.settings is None,
            ),
            default_namespace=self.default_namespace or default_namespace or defaults.default_namespace,
        )

    def route_paths(self) -> tuple[str, ...]:
        """Return the paths of the routes in the settings, if there are settings."""
        return self.settings.route_paths() if self.settings else ()


@dataclass(frozen=True, slots=True)
class Source:
    """The paths of routes, and the gateway to compile them for."""

    paths: tuple[str, ...]
    proxy: Proxy
    default_namespace: str

    def load(self) -> Loaded:
        """Read the routes.

        :raises click.UsageError: if a path does not exist.
        """
        if self.paths.count(STANDARD_INPUT) > 1:
            raise click.UsageError("standard input can be read only once")
        try:
            return load_paths(self.paths, sys.stdin.buffer, self.default_namespace)
        except FileNotFoundError as error:
            raise click.UsageError(str(error)) from None

    def compile(self) -> Compilation:
        """Read and compile the routes. Files that were not read, and the number of errors, go to standard error."""
        compilation = self.load().compiled(self.proxy, datetime.now(UTC))
        _warn(compilation.problems, self.paths)
        return compilation


def gateway_options(command: F) -> F:
    """Add the options of every command that compiles routes; the command gets a :class:`Gateway`."""

    @functools.wraps(command)
    def with_gateway(
        config: Path | None,
        gateway_label: tuple[str, ...],
        gateway_namespace: str | None,
        namespace: str | None,
        semantics: str | None,
        **rest: Any,
    ) -> Any:
        settings = read_settings(config) if config else None
        labels = _labels(gateway_label)
        for option, name in (("--gateway-namespace", gateway_namespace), ("--namespace", namespace)):
            if name and (fault := dns_label(name)):
                raise click.UsageError(f"{option}: {fault}")
        gateway = Gateway(settings, labels, gateway_namespace or "", namespace or "", semantics or "")
        return command(gateway, **rest)

    decorated: Any = with_gateway
    for option in (
        click.option("-n", "--namespace", metavar="NS", help="Namespace of documents without one. [default: default]"),
        click.option(
            "--semantics",
            type=click.Choice(["istio", EXTENDED]),
            help="Route as Istio does, or also by fields that Istio ignores. [default: istio]",
        ),
        click.option("--gateway-namespace", metavar="NS", help="Namespace of the gateway. [default: istio-system]"),
        click.option(
            "--gateway-label",
            metavar="KEY=VALUE",
            multiple=True,
            help="Label of the gateway, which Gateways select by; may be repeated. [default: istio=ingressgateway]",
        ),
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Settings file with the gateway's labels and namespaces, and its routes if no PATH is given.",
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def route_options(command: F) -> F:
    """Add the arguments of every command about one set of routes; the command gets a :class:`Source`."""

    @click.argument("paths", metavar="PATH...", nargs=-1)
    @gateway_options
    @functools.wraps(command)
    def with_source(gateway: Gateway, paths: tuple[str, ...], **rest: Any) -> Any:
        chosen = paths or gateway.route_paths()
        if not chosen:
            raise click.UsageError("name at least one PATH, or an installation with --config")
        return command(gateway.source(chosen), **rest)

    return with_source  # type: ignore[return-value]


def read_settings(path: Path) -> Settings:
    """Read a settings file.

    :raises click.ClickException: if the settings cannot be used.
    """
    # The settings import providers, and those Twisted, which most calls do not need.
    from meshgate.providers.registry import find_factories
    from meshgate.settings.load import SettingsError, load_settings

    try:
        return load_settings(path, find_factories())
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def _labels(pairs: Iterable[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise click.UsageError(f"--gateway-label takes KEY=VALUE, not {pair!r}")
        labels[key] = value
    return labels


def _warn(problems: Sequence[Problem], paths: Sequence[str]) -> None:
    """Warn that an answer is incomplete: print the files that were not read, and the number of errors and warnings."""
    for problem in problems:
        if problem.code in NOT_READ:
            click.echo(problem_line(problem), err=True)
    rest = [problem for problem in problems if problem.code not in NOT_READ and problem.severity.value != "info"]
    if rest:
        click.echo(f"{problem_count(rest)}; 'meshgate check {' '.join(paths)}' shows them", err=True)
