"""
The options that commands share: where to read routes, and for which gateway.

For an option that is not given, the settings of ``--config`` count, and then the defaults of the settings.
"""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshgate.cli.loading import NOTHING_READ, STANDARD_INPUT, Loaded, Loader
from meshgate.cli.output import Progress
from meshgate.report import problem_count, problem_line
from meshgate.resources.names import dns_label
from meshgate.resources.phases import Rest
from meshgate.resources.problem import Problem, Severity
from meshgate.resources.wording import count_of
from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.compile.compiler import Compilation
from meshgate.routing.compile.gateway_proxy import KnownGateway, Proxy
from meshgate.routing.compile.known_gateways import ISTIO_NAME, find_gateway, known_gateways, short_names
from meshgate.routing.compile.shown_problems import proxy_of
from meshgate.routing.proxy_headers import NO_HEADERS
from meshgate.settings.schema import EXTENDED, SettingsFile

if TYPE_CHECKING:
    from meshgate.settings.load import Settings

F = TypeVar("F", bound=Callable[..., Any])

NOT_READ = frozenset({"MG0001", "MG0008", NOTHING_READ})
"""Codes of problems of files that were not read at all. An answer without them would mislead."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """
    The gateway that the options describe. What is not given is empty.

    :ivar settings: of ``--config``, or None.
    :ivar name: of the gateway among those that the routes show.
    """

    settings: Settings | None
    labels: Mapping[str, str]
    namespace: str
    default_namespace: str
    semantics: str = ""
    allow_empty: bool = False
    name: str = ""

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
        Return the source of the routes at some paths; without paths, of the routes of the settings.

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
                locality=defaults.gateway.locality,
                node=defaults.gateway.node,
                headers=defaults.listening.proxy_protocol.defaults() if self.settings else NO_HEADERS,
                checks=defaults.health.checks_by_host(
                    self.default_namespace or default_namespace or defaults.default_namespace,
                    domain_suffix or defaults.domain_suffix,
                ),
            ),
            default_namespace=self.default_namespace or default_namespace or defaults.default_namespace,
            settings=self.settings,
            allow_empty=self.allow_empty,
            gateway=self.name,
            is_described=bool(self.settings or self.labels or labels is not None),
            any_namespace=not (self.namespace or namespace),
        )


@dataclass(frozen=True, slots=True)
class Source:
    """
    Routes, and the gateway to compile them for.

    :ivar paths: the files and folders to read.
    :ivar proxy: the gateway; its labels are Istio's if none are given.
    :ivar settings: the settings whose providers are read if there are no paths; None without ``--config``.
    :ivar allow_empty: accept paths without a document.
    :ivar gateway: the name of the gateway among those that the routes show; empty for the first of them.
    :ivar is_described: the options or the settings describe the gateway, so that the routes need not show it.
    :ivar any_namespace: the namespace of the gateway is not given, so that the routes may show it.
    """

    paths: tuple[str, ...]
    proxy: Proxy
    default_namespace: str
    settings: Settings | None = None
    allow_empty: bool = False
    gateway: str = ""
    is_described: bool = False
    any_namespace: bool = False

    def judge(self) -> tuple[Loaded, tuple[KnownGateway, ...], tuple[Problem, ...]]:
        """
        Read the routes, and find their problems at all gateways that they show, or at the one that is chosen.

        :return: the routes, the gateways, and the problems.
        :raises click.UsageError: if a path does not exist, or the routes do not show the gateway.
        """
        with Progress(sys.stderr) as progress:
            loaded = self._load(progress)
            gateways = self._gateways(loaded)
            judged = gateways[:1] if self.gateway else gateways
            rest = _resting(progress, loaded)
            return loaded, judged, loaded.judged(self.proxy, judged, gateways, datetime.now(UTC), rest)

    @property
    def access(self) -> AccessEntries | None:
        """The access list of the settings; None without ``--config``."""
        return self.settings.content.access.entries() if self.settings is not None else None

    def answer(self, unread: int = 1) -> tuple[Loaded, Compilation]:
        """
        Read and compile the routes for an answer about one gateway. Files that were not read, and the number of errors,
        go to standard error.

        :param unread: the exit status of the command if one of the paths could not be read at all.
        :raises click.UsageError: if a path does not exist, or the routes do not show the gateway.
        :raises SystemExit: if one could not be read.
        """
        with Progress(sys.stderr) as progress:
            loaded = self._load(progress)
            chosen, *others = gateways = self._gateways(loaded)
            proxy = proxy_of(chosen, self.proxy, gateways)
            compilation = loaded.compiled(proxy, datetime.now(UTC), _resting(progress, loaded))
        self._warn(compilation.problems)
        if loaded.unread:
            raise SystemExit(unread)
        if others and not self.gateway:
            names = ", ".join(short_names(others))
            click.echo(f"for the gateway {chosen.name}; choose another one with --gateway: {names}", err=True)
        return loaded, compilation

    def _load(self, progress: Progress) -> Loaded:
        if self.paths.count(STANDARD_INPUT) > 1:
            raise click.UsageError("standard input can be read only once")
        loader = Loader(sys.stdin.buffer, self.default_namespace, progress.show)
        try:
            for path in self.paths:
                loader.read(path, allow_empty=self.allow_empty)
            if self.settings is not None and not self.paths:
                self._load_settings(self.settings, loader, progress)
        except FileNotFoundError as error:
            raise click.UsageError(str(error)) from None
        return loader.loaded()

    def _load_settings(self, settings: Settings, loader: Loader, progress: Progress) -> None:
        """Read the routes of all providers. One of them may be empty, but not all."""
        from meshgate.cli.providers import read_providers
        from meshgate.providers.directory.provider import DirectoryOptions

        plugins = []
        for choice in settings.providers:
            if isinstance(choice.options, DirectoryOptions):
                for path in choice.options.paths:
                    loader.read(path, provider=choice.name, allow_empty=True)
            else:
                plugins.append(choice)
        if plugins:
            loader.add_state(read_providers(plugins, self.default_namespace, progress.show))
        if not self.allow_empty:
            hint = "the gateway would start without routes; --allow-empty accepts that"
            message = "no provider of the settings has routes"
            problem = Problem(Severity.ERROR, NOTHING_READ, message, file=str(settings.file), hint=hint)
            loader.require_documents(otherwise=problem)

    def _warn(self, problems: Sequence[Problem]) -> None:
        """Print the files that were not read, and the number of errors and warnings: the answer is incomplete."""
        for problem in problems:
            if problem.code in NOT_READ:
                click.echo(problem_line(problem), err=True)
        rest = [problem for problem in problems if problem.code not in NOT_READ and problem.severity.value != "info"]
        if rest:
            arguments = self.paths or ("--config", str(self.settings.file if self.settings else ""))
            show = "shows it" if len(rest) == 1 else "shows them"
            click.echo(f"{problem_count(rest)}; 'meshgate check {shlex.join(arguments)}' {show}", err=True)

    def _gateways(self, loaded: Loaded) -> tuple[KnownGateway, ...]:
        """
        Return the gateways that routes show, the chosen one first; only that one if the options describe it.

        :raises click.UsageError: if the routes do not show the gateway that is to be chosen.
        """
        own = KnownGateway(ISTIO_NAME, self.proxy.labels, self.proxy.namespace)
        if self.is_described and not self.gateway:
            return (own,)
        known = known_gateways(loaded.everything, own, any_namespace=self.any_namespace)
        if not self.gateway:
            return known
        chosen = find_gateway(self.gateway, known)
        if chosen is None:
            names = ", ".join(short_names(known))
            raise click.UsageError(f"--gateway: the routes show no gateway {self.gateway!r}, but {names}")
        return (chosen, *(each for each in known if each is not chosen))


def _resting(progress: Progress, loaded: Loaded) -> Rest:
    """Return a rest that shows how far compiling is."""
    compiling = f"compiling: {count_of(len(loaded.resources), 'resource')}"

    async def rest() -> None:
        progress.show(compiling)

    return rest


def gateway_options(command: F) -> F:
    """Add the options of every command that compiles routes; the command gets a :class:`Gateway`."""

    @functools.wraps(command)
    def with_gateway(
        config: Path | None,
        gateway: str | None,
        gateway_label: tuple[str, ...],
        gateway_namespace: str | None,
        namespace: str | None,
        semantics: str | None,
        allow_empty: bool,
        **rest: Any,
    ) -> Any:
        settings = read_settings(config) if config else None
        labels = _labels(gateway_label)
        if gateway and labels:
            raise click.UsageError("--gateway and --gateway-label exclude each other: the routes show the labels")
        for option, name in (("--gateway-namespace", gateway_namespace), ("--namespace", namespace)):
            if name and (fault := dns_label(name)):
                raise click.UsageError(f"{option}: {fault}")
        described = Gateway(
            settings, labels, gateway_namespace or "", namespace or "", semantics or "", allow_empty, gateway or ""
        )
        return command(described, **rest)

    decorated: Any = with_gateway
    for option in (
        click.option("--allow-empty", is_flag=True, help="Accept a PATH that holds no routes."),
        click.option("-n", "--namespace", metavar="NS", help="Namespace of documents without one. [default: default]"),
        click.option(
            "--semantics",
            type=click.Choice(["istio", EXTENDED]),
            help="Route as Istio does, or also by fields that Istio ignores. [default: istio]",
        ),
        click.option("--gateway-namespace", metavar="NS", help="The gateway's namespace; istio-system by default."),
        click.option(
            "--gateway-label",
            metavar="KEY=VALUE",
            multiple=True,
            help="Label of the gateway, which Gateways select by; may be repeated. [default: those of the gateway that "
            "the routes show, else Istio's: app=istio-ingressgateway and istio=ingressgateway]",
        ),
        click.option(
            "--gateway",
            metavar="NAME",
            help="Gateway among those that the routes show: its Deployment, Service or label, as istio-egressgateway.",
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

    @click.argument("paths", metavar="[PATH]...", type=click.Path(), nargs=-1)
    @gateway_options
    @functools.wraps(command)
    def with_source(gateway: Gateway, paths: tuple[str, ...], **rest: Any) -> Any:
        if not paths and gateway.settings is None:
            raise click.UsageError("name at least one PATH, or an installation with --config")
        return command(gateway.source(paths), **rest)

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
