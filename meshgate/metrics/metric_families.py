"""
The metric families: their names, types, labels and meanings. The documentation and the tests are made from them.

Names, units and types follow Prometheus' conventions: base units, ``_total`` for counters (which the client library
adds), and no name that says a label. To add a family, add a constant here and have a source make it; a test compares
what a gateway exposes with this list.

The collector makes every metric when somebody asks. Nothing is kept for a scrape, and no worker is asked: each source
reads what the control process and the memory shared with the workers have. A source is a function that returns
families; to add one, pass it to :meth:`GatewayCollector.add`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"
SUMMARY: Final = "summary"
INFO: Final = "info"

LabelValues = tuple[str, ...]
Row = tuple[LabelValues, float]
"""The values of the labels, and the value."""

HistogramRow = tuple[LabelValues, Sequence[int]]
"""The values of the labels; then the sum in microseconds, the count of each bucket, and that of the rest."""

_float_text: Callable[[float], str] = floatToGoString

Line = tuple[str, str, float]
"""The name of a sample, the text of its labels, and its value."""


class Family(NamedTuple):
    """
    A metric family.

    :ivar name: without the suffix of a counter or an info.
    :ivar meaning: one sentence, which is its help.
    """

    name: str
    type: str
    meaning: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def exposed_name(self) -> str:
        """The name as people query it; a histogram's or summary's is followed by ``_bucket``, ``_sum`` and so on."""
        return self.name + {COUNTER: "_total", INFO: "_info"}.get(self.type, "")

    def metric(self, rows: Iterable[Row]) -> FamilyMetric:
        """A counter, a gauge or an info with these rows."""
        name, labels = self.exposed_name, self.labels
        return FamilyMetric(self, [(name, label_text(labels, values), value) for values, value in rows])

    def gauge(self, value: float) -> FamilyMetric:
        """A gauge or counter without labels."""
        return self.metric([((), value)])

    def histogram(self, bounds: Sequence[float], rows: Iterable[HistogramRow]) -> FamilyMetric:
        """
        A histogram with these rows.

        :param bounds: the upper bounds of its buckets, in seconds.
        """
        bucket, total, count = f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count"
        limits = [f'le="{limit}"' for limit in (*map(_float_text, bounds), "+Inf")]
        lines: list[Line] = []
        for values, words in rows:
            common = label_text(self.labels, values)
            before = f"{common}," if common else ""
            counts = list(accumulate(words[1:]))
            lines += [(bucket, before + limit, number) for limit, number in zip(limits, counts, strict=True)]
            lines.append((total, common, words[0] / 1e6))
            lines.append((count, common, counts[-1]))
        return FamilyMetric(self, lines)

    def summary(self, count: int, total: float) -> FamilyMetric:
        """A summary without labels and quantiles."""
        return FamilyMetric(self, [(f"{self.name}_count", "", count), (f"{self.name}_sum", "", total)])


class FamilyMetric(Metric):
    """
    A family with its samples as lines of both text formats, which are made several times faster than by the encoders of
    the client library. They take it, too: its samples are made from the lines when they are asked for.

    :ivar lines: the samples.
    """

    def __init__(self, family: Family, lines: list[Line]) -> None:
        super().__init__(family.name, family.meaning, family.type, family.unit)
        self.exposed_name = family.exposed_name
        self.lines = lines

    @property
    def samples(self) -> list[Sample]:
        """The samples, for the client library."""
        return [Sample(name, _labels_of(text), value) for name, text, value in self.lines]

    @samples.setter
    def samples(self, value: list[Sample]) -> None:
        """Do nothing: the base class begins with none."""

    def text(self, openmetrics: bool) -> str:
        """The family in OpenMetrics, or in Prometheus' own text format."""
        if openmetrics:
            name, type_ = self.name, self.type
            unit = f"# UNIT {name} {self.unit}\n" if self.unit else ""
        else:
            name, type_, unit = self.exposed_name, GAUGE if self.type == INFO else self.type, ""
        head = f"# HELP {name} {self.documentation}\n# TYPE {name} {type_}\n{unit}"
        return head + "".join(
            [
                f"{name}{{{labels}}} {value if type(value) is int else _float_text(value)}\n"
                if labels
                else f"{name} {value if type(value) is int else _float_text(value)}\n"
                for name, labels, value in self.lines
            ]
        )


@lru_cache(8192)
def label_text(labels: tuple[str, ...], values: LabelValues) -> str:
    """The labels with their values as both text formats have them."""
    return ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _labels_of(text: str) -> dict[str, str]:
    """The labels of a text of :func:`label_text`."""
    found = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', text)
    return {label: re.sub(r"\\(.)", lambda each: "\n" if each[1] == "n" else each[1], value) for label, value in found}


def _seconds(name: str, type_: str, meaning: str, labels: tuple[str, ...] = ()) -> Family:
    return Family(f"{name}_seconds", type_, meaning, labels, "seconds")


ROUTE_LABELS: Final = ("listener", "gateway", "virtual_service", "destination", "endpoint")
"""The labels of a series of connections; empty where a connection did not get so far."""

_PROCESS: Final = ("process",)

# Connections.
OPENED: Final = Family(
    "meshgate_connections_opened", COUNTER, "Connections of clients that were accepted.", ("listener",)
)
OPEN: Final = Family("meshgate_connections_open", GAUGE, "Connections of clients that are open.", ("listener",))
ENDED: Final = Family(
    "meshgate_connections_ended",
    COUNTER,
    "Connections of clients that have ended, by their ending in the access log.",
    (*ROUTE_LABELS, "ending"),
)
UPSTREAM_OPENED: Final = Family(
    "meshgate_upstream_connections_opened",
    COUNTER,
    "Connections to endpoints that were established and joined with that of a client.",
    ROUTE_LABELS,
)
UPSTREAM_OPEN: Final = Family(
    "meshgate_upstream_connections_open", GAUGE, "Connections to endpoints that are open.", ROUTE_LABELS
)
DIAL_FAILURES: Final = Family(
    "meshgate_upstream_dial_failures",
    COUNTER,
    "Dials of endpoints that were refused, timed out or found no way; the client may have got another endpoint.",
    ROUTE_LABELS,
)
EJECTIONS: Final = Family(
    "meshgate_endpoint_ejections",
    COUNTER,
    "Times that outlier detection has left an endpoint out, in any worker.",
    ROUTE_LABELS,
)
RECEIVED: Final = Family(
    "meshgate_received_bytes",
    COUNTER,
    "Bytes that were read from clients and sent on to endpoints.",
    ROUTE_LABELS,
    "bytes",
)
SENT: Final = Family(
    "meshgate_sent_bytes", COUNTER, "Bytes that were read from endpoints and sent on to clients.", ROUTE_LABELS, "bytes"
)
HELLO: Final = _seconds(
    "meshgate_hello",
    HISTOGRAM,
    "Time from the accept of a connection to the end of its ClientHello.",
    ("listener",),
)
DIAL: Final = _seconds(
    "meshgate_dial",
    HISTOGRAM,
    "Time from the first dial for a connection to its connection with an endpoint.",
    ROUTE_LABELS,
)
FIRST_BYTE: Final = _seconds(
    "meshgate_first_byte",
    HISTOGRAM,
    "Time from the accept of a connection to the first byte of its endpoint.",
    ROUTE_LABELS,
)
DURATION: Final = _seconds(
    "meshgate_connection_duration", HISTOGRAM, "Time from the accept of a connection to its end.", ROUTE_LABELS
)
PATTERN_CONNECTIONS: Final = Family(
    "meshgate_server_name_connections",
    COUNTER,
    "Connections by the name or wildcard of a route that their server name has matched; * is a route for all names.",
    ("listener", "pattern"),
)
OTHER: Final = Family(
    "meshgate_other_connections",
    COUNTER,
    "Connections that count under the label other, since there are too many series or patterns to tell them apart.",
    ("of",),
)
WOULD_REFUSE: Final = Family(
    "meshgate_dry_run_refusals",
    COUNTER,
    "Connections that an access list or a limit would have refused if it were no dry run.",
    ("ending",),
)
LOST_LINES: Final = Family(
    "meshgate_access_log_lost_lines", COUNTER, "Lines of the access log that could not be written, and were dropped."
)

# Processes.
LAG: Final = _seconds(
    "meshgate_process_reactor_lag",
    HISTOGRAM,
    "Time by which the event loop of a process was late for a timer, four times a second.",
    _PROCESS,
)
OPEN_DESCRIPTORS: Final = Family("meshgate_process_open_fds", GAUGE, "File descriptors that are open.", _PROCESS)
MOST_DESCRIPTORS: Final = Family(
    "meshgate_process_max_fds", GAUGE, "File descriptors that the process may have open.", _PROCESS
)
CPU: Final = Family(
    "meshgate_process_cpu_seconds", COUNTER, "Processor time, of user and system together.", _PROCESS, "seconds"
)
MEMORY: Final = Family(
    "meshgate_process_resident_memory_bytes", GAUGE, "Resident memory of the process.", _PROCESS, "bytes"
)
WORKERS: Final = Family("meshgate_workers", GAUGE, "Workers that there have to be.")
WORKERS_SERVING: Final = Family("meshgate_workers_serving", GAUGE, "Workers that serve a routing table.")
RESTARTS: Final = Family("meshgate_worker_restarts", COUNTER, "Workers that ended and were replaced.", _PROCESS)

# Configuration.
BUILD: Final = Family("meshgate_build", INFO, "The gateway's version and forms.", ("version", "compiled", "transport"))
STARTED: Final = _seconds("meshgate_start_time", GAUGE, "Time of the gateway's start, since the epoch.")
READY: Final = Family("meshgate_ready", GAUGE, "1 if /readyz says that the gateway can be sent clients, else 0.")
GENERATION: Final = Family("meshgate_generation", GAUGE, "Number of the routing table in force.")
LIVE_GENERATION: Final = Family(
    "meshgate_live_generation", GAUGE, "Number of the latest routing table that all workers serve."
)
ROUTES: Final = Family("meshgate_routes", GAUGE, "Filter chains of the routing table in force.", ("listener",))
BOUND: Final = Family(
    "meshgate_listener_bound", GAUGE, "1 if the port of the listener is open, 0 if it cannot be bound.", ("listener",)
)
PROBLEMS: Final = Family(
    "meshgate_problems", GAUGE, "Problems that meshgate status lists, by their code.", ("code", "severity")
)
COMPILING: Final = _seconds("meshgate_compile", SUMMARY, "Time to compile a routing table, pauses included.")
LAST_COMPILING: Final = _seconds("meshgate_last_compile", GAUGE, "Time that it took to compile the last routing table.")
SNAPSHOT_TIME: Final = _seconds(
    "meshgate_provider_snapshot_timestamp",
    GAUGE,
    "Time of the provider's last snapshot, since the epoch; 0 if there was none.",
    ("provider",),
)
SNAPSHOT_OK: Final = Family(
    "meshgate_provider_last_result_success",
    GAUGE,
    "1 if the provider has last published a snapshot, 0 if it has failed since or published nothing yet.",
    ("provider",),
)
PROVIDER_RESOURCES: Final = Family(
    "meshgate_provider_resources", GAUGE, "Valid resources in the provider's last snapshot.", ("provider",)
)
LEFT_OUT: Final = Family(
    "meshgate_endpoint_left_out_workers",
    GAUGE,
    "Workers that make no connections to an endpoint for a time (ejected), or only if no other answers (tried last).",
    ("destination", "endpoint", "state"),
)
HEALTHY: Final = Family(
    "meshgate_endpoint_healthy",
    GAUGE,
    "1 if the endpoint passes its active health check, 0 if it does not; endpoints without one have no series.",
    ("destination", "endpoint"),
)
HEALTH_CHECKS: Final = Family(
    "meshgate_health_checks",
    COUNTER,
    "Active health checks that were made, by their result: success or failure.",
    ("destination", "endpoint", "result"),
)
NAMES: Final = Family("meshgate_endpoint_names", GAUGE, "DNS names of endpoints.")
NAMES_FAILING: Final = Family("meshgate_endpoint_names_failing", GAUGE, "DNS names of endpoints that do not resolve.")
API_ANSWERS: Final = Family(
    "meshgate_api_answers", COUNTER, "Answers of the Kubernetes API, by HTTP status.", ("code",)
)

FAMILIES: Final = tuple(each for each in list(globals().values()) if isinstance(each, Family))
"""Every family, in the order of this file."""


Source = Callable[[], Iterable[FamilyMetric]]
"""Makes some families."""


class GatewayCollector(Collector):
    """Every family of the gateway."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        """Add a source of families."""
        self._sources.append(source)

    def collect(self) -> Iterator[FamilyMetric]:
        """Make all families; one without samples is left out."""
        for source in self._sources:
            for metric in source():
                if metric.lines:
                    yield metric

    def text(self, openmetrics: bool) -> str:
        """Return every family in OpenMetrics, or in Prometheus' own text format."""
        return "".join(metric.text(openmetrics) for metric in self.collect()) + ("# EOF\n" if openmetrics else "")
