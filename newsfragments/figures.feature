``figures.json``, beside ``status.json``, has connections, endings and workers, at most a second old, and also what the
names of endpoints resolve to, which endpoints fail and are left out or tried last, and how old each provider's snapshot
is. ``meshgate status`` shows them.
