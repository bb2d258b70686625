"""The record of a connection: the facts of its life, filled in as they happen, and logged at its end."""

from __future__ import annotations

from meshgate.proxy.endings import Ending


class ConnectionRecord:
    """
    The record of one connection, complete once :attr:`ending` is set.

    Facts that have not happened yet are defaults of the class: every connection makes a record.

    :ivar id: number of the connection.
    :ivar started: seconds since the epoch, for the log line's time.
    :ivar accepted: the reactor clock's seconds at accept; durations are counted from here.
    :ivar listener: the address and port of the listener.
    :ivar client: ``(address, port)``.
    :ivar bytes_in: number of bytes read from the client and sent on to the endpoint.
    :ivar bytes_out: number of bytes read from the endpoint and sent on to the client; for any ending but ``ok``, only
        those that the client has acknowledged.
    :ivar hello: seconds from accept to the end of the ClientHello; None without one.
    :ivar dial: seconds from the first dial to the connection to the endpoint; None without one.
    :ivar dial_error: the reasons of failed dials, each once, in order, with commas between them.
    :ivar first_byte: seconds from accept to the endpoint's first byte; None without one.
    :ivar duration: seconds from accept to the end.
    :ivar block: index of the block that the joined connection is counted in
        (:mod:`meshgate.proxy.connection_counts`); -1 until then.
    :ivar counted_in: the part of :attr:`bytes_in` that has been counted there; likewise :attr:`counted_out`.
    :ivar first_byte_counted: :attr:`first_byte` has been counted there.
    """

    id: int
    started: float
    accepted: float
    listener: str
    client: tuple[str, int]
    sni: str | None = None
    alpn: tuple[str, ...] = ()
    gateway: str = ""
    virtual_service: str = ""
    destination: str = ""
    endpoint: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    hello: float | None = None
    dial: float | None = None
    dial_error: str = ""
    first_byte: float | None = None
    duration: float = 0.0
    ending: Ending | None = None
    block: int = -1
    counted_in: int = 0
    counted_out: int = 0
    first_byte_counted: bool = False

    def __init__(
        self,
        id: int,  # noqa: A002 -- its name in the log
        started: float,
        accepted: float,
        listener: str,
        client: tuple[str, int],
    ) -> None:
        self.id = id
        self.started = started
        self.accepted = accepted
        self.listener = listener
        self.client = client

    def note_dial_error(self, name: str) -> None:
        """
        Add the reason of a failed dial.

        :param name: the name of a :class:`meshgate.transport.dialing.DialError`.
        """
        before = self.dial_error
        if not before:
            self.dial_error = name
        elif name not in before.split(","):
            self.dial_error = f"{before},{name}"
