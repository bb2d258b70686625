Socket activation: a listener takes the socket that systemd has opened at its address, and its workers share it, so that
no client is refused while the gateway restarts. Connections to a socket without a listener are reset as ``no_route``,
with the warning MG3105.
