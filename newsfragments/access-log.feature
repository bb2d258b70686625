The access log also goes to syslog (RFC 5424 over a Unix socket, UDP or TCP) and to systemd's journal (``access_log.to``),
has lines by a template (``access_log.template``), for some endings only (``only``), for a share of the connections that
ended well (``sample_ok``), and for connections that go on (``every``). Lost lines are counted in the metrics.
