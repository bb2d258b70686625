SIGTERM drains the gateway: ``/readyz`` says no, ``drain.delay`` later no connection is accepted any more, and connections
may go on for ``drain.time`` (30 seconds), in whose second half those that are left are reset one after the other. With
``drain.removed: drain``, the connections of removed listeners and routes are ended in the same way.
