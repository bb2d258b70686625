"""
Measure what it costs to update a worker: by one of thousands of routes, and by all of them, beside compiling them.

Run from a checkout: ``python -m benchmarks.workers --routes 10000``.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from meshgate.resources.reader import read_text
from meshgate.routing.compile.compiler import compile_table
from meshgate.routing.compile.gateway_proxy import Proxy
from meshgate.routing.table import RoutingTable
from meshgate.routing.table_edits import Draft, edits_between
from meshgate.workers.messages import Unpacker, pack_edits

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: g{n}}}
spec:
  servers:
  - {{port: {{number: 443, name: tls, protocol: TLS}}, tls: {{mode: PASSTHROUGH}}, hosts: [h{n}.example.com]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v{n}}}
spec:
  hosts: [h{n}.example.com]
  gateways: [g{n}]
  tls: [{{match: [{{sniHosts: [h{n}.example.com]}}], route: [{{destination: {{host: db.example.org}}}}]}}]
"""

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.example.org]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.1}]
"""


def main() -> None:
    """Measure, and print a table in milliseconds: the best of five."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=10_000, help="the number of Gateways and of VirtualServices")
    count = parser.parse_args().routes
    text = "---\n".join([ENTRY, *(ROUTE.format(n=number) for number in range(count))])
    resources = read_text(text, "routes.yaml").resources
    proxy = Proxy({"istio": "ingressgateway"}, "istio-system")
    table = compile_table(resources, proxy).table
    after = changed(table)
    edits = list(edits_between(table, after))
    everything = list(pack_edits(edits_between(RoutingTable(), table)))
    gc.collect()
    gc.freeze()
    figures = {
        f"compile {count} routes": best(lambda: compile_table(resources, proxy)),
        "control process: find the one route that changed": best(lambda: list(edits_between(table, after))),
        "control process: pack one change": best(lambda: list(pack_edits(edits))),
        "worker: unpack and apply one change": best(lambda: apply(table, list(pack_edits(edits)))),
        "control process: pack the whole table": best(lambda: list(pack_edits(edits_between(RoutingTable(), table)))),
        "worker: unpack and apply the whole table": best(lambda: apply(RoutingTable(), everything)),
        "worker: the longest chunk of the whole table": longest(everything),
    }
    for name, value in figures.items():
        print(f"{name:50} {value:10.3f} ms")
    print(f"{'bytes of one change':50} {sum(map(len, pack_edits(edits))):10}")
    print(f"{'bytes of the whole table':50} {sum(map(len, everything)):10}")


def changed(table: RoutingTable) -> RoutingTable:
    """The same table, with one route that comes from another rule."""
    (key, listener), *_ = table.listeners.items()
    name, chain = next(iter(listener.exact.items()))
    exact = {**listener.exact, name: replace(chain, rule="spec.tls[1].match[0]")}
    return RoutingTable(table.generation + 1, {key: replace(listener, exact=exact)})


def apply(before: RoutingTable, chunks: list[bytes]) -> RoutingTable:
    """Unpack chunks and apply their edits to a table, as a worker does."""
    draft, unpacker = Draft(before), Unpacker()
    for chunk in chunks:
        draft.apply(unpacker.unpack(chunk))
    return draft.table()


def longest(chunks: list[bytes]) -> float:
    """Milliseconds of the chunk that takes the longest to apply."""
    draft, unpacker, times = Draft(RoutingTable()), Unpacker(), []
    for chunk in chunks:
        begin = time.perf_counter()
        draft.apply(unpacker.unpack(chunk))
        times.append(time.perf_counter() - begin)
    return max(times) * 1000


def best(action: Callable[[], Any]) -> float:
    """Milliseconds of the fastest of five runs."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
        gc.collect()
    return min(times) * 1000


if __name__ == "__main__":
    main()
