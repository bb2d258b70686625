"""What one connection leaves behind: the facts of its life, filled in as they happen, logged at its end."""

from __future__ import annotations

from meshgate.proxy.endings import Ending


class ConnectionRecord:
    """
    The record of one connection. Mutable while it lives; complete once :attr:`ending` is set.

    What has not happened yet is not stored: a record is made for every connection.

    :ivar id: counts the connections of one process, from 1.
    :ivar started: seconds since the epoch, for the log line's time.
    :ivar accepted: the reactor clock's seconds at accept; durations are counted from here.
    :ivar listener: ``bind:port`` as the gateway knows it.
    :ivar client: ``(address, port)``.
    :ivar bytes_in: bytes read from the client that were sent on to the endpoint.
    :ivar bytes_out: bytes read from the endpoint that were sent on to the client; at any end but an orderly one, those
        that the client's side has acknowledged.
    :ivar dial: seconds from the first dial to the connection with the endpoint, None before.
    :ivar dial_error: why dials failed, each reason once and in order, with commas between them; empty for none.
    :ivar first_byte: seconds from accept to the endpoint's first byte, None before.
    :ivar duration: seconds from accept to the end.
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
    dial: float | None = None
    dial_error: str = ""
    first_byte: float | None = None
    duration: float = 0.0
    ending: Ending | None = None

    def __init__(
        self,
        id: int,  # noqa: A002 -- what it is called in the log
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
        Add why a dial failed.

        :param name: as of :class:`meshgate.transport.dialing.DialError`.
        """
        before = self.dial_error
        if not before:
            self.dial_error = name
        elif name not in before.split(","):
            self.dial_error = f"{before},{name}"
