"""
Benchmarks of meshgate.

* ``python -m benchmarks`` (``make bench``) compares it with other proxies.
* ``python -m benchmarks.pairs`` compares two commits.
* ``python -m benchmarks.scale`` measures it with thousands of routes.
* ``python -m benchmarks.workers`` measures the updates of workers.
* ``python -m benchmarks.soak`` (``make soak``) checks what connections leave behind.
* ``python -m benchmarks.upgrade_soak`` checks that no connection fails while the gateway is upgraded.
* ``benchmarks/reactor_turns.py`` records the long turns of the control process's reactor.
"""
