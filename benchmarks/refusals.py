"""
The cost of a refused connection, beside that of a served one.

A worker of one process serves a TCP port; its endpoint greets and closes. Clients connect one after the other, and the
processor time of the worker's process is divided by their number. Each case has its turn in every round, and the median
of the rounds counts.

Run it with ``python -m benchmarks.refusals``, for the compiled form in ``build/compiled``.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from meshgate.proxy.limits import Limits
from meshgate.proxy.log_outputs import AccessLogChoice
from meshgate.proxy.rates import Rate
from meshgate.proxy.serving import Serving, ServingSettings
from meshgate.proxy.shared_counts import SharedCounts, bytes_for, new_seed
from meshgate.routing.access_lists import AccessEntries
from meshgate.routing.table import Chain, Destination, Endpoint, Listener, ListenerKey, RoutingTable

CLIENTS: Final = 400
ROUNDS: Final = 5
LOOPBACK: Final = "127.0.0.1"
_SAME: Final = "the same limits"
_MANY: Final = tuple(f"{10 + each // 65536}.{each // 256 % 256}.{each % 256}.0/24" for each in range(0, 20000, 2))


@dataclass(frozen=True)
class Case:
    """
    A way in which connections are treated.

    :ivar refuses: the clients are turned away.
    """

    name: str
    limits: Limits
    refuses: bool = False


def cases() -> list[Case]:
    """All cases; the first is what the others are compared with."""
    few = AccessEntries("", deny=("192.0.2.0/24",)).access_list()
    refusing = AccessEntries("", deny=("192.0.2.0/24", "127.0.0.0/8")).access_list()
    many = AccessEntries("", deny=(*_MANY, "127.0.0.0/8")).access_list()
    generous, mean = Rate(1e6, 10**6), Rate(1e-3, 0)
    return [
        Case("served, nothing is limited", Limits()),
        Case("served, an access list and a rate admit it", Limits(access=few, client_rate=generous)),
        Case("denied", Limits(access=refusing), refuses=True),
        Case("denied by one of 10,001 networks", Limits(access=many), refuses=True),
        Case("over_rate", Limits(client_rate=mean), refuses=True),
        Case("over_limit", Limits(connections=-1), refuses=True),
    ]


def serve(endpoint: tuple[str, int], pipe: Connection) -> None:
    """The worker's process: say the port, then take limits and give the processor time used so far, in turn."""
    import resource

    from twisted.internet import reactor

    found: object = reactor
    settings = ServingSettings(Limits(), (), AccessLogChoice("/dev/null"))
    counts = SharedCounts(bytearray(bytes_for(1)), 0, new_seed())
    serving = Serving(found, settings, lambda: None, counts, 1)
    serving.start()
    key = ListenerKey(LOOPBACK, 0)
    destination = Destination("origin", 80, endpoints=(Endpoint(*endpoint),))
    chain = Chain((), "default/gw", "tcp", "default/vs", "spec.tcp[0]", (destination,))
    serving.install(RoutingTable(1, {key: Listener(key, False, False, catch_all=chain)}), frozenset())
    listening = socket.create_server((LOOPBACK, 0), backlog=1024)
    listening.setblocking(False)
    serving.serve(key, [listening])

    def answer() -> None:
        while True:
            limits = pipe.recv()
            if limits is None:
                reactor.callFromThread(reactor.stop)  # type: ignore[attr-defined]
                return
            if limits != _SAME:
                done = threading.Event()

                def apply(limits: Limits = limits, done: threading.Event = done) -> None:
                    serving.apply_settings(ServingSettings(limits, (), AccessLogChoice("/dev/null")))
                    done.set()

                reactor.callFromThread(apply)  # type: ignore[attr-defined]
                done.wait()
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(used.ru_utime + used.ru_stime)

    threading.Thread(target=answer, daemon=True).start()
    pipe.send(listening.getsockname()[1])
    reactor.run()


def greet(listening: socket.socket) -> None:
    """The endpoint's process."""
    while True:
        client, _ = listening.accept()
        client.sendall(b"hello")
        client.close()


def connect(port: int, refused: bool) -> None:
    """One client."""
    with socket.create_connection((LOOPBACK, port), timeout=10) as client:
        got = client.recv(100)
        if bool(got) is refused:
            raise AssertionError(f"{got!r} has come")
        if got:
            client.recv(100)


def main() -> None:
    """Measure, and print a table."""
    context = multiprocessing.get_context("fork")
    listening = socket.create_server((LOOPBACK, 0), backlog=1024)
    origin = context.Process(target=greet, args=(listening,), daemon=True)
    origin.start()
    ours, theirs = context.Pipe()
    gateway = context.Process(target=serve, args=(listening.getsockname(), theirs), daemon=True)
    gateway.start()
    port = ours.recv()
    times: dict[str, list[float]] = {case.name: [] for case in cases()}
    for _ in range(ROUNDS):
        for case in cases():
            ours.send(case.limits)
            before = ours.recv()
            for _ in range(CLIENTS):
                connect(port, case.refuses)
            ours.send(_SAME)
            times[case.name].append((ours.recv() - before) / CLIENTS * 1e6)
    ours.send(None)
    gateway.join(10)
    origin.terminate()
    first = statistics.median(next(iter(times.values())))
    for name, found in times.items():
        middle = statistics.median(found)
        sys.stdout.write(f"{name:45} {middle:6.1f} µs  {middle / first:.2f}\n")


if __name__ == "__main__":
    main()
