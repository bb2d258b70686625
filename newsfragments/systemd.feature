``etc/meshgate.service`` is a hardened unit for systemd. The gateway tells a service manager when it serves, reloads
and stops, and that it lives (``Type=notify``, ``WatchdogSec``).
