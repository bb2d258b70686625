The program's own log has levels for its parts, JSON, and fields in systemd's journal: ``log.level``, ``log.levels``,
``log.format`` and ``log.journal``. Events of level ``debug`` are left out by default, tracebacks of providers among them,
and the end of a worker and a settings file that cannot be read again are logged once instead of twice.
