"""
The command line: ``meshgate check``, ``explain``, ``routes``, ``sniff``, ``status`` and ``init``.

Reads and shows; what it shows is decided in the layers below. The gateway itself is run by ``twistd``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from meshgate import __version__, report, sniffing
from meshgate.installation import InstallationError, write_installation
from meshgate.loading import Loaded, load_paths
from meshgate.providers.registry import find_factories
from meshgate.resources.problem import has_errors
from meshgate.routing.compile import Compilation
from meshgate.routing.explain import Call, Explanation, explain
from meshgate.routing.servers import Proxy
from meshgate.settings import GatewaySettings, Settings, SettingsError, load_settings
from meshgate.status import read_status, routes

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CONFIG = "etc/meshgate.yaml"
FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What to print.",
)


@dataclass(frozen=True, slots=True)
class Source:
    """What the options of :func:`reads_routes` come to: where routes are read, and for which gateway."""

    paths: tuple[str, ...]
    proxy: Proxy
    default_namespace: str

    def load(self) -> Loaded:
        """Read the routes, or end with a usage error."""
        try:
            return load_paths(self.paths, sys.stdin.buffer, self.default_namespace)
        except FileNotFoundError as error:
            raise click.UsageError(str(error)) from None

    def compile(self) -> Compilation:
        """Read and compile the routes."""
        return self.load().compiled(self.proxy)


def reads_routes(command: F) -> F:
    """The arguments of every command that reads routes; the command is given a :class:`Source`."""

    def with_source(
        paths: tuple[str, ...],
        config: Path | None,
        gateway_label: tuple[str, ...],
        gateway_namespace: str | None,
        namespace: str | None,
        **rest: Any,
    ) -> Any:
        return command(_source(paths, config, gateway_label, gateway_namespace, namespace), **rest)

    with_source.__name__, with_source.__doc__ = command.__name__, command.__doc__
    with_source.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
    for option in (
        click.option(
            "-n",
            "--namespace",
            metavar="NS",
            help="Namespace of documents that name none. [default: default]",
        ),
        click.option("--gateway-namespace", metavar="NS", help="Namespace of the gateway. [default: istio-system]"),
        click.option(
            "--gateway-label",
            metavar="KEY=VALUE",
            multiple=True,
            help="A label of the gateway, which Gateways select by; repeatable. [default: istio=ingressgateway]",
        ),
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Settings file: the gateway's labels and namespaces, and its routes where no PATH is given.",
        ),
        click.argument("paths", metavar="PATH...", nargs=-1),
    ):
        with_source = option(with_source)
    return with_source  # type: ignore[return-value]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="meshgate")
def main() -> None:
    """An L4 ingress gateway that reads Istio's YAML: TCP ports and TLS SNI passthrough.

    The gateway runs as 'twistd -n meshgate --config FILE'; these commands check and explain what it would do.
    PATH is a file, a folder, or - for standard input.
    """


@main.command()
@FORMAT
@reads_routes
def check(source: Source, form: str) -> None:
    """Find what is wrong with routes, all of it at once.

    Exits with 1 when there is an error. What Istio would drop or ignore without a word is a problem here.
    """
    loaded = source.load()
    problems = loaded.compiled(source.proxy).problems
    if form == "json":
        _echo_json({"problems": [problem.as_json() for problem in problems], "resources": len(loaded.resources)})
    else:
        report.print_problems(problems, len(loaded.resources))
    raise SystemExit(1 if has_errors(problems) else 0)


@main.command("explain")
@click.option("--port", type=click.IntRange(1, 65535), help="The port a client connects to.")
@click.option("--bind", metavar="IP", help="The listener's own bind address. [default: unset]")
@click.option("--sni", metavar="NAME", help="The server name of the ClientHello; leave it out for a hello without one.")
@click.option("--plain", is_flag=True, help="The client does not speak TLS.")
@click.option(
    "--calls",
    type=click.File("r"),
    metavar="FILE",
    help='Many at once: one {"port", "bind", "tls", "sni"} a line.',
)
@FORMAT
@reads_routes
def explain_command(
    source: Source,
    port: int | None,
    bind: str | None,
    sni: str | None,
    plain: bool,
    calls: Iterable[str] | None,
    form: str,
) -> None:
    r"""Tell where a connection goes, step by step, and what lost.

    \b
    meshgate explain --port 31443 --sni simple-sni-1.istioinaction.io etc/routes
    meshgate explain --port 31400 --plain etc/routes
    """
    if (port is None) == (calls is None):
        raise click.UsageError("give either --port, or --calls with a file of calls")
    if plain and sni:
        raise click.UsageError("--plain and --sni exclude each other: plain text carries no server name")
    asked = _read_calls(calls) if calls is not None else [Call(port or 0, bind, not plain, sni)]
    compilation = source.compile()
    for call in asked:
        explanation = explain(compilation, call)
        if form == "json":
            click.echo(json.dumps(explanation.as_json()))
        else:
            _print_explanation(call, explanation)


@main.command("routes")
@FORMAT
@reads_routes
def routes_command(source: Source, form: str) -> None:
    """Show every route as a table."""
    compilation = source.compile()
    table = compilation.table
    rows = [row for key in sorted(table.listeners) for row in routes(table.listeners[key])]
    if form == "json":
        _echo_json(rows)
        return
    report.print_routes(rows)
    lost = [problem for problem in compilation.problems if problem.severity.value != "info"]
    if lost:
        click.echo(f"\n{len(lost)} problems; 'meshgate check' shows them", err=True)


@main.command()
@FORMAT
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def sniff(files: tuple[str, ...], form: str) -> None:
    """Tell what a captured ClientHello carries: server name, ALPN, versions.

    FILE holds the raw bytes a client sent first; - is standard input.
    """
    try:
        found = [sniffing.sniff(name, _read_bytes(name)) for name in files]
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    if form == "json":
        _echo_json([one.as_json() for one in found])
    else:
        for one in found:
            click.echo(str(one))


@main.command()
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The settings file of the running gateway.",
)
@FORMAT
def status(config: Path, form: str) -> None:
    """Show what the running gateway has in force: ports, routes, endpoints, problems."""
    state_dir = _settings(config).state_dir
    try:
        document = read_status(state_dir)
    except FileNotFoundError:
        raise click.ClickException(f"no gateway has run with {config}: there is nothing in {state_dir}") from None
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if form == "json":
        _echo_json(document)
    else:
        report.print_status(document)


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write the default installation, the lab, into DIRECTORY.

    Existing files are never overwritten.
    """
    try:
        written = write_installation(directory)
    except InstallationError as error:
        raise click.ClickException(str(error)) from None
    for path in written:
        click.echo(path)
    click.echo(f"\nStart it:  twistd -n meshgate --config {directory / 'meshgate.yaml'}")


def _source(
    paths: tuple[str, ...],
    config: Path | None,
    labels: tuple[str, ...],
    gateway_namespace: str | None,
    namespace: str | None,
) -> Source:
    settings = _settings(config) if config else None
    gateway = settings.gateway if settings else GatewaySettings()
    chosen = paths or (tuple(settings.route_paths()) if settings else ())
    if not chosen:
        raise click.UsageError("name at least one PATH, or give --config to check the routes of an installation")
    return Source(
        paths=chosen,
        proxy=Proxy(
            labels=_labels(labels) or gateway.labels,
            namespace=gateway_namespace or gateway.namespace,
            domain_suffix=settings.domain_suffix if settings else "cluster.local",
        ),
        default_namespace=namespace or (settings.default_namespace if settings else "default"),
    )


def _labels(pairs: Iterable[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise click.UsageError(f"--gateway-label takes KEY=VALUE, not {pair!r}")
        labels[key] = value
    return labels


def _settings(path: Path) -> Settings:
    try:
        return load_settings(path, find_factories())
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def _read_calls(lines: Iterable[str]) -> Iterator[Call]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            yield Call(values["port"], values.get("bind"), values.get("tls", True), values.get("sni"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise click.UsageError(
                f'line {number} of the calls is not a JSON object with "port", "bind", "tls" and "sni"'
            ) from None


def _read_bytes(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _print_explanation(call: Call, explanation: Explanation) -> None:
    verdict = {"routed": "green", "closed": "red", "no_listener": "red"}[explanation.result]
    click.secho(explanation.result.replace("_", " "), fg=verdict, bold=True, nl=False)
    click.echo(f"  port {call.port}" + (f", {call.sni}" if call.sni else ", no server name" if call.tls else ", plain"))
    for number, step in enumerate(explanation.steps, 1):
        click.echo(f"  {number}. {step}")
    if explanation.lost:
        click.echo("  dropped or ignored here:")
        for problem in explanation.lost:
            click.echo(f"    {report.problem_line(problem)}")


def _echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, default=str))
